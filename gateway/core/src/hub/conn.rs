//! One connection's state: small, and only what is needed while nothing happens.

use super::receive::Accepted;
use crate::chunks::Account;
use crate::deflate::Agreement;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::Pin;
use crate::event::{CloseReason, Full};
use crate::id::{Author, ShardId};
use crate::lanes::LaneId;
use crate::outbox::Outbox;
use crate::position::Position;
use crate::route::RouteId;
use crate::session::Session;
use crate::time::{Now, Tick};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// The slot is free.
    Free,
    /// The upgrade request is being received.
    Upgrading,
    /// The request is good; it is answered when the room is heard.
    Joining,
    /// Messages flow.
    Open,
    /// A close frame or an HTTP response is on its way out; nothing else will be sent.
    Closing,
    /// All is said and the stream half-closed; waiting for the peer's end.
    Lingering,
}

/// What serves the connection once it is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Nothing,
    Echo,
    /// A handler of the program, which may put it into rooms.
    Handled,
    /// It will be a member when the room is heard, from where it has to be heard.
    Waiting {
        room: RoomKey,
    },
    Member {
        lane: LaneId,
        seat: u32,
    },
}

/// A connection, or a free slot. An idle one holds no heap memory.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) outbox: Option<Box<Outbox>>,
    /// The upgrade request, as long as it is incomplete; then what came and has to wait.
    #[expect(clippy::box_collection, reason = "eight bytes while idle, not twenty-four")]
    pub(super) head: Option<Box<Vec<u8>>>,
    pub(super) role: Role,
    /// Whose messages it publishes.
    pub(super) author: Author,
    /// Where it is going, if it is joining a room or leaving the shard.
    pub(super) transit: Option<Box<Transit>>,
    /// Its messages that are on their way to a home.
    pub(super) unanswered: u32,
    /// When bytes last came.
    pub(super) heard: Tick,
    /// When the rate of control frames has allowed all that it sent.
    pub(super) controls: Now,
    /// Counts the slot's connections, so that a late word never reaches a stranger.
    pub(super) generation: u32,
    pub(super) reason: Option<CloseReason>,
    pub(super) stage: Stage,
    /// By which route it came.
    pub(super) route: RouteId,
    /// How its messages may be deflated, if they may.
    pub(super) agreement: Option<Agreement>,
    /// It is only here to hear what is full.
    pub(super) refused: Option<Full>,
    /// A ping was sent after the last sign of life.
    pub(super) pinged: bool,
    /// A close frame, or the last byte there will be, is in the socket or the outbox.
    pub(super) said_goodbye: bool,
    /// The peer's close frame came.
    pub(super) heard_goodbye: bool,
    /// What still arrives makes no sense and is dropped unread.
    pub(super) deaf: bool,
    /// The peer's stream has ended.
    pub(super) ended: bool,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Whether it was opened as an echo, which it stays when it closes.
    pub(super) echoes: bool,
    /// Its room's messages wait for a ring: it is not read from.
    pub(super) stalled: bool,
    /// It sends more than it may: it is not read from for a while.
    pub(super) slowed: bool,
    /// What it said waits to be inflated: it is not read from until its turn comes.
    pub(super) put_off: bool,
    /// Its route has middleware or a handler.
    pub(super) edged: bool,
    /// Its handler was told that it is open, and is to be told when it has gone.
    pub(super) greeted: bool,
}

/// What is only needed while a connection is on its way.
#[derive(Debug)]
pub(super) enum Transit {
    /// Somebody was asked whether it is let in.
    Asking(Accepted),
    Joining(Joining),
    Leaving(Leaving),
}

/// On its way into a room.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) encoding: Encoding,
    /// The answer to its request, until it is given.
    pub(super) response: Option<Vec<u8>>,
    /// Where it was, if it wants to go on from there.
    pub(super) since: Option<Position>,
    pub(super) pin: Option<Pin>,
    /// It joins here wherever the room's home is.
    pub(super) stays: bool,
}

/// On its way to another shard.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) to: ShardId,
    /// Keeps its room's past while it is between the two.
    pub(super) pin: Option<Pin>,
    pub(super) pinned: bool,
}

impl Conn {
    /// A free slot of the given generation.
    pub(super) fn free(generation: u32) -> Self {
        Self {
            session: Session::default(),
            outbox: None,
            head: None,
            role: Role::Nothing,
            author: Author::NOBODY,
            transit: None,
            unanswered: 0,
            heard: Tick(0),
            controls: Now(0),
            generation,
            reason: None,
            stage: Stage::Free,
            route: RouteId::default(),
            agreement: None,
            refused: None,
            pinged: false,
            said_goodbye: false,
            heard_goodbye: false,
            deaf: false,
            ended: false,
            reads: true,
            writes: false,
            echoes: false,
            stalled: false,
            slowed: false,
            put_off: false,
            edged: false,
            greeted: false,
        }
    }

    pub(super) fn joining(&mut self) -> Option<&mut Joining> {
        match self.transit.as_deref_mut() {
            Some(Transit::Joining(joining)) => Some(joining),
            Some(Transit::Asking(_) | Transit::Leaving(_)) | None => None,
        }
    }

    pub(super) fn leaving(&mut self) -> Option<&mut Leaving> {
        match self.transit.as_deref_mut() {
            Some(Transit::Leaving(leaving)) => Some(leaving),
            Some(Transit::Asking(_) | Transit::Joining(_)) | None => None,
        }
    }

    /// Another seat in the same lane, after the one who sat there left.
    pub(super) fn sit(&mut self, lane: LaneId, seat: u32) {
        self.role = Role::Member { lane, seat };
    }

    /// Bytes of memory held for an incomplete request.
    pub(super) fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.capacity())
    }

    /// Whose budget its debts are charged to.
    pub(super) fn account(&self) -> Account {
        if self.echoes { Account::Echoes } else { Account::Rooms }
    }

    pub(super) fn owes(&self) -> bool {
        self.outbox.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fits_into_two_cache_lines() {
        assert!(size_of::<Conn>() <= 104, "{}", size_of::<Conn>());
    }
}
