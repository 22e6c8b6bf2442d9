//! What happens to a shard, and what a shard asks for.

use std::sync::Arc;

use crate::close::CloseCode;
use crate::dispatch::{Answer, Inquiry};
use crate::envelope::{Command, Delivery};
use crate::frozen::Frozen;
use crate::handshake::Secret;
use crate::hit::Hit;
use crate::id::ShardId;
use crate::order::Order;
use crate::route::RouteId;
use crate::slot::Slot;

/// Something that happened, told to [`Hub::handle`](crate::hub::Hub::handle).
///
/// An event for a slot whose connection was released already is ignored.
#[derive(Debug)]
pub enum Event<'a> {
    /// A connection was accepted into a free slot.
    Accepted {
        /// Its place.
        slot: Slot,
    },
    /// The same, but the connection is here only to hear that something is full. Whoever was
    /// [accepted](Self::Accepted) already and has not said a whole request yet hears it too.
    Refused {
        /// Its place.
        slot: Slot,
        /// What is full.
        full: Full,
    },
    /// Bytes arrived. They are unmasked in place.
    Received {
        /// From whom.
        slot: Slot,
        /// What arrived, at least one byte.
        bytes: &'a mut [u8],
    },
    /// The stream ended: the peer sends nothing more.
    Ended {
        /// Whose.
        slot: Slot,
    },
    /// The connection is gone in both directions.
    Broken {
        /// Whose.
        slot: Slot,
    },
    /// The kernel takes bytes for this slot again.
    Writable {
        /// Whose.
        slot: Slot,
    },
    /// The moment that [`Hub::poll_timeout`](crate::hub::Hub::poll_timeout) named has come.
    Tick,
    /// The node goes away: everyone is closed with 1001.
    Drain,
    /// The registry's or the engine's answer to an [`Inquiry`].
    Answer(Answer),
    /// Whether a client is let in, to [`Effect::Authenticate`].
    Authenticated {
        /// Which question.
        ticket: Ticket,
        /// Who it is, if it is let in.
        granted: Option<Grant>,
    },
    /// The program wants something done.
    Order(Order),
    /// From another shard to a home here.
    Command(Command),
    /// From a home on another shard.
    Delivery(Delivery),
    /// A connection that was frozen goes on here, in a free slot.
    Thawed {
        /// Its place.
        slot: Slot,
        /// All that is known of it.
        frozen: Box<Frozen>,
    },
    /// A connection is to move to another shard. It goes when nothing of it is under way;
    /// one that is closing stays.
    Move {
        /// Which.
        slot: Slot,
        /// To where.
        to: ShardId,
    },
    /// Some of the homes here are to move to another shard, those that can at once.
    Migrate {
        /// To where.
        to: ShardId,
        /// How many at most.
        homes_max: usize,
    },
    /// Everything is to move to these shards, by turns. New connections follow as they come.
    Evacuate {
        /// At least one other shard.
        to: Vec<ShardId>,
    },
    /// As [`Evacuate`](Self::Evacuate), but connections do not move: they are closed with 1001 as
    /// in a drain, within `drain_secs`, and so are those that come. Homes move, for their rooms
    /// have members elsewhere.
    Dismiss {
        /// At least one other shard.
        to: Vec<ShardId>,
    },
}

/// What has no room for a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// The node: the client hears 503.
    Node,
    /// What its source may have: it hears 429.
    Source,
    /// How often its source may come: it hears 429.
    SourceRate,
}

impl Full {
    /// Under which name it is counted.
    pub(crate) fn hit(self) -> Hit {
        match self {
            Self::Node => Hit::Connections,
            Self::Source => Hit::SourceConnections,
            Self::SourceRate => Hit::SourceRate,
        }
    }
}

/// Something the driver must do, from [`Hub::poll_effect`](crate::hub::Hub::poll_effect).
#[derive(Debug)]
pub enum Effect {
    /// Report this readiness for the slot from now on.
    Interest {
        /// Whose.
        slot: Slot,
        /// Bytes to read, or the end.
        read: bool,
        /// Room to write.
        write: bool,
    },
    /// Half-close: all was said, and what was sent must still arrive.
    Shutdown {
        /// Whose.
        slot: Slot,
    },
    /// The connection is over; its slot is free. Said exactly once for each accepted one.
    Release {
        /// Whose.
        slot: Slot,
        /// Why.
        reason: CloseReason,
    },
    /// The connection goes on at another shard; its slot is free. The driver takes the socket out
    /// and hands it over with this; if the other shard is full, it says [`Event::Thawed`] here.
    Ship {
        /// Whose.
        slot: Slot,
        /// To where.
        to: ShardId,
        /// All that is known of it.
        frozen: Box<Frozen>,
    },
    /// A client shows a token: is it let in? Answered by [`Event::Authenticated`], at once or
    /// within `handshake_secs`; later it has heard 503.
    Authenticate {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What it wants to be let in to.
        route: RouteId,
        /// What it shows.
        token: Secret,
    },
    /// A question to the registry or the engine. A hub that is alone answers itself.
    Inquire(Inquiry),
}

/// Names a client that waits to be let in. It never names another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
}

/// A client is let in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// Who it is, for orders that name a user, and its name where people chat, unless it asks for
    /// another.
    pub user: Option<Arc<str>>,
}

/// Why a connection ended. The first reason that applies is the one that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// The peer closed, with this code if it gave one.
    Peer(Option<CloseCode>),
    /// The stream ended without a close frame.
    Ended,
    /// The connection broke.
    Reset,
    /// The peer broke the protocol or a limit of it and was told this code.
    Protocol(CloseCode),
    /// It did not read fast enough and was closed with 1013.
    Slow,
    /// Unfinished messages filled the shard's memory for them; it was closed with 1013.
    Inbound,
    /// It gave no answer to a ping.
    NoPong,
    /// The node went away; it was closed with 1001.
    Drained,
    /// It got an HTTP response instead of an upgrade, with this status.
    Answered(u16),
    /// No complete upgrade request came in time.
    HandshakeTimeout,
    /// The shard was so full that it could not even say so.
    Overloaded,
    /// It missed messages of its room that nobody remembers; it was closed with 1013.
    Gap,
    /// Its route's middleware or handler panicked; it was closed with 1011.
    Panic,
    /// It sent more than its route's rate allows; it was closed with 1008.
    Flood,
    /// The program closed it with this code.
    Told(CloseCode),
}

impl CloseReason {
    /// All names, in the order of [`index`](Self::index).
    pub const NAMES: [&'static str; 15] = [
        "peer",
        "ended",
        "reset",
        "protocol",
        "slow",
        "inbound",
        "no_pong",
        "drained",
        "answered",
        "handshake_timeout",
        "overloaded",
        "gap",
        "panic",
        "flood",
        "told",
    ];

    /// Which row of the counters this is.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Peer(_) => 0,
            Self::Ended => 1,
            Self::Reset => 2,
            Self::Protocol(_) => 3,
            Self::Slow => 4,
            Self::Inbound => 5,
            Self::NoPong => 6,
            Self::Drained => 7,
            Self::Answered(_) => 8,
            Self::HandshakeTimeout => 9,
            Self::Overloaded => 10,
            Self::Gap => 11,
            Self::Panic => 12,
            Self::Flood => 13,
            Self::Told(_) => 14,
        }
    }

    /// A stable name for logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}
