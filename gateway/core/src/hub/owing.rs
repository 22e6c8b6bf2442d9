//! Members that owe: what is kept for them, for how long, and who goes when it is too much.

use std::cmp::Reverse;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::places::Extra;
use super::{Conn, Hub, MemberPolicy, Role, Stage};
use crate::chunk::{Chunk, Span};
use crate::chunks::{Account, ChunkId};
use crate::close::{self, CloseCode};
use crate::event::CloseReason;
use crate::frame::Opcode;
use crate::hit::Hit;
use crate::outbox::{ITEM_COST_BYTES, Item};
use crate::session::Control;
use crate::slot::Slot;
use crate::time::Now;
use crate::transmit::Part;

/// What having an outbox costs beside its ranges.
const OUTBOX_COST_BYTES: usize = 256;

/// How a refused tail is kept.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Bytes that the kernel took.
    pub(super) sent: usize,
    /// Whether it is whole frames.
    pub(super) framed: bool,
    /// Whether frames that do not fit are dropped.
    pub(super) lossy: bool,
}

impl Hub {
    /// Keeps what the kernel refused of `spans`.
    pub(super) fn keep(&mut self, now: Now, slot: Slot, id: ChunkId, spans: &[Span], how: Kept) {
        self.start_owing(slot);
        let mut sent = how.sent;
        for &span in spans {
            if sent >= span.len() {
                sent -= span.len();
                continue;
            }
            self.push(slot, Item { chunk: id, span, framed: how.framed }, sent as u32, how.lossy);
            sent = 0;
        }
        self.update_interest(slot);
        self.rank(slot);
        let conn = &self.conns[slot.index()];
        let member = matches!(conn.role, Role::Member { .. } | Role::Handled);
        let member = member && conn.stage == Stage::Open;
        if member && !how.lossy && self.is_slow(slot) {
            self.counters.hit(Hit::OutboxBytes);
            self.close_slow(now, slot);
        }
        self.shed(now);
    }

    fn push(&mut self, slot: Slot, mut item: Item, sent: u32, lossy: bool) {
        let policy = self.member_policy(slot);
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        if lossy {
            let chunk = self.chunks.get(item.chunk);
            let beyond = outbox.owed_beyond_first(&self.chunks);
            let room = self.config.limits.outbox_bytes_max.saturating_sub(beyond);
            // Who is to be told of a gap hears nothing until it is.
            let room = if outbox.missed() > 0 { 0 } else { room };
            let (end, dropped) = fitting(chunk, item.span, sent, room, outbox.is_empty());
            if dropped > 0 && policy != MemberPolicy::Lossy {
                let span = Span { start: end, end: item.span.end };
                let latest = (policy == MemberPolicy::Latest).then(|| last_frame(chunk, span));
                let latest = latest.map(|span| Item { span, ..item });
                outbox.miss(dropped, latest, &mut self.chunks);
            }
            item.span.end = end;
            self.counters.dropped += if faults::is(Mutant::DropUncounted) { 0 } else { dropped };
            self.counters.deliveries -= dropped;
        }
        if item.span.len() > sent as usize {
            outbox.push(item, sent, &mut self.chunks);
        }
    }

    /// Bytes that an open connection owes beside the message that is being sent, each range with 32
    /// more: what `outbox_bytes_max` bounds. 0 for one that is closing.
    #[must_use]
    pub fn owed_by(&self, slot: Slot) -> usize {
        let open = self.conn(slot).filter(|conn| conn.stage == Stage::Open);
        let outbox = open.and_then(|conn| conn.outbox.as_ref());
        outbox.map_or(0, |outbox| outbox.owed_beyond_first(&self.chunks))
    }

    /// What becomes of the member if it does not read.
    pub(super) fn member_policy(&self, slot: Slot) -> MemberPolicy {
        let policy = self.route(slot).member_policy.unwrap_or(self.config.member_policy);
        match (policy, self.seat(slot)) {
            // Only who reads lines can be told in a text frame.
            (MemberPolicy::Gap | MemberPolicy::Latest, Some((lane, _)))
                if !self.lanes.lane(lane).encoding.reads_text() =>
            {
                MemberPolicy::Lossy
            }
            (policy, _) => policy,
        }
    }

    /// Whether the member loses frames instead of being closed.
    pub(super) fn is_lossy(&self, slot: Slot) -> bool {
        self.member_policy(slot) != MemberPolicy::Close
    }

    /// Tells a member that it missed something, or the newest of that; whether it did.
    ///
    /// At half of what it may owe, so that a member at its bound is not told of each frame.
    pub(super) fn tell_missed(&mut self, slot: Slot, owed_max: usize) -> bool {
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        if outbox.missed() == 0 || outbox.owed() > owed_max {
            return false;
        }
        let (latest, missed) = outbox.make_up(&mut self.chunks);
        // It was counted as dropped, and is not.
        self.counters.dropped -= u64::from(latest);
        self.counters.deliveries += u64::from(latest);
        if self.member_policy(slot) == MemberPolicy::Gap {
            let mut chunk = Chunk::reusing(self.chunks.buffer());
            chunk.push_frame(Opcode::Text, gap(missed).as_bytes());
            let (span, account) = (chunk.whole(), self.conns[slot.index()].account());
            let id = self.chunks.hold(chunk, account);
            let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
            outbox.push(Item { chunk: id, span, framed: true }, 0, &mut self.chunks);
            self.chunks.settle(id);
        }
        true
    }

    pub(super) fn start_owing(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        if conn.owes() {
            return;
        }
        conn.outbox = Some(self.scratch.outboxes.take());
        self.chunks.charge(conn.account(), OUTBOX_COST_BYTES);
        self.mark_owing(slot, true);
    }

    /// In all of its lanes what is said to it is queued, or sent again.
    fn mark_owing(&mut self, slot: Slot, owes: bool) {
        let Self { conns, lanes, extras, .. } = self;
        if let Role::Member { lane, seat } = conns[slot.index()].role {
            lanes.lane_mut(lane).mark_owing(seat, owes);
        }
        for (lane, seat) in extras.get(&slot).into_iter().flat_map(Extra::seats) {
            lanes.lane_mut(lane).mark_owing(seat, owes);
        }
    }

    /// Takes the outbox away.
    pub(super) fn stop_owing(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let Some(mut outbox) = conn.outbox.take() else { return };
        self.chunks.discharge(conn.account(), OUTBOX_COST_BYTES);
        self.mark_owing(slot, false);
        self.debts.remove(&(outbox.ranked, Reverse(slot)));
        outbox.clear(&mut self.chunks);
        self.scratch.outboxes.give_back(outbox);
    }

    /// Notes how much a connection owes to rooms. What it pays later is noted when it matters.
    pub(super) fn rank(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let Some(outbox) = conn.outbox.as_mut().filter(|_| !conn.echoes) else { return };
        self.debts.remove(&(outbox.ranked, Reverse(slot)));
        outbox.ranked = outbox.owed();
        self.debts.insert((outbox.ranked, Reverse(slot)));
    }

    /// The outbox is empty: the connection goes on as before, or winds up.
    pub(super) fn debt_paid(&mut self, slot: Slot) {
        self.stop_owing(slot);
        self.update_interest(slot);
        if self.conns[slot.index()].stage == Stage::Closing {
            self.wind_up(slot);
        }
    }

    /// What is taken is a sign of life, and a goodbye may take as long as it goes on.
    pub(super) fn progress(&mut self, now: Now, slot: Slot) {
        let close_secs = self.config.limits.close_secs.max(1);
        let draining = self.is_draining();
        let conn = &mut self.conns[slot.index()];
        conn.heard = now.tick();
        let bounded = conn.reason == Some(CloseReason::Slow) || conn.refused.is_some() || draining;
        if conn.stage == Stage::Closing && !bounded {
            self.deadlines.set(slot, now.tick().after_secs(close_secs));
        }
    }

    /// Answers a ping. Who does not read its answers is owed the latest one only.
    pub(super) fn pong(&mut self, slot: Slot, control: &Control) {
        match &mut self.conns[slot.index()].outbox {
            Some(outbox) => outbox.pong = Some(Box::new(control.clone())),
            None => self.direct_frame(slot, Opcode::Pong, control.as_slice()),
        }
    }

    /// Puts the pong that is owed behind the frame that is half sent. Whether the connection still
    /// owes: it may have been the one too much.
    pub(super) fn queue_pong(&mut self, now: Now, slot: Slot) -> bool {
        let conn = &mut self.conns[slot.index()];
        let account = conn.account();
        let outbox = conn.outbox.as_mut().expect("it owes");
        let Some(control) = outbox.pong.take().filter(|_| conn.stage == Stage::Open) else {
            return true;
        };
        let mut chunk = Chunk::reusing(self.chunks.buffer());
        chunk.push_frame(Opcode::Pong, control.as_slice());
        let span = chunk.whole();
        let id = self.chunks.hold(chunk, account);
        outbox.push_next(Item { chunk: id, span, framed: true }, &mut self.chunks);
        self.chunks.settle(id);
        self.rank(slot);
        self.shed(now);
        self.conn(slot).is_some_and(Conn::owes)
    }

    /// Stops or resumes reading from all echoes, by what they owe together.
    pub(super) fn pace_echoes(&mut self) {
        let owed = self.chunks.charged(Account::Echoes);
        let bytes_max = self.config.limits.echo_outbox_bytes_max;
        let paused = if self.echoes_paused { owed > bytes_max / 2 } else { owed > bytes_max };
        if paused == self.echoes_paused {
            return;
        }
        self.echoes_paused = paused;
        if paused {
            self.counters.hit(Hit::EchoOutboxBytes);
        }
        // All of them, but only after half of the budget has come or gone.
        for index in 0..self.conns.len() {
            if self.conns[index].echoes {
                self.update_interest(Slot::from(index));
            }
        }
    }

    /// Whether a member owes more than it may.
    fn is_slow(&self, slot: Slot) -> bool {
        // Who loses what its room says still owes what only it is told, such as pings.
        let times = if self.is_lossy(slot) { 2 } else { 1 };
        let bytes_max = self.config.limits.outbox_bytes_max.saturating_mul(times);
        let outbox = self.conns[slot.index()].outbox.as_ref();
        outbox.is_some_and(|outbox| {
            outbox.owed() > bytes_max && outbox.owed_beyond_first(&self.chunks) > bytes_max
        })
    }

    /// Completes the half-sent frame, drops the rest, and says 1013.
    fn close_slow(&mut self, now: Now, slot: Slot) {
        self.begin_closing(now, slot, CloseReason::Slow);
        let mut chunk = Chunk::reusing(self.chunks.buffer());
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        sometimes!(SlowMidFrame, outbox.is_within_frame());
        outbox.keep_half_frame(&mut self.chunks);
        // A small rest is copied, so that it does not keep a whole turn's chunk alive.
        let mut parts = Vec::new();
        outbox.parts(&self.chunks, usize::MAX, &mut parts);
        if parts.iter().map(Part::len).sum::<usize>() <= self.config.limits.cork_bytes_max
            && parts.iter().all(|part| matches!(part, Part::Bytes(_)))
        {
            for part in &parts {
                if let Part::Bytes(bytes) = part {
                    chunk.push_raw(|buf| buf.extend_from_slice(bytes));
                }
            }
            drop(parts);
            outbox.clear(&mut self.chunks);
        }
        let last_word = close::payload(CloseCode::TRY_LATER, &self.hints.reason("slow"));
        chunk.push_frame(Opcode::Close, last_word.as_slice());
        let span = chunk.whole();
        let id = self.chunks.hold(chunk, Account::Rooms);
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        outbox.push(Item { chunk: id, span, framed: false }, 0, &mut self.chunks);
        self.chunks.settle(id);
        self.conns[slot.index()].said_goodbye = true;
        self.update_interest(slot);
        self.rank(slot);
    }

    /// Keeps the shard's budget: who owes most is closed, and cut if that was not enough.
    ///
    /// Echoes have a budget of their own, at which they are not read from.
    pub(super) fn shed(&mut self, now: Now) {
        let bytes_max = self.config.limits.shard_outbox_bytes_max;
        if faults::is(Mutant::BudgetIgnored) {
            return;
        }
        while self.chunks.charged(Account::Rooms) > bytes_max {
            let Some(&(ranked, Reverse(most))) = self.debts.last() else { return };
            let conn = &self.conns[most.index()];
            let owed = conn.outbox.as_ref().expect("who is ranked owes").owed();
            match conn.stage {
                _ if owed < ranked => self.rank(most),
                Stage::Open => {
                    self.counters.hit(Hit::ShardOutboxBytes);
                    self.close_slow(now, most);
                }
                Stage::Free
                | Stage::Upgrading
                | Stage::Joining
                | Stage::Closing
                | Stage::Lingering => {
                    self.counters.cut += 1;
                    self.counters.hit(Hit::ShardOutboxBytes);
                    self.release(most, CloseReason::Slow);
                }
            }
        }
    }
}

/// What a member is told that missed so many messages.
pub(super) fn gap(missed: u64) -> String {
    format!("{{\"type\":\"gap\",\"missed\":{missed}}}")
}

/// The last frame of a span of at least one.
fn last_frame(chunk: &Chunk, span: Span) -> Span {
    let (mut start, mut end) = (span.start, chunk.frame_end(span.start));
    while end < span.end {
        (start, end) = (end, chunk.frame_end(end));
    }
    Span { start, end }
}

/// How much of a span of frames fits into `room`, and how many frames do not.
///
/// The frame of which `sent` bytes are gone does not count, nor the first one of all.
fn fitting(chunk: &Chunk, span: Span, sent: u32, room: usize, first: bool) -> (u32, u64) {
    let begin = span.start + sent;
    let mut end = chunk.boundary(span.start, begin);
    if first && end == begin {
        end = chunk.frame_end(end);
    }
    let exempt = end;
    let mut dropped = 0;
    let mut at = end;
    while at < span.end {
        at = chunk.frame_end(at);
        if dropped == 0 && (at - exempt) as usize + ITEM_COST_BYTES <= room {
            end = at;
        } else {
            dropped += 1;
        }
    }
    (end, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_whole_frames_and_always_the_half_sent_one() {
        let mut chunk = Chunk::default();
        for text in [b"one", b"two", b"six"] {
            chunk.push_frame(Opcode::Text, text); // five bytes each
        }
        let span = chunk.whole();
        let fit = |sent, room, first| fitting(&chunk, span, sent, room, first);
        assert_eq!(fit(0, 0, false), (0, 3));
        assert_eq!(fit(0, 0, true), (5, 2));
        assert_eq!(fit(7, 0, true), (10, 1));
        assert_eq!(fit(7, ITEM_COST_BYTES + 5, true), (15, 0), "the half-sent one is free");
        assert_eq!(fit(0, ITEM_COST_BYTES + 10, false), (10, 1));
        assert_eq!(fit(0, ITEM_COST_BYTES + 14, false), (10, 1));
        assert_eq!(fit(0, ITEM_COST_BYTES + 15, false), (15, 0));
    }
}
