//! A worker: a pinned thread that turns its shards, and sleeps when none has anything to do.

mod desk;
mod link;
mod orders;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use gateway_core::body::Store;
use gateway_core::counters::Counters;
use gateway_core::hub::{self, Hub};
use gateway_core::id::ShardId;
use gateway_core::time::{Now, Tick};
use gateway_ebpf::Network;
use gateway_registry::ids::WorkerId;
use gateway_registry::mailbox::Mailbox;
use gateway_registry::mesh;
use tokio::runtime;
use tracing::{error, info, warn};

use self::desk::Desk;
use self::link::{Link, Order, Parcel};
use self::orders::{Departed, Errands};
use crate::auth::Auth;
use crate::clock::{Alarm, Clock};
use crate::guard::Guard;
use crate::machine;
use crate::net::Net;
use crate::net::listen::Listeners;
use crate::node::{Node, Removal};
use crate::orders::Mailboxes;
use crate::plan::Place;
use crate::sequencer::Sequencer;
use crate::shard::{TURNS_MAX, report};
use crate::sources::Sources;
use crate::turn::Turn;
use crate::turn::notes::Rarely;

#[cfg(not(all(target_os = "linux", not(weir_portable))))]
use crate::net::TokioNet as ShardNet;
#[cfg(all(target_os = "linux", not(weir_portable)))]
use crate::net::{EpollNet as ShardNet, Extents, MemfdStore};

type Socket = <ShardNet as Net>::Socket;

/// All ports of a node's workers.
pub(crate) type Mesh = mesh::Mesh<Order<Socket>, Parcel>;
/// What waits in their rings.
pub(crate) type Depths = mesh::Depths<Order<Socket>, Parcel>;
/// One worker's port.
pub(crate) type Port = mesh::Port<Order<Socket>, Parcel>;

/// A shard that is to be served, from outside of the worker.
#[derive(Debug)]
pub(crate) struct Addition {
    pub(crate) shard: ShardId,
    pub(crate) listeners: Listeners,
    /// Hears whether it serves.
    pub(crate) reply: mpsc::Sender<Result<(), NotAdded>>,
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a worker's, on which nobody may wait for a shard.
pub(crate) fn is_this() -> bool {
    IS_WORKER.get()
}

/// Why a worker did not add a shard.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// The node says goodbye to everyone.
    Draining,
    /// The system has no descriptor or memory for it.
    System(io::Error),
}

/// All that a worker is started with.
pub(crate) struct Plan {
    pub(crate) node: Arc<Node>,
    pub(crate) port: Port,
    pub(crate) additions: Arc<Mailbox<Addition>>,
    pub(crate) orders: Mailboxes,
    /// Where it is to be pinned to.
    pub(crate) place: Option<Place>,
    /// The shards that it has from the beginning.
    pub(crate) shards: Vec<(ShardId, Listeners)>,
    pub(crate) setup: Setup,
}

/// What every shard of a node is made with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) hub: hub::Config,
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) sequencer: Option<Arc<dyn Sequencer>>,
    /// What one source may have of the whole node.
    pub(crate) sources: Arc<Sources>,
    /// Who is denied and who is allowed.
    pub(crate) guard: Arc<Guard>,
    /// Who speaks for others.
    pub(crate) proxies: Arc<[Network]>,
    /// Envelopes that a ring holds.
    pub(crate) ring: usize,
    /// Members served per slice of a flush, and envelopes taken from the mesh at a time.
    pub(crate) batch: usize,
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    pub(crate) store: Option<Arc<MemfdStore>>,
}

impl Setup {
    fn turn(&self, shard: ShardId, listeners: Listeners) -> io::Result<Turn<ShardNet>> {
        let config = hub::Config { shard: Some(shard), store: self.store(), ..self.hub.clone() };
        let turn = Turn::new(self.net(listeners)?, Hub::new(config), self.batch);
        let turn = turn.with_auth(Arc::clone(&self.auth)).with_sequencer(self.sequencer.clone());
        let turn = turn.with_guard(&self.guard).drawing_from(self.hub.seed ^ u64::from(shard.0));
        Ok(turn.with_sources(Arc::clone(&self.sources)).trusting(Arc::clone(&self.proxies)))
    }

    /// A shard's sockets, to which large payloads go uncopied from where they are kept.
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    fn net(&self, listeners: Listeners) -> io::Result<ShardNet> {
        let net = listen(listeners)?;
        Ok(match &self.store {
            Some(store) => net.with_extents(Arc::clone(store) as Arc<dyn Extents>),
            None => net,
        })
    }

    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    fn net(&self, listeners: Listeners) -> io::Result<ShardNet> {
        listen(listeners)
    }

    #[cfg(all(target_os = "linux", not(weir_portable)))]
    fn store(&self) -> Option<Arc<dyn Store>> {
        self.store.clone().map(|store| store as Arc<dyn Store>)
    }

    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }
}

fn listen(Listeners { shared, own }: Listeners) -> io::Result<ShardNet> {
    let net = ShardNet::new(shared)?;
    match own {
        Some(own) => net.with_own(own),
        None => Ok(net),
    }
}

impl Plan {
    /// Works on this thread until the node is over; returns what all of its shards counted.
    ///
    /// # Errors
    /// If a shard cannot be made, or a listener or its poller broke.
    pub(crate) fn work(self) -> io::Result<Counters> {
        let worker = self.port.worker();
        IS_WORKER.set(true);
        let place = self.place.filter(|&Place { cpu, .. }| {
            let pinned = machine::pin(cpu);
            pinned.inspect_err(|error| warn!(%worker, cpu, %error, "not pinned")).is_ok()
        });
        place.into_iter().for_each(|place| self.node.pinned(worker, place));
        let cpu = place.map(|place| place.cpu);
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        runtime.block_on(async {
            let errands = Errands::new(worker, Arc::clone(&self.node), self.orders);
            let mut worker = Worker::new(self.node, self.port, self.additions, errands, self.setup);
            worker.cpu = cpu;
            for (shard, listeners) in self.shards {
                worker.seat(shard, listeners)?;
                info!(%shard, worker = %worker.link.worker(), ?cpu, "serving");
            }
            // Shards are the runtime's only heavy task and count their own turns: tokio's budget
            // would only make sockets pretend to be blocked.
            let ended = tokio::task::unconstrained(poll_fn(|cx| worker.poll(cx))).await;
            if let Err(error) = &ended {
                error!(worker = %worker.link.worker(), %error, "the worker cannot go on");
            }
            worker.seats.iter().for_each(|seat| {
                worker.node.tally(seat.shard, &seat.turn.counters());
            });
            ended.map(|()| worker.counters())
        })
    }
}

/// A worker at work. Its rhythm is the doorbell's: awake, look at everything, sleep.
struct Worker {
    node: Arc<Node>,
    link: Link<Socket>,
    additions: Arc<Mailbox<Addition>>,
    errands: Errands,
    setup: Setup,
    /// Where it is pinned to.
    cpu: Option<usize>,
    seats: Vec<Seat>,
    clock: Clock,
    alarm: Alarm,
    /// Changes of who serves that were taken notice of.
    changes: u64,
    draining: bool,
    /// Whether everyone was told that the node is over.
    told_over: bool,
    /// What shards counted that have ended.
    gone: Counters,
}

/// One shard on its worker.
struct Seat {
    shard: ShardId,
    turn: Turn<ShardNet>,
    leaving: Option<Leaving>,
    departed: Departed,
    /// When it said last what it has counted, and whether it has counted more since.
    tallied: Tick,
    counts: bool,
}

/// What a shard that is being removed had accepted: before that, and up to its last turn.
#[derive(Debug)]
struct Leaving {
    before: u64,
    upto: u64,
    /// When somebody is told that it takes long.
    told: Rarely,
}

impl Worker {
    fn new(
        node: Arc<Node>,
        port: Port,
        additions: Arc<Mailbox<Addition>>,
        errands: Errands,
        setup: Setup,
    ) -> Self {
        let clock = Clock::start();
        Self {
            link: Link::new(Arc::clone(&node), port, setup.ring, setup.batch),
            alarm: Alarm::new(&clock),
            clock,
            changes: 0,
            node,
            additions,
            errands,
            setup,
            cpu: None,
            seats: Vec::new(),
            draining: false,
            told_over: false,
            gone: Counters::default(),
        }
    }

    fn seat(&mut self, shard: ShardId, listeners: Listeners) -> io::Result<()> {
        let turn = self.setup.turn(shard, listeners)?.pinned_to(self.cpu);
        self.link.open(shard);
        self.node.tally(shard, &turn.counters());
        let (leaving, tallied, counts) = (None, self.clock.now().tick(), false);
        let departed = Departed::default();
        self.seats.push(Seat { shard, turn, leaving, departed, tallied, counts });
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS_MAX {
            self.node.doorbell(self.link.worker()).awake();
            let busy = self.turn(cx)?;
            if self.may_end() {
                return Poll::Ready(Ok(()));
            }
            if busy || self.link.is_expecting() || self.errands.is_waiting() {
                continue;
            }
            let deadline = self.seats.iter().filter_map(Seat::deadline).min();
            if self.alarm.is_due(cx, &self.clock, deadline) {
                continue;
            }
            if self.node.doorbell(self.link.worker()).sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn of each shard that has anything to do; whether there was any.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let now = self.clock.now();
        self.take_orders();
        self.link.look_first();
        let mut busy = self.errands.run(now, &mut self.seats);
        for seat in &mut self.seats {
            let (leaving, tick) = (seat.leaving.is_some(), now.tick());
            let departed = &mut seat.departed;
            let mut desk =
                Desk { me: seat.shard, link: &mut self.link, leaving, now: tick, departed };
            if let Poll::Ready(result) = seat.turn.poll(cx, now, &mut desk) {
                result?;
                busy = true;
                report(&seat.turn, self.node.census.shard(seat.shard.index()));
                seat.count_late(&self.node);
                seat.counts = true;
            }
            seat.tally(now.tick(), &self.node);
        }
        self.unseat_the_vacant();
        self.seats.iter_mut().for_each(|seat| seat.complain(now, &self.node));
        self.link.ring();
        Ok(busy)
    }

    /// Does what was asked for from outside since the last turn.
    fn take_orders(&mut self) {
        if !self.draining && self.node.is_draining() {
            self.drain();
        }
        while let Some(Addition { shard, listeners, reply }) = self.additions.take() {
            let added = self.add(shard, listeners);
            // Who asked may have given up waiting; then it removes the shard or drains.
            let _ = reply.send(added);
        }
        let changes = self.node.changes();
        if self.changes != changes {
            self.changes = changes;
            self.evacuate();
        }
    }

    fn add(&mut self, shard: ShardId, listeners: Listeners) -> Result<(), NotAdded> {
        if self.draining {
            return Err(NotAdded::Draining);
        }
        self.seat(shard, listeners).map_err(NotAdded::System)?;
        self.node.serve(shard, self.link.worker());
        info!(%shard, worker = %self.link.worker(), "serving");
        Ok(())
    }

    fn drain(&mut self) {
        self.draining = true;
        let now = self.clock.now();
        for seat in &mut self.seats {
            let (leaving, tick) = (seat.leaving.is_some(), now.tick());
            let departed = &mut seat.departed;
            let mut desk =
                Desk { me: seat.shard, link: &mut self.link, leaving, now: tick, departed };
            seat.turn.drain(now, &mut desk);
        }
        self.node.has_drained();
    }

    /// Tells shards that leave where to, anew whenever that has changed.
    fn evacuate(&mut self) {
        let now = self.clock.now();
        for seat in self.seats.iter_mut().filter(|seat| self.node.is_leaving(seat.shard)) {
            let accepted = came(&seat.turn);
            let told = Rarely::rested(now);
            seat.leaving.get_or_insert(Leaving { before: accepted, upto: accepted, told });
            let to = self.node.serving();
            match self.node.removal(seat.shard) {
                Removal::Move => seat.turn.evacuate(now, to),
                Removal::Dismiss => seat.turn.dismiss(now, to),
            }
        }
    }

    /// Lets shards end from which everything has left.
    fn unseat_the_vacant(&mut self) {
        let (node, link, gone) = (&self.node, &mut self.link, &mut self.gone);
        self.seats.retain(|Seat { shard, turn, leaving, .. }| {
            let Some(Leaving { before, upto, .. }) = *leaving else { return true };
            if !turn.is_vacant() || link.has_mail(*shard) || !node.is_forsaken(*shard) {
                return true;
            }
            link.close(*shard);
            gone.merge(&turn.counters());
            report(turn, node.census.shard(shard.index()));
            node.tally(*shard, &turn.counters());
            node.remove(*shard);
            info!(%shard, accepted_meanwhile = upto - before, "removed");
            false
        });
    }

    /// Whether nobody is here any more, and nobody elsewhere needs this worker's shards.
    fn may_end(&mut self) -> bool {
        if !self.draining || !self.node.is_over() {
            return false;
        }
        if !std::mem::replace(&mut self.told_over, true) {
            self.node.ring_all();
        }
        self.seats.iter().all(|seat| seat.turn.hub().live() == 0)
    }

    fn counters(&self) -> Counters {
        let mut total = self.gone.clone();
        self.seats.iter().for_each(|seat| total.merge(&seat.turn.counters()));
        total
    }
}

impl Seat {
    /// When it is to be looked at although nothing happens.
    fn deadline(&self) -> Option<Now> {
        let told = self.leaving.as_ref().map(|leaving| leaving.told.next());
        let tally = self.counts.then(|| Tick(self.tallied.0 + 1).start());
        self.turn.hub().poll_timeout().into_iter().chain(told).chain(tally).min()
    }

    /// Says what it has counted, once in a tick.
    fn tally(&mut self, now: Tick, node: &Node) {
        if self.counts && now > self.tallied {
            (self.tallied, self.counts) = (now, false);
            node.tally(self.shard, &self.turn.counters());
        }
    }

    /// Says once in a while what a shard still has that is being removed.
    fn complain(&mut self, now: Now, node: &Node) {
        let Some(leaving) = &mut self.leaving else { return };
        if !leaving.told.may(now) {
            return;
        }
        let hub = self.turn.hub();
        warn!(
            shard = %self.shard,
            connections = hub.live(),
            rooms = hub.rooms(),
            homes = hub.homes(),
            arriving = node.arriving(self.shard),
            "still being removed"
        );
    }

    /// Counts whom a leaving shard still accepted.
    fn count_late(&mut self, node: &Node) {
        if let Some(Leaving { upto, .. }) = &mut self.leaving {
            let accepted = came(&self.turn);
            node.add_late(accepted - std::mem::replace(upto, accepted));
        }
    }
}

/// Connections that a shard took from its listeners or was passed, be they served here or not.
fn came(turn: &Turn<ShardNet>) -> u64 {
    turn.hub().counters().accepted + turn.passed()
}

/// Says that a worker's thread ends, however it does.
pub(crate) struct Ended {
    pub(crate) worker: WorkerId,
    pub(crate) node: Arc<Node>,
    pub(crate) tell: tokio::sync::mpsc::UnboundedSender<usize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.node.end();
        // Nobody listens any more when the node is being joined.
        let _ = self.tell.send(self.worker.index());
    }
}
