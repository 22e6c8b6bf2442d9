//! A connection outside of its hub: all that another shard needs to go on with it.

use std::sync::Arc;

use crate::chunk::Chunk;
use crate::deflate::{Agreement, Window};
use crate::encoding::Encoding;
use crate::envelope::{Pin, RoomName};
use crate::frame::Kind;
use crate::hub::Known;
use crate::id::Author;
use crate::order::ConnectionId;
use crate::position::Position;
use crate::route::RouteId;
use crate::session::{Control, Session};

/// A connection between two hubs. Its socket travels beside it.
///
/// Times are relative, and nothing refers to the shard it was frozen on, so that it can be thawed
/// on any, also of a later program that knows its [`VERSION`](Self::VERSION).
#[derive(Debug)]
pub struct Frozen {
    pub(crate) version: u16,
    pub(crate) author: Author,
    /// By which route it came.
    pub(crate) route: RouteId,
    /// How it is called, if it chats.
    pub(crate) name: Option<Arc<str>>,
    /// Who it is, and the rooms that it was put into beside its own.
    pub(crate) known: Known,
    /// Its room, or nothing for an echo, and where a handler serves it.
    pub(crate) room: Option<RoomName>,
    pub(crate) encoding: Encoding,
    /// How its messages may be deflated, and what they may refer to.
    pub(crate) agreement: Option<Agreement>,
    pub(crate) window: Option<Window>,
    /// The message that was being inflated. What came behind it is the rest.
    pub(crate) unread: Option<Unread>,
    /// Up to where it heard its room; nothing if it was not a member yet.
    pub(crate) since: Option<Position>,
    pub(crate) pin: Option<Pin>,
    /// The answer to its upgrade request, if that is still to be given.
    pub(crate) response: Option<Vec<u8>>,
    /// What came behind its request and was not understood yet.
    #[expect(clippy::box_collection, reason = "as a connection keeps it")]
    pub(crate) rest: Option<Box<Vec<u8>>>,
    /// What is half received.
    pub(crate) session: Session,
    /// What it is owed: the rest of what is half sent, whole frames, and a pong.
    pub(crate) begun: Chunk,
    pub(crate) owed: Chunk,
    pub(crate) pong: Option<Box<Control>>,
    /// Ticks since it was last heard.
    pub(crate) silent: u32,
    pub(crate) pinged: bool,
    /// It moved because its room is small, which happens once.
    pub(crate) settled: bool,
}

/// A message that came whole and is to be inflated from its first byte on.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) kind: Kind,
    pub(crate) deflated: Vec<u8>,
}

impl Frozen {
    /// What this program writes and understands.
    pub const VERSION: u16 = 4;

    /// Its name, wherever it goes. One that was not answered yet is given another.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        ConnectionId::new(self.author)
    }

    /// Whether its client was answered, and messages may flow.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.response.is_none()
    }

    /// Makes it stay where it is thawed next.
    pub fn settle(&mut self) {
        self.settled = true;
    }
}
