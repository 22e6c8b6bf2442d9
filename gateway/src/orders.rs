//! Orders on their way from a program to the shards: bounded mailboxes, one for each worker.

use std::sync::Arc;
use std::sync::mpsc;

use gateway_core::dispatch::Answer;
use gateway_core::envelope::RoomName;
use gateway_core::event::{Grant, Ticket};
use gateway_core::id::ShardId;
use gateway_core::order::{ConnectionId, Order};
use gateway_registry::ids::WorkerId;
use gateway_registry::load::{Bounds, Load, Weight};
use gateway_registry::mailbox::Mailbox;

/// Orders that wait to be carried out, on all shards together.
pub const ORDERS_MAX: usize = 4096;
/// How often an order is passed on before its connection is given up: it has gone, or moves faster
/// than anybody looks for it.
const HOPS_MAX: u8 = 8;
/// Bytes of payload in them.
pub const ORDER_BYTES_MAX: usize = 64 << 20;

/// What a worker is asked to do.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    Order(Order),
    /// In which rooms is a connection? Whoever has it answers.
    Rooms(ConnectionId, mpsc::Sender<Vec<RoomName>>),
    /// To [`Auth`](crate::auth::Auth) that answered later.
    Decided(Ticket, Option<Grant>),
    /// To [`Sequencer`](crate::sequencer::Sequencer) that answered later.
    Placed(Answer),
}

impl Task {
    /// The same, passed on; nothing if it has been too often.
    pub(crate) fn passed_on(mut self, of: For) -> Option<Self> {
        self.of = of;
        self.hops += 1;
        (self.hops <= HOPS_MAX).then_some(self)
    }
}

impl Errand {
    /// The connection that it is about, if it is about one.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Order(order) => match order.to()? {
                gateway_core::order::To::Connection(connection) => Some(*connection),
                gateway_core::order::To::User(_) | gateway_core::order::To::Everyone => None,
            },
            Self::Rooms(connection, _) => Some(*connection),
            Self::Decided(..) | Self::Placed(_) => None,
        }
    }
}

/// For whom it is, among the shards of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum For {
    /// This one. If it does not know the connection, others are asked.
    Shard(ShardId),
    /// Any one, the same for each room as long as none is added or removed.
    Any(u64),
    /// All of them.
    All,
}

/// An errand in a worker's mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) of: For,
    pub(crate) errand: Errand,
    /// How often it was passed on.
    pub(crate) hops: u8,
    /// Gives its room back when the last copy is done.
    pub(crate) weight: Arc<Weight>,
}

/// The mailboxes of a node's workers.
#[derive(Clone, Debug)]
pub(crate) struct Mailboxes {
    workers: Arc<[Arc<Mailbox<Task>>]>,
    load: Arc<Load>,
}

impl Mailboxes {
    pub(crate) fn new(workers: impl Iterator<Item = Arc<Mailbox<Task>>>) -> Self {
        let bounds = Bounds { items_max: ORDERS_MAX, bytes_max: ORDER_BYTES_MAX };
        Self { workers: workers.collect(), load: Arc::new(Load::new(bounds)) }
    }

    /// Orders that a mailbox holds: as many as may wait, and those that are passed on.
    pub(crate) const fn capacity() -> usize {
        3 * ORDERS_MAX
    }

    /// Makes room for an order; none if too many wait.
    pub(crate) fn weigh(&self, bytes: usize) -> Option<Arc<Weight>> {
        Load::weigh(&self.load, bytes).map(Arc::new)
    }

    /// Orders that wait, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.load.waiting()
    }

    pub(crate) fn of(&self, worker: WorkerId) -> &Arc<Mailbox<Task>> {
        &self.workers[worker.index()]
    }

    /// Passes an order on to another worker.
    ///
    /// # Errors
    /// Gives it back if so many were passed on that those who come first would find no room.
    pub(crate) fn pass_on(&self, worker: WorkerId, task: Task) -> Result<(), Task> {
        let mailbox = self.of(worker);
        if mailbox.len() > ORDERS_MAX { Err(task) } else { mailbox.post(task) }
    }

    /// Leaves it to a worker. There is room for what has been weighed.
    pub(crate) fn post(&self, worker: WorkerId, task: Task) {
        let posted = self.of(worker).post(task);
        assert!(posted.is_ok(), "there is room for what was weighed");
    }

    /// Leaves it to all workers.
    pub(crate) fn post_to_all(&self, task: &Task) {
        for mailbox in self.workers.iter() {
            let posted = mailbox.post(task.clone());
            assert!(posted.is_ok(), "there is room for what was weighed");
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_registry::doorbell::Doorbell;

    use super::*;

    fn mailboxes() -> Mailboxes {
        let mailbox = || Arc::new(Mailbox::new(Mailboxes::capacity(), Arc::new(Doorbell::new())));
        Mailboxes::new((0..2).map(|_| mailbox()))
    }

    #[test]
    fn no_more_wait_than_may_and_what_is_done_makes_room() {
        let mailboxes = mailboxes();
        let all: Vec<_> = (0..ORDERS_MAX).map_while(|_| mailboxes.weigh(0)).collect();
        assert_eq!((all.len(), mailboxes.waiting()), (ORDERS_MAX, (ORDERS_MAX, 0)));
        assert!(mailboxes.weigh(0).is_none());
        drop(all);
        assert_eq!(mailboxes.waiting(), (0, 0));
        let half = mailboxes.weigh(ORDER_BYTES_MAX / 2 + 1).expect("there is room");
        assert!(mailboxes.weigh(ORDER_BYTES_MAX / 2).is_none());
        assert!(mailboxes.weigh(1).is_some());
        drop(half);
        assert_eq!(mailboxes.waiting(), (0, 0));
        assert!(mailboxes.weigh(ORDER_BYTES_MAX + 1).is_some(), "alone");
    }

    #[test]
    fn what_all_workers_are_asked_weighs_until_the_last_has_done_it() {
        let mailboxes = mailboxes();
        let weight = mailboxes.weigh(7).expect("there is room");
        let order = Order::Publish(
            RoomName { namespace: gateway_core::route::Namespace::ROOT, name: "".into() },
            gateway_core::order::Content::text("7 bytes"),
        );
        let errand = Errand::Order(order);
        mailboxes.post_to_all(&Task { of: For::All, errand, hops: 0, weight });
        for (worker, left) in [(0, (1, 7)), (1, (0, 0))] {
            let task = mailboxes.of(WorkerId(worker)).take();
            assert!(task.is_some_and(|task| task.of == For::All));
            assert_eq!(mailboxes.waiting(), left);
        }
    }
}
