//! Which slots of a shard are free: the lowest is given first, a released one not at once.

use gateway_core::slot::{self, Slot};

/// One bit per slot, and the few slots in between states.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Bit set: in use, or released since the last poll.
    used: Vec<u64>,
    /// No word before this one has a free bit.
    first: usize,
    /// Released since the last poll.
    released: Vec<Slot>,
    /// In use without a connection: adopted, but the system refused to watch it.
    lost: Vec<Slot>,
}

impl Places {
    /// Takes the lowest free slot.
    pub(super) fn take(&mut self) -> Slot {
        let slot = self.vacant();
        self.claim(slot);
        slot
    }

    /// The lowest free slot, which stays free.
    pub(super) fn vacant(&mut self) -> Slot {
        while self.used.get(self.first) == Some(&u64::MAX) {
            self.first += 1;
        }
        let free = self.used.get(self.first).map_or(0, |word| word.trailing_ones());
        Slot::from(self.first * 64 + free as usize)
    }

    /// Takes this slot.
    ///
    /// # Panics
    /// If it is not free.
    pub(super) fn claim(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if word >= self.used.len() {
            self.used.resize(word + 1, 0);
        }
        assert!(
            self.used[word] & bit == 0,
            "slot {slot} is in use or was released since the last poll"
        );
        self.used[word] |= bit;
    }

    /// Gives a slot back, free from the next [`turn`](Self::turn) on.
    pub(super) fn release(&mut self, slot: Slot) {
        self.lost.retain(|&lost| lost != slot);
        self.released.push(slot);
    }

    /// Starts a poll: what was released before it is free now.
    pub(super) fn turn(&mut self) {
        for slot in self.released.drain(..) {
            let (word, bit) = place(slot);
            self.used[word] &= !bit;
            self.first = self.first.min(word);
        }
    }

    /// Gives back memory, and says behind which slot nothing is in use; what was released since
    /// the last poll still is.
    pub(super) fn cut(&mut self) -> usize {
        let words = self.used.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        slot::cut(&mut self.used, words);
        self.used.last().map_or(0, |word| words * 64 - word.leading_zeros() as usize)
    }

    /// Marks a slot in use as having no connection.
    pub(super) fn lose(&mut self, slot: Slot) {
        self.lost.push(slot);
    }

    /// Slots in use that have no connection, until released. Hardly ever any.
    pub(super) fn lost(&self) -> &[Slot] {
        &self.lost
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.index() % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_given_first() {
        let mut places = Places::default();
        let taken: Vec<u32> = (0..130).map(|_| places.take().0).collect();
        assert_eq!(taken, (0..130).collect::<Vec<u32>>());
        for slot in [129, 64, 3] {
            places.release(Slot(slot));
        }
        assert_eq!(places.take(), Slot(130), "released slots rest until the next poll");
        places.turn();
        let again: Vec<u32> = (0..4).map(|_| places.take().0).collect();
        assert_eq!(again, [3, 64, 129, 131]);
    }

    #[test]
    fn a_vacant_slot_stays_free_until_it_is_claimed() {
        let mut places = Places::default();
        assert_eq!((places.take(), places.take()), (Slot(0), Slot(1)));
        places.release(Slot(0));
        assert_eq!((places.vacant(), places.vacant()), (Slot(2), Slot(2)));
        places.claim(Slot(2));
        places.turn();
        assert_eq!((places.vacant(), places.take(), places.vacant()), (Slot(0), Slot(0), Slot(3)));
    }

    #[test]
    fn what_lies_behind_the_last_slot_in_use_is_given_back() {
        let mut places = Places::default();
        (0..100_000).for_each(|slot| assert_eq!(places.take(), Slot(slot)));
        (70..100_000).for_each(|slot| places.release(Slot(slot)));
        assert_eq!(places.cut(), 100_000, "released slots rest until the next poll");
        places.turn();
        places.release(Slot(3));
        assert_eq!(places.cut(), 70);
        assert!(places.used.capacity() <= 256, "{}", places.used.capacity());
        assert_eq!(places.take(), Slot(70));
        places.turn();
        assert_eq!((places.take(), places.take()), (Slot(3), Slot(71)));
        (0..72).for_each(|slot| places.release(Slot(slot)));
        places.turn();
        assert_eq!((places.cut(), places.take()), (0, Slot(0)));
    }

    #[test]
    fn a_claimed_slot_is_skipped() {
        let mut places = Places::default();
        places.claim(Slot(1));
        places.claim(Slot(200));
        assert_eq!((places.take(), places.take()), (Slot(0), Slot(2)));
    }

    #[test]
    #[should_panic(expected = "slot 7 is in use or was released since the last poll")]
    fn a_slot_released_in_this_turn_cannot_be_claimed() {
        let mut places = Places::default();
        places.claim(Slot(7));
        places.release(Slot(7));
        places.claim(Slot(7));
    }
}
