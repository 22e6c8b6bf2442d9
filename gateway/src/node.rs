//! What all workers of a node share: which shard is where and serves, and what ends them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gateway_core::counters::Counters;
use gateway_core::id::ShardId;
use gateway_registry::census::{Census, Full};
use gateway_registry::doorbell::Doorbell;
use gateway_registry::ending::Ending;
use gateway_registry::ids::{self, WorkerId};
use gateway_registry::rooms::RoomRegistry;
use gateway_registry::standings::Standings;

use crate::balance::{Balance, Seated, Whereabouts};
use crate::config::BalanceConfig;
use crate::others::{Found, Newcomer};
use crate::plan::{self, Place};
use crate::steer::Memory;

/// How often a shard is chosen for a newcomer whose place there somebody else takes first; then it
/// stays where it is.
const CHOICES_MAX: usize = 4;

/// Connections that a shard may have beyond its share before nobody moves there.
const SLACK: u64 = 64;

/// One node, as its workers see it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) rooms: RoomRegistry,
    pub(crate) census: Arc<Census>,
    standings: Standings,
    /// By shard: whether its connections are told to go, when it leaves. Written before its
    /// standing says that it does.
    dismissed: Box<[AtomicBool]>,
    serving: AtomicU32,
    /// Counts changes of who serves.
    changes: AtomicU64,
    doorbells: Vec<Arc<Doorbell>>,
    draining: AtomicBool,
    ending: Ending,
    /// Connections accepted by shards that were leaving already.
    late: AtomicU64,
    /// By shard: what it has counted, as it said last; nothing if it never served.
    tallies: Box<[Mutex<Option<Counters>>]>,
    balance: Balance,
    workplaces: Box<[Workplace]>,
}

/// What is known of a worker.
#[derive(Debug, Default)]
// On cache lines of its own: its worker writes here while it sends.
#[repr(align(128))]
struct Workplace {
    /// Where it is to be pinned to, and the NUMA node that it is for.
    planned: OnceLock<(Option<u32>, u32)>,
    /// Where it is pinned to; nothing if it is not, or not yet.
    place: OnceLock<Place>,
    /// Written by the worker, read by whoever looks on.
    cross_node_bytes: AtomicU64,
}

/// What becomes of a shard's connections when it is removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// They move to other shards; their clients notice nothing.
    Move,
    /// They are closed with 1001, as in a drain and within `drain_secs`.
    Dismiss,
}

impl Node {
    pub(crate) fn new(
        seed: u64,
        census: Arc<Census>,
        doorbells: Vec<Arc<Doorbell>>,
        shards_max: usize,
    ) -> Self {
        Self {
            workplaces: doorbells.iter().map(|_| Workplace::default()).collect(),
            rooms: RoomRegistry::new(seed, doorbells.len() * 2, shards_max),
            census,
            standings: Standings::new(shards_max),
            dismissed: (0..shards_max).map(|_| AtomicBool::new(false)).collect(),
            serving: AtomicU32::new(0),
            changes: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            ending: Ending::new(doorbells.len()),
            late: AtomicU64::new(0),
            tallies: (0..shards_max).map(|_| Mutex::default()).collect(),
            balance: Balance::new(
                &BalanceConfig::default(),
                Arc::new(Memory::own(shards_max, 1)),
                shards_max,
                Vec::new(),
                seed,
            ),
            doorbells,
        }
    }

    /// Spreads newcomers like this, by records in this memory, on a machine with these CPUs.
    pub(crate) fn balanced(
        self,
        config: &BalanceConfig,
        memory: Arc<Memory>,
        cpus: Vec<Seated>,
        seed: u64,
    ) -> Self {
        Self { balance: Balance::new(config, memory, self.shards_max(), cpus, seed), ..self }
    }

    /// Says that the kernel chooses listeners as the strategy would.
    pub(crate) fn decided_by_kernel(&self) {
        self.balance.decide_elsewhere();
    }

    /// Says where a worker is to work, before a shard serves there.
    pub(crate) fn planned(&self, worker: WorkerId, plan: &plan::Worker) {
        let narrow = |number: usize| u32::try_from(number).ok();
        let planned = (plan.cpu.and_then(narrow), narrow(plan.node).unwrap_or_default());
        let before = self.workplaces[worker.index()].planned.set(planned);
        assert!(before.is_ok(), "a worker is planned once");
    }

    /// The CPU that a worker is to be pinned to, if it is, and its NUMA node.
    pub(crate) fn plan_of(&self, worker: WorkerId) -> (Option<u32>, u32) {
        self.workplaces[worker.index()].planned.get().copied().unwrap_or_default()
    }

    /// A shard's worker, be the shard there or gone.
    pub(crate) fn worker_of(&self, shard: ShardId) -> WorkerId {
        self.standings.worker_of(registered(shard))
    }

    /// From now on the shard serves, on this worker, which is ready to hear for it.
    pub(crate) fn serve(&self, shard: ShardId, worker: WorkerId) {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.standings.serve(registered(shard), worker, &self.rooms);
        let (cpu, node) = self.plan_of(worker);
        let capacity = self.census.capacity().shard_max;
        self.balance.serve(shard, Whereabouts { capacity, cpu, node });
        self.changes.fetch_add(1, Ordering::Release);
        self.ring_all();
    }

    /// From now on nobody moves to the shard and no room begins there; it leaves.
    pub(crate) fn withdraw(&self, shard: ShardId, removal: Removal) {
        let dismissed = removal == Removal::Dismiss;
        self.dismissed[shard.index()].store(dismissed, Ordering::Relaxed);
        self.standings.withdraw(registered(shard), &self.rooms);
        self.serving.fetch_sub(1, Ordering::Relaxed);
        self.balance.withdraw(shard);
        self.changes.fetch_add(1, Ordering::Release);
        self.ring_all();
    }

    /// A shard that leaves does not wait for its connections to find a place: they are told to go.
    pub(crate) fn dismiss(&self, shard: ShardId) {
        self.dismissed[shard.index()].store(true, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
        self.ring_all();
    }

    /// How a shard that leaves is removed.
    pub(crate) fn removal(&self, shard: ShardId) -> Removal {
        match self.dismissed[shard.index()].load(Ordering::Relaxed) {
            true => Removal::Dismiss,
            false => Removal::Move,
        }
    }

    /// The shard has ended.
    pub(crate) fn remove(&self, shard: ShardId) {
        self.standings.remove(registered(shard));
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(crate) fn is_serving(&self, shard: ShardId) -> bool {
        self.standings.is_serving(registered(shard))
    }

    pub(crate) fn is_leaving(&self, shard: ShardId) -> bool {
        self.standings.is_leaving(registered(shard))
    }

    /// One of the shards that serve, the same for each number as long as none comes or goes.
    pub(crate) fn any_serving(&self, number: u64) -> Option<ShardId> {
        let serving = u64::from(self.serving.load(Ordering::Relaxed)).max(1);
        let picked = (number % serving) as usize;
        let mut all = self.all().filter(|&shard| self.is_serving(shard));
        let first = all.next()?;
        // Shards may have gone since they were counted.
        Some(std::iter::once(first).chain(all).nth(picked).unwrap_or(first))
    }

    /// All workers, ascending.
    pub(crate) fn all_workers(&self) -> impl Iterator<Item = WorkerId> + use<> {
        (u16::MIN..=u16::MAX).map(WorkerId).take(self.doorbells.len())
    }

    /// Shards that serve, ascending.
    pub(crate) fn serving(&self) -> Vec<ShardId> {
        self.all().filter(|&shard| self.is_serving(shard)).collect()
    }

    /// Whether the shard serves or is leaving.
    pub(crate) fn is_present(&self, shard: ShardId) -> bool {
        self.standings.is_present(registered(shard))
    }

    /// Shards that serve or are leaving, ascending.
    pub(crate) fn present(&self) -> Vec<ShardId> {
        self.all().filter(|&shard| self.is_present(shard)).collect()
    }

    /// Takes a place on `to` for one of `from`'s connections and gives that one's place back, if
    /// `to` serves and, unless it `must` go, is below its share.
    pub(crate) fn make_way(&self, from: ShardId, to: ShardId, must: bool) -> bool {
        if !must && !self.is_below_share(to) {
            return false;
        }
        let way = self.standings.set_out(registered(to))
            && self.census.moved(registered(from), registered(to)).is_ok();
        if !way {
            self.arrived(to);
        }
        way
    }

    /// Takes a place for somebody whom `here` has accepted, on the shard that is to serve it. Where
    /// all others are full or leaving, that is `here`, even if it is leaving.
    pub(crate) fn find_place(&self, here: ShardId, newcomer: &Newcomer) -> Found {
        for _ in 0..if newcomer.own { 0 } else { CHOICES_MAX } {
            let Some(at) = self.balance.shard_for(here, newcomer, &self.census) else { break };
            let placed = if at == here { self.reserve(here) } else { self.expect(at) };
            match placed {
                Ok(()) if at == here => return Found::Here,
                Ok(()) => return Found::There(at),
                Err(Full::Node) => return Found::Nowhere,
                Err(Full::Shard) => {}
            }
        }
        if self.reserve(here).is_ok() { Found::Here } else { Found::Nowhere }
    }

    fn reserve(&self, at: ShardId) -> Result<(), Full> {
        self.census.reserve(registered(at))
    }

    /// Where somebody goes on who was passed to a shard that is leaving, if another one serves: it
    /// has a place there then, and its place `here` is given back.
    pub(crate) fn send_on(&self, here: ShardId, newcomer: &Newcomer) -> Option<ShardId> {
        if !self.is_leaving(here) {
            return None;
        }
        (0..CHOICES_MAX).find_map(|_| {
            let chosen = self.balance.shard_for(here, newcomer, &self.census)?;
            (chosen != here && self.make_way(here, chosen, true)).then_some(chosen)
        })
    }

    /// Takes a place on a shard for a newcomer; one that does not serve is as good as full.
    fn expect(&self, at: ShardId) -> Result<(), Full> {
        let serves = self.standings.set_out(registered(at));
        let placed = if serves { self.reserve(at) } else { Err(Full::Shard) };
        if placed.is_err() {
            self.arrived(at);
        }
        placed
    }

    /// Somebody for whom way was made is there, or will not come.
    pub(crate) fn arrived(&self, at: ShardId) {
        self.standings.arrived(registered(at), |worker| self.doorbell(worker).ring());
    }

    /// Connections on their way to a shard.
    pub(crate) fn arriving(&self, shard: ShardId) -> u64 {
        self.standings.arriving(registered(shard))
    }

    /// Whether a leaving shard is nobody's destination and has no home, nor will.
    pub(crate) fn is_forsaken(&self, shard: ShardId) -> bool {
        self.standings.is_forsaken(registered(shard), &self.rooms, &self.census)
    }

    /// The home below its share: 9/8 of it, or so many more that few connections need not care.
    fn is_below_share(&self, shard: ShardId) -> bool {
        let serving = u64::from(self.serving.load(Ordering::Relaxed)).max(1);
        let live = self.census.live();
        let here = u64::from(self.census.live_on(registered(shard)));
        here * serving * 8 <= live * 9 || here * serving <= live + SLACK * serving
    }

    /// Says what a shard has counted until now.
    pub(crate) fn tally(&self, shard: ShardId, counters: &Counters) {
        let mut tally = self.tallies[shard.index()].lock().unwrap_or_else(PoisonError::into_inner);
        tally.get_or_insert_default().clone_from(counters);
    }

    /// What the shards have counted, as they said last; those that have ended too, so that sums
    /// never fall.
    pub(crate) fn tallies(&self) -> Vec<(ShardId, Counters)> {
        let tally = |shard: ShardId| {
            let tally = self.tallies[shard.index()].lock().unwrap_or_else(PoisonError::into_inner);
            tally.clone().map(|counters| (shard, counters))
        };
        self.all().filter_map(tally).collect()
    }

    /// Tells everyone to say goodbye and end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.ring_all();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A worker accepts nobody any more.
    pub(crate) fn has_drained(&self) {
        self.ending.has_drained();
    }

    /// Whether nobody is served, anywhere, nor will be.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_over(&self.census)
    }

    /// A worker ends, however it does.
    pub(crate) fn end(&self) {
        self.ending.end();
        self.ring_all();
    }

    pub(crate) fn ring_all(&self) {
        self.doorbells.iter().for_each(|doorbell| doorbell.ring());
    }

    pub(crate) fn doorbell(&self, worker: WorkerId) -> &Arc<Doorbell> {
        &self.doorbells[worker.index()]
    }

    pub(crate) fn workers(&self) -> usize {
        self.doorbells.len()
    }

    pub(crate) fn add_late(&self, connections: u64) {
        self.late.fetch_add(connections, Ordering::Relaxed);
    }

    /// Whether a worker has ended, however it did.
    pub(crate) fn has_ended(&self) -> bool {
        self.ending.has_ended()
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// The worker is pinned, for good.
    ///
    /// # Panics
    /// If it is pinned twice.
    pub(crate) fn pinned(&self, worker: WorkerId, place: Place) {
        let before = self.workplaces[worker.index()].place.set(place);
        assert!(before.is_ok(), "worker {worker} is pinned once");
    }

    /// Where a worker is pinned to, if it is.
    pub(crate) fn place(&self, worker: WorkerId) -> Option<Place> {
        self.workplaces[worker.index()].place.get().copied()
    }

    /// Counts bytes that a worker sends to one of another NUMA node; to be called by the sender.
    pub(crate) fn add_cross_node(&self, worker: WorkerId, bytes: u64) {
        let count = &self.workplaces[worker.index()].cross_node_bytes;
        count.store(count.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// By worker: bytes of envelopes that it has sent to workers of other NUMA nodes.
    pub(crate) fn cross_node_bytes(&self) -> Vec<u64> {
        let counts = self.workplaces.iter().map(|worker| &worker.cross_node_bytes);
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn shards_max(&self) -> usize {
        self.standings.shards_max()
    }

    fn all(&self) -> impl Iterator<Item = ShardId> {
        (u16::MIN..=u16::MAX).map(ShardId).take(self.shards_max())
    }
}

/// A shard as the registry and the census name it.
pub(crate) fn registered(shard: ShardId) -> ids::ShardId {
    ids::ShardId(shard.0)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use gateway_registry::census::Capacity;

    use super::*;

    const CAPACITY: Capacity = Capacity { total_max: 10_000, shard_max: 10_000 };

    fn node(shards: u16) -> Node {
        let census = Arc::new(Census::new(CAPACITY, 8));
        let node = Node::new(1, census, vec![Arc::default(), Arc::default()], 8);
        (0..shards).for_each(|shard| node.serve(ShardId(shard), WorkerId(shard % 2)));
        node
    }

    fn seat(node: &Node, shard: u16, connections: u32) {
        (0..connections).for_each(|_| node.census.reserve(ids::ShardId(shard)).unwrap());
    }

    #[test]
    fn nobody_moves_to_a_shard_beyond_its_share_unless_it_must() {
        let node = node(2);
        seat(&node, 0, 1);
        seat(&node, 1, 65);
        assert!(node.make_way(ShardId(0), ShardId(1), false), "slack for small numbers");
        assert_eq!(node.census.live_on(ids::ShardId(1)), 66);
        seat(&node, 0, 1_000);
        seat(&node, 1, 1_209);
        // 2,275 live: a share of 1,137.5, and an eighth more is 1,279.7.
        assert!((0..5).all(|_| node.make_way(ShardId(0), ShardId(1), false)));
        assert!(!node.make_way(ShardId(0), ShardId(1), false));
        assert!(node.make_way(ShardId(0), ShardId(1), true));
        assert_eq!(node.census.live(), 2_275, "who moves is counted once");
    }

    #[test]
    fn a_leaving_shard_takes_nobody_and_is_waited_for_until_all_arrived() {
        let node = node(3);
        seat(&node, 0, 2);
        assert!(node.make_way(ShardId(0), ShardId(2), false));
        node.withdraw(ShardId(2), Removal::Move);
        assert!(!node.make_way(ShardId(0), ShardId(2), true));
        assert_eq!((node.serving(), node.present().len()), (vec![ShardId(0), ShardId(1)], 3));
        assert!(!node.is_forsaken(ShardId(2)));
        node.doorbell(WorkerId(0)).awake();
        node.arrived(ShardId(2));
        assert!(!node.doorbell(WorkerId(0)).sleep(Waker::noop()), "it is told to look again");
        assert!(!node.is_forsaken(ShardId(2)), "it has a connection");
        node.census.release(ids::ShardId(2));
        assert!(node.is_forsaken(ShardId(2)));
        node.rooms.serve(ids::ShardId(2));
        node.rooms.claim(0, b"room", ids::ShardId(2));
        assert!(!node.is_forsaken(ShardId(2)), "it is somebody's home");
    }

    #[test]
    fn a_node_is_over_when_all_workers_accept_nobody_and_nobody_is_left() {
        let node = node(2);
        seat(&node, 0, 1);
        node.drain();
        node.has_drained();
        node.census.release(ids::ShardId(0));
        assert!(!node.is_over(), "the other worker may still accept");
        node.has_drained();
        assert!(node.is_over());
    }
}
