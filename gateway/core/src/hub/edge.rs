//! Where messages come in: a route's middleware and handler are asked, and heard.
//!
//! They see the hub and do not change it: what they want is done when they have returned. So one
//! that panics leaves nothing half done, and only its connection is closed.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Conn, Hub, Role, Stage};
use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::frame;
use crate::handler::{Action, Allowance, Client, Rooms};
use crate::hit::Hit;
use crate::id::{Author, ShardId};
use crate::middleware::{Context, Edge, Message, Verdict};
use crate::order::ConnectionId;
use crate::route::{Route, RouteId};
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::Now;

/// What is at a route's edge on a shard, or nothing: most routes have none.
pub(super) type Edges = Vec<Option<Box<Edge>>>;

/// Makes the edges of a table of routes.
pub(super) fn edges<'a>(routes: impl Iterator<Item = &'a Route>, shard: ShardId) -> Edges {
    routes.map(|route| route.edge(shard).map(Box::new)).collect()
}

/// Why nothing more is taken from a connection after a message.
pub(super) enum Stop {
    Protocol(ProtocolError),
    Panic,
    Flood,
    Controls,
    Close(Box<(CloseCode, Cow<'static, str>)>),
    /// Its handler has closed it already.
    Closing,
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// A connection that has gone, of which its handler is to be told.
#[derive(Debug)]
pub(super) struct Gone {
    author: Author,
    route: RouteId,
    param: Arc<str>,
    user: Option<Arc<str>>,
    reason: CloseReason,
}

impl Hub {
    /// Asks the route's edge about a message and does as it says.
    #[inline(never)]
    pub(super) fn message_at_edge(
        &mut self,
        now: Now,
        slot: Slot,
        kind: frame::Kind,
        payload: Payload<'_>,
    ) -> Result<(), Stop> {
        let message = Message { kind, bytes: payload.as_slice() };
        let asked = self.ask_edge(self.conns[slot.index()].route, |hub, edge| {
            let mut context = hub.context(now, slot);
            let rooms = RoomsOf { hub, slot };
            let mut client = Client::new(hub.context(now, slot), &rooms, hub.allowance());
            let verdict = edge.message(&mut context, message, &mut client);
            (verdict, client.into_actions(), context.slow_until())
        });
        let Some((verdict, actions, slow_until)) = asked else { return Err(Stop::Panic) };
        if let Some(until) = slow_until {
            self.slow_down(now, slot, until);
        }
        self.act(now, slot, actions);
        if self.conns[slot.index()].stage != Stage::Open {
            return Err(Stop::Closing);
        }
        self.obey(now, slot, verdict, (kind, payload))
    }

    fn obey(
        &mut self,
        now: Now,
        slot: Slot,
        verdict: Verdict,
        (kind, payload): (frame::Kind, Payload<'_>),
    ) -> Result<(), Stop> {
        match verdict {
            Verdict::Serve => self.serve(now, slot, kind, payload)?,
            Verdict::Instead(text) => {
                self.serve_instead(now, slot, frame::Kind::Text, text.into_bytes())?;
            }
            Verdict::InsteadBinary(bytes) => {
                self.serve_instead(now, slot, frame::Kind::Binary, bytes)?;
            }
            Verdict::Answer(text) => self.notice(slot, &text),
            Verdict::Rename(wanted) => self.rename_chatter(now, slot, &wanted),
            Verdict::Who => self.tell_who(slot),
            Verdict::Handled | Verdict::Drop => {}
            Verdict::Close(code, text) => return Err(Stop::Close(Box::new((code, text)))),
            Verdict::Flood => return Err(Stop::Flood),
        }
        Ok(())
    }

    /// Serves what a layer has made of a message, which may be no longer than one may be, nor make
    /// a turn say more than handlers may.
    fn serve_instead(
        &mut self,
        now: Now,
        slot: Slot,
        kind: frame::Kind,
        bytes: Vec<u8>,
    ) -> Result<(), Stop> {
        let Allowance { bytes: left, message_bytes_max, .. } = self.allowance();
        self.handler_bytes += bytes.len();
        if bytes.len() > message_bytes_max.min(left) {
            let why = "message grew too long";
            return Err(Stop::Close(Box::new((CloseCode::INTERNAL, why.into()))));
        }
        Ok(self.serve(now, slot, kind, Payload::Assembled(bytes))?)
    }

    /// A connection of a handler's route is open.
    pub(super) fn tell_opened(&mut self, now: Now, slot: Slot) {
        self.conns[slot.index()].greeted = true;
        let asked = self.ask_edge(self.conns[slot.index()].route, |hub, edge| {
            let rooms = RoomsOf { hub, slot };
            let mut client = Client::new(hub.context(now, slot), &rooms, hub.allowance());
            edge.opened(&mut client);
            client.into_actions()
        });
        match asked {
            Some(actions) => self.act(now, slot, actions),
            None => self.close_panicked(now, slot),
        }
    }

    /// Remembers to tell the handler of a connection that it has gone, if it was told of it.
    pub(super) fn note_gone(&mut self, slot: Slot, reason: CloseReason) {
        let conn = &self.conns[slot.index()];
        if !conn.greeted {
            return;
        }
        let (author, route) = (conn.author, conn.route);
        let reason = conn.reason.unwrap_or(reason);
        let extra = self.extras.get(&slot);
        let param = extra.map_or_else(|| "".into(), |extra| Arc::clone(&extra.param));
        let user = extra.and_then(|extra| extra.user.clone());
        self.gone.push_back(Gone { author, route, param, user, reason });
    }

    /// A connection of a handler's route has gone: what its handler publishes now is still said.
    pub(super) fn tell_closed(&mut self, now: Now, gone: &Gone) {
        let asked = self.ask_edge(gone.route, |hub, edge| {
            let context = Context {
                connection: ConnectionId::new(gone.author),
                route: hub.config.routes.get(gone.route).path(),
                room: &gone.param,
                user: gone.user.as_deref(),
                now,
                ..Context::default()
            };
            let allowance = Allowance { rooms_max: 0, ..hub.allowance() };
            let mut client = Client::new(context, &NoRooms, allowance);
            edge.closed(&mut client, gone.reason);
            client.into_actions()
        });
        let Some(actions) = asked else { return self.counters.panics += 1 };
        let namespace = self.config.routes.get(gone.route).namespace;
        for action in actions {
            self.handler_bytes += action.cost();
            if let (Action::Publish(room, kind, bytes), Some(namespace)) = (action, namespace) {
                let payload = Payload::Assembled(bytes);
                self.publish_in(now, gone.author, None, (namespace, &room), kind, payload);
            }
        }
    }

    /// Lets a route's edge look at the hub; gives what it wants, or nothing if it panicked.
    fn ask_edge<T>(
        &mut self,
        route: RouteId,
        ask: impl FnOnce(&Self, &mut Edge) -> T,
    ) -> Option<T> {
        let edge = &mut self.edges[route.index()];
        let mut edge = edge.take().expect("an edge is there, and not asked from within itself");
        let asked = catch_unwind(AssertUnwindSafe(|| ask(self, &mut edge)));
        self.edges[route.index()] = Some(edge);
        asked.ok()
    }

    /// What the edge may know of a connection.
    fn context(&self, now: Now, slot: Slot) -> Context<'_> {
        let conn = &self.conns[slot.index()];
        let extra = self.extras.get(&slot);
        let room = match conn.role {
            Role::Member { lane, .. } => &*self.dispatch.name(self.lanes.lane(lane).room).name,
            Role::Waiting { .. } | Role::Handled | Role::Echo | Role::Nothing => {
                extra.map_or("", |extra| &*extra.param)
            }
        };
        Context {
            connection: ConnectionId::new(conn.author),
            route: self.route(slot).path(),
            room,
            user: extra.and_then(|extra| extra.user.as_deref()),
            name: self.names.get(&slot).map(|name| &**name),
            now,
            ..Context::default()
        }
    }

    fn allowance(&self) -> Allowance {
        let limits = &self.config.limits;
        Allowance {
            bytes: limits.handler_bytes_max.saturating_sub(self.handler_bytes),
            rooms_max: limits.rooms_max,
            message_bytes_max: limits.message_bytes_max,
            room_name_bytes_max: limits.room_name_bytes_max,
        }
    }

    /// Does what a handler wants. What follows its closing the connection only publishes.
    fn act(&mut self, now: Now, slot: Slot, actions: Vec<Action>) {
        // A table of routes has a namespace for each handler.
        let Some(namespace) = self.route(slot).namespace else { return };
        let author = self.conns[slot.index()].author;
        for action in actions {
            let open = self.conns[slot.index()].stage == Stage::Open;
            self.handler_bytes += action.cost();
            match action {
                Action::Publish(room, kind, bytes) => {
                    let payload = Payload::Assembled(bytes);
                    self.publish_in(now, author, Some(slot), (namespace, &room), kind, payload);
                }
                Action::TooManyRooms(times) => self.counters.hits[Hit::Rooms.index()] += times,
                _ if !open => {}
                Action::Send(kind, bytes) => {
                    self.say_to(now, slot, kind, Payload::Assembled(bytes));
                }
                Action::Join(room) => _ = self.take_place(slot, namespace, &room),
                Action::Leave(room) => self.leave_place(slot, namespace, &room),
                Action::Close(code, text) => self.close_as_told(now, slot, code, text),
            }
        }
    }

    /// Closes with a code that the program has chosen.
    pub(super) fn close_as_told(
        &mut self,
        now: Now,
        slot: Slot,
        code: CloseCode,
        text: Cow<'static, str>,
    ) {
        // One that is never sent would end the node.
        let code = if code.is_legal() { code } else { CloseCode::INTERNAL };
        self.start_closing(now, slot, CloseReason::Told(code), Some(code), text);
    }

    /// Its middleware or handler panicked.
    pub(super) fn close_panicked(&mut self, now: Now, slot: Slot) {
        self.counters.panics += 1;
        let (reason, code) = (CloseReason::Panic, CloseCode::INTERNAL);
        self.fail(now, slot, reason, code, "internal error");
    }

    /// A connection is not here any more: what its route's middleware keeps for it can go.
    pub(super) fn forget_at_edge(&mut self, conn: &Conn) {
        let connection = ConnectionId::new(conn.author);
        let forgot = self.ask_edge(conn.route, |_, edge| edge.forget(connection));
        self.counters.panics += u64::from(forgot.is_none());
    }
}

/// The rooms of a connection, for whoever asks.
struct RoomsOf<'a> {
    hub: &'a Hub,
    slot: Slot,
}

impl Rooms for RoomsOf<'_> {
    fn names(&self) -> Vec<String> {
        self.hub.rooms_at(self.slot).into_iter().map(|room| room.name.to_string()).collect()
    }
}

impl fmt::Debug for RoomsOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The rooms of a connection that has gone.
#[derive(Debug)]
struct NoRooms;

impl Rooms for NoRooms {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Action {
    /// Bytes that count towards what handlers may say.
    fn cost(&self) -> usize {
        match self {
            Self::Send(_, bytes) | Self::Publish(_, _, bytes) => {
                bytes.len() + crate::handler::SAID_COST_BYTES
            }
            Self::Join(_) | Self::Leave(_) | Self::Close(..) | Self::TooManyRooms(_) => 0,
        }
    }
}
