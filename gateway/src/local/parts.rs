//! The parts of a node on one thread, and how one of its workers runs.

use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use gateway_core::counters::Counters;
use gateway_core::hub::{self, Sequencing};
use gateway_core::id::ShardId;
use gateway_registry::census::Census;
use gateway_registry::doorbell::Doorbell;
use gateway_registry::mailbox::Mailbox;
use gateway_registry::mesh::Capacities;

use super::LocalConfig;
use crate::handle::Handle;
use crate::net::Net;
use crate::node::Node;
use crate::orders::Mailboxes;
use crate::sources::Sources;
use crate::steer::Memory;
use crate::worker::{Addition, Depths, Mesh, Opener, Plan, Setup};

/// Additions that wait for a worker, which takes them in each turn.
const ADDITIONS_MAX: usize = 16;

/// Sockets that are there before their shard is.
pub(super) struct Made<N>(PhantomData<fn() -> N>);

impl<N> Clone for Made<N> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<N: Net> Opener for Made<N> {
    type Doors = N;
    type Net = N;

    fn open(&self, net: N) -> io::Result<N> {
        Ok(net)
    }
}

/// Orders to add a shard, for one worker.
type Additions<N> = Arc<Mailbox<Addition<N>>>;

/// A node whose workers do not run yet, although its shards serve.
pub(super) struct Parts<N: Net> {
    pub(super) node: Arc<Node>,
    pub(super) depths: Depths<Made<N>>,
    pub(super) handle: Handle,
    /// By worker.
    pub(super) additions: Box<[Additions<N>]>,
    /// By worker.
    pub(super) plans: Vec<Plan<Made<N>>>,
}

impl<N: Net> Parts<N> {
    /// `nets` are those of the shards that are there from the beginning.
    pub(super) fn new(config: LocalConfig, mut nets: Vec<N>) -> Self {
        let LocalConfig { workers, shards, ring, .. } = config;
        assert!(0 < workers && workers <= shards, "every worker has a shard");
        assert!(shards <= config.shards_max, "shards that are there may be there");
        let rings = Capacities { commands: ring, deliveries: ring };
        let mesh = Mesh::<Made<N>>::new(workers.into(), rings);
        let (depths, ports) = (mesh.depths(), mesh.into_ports());
        let doorbells: Vec<_> = ports.iter().map(|port| Arc::clone(port.doorbell())).collect();
        let orders = Mailboxes::new(mailboxes(&doorbells, Mailboxes::capacity()));
        let additions: Box<[Additions<N>]> = mailboxes(&doorbells, ADDITIONS_MAX).collect();
        let node = Arc::new(node(&config, doorbells));
        let setup = setup(config);
        let hub::Config { routes, limits, .. } = &setup.hub;
        let (routes, limits) = (Arc::clone(routes), limits.clone());
        let handle = Handle::new(Arc::clone(&node), orders.clone(), routes, limits);
        let mut plans = Vec::new();
        for ((port, additions), run) in ports.into_iter().zip(&additions).zip(runs(workers, shards))
        {
            // All are known before the first of them turns.
            run.clone().for_each(|shard| node.serve(ShardId(shard), port.worker()));
            plans.push(Plan {
                node: Arc::clone(&node),
                port,
                additions: Arc::clone(additions),
                orders: orders.clone(),
                shards: run.clone().map(ShardId).zip(nets.drain(..run.len())).collect(),
                setup: setup.clone(),
            });
        }
        Self { node, depths, handle, additions, plans }
    }
}

fn mailboxes<T>(
    doorbells: &[Arc<Doorbell>],
    capacity: usize,
) -> impl Iterator<Item = Arc<Mailbox<T>>> {
    let mailbox = move |doorbell| Arc::new(Mailbox::new(capacity, Arc::clone(doorbell)));
    doorbells.iter().map(mailbox)
}

fn node(config: &LocalConfig, doorbells: Vec<Arc<Doorbell>>) -> Node {
    let (seed, shards_max) = (config.hub.seed, usize::from(config.shards_max));
    let census = Arc::new(Census::new(config.capacity, shards_max));
    let memory = Arc::new(Memory::own(shards_max, 1));
    // Packets arrive on no CPU that anybody knows of.
    let cpus = Vec::new();
    Node::new(seed, census, doorbells, shards_max).balanced(&config.balance, memory, cpus, seed)
}

fn setup<N: Net>(config: LocalConfig) -> Setup<Made<N>> {
    let sequencing = match config.sequencer {
        Some(_) => Sequencing::Engine,
        None => Sequencing::Local,
    };
    Setup {
        hub: hub::Config { sequencing, ..config.hub },
        auth: config.auth,
        sequencer: config.sequencer,
        sources: Arc::new(Sources::new(&config.sources)),
        guard: config.guard,
        proxies: config.sources.proxies.into(),
        ring: config.ring,
        batch: config.batch,
        opener: Made(PhantomData),
    }
}

/// The shards of each worker, whose counts differ by at most one.
fn runs(workers: u16, shards: u16) -> impl Iterator<Item = Range<u16>> {
    let (each, more) = (shards / workers, shards % workers);
    let start = move |worker: u16| each * worker + more.min(worker);
    (0..workers).map(move |worker| start(worker)..start(worker + 1))
}

/// Runs one worker until the node is over.
pub(super) async fn run<N: Net>(plan: Plan<Made<N>>) -> io::Result<Counters> {
    let _ended = Ended { node: Arc::clone(&plan.node), additions: Arc::clone(&plan.additions) };
    plan.work(None).await
}

/// Says that a worker ends, however it does.
struct Ended<N> {
    node: Arc<Node>,
    additions: Additions<N>,
}

impl<N> Drop for Ended<N> {
    fn drop(&mut self) {
        if !self.node.is_draining() {
            // It broke or panicked. Without it the others cannot serve, and whoever joins them
            // would wait for ever.
            self.node.drain();
        }
        self.node.end();
        // Who waits for a shard hears that there will be none.
        while self.additions.take().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use gateway_registry::census::Capacity;
    use tokio::sync::oneshot;

    use super::*;

    /// The others went on serving, and whoever joined them before it waited for ever.
    #[test]
    fn a_worker_that_panics_has_the_node_drain_and_answers_nobody_any_more() {
        let doorbell = Arc::<Doorbell>::default();
        let additions = Arc::new(Mailbox::new(4, Arc::clone(&doorbell)));
        let census = Arc::new(Census::new(Capacity { total_max: 9, shard_max: 9 }, 2));
        let node = Arc::new(Node::new(1, census, vec![doorbell], 2));
        let (reply, mut answer) = oneshot::channel();
        let reply = Box::new(move |added| _ = reply.send(added));
        assert!(additions.post(Addition { shard: ShardId(1), doors: (), reply }).is_ok());
        let ended = Ended { node: Arc::clone(&node), additions };
        let worker = std::panic::AssertUnwindSafe(move || {
            let _ended = ended;
            panic!("as a worker does");
        });
        assert!(std::panic::catch_unwind(worker).is_err());
        assert!(node.is_draining() && node.has_ended());
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }

    #[test]
    fn shards_are_dealt_in_runs_that_differ_by_one_at_most() {
        let of = |workers, shards| runs(workers, shards).collect::<Vec<_>>();
        assert_eq!(of(2, 4), [0..2, 2..4]);
        assert_eq!(of(3, 5), [0..2, 2..4, 4..5]);
        assert_eq!(of(3, 3), [0..1, 1..2, 2..3]);
    }
}
