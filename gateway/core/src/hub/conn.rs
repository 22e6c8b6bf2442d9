//! One connection's state: small, and only what is needed while nothing happens.

use crate::chunks::Account;
use crate::event::CloseReason;
use crate::outbox::Outbox;
use crate::rooms::LaneId;
use crate::session::Session;
use crate::time::Tick;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// The slot is free.
    Free,
    /// The upgrade request is being received.
    Upgrading,
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
    Member { lane: LaneId, seat: u32 },
}

/// A connection, or a free slot. An idle one holds no heap memory.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) outbox: Option<Box<Outbox>>,
    /// The upgrade request, as long as it is incomplete.
    #[expect(clippy::box_collection, reason = "eight bytes while idle, not twenty-four")]
    pub(super) head: Option<Box<Vec<u8>>>,
    pub(super) role: Role,
    /// When bytes last came.
    pub(super) heard: Tick,
    /// Counts the slot's connections, so that a late word never reaches a stranger.
    pub(super) generation: u32,
    pub(super) reason: Option<CloseReason>,
    pub(super) stage: Stage,
    /// It is beyond `connections_max` and only here to hear so.
    pub(super) refused: bool,
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
}

impl Conn {
    /// A free slot of the given generation.
    pub(super) fn free(generation: u32) -> Self {
        Self {
            session: Session::default(),
            outbox: None,
            head: None,
            role: Role::Nothing,
            heard: Tick(0),
            generation,
            reason: None,
            stage: Stage::Free,
            refused: false,
            pinged: false,
            said_goodbye: false,
            heard_goodbye: false,
            deaf: false,
            ended: false,
            reads: true,
            writes: false,
            echoes: false,
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
        assert!(size_of::<Conn>() <= 80, "{}", size_of::<Conn>());
    }
}
