//! Positions: where in a room's messages somebody is.

use std::fmt;

/// Names a room's count of offsets. Positions of two epochs cannot be compared.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

/// A message's place in its room: strictly increasing from 1 within an epoch, possibly with holes.
/// 0 is before the first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first message.
    pub const START: Self = Self(0);

    /// The next one, if there are no holes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything up to `offset` of `epoch` was heard, or was not meant to be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// Which count of offsets.
    pub epoch: Epoch,
    /// The last one of it.
    pub offset: Offset,
}
