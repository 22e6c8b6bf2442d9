//! Shards are added and removed while the node serves, from any thread.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway_core::id::ShardId;
use gateway_registry::ids::WorkerId;
use gateway_registry::mailbox::Mailbox;
use tracing::info;

use super::doors::Doors;
use crate::net::listen::Listeners;
use crate::node::{Node, Removal};
use crate::roster::{AddError, RemoveError, Roster, ShardState};
use crate::steer::{self, Steering};
use crate::worker::{Addition, NotAdded};

/// How often someone who waits for a worker looks whether it is still there.
const LOOK: Duration = Duration::from_millis(100);

/// A node's shards, to be added to and removed from. Cheap to clone.
#[derive(Clone)]
pub struct Shards(Arc<Outside>);

/// What they are to those who are not workers.
struct Outside {
    roster: Roster<Listeners>,
    doors: Doors,
    /// What the kernel is told of listeners, once it is there.
    steering: OnceLock<Arc<Steering>>,
}

impl Shards {
    pub(super) fn new(
        doors: Doors,
        node: Arc<Node>,
        additions: Box<[Arc<Mailbox<Addition<Listeners>>>]>,
        next: u16,
    ) -> Self {
        let roster = Roster::new(node, additions, next);
        Self(Arc::new(Outside { roster, doors, steering: OnceLock::new() }))
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
        // Who asked may have given up waiting; then it removes the shard or drains.
        let reply = Box::new(move |added| _ = reply.send(added));
        let shard = self.0.roster.order(|shard, worker| self.0.open(shard, worker), reply)?;
        let answered = self.0.wait(&answer);
        self.0.roster.settle(shard);
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
        self.0.roster.remove(shard, removal)
    }

    /// The shards that are there: those that serve, and those that are being removed.
    #[must_use]
    pub fn list(&self) -> Vec<ShardState> {
        self.0.roster.list()
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("doors", &self.0.doors).finish_non_exhaustive()
    }
}

impl Outside {
    /// Listens for one more shard.
    fn open(&self, shard: ShardId, worker: WorkerId) -> Result<Listeners, AddError> {
        let listeners = self.doors.open_one(shard)?;
        if let Some(steering) = self.steering.get() {
            let (cpu, _) = self.roster.node().plan_of(worker);
            steering.listen(&steer::Listener { shard, cpu, on: &listeners.shared });
        }
        Ok(listeners)
    }

    /// Waits for the worker's answer, as long as all are there to give one: a node whose worker
    /// has ended comes to an end.
    fn wait(&self, answer: &mpsc::Receiver<Result<(), NotAdded>>) -> Result<(), AddError> {
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return Ok(answer?),
                Err(RecvTimeoutError::Disconnected) => return Err(AddError::Draining),
                Err(RecvTimeoutError::Timeout) => {
                    if self.roster.node().has_ended() {
                        return Err(AddError::Draining);
                    }
                }
            }
        }
    }
}
