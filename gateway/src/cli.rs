//! The command line: flags mirror the fields of [`Config`] one to one.

mod addr;
mod balance;
mod dashes;
mod doctor;
mod steer;

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use gateway_core::handshake::Secret;
use gateway_ebpf::Network;

use crate::config::{
    ADDR_DEFAULT, ADMIN_DEFAULT, AdminAddr, BATCH_DEFAULT, Config, FileConfig, RING_DEFAULT,
};
use crate::plan::Numa;

use dashes::{Names, doubled};

pub use self::steer::SteerFlags;

pub use self::balance::BalanceFlags;
pub use self::doctor::Doctor;

/// Weir, a WebSocket gateway: rooms on the kernel's floor.
///
/// Without a command it serves. Each flag may also be an environment variable, which flags beat;
/// both beat the file of --config. Long flags may have a single dash.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve clients until SIGINT or SIGTERM.
    Serve(Serve),
    /// Tell which fast paths there would be with the same flags, and what would turn on the others.
    ///
    /// One line for each, and below it what would turn it on: ! where something is slower than it
    /// could be, X where something that is asked for would be refused. Nothing is started, and
    /// nothing changed without --fix. The exit code is 0 if all is fine, 1 if something is slower
    /// than it could be, and 2 if something that is asked for would be refused, or a flag makes no
    /// sense. All flags of serve are understood, so that its line can be checked as it is.
    Doctor(Doctor),
}

/// Flags of `weir serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Routes, namespaces and limits, in TOML of 1 MiB at most; the README shows all of it.
    /// Default: what is built in.
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect: HOST:PORT, or :PORT for all addresses; port 0 picks a free one.
    /// Default 127.0.0.1:9002, or all addresses of the port that the environment's PORT names.
    /// Both spellings may be given if they say the same.
    #[arg(long, visible_alias = "lb-addr", env = "WEIR_ADDR", value_name = "HOST:PORT")]
    pub addr: Vec<String>,
    /// The port on 127.0.0.1 where shard 0 listens too, and the next ones for the others: 1 to
    /// 65536 less the shards. Who connects there stays on that shard, so that a load balancer can
    /// choose; small rooms then cross shards more often. Default: none.
    #[arg(long, env = "WEIR_BASE_PORT", value_name = "N")]
    pub base_port: Option<u16>,
    /// Where operators look: /healthz, /readyz, /probes and /metrics; off for nowhere. Default
    /// 127.0.0.1:9003, or nowhere if another program has that. Any but a loopback address shows
    /// the node's numbers to the network.
    #[arg(long, env = "WEIR_ADMIN", value_name = "HOST:PORT|off")]
    pub admin: Option<String>,
    /// The key that opens what changes state there (POST /drain, POST /admin/...), 1 to 1024
    /// visible ASCII characters. Default: one is made and shown in the log at start. Other users of
    /// this machine may see flags, but not the environment.
    #[arg(long, env = "WEIR_ADMIN_KEY", hide_env_values = true, value_name = "KEY",
          value_parser = secret, allow_hyphen_values = true)]
    pub admin_key: Option<Secret>,
    /// The token that opens routes that ask for one, such as /ws/chat/{room}: 1 to 4096 visible
    /// ASCII characters. Default: none, and they refuse everyone.
    #[arg(long, env = "WEIR_TOKEN", hide_env_values = true, value_name = "TOKEN",
          value_parser = secret, allow_hyphen_values = true)]
    pub token: Option<Secret>,
    /// What this node is called in its log, 1 to 128 visible ASCII characters. Default: what the
    /// environment's INSTANCE_ID says, or nothing.
    #[arg(long, env = "WEIR_INSTANCE_ID", value_name = "NAME")]
    pub instance_id: Option<String>,
    /// Seconds in which a drain tells everyone to go, 0 to 3600; then who does not read is cut.
    /// More spreads those who come back elsewhere over more time; 0 counts as 1. Default: what the
    /// file's limits say, or 10.
    #[arg(long, env = "WEIR_DRAIN_SECS", value_name = "SECS",
          value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub drain_secs: Option<u32>,
    /// Shards, 1 to 1024: parts of the node with connections and rooms of their own. Default: one
    /// per physical core in the affinity mask, but no more than whole CPUs in the cgroup's quota
    /// (2.5 give 2). More spread load finer; each costs buffers, and rooms cross shards more often.
    #[arg(long, env = "WEIR_SHARDS", value_name = "N")]
    pub shards: Option<usize>,
    /// Worker threads, 1 to as many as shards, each pinned to a core and turning an even share of
    /// the shards. Default: one per shard, but no more than physical cores that the quota allows.
    /// Fewer leave cores to other programs; more than cores are put on SMT siblings, then share
    /// CPUs, which is warned of.
    #[arg(long, env = "WEIR_WORKERS", value_name = "N")]
    pub workers: Option<usize>,
    /// NUMA nodes to use: auto, or -1, spreads workers over all nodes in proportion to their cores
    /// and groups shards by node; a number, or a list such as 0,2, does so on these nodes only,
    /// which keeps memory and traffic near at the price of the other cores; off takes cores by CPU
    /// number.
    #[arg(long, env = "WEIR_NUMA", value_name = "auto|off|NODES", default_value_t = Numa::Auto,
          allow_negative_numbers = true)]
    pub numa: Numa,
    /// Envelopes that a ring from one worker to another holds, 2 to 65536. More rides out longer
    /// bursts; fewer costs less memory for each pair of workers that speak, and makes a publisher
    /// wait, or a shard's members see a gap, sooner.
    #[arg(long, env = "WEIR_RING", value_name = "N", default_value_t = RING_DEFAULT)]
    pub ring: usize,
    /// Members served per flush slice, before the shard looks at its rings again, 1 to 65536. More
    /// costs fewer looks; fewer lets a wide room hold up other shards for less time.
    #[arg(long, env = "WEIR_BATCH", value_name = "N", default_value_t = BATCH_DEFAULT)]
    pub batch: usize,
    /// Microseconds that what is said to a room may wait for more, 0 to 10000, so that each member
    /// gets several messages in one send; what comes after a longer pause leaves at once. More
    /// saves sends where rooms speak steadily and the machine is idle; 0 has nothing wait, and a
    /// busy shard still sends together what it read together.
    #[arg(long, env = "WEIR_COALESCE_MICROS", value_name = "MICROS", default_value_t = 0)]
    pub coalesce_micros: u32,
    /// How new clients are spread over shards.
    #[command(flatten)]
    pub balance: BalanceFlags,
    /// Connections served at a time, over all shards, 1 or more; clients beyond it are answered
    /// 503. Default, and at most: what the descriptor limit (ulimit -n) allows. Fewer bound memory.
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// Bound what this machine's own clients may have too, like every other source: connections at
    /// a time and new ones a second, by source_connections_max and source_rate of the file's
    /// limits. The variable is true or false. Default: what the file says, or not, for tools and
    /// proxies on this machine have thousands.
    #[arg(long, env = "WEIR_LIMIT_LOOPBACK", value_parser = BoolishValueParser::new())]
    pub limit_loopback: bool,
    /// Networks of proxies that say whom they speak for, by the PROXY protocol, version 1 or 2,
    /// such as 10.0.0.0/8,::1. Who connects from there without its header is closed; no other is
    /// believed to be somebody else. Default: what the file says, or nobody.
    #[arg(long, env = "WEIR_PROXY_FROM", value_name = "NETWORK,...", value_delimiter = ',')]
    pub proxy_from: Vec<String>,
    /// Prefixes of those who are turned away unread, and of those whom no bound of a source holds:
    /// lines such as "deny 10.0.0.0/8" and "allow 10.1.2.3", # before comments, 4 MiB at most. The
    /// longest prefix decides; who is in none is let in. It is read again at SIGHUP and by POST
    /// /admin/guard/reload; who is connected stays. Default: what the file says, or nobody.
    #[arg(long, env = "WEIR_GUARD", value_name = "FILE")]
    pub guard: Option<PathBuf>,
    /// Which programs the kernel runs for us.
    #[command(flatten)]
    pub steering: SteerFlags,
    /// How log lines on stderr are written.
    #[arg(long, env = "WEIR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log each connection too, two lines or more for each. The variable is true or false.
    /// Default: only what concerns the node.
    #[arg(long, env = "WEIR_DEBUG", value_parser = BoolishValueParser::new())]
    pub debug: bool,
    /// Print what the node holds and does on stderr, a line each second. The variable is true or
    /// false. Default: not.
    #[arg(long, env = "WEIR_WATCH", value_parser = BoolishValueParser::new())]
    pub watch: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// Reads these arguments, in which long flags may have a single dash. Bad usage ends the
    /// process with a message and exit code 2.
    #[must_use]
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Self {
        Self::try_read(args).unwrap_or_else(|error| error.exit())
    }

    fn try_read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(doubled(args, &Names::of(&Self::command())))
    }

    /// The flags of `doctor`, if that is the command given.
    #[must_use]
    pub fn doctor(&self) -> Option<&Doctor> {
        match &self.command {
            Some(Command::Doctor(doctor)) => Some(doctor),
            Some(Command::Serve(_)) | None => None,
        }
    }

    /// The flags of the command given, or of `serve`.
    #[must_use]
    pub fn serve(self) -> Serve {
        match self.command {
            Some(Command::Serve(serve)) => serve,
            Some(Command::Doctor(doctor)) => doctor.serve,
            None => self.serve,
        }
    }
}

impl Serve {
    /// What to start the node with: these flags over what the file of `--config` says over the
    /// defaults. `variable` gives the environment variables that are not flags of ours, `PORT` and
    /// `INSTANCE_ID`, and `WEIR_LB_ADDR`; they count where no flag says otherwise.
    ///
    /// # Errors
    /// If the file cannot be used, `--addr` is not an address or another value is out of bounds, in
    /// words that say what would be right.
    pub fn config(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Config, String> {
        let mut config = Config {
            addr: self.listen(&variable)?,
            base_port: self.base_port,
            instance: self.instance(&variable)?,
            admin: self.operators()?,
            admin_key: self.admin_key.clone(),
            token: self.token.clone(),
            shards: self.shards,
            workers: self.workers,
            numa: self.numa.clone(),
            ring: self.ring,
            batch: self.batch,
            coalesce_micros: self.coalesce_micros,
            balance: self.balance.config(),
            max_connections: self.max_connections,
            steer: self.steering.config(self.debug),
            ..Config::default()
        };
        if let Some(path) = &self.config {
            FileConfig::read(path).map_err(|error| error.to_string())?.apply(&mut config);
        }
        if let Some(secs) = self.drain_secs {
            config.limits.drain_secs = secs;
        }
        config.sources.loopback |= self.limit_loopback;
        if !self.proxy_from.is_empty() {
            config.sources.proxies = self.proxies()?;
        }
        if self.guard.is_some() {
            config.sources.guard.clone_from(&self.guard);
        }
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn listen(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<SocketAddr, String> {
        if let Some((first, others)) = self.addr.split_first() {
            return match others.iter().find(|other| *other != first) {
                Some(other) => Err(format!(
                    "--addr {first} and {other}: --addr and --lb-addr are one flag; give one"
                )),
                None => addr::named("--addr", first),
            };
        }
        if let Some(text) = words("WEIR_LB_ADDR", &variable)? {
            return addr::named("--lb-addr", &text);
        }
        words("PORT", &variable)?.map_or(Ok(ADDR_DEFAULT), |port| {
            let wrong = |_| format!("PORT {port}: give 0 to 65535, or --addr");
            port.parse().map(addr::everywhere).map_err(wrong)
        })
    }

    fn instance(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<String>, String> {
        self.instance_id.clone().map_or_else(|| words("INSTANCE_ID", variable), |it| Ok(Some(it)))
    }

    fn proxies(&self) -> Result<Vec<Network>, String> {
        let network = |text: &String| {
            text.trim().parse().map_err(|error| format!("--proxy-from {text:?}: {error}"))
        };
        self.proxy_from.iter().map(network).collect()
    }

    fn operators(&self) -> Result<Option<AdminAddr>, String> {
        Ok(match self.admin.as_deref() {
            None => Some(AdminAddr { addr: ADMIN_DEFAULT, asked: false }),
            Some("off") => None,
            Some(text) => Some(AdminAddr { addr: addr::named("--admin", text)?, asked: true }),
        })
    }
}

/// An environment variable; one that is empty says nothing.
fn words(
    name: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<String>, String> {
    let Some(value) = variable(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| format!("{name} is not UTF-8; give text"))
}

/// What is not to be shown by a `Debug` of the flags.
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::from(text.to_owned()))
}

#[cfg(test)]
mod tests;
