//! A node whose workers are tasks of this thread's runtime, for simulation and for embedding.
//!
//! Workers, turns, hubs, rings, doorbells, registry and census are those of every node; only what
//! [`Server`](crate::server::Server) takes from the system is given instead: threads, listeners,
//! time and chance. Each shard's sockets come from a closure; time is the runtime's, and thus
//! virtual in simulation; what chance decides follows from the hub's seed.

mod config;
mod parts;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use gateway_core::counters::Counters;
use gateway_core::id::ShardId;
use gateway_registry::census::Census;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use crate::admin::stats::Stats;
use crate::handle::Handle;
use crate::net::Net;
use crate::node::Node;
use crate::roster::Roster;
use crate::server::{AddError, Removal, RemoveError, ShardState};
use crate::worker::Depths;

use self::parts::{Made, Parts};

pub use self::config::LocalConfig;

/// A node on one thread, over any network. Clones are handles of the same node; dropping the last
/// one drains it without waiting.
///
/// Nothing here waits but [`add_shard`](Self::add_shard) and [`join`](Self::join), which are
/// asynchronous. [`Handle::rooms`] would wait for a task of its own thread, and refuses.
pub struct LocalNode<N: Net>(Rc<Inner<N>>);

struct Inner<N: Net> {
    node: Arc<Node>,
    roster: Roster<N>,
    make: RefCell<Make<N>>,
    depths: Depths<Made<N>>,
    handle: Handle,
    /// Until somebody waits for them.
    workers: RefCell<Vec<Task>>,
}

/// Makes a shard's sockets.
type Make<N> = Box<dyn FnMut(ShardId) -> io::Result<N>>;
/// A worker, which returns what its shards counted.
type Task = JoinHandle<io::Result<Counters>>;

impl<N: Net + 'static> LocalNode<N> {
    /// Starts the workers as tasks of the current [`LocalSet`](tokio::task::LocalSet), over the
    /// sockets that `make` gives for each shard, now and whenever one is added. All shards serve
    /// when this returns.
    ///
    /// # Errors
    /// What `make` said.
    ///
    /// # Panics
    /// If a number of `config` is out of its bounds, or outside of a `LocalSet`.
    pub fn spawn(
        config: LocalConfig,
        make: impl FnMut(ShardId) -> io::Result<N> + 'static,
    ) -> io::Result<Self> {
        let mut make: Make<N> = Box::new(make);
        let shards = config.shards;
        let nets: Vec<N> =
            (0..shards).map(|shard| make(ShardId(shard))).collect::<Result<_, _>>()?;
        let Parts { node, depths, handle, additions, plans } = Parts::new(config, nets);
        let workers = plans.into_iter().map(|plan| spawn_local(parts::run(plan))).collect();
        Ok(Self(Rc::new(Inner {
            roster: Roster::new(Arc::clone(&node), additions, shards),
            node,
            make: RefCell::new(make),
            depths,
            handle,
            workers: RefCell::new(workers),
        })))
    }

    /// Adds a shard on the worker that has the fewest; it serves when this returns. Waits for that
    /// worker's next turn.
    ///
    /// # Errors
    /// If there is no id left, `make` failed, or the node is draining.
    ///
    /// # Panics
    /// If `make` adds a shard itself.
    pub async fn add_shard(&self) -> Result<ShardId, AddError> {
        let (reply, answer) = oneshot::channel();
        // Who asked may have given up waiting; then it removes the shard or drains.
        let reply = Box::new(move |added| _ = reply.send(added));
        let shard = {
            // Before the roster's lock, at which a thread that adds within `make` would wait for
            // itself.
            let mut make = self.0.make.borrow_mut();
            self.0.roster.order(|shard, _| make(shard).map_err(AddError::System), reply)?
        };
        let _settles = Settles { roster: &self.0.roster, shard };
        // A worker that ends drops what it was ordered.
        answer.await.map_err(|_| AddError::Draining)??;
        Ok(shard)
    }

    /// Begins to remove a shard: see [`Shards::remove`](crate::server::Shards::remove).
    ///
    /// # Errors
    /// If it does not serve, is the last one that does, or the node is draining.
    pub fn remove_shard(&self, shard: ShardId, removal: Removal) -> Result<(), RemoveError> {
        self.0.roster.remove(shard, removal)
    }

    /// The shards that are there: those that serve, and those that are being removed.
    #[must_use]
    pub fn list(&self) -> Vec<ShardState> {
        self.0.roster.list()
    }

    /// The shards that serve, ascending.
    #[must_use]
    pub fn serving(&self) -> Vec<ShardId> {
        self.0.node.serving()
    }

    /// The shards that serve or are being removed, ascending.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        self.0.node.present()
    }

    /// What the shards hold now.
    #[must_use]
    pub fn census(&self) -> &Arc<Census> {
        &self.0.node.census
    }

    /// What each shard has counted, those included that have ended; at most a tick old.
    #[must_use]
    pub fn counters(&self) -> Vec<(ShardId, Counters)> {
        self.0.node.tallies()
    }

    /// What the shards hold and have counted, as a server says it of its own.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let node = &self.0.node;
        Stats {
            ring_depths: self.0.depths.read(),
            accepted_late: node.late(),
            cross_node_bytes: node.cross_node_bytes(),
            ..Stats::gather(&node.census, node.tallies())
        }
    }

    /// What gives orders to the node while it runs: to connections, users and rooms.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.0.handle.clone()
    }

    /// Tells all shards to stop accepting and to close everyone with 1001.
    pub fn drain(&self) {
        self.0.node.drain();
    }

    /// Waits until all workers have drained; returns what they counted together. To be awaited
    /// once; whoever comes later hears of nothing counted.
    ///
    /// # Errors
    /// If a worker broke on the way: then the node drains.
    ///
    /// # Panics
    /// If a worker panicked, with its panic: then the node drains too.
    pub async fn join(&self) -> io::Result<Counters> {
        let workers = self.0.workers.take();
        let mut total = Counters::default();
        for worker in workers {
            match worker.await {
                Ok(counted) => total.merge(&counted?),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                Err(_) => return Err(io::Error::other("the runtime ended before the node did")),
            }
        }
        Ok(total)
    }
}

impl<N: Net> Clone for LocalNode<N> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<N: Net> fmt::Debug for LocalNode<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalNode").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl<N: Net> Drop for Inner<N> {
    fn drop(&mut self) {
        self.node.drain();
    }
}

/// An order for a shard, until it is answered or nobody waits any more.
struct Settles<'a, D> {
    roster: &'a Roster<D>,
    shard: ShardId,
}

impl<D> Drop for Settles<'_, D> {
    fn drop(&mut self) {
        self.roster.settle(self.shard);
    }
}
