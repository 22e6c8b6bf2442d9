//! What is to be said, in two halves: one that fills while events come, one that is being sent.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::chunk::Span;
use crate::chunks::ChunkId;
use crate::close::CloseCode;
use crate::dispatch::RoomKey;
use crate::lane::Flight;
use crate::lanes::LaneId;
use crate::message::Batch;
use crate::position::Epoch;
use crate::slot::Slot;

/// What events have added since the round began.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Outboxes to try again.
    pub(super) retries: Vec<Slot>,
    /// Bytes for one connection each: responses, echoes, pings and pongs.
    pub(super) direct: Chunk,
    pub(super) mails: Vec<Mail>,
    /// What the program sends, each message to any number of connections.
    pub(super) orders: Chunk,
    pub(super) order_mails: Vec<Mail>,
    /// What members missed; encoded when it is sent, one after the other.
    pub(super) missed: VecDeque<Missed>,
    /// Lanes that have something to say, each once.
    pub(super) lanes: Vec<LaneId>,
    pub(super) farewells: Vec<Farewell>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.retries.is_empty()
            && self.mails.is_empty()
            && self.order_mails.is_empty()
            && self.missed.is_empty()
            && self.lanes.is_empty()
            && self.farewells.is_empty()
    }
}

/// A range of the direct chunk and whom it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mail {
    pub(super) slot: Slot,
    pub(super) generation: u32,
    pub(super) span: Span,
    pub(super) framed: bool,
}

/// What a member missed of its room since it was there last.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) slot: Slot,
    pub(super) generation: u32,
    pub(super) room: RoomKey,
    pub(super) epoch: Epoch,
    pub(super) batch: Arc<Batch>,
}

/// The last word to one connection; without a code it was said already, or cannot be.
#[derive(Clone, Debug)]
pub(super) struct Farewell {
    pub(super) slot: Slot,
    pub(super) generation: u32,
    pub(super) code: Option<CloseCode>,
    pub(super) text: Cow<'static, str>,
}

/// One pass of the flush over what was pending when it began, in this order: outboxes that may
/// go on, direct bytes (a response comes before anything its room says), what the program sends,
/// what was missed, lanes, last words.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) retries: Vec<Slot>,
    pub(super) retried: usize,
    pub(super) direct: Option<ChunkId>,
    pub(super) mails: Vec<Mail>,
    pub(super) mailed: usize,
    pub(super) orders: Option<ChunkId>,
    pub(super) order_mails: Vec<Mail>,
    pub(super) ordered: usize,
    pub(super) missed: VecDeque<Missed>,
    /// Lanes that took off when the round began, and have not landed.
    pub(super) flights: VecDeque<Airborne>,
    pub(super) farewells: Vec<Farewell>,
    pub(super) said: usize,
    pub(super) active: bool,
}

/// A lane's flight, under way or waiting for those before it.
#[derive(Debug)]
pub(super) struct Airborne {
    pub(super) lane: LaneId,
    pub(super) chunk: ChunkId,
    pub(super) flight: Flight,
}

impl Round {
    /// Takes over what is pending; the lists change places, so that their memory is kept.
    pub(super) fn begin(&mut self, pending: &mut Pending) {
        assert!(!self.active, "a round begins when the one before is done");
        self.retries.clear();
        self.mails.clear();
        self.order_mails.clear();
        self.farewells.clear();
        std::mem::swap(&mut self.retries, &mut pending.retries);
        std::mem::swap(&mut self.mails, &mut pending.mails);
        std::mem::swap(&mut self.order_mails, &mut pending.order_mails);
        std::mem::swap(&mut self.missed, &mut pending.missed);
        std::mem::swap(&mut self.farewells, &mut pending.farewells);
        (self.retried, self.mailed, self.ordered, self.said) = (0, 0, 0, 0);
        self.active = true;
    }
}
