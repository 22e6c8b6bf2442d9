//! Members that owe: what is kept for them, for how long, and who goes when it is too much.

use super::{Hub, MemberPolicy, Role, Stage};
use crate::chunk::{Chunk, Span};
use crate::chunks::ChunkId;
use crate::close::{self, CloseCode};
use crate::event::CloseReason;
use crate::frame::Opcode;
use crate::outbox::{ITEM_COST_BYTES, Item, Outbox};
use crate::session::Control;
use crate::slot::Slot;
use crate::time::Now;
use crate::transmit::Part;

impl Hub {
    /// Keeps what the kernel refused of `spans`, of whose bytes it took `sent`.
    pub(super) fn keep(
        &mut self,
        now: Now,
        slot: Slot,
        id: ChunkId,
        spans: &[Span],
        mut sent: usize,
        framed: bool,
    ) {
        self.start_owing(slot);
        let conn = &self.conns[slot.index()];
        let member = conn.stage == Stage::Open && matches!(conn.role, Role::Member { .. });
        let lossy = member && framed && self.config.member_policy == MemberPolicy::Lossy;
        for &span in spans {
            if sent >= span.len() {
                sent -= span.len();
                continue;
            }
            self.push(slot, Item { chunk: id, span, framed }, sent as u32, lossy);
            sent = 0;
        }
        self.update_interest(slot);
        if member && !lossy && self.is_slow(slot) {
            self.close_slow(now, slot);
        }
        self.shed(now);
    }

    fn push(&mut self, slot: Slot, mut item: Item, sent: u32, lossy: bool) {
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        if lossy {
            let chunk = self.chunks.get(item.chunk);
            let room = self
                .config
                .limits
                .outbox_bytes_max
                .saturating_sub(outbox.owed_beyond_first(&self.chunks));
            let (end, dropped) = fitting(chunk, item.span, sent, room, outbox.is_empty());
            item.span.end = end;
            self.counters.dropped += dropped;
            self.counters.deliveries -= dropped;
        }
        if item.span.len() > sent as usize {
            outbox.push(item, sent, &mut self.chunks);
        }
    }

    fn start_owing(&mut self, slot: Slot) {
        let place = u32::try_from(self.owing.len()).expect("a slot owes once");
        let conn = &mut self.conns[slot.index()];
        if conn.owes() {
            return;
        }
        conn.outbox = Some(Box::new(Outbox::at(place)));
        self.owing.push(slot);
        if let Role::Member { lane, seat } = conn.role {
            self.rooms.lane_mut(lane).mark_owing(seat, true);
        }
    }

    /// Takes the outbox away, and the slot off the list of those who have one.
    pub(super) fn stop_owing(&mut self, slot: Slot) -> Option<Box<Outbox>> {
        let conn = &mut self.conns[slot.index()];
        let mut outbox = conn.outbox.take()?;
        if let Role::Member { lane, seat } = conn.role {
            self.rooms.lane_mut(lane).mark_owing(seat, false);
        }
        self.owing.swap_remove(outbox.place as usize);
        if let Some(moved) = self.owing.get(outbox.place as usize) {
            let moved = self.conns[moved.index()].outbox.as_mut().expect("it is on the list");
            moved.place = outbox.place;
        }
        outbox.clear(&mut self.chunks);
        Some(outbox)
    }

    /// The outbox is empty: the connection goes on as before, or winds up.
    pub(super) fn debt_paid(&mut self, slot: Slot) {
        let outbox = self.stop_owing(slot).expect("it owed until now");
        self.update_interest(slot);
        match self.conns[slot.index()].stage {
            Stage::Open => {
                if let Some(control) = outbox.pong {
                    self.direct_frame(slot, Opcode::Pong, control.as_slice());
                }
            }
            Stage::Closing => self.wind_up(slot),
            Stage::Free | Stage::Upgrading | Stage::Lingering => {}
        }
    }

    /// Answers a ping. Who does not read its answers is owed the latest one only.
    pub(super) fn pong(&mut self, slot: Slot, control: Control) {
        match &mut self.conns[slot.index()].outbox {
            Some(outbox) => outbox.pong = Some(Box::new(control)),
            None => self.direct_frame(slot, Opcode::Pong, control.as_slice()),
        }
    }

    /// Whether a member owes more than it may.
    fn is_slow(&self, slot: Slot) -> bool {
        let bytes_max = self.config.limits.outbox_bytes_max;
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
        chunk.push_frame(Opcode::Close, close::payload(CloseCode::TRY_LATER, "slow").as_slice());
        let span = chunk.whole();
        let id = self.chunks.hold(chunk);
        let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
        outbox.push(Item { chunk: id, span, framed: false }, 0, &mut self.chunks);
        self.chunks.settle(id);
        self.conns[slot.index()].said_goodbye = true;
        self.update_interest(slot);
    }

    /// Keeps the shard's budget: who owes most is closed, and cut if that was not enough.
    fn shed(&mut self, now: Now) {
        while self.chunks.charged() > self.config.limits.shard_outbox_bytes_max {
            let owed = |slot: &Slot| {
                let outbox = self.conns[slot.index()].outbox.as_ref();
                (outbox.map_or(0, |outbox| outbox.owed()), std::cmp::Reverse(*slot))
            };
            let Some(most) = self.owing.iter().copied().max_by_key(owed) else { return };
            match self.conns[most.index()].stage {
                Stage::Open => self.close_slow(now, most),
                Stage::Free | Stage::Upgrading | Stage::Closing | Stage::Lingering => {
                    self.counters.cut += 1;
                    self.release(most, CloseReason::Slow);
                }
            }
        }
    }
}

/// How much of a span of frames fits into `room`, and how many frames do not.
///
/// The frame of which `sent` bytes are gone always does, and so does the first one of all.
fn fitting(chunk: &Chunk, span: Span, sent: u32, room: usize, first: bool) -> (u32, u64) {
    let begin = span.start + sent;
    let mut end = chunk.boundary(span.start, begin);
    if first && end == begin {
        end = chunk.frame_end(end);
    }
    let mut dropped = 0;
    let mut at = end;
    while at < span.end {
        at = chunk.frame_end(at);
        if dropped == 0 && (at - begin) as usize + ITEM_COST_BYTES <= room {
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
        assert_eq!(fit(0, ITEM_COST_BYTES + 10, false), (10, 1));
        assert_eq!(fit(0, ITEM_COST_BYTES + 14, false), (10, 1));
        assert_eq!(fit(0, ITEM_COST_BYTES + 15, false), (15, 0));
    }
}
