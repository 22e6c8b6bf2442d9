//! One deadline per slot, four bytes each, swept: no timer and no heap per connection.

use crate::slot::{self, Slot};
use crate::time::{Now, Tick};

/// A crowd whose time has come is looked at in so many steps, a tick's worth with their rests:
/// others are heard in between, and its machines are not busy with their ends all at once.
const STEPS: usize = 32;
/// Nanoseconds that a sweep rests between two steps.
const REST_NANOS: u64 = 4_000_000;
/// Slots in a step that are always looked at: a few need no rests.
const STEP_MIN: usize = 8;

/// The deadlines of a shard's slots, with the resolution of a [`Tick`].
///
/// [`next`](Self::next) is never later than the earliest deadline that may be met, so a driver that
/// sleeps until then misses none; a sweep walks the whole array, which is 4 KiB for a thousand
/// connections, and rests where it has found enough.
#[derive(Debug)]
pub(crate) struct Deadlines {
    at: Vec<Tick>,
    next: Tick,
    /// Where the sweep goes on that stopped, and the earliest deadline that it has passed over.
    cursor: usize,
    passed: Tick,
    /// When it goes on, and how many it then finds at most.
    resumes: Now,
    step: usize,
    /// The tick whose crowd the step is for.
    counted: Tick,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        let never = Tick::NEVER;
        let (at, resumes) = (Vec::new(), Now(0));
        Self { at, next: never, cursor: 0, passed: never, resumes, step: 0, counted: never }
    }

    /// Sets the slot's deadline, instead of the one it had.
    pub(crate) fn set(&mut self, slot: Slot, at: Tick) {
        if slot.index() >= self.at.len() {
            self.at.resize(slot.index() + 1, Tick::NEVER);
        }
        self.at[slot.index()] = at;
        self.next = self.next.min(at);
        self.passed = self.passed.min(at);
    }

    pub(crate) fn clear(&mut self, slot: Slot) {
        self.set(slot, Tick::NEVER);
    }

    /// Forgets the slots from `end` on, and what deadlines they have left.
    pub(crate) fn cut(&mut self, end: usize) {
        slot::cut(&mut self.at, end);
    }

    /// When to sweep next, at the latest; the start of [`Tick::NEVER`] if nothing is set.
    pub(crate) fn next(&self) -> Now {
        if self.cursor > 0 { self.resumes } else { self.next.start() }
    }

    /// Moves slots whose deadline has come to `due`, in order; they have none afterwards. If there
    /// are more than a step holds, a later sweep goes on behind them.
    pub(crate) fn sweep(&mut self, now: Now, due: &mut Vec<Slot>) {
        if now < self.next() {
            return;
        }
        let tick = now.tick();
        if self.cursor == 0 {
            // What was set before is in the array.
            (self.passed, self.step, self.counted) = (Tick::NEVER, STEP_MIN, Tick::NEVER);
        }
        if self.counted != tick {
            // Who has become due since then is not to wait in the steps of a smaller crowd.
            let ahead = self.at.iter().skip(self.cursor);
            let crowd = ahead.filter(|at| **at <= tick).count();
            (self.counted, self.step) = (tick, self.step.max(crowd.div_ceil(STEPS)));
        }
        for (index, at) in self.at.iter_mut().enumerate().skip(self.cursor) {
            if *at <= tick {
                if due.len() == self.step {
                    (self.cursor, self.resumes) = (index, Now(now.0 + REST_NANOS));
                    return;
                }
                *at = Tick::NEVER;
                due.push(Slot::from(index));
            }
            self.passed = self.passed.min(*at);
        }
        (self.next, self.cursor) = (self.passed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Now = Tick::NEVER.start();

    #[test]
    fn a_sweep_gives_what_is_due_once_and_in_order() {
        let mut deadlines = Deadlines::new();
        for (slot, tick) in [(4, 10), (1, 12), (2, 10), (0, 30)] {
            deadlines.set(Slot(slot), Tick(tick));
        }
        deadlines.clear(Slot(0));
        deadlines.set(Slot(1), Tick(20));
        let mut due = Vec::new();
        deadlines.sweep(Tick(9).start(), &mut due);
        assert_eq!(due, []);
        assert_eq!(deadlines.next(), Tick(10).start());
        deadlines.sweep(Tick(10).start(), &mut due);
        assert_eq!(due, [Slot(2), Slot(4)]);
        assert_eq!(deadlines.next(), Tick(20).start());
        due.clear();
        deadlines.sweep(Tick(25).start(), &mut due);
        assert_eq!(due, [Slot(1)]);
        assert_eq!(deadlines.next(), NEVER);
    }

    #[test]
    fn a_crowd_that_is_due_at_once_is_swept_by_and_by_and_nobody_is_forgotten() {
        let mut deadlines = Deadlines::new();
        (0..20).for_each(|slot| deadlines.set(Slot(slot), Tick(5 + slot % 2)));
        let mut seen = Vec::new();
        let mut sweep = |deadlines: &mut Deadlines, now| {
            let mut due = Vec::new();
            deadlines.sweep(now, &mut due);
            seen.extend(due.iter().map(|slot| slot.0));
            due.len()
        };
        let begin = Tick(6).start();
        assert_eq!(sweep(&mut deadlines, begin), 8);
        assert_eq!(deadlines.next(), Now(begin.0 + REST_NANOS), "there are more");
        assert_eq!(sweep(&mut deadlines, Now(begin.0 + 1)), 0, "others are heard in between");
        // Behind the cursor and before it, and what a slot had is replaced.
        deadlines.set(Slot(1), Tick(8));
        deadlines.set(Slot(19), Tick(9));
        let then = deadlines.next();
        assert_eq!(sweep(&mut deadlines, then), 8);
        let last = deadlines.next();
        assert_eq!(sweep(&mut deadlines, last), 3);
        assert_eq!(deadlines.next(), Tick(8).start(), "it was passed over, and not forgotten");
        assert_eq!(sweep(&mut deadlines, Tick(8).start()), 1);
        assert_eq!(deadlines.next(), Tick(9).start());
        assert_eq!((sweep(&mut deadlines, Tick(9).start()), deadlines.next()), (1, NEVER));
        assert_eq!(seen, (0..19).chain([1, 19]).collect::<Vec<_>>());
    }

    #[test]
    fn a_crowd_of_any_size_is_spread_over_a_tick_and_done_within_it() {
        for crowd in [500, 10_000] {
            let mut deadlines = Deadlines::new();
            (0..crowd).for_each(|slot| deadlines.set(Slot(slot), Tick(5)));
            let (mut now, mut done, mut largest) = (Tick(5).start(), 0, 0);
            while now != NEVER {
                assert!(now < Tick(6).start(), "{done} of {crowd}");
                let mut due = Vec::new();
                deadlines.sweep(now, &mut due);
                done += due.len();
                largest = largest.max(due.len());
                now = deadlines.next();
            }
            assert_eq!((done, largest), (crowd as usize, crowd.div_ceil(32) as usize));
        }
    }

    #[test]
    fn a_crowd_that_comes_during_a_sweep_does_not_wait_in_the_steps_of_a_smaller_one() {
        let mut deadlines = Deadlines::new();
        (0..250).for_each(|slot| deadlines.set(Slot(slot), Tick(5)));
        (250..10_000).for_each(|slot| deadlines.set(Slot(slot), Tick(6)));
        let (mut now, mut done) = (Tick(5).start(), 0);
        while deadlines.next() != NEVER {
            assert!(now < Tick(9).start(), "{done} of 10,000");
            let mut due = Vec::new();
            deadlines.sweep(now, &mut due);
            done += due.len();
            // Turns take 10 ms here.
            now = deadlines.next().max(Now(now.0 + 10_000_000));
        }
        assert_eq!(done, 10_000);
    }
}
