//! Whether a newcomer gets a token of its source's bucket: surely, by chance, or not.
//!
//! A bucket that only ever says "empty" has the clock choose: of a crowd behind one address, those
//! get in who happen to come when a token has come back, and a client that comes again and again
//! in step never does. So what is left last is given by chance.

use crate::{Bucket, Rate};

/// The part of a bucket that is given by chance: its last quarter, as a shift of its size.
const CHANCE_SHIFT: u32 = 2;

/// What becomes of a newcomer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admit {
    /// It has a token: this is the bucket without it.
    Pass(Bucket),
    /// There are tokens, but few, and chance was against it. The bucket stays as it is: what was
    /// shed took nothing, so that the source has its whole rate however many come.
    Shed,
    /// There is none.
    Over,
}

/// Judges a newcomer by what is left in its bucket.
///
/// While a quarter of the bucket or more is left it passes; below, it is shed with a probability
/// that rises linearly, from 0 at the quarter to 1 at the end. From a full bucket three quarters
/// of the burst pass one after the other, and all of a burst of up to four. Whoever passes has
/// taken a token, so no more pass than [`Bucket`] allows.
///
/// `random` is to be uniform over all `u32`, and drawn for this newcomer; the same one for each try
/// of a compare-and-exchange.
// Always inlined, and without a division or a 128-bit product, neither of which a kernel program
// has; see the crate's rules.
#[inline(always)]
#[must_use]
pub const fn admit(bucket: Bucket, rate: Rate, now_nanos: u64, random: u32) -> Admit {
    let Some(less) = bucket.without_one(rate, now_nanos) else { return Admit::Over };
    let burst_nanos = rate.burst_nanos();
    let chance_nanos = burst_nanos >> CHANCE_SHIFT;
    // At most `burst_nanos`, or there would be no token.
    let missing_nanos = bucket.missing_nanos(now_nanos);
    let depth_nanos = missing_nanos.saturating_sub(burst_nanos - chance_nanos);
    if portion(random, chance_nanos) < depth_nanos {
        return Admit::Shed;
    }
    Admit::Pass(less)
}

/// So many parts of 2^32 of a number below 2^62, rounded down: with a random one, a number below
/// it, each as probable as all others.
#[inline(always)]
const fn portion(parts: u32, whole: u64) -> u64 {
    let (high, low) = (whole >> 32, whole & 0xFFFF_FFFF);
    // Below 2^62 and below 2^32: nothing wraps.
    parts as u64 * high + ((parts as u64 * low) >> 32)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::draw::Draw;

    /// A bucket in which so much is missing at this moment.
    fn missing(nanos: u64, now: u64) -> Bucket {
        Bucket::from_word(now + nanos)
    }

    fn rate(per_sec: u32, burst: u32) -> Rate {
        Rate::new(per_sec, burst).expect("neither is 0")
    }

    /// Takes a token if it may; whether it did.
    fn take(bucket: &mut Bucket, rate: Rate, now: u64, random: u32) -> bool {
        let admit = admit(*bucket, rate, now, random);
        if let Admit::Pass(less) = admit {
            *bucket = less;
        }
        matches!(admit, Admit::Pass(_))
    }

    #[test]
    fn who_passes_has_the_token_that_the_bucket_gives_and_who_is_shed_could_have_had_it() {
        for seed in 1..=300 {
            let mut draw = Draw::new(seed);
            let (_, _, rate) = draw.rate();
            let (mut bucket, mut now) = (Bucket::FULL, draw.below(1 << 40));
            for _ in 0..400 {
                now += draw.below(rate.interval_nanos() * 2) * draw.below(2);
                let given = bucket.without_one(rate, now);
                match admit(bucket, rate, now, draw.word()) {
                    Admit::Pass(less) => {
                        assert_eq!(given, Some(less), "seed {seed}");
                        bucket = less;
                    }
                    Admit::Shed => assert!(given.is_some(), "seed {seed}"),
                    Admit::Over => assert_eq!(given, None, "seed {seed}"),
                }
            }
        }
    }

    #[test]
    fn nobody_is_shed_while_a_quarter_is_left() {
        for seed in 1..=300 {
            let mut draw = Draw::new(seed);
            let (_, _, rate) = draw.rate();
            let now = draw.below(1 << 40);
            let quarter = rate.burst_nanos() / 4;
            for _ in 0..100 {
                let bucket = missing(draw.below(rate.burst_nanos() - quarter + 1), now);
                let unlucky = admit(bucket, rate, now, 0);
                assert_ne!(unlucky, Admit::Shed, "seed {seed}");
                assert_eq!(unlucky == Admit::Over, bucket.without_one(rate, now).is_none());
            }
        }
    }

    #[test]
    fn three_quarters_of_a_burst_pass_whatever_chance_says_and_all_of_a_small_one() {
        for burst in 1..=1_000 {
            let rate = rate(7, burst);
            let mut bucket = Bucket::FULL;
            let passed = (0..burst).take_while(|_| take(&mut bucket, rate, 5, 0)).count() as u32;
            assert!(passed * 4 >= burst * 3, "{passed} of {burst}");
            assert!(passed == burst || burst > 4, "{passed} of {burst}");
            assert!(passed < burst || burst <= 4, "{burst}: chance had nothing to say");
        }
    }

    #[test]
    fn chance_decides_as_often_as_the_depth_says() {
        const DRAWS: u32 = 100_000;
        let now = 1 << 40;
        for (seed, rate) in
            (1..).zip([rate(1, 1_000), rate(500, 2_000), rate(1_000_000, 8), rate(1, u32::MAX)])
        {
            let mut draw = Draw::new(seed);
            let quarter = rate.burst_nanos() / 4;
            // Percents of the last quarter that are gone.
            for percent in [0, 10, 25, 50, 75, 90] {
                let depth = quarter / 100 * percent;
                if quarter - depth < rate.interval_nanos() {
                    continue;
                }
                let bucket = missing(rate.burst_nanos() - quarter + depth, now);
                let shed = |random| admit(bucket, rate, now, random) == Admit::Shed;
                let count = (0..DRAWS).filter(|_| shed(draw.word())).count() as f64;
                let chance = percent as f64 / 100.0;
                let expected = f64::from(DRAWS) * chance;
                let sigma = (expected * (1.0 - chance)).sqrt();
                assert!((count - expected).abs() <= 4.0 * sigma, "{percent}%: {count} shed");
            }
        }
    }

    #[test]
    fn less_left_and_less_luck_never_help() {
        for seed in 1..=300 {
            let mut draw = Draw::new(seed);
            let (_, _, rate) = draw.rate();
            let now = draw.below(1 << 40);
            let passes = |missed, random| {
                matches!(admit(missing(missed, now), rate, now, random), Admit::Pass(_))
            };
            for _ in 0..100 {
                let [less, more] = draw.pair(rate.burst_nanos() + 1);
                let [worse, better] = draw.pair(1 << 32).map(|it| it as u32);
                assert!(passes(less, better) || !passes(more, worse), "seed {seed}");
                assert!(passes(less, better) || !passes(less, worse), "seed {seed}");
                assert!(passes(less, better) || !passes(more, better), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_source_that_comes_too_often_still_has_its_whole_rate() {
        let rate = rate(1_000, 100);
        for times in [2, 10, 100] {
            let mut draw = Draw::new(times);
            let mut bucket = Bucket::FULL;
            let step = rate.interval_nanos() / times;
            let came: Vec<_> = (0..2_000 * times)
                .filter(|nth| take(&mut bucket, rate, nth * step, draw.word()))
                .collect();
            // Two seconds, and the burst less what chance keeps back.
            assert!((2_070..=2_100).contains(&came.len()), "{times}: {}", came.len());
        }
    }

    #[test]
    fn the_largest_bucket_and_the_largest_draw_wrap_nowhere() {
        let largest = rate(1, u32::MAX);
        assert_eq!(portion(u32::MAX, largest.burst_nanos() / 4) >> 59, 1);
        assert_eq!([portion(u32::MAX, 1), portion(0, u64::MAX >> 2)], [0, 0]);
        assert_eq!(portion(1 << 31, 1_000_000_000_000), 500_000_000_000);
        let deep = missing(largest.burst_nanos() - largest.interval_nanos(), 9);
        assert!(matches!(admit(deep, largest, 9, u32::MAX), Admit::Pass(_)));
        assert_eq!(admit(deep, largest, 9, 0), Admit::Shed);
        assert_eq!(admit(Bucket::FULL, largest, u64::MAX, u32::MAX), Admit::Over);
    }
}
