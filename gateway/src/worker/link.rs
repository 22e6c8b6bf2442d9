//! How a worker's shards speak to those of other workers, and to each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gateway_core::envelope::{Command, Delivery};
use gateway_core::frozen::Frozen;
use gateway_core::id::ShardId;
use gateway_registry::ids::WorkerId;
use gateway_registry::mesh::{Item, Port};

use crate::node::Node;
use crate::others::Arrival;

/// What goes towards a shard that is a home, or will serve a connection.
#[derive(Debug)]
pub(crate) struct Order<S> {
    to: ShardId,
    what: Cargo<S>,
}

#[derive(Debug)]
enum Cargo<S> {
    Command(Command),
    Adopt { socket: S, frozen: Box<Frozen> },
}

/// What comes from a home.
#[derive(Debug)]
pub(crate) struct Parcel {
    to: ShardId,
    delivery: Delivery,
}

/// A worker's end of the mesh.
pub(crate) struct Link<S> {
    pub(super) node: Arc<Node>,
    port: Port<Order<S>, Parcel>,
    /// By shard: what waits for those of this worker.
    inboxes: Vec<Option<Inbox<S>>>,
    /// Envelopes in all inboxes, connections not counted.
    waiting: usize,
    /// Envelopes that an inbox takes of each class.
    ring: usize,
    /// Envelopes taken from the mesh at a time.
    batch: usize,
    /// By worker: connections that wait for a ring, in order. No more than there are.
    parked: BTreeMap<WorkerId, VecDeque<Order<S>>>,
    /// What is said in the name of shards that have ended, until a ring takes it.
    strays: VecDeque<Parcel>,
    /// Whether the mesh may have more for this worker.
    more: bool,
}

/// What waits for one shard. Each queue keeps the order of each sender.
struct Inbox<S> {
    deliveries: VecDeque<Delivery>,
    commands: VecDeque<Command>,
    moved: VecDeque<(S, Box<Frozen>)>,
}

impl<S> Link<S> {
    pub(super) fn new(
        node: Arc<Node>,
        port: Port<Order<S>, Parcel>,
        ring: usize,
        batch: usize,
    ) -> Self {
        let inboxes = (0..node.shards_max()).map(|_| None).collect();
        Self {
            node,
            port,
            inboxes,
            waiting: 0,
            ring,
            batch,
            parked: BTreeMap::new(),
            strays: VecDeque::new(),
            more: false,
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.port.worker()
    }

    /// From now on this worker hears for the shard.
    pub(super) fn open(&mut self, shard: ShardId) {
        let before = self.inboxes[shard.index()].replace(Inbox::new());
        assert!(before.is_none(), "shard {shard} is opened once");
    }

    /// The shard has ended.
    pub(super) fn close(&mut self, shard: ShardId) {
        let inbox = self.inboxes[shard.index()].take();
        assert!(inbox.is_some_and(|inbox| inbox.is_empty()), "a shard ends with nothing unheard");
    }

    /// Whether something waits for a shard of this worker.
    pub(super) fn is_expecting(&self) -> bool {
        self.more || self.waiting > 0
    }

    pub(super) fn has_mail(&self, shard: ShardId) -> bool {
        self.inboxes[shard.index()].as_ref().is_some_and(|inbox| !inbox.is_empty())
    }

    /// Tells other workers what they were sent, and takes in what came: no more than a batch, and
    /// no more than inboxes should hold.
    pub(super) fn look_around(&mut self) {
        self.send_waiting();
        self.port.ring_doorbells();
        if self.waiting >= self.ring {
            // Whoever else waits there is turned before this worker sleeps.
            self.more = true;
            return;
        }
        let Self { port, inboxes, waiting, batch, .. } = self;
        let mut dead = Vec::new();
        self.more = port.receive(*batch, |_, item| {
            let to = match &item {
                Item::Command(order) => order.to,
                Item::Delivery(parcel) => parcel.to,
            };
            match (&mut inboxes[to.index()], item) {
                (Some(inbox), item) => *waiting += inbox.put(item),
                (None, Item::Command(order)) => dead.push(order),
                // Nobody is left there who would hear it.
                (None, Item::Delivery(_)) => {}
            }
        });
        for order in dead {
            match order.what {
                Cargo::Command(command) => self.answer_for_the_dead(command),
                Cargo::Adopt { .. } => panic!("a shard ends when nobody is on the way to it"),
            }
        }
    }

    /// Tells other workers what they were sent.
    pub(super) fn ring(&mut self) {
        self.port.ring_doorbells();
    }

    /// The next of what waits for a shard: what answers it first.
    pub(super) fn next(&mut self, shard: ShardId) -> Option<Arrival<S>> {
        let inbox = self.inboxes[shard.index()].as_mut()?;
        if let Some(delivery) = inbox.deliveries.pop_front() {
            self.waiting -= 1;
            return Some(Arrival::Delivery(delivery));
        }
        if let Some(command) = inbox.commands.pop_front() {
            self.waiting -= 1;
            return Some(Arrival::Command(command));
        }
        let (socket, frozen) = inbox.moved.pop_front()?;
        self.node.arrived(shard);
        Some(Arrival::Moved { socket, frozen })
    }

    pub(super) fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        let ring = self.ring;
        if let Some(inbox) = &mut self.inboxes[to.index()] {
            if inbox.commands.len() >= ring {
                return Err(command);
            }
            inbox.commands.push_back(command);
            self.waiting += 1;
            return Ok(());
        }
        let worker = self.node.worker_of(to);
        if worker == self.worker() {
            self.answer_for_the_dead(command);
            return Ok(());
        }
        if self.parked.contains_key(&worker) {
            // Connections go first, or commands could keep them waiting for ever.
            return Err(command);
        }
        self.port.command(worker, Order { to, what: Cargo::Command(command) }).map_err(|order| {
            match order.what {
                Cargo::Command(command) => command,
                Cargo::Adopt { .. } => unreachable!("the command came back"),
            }
        })
    }

    pub(super) fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        let ring = self.ring;
        if let Some(inbox) = &mut self.inboxes[to.index()] {
            if inbox.deliveries.len() >= ring {
                return Err(delivery);
            }
            inbox.deliveries.push_back(delivery);
            self.waiting += 1;
            return Ok(());
        }
        let worker = self.node.worker_of(to);
        if worker == self.worker() {
            return Ok(());
        }
        self.port.deliver(worker, Parcel { to, delivery }).map_err(|parcel| parcel.delivery)
    }

    /// Hands a connection over, for which way was made.
    pub(super) fn ship(&mut self, to: ShardId, socket: S, frozen: Box<Frozen>) {
        match &mut self.inboxes[to.index()] {
            Some(inbox) => inbox.moved.push_back((socket, frozen)),
            None => self.park(Order { to, what: Cargo::Adopt { socket, frozen } }),
        }
    }

    /// Sends it, behind those that wait for the same ring.
    fn park(&mut self, order: Order<S>) {
        let worker = self.node.worker_of(order.to);
        assert_ne!(worker, self.worker(), "who is expected here has an inbox");
        self.parked.entry(worker).or_default().push_back(order);
        self.send_parked(worker);
    }

    fn send_waiting(&mut self) {
        if !self.parked.is_empty() {
            let workers: Vec<_> = self.parked.keys().copied().collect();
            workers.into_iter().for_each(|worker| self.send_parked(worker));
        }
        while let Some(Parcel { to, delivery }) = self.strays.pop_front() {
            if let Err(delivery) = self.deliver(to, delivery) {
                return self.strays.push_front(Parcel { to, delivery });
            }
        }
    }

    fn send_parked(&mut self, worker: WorkerId) {
        let Some(orders) = self.parked.get_mut(&worker) else { return };
        while let Some(order) = orders.pop_front() {
            if let Err(order) = self.port.command(worker, order) {
                return orders.push_front(order);
            }
        }
        self.parked.remove(&worker);
    }

    /// A shard has ended after its last home moved away and everyone there was told. Only who
    /// asked the registry before that and was slow still believes in it: it is to ask again.
    fn answer_for_the_dead(&mut self, command: Command) {
        if let Command::Attach(attach) = command {
            let delivery = Delivery::NotHome { link: attach.link };
            self.strays.push_back(Parcel { to: attach.from, delivery });
        }
    }
}

impl<S> Inbox<S> {
    fn new() -> Self {
        Self { deliveries: VecDeque::new(), commands: VecDeque::new(), moved: VecDeque::new() }
    }

    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.commands.is_empty() && self.moved.is_empty()
    }

    /// Takes in what came through the mesh; how many envelopes that are counted.
    fn put(&mut self, item: Item<Order<S>, Parcel>) -> usize {
        match item {
            Item::Delivery(parcel) => self.deliveries.push_back(parcel.delivery),
            Item::Command(Order { what: Cargo::Command(command), .. }) => {
                self.commands.push_back(command);
            }
            Item::Command(Order { what: Cargo::Adopt { socket, frozen }, .. }) => {
                self.moved.push_back((socket, frozen));
                return 0;
            }
        }
        1
    }
}
