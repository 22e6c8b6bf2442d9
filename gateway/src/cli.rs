//! The command line: flags mirror the fields of [`Config`] one to one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{ADDR_DEFAULT, Config};

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
    /// Shards, each on a worker thread pinned to a core of its own. A room spans one shard only
    /// for now, so more than one splits rooms.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: u16,
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
    /// If `--addr` is not an address, in words that say what is.
    pub fn config(&self) -> Result<Config, String> {
        let addr = resolve(&self.addr).map_err(|error| {
            format!(
                "--addr {}: {error}; give HOST:PORT, such as {ADDR_DEFAULT}, or :PORT",
                self.addr
            )
        })?;
        Ok(Config {
            addr,
            shards: usize::from(self.shards),
            max_connections: self.max_connections,
            ..Config::default()
        })
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
            assert_eq!(config.shards, 1);
        }
        for line in ["weir --shards 3", "weir serve --shards 3"] {
            assert_eq!(parse(line).unwrap().shards, 3);
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
            "weir --shards 0",
            "weir --max-connections 0",
            "weir --log-format xml",
            "weir --bogus",
            "weir dance",
        ] {
            assert_eq!(parse(bad).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }
}
