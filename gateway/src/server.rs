//! A running node: its shards on their workers, from bind to the last join.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use gateway_core::body::Store;
use gateway_core::counters::Counters;
use gateway_core::hub::{self, Hub};
use gateway_registry::census::Census;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::config::{Config, share};
use crate::machine;
use crate::net::listen::{self, Options};
use crate::shard::{self, DrainSignal};
use crate::turn::Turn;

#[cfg(not(target_os = "linux"))]
use crate::net::TokioNet as ShardNet;
#[cfg(target_os = "linux")]
use crate::net::{EpollNet as ShardNet, Extents, MemfdStore};

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source} ({})", bind_advice(.source))]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker could not be started.
    #[error("cannot start worker {index}: {source}")]
    Worker {
        /// Which one.
        index: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(&'static str),
}

/// A worker ended although nobody asked the node to drain.
#[derive(Debug, Error)]
#[error("worker {index} stopped: {why}")]
pub struct WorkerStopped {
    index: usize,
    why: String,
}

/// A node that serves. Dropping it drains it without waiting.
pub struct Server {
    addr: SocketAddr,
    max_connections: u32,
    census: Arc<Census>,
    workers: Vec<Worker>,
    ended: mpsc::UnboundedReceiver<usize>,
}

struct Worker {
    drain: DrainSignal,
    thread: Option<JoinHandle<io::Result<Counters>>>,
}

impl Server {
    /// Binds, starts the workers and serves.
    ///
    /// # Errors
    /// If the configuration makes no sense, the address cannot be had or a thread not be made.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        if config.shards == 0 {
            return Err(StartError::Config("--shards must be at least 1"));
        }
        config.limits.check().map_err(StartError::Config)?;
        if config.shards > 1 {
            warn!(
                shards = config.shards,
                "a room spans one shard only for now: members on different shards do not hear \
                 each other; run with --shards 1 unless that is what you want"
            );
        }
        let listeners = bind(config)?;
        let addr = listeners[0].local_addr().map_err(|source| bind_error(config, source))?;
        let max_connections = max_connections(config)?;
        let cores = if config.pin { machine::cores() } else { Vec::new() };
        let census = Arc::new(Census::new(config.shards));
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let mut server = Self { addr, max_connections, census, workers: Vec::new(), ended };
        for (index, listener) in listeners.into_iter().enumerate() {
            let mut limits = config.limits.clone();
            limits.connections_max =
                limits.connections_max.min(share(max_connections, config.shards, index));
            let plan = Plan {
                index,
                listener,
                core: (!cores.is_empty()).then(|| cores[index % cores.len()]),
                hub: hub::Config {
                    limits,
                    member_policy: config.member_policy,
                    hash_seed: machine::random_seed(),
                    store: None,
                },
                slice: config.slice,
                store: config.store,
                census: Arc::clone(&server.census),
                drain: DrainSignal::default(),
                ended: Ended { index, tell: tell_ended.clone() },
            };
            server.workers.push(plan.start()?);
        }
        Ok(server)
    }

    /// Where it listens: the port that the system chose if it was asked to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections it serves at a time, over all shards.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// What the shards hold now.
    #[must_use]
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The same, for somebody who outlives the borrow.
    #[must_use]
    pub fn census_handle(&self) -> Arc<Census> {
        Arc::clone(&self.census)
    }

    /// Tells all shards to stop accepting and to close everyone with 1001.
    pub fn drain(&self) {
        self.workers.iter().for_each(|worker| worker.drain.give());
    }

    /// Waits until a worker ended that was not told to: a fault that ends the node.
    ///
    /// # Panics
    /// If it is asked again after all workers have ended.
    pub async fn failed(&mut self) -> WorkerStopped {
        let index = self.ended.recv().await.expect("a node has workers");
        let thread = self.workers[index].thread.take().expect("a worker ends once");
        let why = match thread.join() {
            Ok(Ok(_)) => "it drained by itself".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked; the panic's message stands above".to_owned(),
        };
        WorkerStopped { index, why }
    }

    /// Waits until all workers have drained; returns what they counted together.
    ///
    /// # Errors
    /// If a worker broke or panicked on the way.
    pub fn join(mut self) -> Result<Counters, WorkerStopped> {
        let mut total = Counters::default();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let Some(thread) = worker.thread.take() else { continue };
            let stopped = |why: String| WorkerStopped { index, why };
            let counters = thread.join().map_err(|_| stopped("it panicked".to_owned()))?;
            total.merge(&counters.map_err(|error| stopped(error.to_string()))?);
        }
        Ok(total)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// All that one worker needs.
struct Plan {
    index: usize,
    listener: TcpListener,
    core: Option<usize>,
    hub: hub::Config,
    slice: usize,
    store: bool,
    census: Arc<Census>,
    drain: DrainSignal,
    ended: Ended,
}

impl Plan {
    fn start(self) -> Result<Worker, StartError> {
        let (index, drain) = (self.index, self.drain.clone());
        let thread = thread::Builder::new()
            .name(format!("weir-{index}"))
            .spawn(move || self.work())
            .map_err(|source| StartError::Worker { index, source })?;
        Ok(Worker { drain, thread: Some(thread) })
    }

    fn work(self) -> io::Result<Counters> {
        let _ended = self.ended;
        if let Some(core) = self.core
            && let Err(error) = machine::pin(core)
        {
            warn!(worker = self.index, core, %error, "not pinned");
        }
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        runtime.block_on(async {
            let (net, store) = shard_net(self.listener, self.store)?;
            let turn = Turn::new(net, Hub::new(hub::Config { store, ..self.hub }), self.slice);
            info!(shard = self.index, core = ?self.core, "serving");
            let counters = shard::run(turn, self.drain, self.census, self.index).await;
            if let Err(error) = &counters {
                error!(shard = self.index, %error, "the shard cannot go on");
            }
            counters
        })
    }
}

/// A shard's sockets, and where its large payloads are kept so that they are sent uncopied.
#[cfg(target_os = "linux")]
fn shard_net(listener: TcpListener, store: bool) -> io::Result<(ShardNet, Option<Arc<dyn Store>>)> {
    let net = ShardNet::new(listener)?;
    if !store {
        return Ok((net, None));
    }
    let store = Arc::new(MemfdStore::new()?);
    Ok((net.with_extents(Arc::clone(&store) as Arc<dyn Extents>), Some(store)))
}

#[cfg(not(target_os = "linux"))]
fn shard_net(listener: TcpListener, _: bool) -> io::Result<(ShardNet, Option<Arc<dyn Store>>)> {
    Ok((ShardNet::new(listener)?, None))
}

/// Says that a worker's thread ends, however it does.
struct Ended {
    index: usize,
    tell: mpsc::UnboundedSender<usize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens any more when the node is being joined.
        let _ = self.tell.send(self.index);
    }
}

/// What was asked for, as far as descriptors and shards allow it.
fn max_connections(config: &Config) -> Result<u32, StartError> {
    let shards = config.shards as u64;
    let descriptors = machine::connections_allowed(shards * u64::from(config.limits.refusals_max));
    let slots = shards * u64::from(config.limits.connections_max);
    let allowed = descriptors.min(u32::try_from(slots).unwrap_or(u32::MAX));
    if allowed == 0 {
        let why = "the descriptor limit leaves no room for connections; raise it (ulimit -n)";
        return Err(StartError::Config(why));
    }
    let wanted = config.max_connections.unwrap_or(allowed);
    if wanted > allowed {
        warn!(
            wanted,
            allowed,
            "--max-connections is more than the descriptor limit allows; raise it (ulimit -n)"
        );
    }
    Ok(wanted.min(allowed))
}

/// One listener per shard, all on the port that the first one got.
fn bind(config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let bind = |addr, reuse_port| {
        let options = Options { reuse_port, ..Options::default() };
        listen::bind(addr, &options).map_err(|source| bind_error(config, source))
    };
    // A port shared between shards could be shared with another program unseen, so the port is
    // first asked for alone.
    let alone = bind(config.addr, false)?;
    if config.shards == 1 {
        return Ok(vec![alone]);
    }
    let addr = alone.local_addr().map_err(|source| bind_error(config, source))?;
    drop(alone);
    (0..config.shards).map(|_| bind(addr, true)).collect()
}

fn bind_error(config: &Config, source: io::Error) -> StartError {
    StartError::Bind { addr: config.addr, source }
}

fn bind_advice(error: &io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have advice of their own")]
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has it; stop that one or give another --addr",
        io::ErrorKind::AddrNotAvailable => "no such address on this machine; see --addr",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privilege; give another --addr",
        _ => "see --addr",
    }
}
