//! A connection's place in a shard's dense arrays.

use std::fmt;

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
