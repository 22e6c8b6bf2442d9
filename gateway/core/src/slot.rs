//! A connection's place in a shard's dense arrays.

use std::fmt;

/// Slots that arrays keep memory for whatever there was: some tens of KiB for the largest entries.
const KEPT: usize = 256;

/// Index of one connection's place, the same in the hub and in the shard's sockets.
///
/// A slot is handed out again after its connection was released, but never within the
/// batch of readiness in which that happened.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot as an array index.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<usize> for Slot {
    /// # Panics
    /// If a shard had more than 2³² places, which no descriptor limit allows.
    fn from(index: usize) -> Self {
        Self(u32::try_from(index).expect("a shard holds fewer than 2^32 connections"))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an array of this capacity was for a crowd that has gone: at most an eighth is used.
#[inline]
#[must_use]
pub fn is_sparse(capacity: usize, used: usize) -> bool {
    capacity > KEPT && used <= capacity / 8
}

/// Drops the entries of an array by slot from `end` on, and gives back their memory if a crowd has
/// gone. Whatever an entry costs to copy was paid seven times when the others came.
pub fn cut<T>(array: &mut Vec<T>, end: usize) {
    array.truncate(end);
    if is_sparse(array.capacity(), array.len()) {
        array.shrink_to((2 * array.len()).max(KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_gives_back_what_a_crowd_took_and_keeps_room_for_a_few() {
        let mut array: Vec<usize> = (0..10_000).collect();
        cut(&mut array, 5_000);
        assert!(array.capacity() >= 10_000, "half of them may come back");
        cut(&mut array, 1_000);
        assert_eq!((array.len(), array.capacity()), (1_000, 2_000));
        cut(&mut array, 7);
        assert_eq!((array.len(), array.capacity()), (7, KEPT));
        cut(&mut array, 0);
        assert_eq!(array.capacity(), KEPT, "a few come and go without the allocator");
    }

    #[test]
    fn what_is_given_back_was_paid_for_by_those_who_came() {
        let (mut array, mut copied) = (Vec::new(), 0);
        for _ in 0..100 {
            array.resize(10_000, 0_u8);
            for end in (0..10_000).rev() {
                let before = array.capacity();
                cut(&mut array, end);
                copied += if array.capacity() < before { end } else { 0 };
            }
        }
        assert!(copied < 100 * 10_000 / 4, "{copied} of a million who came and went");
    }
}
