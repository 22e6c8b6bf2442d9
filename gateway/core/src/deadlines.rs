//! One deadline per slot, four bytes each, swept: no timer and no heap per connection.

use crate::slot::{self, Slot};
use crate::time::Tick;

/// The deadlines of a shard's slots, with the resolution of a [`Tick`].
///
/// `next` is never later than the earliest deadline, so a driver that sleeps until then misses
/// none; a sweep walks the whole array, which is 4 KiB for a thousand connections, and goes on
/// where it stopped if more are due than are wanted at a time.
#[derive(Debug)]
pub(crate) struct Deadlines {
    at: Vec<Tick>,
    next: Tick,
    /// Where the sweep goes on that stopped, and the earliest deadline that it has passed over.
    cursor: usize,
    passed: Tick,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { at: Vec::new(), next: Tick::NEVER, cursor: 0, passed: Tick::NEVER }
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

    /// When to sweep next, at the latest.
    pub(crate) fn next(&self) -> Tick {
        self.next
    }

    /// Moves slots whose deadline has come to `due`, in order; they have none afterwards. If there
    /// are more than `most`, the next sweep, which is due at once, goes on behind them.
    pub(crate) fn sweep(&mut self, now: Tick, most: usize, due: &mut Vec<Slot>) {
        if now < self.next {
            return;
        }
        if self.cursor == 0 {
            // What was set before is in the array.
            self.passed = Tick::NEVER;
        }
        for (index, at) in self.at.iter_mut().enumerate().skip(self.cursor) {
            if *at <= now {
                if due.len() == most {
                    self.cursor = index;
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

    #[test]
    fn a_sweep_gives_what_is_due_once_and_in_order() {
        let mut deadlines = Deadlines::new();
        for (slot, tick) in [(4, 10), (1, 12), (2, 10), (0, 30)] {
            deadlines.set(Slot(slot), Tick(tick));
        }
        deadlines.clear(Slot(0));
        deadlines.set(Slot(1), Tick(20));
        let mut due = Vec::new();
        deadlines.sweep(Tick(9), 9, &mut due);
        assert_eq!(due, []);
        assert_eq!(deadlines.next(), Tick(10));
        deadlines.sweep(Tick(10), 9, &mut due);
        assert_eq!(due, [Slot(2), Slot(4)]);
        assert_eq!(deadlines.next(), Tick(20));
        due.clear();
        deadlines.sweep(Tick(25), 9, &mut due);
        assert_eq!(due, [Slot(1)]);
        assert_eq!(deadlines.next(), Tick::NEVER);
    }

    #[test]
    fn a_crowd_that_is_due_at_once_is_swept_by_and_by_and_nobody_is_forgotten() {
        let mut deadlines = Deadlines::new();
        (0..10).for_each(|slot| deadlines.set(Slot(slot), Tick(5 + slot % 2)));
        let mut seen = Vec::new();
        let mut sweep = |deadlines: &mut Deadlines, now| {
            let mut due = Vec::new();
            deadlines.sweep(Tick(now), 4, &mut due);
            seen.extend(due.iter().map(|slot| slot.0));
            due.len()
        };
        assert_eq!(sweep(&mut deadlines, 6), 4);
        assert!(deadlines.next() <= Tick(6), "there are more");
        // Behind the cursor and before it, and what a slot had is replaced.
        deadlines.set(Slot(1), Tick(8));
        deadlines.set(Slot(9), Tick(9));
        assert_eq!(sweep(&mut deadlines, 6), 4);
        assert_eq!(sweep(&mut deadlines, 6), 1);
        assert_eq!(deadlines.next(), Tick(8), "it was passed over, and is not forgotten");
        assert_eq!((sweep(&mut deadlines, 8), deadlines.next()), (1, Tick(9)));
        assert_eq!((sweep(&mut deadlines, 9), deadlines.next()), (1, Tick::NEVER));
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 9]);
    }
}
