//! Where messages are made small and large: what a shard has for it, and what it may cost.
//!
//! What is said to a room is deflated once for all who read it so; what a connection makes large is
//! charged to it, in bytes of what came out.

use super::edge::Stop;
use super::{Hub, Stage};
use crate::deflate::{
    Agreement, Deflater, InflateError, Inflater, Reach, WINDOW_BYTES_MAX, Window,
};
use crate::event::CloseReason;
use crate::frame::Kind;
use crate::hit::Hit;
use crate::limits::Limits;
use crate::message::Deflated;
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::Now;
use crate::utf8;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A byte that came deflated costs as much as so many that come out: blocks that are empty but for
/// their codes take sixty times as long as zeros, and what cannot be deflated as long as itself.
const CAME_COSTS: usize = 4;

/// Bytes of scratch memory that are kept from one message to the next.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

/// A shard's compressors, and what they have made of the message that is being said.
pub(super) struct Deflation {
    inflater: Inflater,
    deflater: Deflater,
    /// Up to when the shard's rate allows what was deflated.
    deflated_until: Now,
    /// What was inflated since the round began, in bytes.
    inflated: usize,
    /// Connections whose windows are kept.
    windows: usize,
    /// What became of the message that is being said, by what it is and how far back it may refer.
    made: [[Made; Reach::COUNT]; 2],
    /// What comes out of the inflater.
    out: Vec<u8>,
}

/// What the members of a lane hear of a message, before it is deflated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spelling {
    /// As it was published.
    Bytes,
    /// As the JSON of those who chat.
    Json,
}

/// What the members of a lane hear, and how far back it may refer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) spelling: Spelling,
    pub(super) reach: Reach,
}

#[derive(Debug, Default)]
struct Made {
    state: State,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Unknown,
    Worth,
    NotWorth,
    /// The rate did not allow it.
    PutOff,
}

/// What a connection that deflates has cost, and may refer to.
#[derive(Debug, Default)]
pub(super) struct Inflation {
    /// Up to when its rate allows what it has said.
    until: Now,
    pub(super) window: Window,
}

impl Deflation {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            inflater: Inflater::default(),
            deflater: Deflater::new(limits.deflate_level),
            deflated_until: Now::default(),
            inflated: 0,
            windows: 0,
            made: Default::default(),
            out: Vec::new(),
        }
    }

    /// Another message is said from now on.
    #[inline]
    pub(super) fn next_message(&mut self) {
        for made in self.made.as_flattened_mut() {
            made.state = State::Unknown;
        }
    }

    /// Another round begins.
    pub(super) fn next_round(&mut self) {
        self.inflated = 0;
        for made in self.made.as_flattened_mut() {
            if made.bytes.capacity() > SCRATCH_BYTES_MAX {
                made.bytes = Vec::new();
            }
        }
        // It grows with what is read, however little comes out.
        if self.out.capacity() > SCRATCH_BYTES_MAX {
            self.out = Vec::new();
        }
    }

    /// The message that is being said, deflated, if that is worth it and the rate allows it.
    /// `shared` is where other shards find it, too.
    pub(super) fn deflated<'a>(
        &'a mut self,
        now: Now,
        limits: &Limits,
        message: &[u8],
        form: Form,
        shared: Option<&'a Deflated>,
    ) -> Option<&'a [u8]> {
        let fits = (limits.deflate_bytes_min..=limits.deflate_bytes_max).contains(&message.len());
        if !fits || form.reach == Reach::None {
            return None;
        }
        // Only the form that most members read is shared.
        let shared = shared.filter(|_| matches!(form.spelling, Spelling::Bytes));
        let shared = shared.filter(|_| form.reach == Reach::Wide);
        if let Some(made) = shared.and_then(Deflated::get) {
            return made.as_deref();
        }
        let state = self.make(now, limits, message, form);
        let bytes = &self.made[form.spelling as usize][form.reach.index()].bytes;
        let deflated = (state == State::Worth).then_some(&**bytes);
        if let Some(place) = shared.filter(|_| state != State::PutOff) {
            // Another shard may have been faster, with the same bytes.
            let _ = place.set(deflated.map(Into::into));
        }
        deflated
    }

    /// Deflates the message, unless that was done.
    fn make(&mut self, now: Now, limits: &Limits, message: &[u8], form: Form) -> State {
        let made = &mut self.made[form.spelling as usize][form.reach.index()];
        if made.state == State::Unknown {
            let (rate, until) = (limits.deflate_bytes_per_sec, &mut self.deflated_until);
            made.state = if rate == 0 || charge(now, until, message.len(), rate) > NANOS_PER_SEC {
                State::PutOff
            } else if self.deflater.deflate(message, form.reach, &mut made.bytes) {
                State::Worth
            } else {
                State::NotWorth
            };
        }
        made.state
    }
}

/// Charges `bytes` at a rate in bytes a second; by how many nanoseconds that is ahead of it. Who is
/// ahead by more than a second is not charged.
fn charge(now: Now, until: &mut Now, bytes: usize, per_sec: usize) -> u64 {
    let cost = u128::from(bytes as u64) * u128::from(NANOS_PER_SEC) / per_sec.max(1) as u128;
    let cost = u64::try_from(cost).unwrap_or(u64::MAX);
    let ahead = until.since(now);
    if ahead <= NANOS_PER_SEC {
        *until = Now(now.0.saturating_add(ahead).saturating_add(cost));
    }
    ahead
}

impl Hub {
    /// Whether one more connection may have its window kept.
    pub(super) fn has_window_left(&self) -> bool {
        let kept = (self.deflation.windows + 1) * WINDOW_BYTES_MAX;
        kept <= self.config.limits.windows_bytes_max
    }

    /// Remembers what was agreed on with a connection.
    pub(super) fn agree(&mut self, slot: Slot, agreement: Option<Agreement>) {
        let keeps = agreement.is_some_and(Agreement::keeps_window);
        self.deflation.windows += usize::from(keeps);
        self.conns[slot.index()].agreement = agreement;
    }

    /// A connection has gone, or goes on elsewhere; what it may refer to there.
    pub(super) fn forget_agreement(
        &mut self,
        slot: Slot,
        agreement: Option<Agreement>,
    ) -> Option<Window> {
        let keeps = agreement?.keeps_window();
        self.deflation.windows -= usize::from(keeps);
        self.inflations.remove(&slot).map(|inflation| inflation.window)
    }

    /// How far back what is sent to a connection may refer.
    #[inline]
    pub(super) fn reach(&self, slot: Slot) -> Reach {
        self.conns[slot.index()].agreement.map_or(Reach::None, Agreement::reach)
    }

    /// Up to when a connection's rate allows what it has made of what it said.
    pub(super) fn inflated_until(&self, slot: Slot) -> Now {
        self.inflations.get(&slot).map_or_else(Now::default, |inflation| inflation.until)
    }

    /// Whether what a connection sends may refer back to what it sent before.
    pub(super) fn keeps_window(&self, slot: Slot) -> bool {
        self.conns[slot.index()].agreement.is_some_and(Agreement::keeps_window)
    }

    /// Whether what a connection sends must wait, because it or all of them have made so much of
    /// what they sent.
    #[inline]
    pub(super) fn must_wait_to_inflate(&self, slot: Slot) -> bool {
        let full = self.deflation.inflated >= self.config.limits.inflated_turn_bytes_max;
        full || self.conns[slot.index()].slowed
    }

    /// What a connection said comes when it is read from again.
    #[cold]
    pub(super) fn put_off(&mut self, now: Now, slot: Slot, rest: &[u8]) {
        if !self.conns[slot.index()].slowed {
            self.counters.hit(Hit::InflateRate);
            self.slow_down(now, slot, now);
        }
        self.receive_later(slot, rest);
        if self.inbound > self.config.limits.inbound_bytes_max {
            let code = crate::close::CloseCode::TRY_LATER;
            self.fail(now, slot, CloseReason::Inbound, code, "no memory");
        }
    }

    /// What a connection said, once it is inflated.
    #[inline(never)]
    pub(super) fn message_deflated(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        deflated: &[u8],
    ) -> Result<(), Stop> {
        let mut out = std::mem::take(&mut self.deflation.out);
        self.inflate(now, slot, deflated, &mut out)?;
        if kind == Kind::Text {
            utf8::check(&out).map_err(ProtocolError::from)?;
        }
        if out.len() < self.config.limits.share_bytes_min {
            let said = self.message_apart(now, slot, kind, Payload::Whole(&out));
            self.deflation.out = out;
            return said;
        }
        // Whoever shares it keeps its buffer.
        out.shrink_to_fit();
        self.message_apart(now, slot, kind, Payload::Assembled(out))
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

    fn inflate(
        &mut self,
        now: Now,
        slot: Slot,
        deflated: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let bytes_max = self.message_bytes_max(slot);
        let inflation = self.inflations.entry(slot).or_default();
        let window = inflation.window.as_slice();
        let inflated = self.deflation.inflater.inflate(deflated, window, bytes_max, out);
        // What was refused has cost as much as the longest message; and what came costs more to
        // look at than what comes out costs to write, if it is nothing but beginnings of blocks.
        let cost = if inflated.is_ok() { out.len() } else { out.capacity() };
        let cost = cost.max(CAME_COSTS * deflated.len());
        self.deflation.inflated += cost;
        inflated.map_err(|error| match error {
            InflateError::TooBig => ProtocolError::InflatesTooBig,
            InflateError::Malformed => ProtocolError::NotDeflate,
        })?;
        if self.conns[slot.index()].agreement.is_some_and(Agreement::keeps_window) {
            inflation.window.push(out);
        }
        let rate = self.config.limits.inflated_bytes_per_sec;
        charge(now, &mut inflation.until, cost, rate);
        let ahead = inflation.until.since(now);
        if ahead > NANOS_PER_SEC && self.conns[slot.index()].stage == Stage::Open {
            self.counters.hit(Hit::InflateRate);
            self.slow_down(now, slot, Now(now.0 + (ahead - NANOS_PER_SEC)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_keeps_no_more_scratch_memory_than_it_may() {
        let mut deflation = Deflation::new(&Limits::default());
        deflation.out.reserve(SCRATCH_BYTES_MAX + 1);
        deflation.made[0][0].bytes.reserve(SCRATCH_BYTES_MAX + 1);
        deflation.made[1][0].bytes.reserve(1000);
        deflation.next_round();
        let made = deflation.made.as_flattened().iter().map(|made| made.bytes.capacity());
        assert!(made.clone().chain([deflation.out.capacity()]).all(|it| it <= SCRATCH_BYTES_MAX));
        assert!(made.sum::<usize>() >= 1000, "what is small is used again");
    }

    #[test]
    fn a_rate_allows_a_second_at_once_and_then_as_time_goes_by() {
        let mut until = Now::default();
        let mut spend = |millis: u64| {
            let now = Now(millis * 1_000_000);
            charge(now, &mut until, 100, 1000) <= NANOS_PER_SEC
        };
        // Eleven, since the last may go beyond it.
        let at_once = (0..100).filter(|_| spend(0)).count();
        assert_eq!(at_once, 11);
        let later = (1..=10_000).filter(|&milli| spend(milli)).count();
        assert_eq!(later, 100);
    }
}
