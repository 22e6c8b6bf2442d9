//! Shards are added and removed while the node serves, from any thread.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gateway_core::id::ShardId;
use gateway_registry::ids::WorkerId;
use gateway_registry::mailbox::Mailbox;
use thiserror::Error;
use tracing::info;

use super::OwnPortError;
use super::doors::Doors;
use crate::node::{Node, Removal, registered};
use crate::steer::{self, Steering};
use crate::worker::{Addition, NotAdded};

/// How often someone who waits for a worker looks whether it is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Why no shard was added.
#[derive(Debug, Error)]
pub enum AddError {
    /// Every id was used, and none is used twice.
    #[error("all {0} ids for shards were used since the start; restart with more --shards")]
    NoIds(usize),
    /// The port cannot be listened on once more.
    #[error("cannot listen on {addr} once more: {source}")]
    Bind {
        /// The node's address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The shard cannot have a port of its own.
    #[error(transparent)]
    OwnPort(#[from] OwnPortError),
    /// The worker could not make the shard.
    #[error("cannot make a shard: {0}; free descriptors or raise their limit (ulimit -n)")]
    System(io::Error),
    /// Too many orders wait for the worker.
    #[error("the worker has too many orders to carry out; try again")]
    Busy,
    /// The node says goodbye to everyone, or its worker has stopped.
    #[error("the node is draining and takes nobody new; start another")]
    Draining,
}

/// Why a shard is not removed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RemoveError {
    /// There is no such shard, or it is being removed already.
    #[error("shard {shard} does not serve; those that do are {}", list(.serving))]
    Unknown {
        /// Which was asked for.
        shard: ShardId,
        /// Those that could be removed.
        serving: Vec<ShardId>,
    },
    /// Nobody would take over.
    #[error("shard {0} is the last one that serves; add another first, or drain the node")]
    Last(ShardId),
    /// Everything ends anyway.
    #[error("the node is draining: all of its shards end")]
    Draining,
}

/// A node's shards, to be added to and removed from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shards(Arc<Roster>);

/// One shard, as it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardState {
    /// Which one.
    pub shard: ShardId,
    /// Whether it is being removed; else it serves.
    pub leaving: bool,
    /// The number of the worker that turns it.
    pub worker: u16,
    /// The CPU that this worker is pinned to; none if the system may move it.
    pub cpu: Option<u32>,
    /// The NUMA node of that CPU, by the system's number.
    pub node: u32,
    /// Connections that have a place on it.
    pub connections: u32,
    /// Connections that it may have; the node's bound may be reached before.
    pub capacity: u32,
}

#[derive(Debug)]
struct Roster {
    doors: Doors,
    node: Arc<Node>,
    /// By worker.
    additions: Box<[Arc<Mailbox<Addition>>]>,
    /// What the kernel is told of listeners, once it is there.
    steering: OnceLock<Arc<Steering>>,
    /// Whoever adds or removes holds it until everyone else sees that, so that two never remove the
    /// last two, and of many that are added at once not all come to the same worker.
    coming: Mutex<Coming>,
}

/// Shards that are to come.
#[derive(Debug)]
struct Coming {
    /// The id of the next one: none is used twice.
    next: u16,
    /// Those that a worker was ordered to make and did not answer for yet.
    ordered: Vec<(ShardId, WorkerId)>,
}

impl Shards {
    pub(super) fn new(
        doors: Doors,
        node: Arc<Node>,
        additions: Box<[Arc<Mailbox<Addition>>]>,
        next: u16,
    ) -> Self {
        let coming = Mutex::new(Coming { next, ordered: Vec::new() });
        Self(Arc::new(Roster { doors, node, additions, steering: OnceLock::new(), coming }))
    }

    /// Has the kernel find the listeners of shards that are added from now on.
    pub(super) fn steered_by(&self, steering: Arc<Steering>) {
        let before = self.0.steering.set(steering);
        assert!(before.is_ok(), "steering is attached once");
    }

    pub(super) fn doors(&self) -> &Doors {
        &self.0.doors
    }

    /// Adds a shard on the worker that has the fewest; it serves when this returns. Waits for that
    /// worker's next turn.
    ///
    /// New connections find it at once; those that are there stay where they are.
    ///
    /// # Errors
    /// If there is no id or descriptor left, the port cannot be shared, the shard's own port cannot
    /// be had, or the node is draining.
    pub fn add(&self) -> Result<ShardId, AddError> {
        let (reply, answer) = mpsc::channel();
        let shard = self.0.order(reply)?;
        let answered = self.0.wait(&answer);
        self.0.coming().ordered.retain(|&(ordered, _)| ordered != shard);
        answered?;
        if let Some(addr) = self.0.doors.own(shard) {
            info!(%shard, %addr, "listening for one shard");
        }
        Ok(shard)
    }

    /// Begins to remove a shard: its rooms' homes move to the others, its connections too or are
    /// told to go, and it ends when nothing is left. Of those that move clients notice nothing; one
    /// that is just saying goodbye, or has not completed its request, is waited for. Whose
    /// connections move may be told to go after all by removing it once more. See
    /// [`list`](Self::list) for when it is gone.
    ///
    /// # Errors
    /// If it does not serve, is the last one that does, or the node is draining.
    pub fn remove(&self, shard: ShardId, removal: Removal) -> Result<(), RemoveError> {
        let node = &self.0.node;
        let _changing = self.0.coming();
        if node.is_draining() {
            return Err(RemoveError::Draining);
        }
        if node.is_leaving(shard) && (node.removal(shard), removal) == LATE_DISMISSAL {
            info!(%shard, "removing: its connections are told to go after all");
            node.dismiss(shard);
            return Ok(());
        }
        let serving = node.serving();
        if !serving.contains(&shard) {
            return Err(RemoveError::Unknown { shard, serving });
        }
        if serving.len() == 1 {
            return Err(RemoveError::Last(shard));
        }
        info!(%shard, ?removal, "removing");
        node.withdraw(shard, removal);
        Ok(())
    }

    /// The shards that are there: those that serve, and those that are being removed.
    #[must_use]
    pub fn list(&self) -> Vec<ShardState> {
        let node = &self.0.node;
        let capacity = node.census.capacity().shard_max;
        let state = |shard: ShardId| {
            let worker = node.worker_of(shard);
            let pinned = node.place(worker).and_then(|place| u32::try_from(place.cpu).ok());
            ShardState {
                shard,
                leaving: node.is_leaving(shard),
                worker: worker.0,
                cpu: pinned,
                node: node.plan_of(worker).1,
                connections: node.census.live_on(registered(shard)),
                capacity,
            }
        };
        node.present().into_iter().map(state).collect()
    }
}

/// A shard whose connections move, and which is to dismiss them.
const LATE_DISMISSAL: (Removal, Removal) = (Removal::Move, Removal::Dismiss);

impl Roster {
    /// Has the idlest worker make a shard; its id is used from now on.
    fn order(&self, reply: mpsc::Sender<Result<(), NotAdded>>) -> Result<ShardId, AddError> {
        let mut coming = self.coming();
        if self.node.is_draining() {
            return Err(AddError::Draining);
        }
        if usize::from(coming.next) >= self.node.shards_max() {
            return Err(AddError::NoIds(self.node.shards_max()));
        }
        let shard = ShardId(coming.next);
        let listeners = self.doors.open_one(shard)?;
        let worker = self.idlest(&coming.ordered);
        if let Some(steering) = self.steering.get() {
            let (cpu, _) = self.node.plan_of(worker);
            steering.listen(&steer::Listener { shard, cpu, on: &listeners.shared });
        }
        let additions = &self.additions[worker.index()];
        additions.post(Addition { shard, listeners, reply }).map_err(|_| AddError::Busy)?;
        // Whatever becomes of it now, the id is taken.
        coming.next += 1;
        coming.ordered.push((shard, worker));
        Ok(shard)
    }

    /// The worker that has the fewest shards, those included that it was ordered to make.
    fn idlest(&self, ordered: &[(ShardId, WorkerId)]) -> WorkerId {
        let mut shards = vec![0_usize; self.node.workers()];
        let present = self.node.present();
        let there = present.iter().map(|&shard| self.node.worker_of(shard));
        let coming = ordered.iter().filter(|(shard, _)| !present.contains(shard));
        for worker in there.chain(coming.map(|&(_, worker)| worker)) {
            shards[worker.index()] += 1;
        }
        let workers = (u16::MIN..=u16::MAX).map(WorkerId).zip(shards);
        let idlest = workers.min_by_key(|&(_, shards)| shards);
        idlest.expect("a node has workers").0
    }

    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the worker's answer, as long as all are there to give one: a node whose worker
    /// has ended comes to an end.
    fn wait(&self, answer: &mpsc::Receiver<Result<(), NotAdded>>) -> Result<(), AddError> {
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(NotAdded::System(error))) => return Err(AddError::System(error)),
                Ok(Err(NotAdded::Draining)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(AddError::Draining);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.node.has_ended() {
                        return Err(AddError::Draining);
                    }
                }
            }
        }
    }
}

fn list(shards: &[ShardId]) -> String {
    let names: Vec<_> = shards.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use gateway_registry::census::{Capacity, Census};
    use gateway_registry::doorbell::Doorbell;

    use super::*;
    use crate::config::Config;

    /// Two workers that have a shard each and look at no order.
    fn shards() -> Shards {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let (doors, _) = Doors::open(&Config { addr, ..Config::default() }, 2).expect("a port");
        let doorbells: Vec<Arc<Doorbell>> = vec![Arc::default(), Arc::default()];
        let additions = doorbells.iter().map(|it| Arc::new(Mailbox::new(4, Arc::clone(it))));
        let additions = additions.collect();
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 8);
        let node = Arc::new(Node::new(1, Arc::new(census), doorbells, 8));
        (0..2).for_each(|id| node.serve(ShardId(id), WorkerId(id)));
        Shards::new(doors, node, additions, 2)
    }

    #[test]
    fn shards_that_are_added_at_once_come_to_different_workers() {
        let shards = shards();
        let (reply, _answer) = mpsc::channel();
        for id in 2..6 {
            assert_eq!(shards.0.order(reply.clone()).expect("there is an id"), ShardId(id));
        }
        let ordered = |worker: usize| {
            let taken = std::iter::from_fn(|| shards.0.additions[worker].take());
            taken.map(|addition| addition.shard.0).collect::<Vec<_>>()
        };
        assert_eq!([ordered(0), ordered(1)], [[2, 4], [3, 5]]);
    }
}
