//! Where each shard stands, and how many are on the way to it.

use std::marker::PhantomData;

use crate::census::Census;
use crate::ids::{ShardId, WorkerId};
use crate::rooms::RoomRegistry;
use crate::rules::{Rules, Sound};
use crate::sync::{AtomicU16, AtomicU64, Ordering};

/// A shard that is not there yet, or not any more.
const ABSENT: u16 = 0;
/// It takes part in all.
const SERVING: u16 = 1;
/// It takes in nobody from other shards, and ends when nothing is left.
const LEAVING: u16 = 2;

/// All shards that a node may ever have: each is absent, serves, leaves, and is absent for good.
///
/// A connection that goes to another shard is counted as on the way from
/// [`set_out`](Self::set_out) to [`arrived`](Self::arrived). Either it sees that the shard leaves,
/// or the shard sees that it comes: both change the same count, so that one is first, and the
/// other sees all that was before it. So a shard that leaves and [`is
/// forsaken`](Self::is_forsaken) stays so.
#[derive(Debug)]
pub struct Standings<R: Rules = Sound> {
    shards: Box<[Standing]>,
    rules: PhantomData<R>,
}

#[derive(Debug, Default)]
struct Standing {
    /// Written by whoever has it serve, leave or end: one after the other.
    state: AtomicU16,
    /// Written before the state says that the shard is there, never again.
    worker: AtomicU16,
    /// Connections on their way to it. Changed by read-modify-writes of anybody.
    arriving: AtomicU64,
}

impl Standings {
    /// Of up to so many shards, of which none is there yet.
    #[must_use]
    pub fn new(shards_max: usize) -> Self {
        Self::under_rules(shards_max)
    }
}

impl<R: Rules> Standings<R> {
    pub(crate) fn under_rules(shards_max: usize) -> Self {
        let shards = (0..shards_max).map(|_| Standing::default()).collect();
        Self { shards, rules: PhantomData }
    }

    /// From now on the shard serves and may become home, on this worker, which is ready to hear for
    /// it. Whoever hears of it, here or by the registry, finds its worker.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn serve(&self, shard: ShardId, worker: WorkerId, rooms: &RoomRegistry<R>) {
        let standing = self.of(shard);
        standing.worker.store(worker.0, Ordering::Relaxed);
        standing.state.store(SERVING, Ordering::Release);
        rooms.serve(shard);
    }

    /// From now on the shard becomes home no more, nobody sets out for it, and it leaves.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn withdraw(&self, shard: ShardId, rooms: &RoomRegistry<R>) {
        if R::LEAVES_ROOMS_FIRST {
            rooms.withdraw(shard);
        }
        self.of(shard).state.store(LEAVING, Ordering::Release);
        if !R::LEAVES_ROOMS_FIRST {
            rooms.withdraw(shard);
        }
    }

    /// The shard, which was leaving and forsaken, has ended.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn remove(&self, shard: ShardId) {
        self.of(shard).state.store(ABSENT, Ordering::Release);
    }

    /// Counts somebody as on the way to a shard. False if that does not serve: then it is to be
    /// counted off again at once. A place there is taken after this, and before
    /// [`arrived`](Self::arrived).
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use = "a shard that does not serve is not to be gone to"]
    pub fn set_out(&self, to: ShardId) -> bool {
        let seen = self.is_serving(to);
        self.of(to).arriving.fetch_add(1, Ordering::AcqRel);
        if R::SAYS_SO_BEFORE_LOOKING { self.is_serving(to) } else { seen }
    }

    /// Somebody who has set out for a shard is there, or will not come. If the shard is leaving its
    /// worker is to be rung for: it may have looked in between, and sleep since.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn arrived(&self, at: ShardId, ring: impl FnOnce(WorkerId)) {
        self.of(at).arriving.fetch_sub(1, Ordering::AcqRel);
        if R::ARRIVED_RINGS && self.is_leaving(at) {
            ring(self.worker_of(at));
        }
    }

    /// Connections on their way to a shard, at some moment.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn arriving(&self, shard: ShardId) -> u64 {
        self.of(shard).arriving.load(Ordering::Relaxed)
    }

    /// Whether a shard that leaves, as its worker has seen, is nobody's destination and home, and
    /// has no connection, and never will again. What has arrived is to be looked for before.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn is_forsaken(&self, shard: ShardId, rooms: &RoomRegistry<R>, census: &Census<R>) -> bool {
        !self.is_awaited(shard) && rooms.homes(shard) == 0 && census.live_on(shard) == 0
    }

    /// Whether somebody is on the way. Nothing is added: whoever sets out afterwards sees all that
    /// we have seen, and so that the shard leaves.
    fn is_awaited(&self, shard: ShardId) -> bool {
        let arriving = &self.of(shard).arriving;
        let arriving = if R::AWAITED_READS_AND_WRITES {
            arriving.fetch_add(0, Ordering::AcqRel)
        } else {
            arriving.load(Ordering::Acquire)
        };
        arriving > 0
    }

    /// The worker of a shard that is there, or was.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn worker_of(&self, shard: ShardId) -> WorkerId {
        WorkerId(self.of(shard).worker.load(Ordering::Relaxed))
    }

    /// Whether it takes part in all.
    #[must_use]
    pub fn is_serving(&self, shard: ShardId) -> bool {
        self.state(shard) == SERVING
    }

    /// Whether it takes in nobody, and ends when nothing is left.
    #[must_use]
    pub fn is_leaving(&self, shard: ShardId) -> bool {
        self.state(shard) == LEAVING
    }

    /// Whether it serves or is leaving.
    #[must_use]
    pub fn is_present(&self, shard: ShardId) -> bool {
        self.state(shard) != ABSENT
    }

    /// Shards that there may ever be.
    #[must_use]
    pub fn shards_max(&self) -> usize {
        self.shards.len()
    }

    fn state(&self, shard: ShardId) -> u16 {
        self.shards.get(shard.index()).map_or(ABSENT, |it| it.state.load(Ordering::Acquire))
    }

    fn of(&self, shard: ShardId) -> &Standing {
        &self.shards[shard.index()]
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;
    use crate::census::Capacity;

    const SHARD: ShardId = ShardId(1);

    #[test]
    fn a_shard_comes_and_goes_once_everything_has_left_it() {
        let rooms = RoomRegistry::new(7, 1, 2);
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 2);
        let standings = Standings::new(2);
        assert!(!standings.is_present(SHARD) && !standings.is_present(ShardId(9)));
        standings.serve(SHARD, WorkerId(3), &rooms);
        assert_eq!((standings.is_serving(SHARD), standings.worker_of(SHARD)), (true, WorkerId(3)));
        let home = rooms.claim(0, b"room", SHARD);
        assert!(standings.set_out(SHARD));
        standings.withdraw(SHARD, &rooms);
        assert!(standings.is_leaving(SHARD) && standings.is_present(SHARD));
        assert_eq!(standings.arriving(SHARD), 1);
        census.reserve(SHARD).unwrap();
        let forsaken = || standings.is_forsaken(SHARD, &rooms, &census);
        assert!(!forsaken(), "somebody comes");
        let mut rung = None;
        standings.arrived(SHARD, |worker| rung = Some(worker));
        assert_eq!(rung, Some(WorkerId(3)));
        assert!(!forsaken(), "it has a connection");
        census.release(SHARD);
        assert!(!forsaken(), "it is somebody's home");
        assert!(rooms.retire(0, b"room", home.home, home.term));
        assert!(forsaken());
        standings.remove(SHARD);
        assert!(!standings.is_present(SHARD));
    }

    #[test]
    fn nobody_is_rung_for_as_long_as_the_shard_serves() {
        let rooms = RoomRegistry::new(7, 1, 2);
        let standings = Standings::new(2);
        assert!(!standings.set_out(SHARD), "it is not there yet");
        standings.arrived(SHARD, |_| panic!("it waits for nobody"));
        standings.serve(SHARD, WorkerId(0), &rooms);
        assert!(standings.set_out(SHARD));
        standings.arrived(SHARD, |_| panic!("it waits for nobody"));
        assert_eq!((standings.arriving(SHARD), standings.shards_max()), (0, 2));
    }
}
