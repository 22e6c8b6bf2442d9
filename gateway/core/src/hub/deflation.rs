//! Where messages are made small: what a shard has for it, what it may cost, and who reads it.
//!
//! What is said to a room is deflated once for all who read it so.

use super::Hub;
use crate::deflate::{Agreement, Deflater, Reach, WINDOW_BYTES_MAX};
use crate::limits::Limits;
use crate::message::Deflated;
use crate::slot::Slot;
use crate::time::Now;

pub(super) const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Bytes of scratch memory that are kept from one message to the next.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

/// A shard's compressor, and what it has made of the message that is being said.
pub(super) struct Deflation {
    deflater: Deflater,
    /// Up to when the shard's rate allows what was deflated.
    deflated_until: Now,
    /// Connections whose windows are kept.
    windows: usize,
    /// What became of the message that is being said, by what it is and how far back it may refer.
    made: [[Made; Reach::COUNT]; 2],
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

impl Deflation {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            deflater: Deflater::new(limits.deflate_level),
            deflated_until: Now::default(),
            windows: 0,
            made: Default::default(),
        }
    }

    /// Another message is said from now on.
    #[inline]
    pub(super) fn next_message(&mut self) {
        for made in self.made.as_flattened_mut() {
            made.state = State::Unknown;
        }
    }

    /// A connection whose window may be kept is not here any more.
    pub(super) fn forget_window(&mut self, agreement: Agreement) {
        self.windows -= usize::from(agreement.keeps_window());
    }

    /// Another round begins.
    pub(super) fn next_round(&mut self) {
        for made in self.made.as_flattened_mut() {
            if made.bytes.capacity() > SCRATCH_BYTES_MAX {
                made.bytes = Vec::new();
            }
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
    let ahead = until.since(now);
    if ahead <= NANOS_PER_SEC {
        advance(now, until, bytes, per_sec);
    }
    ahead
}

/// Charges `bytes` at a rate in bytes a second, however far that is ahead of it.
pub(super) fn advance(now: Now, until: &mut Now, bytes: usize, per_sec: usize) {
    let cost = u128::from(bytes as u64) * u128::from(NANOS_PER_SEC) / per_sec.max(1) as u128;
    let cost = u64::try_from(cost).unwrap_or(u64::MAX);
    *until = Now((*until).max(now).0.saturating_add(cost));
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

    /// How far back what is sent to a connection may refer.
    #[inline]
    pub(super) fn reach(&self, slot: Slot) -> Reach {
        self.conns[slot.index()].agreement.map_or(Reach::None, Agreement::reach)
    }

    /// Whether what a connection sends may refer back to what it sent before.
    pub(super) fn keeps_window(&self, slot: Slot) -> bool {
        self.conns[slot.index()].agreement.is_some_and(Agreement::keeps_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_keeps_no_more_scratch_memory_than_it_may() {
        let mut deflation = Deflation::new(&Limits::default());
        deflation.made[0][0].bytes.reserve(SCRATCH_BYTES_MAX + 1);
        deflation.made[1][0].bytes.reserve(1000);
        deflation.next_round();
        let made = deflation.made.as_flattened().iter().map(|made| made.bytes.capacity());
        assert!(made.clone().all(|it| it <= SCRATCH_BYTES_MAX));
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
