//! What programs order, taken from the worker's mailbox and given to its shards.

use std::collections::VecDeque;
use std::sync::Arc;

use gateway_core::dispatch::Answer;
use gateway_core::event::Event;
use gateway_core::id::ShardId;
use gateway_core::order::{ConnectionId, Order};
use gateway_core::time::{Now, Tick};
use gateway_registry::ids::WorkerId;

use super::seat::Seat;
use crate::net::Net;
use crate::node::Node;
use crate::orders::{Errand, For, Mailboxes, Task};

/// Orders that a worker takes in a turn.
const TURN_ORDERS_MAX: usize = 256;
/// Bytes of payload after which it takes no more of them in a turn.
const TURN_BYTES_MAX: usize = 4 << 20;
/// Ticks for which a shard knows where a connection went: far more than an order is on its way.
const DEPARTED_TICKS: u32 = 40;

/// A worker's errands.
pub(super) struct Errands {
    me: WorkerId,
    node: Arc<Node>,
    mailboxes: Mailboxes,
    /// Messages of rooms that wait until fewer are under way, in order.
    held: VecDeque<Task>,
    /// For connections that may be on their way here, and what was passed on within the worker.
    waiting: VecDeque<Task>,
    /// To be passed on when there is room.
    overdue: VecDeque<(WorkerId, Task)>,
}

/// Where connections went from a shard, the latest last.
#[derive(Debug, Default)]
pub(super) struct Departed(VecDeque<(Tick, ConnectionId, ShardId)>);

impl Departed {
    pub(super) fn note(&mut self, now: Tick, connection: ConnectionId, to: ShardId) {
        self.0.push_back((now, connection, to));
    }

    fn expire(&mut self, now: Tick) {
        while self.0.front().is_some_and(|&(at, ..)| at.0 + DEPARTED_TICKS < now.0) {
            self.0.pop_front();
        }
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }

    fn find(&self, connection: ConnectionId) -> Option<ShardId> {
        let found = self.0.iter().rev().find(|&&(_, gone, _)| gone == connection);
        found.map(|&(_, _, to)| to)
    }
}

impl Errands {
    pub(super) fn new(me: WorkerId, node: Arc<Node>, mailboxes: Mailboxes) -> Self {
        let (held, waiting, overdue) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { me, node, mailboxes, held, waiting, overdue }
    }

    /// Does what was ordered, within bounds; whether more can be done at once.
    pub(super) fn run<N: Net>(&mut self, now: Now, seats: &mut [Seat<N>]) -> bool {
        seats.iter_mut().for_each(|seat| seat.departed.expire(now.tick()));
        for _ in 0..self.overdue.len() {
            let Some((worker, task)) = self.overdue.pop_front() else { break };
            self.pass_on(worker, task);
        }
        for _ in 0..self.waiting.len() {
            let Some(task) = self.waiting.pop_front() else { break };
            self.begin(now, task, seats);
        }
        while let Some(task) = self.held.pop_front() {
            // What it waits for rings.
            if let Some(task) = self.publish(now, task, seats) {
                self.held.push_front(task);
                break;
            }
        }
        let mailbox = Arc::clone(self.mailboxes.of(self.me));
        let mut bytes = 0;
        for _ in 0..TURN_ORDERS_MAX {
            let Some(task) = mailbox.take() else { break };
            if let Errand::Order(order) = &task.errand {
                bytes += order.len();
            }
            self.begin(now, task, seats);
            if bytes > TURN_BYTES_MAX {
                break;
            }
        }
        !mailbox.is_empty()
    }

    fn begin<N: Net>(&mut self, now: Now, task: Task, seats: &mut [Seat<N>]) {
        let publishes = matches!(task.errand, Errand::Order(Order::Publish(..)));
        match task.errand.connection() {
            // Behind those of its room; others are not held up by them.
            _ if publishes && !self.held.is_empty() => self.held.push_back(task),
            _ if publishes => {
                let held = self.publish(now, task, seats);
                self.held.extend(held);
            }
            Some(connection) => self.look_for(now, connection, task, seats),
            None => tell(now, task, seats),
        }
    }

    /// Gives a room's message to the shard that the room's name picks among those that serve;
    /// gives it back if that has too much under way.
    fn publish<N: Net>(&mut self, now: Now, task: Task, seats: &mut [Seat<N>]) -> Option<Task> {
        let For::Any(hash) = task.of else { return None };
        // Nobody would hear it on a node that has no shard any more.
        let shard = self.node.any_serving(hash)?;
        match seats.iter_mut().find(|seat| seat.shard == shard) {
            Some(seat) if seat.turn.is_congested() => return Some(task),
            Some(seat) => seat.give(now, task.errand),
            None => self.pass_on(self.node.worker_of(shard), task),
        }
        None
    }

    /// Looks for the connection that an errand is about.
    fn look_for<N: Net>(
        &mut self,
        now: Now,
        connection: ConnectionId,
        task: Task,
        seats: &mut [Seat<N>],
    ) {
        let of = task.of;
        let asked = |shard: ShardId| match of {
            For::Shard(one) => shard == one,
            For::All | For::Any(_) => true,
        };
        // Who has it comes before all who know where it went from them: it may have gone on since.
        let knows = |seat: &&mut Seat<N>| asked(seat.shard) && seat.turn.hub().knows(connection);
        if let Some(seat) = seats.iter_mut().find(knows) {
            if task.weight.begin() {
                seat.give(now, task.errand);
            }
            return;
        }
        let here = || seats.iter().filter(|seat| asked(seat.shard));
        // A shard that has ended sent everyone on, and nobody there knows whereto.
        let mut traces = here().filter_map(|seat| seat.departed.find(connection));
        if let Some(to) = traces.find(|&to| self.node.is_present(to)) {
            if let Some(task) = task.passed_on(For::Shard(to)) {
                self.pass_on(self.node.worker_of(to), task);
            }
        } else if here().any(|seat| self.node.arriving(seat.shard) > 0) {
            // It may be on its way here.
            self.waiting.push_back(task);
        } else if let For::Shard(_) = of {
            self.ask_all(task);
        }
    }

    /// It went long ago, to whomever it was; or it has gone for good.
    fn ask_all(&mut self, task: Task) {
        let Some(task) = task.passed_on(For::All) else { return };
        for worker in self.node.all_workers() {
            self.pass_on(worker, task.clone());
        }
    }

    fn pass_on(&mut self, worker: WorkerId, task: Task) {
        if worker == self.me {
            return self.waiting.push_back(task);
        }
        if let Err(task) = self.mailboxes.pass_on(worker, task) {
            self.overdue.push_back((worker, task));
        }
    }

    /// Whether something is to be tried again although nothing rings.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.overdue.is_empty()
    }
}

/// Gives an errand to all shards that it is for.
fn tell<N: Net>(now: Now, task: Task, seats: &mut [Seat<N>]) {
    for seat in seats.iter_mut() {
        match task.of {
            For::Shard(shard) if shard != seat.shard => {}
            For::Shard(_) | For::All | For::Any(_) => {
                seat.give(now, task.errand.clone());
            }
        }
    }
}

impl<N: Net> Seat<N> {
    /// Has the shard do it.
    fn give(&mut self, now: Now, errand: Errand) {
        let event = match errand {
            Errand::Order(order) => Event::Order(order),
            Errand::Decided(ticket, granted) => Event::Authenticated { ticket, granted },
            Errand::Placed(answer @ Answer::Sequenced { .. }) => Event::Answer(answer),
            Errand::Placed(_) => unreachable!("only places are given from outside"),
            Errand::Rooms(connection, tell) => {
                if let Some(rooms) = self.turn.hub().rooms_of(connection) {
                    // Who asked may not wait any more.
                    let _ = tell.send(rooms);
                }
                return;
            }
        };
        self.turn.tell(now, event);
    }
}
