//! What a node is started with, and the bounds of that.

mod balance;
mod file;
mod namespace;
mod ports;
mod sources;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use gateway_core::handshake::Secret;
use gateway_core::hub::{COALESCE_MICROS_MAX, MemberPolicy};
use gateway_core::limits::Limits;
use gateway_core::route::{RouteConfig, RouteError, Routes};
use thiserror::Error;

use crate::admin::{AdminKey, KeyError};
use crate::auth::Auth;
use crate::middleware::RouteMetrics;
use crate::plan::{Numa, PlanError, Request};
use crate::sequencer::Sequencer;
use crate::steer::{IdleError, SteerConfig};

pub use self::balance::{
    BalanceConfig, BalanceError, SLACK_PERMILLE_DEFAULT, SLACK_PERMILLE_MAX, Strategy,
};
pub use self::file::{FILE_BYTES_MAX, FileConfig, FileError};
pub use self::namespace::{
    HISTORY_BYTES_MAX, HISTORY_MESSAGES_MAX, HISTORY_SECS_MAX, NamespaceConfig, NamespaceError,
};
pub use self::ports::PortError;
pub(crate) use self::ports::port_of;
pub(crate) use self::sources::NETWORKS_MAX;
pub use self::sources::SourceConfig;

/// Configuration of one node. CLI flags mirror the fields down to
/// `max_connections` one to one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect; port 0 lets the system choose. Default `127.0.0.1:9002`.
    pub addr: SocketAddr,
    /// If there is one, shard *i* also listens on `127.0.0.1`, port `base_port` + *i*, for those
    /// who are to be served by this shard as long as it serves, wherever their rooms' homes are: so
    /// a load balancer can choose shards itself. 1 to 65,536 less the shards; default none. See
    /// [`shard_port`](Self::shard_port).
    pub base_port: Option<u16>,
    /// What this node is called in logs, 1 to 128 visible ASCII characters. Default nothing.
    pub instance: Option<String>,
    /// Where operators look. Default `127.0.0.1:9003`, if that is free.
    pub admin: Option<AdminAddr>,
    /// The key that opens what changes state there, 1 to 1,024 visible ASCII characters. Default:
    /// one is made.
    pub admin_key: Option<Secret>,
    /// Shards, 1 to 1024. Default: one per physical core in the affinity mask, but no more than
    /// whole CPUs in the cgroup's quota. More spread load finer and can be moved between workers;
    /// each costs buffers of its own and makes rooms cross shards more often.
    pub shards: Option<usize>,
    /// Worker threads, each pinned to a core and turning an even share of the shards; 1 to as
    /// many as shards. Default: one per shard, but no more than physical cores that the quota
    /// allows. Fewer leave cores to other programs; more share cores and slow each other down.
    pub workers: Option<usize>,
    /// NUMA nodes to use. Default `Auto`: all, workers in proportion to a node's cores and shards
    /// grouped by node. Naming nodes keeps memory and traffic near; `Off` ignores where cores are.
    pub numa: Numa,
    /// Envelopes that a ring from one worker to another holds, 2 to 65,536. Default 2048. More
    /// rides out longer bursts; fewer costs less memory for each pair of workers that speak, and
    /// makes a publisher wait, or a shard's members see a gap, sooner.
    pub ring: usize,
    /// Members served per flush slice, before the shard looks at its rings again; 1 to 65,536.
    /// Default 64. More costs fewer looks; fewer lets a wide room hold up other shards for less
    /// time.
    pub batch: usize,
    /// Microseconds that what is said to a room may wait for more, so that each member gets several
    /// messages in one send: 0 to 10,000. What comes after a longer pause leaves at once, and so
    /// does what fills 64 KiB. 0, the default, has nothing wait: a busy shard sends together what
    /// it read together anyway. More saves sends in rooms that speak steadily on an idle machine,
    /// and delays all but the first of what they say by as much.
    pub coalesce_micros: u32,
    /// Which shard a newcomer goes to. Default: affinity, with an eighth of slack.
    pub balance: BalanceConfig,
    /// Connections of the whole node, on whichever shards; clients beyond it hear 503. Default,
    /// and at most: what the process's descriptor limit allows, which is raised as far as it may
    /// be.
    pub max_connections: Option<u32>,
    /// The bounds of each shard; its `connections_max` is no more than `max_connections`.
    pub limits: Limits,
    /// What one source may have, over all shards, and which peers speak for others. Default: ten
    /// thousand connections and 500 new ones a second, but for this machine's own clients.
    pub sources: SourceConfig,
    /// What is served. Default: [`Routes::builtin`].
    pub routes: Vec<RouteConfig>,
    /// What the routes count that have a [`Metrics`](crate::middleware::Metrics) of this. Default
    /// nothing. Nodes of one configuration count together.
    pub route_metrics: RouteMetrics,
    /// What is kept of the rooms that routes open, by the names that routes give their families.
    /// Default nothing, for those that are not named too. See [`rooms`](Self::rooms).
    pub namespaces: Vec<NamespaceConfig>,
    /// Who decides about tokens, if not `token` alone. Default none.
    pub auth: Option<Arc<dyn Auth>>,
    /// Who gives messages their places, if not each room's home itself. Default none.
    pub sequencer: Option<Arc<dyn Sequencer>>,
    /// The token that opens routes that ask for one, 1 to 4,096 visible ASCII characters. Default
    /// none: then they refuse everyone.
    pub token: Option<Secret>,
    /// What becomes of members that do not read as fast as their room speaks, where their route
    /// does not say so itself.
    pub member_policy: MemberPolicy,
    /// Whether and how the kernel gives connections to shards. Default: by its hash, for a library
    /// loads no programs into the kernel unasked; the binary's default is to do it as well as it
    /// can.
    pub steer: SteerConfig,
    /// Whether each worker is pinned to a core. Default true; it costs nothing but the choice.
    pub pin: bool,
}

/// Where `weir` listens unless told otherwise.
pub const ADDR_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9002);

/// Where operators look unless told otherwise.
pub const ADMIN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9003);

/// Where the admin listener is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdminAddr {
    /// Its address; port 0 lets the system choose.
    pub addr: SocketAddr,
    /// Whether somebody asked for this one, and is to hear that it cannot be had; else the node
    /// serves without it.
    pub asked: bool,
}

/// Default of [`Config::ring`].
pub const RING_DEFAULT: usize = 2048;
/// Bounds of [`Config::ring`]: one envelope under way and one being written are the least that
/// flows; 65,536 of them are megabytes per pair of workers.
pub const RING: RangeInclusive<usize> = 2..=65_536;
/// Default of [`Config::batch`].
pub const BATCH_DEFAULT: usize = crate::turn::SLICE_DEFAULT;
/// Bounds of [`Config::batch`]: at 65,536 sends a slice lasts a good part of a second.
pub const BATCH: RangeInclusive<usize> = 1..=65_536;
/// Bounds of [`Config::coalesce_micros`]: 10 ms more are seen by people who type together.
pub const COALESCE_MICROS: RangeInclusive<u32> = 0..=COALESCE_MICROS_MAX;

/// Bytes of [`Config::token`]: no request may show a longer one.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Bytes of [`Config::instance`]: a host's name and more.
pub const INSTANCE_BYTES_MAX: usize = 128;

/// Why a configuration makes no sense.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Shards, workers and nodes do not go together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The rings' capacity is out of bounds.
    #[error("--ring {0}: give {low} to {high} envelopes", low = RING.start(), high = RING.end())]
    Ring(usize),
    /// The slice of a flush is out of bounds.
    #[error("--batch {0}: give {low} to {high} members", low = BATCH.start(), high = BATCH.end())]
    Batch(usize),
    /// Words would wait for more for too long.
    #[error(
        "--coalesce-micros {0}: give {low} to {high} microseconds; 0 has nothing wait",
        low = COALESCE_MICROS.start(),
        high = COALESCE_MICROS.end()
    )]
    Coalesce(u32),
    /// Newcomers cannot be spread like this.
    #[error(transparent)]
    Balance(#[from] BalanceError),
    /// Something is asked of programs that are not loaded.
    #[error(transparent)]
    Steer(#[from] IdleError),
    /// The ports of shards are not to be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No log could show the node's name in a word.
    #[error("--instance-id {0:?}: give 1 to {INSTANCE_BYTES_MAX} visible ASCII characters")]
    Instance(String),
    /// No request could show the token, which is not told.
    #[error("--token: give 1 to {TOKEN_BYTES_MAX} visible ASCII characters, or leave it out")]
    Token,
    /// No request could show the key, which is not told.
    #[error("--admin-key: {0}")]
    AdminKey(String),
    /// The namespaces make no sense.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The routes make no sense.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// What one source may have is out of bounds.
    #[error("{0}")]
    Sources(&'static str),
    /// The limits contradict each other.
    #[error("{0}")]
    Limits(&'static str),
}

impl Config {
    /// Checks all that can be checked without the machine.
    ///
    /// # Errors
    /// If a value is out of its bounds or contradicts another.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.request().check()?;
        if !RING.contains(&self.ring) {
            return Err(ConfigError::Ring(self.ring));
        }
        if !BATCH.contains(&self.batch) {
            return Err(ConfigError::Batch(self.batch));
        }
        if !COALESCE_MICROS.contains(&self.coalesce_micros) {
            return Err(ConfigError::Coalesce(self.coalesce_micros));
        }
        self.balance.check()?;
        self.steer.check()?;
        self.check_ports()?;
        self.check_words()?;
        let routes = Routes::new(&self.routes)?;
        namespace::check(&self.namespaces, &routes)?;
        self.sources.check()?;
        self.limits.check().map_err(ConfigError::Limits)
    }

    /// Names and secrets, which go through headers and logs.
    fn check_words(&self) -> Result<(), ConfigError> {
        let is_word = |text: &str, bytes_max| {
            (1..=bytes_max).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(instance) = self.instance.as_ref().filter(|it| !is_word(it, INSTANCE_BYTES_MAX))
        {
            return Err(ConfigError::Instance(instance.clone()));
        }
        if self.token.as_ref().is_some_and(|token| !is_word(token.expose(), TOKEN_BYTES_MAX)) {
            return Err(ConfigError::Token);
        }
        let key = self.admin_key.as_ref().map(|key| AdminKey::given(key.expose().to_owned()));
        let wrong = |error: KeyError| ConfigError::AdminKey(error.to_string());
        key.transpose().map_err(wrong).map(|_| ())
    }

    /// What the plan is asked for; the quota is the machine's to say.
    #[must_use]
    pub fn request(&self) -> Request {
        Request { shards: self.shards, workers: self.workers, numa: self.numa.clone(), quota: None }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: ADDR_DEFAULT,
            base_port: None,
            instance: None,
            admin: Some(AdminAddr { addr: ADMIN_DEFAULT, asked: false }),
            admin_key: None,
            shards: None,
            workers: None,
            numa: Numa::Auto,
            ring: RING_DEFAULT,
            batch: BATCH_DEFAULT,
            coalesce_micros: 0,
            balance: BalanceConfig::default(),
            max_connections: None,
            limits: Limits::default(),
            sources: SourceConfig::default(),
            routes: Routes::builtin(),
            route_metrics: RouteMetrics::new(),
            namespaces: Vec::new(),
            auth: None,
            sequencer: None,
            token: None,
            member_policy: MemberPolicy::Close,
            steer: SteerConfig::default(),
            pin: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the defaults after `change`.
    fn wrong(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn values_within_their_bounds_are_right() {
        assert_eq!(wrong(|_| ()), "nothing");
        for (ring, batch, shards) in [(2, 1, 1), (65_536, 65_536, 1024), (1000, 3, 7)] {
            let set = |config: &mut Config| {
                (config.ring, config.batch) = (ring, batch);
                (config.shards, config.workers) = (Some(shards), Some(shards));
            };
            assert_eq!(wrong(set), "nothing");
        }
    }

    #[test]
    fn each_value_out_of_bounds_is_told_with_its_bounds() {
        for bad in [0, 1, 65_537] {
            let text = format!("--ring {bad}: give 2 to 65536 envelopes");
            assert_eq!(wrong(|config| config.ring = bad), text);
        }
        for bad in [0, 65_537] {
            let text = format!("--batch {bad}: give 1 to 65536 members");
            assert_eq!(wrong(|config| config.batch = bad), text);
        }
        assert_eq!(wrong(|config| config.coalesce_micros = 10_000), "nothing");
        assert_eq!(
            wrong(|config| config.coalesce_micros = 10_001),
            "--coalesce-micros 10001: give 0 to 10000 microseconds; 0 has nothing wait"
        );
        let rest = "give 1 to 1024, or leave it out for one per physical core";
        for bad in [0, 1025] {
            let text = format!("--shards {bad}: {rest}");
            assert_eq!(wrong(|config| config.shards = Some(bad)), text);
            let text = format!("--workers {bad}: {rest}");
            assert_eq!(wrong(|config| config.workers = Some(bad)), text);
        }
        let text = wrong(|config| (config.shards, config.workers) = (Some(2), Some(3)));
        assert!(text.starts_with("--workers 3: more than shards (2, by flag)"), "{text}");
        let text = wrong(|config| config.limits.read_bytes_max = 0);
        assert!(text.contains("read_bytes_max"), "{text}");
    }

    #[test]
    fn a_secret_that_no_request_could_show_is_refused_and_not_told() {
        for secret in ["", "two words", "caf\u{e9}", "line\n", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            let secret = Secret::from(secret.to_owned());
            let text = wrong(|config| config.token = Some(secret.clone()));
            let told = "--token: give 1 to 4096 visible ASCII characters, or leave it out";
            assert_eq!(text, told);
            let text = wrong(|config| config.admin_key = Some(secret.clone()));
            let told = "--admin-key: an admin key is 1 to 1024 visible ASCII characters";
            assert!(text.starts_with(told), "{text}");
        }
    }

    #[test]
    fn a_node_is_called_something_that_a_log_can_show() {
        assert_eq!(wrong(|config| config.instance = Some("eu-1".to_owned())), "nothing");
        for bad in ["", "a b", "a\n"] {
            let text = wrong(|config| config.instance = Some(bad.to_owned()));
            assert_eq!(
                text,
                format!("--instance-id {bad:?}: give 1 to 128 visible ASCII characters")
            );
        }
    }
}
