//! What programs order, taken from the worker's mailbox and given to its shards.

use std::collections::VecDeque;
use std::sync::Arc;

use gateway_core::dispatch::Answer;
use gateway_core::event::Event;
use gateway_core::id::ShardId;
use gateway_core::order::{ConnectionId, Order};
use gateway_core::time::{Now, Tick};
use gateway_registry::ids::WorkerId;
use tracing::warn;

use super::Seat;
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
    /// The next one, which waits until its room's messages are under way.
    held: Option<Task>,
    /// For connections that may be on their way here, or to be passed on when there is room.
    waiting: VecDeque<Task>,
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

/// What became of an errand.
enum Done {
    Yes,
    /// Its room's messages have to be under way first.
    Later(Task),
}

impl Errands {
    pub(super) fn new(me: WorkerId, node: Arc<Node>, mailboxes: Mailboxes) -> Self {
        Self { me, node, mailboxes, held: None, waiting: VecDeque::new() }
    }

    /// Does what was ordered, within bounds; whether more can be done at once.
    pub(super) fn run(&mut self, now: Now, seats: &mut [Seat]) -> bool {
        seats.iter_mut().for_each(|seat| seat.departed.expire(now.tick()));
        for _ in 0..self.waiting.len() {
            let Some(task) = self.waiting.pop_front() else { break };
            self.look_for(now, task, seats);
        }
        let mailbox = Arc::clone(self.mailboxes.of(self.me));
        let mut bytes = 0;
        for _ in 0..TURN_ORDERS_MAX {
            let Some(task) = self.held.take().or_else(|| mailbox.take()) else { break };
            if let Errand::Order(order) = &task.errand {
                bytes += order.len();
            }
            if let Done::Later(task) = self.begin(now, task, seats) {
                // What it waits for rings.
                self.held = Some(task);
                return false;
            }
            if bytes > TURN_BYTES_MAX {
                break;
            }
        }
        !mailbox.is_empty()
    }

    fn begin(&mut self, now: Now, task: Task, seats: &mut [Seat]) -> Done {
        if let Errand::Order(Order::Publish(..)) = task.errand {
            return self.publish(now, task, seats);
        }
        match task.errand.connection() {
            Some(_) => self.look_for(now, task, seats),
            None => tell(now, task, seats),
        }
        Done::Yes
    }

    /// Gives a room's message to the shard that the room's name picks among those that serve.
    fn publish(&mut self, now: Now, task: Task, seats: &mut [Seat]) -> Done {
        let For::Any(hash) = task.of else { return Done::Yes };
        // Nobody would hear it on a node that has no shard any more.
        let Some(shard) = self.node.any_serving(hash) else { return Done::Yes };
        let Some(seat) = seats.iter_mut().find(|seat| seat.shard == shard) else {
            self.pass_on(self.node.worker_of(shard), task);
            return Done::Yes;
        };
        if seat.turn.is_congested() {
            return Done::Later(task);
        }
        seat.give(now, task.errand);
        Done::Yes
    }

    /// Looks for the connection that an errand is about.
    fn look_for(&mut self, now: Now, mut task: Task, seats: &mut [Seat]) {
        let Some(connection) = task.errand.connection() else {
            // It was passed on and found no room there.
            if let (Errand::Order(Order::Publish(..)), For::Any(hash)) = (&task.errand, task.of)
                && let Some(shard) = self.node.any_serving(hash)
            {
                self.pass_on(self.node.worker_of(shard), task);
            }
            return;
        };
        let asked = |seat: &&mut Seat| match task.of {
            For::Shard(shard) | For::Next(shard) => seat.shard == shard,
            For::All | For::Any(_) => true,
        };
        let mut expected = false;
        for seat in seats.iter_mut().filter(asked) {
            if seat.turn.hub().knows(connection) {
                if task.weight.begin() {
                    seat.give(now, task.errand);
                }
                return;
            }
            if let Some(to) = seat.departed.find(connection) {
                task.of = For::Next(to);
                return self.pass_on(self.node.worker_of(to), task);
            }
            expected |= self.node.arriving(seat.shard) > 0;
        }
        match task.of {
            // It may be on its way here.
            _ if expected => self.waiting.push_back(task),
            // It went long ago, to whoever it was; or it has gone for good.
            For::Shard(_) => {
                task.of = For::All;
                for worker in self.node.all_workers() {
                    if worker != self.me {
                        self.pass_on(worker, task.clone());
                    }
                }
                self.look_for(now, task, seats);
            }
            For::Next(_) | For::All | For::Any(_) => {}
        }
    }

    fn pass_on(&mut self, worker: WorkerId, task: Task) {
        if worker == self.me {
            return self.waiting.push_back(task);
        }
        if let Err(task) = self.mailboxes.pass_on(worker, task) {
            warn!(worker = %self.me, to = %worker, "too many orders are passed on; one waits");
            self.waiting.push_back(task);
        }
    }

    /// Whether something is to be tried again although nothing rings.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// Gives an errand to all shards that it is for.
fn tell(now: Now, task: Task, seats: &mut [Seat]) {
    for seat in seats.iter_mut() {
        match task.of {
            For::Shard(shard) | For::Next(shard) if shard != seat.shard => {}
            For::Shard(_) | For::Next(_) | For::All | For::Any(_) => {
                seat.give(now, task.errand.clone());
            }
        }
    }
}

impl Seat {
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
