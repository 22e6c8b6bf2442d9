//! The command line: flags mirror the fields of [`Config`] one to one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{ADDR_DEFAULT, BATCH_DEFAULT, Config, RING_DEFAULT};
use crate::plan::Numa;

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
    #[arg(long, value_name = "HOST:PORT", default_value_t = ADDR_DEFAULT.to_string())]
    pub addr: String,
    /// Shards, 1 to 1024: parts of the node with connections and rooms of their own. Default: one
    /// per physical core in the affinity mask, but no more than whole CPUs in the cgroup's quota
    /// (2.5 give 2). More spread load finer; each costs buffers, and rooms cross shards more often.
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// Worker threads, 1 to as many as shards, each pinned to a core and turning an even share of
    /// the shards. Default: one per shard, but no more than physical cores that the quota allows.
    /// Fewer leave cores to other programs; more than cores are put on SMT siblings, then share
    /// CPUs, which is warned of.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// NUMA nodes to use: auto spreads workers over all nodes in proportion to their cores and
    /// groups shards by node; a list such as 0,2 does so on these nodes only, which keeps memory
    /// and traffic near at the price of the other cores; off takes cores by CPU number.
    #[arg(long, value_name = "auto|off|NODES", default_value_t = Numa::Auto)]
    pub numa: Numa,
    /// Envelopes that a ring from one worker to another holds, 2 to 65536. More rides out longer
    /// bursts; fewer costs less memory for each pair of workers that speak, and makes a publisher
    /// wait, or a shard's members see a gap, sooner.
    #[arg(long, value_name = "N", default_value_t = RING_DEFAULT)]
    pub ring: usize,
    /// Members served per flush slice, before the shard looks at its rings again, 1 to 65536. More
    /// costs fewer looks; fewer lets a wide room hold up other shards for less time.
    #[arg(long, value_name = "N", default_value_t = BATCH_DEFAULT)]
    pub batch: usize,
    /// Connections served at a time, over all shards; clients beyond it are answered 503.
    /// Default, and at most: what the descriptor limit (ulimit -n) allows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// How log lines on stderr are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log each connection too.
    #[arg(long)]
    pub debug: bool,
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
        let addr = resolve(&self.addr).map_err(|error| {
            format!(
                "--addr {}: {error}; give HOST:PORT, such as {ADDR_DEFAULT}, or :PORT",
                self.addr
            )
        })?;
        let config = Config {
            addr,
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
        Cli::try_parse_from(line.split(' ')).map(Cli::serve)
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
        for nodes in ["", "all", "0,", "0-3", "-1"] {
            let flags = ["weir".to_owned(), format!("--numa={nodes}")];
            let error = Cli::try_parse_from(flags).expect_err(nodes).to_string();
            assert!(error.contains("auto, off") && error.contains("0,2"), "{error}");
        }
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
