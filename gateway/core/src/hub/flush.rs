//! Saying what is to be said: straight to the sockets, in slices, one send per member.

use std::borrow::Cow;

use gateway_faults::{self as faults, Mutant, buggify};

use super::offer::{PIECES_MAX, emptied, offer, send_corked};
use super::owing::Kept;
use super::rounds::{Airborne, Mail, Missed};
use super::{Conn, Hub, Stage, places};
use crate::chunk::{Chunk, Span};
use crate::chunks::{Account, ChunkId};
use crate::close;
use crate::encoding::Encoding;
use crate::envelope::{Command, Delivery, Post};
use crate::event::CloseReason;
use crate::frame::Opcode;
use crate::hint;
use crate::id::ShardId;
use crate::lane::{Flight, Member, Visit};
use crate::lanes::LaneId;
use crate::slot::Slot;
use crate::time::Now;
use crate::transmit::{Part, Sent, Transmit};

/// How far a flush has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flush {
    /// Everything that was to be said is sent, queued or dropped by policy.
    Done,
    /// The budget is spent; call again to go on.
    More,
}

/// Skip lists that are kept for the next round, and entries that each may have.
const SKIP_LISTS_KEPT_MAX: usize = 4096;
const SKIPS_KEPT_MAX: usize = 256;
/// Members ahead whose sockets are fetched into the cache while others are sent to.
const HINT_AHEAD: usize = 4;

impl Hub {
    /// Sends to about `budget` members or connections, then returns.
    ///
    /// Events may be handled between two calls: what they add is said after what is being said.
    pub fn flush(&mut self, now: Now, budget: usize, out: &mut impl Transmit) -> Flush {
        let mut left = if buggify!(FlushSlice) { 1 } else { budget.max(1) };
        if !self.round.active {
            // Whether or not what came has made anybody say anything.
            self.inflating.next_turn();
            if self.config.shard.is_none() {
                self.exchange(now, &mut Nobody);
            }
        }
        loop {
            while self.has_more_to_say(now) {
                if !self.flush_round(now, &mut left, out) {
                    return Flush::More;
                }
            }
            // Nothing is half said now: who leaves for another shard may go.
            self.depart(now);
            self.hear(now);
            if self.config.shard.is_none() && self.dispatch.waiting() > 0 {
                // Somebody said something about having gone.
                self.exchange(now, &mut Nobody);
            }
            if self.pending.is_empty() {
                break;
            }
        }
        self.pace_echoes();
        Flush::Done
    }

    /// Whether a round is under way, or there is anything for one.
    fn has_more_to_say(&mut self, now: Now) -> bool {
        if self.round.active {
            return true;
        }
        self.hold_back(now);
        !self.pending.is_empty()
    }

    /// Goes on with the round, or begins one; whether it is done.
    fn flush_round(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        if !self.round.active {
            self.begin_round(now);
        }
        let done = self.flush_retries(now, left, out)
            && self.flush_direct(now, left, out)
            && self.flush_orders(now, left, out)
            && self.flush_missed(now, left, out)
            && self.flush_lanes(now, left, out)
            && self.flush_farewells(now, left, out);
        self.bury_broken();
        self.round.active = !done;
        done
    }

    fn begin_round(&mut self, now: Now) {
        self.round.begin(&mut self.pending);
        self.handler_bytes = 0;
        self.deflation.next_round();
        if !self.pending.direct.is_empty() {
            let direct = std::mem::take(&mut self.pending.direct);
            self.round.direct = Some(self.chunks.hold(direct, Account::Rooms));
        }
        if !self.pending.orders.is_empty() {
            let orders = std::mem::take(&mut self.pending.orders);
            self.round.orders = Some(self.chunks.hold(orders, Account::Rooms));
            self.forget_copies();
        }
        for index in 0..self.pending.lanes.len() {
            let lane = self.pending.lanes[index];
            let (chunk, flight) = self.lanes.lane_mut(lane).take_off();
            let chunk = self.chunks.hold(chunk, Account::Rooms);
            self.round.flights.push_back(Airborne { lane, chunk, flight });
            if self.gathering.is_on() {
                self.open_window(now, lane);
            }
        }
        self.pending.lanes.clear();
    }

    /// Direct bytes: one send per connection that has some.
    fn flush_direct(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        let Some(id) = self.round.direct else { return true };
        while let Some(&mail) = self.round.mails.get(self.round.mailed) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            self.round.mailed += 1;
            let conn = &self.conns[mail.slot.index()];
            if conn.generation == mail.generation && !conn.said_goodbye {
                self.deliver_direct(now, mail, id, out);
            }
        }
        self.round.direct = None;
        self.chunks.settle(id);
        true
    }

    /// Sends one connection's direct bytes. What is refused gets a chunk of its own: a small debt
    /// must not keep what everyone else was sent.
    fn deliver_direct(&mut self, now: Now, mail: Mail, id: ChunkId, out: &mut impl Transmit) {
        let Mail { slot, span, framed, .. } = mail;
        let Some(sent) = self.try_send(slot, id, &[span], span.len(), out) else { return };
        if sent < span.len() {
            let buf = self.chunks.buffer();
            let own = self.chunks.get(id).extract(span, buf);
            let whole = own.whole();
            let own = self.chunks.hold(own, self.conns[slot.index()].account());
            self.keep(now, slot, own, &[whole], Kept { sent, framed, lossy: false });
            self.chunks.settle(own);
        }
    }

    /// What the program sends: as many as it is for owe from the same chunk.
    fn flush_orders(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        let Some(id) = self.round.orders else { return true };
        while let Some(&Mail { slot, generation, span, framed }) =
            self.round.order_mails.get(self.round.ordered)
        {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            self.round.ordered += 1;
            let conn = &self.conns[slot.index()];
            if conn.generation == generation
                && !conn.said_goodbye
                && let Some(sent) = self.try_send(slot, id, &[span], span.len(), out)
                && sent < span.len()
            {
                let kept = Kept { sent, framed, lossy: false };
                self.keep(now, slot, id, &[span], kept);
            }
        }
        self.round.orders = None;
        self.chunks.settle(id);
        true
    }

    /// What members missed, each encoded for itself: what one does not take is charged before the
    /// next one is looked at.
    fn flush_missed(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        while *left > 0 {
            let Some(missed) = self.round.missed.pop_front() else { return true };
            *left -= 1;
            let conn = &self.conns[missed.slot.index()];
            if conn.generation == missed.generation && !conn.said_goodbye {
                self.catch_up(now, &missed, out);
            }
            self.finish_recovery();
        }
        self.round.missed.is_empty()
    }

    fn catch_up(&mut self, now: Now, missed: &Missed, out: &mut impl Transmit) {
        let Missed { slot, room, epoch, ref batch, .. } = *missed;
        let Some(lane) = self.lane_at(slot, room) else { return };
        let encoding = self.lanes.lane(lane).encoding;
        let author = self.conns[slot.index()].author;
        let own = self.hears_itself(slot) || faults::is(Mutant::OwnRecovered);
        let mut chunk = Chunk::reusing(self.chunks.buffer());
        let mut json = std::mem::take(&mut self.scratch.json);
        for (meta, words) in batch.iter().filter(|(meta, _)| own || meta.author != author) {
            json.clear();
            if encoding == Encoding::Chat {
                self.encode_chat(&mut json, room, &meta, words);
            }
            encoding.push(&mut chunk, epoch, &meta, words, &json);
        }
        self.scratch.json = json;
        self.counters.deliveries += u64::from(chunk.frames());
        let whole = chunk.whole();
        let id = self.chunks.hold(chunk, Account::Rooms);
        if let Some(sent) = self.try_send(slot, id, &[whole], whole.len(), out)
            && sent < whole.len()
        {
            let kept = Kept { sent, framed: true, lossy: self.is_lossy(slot) };
            self.keep(now, slot, id, &[whole], kept);
        }
        self.chunks.settle(id);
    }

    fn flush_lanes(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        while let Some(mut airborne) = self.round.flights.pop_front() {
            self.fly(now, left, &mut airborne, out);
            if airborne.flight.next < airborne.flight.end {
                self.round.flights.push_front(airborne);
                return false;
            }
            self.land(airborne);
        }
        true
    }

    fn land(&mut self, Airborne { lane: id, chunk, flight }: Airborne) {
        let Self { lanes, conns, extras, .. } = self;
        let lane = lanes.lane_mut(id);
        lane.land(|slot, seat| places::reseat(&mut conns[slot.index()], extras, slot, id, seat));
        self.chunks.settle(chunk);
        let skips = flight.into_skips();
        let useful = (1..=SKIPS_KEPT_MAX).contains(&skips.capacity());
        if useful && self.scratch.skips.len() < SKIP_LISTS_KEPT_MAX {
            self.scratch.skips.push(skips);
        }
        self.settle_lane(id);
    }

    /// Sends the flight's chunk to members until the budget or the members end.
    fn fly(&mut self, now: Now, left: &mut usize, air: &mut Airborne, out: &mut impl Transmit) {
        while *left > 0 && air.flight.next < air.flight.end {
            let begun = air.flight.next;
            let stop = air.flight.end.min(begun + *left);
            let lane = self.lanes.lane(air.lane);
            let chunk = self.chunks.get(air.chunk);
            let halt = send_plain(&lane.members[..stop], chunk, &mut air.flight, out);
            let served = (air.flight.next - begun) as u64;
            self.counters.deliveries += served * u64::from(chunk.frames());
            if let Some(halt) = halt {
                self.attend(now, halt, air, out);
                air.flight.next += 1;
            }
            *left -= air.flight.next - begun;
        }
    }

    /// Serves the one member at which the plain run stopped.
    fn attend(&mut self, now: Now, halt: Halt, air: &mut Airborne, out: &mut impl Transmit) {
        let (lane, index) = (self.lanes.lane_mut(air.lane), air.flight.next);
        let Some(visit) = lane.visit(index, &air.flight) else { return };
        let chunk = self.chunks.get(air.chunk);
        let (whole, frames) = (chunk.whole(), chunk.frames());
        match halt {
            Halt::Apart => self.deliver_apart(now, visit, air, whole, frames, out),
            Halt::Sent(Sent::Broken) => self.scratch.broken.push(visit.slot),
            Halt::Sent(sent) => {
                let sent = if let Sent::Wrote(bytes) = sent { bytes } else { 0 };
                self.counters.deliveries += u64::from(frames);
                let kept = Kept { sent, framed: true, lossy: self.is_lossy(visit.slot) };
                self.keep(now, visit.slot, air.chunk, &[whole], kept);
                if faults::is(Mutant::FlightStopped) {
                    air.flight.end = air.flight.next + 1;
                }
            }
        }
    }

    /// Delivers to a member that owes or does not hear everything.
    fn deliver_apart(
        &mut self,
        now: Now,
        visit: Visit,
        air: &Airborne,
        whole: Span,
        frames: u32,
        out: &mut impl Transmit,
    ) {
        let mut spans = std::mem::take(&mut self.scratch.spans);
        spans.clear();
        let mut skipped = 0;
        if visit.skips {
            skipped = air.flight.spans(visit.slot, whole, &mut spans);
        } else {
            spans.push(whole);
        }
        self.counters.deliveries += u64::from(frames.saturating_sub(skipped));
        let total = spans.iter().map(|span| span.len()).sum::<usize>();
        if let Some(sent) = self.try_send(visit.slot, air.chunk, &spans, total, out)
            && sent < total
        {
            let kept = Kept { sent, framed: true, lossy: self.is_lossy(visit.slot) };
            self.keep(now, visit.slot, air.chunk, &spans, kept);
        }
        self.scratch.spans = spans;
    }

    /// Offers spans to a connection that does not owe; gives how much it took, or `None` if the
    /// connection is broken, which is seen to later.
    fn try_send(
        &mut self,
        slot: Slot,
        id: ChunkId,
        spans: &[Span],
        total: usize,
        out: &mut impl Transmit,
    ) -> Option<usize> {
        let owes = self.conns[slot.index()].owes() && !faults::is(Mutant::PastOutbox);
        if total == 0 || owes {
            return Some(0);
        }
        let cork = (&mut self.scratch.cork, self.config.limits.cork_bytes_max);
        match offer(self.chunks.get(id), spans, total, slot, cork, out) {
            Sent::Wrote(bytes) => Some(bytes),
            Sent::Blocked => Some(0),
            Sent::Broken => {
                self.scratch.broken.push(slot);
                None
            }
        }
    }

    /// Last words, after everything else that was said to their connections.
    fn flush_farewells(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        while let Some(farewell) = self.round.farewells.get(self.round.said).cloned() {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            self.round.said += 1;
            let conn = &mut self.conns[farewell.slot.index()];
            let stale = conn.generation != farewell.generation || conn.said_goodbye;
            if stale || conn.stage != Stage::Closing {
                continue;
            }
            conn.said_goodbye = true;
            if !faults::is(Mutant::AfterClose) {
                self.leave(farewell.slot);
            }
            if let Some(code) = farewell.code {
                let text = match hint::is_due(self.conns[farewell.slot.index()].reason) {
                    true => Cow::Owned(self.hints.reason(&farewell.text)),
                    false => farewell.text,
                };
                let payload = close::payload(code, &text);
                let mut chunk = Chunk::reusing(self.chunks.buffer());
                chunk.push_frame(Opcode::Close, payload.as_slice());
                let (whole, generation) = (chunk.whole(), farewell.generation);
                let id = self.chunks.hold(chunk, Account::Rooms);
                let mail = Mail { slot: farewell.slot, generation, span: whole, framed: true };
                self.deliver_direct(now, mail, id, out);
                self.chunks.settle(id);
            }
            self.wind_up(farewell.slot);
        }
        true
    }

    /// Outboxes that may go on.
    fn flush_retries(&mut self, now: Now, left: &mut usize, out: &mut impl Transmit) -> bool {
        while let Some(&slot) = self.round.retries.get(self.round.retried) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            self.round.retried += 1;
            if self.conn(slot).is_some_and(Conn::owes) {
                self.pay(now, slot, out);
            }
        }
        true
    }

    /// Sends from the outbox until it is empty or the kernel is full.
    fn pay(&mut self, now: Now, slot: Slot, out: &mut impl Transmit) {
        if !self.queue_pong(now, slot) {
            return;
        }
        while let Some((offered, sent)) = self.offer_owed(slot, out) {
            match sent {
                Sent::Wrote(bytes) => {
                    let bytes = if faults::is(Mutant::TailLost) { offered } else { bytes };
                    let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
                    outbox.advance(bytes, &mut self.chunks);
                    self.progress(now, slot);
                    self.tell_missed(slot, self.config.limits.outbox_bytes_max / 2);
                    if bytes < offered {
                        return;
                    }
                }
                Sent::Blocked => return,
                Sent::Broken => return self.scratch.broken.push(slot),
            }
        }
        self.debt_paid(slot);
    }

    /// Offers what an outbox begins with: how many bytes, and what became of them. None if there is
    /// nothing more.
    fn offer_owed(&mut self, slot: Slot, out: &mut impl Transmit) -> Option<(usize, Sent)> {
        while self.conns[slot.index()].outbox.as_ref().expect("it owes").is_empty() {
            if !self.tell_missed(slot, 0) {
                return None;
            }
        }
        let outbox = self.conns[slot.index()].outbox.as_ref().expect("it owes");
        let mut parts = emptied(std::mem::take(&mut self.scratch.parts));
        let pieces_max = if buggify!(PiecesMany) { 1 } else { PIECES_MAX };
        outbox.parts(&self.chunks, pieces_max, &mut parts);
        let offered = parts.iter().map(Part::len).sum::<usize>();
        let cork = (&mut self.scratch.cork, self.config.limits.cork_bytes_max);
        let sent = send_corked(slot, &parts, offered, cork, out);
        self.scratch.parts = emptied(parts);
        Some((offered, sent))
    }

    fn bury_broken(&mut self) {
        while let Some(slot) = self.scratch.broken.pop() {
            self.release(slot, CloseReason::Reset);
        }
    }

    /// Removes a lane that nobody is in and nothing is left to say in. Until it is silent, its room
    /// must stay what it is.
    pub(super) fn settle_lane(&mut self, id: LaneId) {
        let lane = self.lanes.lane_mut(id);
        if !lane.is_idle() {
            return;
        }
        let (room, departed) = (lane.room, std::mem::take(&mut lane.departed));
        if lane.population() == 0 {
            let chunk = self.lanes.retire(id);
            self.chunks.recycle(chunk.into_buf());
        }
        (0..departed).for_each(|_| self.dispatch.leave(room));
    }
}

/// The rings of a hub that is alone.
struct Nobody;

impl Post for Nobody {
    fn command(&mut self, _: ShardId, _: Command) -> Result<(), Command> {
        unreachable!("a hub that is alone is the home of all its rooms")
    }

    fn deliver(&mut self, _: ShardId, _: Delivery) -> Result<(), Delivery> {
        unreachable!("a hub that is alone is heard by nobody else")
    }
}

/// Why a plain run stopped before its end.
enum Halt {
    /// The next member owes, does not hear everything, or left.
    Apart,
    /// The kernel did not take everything for the next member.
    Sent(Sent),
}

/// The hot loop: the same bytes to one member after the other, one send each.
fn send_plain(
    members: &[Member],
    chunk: &Chunk,
    flight: &mut Flight,
    out: &mut impl Transmit,
) -> Option<Halt> {
    let Some(run) = chunk.run(chunk.whole()) else {
        return send_plain_parts(members, chunk, flight, out);
    };
    let odd = flight.is_odd();
    while let Some(member) = members.get(flight.next) {
        if let Some(ahead) = members.get(flight.next + HINT_AHEAD) {
            out.hint(ahead.hint());
        }
        if !member.is_plain(odd) {
            return Some(Halt::Apart);
        }
        let sent = out.send(member.hint(), run);
        if sent != Sent::Wrote(run.len()) {
            return Some(Halt::Sent(sent));
        }
        flight.next += 1;
    }
    None
}

/// The same for a chunk with large payloads in it, which are sent as parts.
fn send_plain_parts(
    members: &[Member],
    chunk: &Chunk,
    flight: &mut Flight,
    out: &mut impl Transmit,
) -> Option<Halt> {
    let (odd, whole) = (flight.is_odd(), chunk.whole());
    let mut parts = Vec::new();
    chunk.each_part(whole, |part| {
        parts.push(part);
        parts.len() < PIECES_MAX
    });
    let complete = parts.iter().map(Part::len).sum::<usize>() == whole.len();
    while let Some(member) = members.get(flight.next) {
        if !complete || !member.is_plain(odd) {
            return Some(Halt::Apart);
        }
        let sent = out.send_parts(member.hint(), &parts);
        if sent != Sent::Wrote(whole.len()) {
            return Some(Halt::Sent(sent));
        }
        flight.next += 1;
    }
    None
}
