//! How a worker's shards speak to those of other workers, and to each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gateway_core::envelope::{Command, Delivery};
use gateway_core::frozen::Frozen;
use gateway_core::id::ShardId;
use gateway_faults::{self as faults, Mutant, buggify};
use gateway_registry::ids::WorkerId;
use gateway_registry::mesh::{Item, Port};

use crate::node::Node;
use crate::others::{Arrival, Moved, Passed};

/// What goes towards a shard that is a home, or will serve a connection.
#[derive(Debug)]
pub(crate) struct Order<S> {
    to: ShardId,
    what: Cargo<S>,
}

#[derive(Debug)]
enum Cargo<S> {
    Command(Command),
    Adopt(Traveller<S>),
}

/// A connection between two shards, which has a place where it goes.
#[derive(Debug)]
enum Traveller<S> {
    Moved(Moved<S>),
    Passed(Passed<S>),
}

/// What comes from a home.
#[derive(Debug)]
pub(crate) struct Parcel {
    to: ShardId,
    delivery: Delivery,
}

impl<S> Order<S> {
    /// What it has with it beside itself, in bytes.
    fn carried_bytes(&self) -> usize {
        match &self.what {
            Cargo::Command(command) => command.carried_bytes(),
            Cargo::Adopt(Traveller::Moved(_)) => size_of::<Frozen>(),
            Cargo::Adopt(Traveller::Passed(_)) => 0,
        }
    }
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
    travellers: VecDeque<Traveller<S>>,
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
        self.receive();
    }

    /// As [`look_around`](Self::look_around), when each shard's turn is about to come: what they
    /// say to each other must not keep others waiting, whose words they may be waiting for.
    pub(super) fn look_first(&mut self) {
        self.send_waiting();
        self.port.ring_doorbells();
        self.receive();
    }

    fn receive(&mut self) {
        let Self { port, inboxes, waiting, batch, .. } = self;
        let mut dead = Vec::new();
        let letters = if buggify!(LettersFew) { 1 } else { *batch };
        self.more = port.receive(letters, |_, item| {
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
                Cargo::Adopt(_) => panic!("a shard ends when nobody is on the way to it"),
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
        let traveller = inbox.travellers.pop_front()?;
        self.node.arrived(shard);
        Some(match traveller {
            Traveller::Moved(moved) => Arrival::Moved(moved),
            Traveller::Passed(passed) => Arrival::Passed(passed),
        })
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
        let carried = self.crossing(worker, || command.carried_bytes());
        let sent = self.port.command(worker, Order { to, what: Cargo::Command(command) });
        sent.map_err(|order| match order.what {
            Cargo::Command(command) => command,
            Cargo::Adopt(_) => unreachable!("the command came back"),
        })?;
        self.has_crossed::<Order<S>>(carried);
        Ok(())
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
        let carried = self.crossing(worker, || delivery.carried_bytes());
        self.port.deliver(worker, Parcel { to, delivery }).map_err(|parcel| parcel.delivery)?;
        self.has_crossed::<Parcel>(carried);
        Ok(())
    }

    /// What is to be counted beside the envelope itself, if it goes to another NUMA node: who is
    /// not pinned is on none. Asked before the envelope goes, when it can still be read.
    fn crossing(&self, to: WorkerId, carried: impl FnOnce() -> usize) -> Option<usize> {
        let (here, there) = (self.node.place(self.worker())?, self.node.place(to)?);
        (here.node != there.node).then(carried)
    }

    /// Counts an envelope that a ring took.
    fn has_crossed<E>(&self, carried: Option<usize>) {
        if let Some(carried) = carried {
            self.node.add_cross_node(self.worker(), (size_of::<E>() + carried) as u64);
        }
    }

    /// Hands a connection over, for which way was made.
    pub(super) fn ship(&mut self, to: ShardId, moved: Moved<S>) {
        self.hand_over(to, Traveller::Moved(moved));
    }

    /// Hands a newcomer over, for which there is a place.
    pub(super) fn pass(&mut self, to: ShardId, passed: Passed<S>) {
        self.hand_over(to, Traveller::Passed(passed));
    }

    fn hand_over(&mut self, to: ShardId, traveller: Traveller<S>) {
        match &mut self.inboxes[to.index()] {
            Some(inbox) => inbox.travellers.push_back(traveller),
            None if faults::is(Mutant::TravellerLost) => {}
            None => self.park(Order { to, what: Cargo::Adopt(traveller) }),
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
        self.send_strays();
    }

    fn send_strays(&mut self) {
        while let Some(Parcel { to, delivery }) = self.strays.pop_front() {
            if let Err(delivery) = self.deliver(to, delivery) {
                return self.strays.push_front(Parcel { to, delivery });
            }
        }
    }

    fn send_parked(&mut self, worker: WorkerId) {
        let Some(mut orders) = self.parked.remove(&worker) else { return };
        while let Some(order) = orders.pop_front() {
            let carried = self.crossing(worker, || order.carried_bytes());
            if let Err(order) = self.port.command(worker, order) {
                orders.push_front(order);
                self.parked.insert(worker, orders);
                return;
            }
            self.has_crossed::<Order<S>>(carried);
        }
    }

    /// A shard has ended after its last home moved away and everyone there was told. Only who
    /// asked the registry before that and was slow still believes in it: it is to ask again.
    fn answer_for_the_dead(&mut self, command: Command) {
        if let Command::Attach(attach) = command {
            let delivery = Delivery::NotHome { link: attach.link };
            self.strays.push_back(Parcel { to: attach.from, delivery });
            // Now, or a worker without anything else to do would sleep on it.
            self.send_strays();
        }
    }
}

impl<S> Inbox<S> {
    fn new() -> Self {
        let (deliveries, commands) = (VecDeque::new(), VecDeque::new());
        Self { deliveries, commands, travellers: VecDeque::new() }
    }

    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.commands.is_empty() && self.travellers.is_empty()
    }

    /// Takes in what came through the mesh; how many envelopes that are counted.
    fn put(&mut self, item: Item<Order<S>, Parcel>) -> usize {
        match item {
            Item::Delivery(parcel) => self.deliveries.push_back(parcel.delivery),
            Item::Command(Order { what: Cargo::Command(command), .. }) => {
                self.commands.push_back(command);
            }
            Item::Command(Order { what: Cargo::Adopt(traveller), .. }) => {
                self.travellers.push_back(traveller);
                return 0;
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use gateway_core::dispatch::{Answer, Inquiry};
    use gateway_core::envelope::{Attach, Post, Term};
    use gateway_core::event::{Effect, Event};
    use gateway_core::frame::Kind;
    use gateway_core::hub::{self, Hub};
    use gateway_core::id::Author;
    use gateway_core::message::{Batch, Meta, Words};
    use gateway_core::position::Offset;
    use gateway_core::slot::Slot;
    use gateway_core::time::Now;
    use gateway_registry::census::{Capacity, Census};
    use gateway_registry::mesh::{Capacities, Mesh};

    use super::*;
    use crate::plan::Place;

    /// Shard 1 asks shard 0, of which the registry said that it is the room's home.
    fn attach() -> Box<Attach> {
        struct Keep(Vec<Command>);
        impl Post for Keep {
            fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
                self.0.push(command);
                Ok(())
            }
            fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
                Err(delivery)
            }
        }
        let (now, slot) = (Now(0), Slot(0));
        let mut hub = Hub::new(hub::Config { shard: Some(ShardId(1)), ..hub::Config::default() });
        let mut request = b"GET /ws/room HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
        hub.handle(now, Event::Accepted { slot });
        hub.handle(now, Event::Received { slot, bytes: &mut request });
        while let Some(effect) = hub.poll_effect() {
            if let Effect::Inquire(Inquiry::Claim { room }) = effect {
                let (home, term, fresh) = (ShardId(0), Term(7), false);
                hub.handle(now, Event::Answer(Answer::Claimed { room, home, term, fresh }));
            }
        }
        let mut keep = Keep(Vec::new());
        assert!(hub.exchange(now, &mut keep));
        let Some(Command::Attach(attach)) = keep.0.pop() else { panic!("it attaches") };
        attach
    }

    /// Two workers with rings for two envelopes, each with a shard that is still to be opened.
    fn workers() -> (Arc<Node>, [Link<()>; 2]) {
        let capacities = Capacities { commands: 2, deliveries: 2 };
        let mut ports = Mesh::<Order<()>, Parcel>::new(2, capacities).into_ports().into_iter();
        let ports = [ports.next().unwrap(), ports.next().unwrap()];
        let doorbells = ports.iter().map(|port| Arc::clone(port.doorbell())).collect();
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 4);
        let node = Arc::new(Node::new(1, Arc::new(census), doorbells, 4));
        node.serve(ShardId(0), WorkerId(0));
        node.serve(ShardId(1), WorkerId(1));
        let links = ports.map(|port| Link::new(Arc::clone(&node), port, 2, 8));
        (node, links)
    }

    /// One message of ten bytes.
    fn said() -> Arc<Batch> {
        let (author, origin, kind) = (Author::NOBODY, ShardId(0), Kind::Text);
        let (prev, offset, id) = (Offset::START, Offset::START, 1);
        let mut batch = Batch::default();
        batch.push(Meta { prev, offset, author, origin, id, kind }, Words::Bytes(&[b'a'; 10]));
        Arc::new(batch)
    }

    /// What workers count when the first sends the second a command and a delivery, pinned so.
    fn crossed(here: Option<usize>, there: Option<usize>) -> Vec<u64> {
        let (node, [mut sender, _receiver]) = workers();
        for (worker, place) in [here, there].into_iter().enumerate() {
            let worker = WorkerId(u16::try_from(worker).unwrap());
            place.into_iter().for_each(|on| node.pinned(worker, Place { cpu: 0, node: on }));
        }
        let publish = Command::Publish { term: Term(1), batch: said() };
        sender.command(ShardId(1), publish).unwrap();
        let said = Delivery::Said { link: attach().link, batch: said() };
        sender.deliver(ShardId(1), said).unwrap();
        node.cross_node_bytes()
    }

    #[test]
    fn what_goes_to_a_worker_on_another_numa_node_is_counted_where_it_comes_from() {
        let envelopes = size_of::<Order<()>>() + size_of::<Parcel>();
        let bytes = (envelopes + 2 * said().read_bytes()) as u64;
        assert!(bytes > 20, "the messages are in it");
        assert_eq!(crossed(Some(0), Some(1)), [bytes, 0]);
        assert_eq!(crossed(Some(1), Some(1)), [0, 0], "they are neighbours");
        assert_eq!(crossed(Some(0), None), [0, 0], "nobody knows where the other one is");
        assert_eq!(crossed(None, Some(1)), [0, 0]);
    }

    #[test]
    fn what_a_ring_refuses_has_not_crossed() {
        let (node, [mut sender, _receiver]) = workers();
        node.pinned(WorkerId(0), Place { cpu: 0, node: 0 });
        node.pinned(WorkerId(1), Place { cpu: 1, node: 1 });
        let mut publish =
            || sender.command(ShardId(1), Command::Publish { term: Term(1), batch: said() });
        let taken = (0..3).map(|_| publish().is_ok()).collect::<Vec<_>>();
        assert_eq!(taken, [true, true, false]);
        let each = size_of::<Order<()>>() + said().read_bytes();
        assert_eq!(node.cross_node_bytes(), [2 * each as u64, 0]);
    }

    #[test]
    fn who_asked_a_shard_that_has_ended_is_answered_before_its_worker_sleeps() {
        let (node, [mut dead, mut asker]) = workers();
        asker.open(ShardId(1));
        asker.command(ShardId(0), Command::Attach(attach())).unwrap();
        asker.ring();
        // One turn of a worker whose shards have nothing to do.
        node.doorbell(WorkerId(0)).awake();
        dead.look_around();
        dead.ring();
        if dead.is_expecting() || !node.doorbell(WorkerId(0)).sleep(Waker::noop()) {
            dead.look_around();
        }
        asker.look_around();
        assert!(matches!(asker.next(ShardId(1)), Some(Arrival::Delivery(_))), "it was answered");
    }
}
