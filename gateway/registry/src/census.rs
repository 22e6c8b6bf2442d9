//! The census: each shard says how much it holds, anyone may ask.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One cell per shard.
#[derive(Debug)]
pub struct Census {
    shards: Box<[Cell]>,
}

/// What one shard holds. Its shard writes, everyone reads.
///
/// Each number is true for some moment of the shard's last turns; two numbers need not be of
/// the same moment. A cell fills cache lines of its own, so that shards do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cell {
    live: AtomicU32,
    rooms: AtomicU64,
    outbox_bytes: AtomicU64,
    inbound_bytes: AtomicU64,
}

impl Census {
    /// A census of this many shards, all empty.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Cell::default()).collect() }
    }

    /// One shard's cell.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn shard(&self, index: usize) -> &Cell {
        &self.shards[index]
    }

    /// All cells, in the order of the shards.
    pub fn shards(&self) -> impl Iterator<Item = &Cell> {
        self.shards.iter()
    }

    /// Connections in all shards.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.shards().map(|cell| u64::from(cell.live())).sum()
    }
}

impl Cell {
    /// Connections, refused ones that still have to hear so included.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// Rooms that have members.
    #[must_use]
    pub fn rooms(&self) -> u64 {
        self.rooms.load(Ordering::Relaxed)
    }

    /// Bytes of memory kept for members that owe.
    #[must_use]
    pub fn outbox_bytes(&self) -> u64 {
        self.outbox_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory kept for unfinished messages.
    #[must_use]
    pub fn inbound_bytes(&self) -> u64 {
        self.inbound_bytes.load(Ordering::Relaxed)
    }

    /// For the cell's own shard.
    pub fn set_live(&self, live: u32) {
        self.live.store(live, Ordering::Relaxed);
    }

    /// For the cell's own shard.
    pub fn set_rooms(&self, rooms: u64) {
        self.rooms.store(rooms, Ordering::Relaxed);
    }

    /// For the cell's own shard.
    pub fn set_outbox_bytes(&self, bytes: u64) {
        self.outbox_bytes.store(bytes, Ordering::Relaxed);
    }

    /// For the cell's own shard.
    pub fn set_inbound_bytes(&self, bytes: u64) {
        self.inbound_bytes.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_apart_and_together() {
        let census = Census::new(3);
        census.shard(0).set_live(7);
        census.shard(2).set_live(u32::MAX);
        assert_eq!(census.shards().map(Cell::live).collect::<Vec<_>>(), [7, 0, u32::MAX]);
        assert_eq!(census.live(), u64::from(u32::MAX) + 7);
    }

    #[test]
    fn cells_share_no_cache_line() {
        let census = Census::new(2);
        let address = |index| std::ptr::from_ref(census.shard(index)).addr();
        assert!(address(1) - address(0) >= 128);
        assert_eq!(address(0) % 128, 0);
    }
}
