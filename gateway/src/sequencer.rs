//! Who gives a room's messages their offsets, if not the node itself: the seam for engines that
//! several nodes share.

use std::fmt;

use gateway_core::dispatch;
use gateway_core::envelope::{RoomName, Term};
use gateway_core::id::ShardId;

pub use gateway_core::position::Offset;

/// Gives messages their places.
///
/// Asked on the worker's thread of the room's home, within a turn: it does not wait. What takes
/// longer is answered later, by [`Handle::place`](crate::handle::Handle::place), in any order.
/// Without one, each room's home counts by itself. If it panics, the message is refused.
pub trait Sequencer: fmt::Debug + Send + Sync {
    /// The place of a message.
    fn sequence(&self, ask: &Ask<'_>) -> Placed;
}

/// A message that wants a place.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The room it is for.
    pub room: &'a RoomName,
    /// What a later answer names.
    pub ticket: Ticket,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placed {
    /// Behind its predecessor, with an offset that is greater; both from
    /// [`Offset::START`] on, where nothing is. Offsets may have holes, but what names a
    /// predecessor waits for that one.
    At {
        /// The offset of the message before it.
        prev: Offset,
        /// Its own.
        offset: Offset,
    },
    /// Nowhere: it is not said. So is one whose place cannot be, such as one that is taken.
    Refused,
    /// It is told by [`Handle::place`](crate::handle::Handle::place).
    Later,
}

impl Placed {
    /// What the core is told, unless that comes later.
    pub(crate) fn answer(self, ticket: Ticket) -> Option<dispatch::Answer> {
        let Ticket { term, number, .. } = ticket;
        let place = match self {
            Self::At { prev, offset } => Some((prev, offset)),
            Self::Refused => None,
            Self::Later => return None,
        };
        Some(dispatch::Answer::Sequenced { term, ticket: number, place })
    }
}

/// Names a message that waits for its place. It never names another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    pub(crate) shard: ShardId,
    pub(crate) term: Term,
    pub(crate) number: u64,
}
