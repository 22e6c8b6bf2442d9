//! Places for connections, handed out by the rule that `Net` states.

use std::collections::BTreeSet;

use gateway_core::slot::Slot;

/// Dense places, of which a released one rests until the next poll has passed.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Option<T>>,
    free: BTreeSet<usize>,
    resting: Vec<usize>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: BTreeSet::new(), resting: Vec::new() }
    }

    /// Puts `value` into the lowest place that is free and rested.
    pub(crate) fn insert(&mut self, value: T) -> Slot {
        let index = self.free.pop_first().unwrap_or(self.places.len());
        if index == self.places.len() {
            self.places.push(None);
        }
        self.places[index] = Some(value);
        Slot::from(index)
    }

    /// The lowest place that is free and rested.
    pub(crate) fn vacant(&self) -> Slot {
        Slot::from(self.free.first().copied().unwrap_or(self.places.len()))
    }

    /// Puts `value` into a free place of the caller's choice.
    ///
    /// # Panics
    /// If the place is taken.
    pub(crate) fn put(&mut self, slot: Slot, value: T) {
        while self.places.len() <= slot.index() {
            self.free.insert(self.places.len());
            self.places.push(None);
        }
        let place = &mut self.places[slot.index()];
        assert!(place.is_none(), "slot {slot} is free before a connection is put into it");
        *place = Some(value);
        self.free.remove(&slot.index());
        self.resting.retain(|&index| index != slot.index());
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let value = self.places.get_mut(slot.index())?.take()?;
        self.resting.push(slot.index());
        Some(value)
    }

    /// Says that a poll has passed: what was released before it can be handed out by the next.
    pub(crate) fn rest(&mut self) {
        self.free.extend(self.resting.drain(..));
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        self.places.get(slot.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.places.get_mut(slot.index())?.as_mut()
    }

    /// The places in use, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, value)| Some((Slot::from(index), value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_place_rests_for_one_poll() {
        let mut slots = Slots::new();
        let places: Vec<Slot> = "abc".chars().map(|name| slots.insert(name)).collect();
        assert_eq!(places, [Slot(0), Slot(1), Slot(2)]);

        assert_eq!(slots.remove(Slot(1)), Some('b'));
        assert_eq!(slots.insert('d'), Slot(3));
        slots.rest();
        assert_eq!(slots.insert('e'), Slot(1));
    }

    #[test]
    fn the_lowest_free_place_comes_first() {
        let mut slots = Slots::new();
        for name in "abcd".chars() {
            slots.insert(name);
        }
        slots.remove(Slot(2));
        slots.remove(Slot(0));
        slots.rest();
        assert_eq!(slots.insert('e'), Slot(0));
        assert_eq!(slots.insert('f'), Slot(2));
        assert_eq!(slots.insert('g'), Slot(4));
    }

    #[test]
    fn a_chosen_place_is_not_handed_out_again() {
        let mut slots = Slots::new();
        slots.put(Slot(1), 'a');
        assert_eq!(slots.insert('b'), Slot(0));
        assert_eq!(slots.insert('c'), Slot(2));

        slots.remove(Slot(1));
        slots.put(Slot(1), 'd');
        slots.rest();
        assert_eq!(slots.insert('e'), Slot(3));
        assert_eq!(slots.iter().map(|(slot, _)| slot.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "slot 0 is free")]
    fn putting_into_a_taken_place_is_a_bug() {
        let mut slots = Slots::new();
        slots.insert('a');
        slots.put(Slot(0), 'b');
    }
}
