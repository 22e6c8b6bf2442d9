//! A worker: turns its shards, and sleeps when none has anything to do.
//!
//! It knows nothing of threads or of the system's sockets: a node's workers are pinned threads
//! ([`thread`]), or tasks of one ([`local`](crate::local)).

mod desk;
mod link;
mod orders;
mod seat;
pub(crate) mod thread;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use gateway_core::counters::Counters;
use gateway_core::hub::{self, Hub};
use gateway_core::id::ShardId;
use gateway_ebpf::Network;
use gateway_registry::mailbox::Mailbox;
use gateway_registry::mesh;
use tracing::{error, info};

use self::desk::Desk;
use self::link::{Link, Order, Parcel};
use self::orders::{Departed, Errands};
use self::seat::{Leaving, Seat, came};
use crate::auth::Auth;
use crate::clock::{Alarm, Clock};
use crate::guard::Guard;
use crate::net::Net;
use crate::node::{Node, Removal};
use crate::orders::Mailboxes;
use crate::sequencer::Sequencer;
use crate::shard::{TURNS_MAX, report};
use crate::sources::Sources;
use crate::turn::Turn;
use crate::turn::notes::Rarely;

/// How a shard's sockets are made, on the worker that turns it.
pub(crate) trait Opener {
    /// What they are made of, by whoever adds the shard.
    type Doors;
    /// What they are.
    type Net: Net;

    /// Makes one shard's.
    fn open(&self, doors: Self::Doors) -> io::Result<Self::Net>;
}

/// A connection outside its slot, of sockets that are made like this.
type Socket<O> = <<O as Opener>::Net as Net>::Socket;

/// All ports of a node's workers.
pub(crate) type Mesh<O> = mesh::Mesh<Order<Socket<O>>, Parcel>;
/// What waits in their rings.
pub(crate) type Depths<O> = mesh::Depths<Order<Socket<O>>, Parcel>;
/// One worker's port.
pub(crate) type Port<O> = mesh::Port<Order<Socket<O>>, Parcel>;

/// A shard that is to be served, from outside of the worker.
pub(crate) struct Addition<D> {
    pub(crate) shard: ShardId,
    pub(crate) doors: D,
    pub(crate) reply: Reply,
}

/// Hears whether a shard serves; dropped if nobody will ever know.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), NotAdded>) + Send>;

/// Why a worker did not add a shard.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// The node says goodbye to everyone.
    Draining,
    /// The system has no descriptor or memory for it.
    System(io::Error),
}

thread_local! {
    /// Workers at work on this thread.
    static WORKERS_HERE: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is a worker's, on which nobody may wait for a shard.
pub(crate) fn is_this() -> bool {
    WORKERS_HERE.get() > 0
}

/// Says that a worker is at work on this thread, as long as it lives.
struct Here;

impl Here {
    fn begin() -> Self {
        WORKERS_HERE.set(WORKERS_HERE.get() + 1);
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        WORKERS_HERE.set(WORKERS_HERE.get() - 1);
    }
}

/// All that a worker is started with.
pub(crate) struct Plan<O: Opener> {
    pub(crate) node: Arc<Node>,
    pub(crate) port: Port<O>,
    pub(crate) additions: Arc<Mailbox<Addition<O::Doors>>>,
    pub(crate) orders: Mailboxes,
    /// The shards that it has from the beginning.
    pub(crate) shards: Vec<(ShardId, O::Doors)>,
    pub(crate) setup: Setup<O>,
}

/// What every shard of a node is made with.
#[derive(Clone)]
pub(crate) struct Setup<O> {
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
    pub(crate) opener: O,
}

impl<O: Opener> Setup<O> {
    fn turn(&self, shard: ShardId, doors: O::Doors) -> io::Result<Turn<O::Net>> {
        let config = hub::Config { shard: Some(shard), ..self.hub.clone() };
        let turn = Turn::new(self.opener.open(doors)?, Hub::new(config), self.batch);
        let turn = turn.with_auth(Arc::clone(&self.auth)).with_sequencer(self.sequencer.clone());
        let turn = turn.with_guard(&self.guard).drawing_from(self.hub.seed ^ u64::from(shard.0));
        Ok(turn.with_sources(Arc::clone(&self.sources)).trusting(Arc::clone(&self.proxies)))
    }
}

impl<O: Opener> Plan<O> {
    /// Works until the node is over, on the CPU that this thread is pinned to, if it is; returns
    /// what all of its shards counted. Time is the runtime's.
    ///
    /// # Errors
    /// If a shard cannot be made, or a listener or its poller broke.
    pub(crate) async fn work(self, cpu: Option<usize>) -> io::Result<Counters> {
        let _here = Here::begin();
        let errands = Errands::new(self.port.worker(), Arc::clone(&self.node), self.orders);
        let mut worker = Worker::new(self.node, self.port, self.additions, errands, self.setup);
        worker.cpu = cpu;
        for (shard, doors) in self.shards {
            worker.seat(shard, doors)?;
            info!(%shard, worker = %worker.link.worker(), ?cpu, "serving");
        }
        // Shards count their own turns: tokio's budget would only make sockets pretend to be
        // blocked.
        let ended = tokio::task::unconstrained(poll_fn(|cx| worker.poll(cx))).await;
        if let Err(error) = &ended {
            error!(worker = %worker.link.worker(), %error, "the worker cannot go on");
        }
        worker.seats.iter().for_each(|seat| {
            worker.node.tally(seat.shard, &seat.turn.counters());
        });
        ended.map(|()| worker.counters())
    }
}

/// A worker at work. Its rhythm is the doorbell's: awake, look at everything, sleep.
struct Worker<O: Opener> {
    node: Arc<Node>,
    link: Link<Socket<O>>,
    additions: Arc<Mailbox<Addition<O::Doors>>>,
    errands: Errands,
    setup: Setup<O>,
    /// Where it is pinned to.
    cpu: Option<usize>,
    seats: Vec<Seat<O::Net>>,
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

impl<O: Opener> Worker<O> {
    fn new(
        node: Arc<Node>,
        port: Port<O>,
        additions: Arc<Mailbox<Addition<O::Doors>>>,
        errands: Errands,
        setup: Setup<O>,
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

    fn seat(&mut self, shard: ShardId, doors: O::Doors) -> io::Result<()> {
        let turn = self.setup.turn(shard, doors)?.pinned_to(self.cpu);
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
        while let Some(Addition { shard, doors, reply }) = self.additions.take() {
            let added = self.add(shard, doors);
            reply(added);
        }
        let changes = self.node.changes();
        if self.changes != changes {
            self.changes = changes;
            self.evacuate();
        }
    }

    fn add(&mut self, shard: ShardId, doors: O::Doors) -> Result<(), NotAdded> {
        if self.draining {
            return Err(NotAdded::Draining);
        }
        self.seat(shard, doors).map_err(NotAdded::System)?;
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
