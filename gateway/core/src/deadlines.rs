//! One deadline per slot, four bytes each, swept: no timer and no heap per connection.

use crate::slot::{self, Slot};
use crate::time::Tick;

/// The deadlines of a shard's slots, with the resolution of a [`Tick`].
///
/// `next` is never later than the earliest deadline, so a driver that sleeps until then misses
/// none; a sweep walks the whole array, which is 4 KiB for a thousand connections.
#[derive(Debug)]
pub(crate) struct Deadlines {
    at: Vec<Tick>,
    next: Tick,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { at: Vec::new(), next: Tick::NEVER }
    }

    /// Sets the slot's deadline, instead of the one it had.
    pub(crate) fn set(&mut self, slot: Slot, at: Tick) {
        if slot.index() >= self.at.len() {
            self.at.resize(slot.index() + 1, Tick::NEVER);
        }
        self.at[slot.index()] = at;
        self.next = self.next.min(at);
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

    /// Moves the slots whose deadline has come to `due`, in order; they have none afterwards.
    pub(crate) fn sweep(&mut self, now: Tick, due: &mut Vec<Slot>) {
        if now < self.next {
            return;
        }
        let mut next = Tick::NEVER;
        for (index, at) in self.at.iter_mut().enumerate() {
            if *at <= now {
                *at = Tick::NEVER;
                due.push(Slot::from(index));
            }
            next = next.min(*at);
        }
        self.next = next;
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
        deadlines.sweep(Tick(9), &mut due);
        assert_eq!(due, []);
        assert_eq!(deadlines.next(), Tick(10));
        deadlines.sweep(Tick(10), &mut due);
        assert_eq!(due, [Slot(2), Slot(4)]);
        assert_eq!(deadlines.next(), Tick(20));
        due.clear();
        deadlines.sweep(Tick(25), &mut due);
        assert_eq!(due, [Slot(1)]);
        assert_eq!(deadlines.next(), Tick::NEVER);
    }
}
