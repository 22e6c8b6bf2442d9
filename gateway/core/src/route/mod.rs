//! From a request's path to what serves it: a table of routes, the most literal one first.

mod origin;
mod pattern;

use std::sync::Arc;

use thiserror::Error;

use crate::deflate::Compression;
use crate::handler::Mount;
use crate::handshake::{Refusal, Request, percent_decode};
use crate::hub::MemberPolicy;
use crate::id::ShardId;
use crate::limits::Limits;
use crate::middleware::{Commands, Edge, Layer};

use origin::Origins;
use pattern::Pattern;

/// Routes of a table; a connection knows its own by two bytes.
pub const ROUTES_MAX: usize = 1024;

/// Payload bytes of a message of the chat route that is built in: more than anybody types.
const CHAT_BYTES_MAX: usize = 64 << 10;

/// A family of rooms that routes open: the same name in two namespaces is two rooms.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Namespace(u16);

impl Namespace {
    /// The one room behind `/`, unless a table says otherwise.
    pub const ROOT: Self = Self(0);
    /// The rooms behind `/ws/{room}`, unless a table says otherwise.
    pub const WS: Self = Self(1);

    /// Its place in an array with an entry for each family, in the order in which the table names
    /// them.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What serves a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// Members of a room hear what is sent.
    #[default]
    Room,
    /// As a room, for people: they have names, are told who is there, and may type commands.
    Chat,
    /// Everything comes back to its sender, and nobody else is there.
    Echo,
    /// A [`Handler`](crate::handler::Handler) of the program that uses the gateway.
    Handled,
}

/// What a client has to show.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// A bearer token (RFC 6750).
    Bearer,
}

/// What an operator, or a program, says of a route.
#[derive(Clone, Debug, Default)]
pub struct RouteConfig {
    /// The path: segments that are compared letter by letter, and at most one `{room}`, which
    /// takes the room's name. Without it the route is one room.
    pub path: String,
    /// The family of rooms; none for an echo. Routes of one namespace ask for the same `auth`.
    pub namespace: Option<String>,
    /// What serves it.
    pub kind: Kind,
    /// What a client has to show.
    pub auth: Auth,
    /// Pages whose scripts may connect, as browsers say it in `Origin`, such as
    /// `https://app.example`, or `*` for all. Those of the host that was asked for always may, and
    /// so may who is no browser. Default: all, or none besides those on a route with `auth`.
    pub origins: Vec<String>,
    /// Whether messages may be deflated, where a client can.
    pub compression: Compression,
    /// Whether who sends a message hears it too.
    pub includes_sender: bool,
    /// What becomes of members that do not read as fast as their room speaks; without it the
    /// node's own policy.
    pub member_policy: Option<MemberPolicy>,
    /// Payload bytes of a message, at most those of [`Limits::message_bytes_max`], which is also
    /// the default.
    pub message_bytes_max: Option<usize>,
    /// What is done around each message, the outermost layer first.
    pub middleware: Vec<Arc<dyn Layer>>,
    /// What serves it, if that is a handler.
    pub handler: Option<Arc<dyn Mount>>,
}

impl RouteConfig {
    /// A route that a handler serves. The rooms that it names are those of the namespace.
    #[must_use]
    pub fn handled(
        path: impl Into<String>,
        namespace: impl Into<String>,
        handler: impl Mount + 'static,
    ) -> Self {
        Self {
            path: path.into(),
            namespace: Some(namespace.into()),
            kind: Kind::Handled,
            handler: Some(Arc::new(handler)),
            ..Self::default()
        }
    }

    /// With one more layer of middleware, within those that it has.
    #[must_use]
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.middleware.push(Arc::new(layer));
        self
    }
}

/// Why a table of routes makes no sense. `path` is that of the route to be changed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("route {path:?}: {why}")]
pub struct RouteError {
    path: String,
    why: String,
}

/// Names a route of its table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RouteId(u16);

impl RouteId {
    /// The route's place in its table.
    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    pattern: Pattern,
    path: String,
    /// What serves it.
    pub kind: Kind,
    /// The family of rooms, unless it is an echo.
    pub namespace: Option<Namespace>,
    /// What a client has to show.
    pub auth: Auth,
    /// Whether messages may be deflated.
    pub compression: Compression,
    /// Whether who sends a message hears it too.
    pub includes_sender: bool,
    /// What becomes of slow members, if not what the node says.
    pub member_policy: Option<MemberPolicy>,
    /// Payload bytes of a message; beyond it, 1009.
    pub message_bytes_max: usize,
    middleware: Vec<Arc<dyn Layer>>,
    handler: Option<Arc<dyn Mount>>,
    origins: Origins,
}

/// A table of routes.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The most literal first.
    routes: Vec<Route>,
    /// Names of namespaces, and what their clients have to show.
    namespaces: Vec<(String, Auth)>,
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(&Self::builtin()).expect("the routes built in make sense")
    }
}

impl Routes {
    /// What is served where nothing else is configured: `/` and `/ws/{room}`, whose senders do not
    /// hear themselves, `/ws/chat/{room}` with a token, whose senders do, and the echo of
    /// `/ws/simple`.
    #[must_use]
    pub fn builtin() -> Vec<RouteConfig> {
        let room = |path: &str, namespace: &str| RouteConfig {
            path: path.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..RouteConfig::default()
        };
        let chat = room("/ws/chat/{room}", "chat");
        let echo = RouteConfig { kind: Kind::Echo, namespace: None, ..room("/ws/simple", "") };
        vec![
            room("/", "root"),
            room("/ws/{room}", "ws"),
            RouteConfig {
                kind: Kind::Chat,
                auth: Auth::Bearer,
                includes_sender: true,
                message_bytes_max: Some(CHAT_BYTES_MAX),
                ..chat
            }
            .with(Commands),
            echo,
        ]
    }

    /// A table of these routes.
    ///
    /// # Errors
    /// If a route makes no sense by itself or beside the others, in words that say what to change.
    pub fn new(configs: &[RouteConfig]) -> Result<Self, RouteError> {
        let mut table = Self { routes: Vec::new(), namespaces: Vec::new() };
        for config in configs {
            let path = config.path.clone();
            let wrong = |why: String| RouteError { path: path.clone(), why };
            let route = table.route(config).map_err(wrong)?;
            if table.routes.iter().any(|other| other.pattern.is_like(&route.pattern)) {
                return Err(wrong("another route has the same path; remove one".to_owned()));
            }
            if table.routes.len() == ROUTES_MAX {
                return Err(wrong(format!("there are more than {ROUTES_MAX} routes; remove some")));
            }
            table.routes.push(route);
        }
        table.routes.sort_by(|one, other| one.pattern.cmp(&other.pattern));
        Ok(table)
    }

    fn route(&mut self, config: &RouteConfig) -> Result<Route, String> {
        let pattern = Pattern::parse(&config.path)?;
        let namespace = match (config.kind, &config.namespace) {
            (Kind::Room | Kind::Chat | Kind::Handled, Some(name)) => {
                Some(self.enroll(name, config.auth)?)
            }
            (Kind::Room | Kind::Chat, None) => {
                return Err("a room needs a namespace; name one".to_owned());
            }
            (Kind::Handled, None) => {
                return Err("a handler needs a namespace for its rooms; name one".to_owned());
            }
            (Kind::Echo, None) if pattern.room().is_some() => {
                return Err("an echo has no room; write the path without {room}".to_owned());
            }
            (Kind::Echo, None) => None,
            (Kind::Echo, Some(_)) => {
                return Err("an echo has no rooms; leave the namespace out".to_owned());
            }
        };
        if (config.kind == Kind::Handled) != config.handler.is_some() {
            let why = "a handler and the kind that has one go together; give both or neither";
            return Err(why.to_owned());
        }
        if config.message_bytes_max == Some(0) {
            return Err("message_bytes_max is 0; give at least 1".to_owned());
        }
        Ok(Route {
            path: pattern.to_string(),
            pattern,
            kind: config.kind,
            namespace,
            auth: config.auth,
            compression: config.compression,
            includes_sender: config.includes_sender,
            member_policy: config.member_policy,
            message_bytes_max: config.message_bytes_max.unwrap_or(usize::MAX),
            middleware: config.middleware.clone(),
            handler: config.handler.clone(),
            origins: Origins::of(&config.origins, config.auth)?,
        })
    }

    /// The namespace of this name, which is new or asks for the same.
    fn enroll(&mut self, name: &str, auth: Auth) -> Result<Namespace, String> {
        if name.is_empty() {
            return Err("its namespace has no name; give it one".to_owned());
        }
        if let Some(index) = self.namespaces.iter().position(|(known, _)| known == name) {
            if self.namespaces[index].1 != auth {
                return Err(format!(
                    "another route opens namespace {name:?} with another auth, and a room is as \
                     open as its widest door; give both the same, or this one another namespace"
                ));
            }
            return Ok(Namespace(index as u16));
        }
        self.namespaces.push((name.to_owned(), auth));
        Ok(Namespace((self.namespaces.len() - 1) as u16))
    }

    /// Finds what serves `path`, which has no query, and the room's name, which is empty where the
    /// path names none.
    ///
    /// A segment is decoded before it is compared, so that `/ws/simpl%65` is `/ws/simple`.
    ///
    /// # Errors
    /// 404 for a path that nothing serves, 400 for a segment that is not one, and for a name of
    /// more than `room_name_bytes_max`.
    pub fn find(&self, path: &str, limits: &Limits) -> Result<(RouteId, String), Refusal> {
        let not_found = || Refusal::not_found(path);
        let segments = pattern::segments(path).ok_or_else(not_found)?;
        let count = segments.clone().count();
        if !self.routes.iter().any(|route| route.pattern.len() == count) {
            return Err(not_found());
        }
        // Which segment is a name is not known yet; the others may be as long as a route says.
        let mut decoded = Vec::with_capacity(count);
        for segment in segments {
            decoded.push(percent_decode(segment, "a segment of the path", segment.len())?);
        }
        let found = self.routes.iter().position(|route| route.pattern.takes(&decoded));
        let index = found.ok_or_else(not_found)?;
        let room = self.routes[index].pattern.room();
        let name = room.map_or_else(String::new, |at| decoded.swap_remove(at).into_owned());
        if name.len() > limits.room_name_bytes_max {
            return Err(Refusal::too_long("the room's name", limits.room_name_bytes_max));
        }
        Ok((RouteId(index as u16), name))
    }

    /// A route by its id.
    ///
    /// # Panics
    /// If the id is another table's.
    #[inline]
    #[must_use]
    pub fn get(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
    }

    /// The namespace of this name, if a route opens it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Namespace> {
        let index = self.namespaces.iter().position(|(known, _)| known == name)?;
        Some(Namespace(index as u16))
    }

    /// Whether a route without `{room}` opens the namespace, whose room has no name.
    #[must_use]
    pub fn opens_nameless(&self, namespace: Namespace) -> bool {
        let mut opens = self.routes.iter().filter(|route| route.namespace == Some(namespace));
        opens.any(|route| route.pattern.room().is_none())
    }

    /// Routes, the most literal first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Route {
    /// Its path as it was written.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a page that asks for it may come in: a request that says no origin may.
    pub(crate) fn admits(&self, request: &Request<'_>) -> bool {
        self.origins.admit(request)
    }

    /// What is asked about messages on this shard; nothing if there is neither middleware nor a
    /// handler.
    pub(crate) fn edge(&self, shard: ShardId) -> Option<Edge> {
        let chain: Vec<_> = self.middleware.iter().map(|layer| layer.layer(shard)).collect();
        let handler = self.handler.as_ref().map(|mount| mount.mount(shard));
        (!chain.is_empty() || handler.is_some()).then_some(Edge { chain, handler })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (String, String) {
        let routes = Routes::default();
        let (id, name) = routes.find(path, &Limits::default()).expect(path);
        (routes.get(id).path().to_owned(), name)
    }

    /// Why a table of these routes makes no sense.
    fn wrong(change: impl FnOnce(&mut Vec<RouteConfig>)) -> String {
        let mut configs = Routes::builtin();
        change(&mut configs);
        Routes::new(&configs).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn the_most_literal_route_serves_however_it_is_spelt() {
        for (path, route, room) in [
            ("/", "/", ""),
            ("/ws/lobby", "/ws/{room}", "lobby"),
            ("/ws/simple", "/ws/simple", ""),
            ("/ws/simpl%65", "/ws/simple", ""),
            ("/ws/simple2", "/ws/{room}", "simple2"),
            ("/ws/chat", "/ws/{room}", "chat"),
            ("/ws/chat/lobby", "/ws/chat/{room}", "lobby"),
            ("/w%73/ch%61t/a%2Fb", "/ws/chat/{room}", "a/b"),
        ] {
            assert_eq!(found(path), (route.to_owned(), room.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_literal_segment_beats_a_room_at_each_place() {
        let route = |path: &str| RouteConfig {
            path: path.to_owned(),
            namespace: Some(path.to_owned()),
            ..RouteConfig::default()
        };
        let routes = [route("/{room}/b"), route("/a/{room}"), route("/{room}/{room2}")];
        assert!(Routes::new(&routes).is_err());
        let routes = Routes::new(&routes[..2]).expect("they differ");
        let found = |path| {
            let (id, _) = routes.find(path, &Limits::default()).expect(path);
            routes.get(id).path()
        };
        assert_eq!(found("/a/b"), "/a/{room}");
        assert_eq!(found("/c/b"), "/{room}/b");
        assert!(routes.find("/c/d", &Limits::default()).is_err());
    }

    #[test]
    fn room_names_are_percent_decoded_and_bounded() {
        let limits = Limits::default();
        assert_eq!(found("/ws/caf%C3%A9%20%2F").1, "café /");
        let longest = "x".repeat(limits.room_name_bytes_max);
        assert_eq!(found(&format!("/ws/{longest}")).1, longest);
        let refusal = Routes::default().find(&format!("/ws/{longest}x"), &limits);
        let refusal = refusal.expect_err("too long");
        assert_eq!(refusal.status as u16, 400);
        assert_eq!(refusal.why(), "the room's name is longer than 255 bytes; shorten it");
    }

    /// It was refused as a name that is too long, and its route never found.
    #[test]
    fn a_literal_segment_may_be_longer_than_a_name() {
        let limits = Limits::default();
        let literal = "x".repeat(limits.room_name_bytes_max + 1);
        let long = format!("/{literal}/{{room}}");
        let namespace = Some("long".to_owned());
        let config = RouteConfig { path: long.clone(), namespace, ..RouteConfig::default() };
        let routes = Routes::new(&[config]).expect("it makes sense");
        for spelt in [literal.clone(), literal.replacen('x', "%78", 1)] {
            let (id, name) =
                routes.find(&format!("/{spelt}/lobby"), &limits).expect("it is served");
            assert_eq!((routes.get(id).path(), &*name), (&*long, "lobby"));
        }
        let other = routes.find(&format!("/{literal}x/lobby"), &limits);
        assert_eq!(other.expect_err("nothing serves it").status as u16, 404);
    }

    #[test]
    fn other_paths_are_not_found() {
        let routes = Routes::default();
        for path in
            ["/ws", "/ws/", "/ws/a/b", "/ws/lobby/", "/ws/chat/", "/other", "//", "", "*", "/WS/a"]
        {
            let refusal = routes.find(path, &Limits::default()).expect_err(path);
            assert_eq!(refusal.status as u16, 404, "{path}");
        }
    }

    #[test]
    fn namespaces_are_numbered_as_they_are_named() {
        let routes = Routes::default();
        assert_eq!(routes.namespace("root"), Some(Namespace::ROOT));
        assert_eq!(routes.namespace("ws"), Some(Namespace::WS));
        assert_eq!(routes.namespace("chat").map(Namespace::index), Some(2));
        assert_eq!(routes.namespace("none"), None);
    }

    #[test]
    fn a_table_that_makes_no_sense_is_told_why() {
        for (path, told) in [
            ("ws", "begin"),
            ("/ws//a", "empty"),
            ("/ws/", "empty"),
            ("/{room}/{room}", "once"),
            ("/{name}", "{room}"),
            ("/a{room}", "{room}"),
            ("/ws/{room}", "same path"),
        ] {
            let error = wrong(|configs| configs[0].path = path.to_owned());
            assert!(error.contains(told) && error.contains(path), "{path}: {error}");
        }
        let error = wrong(|configs| configs[2].namespace = Some("ws".to_owned()));
        assert!(error.contains("auth"), "{error}");
        let error = wrong(|configs| configs[1].namespace = None);
        assert!(error.contains("namespace"), "{error}");
        let error = wrong(|configs| configs[3].namespace = Some("ws".to_owned()));
        assert!(error.contains("leave"), "{error}");
        let error = wrong(|configs| configs[0].message_bytes_max = Some(0));
        assert!(error.contains("at least 1"), "{error}");
    }

    /// A segment in braces was once told as it was written, and could begin a line of its own.
    #[test]
    fn control_characters_of_a_path_are_told_escaped() {
        for path in ["/ws/{\x1b[2J}", "/{a\r\n}", "/{room}/\x07{room}", "ws\n", "/ws/\n//a"] {
            let error = wrong(|configs| configs[0].path = path.to_owned());
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
}
