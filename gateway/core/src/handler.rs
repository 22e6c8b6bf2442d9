//! Handlers: routes that a program serves itself, by callbacks.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::frame::Kind;
use crate::id::ShardId;
use crate::middleware::{Context, Message};
use crate::order::ConnectionId;

/// Serves the connections of a route on one shard.
///
/// It is called within the shard's turn: it does no I/O and never waits, or everyone on the shard
/// does. A callback that panics costs its connection a 1011; what it wanted done is not done.
///
/// For each connection `opened` comes once and first, `closed` once and last. Between them the
/// connection may move to another shard, when its shard is removed: what is kept for it is kept in
/// something that all shards share, such as an `Arc`.
pub trait Handler: Send {
    /// A connection is open: it has been answered.
    fn opened(&mut self, client: &mut Client<'_>) {
        let _ = client;
    }

    /// It has sent a message.
    fn message(&mut self, client: &mut Client<'_>, message: Message<'_>);

    /// It has gone. What is published now is still heard.
    fn closed(&mut self, client: &mut Client<'_>, reason: CloseReason) {
        let _ = (client, reason);
    }
}

/// What makes a handler for each shard. Whatever is [`Handler`] and can be cloned is one: each
/// shard has a clone.
pub trait Mount: fmt::Debug + Send + Sync {
    /// The handler of this shard.
    fn mount(&self, shard: ShardId) -> Box<dyn Handler>;
}

impl<T: Handler + Clone + fmt::Debug + Sync + 'static> Mount for T {
    fn mount(&self, _: ShardId) -> Box<dyn Handler> {
        Box::new(self.clone())
    }
}

type Opened = dyn Fn(&mut Client<'_>) + Send + Sync;
type Said = dyn Fn(&mut Client<'_>, Message<'_>) + Send + Sync;
type Closed = dyn Fn(&mut Client<'_>, CloseReason) + Send + Sync;

/// A handler made of functions, which all shards share.
#[derive(Clone, Default)]
pub struct Callbacks {
    opened: Option<Arc<Opened>>,
    message: Option<Arc<Said>>,
    closed: Option<Arc<Closed>>,
}

impl Callbacks {
    /// A handler that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls this when a connection is open.
    #[must_use]
    pub fn opened(mut self, f: impl Fn(&mut Client<'_>) + Send + Sync + 'static) -> Self {
        self.opened = Some(Arc::new(f));
        self
    }

    /// Calls this for each message.
    #[must_use]
    pub fn message(
        mut self,
        f: impl Fn(&mut Client<'_>, Message<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.message = Some(Arc::new(f));
        self
    }

    /// Calls this when a connection has gone.
    #[must_use]
    pub fn closed(
        mut self,
        f: impl Fn(&mut Client<'_>, CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.closed = Some(Arc::new(f));
        self
    }
}

impl Handler for Callbacks {
    fn opened(&mut self, client: &mut Client<'_>) {
        if let Some(f) = &self.opened {
            f(client);
        }
    }

    fn message(&mut self, client: &mut Client<'_>, message: Message<'_>) {
        if let Some(f) = &self.message {
            f(client, message);
        }
    }

    fn closed(&mut self, client: &mut Client<'_>, reason: CloseReason) {
        if let Some(f) = &self.closed {
            f(client, reason);
        }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}

/// Why something a handler wants is not done. Nothing of it is.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refused {
    /// Handlers of this shard have said `handler_bytes_max` bytes since it last sent any.
    #[error(
        "handlers have said too much at once; say less per message, or raise handler_bytes_max"
    )]
    Full,
    /// A payload of more than `message_bytes_max`.
    #[error("the message is longer than message_bytes_max")]
    TooLong,
    /// The connection is in `rooms_max` rooms.
    #[error("the connection is in too many rooms; leave some, or raise rooms_max")]
    TooManyRooms,
    /// A name without a letter, or of more than `room_name_bytes_max` bytes.
    #[error("a room's name has at least one byte and at most room_name_bytes_max")]
    RoomName,
}

/// What a handler wants done, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Send(Kind, Vec<u8>),
    Join(String),
    Leave(String),
    Publish(String, Kind, Vec<u8>),
    Close(CloseCode, Cow<'static, str>),
    /// So many rooms were one too many.
    TooManyRooms(u64),
}

/// What a handler may still want done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) bytes: usize,
    pub(crate) rooms_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) room_name_bytes_max: usize,
}

/// A connection, as its handler sees it. What is wanted is done when the callback returns, in
/// order.
#[derive(Debug)]
pub struct Client<'a> {
    about: Context<'a>,
    rooms: &'a dyn Rooms,
    allowance: Allowance,
    /// The rooms that it will be in, once somebody has asked.
    joined: Option<BTreeSet<String>>,
    /// How often it was to be in more rooms than it may be.
    too_many_rooms: u64,
    actions: Vec<Action>,
}

/// The rooms that a connection is in.
pub(crate) trait Rooms: fmt::Debug {
    /// Their names, in the order in which it joined them.
    fn names(&self) -> Vec<String>;
}

impl<'a> Client<'a> {
    pub(crate) fn new(about: Context<'a>, rooms: &'a dyn Rooms, allowance: Allowance) -> Self {
        let (joined, too_many_rooms, actions) = (None, 0, Vec::new());
        Self { about, rooms, allowance, joined, too_many_rooms, actions }
    }

    pub(crate) fn into_actions(mut self) -> Vec<Action> {
        if self.too_many_rooms > 0 {
            self.actions.push(Action::TooManyRooms(self.too_many_rooms));
        }
        self.actions
    }

    /// Who it is and when this is.
    #[must_use]
    pub fn about(&self) -> &Context<'a> {
        &self.about
    }

    /// The connection's name for a [handle](crate::order::Order), as long as it lives.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.about.connection
    }

    /// What stood in the place of `{room}` in its path; empty for a route without.
    #[must_use]
    pub fn room(&self) -> &'a str {
        self.about.room
    }

    /// Who it is, if whoever let it in has said so.
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        self.about.user
    }

    /// Names of the rooms that it is in or on its way into, in the order in which it joined them.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.rooms.names()
    }

    /// Sends it a text.
    ///
    /// # Errors
    /// If it is too long, or too much was said at once.
    pub fn send_text(&mut self, text: impl Into<String>) -> Result<(), Refused> {
        self.say(Kind::Text, text.into().into_bytes(), Action::Send)
    }

    /// Sends it bytes.
    ///
    /// # Errors
    /// If they are too many, or too much was said at once.
    pub fn send_binary(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Refused> {
        self.say(Kind::Binary, bytes.into(), Action::Send)
    }

    /// It hears a room of the route's namespace from now on; nothing if it does already. Who has
    /// left and joins again begins anew, where the room is on its shard: after a move that may be a
    /// little before where it has heard it.
    ///
    /// # Errors
    /// If the name is no name, or the connection is in too many rooms.
    pub fn join(&mut self, room: impl Into<String>) -> Result<(), Refused> {
        let room = self.name(room.into())?;
        let rooms_max = self.allowance.rooms_max;
        let joined = self.joined();
        if !joined.contains(&room) {
            if joined.len() >= rooms_max {
                self.too_many_rooms += 1;
                return Err(Refused::TooManyRooms);
            }
            joined.insert(room.clone());
            self.actions.push(Action::Join(room));
        }
        Ok(())
    }

    /// It hears the room no more.
    pub fn leave(&mut self, room: impl Into<String>) {
        let room = room.into();
        if self.joined().remove(&room) {
            self.actions.push(Action::Leave(room));
        }
    }

    fn joined(&mut self) -> &mut BTreeSet<String> {
        self.joined.get_or_insert_with(|| self.rooms.names().into_iter().collect())
    }

    /// Says a text in a room of the route's namespace, be the connection in it or not. It hears it
    /// itself only if it is in there and the route includes who sends.
    ///
    /// # Errors
    /// If the name is no name, the text too long, or too much was said at once.
    pub fn publish_text(
        &mut self,
        room: impl Into<String>,
        text: impl Into<String>,
    ) -> Result<(), Refused> {
        let room = self.name(room.into())?;
        let publish = |kind, bytes| Action::Publish(room, kind, bytes);
        self.say(Kind::Text, text.into().into_bytes(), publish)
    }

    /// The same with bytes.
    ///
    /// # Errors
    /// As of [`publish_text`](Self::publish_text).
    pub fn publish_binary(
        &mut self,
        room: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), Refused> {
        let room = self.name(room.into())?;
        let publish = |kind, bytes| Action::Publish(room, kind, bytes);
        self.say(Kind::Binary, bytes.into(), publish)
    }

    /// Closes it after all that was said to it; of the reason 123 bytes are sent.
    pub fn close(&mut self, code: CloseCode, reason: impl Into<Cow<'static, str>>) {
        self.actions.push(Action::Close(code, reason.into()));
    }

    fn name(&self, room: String) -> Result<String, Refused> {
        let fits = (1..=self.allowance.room_name_bytes_max).contains(&room.len());
        if fits { Ok(room) } else { Err(Refused::RoomName) }
    }

    fn say(
        &mut self,
        kind: Kind,
        bytes: Vec<u8>,
        action: impl FnOnce(Kind, Vec<u8>) -> Action,
    ) -> Result<(), Refused> {
        if bytes.len() > self.allowance.message_bytes_max {
            return Err(Refused::TooLong);
        }
        let cost = bytes.len() + SAID_COST_BYTES;
        self.allowance.bytes = self.allowance.bytes.checked_sub(cost).ok_or(Refused::Full)?;
        self.actions.push(action(kind, bytes));
        Ok(())
    }
}

/// What saying something costs beside its payload, so that empty messages are not free.
pub(crate) const SAID_COST_BYTES: usize = 64;
