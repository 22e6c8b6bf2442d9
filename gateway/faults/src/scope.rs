//! What one run of a simulation has turned on, and what came of it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::AddAssign;

use crate::{Mark, Mutant, Point};

const POINTS: usize = Point::ALL.len();
const MARKS: usize = Mark::ALL.len();
/// Of how many runs one has no rare branch made common at all, and how often each of the other runs
/// has one.
const QUIET_ONE_IN: u64 = 4;
const ON_ONE_IN: u64 = 2;
/// Once in how many times a branch that is on is taken.
const RATES: [u32; 4] = [3, 20, 150, 1_000];

thread_local! {
    static STATE: State = const { State::idle() };
}

/// The thread's state. Cells, so that asking costs no more than a load.
struct State {
    installed: Cell<bool>,
    mutant: Cell<Option<Mutant>>,
    /// Once in how many times; 0 for never.
    rates: [Cell<u32>; POINTS],
    /// Of a generator for each point: how often one is asked changes nothing for the others.
    draws: [Cell<u64>; POINTS],
    struck: [Cell<u64>; POINTS],
    happened: [Cell<u64>; MARKS],
}

impl State {
    const fn idle() -> Self {
        Self {
            installed: Cell::new(false),
            mutant: Cell::new(None),
            rates: [const { Cell::new(0) }; POINTS],
            draws: [const { Cell::new(0) }; POINTS],
            struck: [const { Cell::new(0) }; POINTS],
            happened: [const { Cell::new(0) }; MARKS],
        }
    }
}

/// Has the thread's code fail or stumble as a run wants it, until it is dropped.
///
/// A thread has one at a time.
#[derive(Debug)]
#[must_use = "what it turns on ends with it"]
pub struct Scope {
    // It belongs to the thread that made it.
    here: PhantomData<*const ()>,
}

impl Scope {
    /// A run with this fault, if any, and with rare branches as the seed says: most seeds have some
    /// of them on, each at a rate of its own, some have none.
    ///
    /// # Panics
    /// If the thread has one already.
    pub fn new(mutant: Option<Mutant>, seed: u64) -> Self {
        let scope = Self::quiet(mutant);
        let mut draws = seed ^ 0x6661_756c;
        let quiet = next(&mut draws).is_multiple_of(QUIET_ONE_IN);
        STATE.with(|state| {
            for (rate, draw) in state.rates.iter().zip(&state.draws) {
                draw.set(next(&mut draws));
                let on = next(&mut draws).is_multiple_of(ON_ONE_IN);
                let picked = RATES[(next(&mut draws) % RATES.len() as u64) as usize];
                rate.set(if on && !quiet { picked } else { 0 });
            }
        });
        scope
    }

    /// A run with this fault, if any, in which rare branches are as rare as they are.
    ///
    /// # Panics
    /// If the thread has one already.
    pub fn quiet(mutant: Option<Mutant>) -> Self {
        STATE.with(|state| {
            assert!(!state.installed.replace(true), "a thread has one scope at a time");
            state.mutant.set(mutant);
        });
        Self { here: PhantomData }
    }

    /// The same run with this rare branch taken once in `rate` times, or never if that is 0.
    pub fn with(self, point: Point, rate: u32) -> Self {
        STATE.with(|state| state.rates[point.index()].set(rate));
        self
    }

    /// What came of it so far; from now on it is counted anew.
    #[must_use]
    pub fn take_counts(&self) -> Counts {
        STATE.with(|state| Counts {
            struck: std::array::from_fn(|at| state.struck[at].take()),
            happened: std::array::from_fn(|at| state.happened[at].take()),
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        STATE.with(|state| {
            state.installed.set(false);
            state.mutant.set(None);
            let counts = state.struck.iter().chain(&state.happened).chain(&state.draws);
            counts.for_each(|count| count.set(0));
            state.rates.iter().for_each(|rate| rate.set(0));
        });
    }
}

/// How often rare branches were taken on purpose, and how often each marked moment came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    struck: [u64; POINTS],
    happened: [u64; MARKS],
}

impl Default for Counts {
    fn default() -> Self {
        Self { struck: [0; POINTS], happened: [0; MARKS] }
    }
}

impl Counts {
    /// Every point, and how often it was taken on purpose.
    pub fn points(&self) -> impl Iterator<Item = (Point, u64)> {
        Point::ALL.into_iter().zip(self.struck)
    }

    /// Every mark, and how often it came.
    pub fn marks(&self) -> impl Iterator<Item = (Mark, u64)> {
        Mark::ALL.into_iter().zip(self.happened)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (mine, more) in self.struck.iter_mut().zip(other.struck) {
            *mine += more;
        }
        for (mine, more) in self.happened.iter_mut().zip(other.happened) {
            *mine += more;
        }
    }
}

#[inline]
pub(crate) fn is(mutant: Mutant) -> bool {
    STATE.with(|state| state.mutant.get() == Some(mutant))
}

#[inline]
pub(crate) fn strikes(point: Point) -> bool {
    STATE.with(|state| {
        let rate = state.rates[point.index()].get();
        rate > 0 && state.strikes(point, rate)
    })
}

#[inline]
pub(crate) fn happened(mark: Mark) {
    STATE.with(|state| {
        let count = &state.happened[mark.index()];
        count.set(count.get() + 1);
    });
}

impl State {
    #[cold]
    fn strikes(&self, point: Point, rate: u32) -> bool {
        let mut draw = self.draws[point.index()].get();
        let strikes = next(&mut draw).is_multiple_of(u64::from(rate));
        self.draws[point.index()].set(draw);
        let struck = &self.struck[point.index()];
        struck.set(struck.get() + u64::from(strikes));
        strikes
    }
}

/// The next of `SplitMix64`, which is good from any seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ENABLED, buggify, is, sometimes};

    fn drawn(seed: u64) -> Vec<bool> {
        let _scope = Scope::new(None, seed);
        (0..200).map(|_| buggify!(RingFull)).collect()
    }

    #[expect(clippy::assertions_on_constants, reason = "a build without faults would show nothing")]
    #[test]
    fn without_a_scope_nothing_fails() {
        assert!(ENABLED);
        assert!(!Mutant::ALL.into_iter().any(is));
        assert!((0..1_000).all(|_| !buggify!(RingFull)));
    }

    #[test]
    fn a_scope_ends_with_its_value_and_a_panic_ends_it_too() {
        let ran = std::panic::catch_unwind(|| {
            let _scope = Scope::new(Some(Mutant::EarlyAck), 1).with(Point::RingFull, 1);
            assert!(is(Mutant::EarlyAck) && !is(Mutant::SilentGap) && buggify!(RingFull));
            panic!("a promise is broken");
        });
        assert!(ran.is_err());
        assert!(!is(Mutant::EarlyAck) && !buggify!(RingFull));
        assert_eq!(Scope::quiet(None).take_counts(), Counts::default());
    }

    #[test]
    #[should_panic(expected = "a thread has one scope at a time")]
    fn two_scopes_are_refused() {
        let _scope = Scope::quiet(None);
        let _other = Scope::quiet(None);
    }

    #[test]
    fn other_threads_know_nothing_of_it() {
        let _scope = Scope::quiet(Some(Mutant::EarlyAck));
        let there = std::thread::spawn(|| is(Mutant::EarlyAck));
        assert!(!there.join().unwrap() && is(Mutant::EarlyAck));
    }

    #[test]
    fn a_seed_is_the_same_run_and_seeds_differ_in_what_they_turn_on() {
        assert!((0..50).all(|seed| drawn(seed) == drawn(seed)));
        let often = |seed| drawn(seed).iter().filter(|&&struck| struck).count();
        let runs: Vec<_> = (0..200).map(often).collect();
        assert!(runs.contains(&0) && runs.iter().any(|&count| count > 40));
        assert!(runs.iter().any(|count| (1..20).contains(count)));
    }

    #[test]
    fn what_came_is_counted_and_taken_once() {
        let scope = Scope::quiet(None).with(Point::RingFull, 2);
        let struck = (0..100).filter(|_| buggify!(RingFull)).count() as u64;
        sometimes!(GapTold);
        sometimes!(GapTold, struck > 0);
        sometimes!(NotHome, struck == 0);
        let mut counts = scope.take_counts();
        counts += scope.take_counts();
        assert!(counts.points().any(|row| row == (Point::RingFull, struck)) && struck > 20);
        let marks: Vec<_> = counts.marks().filter(|&(_, came)| came > 0).collect();
        assert_eq!(marks, [(Mark::GapTold, 2)]);
    }
}
