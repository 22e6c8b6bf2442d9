//! The connections of a shard by slot: an array that gives its tail back when a crowd has gone.

use std::ops::{Deref, DerefMut};

use super::Hub;
use super::conn::{Conn, Stage};
use crate::slot::{self, Slot};
use crate::time::Tick;

/// Seconds between two looks at what a crowd has left.
const REST_SECS: u32 = 1;

/// How often it is looked at after its last one has gone: rooms, and homes on other shards, go some
/// moments after their members.
const LOOKS: u8 = 3;

/// An array of connections and free slots.
///
/// Slots are given out lowest first, so that those at the end fall free when there are fewer. They
/// are dropped then, generations included; so that no two connections of a slot ever have the same
/// one, a slot that is made anew begins at the highest that was dropped.
#[derive(Debug)]
pub(super) struct Conns {
    conns: Vec<Conn>,
    /// The generation of the next slot that is made.
    floor: u32,
    /// When it is looked at what a crowd has left; never, as long as there is nothing.
    looks_at: Tick,
    looked_at: Tick,
    looks: u8,
}

impl Conns {
    pub(super) fn new() -> Self {
        Self { conns: Vec::new(), floor: 0, looks_at: Tick::NEVER, looked_at: Tick(0), looks: 0 }
    }

    /// Makes the array reach up to a slot that was given out.
    ///
    /// # Panics
    /// If the slot is not free.
    pub(super) fn reach(&mut self, slot: Slot) {
        if slot.index() >= self.conns.len() {
            let floor = self.floor;
            self.conns.resize_with(slot.index() + 1, || Conn::free(floor));
        }
        assert_eq!(self.conns[slot.index()].stage, Stage::Free, "a slot that is given out is free");
    }

    /// Makes a slot free; what was in it is returned.
    pub(super) fn vacate(&mut self, slot: Slot, live: u32) -> Conn {
        let conn = &mut self.conns[slot.index()];
        let free = Conn::free(conn.generation.wrapping_add(1));
        let conn = std::mem::replace(conn, free);
        if slot::is_sparse(self.conns.capacity(), live as usize) && self.ends_free() {
            self.looks = LOOKS;
            self.looks_at = self.looks_at.min(self.looked_at.after_secs(REST_SECS));
        }
        conn
    }

    /// When to look at what a crowd has left, if it has left anything.
    pub(super) fn looks_at(&self) -> Tick {
        self.looks_at
    }

    /// Notes a look, after which there may be others; one that saw nothing does not count.
    fn note_look(&mut self, now: Tick, saw: bool) {
        self.looked_at = now;
        self.looks -= u8::from(saw);
        self.looks_at = if self.looks > 0 { now.after_secs(REST_SECS) } else { Tick::NEVER };
    }

    /// Drops the free slots at the end. Each is dropped once for each time it was made.
    fn cut(&mut self) {
        while self.ends_free() {
            let conn = self.conns.pop().expect("it ends with a free slot");
            // Generations wrap around: the higher one is that which the other reaches first.
            if conn.generation.wrapping_sub(self.floor) <= u32::MAX / 2 {
                self.floor = conn.generation;
            }
        }
        let end = self.conns.len();
        slot::cut(&mut self.conns, end);
    }

    fn ends_free(&self) -> bool {
        self.conns.last().is_some_and(|conn| conn.stage == Stage::Free)
    }
}

impl Hub {
    /// Slots that the shard has state for: those in use, and some that are free.
    ///
    /// Whatever a driver keeps for the slots beyond them can go.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.conns.len()
    }

    /// Gives back what crowds took that have gone, of connections and of rooms.
    pub(super) fn give_back(&mut self, now: Tick) {
        self.lanes.trim(now);
        self.dispatch.trim(now);
        self.chunks.trim(now);
        // What is to be said or done may name a slot whose connection has gone.
        let quiet = !self.round.active && self.pending.is_empty() && self.effects.is_empty();
        if now >= self.conns.looks_at {
            self.conns.note_look(now, quiet);
        }
        if quiet {
            self.conns.cut();
            self.deadlines.cut(self.conns.len());
            self.messages_due.cut(self.conns.len());
        }
    }
}

impl Deref for Conns {
    type Target = [Conn];

    #[inline]
    fn deref(&self) -> &[Conn] {
        &self.conns
    }
}

impl DerefMut for Conns {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Conn] {
        &mut self.conns
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Slots by hand, as a network gives them out.
    struct Shard {
        conns: Conns,
        used: BTreeSet<u32>,
        /// All that were ever here.
        known: BTreeSet<(Slot, u32)>,
    }

    impl Shard {
        fn new() -> Self {
            Self { conns: Conns::new(), used: BTreeSet::new(), known: BTreeSet::new() }
        }

        /// Somebody comes to the lowest free slot.
        fn come(&mut self) {
            let slot = Slot((0..).find(|slot| !self.used.contains(slot)).expect("there is one"));
            self.used.insert(slot.0);
            self.conns.reach(slot);
            let conn = &mut self.conns[slot.index()];
            conn.stage = Stage::Open;
            assert!(self.known.insert((slot, conn.generation)), "{slot} again as it was");
        }

        fn go(&mut self, slot: u32) {
            self.used.remove(&slot);
            self.conns.vacate(Slot(slot), self.used.len() as u32);
        }
    }

    #[test]
    fn no_two_connections_are_the_same_however_many_come_and_go() {
        let mut shard = Shard::new();
        let mut dice = 7_u32;
        let mut roll = |below: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) % below
        };
        let (mut most, mut least) = (0, usize::MAX);
        for _ in 0..2_000 {
            (0..roll(40)).for_each(|_| shard.come());
            for _ in 0..roll(42).min(shard.used.len() as u32) {
                let which = roll(shard.used.len() as u32) as usize;
                let slot = *shard.used.iter().nth(which).expect("one of them");
                shard.go(slot);
            }
            let before = shard.conns.len();
            shard.conns.cut();
            (most, least) = (most.max(before), least.min(shard.conns.len()));
            assert_eq!(shard.conns.len() as u32, shard.used.last().map_or(0, |last| last + 1));
        }
        assert!(most > 4 * least.max(1), "it grew to {most} and shrank to {least}");
    }

    #[test]
    fn generations_that_wrap_around_go_on_from_there() {
        let mut shard = Shard::new();
        shard.conns.floor = u32::MAX - 1;
        for _ in 0..4 {
            shard.come();
            shard.go(0);
            shard.conns.cut();
        }
        assert_eq!(shard.known.len(), 4);
        assert_eq!(shard.conns.floor, 2);
    }

    #[test]
    fn a_crowd_is_looked_after_until_it_has_left_nothing() {
        let mut shard = Shard::new();
        (0..4_000).for_each(|_| shard.come());
        (100..4_000).for_each(|slot| shard.go(slot));
        assert_eq!(shard.conns.looks_at(), Tick(0).after_secs(REST_SECS));
        shard.conns.note_look(Tick(9), false);
        for look in 1..=LOOKS {
            let now = shard.conns.looks_at();
            assert_ne!(now, Tick::NEVER, "look {look}");
            shard.conns.note_look(now, true);
            shard.conns.cut();
            assert_eq!((shard.conns.len(), shard.conns.conns.capacity()), (100, 256));
        }
        assert_eq!(shard.conns.looks_at(), Tick::NEVER);
    }

    #[test]
    fn one_who_stays_at_the_end_costs_no_looks_until_he_goes() {
        let mut shard = Shard::new();
        (0..4_000).for_each(|_| shard.come());
        (0..3_999).for_each(|slot| shard.go(slot));
        assert_eq!(shard.conns.looks_at(), Tick::NEVER);
        shard.go(3_999);
        assert_ne!(shard.conns.looks_at(), Tick::NEVER);
    }
}
