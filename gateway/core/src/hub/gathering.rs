//! Rooms whose words wait a moment for more, so that a member gets several messages in one send.
//!
//! The first words after a pause leave at once and open a window; what follows within it waits for
//! its end, and so leaves together. Only what lanes say waits: whatever is for one connection does
//! not, and so may come before what its room said a moment earlier.

use std::collections::BTreeMap;

use gateway_faults::buggify;

use super::conn::Conn;
use super::places::Extra;
use super::rounds::Mail;
use super::{Hub, Role};
use crate::chunk::{Chunk, Span};
use crate::lanes::LaneId;
use crate::slot::Slot;
use crate::time::{Now, Tick};

/// Microseconds of [`Config::coalesce_micros`](super::Config::coalesce_micros), at most: 10 ms more
/// are seen by people who type together.
pub const COALESCE_MICROS_MAX: u32 = 10_000;

/// Bytes of a lane that leave whatever its window says: in a send of so many the call itself is no
/// longer what costs.
pub(crate) const GATHERED_BYTES_MAX: u32 = 64 << 10;

/// The lanes of a shard whose words wait.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// How long a window is; 0 if nothing waits.
    nanos: u64,
    /// Bytes that wait, by when they leave, and where.
    waiting: BTreeMap<(Now, LaneId), u32>,
    bytes: usize,
    /// Where in what the program sends next the words are that waited in a lane, for those who
    /// have left it since.
    copies: BTreeMap<LaneId, u32>,
}

impl Gathering {
    pub(super) fn new(micros: u32) -> Self {
        assert!(micros <= COALESCE_MICROS_MAX, "coalesce_micros is at most {COALESCE_MICROS_MAX}");
        Self { nanos: u64::from(micros) * 1_000, ..Self::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.nanos > 0
    }

    /// When the next ones leave.
    pub(super) fn next(&self) -> Now {
        self.waiting.first_key_value().map_or(Tick::NEVER.start(), |(&(leaves, _), _)| leaves)
    }

    fn insert(&mut self, leaves: Now, id: LaneId, bytes: u32) {
        self.bytes += bytes as usize;
        let before = self.waiting.insert((leaves, id), bytes);
        assert!(before.is_none(), "a lane waits once");
    }

    fn remove(&mut self, leaves: Now, id: LaneId) {
        let bytes = self.waiting.remove(&(leaves, id)).expect("a lane that waits is known");
        self.bytes -= bytes as usize;
    }
}

impl Hub {
    /// Whether what was said to a room waits for more; then [`poll_timeout`](Self::poll_timeout)
    /// is no later than the moment it leaves.
    #[must_use]
    pub fn has_words_waiting(&self) -> bool {
        !self.gathering.waiting.is_empty()
    }

    /// Before a round begins: has lanes wait whose window is open, and others no longer.
    pub(super) fn hold_back(&mut self, now: Now) {
        if !self.gathering.is_on() {
            return;
        }
        // Who is about to say goodbye, or to go on elsewhere, is not kept waiting for more.
        let leaves_all = self.drain.is_some() || self.evacuating.is_some();
        while let Some((&(leaves, id), _)) = self.gathering.waiting.first_key_value()
            && (leaves <= now || leaves_all)
        {
            self.queue_lane(id);
        }
        if leaves_all {
            return;
        }
        let mut lanes = std::mem::take(&mut self.pending.lanes);
        lanes.retain(|&id| !self.holds(now, id));
        self.pending.lanes = lanes;
    }

    /// Whether the lane is to wait, as it does from here on.
    fn holds(&mut self, now: Now, id: LaneId) -> bool {
        let lane = self.lanes.lane_mut(id);
        let (leaves, bytes) = (lane.window.ends, lane.filling.len());
        let waits = now < leaves
            && !buggify!(GatheringFull)
            && !lane.window.hurries
            && !lane.owes()
            && bytes < GATHERED_BYTES_MAX
            && self.gathering.bytes + bytes as usize <= self.config.limits.turn_bytes_max;
        if waits {
            lane.queued = false;
            (lane.window.waits, lane.window.waited) = (true, bytes);
            self.gathering.insert(leaves, id, bytes);
        }
        waits
    }

    /// The lane waits no longer, since more was said or it has to leave.
    #[cold]
    pub(super) fn stop_waiting_for_more(&mut self, id: LaneId) {
        let window = &mut self.lanes.lane_mut(id).window;
        window.waits = false;
        self.gathering.remove(window.ends, id);
    }

    /// What was copied for those who left is on its way.
    pub(super) fn forget_copies(&mut self) {
        self.gathering.copies.clear();
    }

    /// A lane takes off: what is said next waits, unless a window is open that ends earlier.
    pub(super) fn open_window(&mut self, now: Now, id: LaneId) {
        let window = &mut self.lanes.lane_mut(id).window;
        self.counters.coalesced += u64::from(window.waited > 0);
        (window.waited, window.hurries) = (0, false);
        if window.ends <= now {
            window.ends = Now(now.0.saturating_add(self.gathering.nanos));
        }
    }

    /// What the lane has to say leaves in the next round.
    pub(super) fn hurry(&mut self, id: LaneId) {
        let lane = self.lanes.lane_mut(id);
        lane.window.hurries = lane.queued || lane.window.waits;
        if lane.window.waits {
            self.queue_lane(id);
        }
    }

    /// Hurries what waits in the rooms of a connection; whether anything is still to be said there,
    /// be it that somebody else has hurried it.
    pub(super) fn hurry_rooms_of(&mut self, slot: Slot) -> bool {
        if !self.gathering.is_on() {
            return false;
        }
        let Self { conns, extras, lanes, .. } = self;
        let waits = |id: &LaneId| lanes.lane(*id).queued || lanes.lane(*id).window.waits;
        let places = extras.get(&slot).into_iter().flat_map(Extra::seats).map(|(id, _)| id);
        let rooms = own_lane(&conns[slot.index()]).into_iter().chain(places);
        let waiting: Vec<LaneId> = rooms.filter(waits).collect();
        waiting.iter().for_each(|&id| self.hurry(id));
        !waiting.is_empty()
    }

    /// Who leaves a room but stays here is sent by itself what waited there: all of them from one
    /// copy, since a program may take a crowd out of its room.
    pub(super) fn send_what_waited(&mut self, slot: Slot, id: LaneId) {
        let waited = self.lanes.lane(id).window.waited;
        if waited == 0 {
            return;
        }
        let mut spans = std::mem::take(&mut self.scratch.spans);
        spans.clear();
        self.lanes.lane(id).spans_up_to(waited, slot, &mut spans);
        // A copy that nobody is sent would begin no round, and be another's when more has waited.
        if spans.is_empty() {
            self.scratch.spans = spans;
            return;
        }
        let start = self.copy_what_waited(id);
        let lane = self.lanes.lane(id);
        let generation = self.conns[slot.index()].generation;
        for Span { start: from, end } in spans.drain(..) {
            self.counters.deliveries += frames_in(&lane.filling, from, end);
            let span = Span { start: start + from, end: start + end };
            self.pending.order_mails.push(Mail { slot, generation, span, framed: true });
        }
        self.scratch.spans = spans;
    }

    /// Copies what waited in a lane to what the program sends next, once; where it begins there.
    fn copy_what_waited(&mut self, id: LaneId) -> u32 {
        if let Some(&start) = self.gathering.copies.get(&id) {
            return start;
        }
        if self.pending.orders.is_bare() {
            self.pending.orders = Chunk::reusing(self.chunks.buffer());
        }
        let start = self.pending.orders.len();
        let lane = self.lanes.lane(id);
        self.pending.orders.append(&lane.filling, Span { start: 0, end: lane.window.waited });
        self.gathering.copies.insert(id, start);
        start
    }
}

/// Frames of a chunk from the start of one to the end of another.
fn frames_in(chunk: &Chunk, mut at: u32, end: u32) -> u64 {
    let mut frames = 0;
    while at < end {
        at = chunk.frame_end(at);
        frames += 1;
    }
    frames
}

fn own_lane(conn: &Conn) -> Option<LaneId> {
    match conn.role {
        Role::Member { lane, .. } => Some(lane),
        Role::Waiting { .. } | Role::Handled | Role::Echo | Role::Nothing => None,
    }
}
