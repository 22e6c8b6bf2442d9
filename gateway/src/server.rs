//! A running node: its shards on their workers, from bind to the last join.

mod doors;
mod shards;
mod shared;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

#[cfg(all(target_os = "linux", not(weir_portable)))]
use gateway_core::body::Store;
use gateway_core::counters::Counters;
use gateway_core::handshake::Page;
use gateway_core::hub::{self, Sequencing};
use gateway_core::id::ShardId;
#[cfg(all(target_os = "linux", not(weir_portable)))]
use gateway_core::limits::Limits;
use gateway_core::route::Routes;
use gateway_ebpf::{Rate, Strategy};
use gateway_registry::census::{Capacity, Census};
use gateway_registry::doorbell::Doorbell;
use gateway_registry::mailbox::Mailbox;
use gateway_registry::mesh::Capacities;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::warn;

use crate::admin;
use crate::admin::stats::{self, Stats};
use crate::auth::OneToken;
use crate::config::{Config, ConfigError, SourceConfig};
use crate::guard::{Guard, PrefixError};
use crate::handle::Handle;
use crate::machine;
use crate::middleware::RouteMetrics;
#[cfg(all(target_os = "linux", not(weir_portable)))]
use crate::net::MemfdStore;
use crate::node::Node;
use crate::orders::Mailboxes;
use crate::plan::{self, Place, SHARDS_MAX};
use crate::sources::Sources;
use crate::steer::{self, Memory, Mirrored, SteerError, Steering};
use crate::worker::thread::{Ended, System};
use crate::worker::{self, Depths, Mesh, Setup};

use self::doors::Doors;

pub use self::doors::OwnPortError;
pub use self::shards::Shards;
pub use crate::node::Removal;
pub use crate::roster::{AddError, RemoveError, ShardState};

/// What browsers see at `/`: a page to chat by.
const PAGE: Page =
    Page { media_type: "text/html; charset=utf-8", body: include_str!("../web/index.html") };
/// Shards that can be added while a node runs, as long as there are ids.
const SHARDS_SPARE: usize = 64;
/// Descriptors of a shard that are not connections: a listener, a poller, three of a worker's
/// runtime, if it has one of its own, and four of pipes. As many are kept for shards that are
/// added: all can be replaced by new ones before the old ones leave. With a base port there is one
/// listener more.
const SHARD_DESCRIPTORS: u64 = 9;
/// Connections that the table of descriptors is made for at the start, unless more are asked for:
/// 576 KiB of the kernel's memory.
const EXPECTED_CONNECTIONS: u32 = 65_536;
/// Orders that wait for a worker: it takes them in each turn.
const ORDERS_MAX: usize = 16;

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
    /// A shard cannot have a port of its own.
    #[error(transparent)]
    OwnPort(#[from] OwnPortError),
    /// A worker could not be started.
    #[error("cannot start worker {index}: {source}")]
    Worker {
        /// Which one.
        index: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The file of those who are denied or allowed cannot be used.
    #[error(transparent)]
    Guard(#[from] PrefixError),
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(&'static str),
    /// Steering was required.
    #[error("--steer, --selector: {0}")]
    Steer(#[from] SteerError),
    /// A setting is out of bounds or contradicts another, or the machine.
    #[error(transparent)]
    Setting(#[from] ConfigError),
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
    shards: Shards,
    max_connections: u32,
    node: Arc<Node>,
    depths: Depths<System>,
    workers: Vec<Worker>,
    ended: mpsc::UnboundedReceiver<usize>,
    handle: Handle,
    sources: Arc<Sources>,
    guard: Arc<Guard>,
    route_metrics: RouteMetrics,
    /// As soon as it is attached.
    steering: Option<Arc<Steering>>,
    strategy: Strategy,
}

struct Worker {
    thread: Option<JoinHandle<io::Result<Counters>>>,
}

impl Server {
    /// Binds, starts the workers and serves.
    ///
    /// # Errors
    /// If the configuration makes no sense, its guard's file cannot be used, the address cannot be
    /// had or a thread not be made.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        let planned = machine::plan(config.request(), config.pin).map_err(ConfigError::Plan)?;
        planned.log();
        let shards = planned.workers.iter().map(|worker| worker.shards.len()).sum();
        config.check_shard_ports(shards).map_err(ConfigError::Port)?;
        let (doors, listeners) = Doors::open(config, shards)?;
        let max_connections = max_connections(config, shards)?;
        let mesh = Mesh::<System>::new(planned.workers.len(), capacities(config));
        let (depths, ports) = (mesh.depths(), mesh.into_ports());
        let doorbells = ports.iter().map(|port| Arc::clone(port.doorbell())).collect();
        // Read before a device is touched: a start that fails by it takes nothing over.
        let guard = Arc::new(guard(&config.sources)?);
        let (steering, memory) = steer(config, &doors, &planned, shards_max(shards), &guard)?;
        let (setup, node) = prepare(config, max_connections, doorbells, shards, memory, guard)?;
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let next = u16::try_from(shards).expect("shards have ids");
        let orders = ports
            .iter()
            .map(|port| Arc::new(Mailbox::new(Mailboxes::capacity(), Arc::clone(port.doorbell()))));
        let orders = Mailboxes::new(orders);
        let handle = handle(&setup, &node, &orders);
        let additions: Box<[_]> = ports
            .iter()
            .map(|port| Arc::new(Mailbox::new(ORDERS_MAX, Arc::clone(port.doorbell()))))
            .collect();
        let (workers, route_metrics) = (Vec::new(), config.route_metrics.clone());
        let mut server = Self {
            shards: Shards::new(doors, Arc::clone(&node), additions.clone(), next),
            max_connections,
            node,
            depths,
            workers,
            ended,
            handle,
            sources: Arc::clone(&setup.sources),
            guard: Arc::clone(&setup.guard),
            route_metrics,
            steering: None,
            strategy: config.balance.strategy,
        };
        let mut listeners = listeners.into_iter();
        let plans = planned.workers.into_iter().zip(ports).zip(additions);
        let plans = plans.map(|((planned, port), additions)| {
            server.node.planned(port.worker(), &planned);
            let place = planned.place();
            let shards = planned.shards.map(ShardId);
            let plan = Plan {
                node: Arc::clone(&server.node),
                additions,
                orders: orders.clone(),
                shards: shards.zip(&mut listeners).collect(),
                setup: setup.clone(),
                port,
            };
            (plan, place)
        });
        // All are known before the first of them turns.
        let plans: Vec<_> = plans.collect();
        for (plan, _) in &plans {
            plan.shards.iter().for_each(|&(shard, _)| server.node.serve(shard, plan.port.worker()));
        }
        server.attach(steering, &plans)?;
        for (plan, place) in plans {
            server.workers.push(start(plan, place, tell_ended.clone())?);
        }
        Ok(server)
    }

    /// Has the kernel choose among the listeners of shards that are about to turn.
    fn attach(
        &mut self,
        mut steering: Steering,
        plans: &[(Plan, Option<Place>)],
    ) -> Result<(), StartError> {
        let listeners = plans.iter().flat_map(|(plan, _)| {
            let (cpu, _) = self.node.plan_of(plan.port.worker());
            plan.shards.iter().map(move |(shard, listeners)| steer::Listener {
                shard: *shard,
                cpu,
                on: &listeners.shared,
            })
        });
        steering.attach(&listeners.collect::<Vec<_>>())?;
        if steering.decides() {
            self.node.decided_by_kernel();
        }
        let steering = Arc::new(steering);
        self.guard.attach(Box::new(steer::Guards(Arc::clone(&steering))));
        self.shards.steered_by(Arc::clone(&steering));
        self.steering = Some(steering);
        Ok(())
    }

    /// Where on the ladder its steering stands.
    #[must_use]
    pub fn steering(&self) -> Option<&steer::State> {
        self.steering.as_deref().map(Steering::state)
    }

    /// Where it listens: the port that the system chose if it was asked to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shards.doors().addr()
    }

    /// Where a shard listens alone, if shards have ports of their own: whoever connects there is
    /// served by that shard as long as it serves. Nobody listens there before and after.
    #[must_use]
    pub fn shard_addr(&self, shard: ShardId) -> Option<SocketAddr> {
        self.shards.doors().own(shard)
    }

    /// Connections it serves at a time, over all shards.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// What the shards hold now.
    #[must_use]
    pub fn census(&self) -> &Census {
        &self.node.census
    }

    /// The same, for somebody who outlives the borrow.
    #[must_use]
    pub fn census_handle(&self) -> Arc<Census> {
        Arc::clone(&self.node.census)
    }

    /// What the shards hold and have counted, for whoever looks on while the node serves and after.
    /// What was counted is at most a quarter of a second old.
    #[must_use]
    pub fn stats(&self) -> stats::Source {
        let (node, depths) = (Arc::clone(&self.node), self.depths.clone());
        let routes = self.route_metrics.clone();
        let (steering, strategy) = (self.steering.clone(), self.strategy);
        Arc::new(move || Stats {
            steered: steering.as_ref().map(|steering| steering.look(strategy)),
            ring_depths: depths.read(),
            accepted_late: node.late(),
            cross_node_bytes: node.cross_node_bytes(),
            ..Stats::gather(&node.census, node.tallies())
                .with_routes(routes.read())
                .with_places(|shard| node.place(node.worker_of(shard)))
        })
    }

    /// Its shards, to be added to and removed from by whoever outlives the borrow.
    #[must_use]
    pub fn shards_handle(&self) -> Shards {
        self.shards.clone()
    }

    /// Adds a shard: see [`Shards::add`].
    ///
    /// # Errors
    /// As told there.
    pub fn add_shard(&self) -> Result<ShardId, AddError> {
        self.shards.add()
    }

    /// Begins to remove a shard whose connections move: see [`Shards::remove`].
    ///
    /// # Errors
    /// As told there.
    pub fn remove_shard(&self, shard: ShardId) -> Result<(), RemoveError> {
        self.shards.remove(shard, Removal::Move)
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

    /// Connections that came to shards whose removal had begun, since the start. They are served,
    /// there or elsewhere, like all others.
    #[must_use]
    pub fn accepted_while_removing(&self) -> u64 {
        self.node.late()
    }

    /// What each source has of it now.
    #[must_use]
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Who is denied and who is allowed, to be changed while it serves.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// What gives orders to the node while it runs: to connections, users and rooms.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Tells all shards to stop accepting and to close everyone with 1001.
    pub fn drain(&self) {
        self.shards.doors().close();
        self.node.drain();
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
        f.debug_struct("Server").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// One worker over the system's sockets.
type Plan = worker::Plan<System>;

fn start(
    plan: Plan,
    place: Option<Place>,
    tell: mpsc::UnboundedSender<usize>,
) -> Result<Worker, StartError> {
    let worker = plan.port.worker();
    let ended = Ended { worker, node: Arc::clone(&plan.node), tell };
    let thread = thread::Builder::new()
        .name(format!("weir-{worker}"))
        .spawn(move || {
            let _ended = ended;
            plan.run(place)
        })
        .map_err(|source| StartError::Worker { index: worker.index(), source })?;
    Ok(Worker { thread: Some(thread) })
}

/// Has the kernel run our programs, as far as that is asked for and can be had.
fn steer(
    config: &Config,
    doors: &Doors,
    planned: &plan::Plan,
    shards_max: usize,
    guard: &Guard,
) -> Result<(Steering, Arc<Memory>), StartError> {
    let SourceConfig { rate, burst, loopback, guard: ref file, .. } = config.sources;
    let (steering, memory) = Steering::prepare(&steer::Request {
        config: &config.steer,
        addr: doors.addr(),
        rules: config.balance.rules(),
        rate: Rate::new(rate, burst),
        limit_loopback: loopback,
        guarded: file.is_some(),
        prefixes: &steer::listed(&guard.for_others()),
        workers: &planned.workers,
        shards_max,
    })?;
    Ok((steering, Arc::new(memory)))
}

/// Shards that there may ever be.
fn shards_max(shards: usize) -> usize {
    (shards + SHARDS_SPARE).min(SHARDS_MAX)
}

fn census(capacity: Capacity, shards_max: usize, memory: &Arc<Memory>) -> Census {
    if memory.is_kernels() {
        return Census::with_mirror(capacity, shards_max, Mirrored(Arc::clone(memory)));
    }
    Census::new(capacity, shards_max)
}

/// What all shards are made with, and what their workers share.
fn prepare(
    config: &Config,
    max_connections: u32,
    doorbells: Vec<Arc<Doorbell>>,
    shards: usize,
    memory: Arc<Memory>,
    guard: Arc<Guard>,
) -> Result<(Setup<System>, Arc<Node>), StartError> {
    let mut limits = config.limits.clone();
    limits.connections_max = limits.connections_max.min(max_connections);
    let capacity =
        Capacity { total_max: max_connections.into(), shard_max: limits.connections_max };
    let shards_max = shards_max(shards);
    let census = Arc::new(census(capacity, shards_max, &memory));
    let seed = machine::random_seed();
    let routes = Routes::new(&config.routes).map_err(ConfigError::Route)?;
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    let extents = store(&config.limits);
    let setup = Setup {
        hub: hub::Config {
            limits,
            page: PAGE,
            rooms: config.rooms(&routes),
            routes: Arc::new(routes),
            member_policy: config.member_policy,
            sequencing: match config.sequencer {
                Some(_) => Sequencing::Engine,
                None => Sequencing::Local,
            },
            seed,
            coalesce_micros: config.coalesce_micros,
            #[cfg(all(target_os = "linux", not(weir_portable)))]
            store: extents.clone().map(|store| store as Arc<dyn Store>),
            ..hub::Config::default()
        },
        auth: config.auth.clone().unwrap_or_else(|| Arc::new(OneToken::new(config.token.clone()))),
        sequencer: config.sequencer.clone(),
        sources: Arc::new(Sources::new(&config.sources)),
        guard,
        proxies: config.sources.proxies.clone().into(),
        ring: config.ring,
        batch: config.batch,
        opener: System {
            #[cfg(all(target_os = "linux", not(weir_portable)))]
            extents,
        },
    };
    let node = Node::new(seed, census, doorbells, shards_max);
    let node = node.balanced(&config.balance, memory, machine::seats(), seed);
    Ok((setup, Arc::new(node)))
}

/// Where large payloads are kept, if they shall be and the system lets us.
#[cfg(all(target_os = "linux", not(weir_portable)))]
fn store(limits: &Limits) -> Option<Arc<MemfdStore>> {
    if limits.store_members_min == 0 {
        return None;
    }
    let refused = |error: &io::Error| {
        warn!(%error, "large payloads are sent from the heap, since a memfd cannot be had");
    };
    MemfdStore::new().inspect_err(refused).ok().map(Arc::new)
}

/// The list of a node. Who is exempt, or speaks for others, is so in the kernel too.
fn guard(config: &SourceConfig) -> Result<Guard, PrefixError> {
    let guard = config.guard.as_deref().map_or_else(|| Ok(Guard::new()), Guard::open)?;
    Ok(guard.exempting(config.exempt.iter().chain(&config.proxies).copied()))
}

fn handle(setup: &Setup<System>, node: &Arc<Node>, orders: &Mailboxes) -> Handle {
    let hub::Config { routes, limits, .. } = &setup.hub;
    Handle::new(Arc::clone(node), orders.clone(), Arc::clone(routes), limits.clone())
}

fn capacities(config: &Config) -> Capacities {
    Capacities { commands: config.ring, deliveries: config.ring }
}

/// What was asked for, as far as descriptors and shards allow it.
fn max_connections(config: &Config, shards: usize) -> Result<u32, StartError> {
    let others = others(config, shards);
    let descriptors = machine::connections_allowed(others);
    let slots = shards as u64 * u64::from(config.limits.connections_max);
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
    let connections = wanted.min(allowed);
    let expected = config.max_connections.unwrap_or(0).max(EXPECTED_CONNECTIONS);
    let table = u64::from(connections.min(expected)) + others;
    machine::make_room_for_descriptors(u32::try_from(table).unwrap_or(u32::MAX));
    Ok(connections)
}

/// Descriptors of a node with so many shards that are not connections.
pub(crate) fn descriptors_beside(config: &Config, shards: usize) -> u64 {
    machine::DESCRIPTORS_RESERVED + others(config, shards)
}

/// Those of shards and operators: listeners, and who hears that there is no room.
fn others(config: &Config, shards: usize) -> u64 {
    let listeners = SHARD_DESCRIPTORS + u64::from(config.base_port.is_some());
    let shard = u64::from(config.limits.refusals_max) + 2 * listeners;
    shards as u64 * shard + admin::DESCRIPTORS_MAX
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
