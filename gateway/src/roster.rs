//! Who adds shards to a node and removes them, whatever their sockets are made of.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::id::ShardId;
use gateway_registry::ids::WorkerId;
use gateway_registry::mailbox::Mailbox;
use thiserror::Error;
use tracing::info;

use crate::node::{Node, Removal, registered};
use crate::server::OwnPortError;
use crate::worker::{Addition, NotAdded, Reply};

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

/// A node's shards, to be added to and removed from. Nothing here waits.
pub(crate) struct Roster<D> {
    node: Arc<Node>,
    /// By worker.
    additions: Box<[Arc<Mailbox<Addition<D>>>]>,
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

/// A shard whose connections move, and which is to dismiss them.
const LATE_DISMISSAL: (Removal, Removal) = (Removal::Move, Removal::Dismiss);

impl<D> Roster<D> {
    /// `next` is the id of the first shard that is added.
    pub(crate) fn new(
        node: Arc<Node>,
        additions: Box<[Arc<Mailbox<Addition<D>>>]>,
        next: u16,
    ) -> Self {
        let coming = Mutex::new(Coming { next, ordered: Vec::new() });
        Self { node, additions, coming }
    }

    /// Has the idlest worker make a shard of what `open` gives it; its id is used from now on. To
    /// be [settled](Self::settle) when `reply` has heard whether it serves.
    pub(crate) fn order(
        &self,
        open: impl FnOnce(ShardId, WorkerId) -> Result<D, AddError>,
        reply: Reply,
    ) -> Result<ShardId, AddError> {
        let mut coming = self.coming();
        // Nobody would look at the order: a node whose worker has ended comes to an end.
        if self.node.is_draining() || self.node.has_ended() {
            return Err(AddError::Draining);
        }
        if usize::from(coming.next) >= self.node.shards_max() {
            return Err(AddError::NoIds(self.node.shards_max()));
        }
        let shard = ShardId(coming.next);
        let worker = self.idlest(&coming.ordered);
        let doors = open(shard, worker)?;
        let additions = &self.additions[worker.index()];
        additions.post(Addition { shard, doors, reply }).map_err(|_| AddError::Busy)?;
        // Whatever becomes of it now, the id is taken.
        coming.next += 1;
        coming.ordered.push((shard, worker));
        Ok(shard)
    }

    /// An order is done, or nobody waits for it any more.
    pub(crate) fn settle(&self, shard: ShardId) {
        self.coming().ordered.retain(|&(ordered, _)| ordered != shard);
    }

    /// Begins to remove a shard: see [`Shards::remove`](crate::server::Shards::remove).
    pub(crate) fn remove(&self, shard: ShardId, removal: Removal) -> Result<(), RemoveError> {
        let node = &self.node;
        let _changing = self.coming();
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
    pub(crate) fn list(&self) -> Vec<ShardState> {
        let node = &self.node;
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

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
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
}

fn list(shards: &[ShardId]) -> String {
    let names: Vec<_> = shards.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl From<NotAdded> for AddError {
    fn from(why: NotAdded) -> Self {
        match why {
            NotAdded::Draining => Self::Draining,
            NotAdded::System(error) => Self::System(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_registry::census::{Capacity, Census};
    use gateway_registry::doorbell::Doorbell;

    use super::*;

    /// Two workers that have a shard each and look at no order.
    fn roster() -> Roster<()> {
        let doorbells: Vec<Arc<Doorbell>> = vec![Arc::default(), Arc::default()];
        let additions = doorbells.iter().map(|it| Arc::new(Mailbox::new(4, Arc::clone(it))));
        let additions = additions.collect();
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 8);
        let node = Arc::new(Node::new(1, Arc::new(census), doorbells, 8));
        (0..2).for_each(|id| node.serve(ShardId(id), WorkerId(id)));
        Roster::new(node, additions, 2)
    }

    fn order(roster: &Roster<()>) -> Result<ShardId, AddError> {
        roster.order(|_, _| Ok(()), Box::new(|_| {}))
    }

    #[test]
    fn shards_that_are_added_at_once_come_to_different_workers() {
        let roster = roster();
        for id in 2..6 {
            assert_eq!(order(&roster).expect("there is an id"), ShardId(id));
        }
        let ordered = |worker: usize| {
            let taken = std::iter::from_fn(|| roster.additions[worker].take());
            taken.map(|addition| addition.shard.0).collect::<Vec<_>>()
        };
        assert_eq!([ordered(0), ordered(1)], [[2, 4], [3, 5]]);
    }

    #[test]
    fn nobody_is_ordered_to_add_a_shard_to_a_node_that_ends() {
        let roster = roster();
        roster.node.end();
        assert!(matches!(order(&roster), Err(AddError::Draining)));
        assert!(roster.additions.iter().all(|additions| additions.is_empty()));
    }
}
