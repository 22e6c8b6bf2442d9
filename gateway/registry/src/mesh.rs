//! The mesh: a port for each worker, and rings between each two that speak.

#[cfg(not(weir_loom))]
mod depths;
mod incoming;
#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests;

use std::mem;

use gateway_faults::sometimes;

#[cfg(not(weir_loom))]
pub use self::depths::Depths;
use self::incoming::Incoming;
use crate::bits::{self, Bits};
use crate::doorbell::Doorbell;
use crate::ids::WorkerId;
use crate::padded::Padded;
use crate::ring::{self, Receiver, Sender};
use crate::rules::{Rules, Sound};
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// All ports of a node's workers, before they go to their threads.
///
/// `C` are commands, towards homes; `D` are deliveries, from homes. A ring is allocated when one
/// worker first sends another something of a class; who never speaks costs each other worker about
/// 100 bytes of tables and two bits, and no look.
#[derive(Debug)]
pub struct Mesh<C, D, R: Rules = Sound> {
    ports: Vec<Port<C, D, R>>,
}

/// How many items each ring holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacities {
    /// Commands from one worker to another, at least 1.
    pub commands: usize,
    /// Deliveries from one worker to another, at least 1.
    pub deliveries: usize,
}

/// What a worker receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item<C, D> {
    /// Towards a home.
    Command(C),
    /// From a home.
    Delivery(D),
}

/// One worker's end of the mesh.
///
/// A turn receives, sends, and ends with [`ring_doorbells`](Self::ring_doorbells): only then
/// does anybody hear of what was sent. A worker whose item was refused is rung for once the
/// receiver has made room.
#[derive(Debug)]
pub struct Port<C, D, R: Rules = Sound> {
    me: WorkerId,
    shared: Arc<Shared<C, D, R>>,
    commands_out: Box<[Option<Sender<C, R>>]>,
    deliveries_out: Box<[Option<Sender<D, R>>]>,
    commands: Incoming<C, R>,
    deliveries: Incoming<D, R>,
    /// Receivers that were sent to since doorbells were last rung.
    spoken_to: Bits,
    /// Senders that were received from in the current call.
    heard: Bits,
    /// Rings that were taken from the inbox so far; `Inbox::opened` counts those put there.
    opened: usize,
    /// The last call spent all on deliveries although commands waited.
    commands_are_due: bool,
}

#[derive(Debug)]
struct Shared<C, D, R: Rules> {
    inboxes: Box<[Inbox<C, D, R>]>,
    capacities: Capacities,
}

/// Where one worker is told of others.
#[derive(Debug)]
struct Inbox<C, D, R: Rules> {
    doorbell: Arc<Doorbell<R>>,
    /// One bit for each sender that has sent something: it sets its bit, the receiver clears all.
    dirty: Box<[Padded<AtomicU64>]>,
    /// One bit for each sender that was refused: it sets its bit, the receiver clears it when it
    /// has made room, and rings.
    refused: Box<[Padded<AtomicU64>]>,
    /// Ends of new rings. Senders put them there, once for each pair and class; the receiver
    /// takes them when it first hears of them.
    new: Mutex<Vec<End<C, D, R>>>,
    /// Rings ever put into `new`. Written under its lock, read by the receiver without.
    opened: AtomicUsize,
    #[cfg(not(weir_loom))]
    gauges: depths::Gauges<C, D, R>,
}

/// The receiving end of a new ring, and who sends.
#[derive(Debug)]
enum End<C, D, R: Rules> {
    Commands(WorkerId, Receiver<C, R>),
    Deliveries(WorkerId, Receiver<D, R>),
}

impl<C, D> Mesh<C, D> {
    /// Ports for so many workers.
    ///
    /// # Panics
    /// If a capacity is 0, or there are more workers than ids.
    #[must_use]
    pub fn new(workers: usize, capacities: Capacities) -> Self {
        Self::under_rules(workers, capacities)
    }

    /// What shows how much waits, as long as there are ports.
    #[cfg(not(weir_loom))]
    #[must_use]
    pub fn depths(&self) -> Depths<C, D> {
        let shared = self.ports.first().map(|port| Arc::downgrade(&port.shared));
        Depths::new(shared.unwrap_or_default())
    }
}

impl<C, D, R: Rules> Mesh<C, D, R> {
    pub(crate) fn under_rules(workers: usize, capacities: Capacities) -> Self {
        assert!(workers <= 1 << 16, "each worker has an id");
        assert!(capacities.commands > 0 && capacities.deliveries > 0, "a ring holds an item");
        let inboxes = (0..workers).map(|_| Inbox::new(workers)).collect();
        let shared = Arc::new(Shared { inboxes, capacities });
        let ids = (u16::MIN..=u16::MAX).map(WorkerId).take(workers);
        Self { ports: ids.map(|me| Port::new(me, &shared, workers)).collect() }
    }

    /// The ports, in the order of the workers.
    #[must_use]
    pub fn into_ports(self) -> Vec<Port<C, D, R>> {
        self.ports
    }
}

impl<C, D, R: Rules> Port<C, D, R> {
    fn new(me: WorkerId, shared: &Arc<Shared<C, D, R>>, workers: usize) -> Self {
        Self {
            me,
            shared: Arc::clone(shared),
            commands_out: (0..workers).map(|_| None).collect(),
            deliveries_out: (0..workers).map(|_| None).collect(),
            commands: Incoming::new(workers),
            deliveries: Incoming::new(workers),
            spoken_to: Bits::new(workers),
            heard: Bits::new(workers),
            opened: 0,
            commands_are_due: false,
        }
    }

    /// Whose port it is.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.me
    }

    /// This worker's doorbell, for mailboxes too.
    #[must_use]
    pub fn doorbell(&self) -> &Arc<Doorbell<R>> {
        &self.inbox(self.me).doorbell
    }

    /// Sends a command; commands to one worker arrive in order.
    ///
    /// # Errors
    /// If the ring is full the command comes back: stop reading from its publisher. This
    /// worker's doorbell rings once there is room.
    ///
    /// # Panics
    /// If `to` is this worker, or no worker.
    pub fn command(&mut self, to: WorkerId, command: C) -> Result<(), C> {
        self.assert_is_another(to);
        let (me, inbox) = (self.me, &self.shared.inboxes[to.index()]);
        let sender = self.commands_out[to.index()].get_or_insert_with(|| {
            let (sender, receiver) = ring::starting_at(0, self.shared.capacities.commands);
            inbox.open(End::Commands(me, receiver));
            sender
        });
        inbox.send(me, sender, command)?;
        self.spoken_to.insert(to.index());
        Ok(())
    }

    /// Sends a delivery; deliveries to one worker arrive in order.
    ///
    /// # Errors
    /// If the ring is full the delivery comes back: remember where to go on. This worker's
    /// doorbell rings once there is room.
    ///
    /// # Panics
    /// If `to` is this worker, or no worker.
    pub fn deliver(&mut self, to: WorkerId, delivery: D) -> Result<(), D> {
        self.assert_is_another(to);
        let (me, inbox) = (self.me, &self.shared.inboxes[to.index()]);
        let sender = self.deliveries_out[to.index()].get_or_insert_with(|| {
            let (sender, receiver) = ring::starting_at(0, self.shared.capacities.deliveries);
            inbox.open(End::Deliveries(me, receiver));
            sender
        });
        inbox.send(me, sender, delivery)?;
        self.spoken_to.insert(to.index());
        Ok(())
    }

    /// Tells everyone who was sent to since the last call, once each.
    pub fn ring_doorbells(&mut self) {
        let (mine, bit) = bits::place(self.me.index());
        for word in 0..bits::words(self.shared.inboxes.len()) {
            for to in bits::each_of(word, self.spoken_to.take_word(word)) {
                let inbox = &self.shared.inboxes[to];
                if R::MARK_BEFORE_RING {
                    inbox.dirty[mine].fetch_or(bit, Ordering::Release);
                }
                inbox.doorbell.ring();
                if !R::MARK_BEFORE_RING {
                    inbox.dirty[mine].fetch_or(bit, Ordering::Release);
                }
            }
        }
    }

    /// Receives up to `max` items, and says whether there may be more: then do not sleep.
    ///
    /// Deliveries go first: they answer commands, and who waits for them may hold up a
    /// publisher. If they took a whole call although commands waited, the next call begins with
    /// commands for half of it. Within a class, each sender in turn may use what is left of the
    /// call, and the next call goes on behind the last one. What one sender sent of one class
    /// arrives in order; between classes, and between senders, there is no order.
    pub fn receive(&mut self, max: usize, mut each: impl FnMut(WorkerId, Item<C, D>)) -> bool {
        self.look();
        let mut left = max;
        let due = mem::take(&mut self.commands_are_due);
        if due {
            left -= self.receive_commands(left.div_ceil(2), &mut each);
        }
        left -= self.deliveries.receive(left, &mut self.heard, |from, delivery| {
            each(from, Item::Delivery(delivery));
        });
        self.commands_are_due = !due && left == 0 && !self.commands.is_done();
        self.receive_commands(left, &mut each);
        self.tell_refused();
        !self.deliveries.is_done() || !self.commands.is_done()
    }

    fn receive_commands(
        &mut self,
        max: usize,
        each: &mut impl FnMut(WorkerId, Item<C, D>),
    ) -> usize {
        self.commands
            .receive(max, &mut self.heard, |from, command| each(from, Item::Command(command)))
    }

    /// Takes notice of senders that have sent something, and of new rings.
    fn look(&mut self) {
        let inbox = &self.shared.inboxes[self.me.index()];
        let mut is_any = false;
        for (word, dirty) in inbox.dirty.iter().enumerate() {
            // A load suffices: who set a bit rang afterwards, so we see it, or do not sleep.
            if dirty.load(Ordering::Relaxed) != 0 {
                let senders = dirty.swap(0, Ordering::AcqRel);
                self.commands.expect(word, senders);
                self.deliveries.expect(word, senders);
                is_any = true;
            }
        }
        if is_any && inbox.opened.load(Ordering::Relaxed) != self.opened {
            self.take_new_rings();
        }
    }

    fn take_new_rings(&mut self) {
        let new = mem::take(&mut *lock(&self.shared.inboxes[self.me.index()].new));
        self.opened += new.len();
        for end in new {
            match end {
                End::Commands(from, receiver) => self.commands.connect(from, receiver),
                End::Deliveries(from, receiver) => self.deliveries.connect(from, receiver),
            }
        }
    }

    /// Rings for those who were refused and for whom there is room now.
    fn tell_refused(&mut self) {
        let inbox = &self.shared.inboxes[self.me.index()];
        for (word, refused) in inbox.refused.iter().enumerate() {
            let heard = self.heard.take_word(word);
            if heard != 0 {
                // Not a load: see `Inbox::send`.
                let waiting = refused.fetch_and(!heard, Ordering::AcqRel) & heard;
                sometimes!(RefusedRung, waiting != 0);
                let waiting = bits::each_of(word, waiting);
                waiting.for_each(|from| self.shared.inboxes[from].doorbell.ring());
            }
        }
    }

    fn inbox(&self, of: WorkerId) -> &Inbox<C, D, R> {
        &self.shared.inboxes[of.index()]
    }

    fn assert_is_another(&self, to: WorkerId) {
        assert_ne!(to, self.me, "a worker sends nothing to itself");
    }
}

impl<C, D, R: Rules> Inbox<C, D, R> {
    fn new(workers: usize) -> Self {
        let bits = || (0..bits::words(workers)).map(|_| Padded::default()).collect();
        Self {
            doorbell: Arc::new(Doorbell::under_rules()),
            dirty: bits(),
            refused: bits(),
            new: Mutex::new(Vec::new()),
            opened: AtomicUsize::new(0),
            #[cfg(not(weir_loom))]
            gauges: depths::Gauges::none(),
        }
    }

    fn open(&self, end: End<C, D, R>) {
        #[cfg(not(weir_loom))]
        self.gauges.add(&end);
        let mut new = lock(&self.new);
        new.push(end);
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn send<T>(&self, from: WorkerId, sender: &mut Sender<T, R>, item: T) -> Result<(), T> {
        let Err(item) = sender.send(item) else {
            return Ok(());
        };
        // The receiver makes room, then looks whom to tell; we say that we wait, then look for
        // room again. Both write to the same word, so one comes first, and the other sees all
        // that it did: either we see the room, or it sees us.
        let (word, bit) = bits::place(from.index());
        self.refused[word].fetch_or(bit, Ordering::AcqRel);
        if R::REFUSED_TRIES_AGAIN { sender.send(item) } else { Err(item) }
    }
}
