//! The census: each shard says how much it holds and reserves what it takes; anyone may ask.

use std::fmt;
use std::marker::PhantomData;

use gateway_faults::{self as faults, Mutant, sometimes};

use crate::ids::ShardId;
use crate::padded::Padded;
use crate::rules::{Rules, Sound};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Live connections of all shards, within limits that are never exceeded, and gauges.
///
/// A connection is counted from [`reserve`](Self::reserve) to [`release`](Self::release): on its
/// shard, and in the node's total. The total is raised first and lowered last.
pub struct Census<R: Rules = Sound> {
    shards: Box<[Cell]>,
    capacity: Capacity,
    /// Live connections of the node; every shard writes it, by compare-and-set.
    total: Padded<AtomicU64>,
    mirror: Option<Box<dyn Mirror>>,
    rules: PhantomData<R>,
}

/// Where the numbers of live connections are shown to somebody who cannot ask, such as a program
/// in the kernel. Only the census writes these cells.
pub trait Mirror: Send + Sync {
    /// Shards that there are cells for.
    fn shards(&self) -> usize;

    /// One shard's cell.
    fn shard(&self, index: usize) -> &AtomicU64;

    /// That of all shards together.
    fn total(&self) -> &AtomicU64;
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// In all shards together.
    pub total_max: u64,
    /// In each shard.
    pub shard_max: u32,
}

/// Why there is no place for one more connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// The node is full: no shard has a place.
    Node,
    /// This shard is full; another may have a place.
    Shard,
}

/// What one shard holds. Everyone reads; the live connections are written by who reserves and
/// releases, the gauges by their own shard.
///
/// Each gauge is true for some moment of the shard's last turns; two need not be of the same
/// moment. A cell fills cache lines of its own, so that shards do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cell {
    live: AtomicU32,
    rooms: AtomicU64,
    homes: AtomicU64,
    outbox_bytes: AtomicU64,
    inbound_bytes: AtomicU64,
    pool_hits: AtomicU64,
    pool_misses: AtomicU64,
    commands_waiting: AtomicU64,
    off_cpu: AtomicU64,
    accept_pauses: AtomicU64,
}

impl Census {
    /// A census of up to so many shards, all empty.
    #[must_use]
    pub fn new(capacity: Capacity, shards_max: usize) -> Self {
        Self::under_rules(capacity, shards_max)
    }

    /// The same, where the numbers of live connections are also written to `mirror`, such as a
    /// table that the kernel reads. Others only read its cells.
    ///
    /// A cell is written after each change, so it may be late by the changes that are under
    /// way, and is right as soon as none is.
    ///
    /// # Panics
    /// If the mirror has no cell for some shard.
    #[must_use]
    pub fn with_mirror(
        capacity: Capacity,
        shards_max: usize,
        mirror: impl Mirror + 'static,
    ) -> Self {
        Self::under_rules(capacity, shards_max).mirrored(mirror)
    }
}

impl<R: Rules> Census<R> {
    pub(crate) fn under_rules(capacity: Capacity, shards_max: usize) -> Self {
        Self {
            shards: (0..shards_max).map(|_| Cell::default()).collect(),
            capacity,
            total: Padded::default(),
            mirror: None,
            rules: PhantomData,
        }
    }

    pub(crate) fn mirrored(mut self, mirror: impl Mirror + 'static) -> Self {
        assert!(mirror.shards() >= self.shards.len(), "a mirror has a cell for every shard");
        let zero = |cell: &AtomicU64| cell.store(0, Ordering::Relaxed);
        (0..self.shards.len()).for_each(|shard| zero(mirror.shard(shard)));
        zero(mirror.total());
        self.mirror = Some(Box::new(mirror));
        self
    }

    /// Takes a place for one connection of this shard.
    ///
    /// # Errors
    /// If the node or the shard is full; nothing has changed then. Only if the shard's last place
    /// goes to somebody else just now, a place of the node is taken and given back at once.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn reserve(&self, shard: ShardId) -> Result<(), Full> {
        let Capacity { total_max, shard_max } = self.capacity;
        let live = &self.cell(shard).live;
        if self.total.load(Ordering::Relaxed) >= total_max {
            return Err(Full::Node);
        }
        if live.load(Ordering::Relaxed) >= shard_max {
            sometimes!(FullAtReserve);
            return Err(Full::Shard);
        }
        if !raise_total::<R>(&self.total, total_max) {
            return Err(Full::Node);
        }
        if !raise(live, shard_max) {
            self.lower_total();
            return Err(Full::Shard);
        }
        self.mirror(shard);
        self.mirror_total();
        Ok(())
    }

    /// Gives the place of one connection of this shard back.
    ///
    /// # Panics
    /// If the shard holds no connection, or there is no such shard.
    pub fn release(&self, shard: ShardId) {
        if faults::is(Mutant::PlaceKept) {
            return;
        }
        self.lower(shard);
        self.lower_total();
    }

    /// Takes a place on the shard `to` for a connection that moves there, and gives its place on
    /// `from` back. In between it is counted on both shards, but once in the node's total.
    ///
    /// # Errors
    /// [`Full::Shard`] if `to` is full; nothing has changed then.
    ///
    /// # Panics
    /// If both are the same, if `from` holds no connection, or if there is no such shard.
    pub fn moved(&self, from: ShardId, to: ShardId) -> Result<(), Full> {
        assert_ne!(from, to, "a connection moves to another shard");
        let unchecked = faults::is(Mutant::MoveUnchecked);
        let max = if unchecked { u32::MAX } else { self.capacity.shard_max };
        if !raise(&self.cell(to).live, max) {
            sometimes!(FullAtMove);
            return Err(Full::Shard);
        }
        self.mirror(to);
        self.lower(from);
        if faults::is(Mutant::PlaceGivenTwice) && self.live_on(from) > 0 {
            self.lower(from);
        }
        Ok(())
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
        self.total.load(Ordering::Relaxed)
    }

    /// Connections of one shard.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn live_on(&self, shard: ShardId) -> u32 {
        self.cell(shard).live()
    }

    /// How many there may be.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn cell(&self, shard: ShardId) -> &Cell {
        &self.shards[shard.index()]
    }

    fn lower(&self, shard: ShardId) {
        let less = |live: u32| live.checked_sub(1);
        let lowered =
            self.cell(shard).live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        assert!(lowered.is_ok(), "shard {shard} releases more places than it has reserved");
        self.mirror(shard);
    }

    fn lower_total(&self) {
        let less = |total: u64| total.checked_sub(1);
        let lowered = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        assert!(lowered.is_ok(), "the node releases more places than it has reserved");
        self.mirror_total();
    }

    /// Shows how much a shard holds.
    fn mirror(&self, shard: ShardId) {
        if let Some(mirror) = &self.mirror {
            let live = &self.cell(shard).live;
            let now = || u64::from(live.load(Ordering::Relaxed));
            converge::<R>(mirror.shard(shard.index()), now);
        }
    }

    /// Shows how much all shards hold.
    fn mirror_total(&self) {
        if let Some(mirror) = &self.mirror {
            converge::<R>(mirror.total(), || self.total.load(Ordering::Relaxed));
        }
    }
}

/// Makes a mirror's cell converge to a number, whoever else changes it meanwhile.
///
/// Swaps of one cell see each other in one order, each with all that was before it. So who swaps
/// last sees the last change when it looks again, or was the one to write it.
fn converge<R: Rules>(cell: &AtomicU64, number: impl Fn() -> u64) {
    let mut seen = number();
    loop {
        cell.swap(seen, Ordering::AcqRel);
        let now = number();
        if now == seen || !R::MIRROR_LOOKS_AGAIN {
            return;
        }
        seen = now;
    }
}

/// One more, unless that would be more than `max`. By compare-and-set, so that nobody ever sees
/// more than `max`, not even somebody who is about to be refused.
fn raise(live: &AtomicU32, max: u32) -> bool {
    let more = |live: u32| (live < max).then(|| live + 1);
    live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// As [`raise`], for the node.
fn raise_total<R: Rules>(total: &AtomicU64, max: u64) -> bool {
    let more = |total: u64| (total < max).then(|| total + 1);
    if R::RESERVE_COMPARES {
        return total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
    }
    let fits = more(total.load(Ordering::Relaxed)).is_some();
    if fits {
        total.fetch_add(1, Ordering::Relaxed);
    }
    fits
}

impl<R: Rules> fmt::Debug for Census<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shards, capacity, total, mirror, rules: _ } = self;
        f.debug_struct("Census")
            .field("capacity", capacity)
            .field("total", &**total)
            .field("mirrored", &mirror.is_some())
            .field("shards", shards)
            .finish()
    }
}

/// Reads and writes of each gauge; all are set by the cell's own shard only.
macro_rules! gauges {
    ($($(#[$doc:meta])* $gauge:ident $set:ident)*) => {
        impl Cell {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $gauge(&self) -> u64 {
                    self.$gauge.load(Ordering::Relaxed)
                }

                /// For the cell's own shard.
                pub fn $set(&self, value: u64) {
                    self.$gauge.store(value, Ordering::Relaxed);
                }
            )*
        }
    };
}

gauges! {
    /// Rooms that have members.
    rooms set_rooms
    /// Rooms that this shard is home to.
    homes set_homes
    /// Bytes of memory kept for members that owe.
    outbox_bytes set_outbox_bytes
    /// Bytes of memory kept for unfinished messages.
    inbound_bytes set_inbound_bytes
    /// Buffers that the shard's pool had, since the start.
    pool_hits set_pool_hits
    /// Buffers that the shard's pool had not, since the start.
    pool_misses set_pool_misses
    /// Commands that wait for room in a ring; as many publishers are not read from.
    commands_waiting set_commands_waiting
    /// Connections accepted since the start whose packets arrived on another CPU than the shard's.
    off_cpu set_off_cpu
    /// How often accepting has paused for want of descriptors or memory, since the start.
    accept_pauses set_accept_pauses
}

impl Cell {
    /// Connections that have a place on this shard.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const FIRST: ShardId = ShardId(0);
    const SECOND: ShardId = ShardId(1);

    fn census(total_max: u64, shard_max: u32) -> Census {
        Census::new(Capacity { total_max, shard_max }, 2)
    }

    /// A mirror in memory: the last cell is everyone's.
    #[derive(Clone)]
    struct Cells(Arc<[AtomicU64]>);

    impl Cells {
        fn new(shards: usize, value: u64) -> Self {
            Self((0..=shards).map(|_| AtomicU64::new(value)).collect())
        }

        fn shown(&self) -> Vec<u64> {
            self.0.iter().map(|cell| cell.load(Ordering::Relaxed)).collect()
        }
    }

    impl Mirror for Cells {
        fn shards(&self) -> usize {
            self.0.len() - 1
        }

        fn shard(&self, index: usize) -> &AtomicU64 {
            &self.0[index]
        }

        fn total(&self) -> &AtomicU64 {
            &self.0[self.shards()]
        }
    }

    fn live(census: &Census) -> (u32, u32, u64) {
        (census.live_on(FIRST), census.live_on(SECOND), census.live())
    }

    #[test]
    fn a_full_shard_leaves_places_for_another() {
        let census = census(3, 2);
        assert_eq!([FIRST; 3].map(|id| census.reserve(id)), [Ok(()), Ok(()), Err(Full::Shard)]);
        assert_eq!([SECOND; 2].map(|id| census.reserve(id)), [Ok(()), Err(Full::Node)]);
        assert_eq!(live(&census), (2, 1, 3));
        assert_eq!(census.reserve(FIRST), Err(Full::Node), "both are full: the node says so");
        census.release(FIRST);
        assert_eq!(census.reserve(SECOND), Ok(()));
        assert_eq!(live(&census), (1, 2, 3));
    }

    #[test]
    fn a_connection_moves_within_a_full_node() {
        let census = census(2, 1);
        census.reserve(FIRST).unwrap();
        assert_eq!(census.moved(FIRST, SECOND), Ok(()));
        assert_eq!(live(&census), (0, 1, 1));
        census.reserve(FIRST).unwrap();
        assert_eq!(census.moved(FIRST, SECOND), Err(Full::Shard));
        assert_eq!(live(&census), (1, 1, 2));
    }

    #[test]
    #[should_panic(expected = "shard 1 releases more places than it has reserved")]
    fn releasing_what_was_not_reserved_is_a_bug() {
        let census = census(2, 2);
        census.reserve(FIRST).unwrap();
        census.release(SECOND);
    }

    #[test]
    fn a_mirror_follows_every_change() {
        let mirror = Cells::new(3, 7);
        let shown = || mirror.shown();
        let capacity = Capacity { total_max: 9, shard_max: 9 };
        let census = Census::with_mirror(capacity, 2, mirror.clone());
        assert_eq!(shown(), [0, 0, 7, 0], "only cells of shards are written");
        census.reserve(FIRST).unwrap();
        census.reserve(FIRST).unwrap();
        census.moved(FIRST, SECOND).unwrap();
        assert_eq!(shown(), [1, 1, 7, 2]);
        census.release(FIRST);
        assert_eq!(shown(), [0, 1, 7, 1]);
    }

    #[test]
    fn threads_never_see_a_limit_exceeded() {
        let mirror = Cells::new(2, 0);
        let capacity = Capacity { total_max: 3, shard_max: 2 };
        let census = Arc::new(Census::with_mirror(capacity, 2, mirror.clone()));
        let threads: Vec<_> = [(FIRST, SECOND), (SECOND, FIRST), (FIRST, SECOND)]
            .map(|(here, there)| {
                let census = Arc::clone(&census);
                thread::spawn(move || come_and_go(&census, here, there))
            })
            .into();
        let held: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(held > 0, "somebody got a place");
        assert_eq!(live(&census), (0, 0, 0));
        assert_eq!(mirror.shown(), [0; 3]);
    }

    /// Returns how often it got a place.
    fn come_and_go(census: &Census, here: ShardId, there: ShardId) -> u32 {
        let mut held = 0;
        for _ in 0..20_000 {
            if census.reserve(here).is_ok() {
                held += 1;
                let moved = census.moved(here, there).is_ok();
                let within = [here, there].map(|shard| census.live_on(shard) <= 2);
                assert!(within == [true; 2] && census.live() <= 3);
                census.release(if moved { there } else { here });
            }
        }
        held
    }

    #[test]
    fn gauges_are_kept_apart() {
        let census = census(1, 1);
        let cell = census.shard(1);
        cell.set_homes(1);
        cell.set_pool_hits(2);
        cell.set_pool_misses(3);
        cell.set_commands_waiting(4);
        cell.set_rooms(5);
        cell.set_outbox_bytes(6);
        cell.set_inbound_bytes(7);
        let told = [cell.homes(), cell.pool_hits(), cell.pool_misses(), cell.commands_waiting()];
        assert_eq!(told, [1, 2, 3, 4]);
        assert_eq!([cell.rooms(), cell.outbox_bytes(), cell.inbound_bytes()], [5, 6, 7]);
        assert_eq!(census.shards().map(Cell::homes).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn cells_share_no_cache_line() {
        let census = census(1, 1);
        let address = |index| std::ptr::from_ref(census.shard(index)).addr();
        assert!(address(1) - address(0) >= 128);
        assert_eq!(address(0) % 128, 0);
    }
}
