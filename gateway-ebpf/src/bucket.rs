//! A token bucket in eight bytes: how often something may happen, and how often at once.

/// How often: both bounds as times, so that no division is left for whoever asks.
///
/// Two `u64` in the machine's byte order, 16 bytes without padding: a value of a shared map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Rate {
    /// Nanoseconds in which one token comes back, at least 1.
    interval_nanos: u64,
    /// Nanoseconds in which an empty bucket becomes full, at least `interval_nanos`.
    burst_nanos: u64,
}

// The ABI of shared maps.
const _: () = assert!(size_of::<Rate>() == 16 && align_of::<Rate>() == 8);

/// Nanoseconds of a second.
const SECOND_NANOS: u64 = 1_000_000_000;

impl Rate {
    /// So many a second, and so many at once; `None` if one of them is 0.
    ///
    /// A token's time is rounded up to whole nanoseconds, so that the rate is never exceeded and
    /// missed by no more than a billionth of itself each second.
    #[must_use]
    pub const fn new(per_sec: u32, burst: u32) -> Option<Self> {
        if per_sec == 0 || burst == 0 {
            return None;
        }
        let interval_nanos = SECOND_NANOS.div_ceil(per_sec as u64);
        // Below 2^30 times 2^32.
        Some(Self { interval_nanos, burst_nanos: interval_nanos * burst as u64 })
    }

    /// The rate of these two times, as [`interval_nanos`](Self::interval_nanos) and
    /// [`burst_nanos`](Self::burst_nanos) give them; `None` if they are no rate's.
    #[inline(always)]
    #[must_use]
    pub const fn of_nanos(interval_nanos: u64, burst_nanos: u64) -> Option<Self> {
        if interval_nanos == 0 || burst_nanos < interval_nanos {
            return None;
        }
        Some(Self { interval_nanos, burst_nanos })
    }

    /// Nanoseconds in which one token comes back.
    #[inline(always)]
    #[must_use]
    pub const fn interval_nanos(self) -> u64 {
        self.interval_nanos
    }

    /// Nanoseconds in which an empty bucket becomes full.
    #[inline(always)]
    #[must_use]
    pub const fn burst_nanos(self) -> u64 {
        self.burst_nanos
    }
}

/// What is left of a [`Rate`]: the moment at which all of it is there again.
///
/// One `u64` in the machine's byte order, nanoseconds of whatever clock the asker always uses; 0,
/// which a new map entry has, is a full bucket. A single word can be replaced by compare and
/// exchange, so that no lock is needed where several CPUs take from one bucket. (The same is known
/// as the generic cell rate algorithm of ATM.)
///
/// In any time *t* a bucket gives at most `burst` + *t* × `per_sec` tokens. A clock that stands
/// still gives what is left. One that goes back gives less: nothing more is given than in the time
/// between its earliest and its latest moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(transparent)]
pub struct Bucket {
    full_at_nanos: u64,
}

// The ABI of shared maps.
const _: () = assert!(size_of::<Bucket>() == 8 && align_of::<Bucket>() == 8);

impl Bucket {
    /// A full one.
    pub const FULL: Self = Self { full_at_nanos: 0 };

    /// The bucket without one token; `None` if there is none.
    ///
    /// At the end of the clock, after 584 years, a bucket is empty for ever.
    #[inline(always)]
    #[must_use]
    pub const fn without_one(self, rate: Rate, now_nanos: u64) -> Option<Self> {
        let from = if self.full_at_nanos > now_nanos { self.full_at_nanos } else { now_nanos };
        let Some(full_at_nanos) = from.checked_add(rate.interval_nanos) else { return None };
        // `from` is at least `now`, so that nothing wraps.
        if full_at_nanos.wrapping_sub(now_nanos) > rate.burst_nanos {
            return None;
        }
        Some(Self { full_at_nanos })
    }

    /// Takes a token if there is one; whether there was.
    #[inline(always)]
    #[must_use]
    pub const fn take(&mut self, rate: Rate, now_nanos: u64) -> bool {
        match self.without_one(rate, now_nanos) {
            Some(less) => {
                *self = less;
                true
            }
            None => false,
        }
    }

    /// Nanoseconds until it is full again, if nothing is taken: how much is missing.
    #[inline(always)]
    #[must_use]
    pub const fn missing_nanos(self, now_nanos: u64) -> u64 {
        self.full_at_nanos.saturating_sub(now_nanos)
    }

    /// The one word that it is, for a compare-and-exchange.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        self.full_at_nanos
    }

    /// The bucket that is this word; each word is one.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self { full_at_nanos: word }
    }

    /// Whether nothing is missing: then it is like any other full one, and may be forgotten.
    #[inline(always)]
    #[must_use]
    pub const fn is_full(self, now_nanos: u64) -> bool {
        self.full_at_nanos <= now_nanos
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::draw::Draw;

    /// Whether so many are no more than burst and rate allow in this time.
    fn is_within(taken: u64, per_sec: u64, burst: u64, nanos: u64) -> bool {
        u128::from(taken - taken.min(burst)) * 1_000_000_000
            <= u128::from(per_sec) * u128::from(nanos)
    }

    #[test]
    fn no_stretch_of_time_ever_sees_more_than_burst_and_rate_allow() {
        for seed in 1..=300 {
            let mut draw = Draw::new(seed);
            let (per_sec, burst, rate) = draw.rate();
            let (mut bucket, mut now) = (Bucket::FULL, draw.below(1 << 40));
            let mut taken = Vec::new();
            for _ in 0..400 {
                // Bursts, trickles and rests.
                now += match draw.below(4) {
                    0 => 0,
                    1 => draw.below(rate.interval_nanos() * 2),
                    2 => draw.below(rate.interval_nanos() / 4 + 1),
                    _ => draw.below(rate.burst_nanos() * 2),
                };
                if bucket.take(rate, now) {
                    taken.push(now);
                }
            }
            for (first, &from) in taken.iter().enumerate() {
                for (last, &to) in taken.iter().enumerate().skip(first) {
                    let count = (last - first + 1) as u64;
                    assert!(is_within(count, per_sec, burst, to - from), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn who_asks_before_the_bucket_runs_over_gets_the_whole_rate() {
        for seed in 1..=100 {
            let mut draw = Draw::new(seed);
            let (_, burst, rate) = draw.rate();
            let (mut bucket, start) = (Bucket::FULL, draw.below(1 << 40));
            let (mut now, mut taken) = (start, 0);
            for _ in 0..40 {
                while bucket.take(rate, now) {
                    taken += 1;
                }
                // Less than a token is left, so that this much more does not run over.
                now += draw.below((rate.burst_nanos() - rate.interval_nanos()).max(1));
            }
            taken += (0..).take_while(|_| bucket.take(rate, now)).count() as u64;
            let due = burst + (now - start) / rate.interval_nanos();
            assert!(taken + 1 >= due, "seed {seed}: {taken} of {due}");
        }
    }

    #[test]
    fn a_clock_that_stands_still_gives_the_burst_and_no_more() {
        let rate = Rate::new(7, 5).expect("neither is 0");
        for now in [0, 1, 1 << 50] {
            let mut bucket = Bucket::FULL;
            let taken = (0..100).filter(|_| bucket.take(rate, now)).count();
            assert_eq!(taken, 5, "at {now}");
        }
    }

    #[test]
    fn a_clock_that_goes_to_and_fro_gives_no_more_than_one_that_went_once() {
        for seed in 1..=300 {
            let mut draw = Draw::new(seed);
            let (per_sec, burst, rate) = draw.rate();
            let span = rate.burst_nanos() * 3;
            let mut bucket = Bucket::FULL;
            let taken = (0..20_000).filter(|_| bucket.take(rate, draw.below(span))).count();
            assert!(is_within(taken as u64, per_sec, burst, span), "seed {seed}: {taken}");
        }
    }

    #[test]
    fn the_end_of_the_clock_is_no_beginning() {
        let rate = Rate::new(1, u32::MAX).expect("neither is 0");
        let mut bucket = Bucket::FULL;
        assert!(!bucket.take(rate, u64::MAX));
        assert!(bucket.take(rate, u64::MAX - rate.interval_nanos()));
        assert!(!bucket.take(rate, u64::MAX - rate.interval_nanos()));
        assert!(bucket.is_full(u64::MAX));
    }

    #[test]
    fn a_bucket_is_full_again_when_its_last_token_has_come_back() {
        let rate = Rate::new(1_000, 3).expect("neither is 0");
        let mut bucket = Bucket::FULL;
        assert!(bucket.is_full(0));
        assert!((0..3).all(|_| bucket.take(rate, 10)));
        assert!(!bucket.is_full(3_000_009) && bucket.is_full(3_000_010));
        assert!(!bucket.take(rate, 1_000_009) && bucket.take(rate, 1_000_010));
    }

    #[test]
    fn nothing_a_second_and_nothing_at_once_are_no_rates() {
        assert_eq!((Rate::new(0, 1), Rate::new(1, 0)), (None, None));
        let fastest = Rate::new(u32::MAX, u32::MAX).expect("neither is 0");
        assert_eq!(fastest.interval_nanos(), 1, "no faster than one in a nanosecond");
        let rarest = Rate::new(1, u32::MAX).expect("neither is 0");
        assert_eq!(rarest.burst_nanos(), 1_000_000_000 * u64::from(u32::MAX));
    }
}
