//! Messages that come deflated are made large again in slices, so that none holds the shard up.
//!
//! A message that ends within its first slice, as nearly all do, is said in the call in which it
//! came. Of a longer one all that came is kept, with what inflates it: the connection is not read
//! from, and has a slice when its turn comes. Who has made least of what it said goes first.

use std::collections::BTreeSet;

use super::deflation::{NANOS_PER_SEC, advance};
use super::edge::Stop;
use super::{Hub, Stage, Who};
use crate::close::CloseCode;
use crate::deflate::{Agreement, InflateError, Inflater, Slice, Window};
use crate::event::CloseReason;
use crate::frame::Kind;
use crate::frozen::{Frozen, Unread};
use crate::hit::Hit;
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::{Now, Tick};
use crate::utf8::{self, Utf8};

/// What is inflated of a message at a time.
///
/// At worst, 126 ns for a byte that came, which is nothing but beginnings of blocks, and 2 ns for
/// one that comes out: 4.2 and 0.5 ms.
const SLICE: Slice = Slice { came_bytes_max: 32 << 10, out_bytes_max: 256 << 10 };

/// What a byte that came takes at worst, in the time of one that comes out: 126 ns of 2.
const CAME_TAKES: usize = 64;

/// What beginning and ending a slice takes, in the same time: 2 µs.
const SLICE_TAKES: usize = 1 << 10;

/// After how much of that time a call inflates no other slice: 1 ms, so that bombs hold up nobody
/// for longer. Its last slice may begin just before that, and no call inflates for over 5.8 ms.
const CALL_TAKES_MAX: usize = 512 << 10;

/// A byte that came deflated costs as much in the rate as so many that come out.
const CAME_COSTS: usize = 4;

/// Bytes that are charged for what inflates a message that is in work.
const INFLATER_BYTES: usize = 48 << 10;

/// What a shard has to inflate with, and what it may still inflate.
#[derive(Debug, Default)]
pub(super) struct Inflating {
    inflater: Inflater,
    /// What comes out of a slice.
    out: Vec<u8>,
    /// What the turn has taken so far, in the time of bytes that come out.
    spent: usize,
    /// How far that may go in this call.
    call_ends: usize,
    /// What of it was taken by those who had to wait, and whether one of them goes on now.
    waited: usize,
    goes_on: bool,
    /// Who waits for the next turn, by up to when its rate allows what it has made.
    put_off: BTreeSet<(Now, Slot, u32)>,
}

/// What a connection that deflates has cost, may refer to, and is in the middle of.
#[derive(Debug, Default)]
pub(super) struct Inflation {
    /// Up to when its rate allows what it has said.
    until: Now,
    window: Window,
    work: Option<Box<Work>>,
}

/// A message that takes more than a slice.
#[derive(Debug)]
struct Work {
    kind: Kind,
    /// All that came, so that it can be begun anew on another shard.
    deflated: Vec<u8>,
    /// Nothing until it is begun here.
    inflater: Option<Inflater>,
    /// What has come out so far.
    message: Vec<u8>,
    utf8: Utf8,
}

impl Inflating {
    /// Another turn begins.
    pub(super) fn next_turn(&mut self) {
        (self.spent, self.waited) = (0, 0);
        // Messages that are not shared leave the buffer that they were put together in.
        if self.out.capacity() > SLICE.out_bytes_max {
            self.out = Vec::new();
        }
    }

    /// When the next of those who wait is to go on: at once.
    pub(super) fn resumes(&self) -> Tick {
        if self.put_off.is_empty() { Tick::NEVER } else { Tick(0) }
    }

    /// Takes back what has inflated a message, unless there is another by now.
    fn give_back(&mut self, inflater: Inflater) {
        if !self.inflater.is_used() {
            self.inflater = inflater;
        }
    }
}

impl Work {
    /// A message of which nothing was inflated yet.
    fn new(kind: Kind, deflated: Vec<u8>) -> Self {
        Self { kind, deflated, inflater: None, message: Vec::new(), utf8: Utf8::default() }
    }

    /// Bytes of memory that it holds.
    fn held_bytes(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |_| INFLATER_BYTES);
        self.deflated.capacity() + self.message.capacity() + inflater
    }

    /// Takes what came out of a slice, which fits the longest message. Text that is not UTF-8 is
    /// refused in the slice in which it is wrong.
    fn append(&mut self, out: &[u8], bytes_max: usize) -> Result<(), ProtocolError> {
        if self.kind == Kind::Text {
            self.utf8.push(out)?;
        }
        let (len, needed) = (self.message.len(), self.message.len() + out.len());
        if needed > self.message.capacity() {
            self.message.reserve_exact(needed.max(2 * len).min(bytes_max) - len);
        }
        self.message.extend_from_slice(out);
        Ok(())
    }
}

impl Hub {
    /// A connection has gone, or goes on elsewhere.
    pub(super) fn forget_agreement(&mut self, slot: Slot, agreement: Option<Agreement>) {
        let Some(agreement) = agreement else { return };
        self.deflation.forget_window(agreement);
        drop(self.take_work(slot));
        self.inflations.remove(&slot);
    }

    /// A message that is in work will not be of interest.
    pub(super) fn forget_work(&mut self, slot: Slot) {
        if self.conns[slot.index()].agreement.is_some() {
            drop(self.take_work(slot));
        }
    }

    /// Up to when a connection's rate allows what it has made of what it said.
    pub(super) fn inflated_until(&self, slot: Slot) -> Now {
        self.inflations.get(&slot).map_or_else(Now::default, |inflation| inflation.until)
    }

    /// What another shard needs to go on with what a connection says deflated.
    pub(super) fn freeze_inflation(&mut self, slot: Slot, frozen: &mut Frozen) {
        let work = self.take_work(slot);
        frozen.unread = work.map(|work| Unread { kind: work.kind, deflated: work.deflated });
        frozen.window = self.inflations.remove(&slot).map(|inflation| inflation.window);
    }

    /// Goes on with that here. A message that was in work is begun anew.
    pub(super) fn thaw_inflation(
        &mut self,
        slot: Slot,
        window: Option<Window>,
        unread: Option<Unread>,
    ) {
        if let Some(window) = window {
            self.inflations.entry(slot).or_default().window = window;
        }
        if let Some(Unread { kind, deflated }) = unread {
            self.keep_in_work(slot, Work::new(kind, deflated));
        }
    }

    /// Some frames came; whether they must wait.
    #[inline(never)]
    pub(super) fn must_wait_before(&mut self, slot: Slot) -> bool {
        let inflating = &mut self.inflating;
        let waited = if inflating.goes_on { inflating.waited } else { 0 };
        inflating.call_ends = inflating.spent + CALL_TAKES_MAX.saturating_sub(waited);
        self.must_wait_to_inflate(slot)
    }

    /// Whether what a connection sends must wait: for what it said before, or because it or all
    /// of them have made so much of what they sent.
    pub(super) fn must_wait_to_inflate(&self, slot: Slot) -> bool {
        let conn = &self.conns[slot.index()];
        let waits = conn.slowed || conn.put_off || conn.head.is_some();
        waits || self.turn_is_full() || self.inflating.spent >= self.inflating.call_ends
    }

    fn turn_is_full(&self) -> bool {
        self.inflating.spent >= self.config.limits.inflated_turn_bytes_max
    }

    /// What a connection said comes when it is read from again.
    #[cold]
    pub(super) fn put_off(&mut self, now: Now, slot: Slot, rest: &[u8]) {
        if self.turn_is_full() && !self.conns[slot.index()].slowed {
            self.counters.hit(Hit::InflateRate);
        }
        self.wait_a_turn(slot);
        self.receive_later(slot, rest);
        if self.inbound > self.config.limits.inbound_bytes_max {
            self.counters.hit(Hit::InboundBytes);
            self.fail(now, slot, CloseReason::Inbound, CloseCode::TRY_LATER, "no memory");
        }
    }

    /// Reads nothing more from a connection until its turn comes.
    fn wait_a_turn(&mut self, slot: Slot) {
        let until = self.inflated_until(slot);
        let conn = &mut self.conns[slot.index()];
        // Who is slowed goes on when that ends.
        if conn.slowed || conn.put_off {
            return;
        }
        conn.put_off = true;
        self.inflating.put_off.insert((until, slot, conn.generation));
        self.update_interest(slot);
    }

    /// Those who wait go on, as far as a call may inflate. Another turn has begun.
    pub(super) fn resume_the_put_off(&mut self, now: Now) {
        if self.inflating.put_off.is_empty() {
            return;
        }
        self.inflating.next_turn();
        while self.inflating.waited < CALL_TAKES_MAX && !self.turn_is_full() {
            let Some((_, slot, generation)) = self.inflating.put_off.pop_first() else { return };
            if self.present(Who { slot, generation }).is_some() {
                self.conns[slot.index()].put_off = false;
                self.update_interest(slot);
                self.hear(now);
            }
        }
    }

    /// Goes on with what a connection said that had to wait.
    #[inline(never)]
    pub(super) fn go_on(&mut self, now: Now, slot: Slot) {
        let deflates = self.conns[slot.index()].agreement.is_some();
        while deflates && self.conns[slot.index()].stage == Stage::Open {
            if self.inflating.waited >= CALL_TAKES_MAX || self.turn_is_full() {
                return self.wait_a_turn(slot);
            }
            let Some(work) = self.take_work(slot) else { break };
            let before = self.inflating.spent;
            let went = self.go_on_with(now, slot, work);
            self.inflating.waited += self.inflating.spent - before;
            match went {
                Ok(true) if self.may_read(slot) => {}
                Ok(true) => return,
                Ok(false) => return self.put_off(now, slot, &[]),
                Err(stop) => {
                    let mut rest = self.take_what_waited(slot);
                    return self.stop(now, slot, stop, &mut rest);
                }
            }
        }
        let mut rest = self.take_what_waited(slot);
        if rest.is_empty() {
            return;
        }
        let before = self.inflating.spent;
        self.inflating.goes_on = true;
        self.receive(now, slot, &mut rest);
        self.inflating.goes_on = false;
        self.inflating.waited += self.inflating.spent - before;
    }

    /// What a connection said: whether it was inflated and heard, or is in work.
    #[inline(never)]
    pub(super) fn message_deflated(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<bool, Stop> {
        let bytes_max = self.message_bytes_max(slot);
        let mut inflater = std::mem::take(&mut self.inflating.inflater);
        let mut out = std::mem::take(&mut self.inflating.out);
        let deflated = payload.as_slice();
        self.begin(slot, &mut inflater)?;
        if !self.inflate(now, slot, &mut inflater, deflated, bytes_max, &mut out)? {
            let deflated = match payload {
                Payload::Whole(bytes) => bytes.to_vec(),
                Payload::Assembled(bytes) => bytes,
            };
            let mut work = Work { inflater: Some(inflater), ..Work::new(kind, deflated) };
            work.append(&out, bytes_max)?;
            self.inflating.out = out;
            self.keep_in_work(slot, work);
            return Ok(false);
        }
        self.inflating.inflater = inflater;
        if kind == Kind::Text {
            utf8::check(&out).map_err(ProtocolError::from)?;
        }
        self.message_inflated(now, slot, kind, out)?;
        Ok(true)
    }

    /// Another slice of a message that is in work; whether it was the last.
    fn go_on_with(&mut self, now: Now, slot: Slot, mut work: Work) -> Result<bool, Stop> {
        let mut inflater = work.inflater.take().unwrap_or_default();
        if !inflater.is_used() {
            self.begin(slot, &mut inflater)?;
        }
        let bytes_max = self.message_bytes_max(slot);
        let left = bytes_max - work.message.len();
        let mut out = std::mem::take(&mut self.inflating.out);
        let ended = self.inflate(now, slot, &mut inflater, &work.deflated, left, &mut out)?;
        work.append(&out, bytes_max)?;
        self.inflating.out = out;
        if !ended {
            work.inflater = Some(inflater);
            self.keep_in_work(slot, work);
            return Ok(false);
        }
        self.inflating.give_back(inflater);
        if !work.utf8.is_complete() {
            return Err(ProtocolError::NotUtf8.into());
        }
        self.message_inflated(now, slot, work.kind, work.message)?;
        Ok(true)
    }

    fn begin(&mut self, slot: Slot, inflater: &mut Inflater) -> Result<(), ProtocolError> {
        let window = self.inflations.entry(slot).or_default().window.as_slice();
        inflater.begin(window).map_err(refused)
    }

    /// Inflates a slice, and charges for it; whether the message has ended.
    fn inflate(
        &mut self,
        now: Now,
        slot: Slot,
        inflater: &mut Inflater,
        deflated: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, ProtocolError> {
        let before = inflater.taken();
        let inflated = inflater.go_on(deflated, SLICE, bytes_max, out);
        // What was refused has taken as long as a slice may.
        let (came, made) = match inflated {
            Ok(_) => (inflater.taken() - before, out.len()),
            Err(_) => (deflated.len().min(SLICE.came_bytes_max), out.capacity()),
        };
        self.inflating.spent += made + CAME_TAKES * came + SLICE_TAKES;
        let rate = self.config.limits.inflated_bytes_per_sec;
        let until = &mut self.inflations.entry(slot).or_default().until;
        advance(now, until, made.max(CAME_COSTS * came), rate);
        inflated.map_err(refused)
    }

    /// What a connection said, once it is inflated. If that was ahead of its rate, the next waits.
    fn message_inflated(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        mut message: Vec<u8>,
    ) -> Result<(), Stop> {
        let keeps = self.conns[slot.index()].agreement.is_some_and(Agreement::keeps_window);
        let inflation = self.inflations.entry(slot).or_default();
        if keeps {
            inflation.window.push(&message);
        }
        let ahead = inflation.until.since(now);
        if ahead > NANOS_PER_SEC && self.conns[slot.index()].stage == Stage::Open {
            self.counters.hit(Hit::InflateRate);
            self.slow_down(now, slot, Now(now.0 + (ahead - NANOS_PER_SEC)));
        }
        if message.len() < self.config.limits.share_bytes_min {
            let said = self.message_apart(now, slot, kind, Payload::Whole(&message));
            self.inflating.out = message;
            return said;
        }
        // Whoever shares it keeps its buffer.
        message.shrink_to_fit();
        self.message_apart(now, slot, kind, Payload::Assembled(message))
    }

    /// As [`message`](Self::message), which is to have one place in the hot path.
    #[inline(never)]
    fn message_apart(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<(), Stop> {
        self.message(now, slot, kind, payload)
    }

    fn keep_in_work(&mut self, slot: Slot, work: Work) {
        self.inbound += work.held_bytes();
        self.inflations.entry(slot).or_default().work = Some(Box::new(work));
    }

    fn take_work(&mut self, slot: Slot) -> Option<Work> {
        let work = self.inflations.get_mut(&slot)?.work.take()?;
        self.inbound -= work.held_bytes();
        Some(*work)
    }
}

fn refused(error: InflateError) -> ProtocolError {
    match error {
        InflateError::TooBig => ProtocolError::InflatesTooBig,
        InflateError::Malformed => ProtocolError::NotDeflate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_no_more_scratch_memory_than_a_slice_needs() {
        let mut inflating = Inflating::default();
        for (capacity, kept) in [(1000, true), (SLICE.out_bytes_max + 1, false)] {
            inflating.out = Vec::with_capacity(capacity);
            inflating.next_turn();
            assert_eq!(inflating.out.capacity() >= capacity, kept);
        }
    }

    #[test]
    fn what_a_slice_makes_of_a_message_is_kept_in_no_more_memory_than_it_may_have() {
        let (mut work, bytes_max) = (Work::new(Kind::Binary, vec![1; 10]), 1000);
        while work.message.len() < bytes_max {
            work.append(&[7; 40], bytes_max).expect("binary may be anything");
            assert!(work.message.capacity() <= bytes_max.min(2 * work.message.len()));
            assert_eq!(work.held_bytes(), 10 + work.message.capacity());
        }
    }

    #[test]
    fn who_is_done_gives_back_what_inflates_where_there_is_none() {
        let mut used = Inflater::default();
        used.begin(b"").expect("it needs no window");
        let mut inflating = Inflating::default();
        inflating.give_back(used);
        assert!(inflating.inflater.is_used());
        inflating.give_back(Inflater::default());
        assert!(inflating.inflater.is_used(), "which stays");
    }
}
