//! What is kept of a namespace's rooms, by the name that routes give it.

use gateway_core::envelope::RoomPolicy;
use gateway_core::log::Retention;
use gateway_core::route::Routes;
use thiserror::Error;

use super::Config;

/// Messages that a room may keep: more is an archive.
pub const HISTORY_MESSAGES_MAX: u32 = 1 << 20;
/// Bytes that a room may keep.
pub const HISTORY_BYTES_MAX: usize = 1 << 30;
/// Seconds that a room may keep a message: 30 days.
pub const HISTORY_SECS_MAX: u32 = 30 * 24 * 3600;

/// What an operator says of a namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamespaceConfig {
    /// The name that a route gives it.
    pub name: String,
    /// The past of each of its rooms that can be recovered: all of its bounds or none, at most
    /// [`HISTORY_MESSAGES_MAX`], [`HISTORY_BYTES_MAX`] and [`HISTORY_SECS_MAX`].
    pub history: Retention,
    /// Whether members hear of each other. Those of a chat do anyway.
    pub presence: bool,
}

/// Why what is said of a namespace makes no sense.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("namespace {name:?}: {why}")]
pub struct NamespaceError {
    name: String,
    why: &'static str,
}

impl Config {
    /// What is kept of rooms by [`Namespace`](gateway_core::route::Namespace), as a hub is made
    /// with: an entry for each up to the last one that something is kept of. `routes` is the table
    /// made of [`routes`](Self::routes).
    #[must_use]
    pub fn rooms(&self, routes: &Routes) -> Vec<RoomPolicy> {
        let mut rooms = Vec::new();
        for namespace in &self.namespaces {
            // One that no route opens has no rooms.
            let Some(index) = routes.namespace(&namespace.name).map(|it| it.index()) else {
                continue;
            };
            if rooms.len() <= index {
                rooms.resize(index + 1, RoomPolicy::default());
            }
            let NamespaceConfig { history, presence, .. } = namespace;
            rooms[index] = RoomPolicy { history: history.clone(), presence: *presence };
        }
        rooms
    }
}

pub(super) fn check(namespaces: &[NamespaceConfig], routes: &Routes) -> Result<(), NamespaceError> {
    for (index, namespace) in namespaces.iter().enumerate() {
        let wrong = |why| NamespaceError { name: namespace.name.clone(), why };
        if routes.namespace(&namespace.name).is_none() {
            return Err(wrong("no route opens it; write the name that a route has"));
        }
        if namespaces[..index].iter().any(|other| other.name == namespace.name) {
            return Err(wrong("it is there twice; remove one"));
        }
        check_history(&namespace.history).map_err(wrong)?;
    }
    Ok(())
}

fn check_history(history: &Retention) -> Result<(), &'static str> {
    let Retention { messages_max, bytes_max, age_secs } = *history;
    if *history != Retention::default() && !history.keeps() {
        return Err("a history has messages, bytes and seconds; give all of them, or none");
    }
    if messages_max > HISTORY_MESSAGES_MAX {
        return Err("its history has more than 1048576 messages; keep fewer");
    }
    if bytes_max > HISTORY_BYTES_MAX {
        return Err("its history has more than 1 GiB; keep less");
    }
    if age_secs > HISTORY_SECS_MAX {
        return Err("its history is older than 2592000 seconds; keep it for less");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Retention = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 60 };

    fn namespace(name: &str, history: Retention) -> NamespaceConfig {
        NamespaceConfig { name: name.to_owned(), history, presence: true }
    }

    #[test]
    fn rooms_stand_in_the_order_of_the_routes() {
        let routes = Routes::default();
        let none = RoomPolicy::default();
        let namespaces = vec![namespace("chat", KEPT), namespace("root", Retention::default())];
        let config = Config { namespaces, ..Config::default() };
        let root = RoomPolicy { presence: true, ..RoomPolicy::default() };
        let chat = RoomPolicy { history: KEPT, presence: true };
        assert_eq!(config.rooms(&routes), [root, none, chat]);
        assert_eq!(Config::default().rooms(&routes), []);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let told = |namespaces: &[NamespaceConfig]| {
            let namespaces = namespaces.to_vec();
            let config = Config { namespaces, ..Config::default() };
            config.check().map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
        };
        assert_eq!(told(&[namespace("ws", KEPT), namespace("chat", KEPT)]), "nothing");
        let error = told(&[namespace("wss", KEPT)]);
        assert!(error.contains("\"wss\"") && error.contains("no route"), "{error}");
        let error = told(&[namespace("ws", KEPT), namespace("ws", KEPT)]);
        assert!(error.contains("twice"), "{error}");
        for (history, word) in [
            (Retention { bytes_max: 0, ..KEPT }, "all of them"),
            (Retention { messages_max: HISTORY_MESSAGES_MAX + 1, ..KEPT }, "1048576"),
            (Retention { bytes_max: HISTORY_BYTES_MAX + 1, ..KEPT }, "1 GiB"),
            (Retention { age_secs: HISTORY_SECS_MAX + 1, ..KEPT }, "2592000"),
        ] {
            let error = told(&[namespace("ws", history)]);
            assert!(error.contains(word), "{error}");
        }
    }
}
