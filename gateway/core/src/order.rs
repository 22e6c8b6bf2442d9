//! Orders: what a program that uses the gateway wants done with connections and rooms.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::close::CloseCode;
use crate::envelope::RoomName;
use crate::frame::Kind;
use crate::id::{Author, ShardId};

/// Names a connection as long as it lives, on whichever shard. No other one is ever called so.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(Author);

impl ConnectionId {
    pub(crate) fn new(author: Author) -> Self {
        Self(author)
    }

    pub(crate) fn author(self) -> Author {
        self.0
    }

    /// The shard that accepted it, where it is as long as it has not moved. None for one that
    /// nobody accepted.
    #[must_use]
    pub fn birthplace(self) -> Option<ShardId> {
        self.0.birthplace().map(|(shard, _)| shard)
    }
}

impl Default for ConnectionId {
    /// The name of no connection.
    fn default() -> Self {
        Self(Author::NOBODY)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.to_bits())
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

/// Whom an order is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum To {
    /// This connection; nobody if it has gone.
    Connection(ConnectionId),
    /// All open connections of this user, as whoever let them in has called it.
    User(Arc<str>),
    /// All open connections.
    Everyone,
}

/// What is sent or published: cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Content {
    /// Text or binary.
    pub kind: Kind,
    /// The payload.
    pub bytes: Bytes,
}

impl Content {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: Kind::Text, bytes: Bytes::from(text.into()) }
    }

    /// Whether it is what it says: a text is UTF-8.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.kind == Kind::Binary || std::str::from_utf8(&self.bytes).is_ok()
    }

    /// Bytes.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Binary, bytes: bytes.into() }
    }
}

/// Something to be done, told to [`Hub::handle`](crate::hub::Hub::handle).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// They are sent a message, each by itself; those of `weir.chat.v1` as a notice. Echoes, which
    /// hear themselves alone, and probes are sent nothing.
    Send(To, Content),
    /// They hear a room beside what they hear already. Echoes, and who is closing, do not.
    Join(To, RoomName),
    /// They hear the room no more. The room of a connection's own path stays.
    Leave(To, RoomName),
    /// They are closed with this code and this reason, of which 123 bytes are sent.
    Close(To, CloseCode, Arc<str>),
    /// A room is told something by nobody of its members.
    Publish(RoomName, Content),
}

impl Order {
    /// Whom it is about; a room if nobody.
    #[must_use]
    pub fn to(&self) -> Option<&To> {
        match self {
            Self::Send(to, _) | Self::Join(to, _) | Self::Leave(to, _) | Self::Close(to, ..) => {
                Some(to)
            }
            Self::Publish(..) => None,
        }
    }

    /// Bytes of payload that it brings.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Send(_, content) | Self::Publish(_, content) => content.bytes.len(),
            Self::Close(_, _, reason) => reason.len(),
            Self::Join(..) | Self::Leave(..) => 0,
        }
    }

    /// Whether it brings none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
