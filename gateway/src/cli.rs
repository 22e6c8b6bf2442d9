//! The command line: flags mirror the fields of [`Config`] one to one.

mod dashes;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use gateway_core::handshake::Secret;
use gateway_core::limits::Limits;

use crate::config::{ADDR_DEFAULT, ADMIN_DEFAULT, AdminAddr, BATCH_DEFAULT, Config, RING_DEFAULT};
use crate::plan::Numa;

use dashes::doubled;

/// Weir, a WebSocket gateway: rooms on the kernel's floor.
///
/// Without a command it serves.
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
}

/// Flags of `weir serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Where clients connect: HOST:PORT, or :PORT for all addresses; port 0 picks a free one.
    /// Also spelt --lb-addr. Default 127.0.0.1:9002, or all addresses of the port that the
    /// environment's PORT names.
    #[arg(long, alias = "lb-addr", env = "WEIR_ADDR", value_name = "HOST:PORT")]
    pub addr: Option<String>,
    /// Where operators look: /healthz, /readyz, /probes and /metrics; off for nowhere. Default
    /// 127.0.0.1:9003, or nowhere if another program has that.
    #[arg(long, env = "WEIR_ADMIN", value_name = "HOST:PORT|off")]
    pub admin: Option<String>,
    /// The key that opens what changes state there (POST /drain), 16 bytes or more. Default: one
    /// is made and printed at start.
    #[arg(long, env = "WEIR_ADMIN_KEY", hide_env_values = true,
          value_parser = secret, value_name = "KEY")]
    pub admin_key: Option<Secret>,
    /// The token that opens routes that ask for one, such as /ws/chat/{room}. Without it they
    /// refuse everyone.
    #[arg(long, env = "WEIR_TOKEN", hide_env_values = true,
          value_parser = secret, value_name = "TOKEN")]
    pub token: Option<Secret>,
    /// Seconds in which a drain tells everyone to go, 1 to 3600; then who does not read is cut.
    /// More spreads those who come back elsewhere over more time.
    #[arg(long, env = "WEIR_DRAIN_SECS", value_name = "SECS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub drain_secs: u32,
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
    /// NUMA nodes to use: auto spreads workers over all nodes in proportion to their cores and
    /// groups shards by node, as does -1; a list such as 0,2 does so on these nodes only, which
    /// keeps memory and traffic near at the price of the other cores; off takes cores by CPU
    /// number.
    #[arg(long, env = "WEIR_NUMA", value_name = "auto|off|NODES", default_value_t = Numa::Auto,
          allow_hyphen_values = true)]
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
    /// Connections served at a time, over all shards; clients beyond it are answered 503.
    /// Default, and at most: what the descriptor limit (ulimit -n) allows.
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// How log lines on stderr are written.
    #[arg(long, env = "WEIR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log each connection too.
    #[arg(long, env = "WEIR_DEBUG")]
    pub debug: bool,
    /// Print what the node holds and does on stderr, a line each second.
    #[arg(long, env = "WEIR_WATCH")]
    pub watch: bool,
    /// For platforms that choose the port.
    #[arg(skip = std::env::var("PORT").ok())]
    port: Option<String>,
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
        let command = Self::command();
        let serve = command.find_subcommand("serve").expect("there is a command to serve");
        let flags = command.get_arguments().chain(serve.get_arguments());
        let names = flags.filter_map(clap::Arg::get_long_and_visible_aliases).flatten();
        let names: Vec<_> = names.map(str::to_owned).chain(["lb-addr".to_owned()]).collect();
        Self::try_parse_from(doubled(args, &names))
    }

    /// The flags of the command given, or of `serve`.
    #[must_use]
    pub fn serve(self) -> Serve {
        match self.command {
            Some(Command::Serve(serve)) => serve,
            None => self.serve,
        }
    }
}

impl Serve {
    /// What to start the node with.
    ///
    /// # Errors
    /// If `--addr` is not an address or another value is out of bounds, in words that say what
    /// would be right.
    pub fn config(&self) -> Result<Config, String> {
        let addr = match (&self.addr, &self.port) {
            (Some(addr), _) => at("--addr", addr)?,
            (None, Some(port)) => at("PORT", &format!(":{port}"))?,
            (None, None) => ADDR_DEFAULT,
        };
        let admin = match self.admin.as_deref() {
            None => Some(AdminAddr { addr: ADMIN_DEFAULT, asked: false }),
            Some("off") => None,
            Some(addr) => Some(AdminAddr { addr: at("--admin", addr)?, asked: true }),
        };
        let mut limits = Limits::default();
        limits.drain_secs = self.drain_secs;
        let config = Config {
            addr,
            admin,
            admin_key: self.admin_key.clone(),
            token: self.token.clone(),
            limits,
            shards: self.shards,
            workers: self.workers,
            numa: self.numa.clone(),
            ring: self.ring,
            batch: self.batch,
            max_connections: self.max_connections,
            ..Config::default()
        };
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }
}

/// What is not to be shown by a `Debug` of the flags.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text.to_owned()))
}

/// The address that a setting names.
fn at(setting: &str, addr: &str) -> Result<SocketAddr, String> {
    resolve(addr).map_err(|error| {
        format!("{setting} {addr}: {error}; give HOST:PORT, such as {ADDR_DEFAULT}, or :PORT")
    })
}

/// `:PORT` means every address: of both families where the machine has IPv6.
fn resolve(addr: &str) -> io::Result<SocketAddr> {
    if let Some(port) = addr.strip_prefix(':') {
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "invalid port number");
        let port = port.parse().map_err(invalid)?;
        let every: SocketAddr = (Ipv6Addr::UNSPECIFIED, port).into();
        let v6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).is_ok();
        return Ok(if v6 { every } else { (Ipv4Addr::UNSPECIFIED, port).into() });
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    addr.to_socket_addrs()?.next().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Serve, clap::Error> {
        Cli::try_read(line.split(' ').map(OsString::from)).map(Cli::serve)
    }

    #[test]
    fn weir_alone_means_weir_serve() {
        for line in ["weir", "weir serve"] {
            let config = parse(line).unwrap().config().unwrap();
            assert_eq!(config.addr, ADDR_DEFAULT);
            assert_eq!((config.shards, config.workers, config.numa), (None, None, Numa::Auto));
            assert_eq!((config.ring, config.batch), (RING_DEFAULT, BATCH_DEFAULT));
        }
        for line in ["weir --shards 3", "weir serve --shards 3"] {
            assert_eq!(parse(line).unwrap().shards, Some(3));
        }
    }

    #[test]
    fn flags_become_fields() {
        let line = "weir --shards 8 --workers 4 --numa 2,0 --ring 99 --batch 7 --max-connections 5";
        let config = parse(line).unwrap().config().unwrap();
        assert_eq!((config.shards, config.workers), (Some(8), Some(4)));
        assert_eq!(config.numa, Numa::Nodes([0, 2].into()));
        assert_eq!((config.ring, config.batch, config.max_connections), (99, 7, Some(5)));
        assert_eq!(parse("weir --numa off").unwrap().numa, Numa::Off);
    }

    #[test]
    fn a_value_out_of_bounds_is_told_what_would_be_right() {
        for (line, told) in [
            ("weir --shards 0", "--shards 0: give 1 to 1024"),
            ("weir --shards 1025", "--shards 1025: give 1 to 1024"),
            ("weir --workers 0", "--workers 0: give 1 to 1024"),
            ("weir --shards 2 --workers 3", "give --shards 3 or more, or --workers 2 or fewer"),
            ("weir --ring 1", "--ring 1: give 2 to 65536 envelopes"),
            ("weir --batch 0", "--batch 0: give 1 to 65536 members"),
        ] {
            let error = parse(line).unwrap().config().expect_err(line);
            assert!(error.contains(told), "{error}");
        }
        for nodes in ["", "all", "0,", "0-3", "-2"] {
            let flags = ["weir".to_owned(), format!("--numa={nodes}")];
            let error = Cli::try_parse_from(flags).expect_err(nodes).to_string();
            assert!(error.contains("auto, off") && error.contains("0,2"), "{error}");
        }
    }

    #[test]
    fn what_other_systems_were_started_with_starts_this_one() {
        let config = |line: &str| parse(line).expect(line).config().expect(line);
        let first = config("weir -addr=:9002 -shards=32 -workers=8 -batch=32 -ring=2048");
        assert_eq!((first.addr.port(), first.shards, first.workers), (9002, Some(32), Some(8)));
        assert_eq!((first.batch, first.ring), (32, 2048));
        assert_eq!(config("weir -shards=3 -lb-addr=:3005").addr.port(), 3005);
        for numa in ["-numa -1", "-numa=-1", "--numa=-1"] {
            assert_eq!(config(&format!("weir {numa}")).numa, Numa::Auto);
        }
        let error = parse("weir -shard=3").expect_err("it is misspelt").to_string();
        assert!(error.contains("-s"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let line = "weir --token s3cret --admin-key 0123456789abcdef0";
        let config = parse(line).expect(line).config().expect(line);
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("0123456789abcdef"), "{shown}");
        assert_eq!(config.token.expect("it was given").expose(), "s3cret");
    }

    #[test]
    fn the_admin_listener_is_somewhere_else_or_nowhere() {
        let admin = |line: &str| parse(line).expect(line).config().map(|config| config.admin);
        assert_eq!(admin("weir"), Ok(Some(AdminAddr { addr: ADMIN_DEFAULT, asked: false })));
        assert_eq!(admin("weir --admin off"), Ok(None));
        let given = admin("weir --admin 127.0.0.1:0").expect("an address").expect("somewhere");
        assert!(given.asked && given.addr.port() == 0);
        assert!(admin("weir --admin here").expect_err("no address").contains("--admin here"));
    }

    #[test]
    fn addresses_may_be_short() {
        let port = |line: &str| parse(line).unwrap().config().map(|config| config.addr.port());
        assert_eq!(port("weir --addr :9100"), Ok(9100));
        assert_eq!(port("weir --addr 127.0.0.1:0"), Ok(0));
        assert!(parse("weir --addr [::1]:7").unwrap().config().unwrap().addr.is_ipv6());
        for bad in [":", ":x", ":70000", "127.0.0.1", "9002"] {
            let error = port(&format!("weir --addr {bad}")).expect_err(bad);
            assert!(error.contains(bad) && error.contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for bad in [
            "weir --shards many",
            "weir --workers -1",
            "weir --max-connections 0",
            "weir --log-format xml",
            "weir --bogus",
            "weir dance",
        ] {
            assert_eq!(parse(bad).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }
}
