//! Who is who between shards: shards, and the authors of messages.

use std::fmt;

use crate::slot::Slot;

/// Shards of a node, at most.
pub const SHARDS_MAX: usize = 1 << SHARD_BITS;

const SHARD_BITS: u32 = 10;
const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 29;
const NAMED: u64 = 1 << 63;

/// One shard of this node, below [`SHARDS_MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard as an array index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose message it is: who has the same author does not hear it.
///
/// A connection is born with one, made of its shard, slot and that slot's generation, and keeps it
/// wherever it moves, so that the next connection in its slot is another author. A client that
/// is known by a name keeps its author from one connection to the next.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Author(u64);

impl Author {
    /// Who publishes without being anyone's member: everyone hears it.
    pub const NOBODY: Self = Self(u64::MAX);

    /// The author of a connection born in this place.
    ///
    /// Generations count 29 bits: a slot would have to be used half a billion times while one
    /// message is under way before two connections could be taken for one.
    ///
    /// # Panics
    /// If the shard or the slot is beyond what an id holds, 1,024 shards of 16,777,216 slots.
    #[must_use]
    pub fn born(shard: ShardId, slot: Slot, generation: u32) -> Self {
        assert!(shard.index() < SHARDS_MAX, "a node has at most {SHARDS_MAX} shards");
        assert!(slot.0 < 1 << SLOT_BITS, "a shard has at most 16,777,216 slots");
        let generation = u64::from(generation) & ((1 << GENERATION_BITS) - 1);
        let slot = u64::from(slot.0) << GENERATION_BITS;
        Self(u64::from(shard.0) << (SLOT_BITS + GENERATION_BITS) | slot | generation)
    }

    /// The author of whoever is known by this number, of which 62 bits count.
    #[must_use]
    pub fn named(name: u64) -> Self {
        Self(NAMED | name & (NAMED / 2 - 1))
    }

    /// Whether it is known by name and may be on several connections at a time.
    #[must_use]
    pub fn is_named(self) -> bool {
        self.0 & NAMED != 0 && self != Self::NOBODY
    }

    /// Where the connection was born, if that is what it is.
    #[inline]
    #[must_use]
    pub fn birthplace(self) -> Option<(ShardId, Slot)> {
        if self.0 & NAMED != 0 {
            return None;
        }
        let shard = (self.0 >> (SLOT_BITS + GENERATION_BITS)) as u16;
        let slot = (self.0 >> GENERATION_BITS) as u32 & ((1 << SLOT_BITS) - 1);
        Some((ShardId(shard), Slot(slot)))
    }

    /// The author as a number, for records.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The author that a record names.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.birthplace() {
            Some((shard, slot)) => {
                write!(f, "Author({shard}/{slot}.{})", self.0 & ((1 << GENERATION_BITS) - 1))
            }
            None if *self == Self::NOBODY => f.write_str("Author(nobody)"),
            None => write!(f, "Author(#{})", self.0 & (NAMED / 2 - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_remembers_where_it_was_born() {
        for (shard, slot) in [(0, 0), (1023, (1 << 24) - 1), (7, 4711)] {
            let author = Author::born(ShardId(shard), Slot(slot), u32::MAX);
            assert_eq!(author.birthplace(), Some((ShardId(shard), Slot(slot))));
            assert!(!author.is_named());
            assert_eq!(Author::from_bits(author.to_bits()), author);
        }
    }

    #[test]
    fn the_next_in_a_slot_is_another_author() {
        let born = |generation| Author::born(ShardId(3), Slot(9), generation);
        assert_ne!(born(1), born(2));
        assert_ne!(born(1), Author::born(ShardId(4), Slot(9), 1));
    }

    #[test]
    fn names_are_nobodys_place() {
        for name in [0, 1, u64::MAX] {
            let author = Author::named(name);
            assert!(author.is_named());
            assert_eq!(author.birthplace(), None);
            assert_ne!(author, Author::NOBODY);
        }
        assert!(!Author::NOBODY.is_named());
    }
}
