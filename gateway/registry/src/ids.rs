//! Names of shards and workers, unique within a node.

use std::fmt;

/// A shard: a turn and its hub. Shards are numbered from 0 and never renumbered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardId(pub u16);

/// A worker: a pinned thread that turns one or more shards, numbered from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkerId(pub u16);

impl ShardId {
    /// Its place in an array with an entry for each shard.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl WorkerId {
    /// Its place in an array with an entry for each worker.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_its_number() {
        assert_eq!(format!("{} {:>3}", ShardId(7), WorkerId(12)), "7  12");
        assert_eq!((ShardId(7).index(), WorkerId(u16::MAX).index()), (7, 65_535));
    }
}
