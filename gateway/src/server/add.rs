//! Shards are added and removed while the node serves.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use gateway_core::id::ShardId;
use gateway_registry::ids::WorkerId;
use thiserror::Error;
use tracing::info;

use super::{OwnPortError, Server};
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

impl Server {
    /// Adds a shard on the worker that has the fewest; it serves when this returns. Waits for that
    /// worker's next turn.
    ///
    /// New connections find it at once; those that are there stay where they are.
    ///
    /// # Errors
    /// If there is no id or descriptor left, the port cannot be shared, the shard's own port cannot
    /// be had, or the node is draining.
    pub fn add_shard(&mut self) -> Result<ShardId, AddError> {
        if self.node.is_draining() {
            return Err(AddError::Draining);
        }
        if usize::from(self.next) >= self.node.shards_max() {
            return Err(AddError::NoIds(self.node.shards_max()));
        }
        let shard = ShardId(self.next);
        let listeners = self.doors.open_one(shard)?;
        let worker = self.idlest();
        let (reply, answer) = mpsc::channel();
        let additions = &self.workers[worker.index()].additions;
        additions.post(Addition { shard, listeners, reply }).map_err(|_| AddError::Busy)?;
        // Whatever becomes of it now, the id is taken.
        self.next += 1;
        self.wait(worker, &answer)?;
        if let Some(addr) = self.shard_addr(shard) {
            info!(%shard, %addr, "listening for one shard");
        }
        Ok(shard)
    }

    /// Begins to remove a shard: its rooms' homes and its connections move to the others, and it
    /// ends when nothing is left. Clients notice nothing; one that is just saying goodbye, or has
    /// not completed its request, is waited for. See [`shards`](Self::shards) for when it is gone.
    ///
    /// # Errors
    /// If it does not serve, is the last one that does, or the node is draining.
    pub fn remove_shard(&mut self, shard: ShardId) -> Result<(), RemoveError> {
        if self.node.is_draining() {
            return Err(RemoveError::Draining);
        }
        let serving = self.node.serving();
        if !serving.contains(&shard) {
            return Err(RemoveError::Unknown { shard, serving });
        }
        if serving.len() == 1 {
            return Err(RemoveError::Last(shard));
        }
        info!(%shard, "removing");
        self.node.withdraw(shard);
        Ok(())
    }

    /// The shards that serve.
    #[must_use]
    pub fn serving(&self) -> Vec<ShardId> {
        self.node.serving()
    }

    /// The shards that are there: those that serve, and those that are being removed.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        self.node.present()
    }

    /// Connections that were accepted by shards whose removal had begun, since the start. They
    /// are served and move on like all others.
    #[must_use]
    pub fn accepted_while_removing(&self) -> u64 {
        self.node.late()
    }

    fn idlest(&self) -> WorkerId {
        let mut shards = vec![0_usize; self.node.workers()];
        for shard in self.node.present() {
            shards[self.node.worker_of(shard).index()] += 1;
        }
        let workers = (u16::MIN..=u16::MAX).map(WorkerId).zip(shards);
        let idlest = workers.min_by_key(|&(_, shards)| shards);
        idlest.expect("a node has workers").0
    }

    /// Waits for the worker's answer, as long as it is there to give one.
    fn wait(
        &self,
        worker: WorkerId,
        answer: &mpsc::Receiver<Result<(), NotAdded>>,
    ) -> Result<(), AddError> {
        let thread = self.workers[worker.index()].thread.as_ref();
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(NotAdded::System(error))) => return Err(AddError::System(error)),
                Ok(Err(NotAdded::Draining)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(AddError::Draining);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if thread.is_none_or(|thread| thread.is_finished()) {
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
