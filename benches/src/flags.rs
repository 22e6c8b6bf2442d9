//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::peers::Wanted;

/// Weir measured beside the floor of the kernel's send path.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What does one more member of a room cost?
    Fanout(Fanout),
    /// What does a message there and back cost?
    Echo(Echo),
    /// What does a silent connection cost?
    Idle(Idle),
    /// All of the above, one after the other
    All(All),
    /// Every row of the goals in one run, then the table
    Macro(Macro),
    /// How long does a message take when messages come at their own pace?
    Latency(Latency),
    /// What does a delivery or a connection cost when there are more of them?
    Growth(Growth),
    /// The bare server: preframed bytes to an array of descriptors
    Floor(Bare),
    /// The bare `send` loop: what the bare server itself is compared to
    Loop(Bare),
    /// The bare server passing on what it gets, under Weir's flags: the harness against itself
    #[command(hide = true)]
    Serve(Serve),
}

impl Command {
    /// Whether it asks something of servers, instead of being one.
    pub(crate) fn starts_servers(&self) -> bool {
        match self {
            Self::Fanout(_)
            | Self::Echo(_)
            | Self::Idle(_)
            | Self::All(_)
            | Self::Macro(_)
            | Self::Latency(_)
            | Self::Growth(_) => true,
            Self::Floor(_) | Self::Loop(_) | Self::Serve(_) => false,
        }
    }
}

/// What every question takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shared {
    /// The program to measure: told `serve --addr 127.0.0.1:0 --shards 1 --workers 1
    /// --admin off`, it says where it is
    #[arg(long, value_name = "PATH")]
    pub(crate) weir: PathBuf,
    /// Rounds of cells; ratios are taken within a round
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    rounds: Option<u16>,
    /// The CPUs of the servers; with more than one, Weir spreads its workers over them
    #[arg(long, alias = "server-core", value_delimiter = ',', default_values_t = [0],
        value_name = "CPU,...")]
    pub(crate) cores: Vec<usize>,
    /// The CPU of the load generator
    #[arg(long, default_value_t = 1, value_name = "CPU")]
    pub(crate) load_core: usize,
    /// Too short to measure, long enough to break
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Fail if a goal is missed
    #[arg(long)]
    pub(crate) strict: bool,
    /// Servers of others that take part where they can: all that are here, none, or these
    #[arg(long, value_delimiter = ',', default_value = "none", value_name = "NAME,...",
        value_parser = Wanted::parse)]
    pub(crate) peers: Vec<Wanted>,
    /// The program with the servers on crates
    #[arg(long, value_name = "PATH")]
    pub(crate) weir_peer: Option<PathBuf>,
    /// A Python that has socketify
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// Write the numbers to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Shared {
    /// As asked for, or as many as a single question is worth.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds_or(9)
    }

    /// As asked for, or `usual`.
    pub(crate) fn rounds_or(&self, usual: usize) -> usize {
        self.or_smoke(self.rounds.map_or(usual, usize::from), 1)
    }

    /// On the first CPU, as the machine may not have two.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let line = ["weir-bench", "idle", "--weir", "/", "--cores", "0", "--load-core", "0"];
        let Command::Idle(idle) = Flags::parse_from(line).command else {
            panic!("`idle` is a command");
        };
        idle.shared
    }

    /// `asked`, or at most `smoke` where it is only tried whether things work.
    pub(crate) fn or_smoke(&self, asked: usize, smoke: usize) -> usize {
        if self.smoke { asked.min(smoke) } else { asked }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(flatten)]
    pub(crate) room: Room,
    #[command(flatten)]
    pub(crate) spread: Spread,
}

/// Weir with several shards beside Weir with one.
#[derive(Args, Clone, Debug)]
pub(crate) struct Spread {
    /// Shards, and workers, of a second Weir that takes part if there is more than one
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: u16,
    /// Rooms of two members, of which one speaks, that both are compared by too; 0 leaves it out
    #[arg(long, default_value_t = 5_000, value_name = "N",
        value_parser = clap::value_parser!(u16).range(0..=9_000))]
    pub(crate) pair_rooms: u16,
    /// Times that each pair's author writes, per server, round and burst size
    #[arg(long, default_value_t = 60, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pair_turns: u16,
}

/// The room whose members all hear one publisher.
#[derive(Args, Clone, Debug)]
pub(crate) struct Room {
    /// Members that hear each message
    #[arg(long, default_value_t = 1000, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) subscribers: u16,
    /// Bytes of a message
    #[arg(long, default_value_t = 512, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(crate) payload: u32,
    /// Messages that the publisher sends in one write
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16], value_name = "K,...",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) bursts: Vec<u8>,
    /// Writes of the publisher per server, round and burst size
    #[arg(long, default_value_t = 200, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) messages: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(flatten)]
    pub(crate) pairs: Pairs,
}

/// The clients that each wait for their own messages to come back.
#[derive(Args, Clone, Debug)]
pub(crate) struct Pairs {
    /// Clients that write and wait at the same time
    #[arg(long, default_value_t = 64, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) clients: u16,
    /// Bytes of an echoed message
    #[arg(long, default_value_t = 64, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(crate) echo_payload: u32,
    /// Messages that a client sends in one write
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16], value_name = "K,...",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) depths: Vec<u8>,
    /// Times that all clients write and wait, per server, round and depth
    #[arg(long, default_value_t = 600, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) turns: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
}

/// The connections that stay silent.
#[derive(Args, Clone, Debug)]
pub(crate) struct Crowd {
    /// Connections that stay silent, ten to a room
    #[arg(long, default_value_t = 10_000, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=25_000))]
    pub(crate) connections: u32,
}

#[derive(Args, Debug)]
pub(crate) struct All {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(flatten)]
    pub(crate) room: Room,
    #[command(flatten)]
    pub(crate) spread: Spread,
    #[command(flatten)]
    pub(crate) pairs: Pairs,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
}

#[derive(Args, Debug)]
pub(crate) struct Macro {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Only these rows, in the usual order
    #[arg(long, value_delimiter = ',', value_name = "ROW,...",
        value_parser = clap::builder::PossibleValuesParser::new(crate::rows::names()))]
    pub(crate) rows: Vec<String>,
    /// Rows that have not begun by then are left out
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub(crate) minutes: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Latency {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Members that hear each message
    #[arg(long, default_value_t = 1000, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1500))]
    pub(crate) subscribers: u16,
    /// Bytes of a message
    #[arg(long, default_value_t = 512, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(crate) payload: u32,
    /// Milliseconds at each load, per server and round
    #[arg(long, default_value_t = 2000, value_name = "N",
        value_parser = clap::value_parser!(u16).range(100..=30_000))]
    pub(crate) millis: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Growth {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// How many connections, and members of one room, there are
    #[arg(long, value_delimiter = ',', value_name = "N,...",
        default_values_t = [100, 300, 1000, 3000, 10_000, 15_000],
        value_parser = clap::value_parser!(u16).range(2..=19_000))]
    pub(crate) connections: Vec<u16>,
}

/// How the bare servers run.
#[derive(Args, Debug)]
pub(crate) struct Bare {
    /// Where clients connect on 127.0.0.1; 0 picks a free port
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The CPU to stay on; without it, where it was started
    #[arg(long, value_name = "CPU")]
    pub(crate) core: Option<usize>,
    /// Bytes of a preframed message
    #[arg(long, default_value_t = 512, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(crate) payload: u32,
    /// Most messages that leave at once
    #[arg(long, default_value_t = 16, value_name = "K",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) burst: u8,
    /// How a burst leaves
    #[arg(long, value_enum, default_value_t = Mode::Concat)]
    pub(crate) mode: Mode,
}

/// How a burst leaves the bare server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    /// In one `send` per descriptor
    Concat,
    /// In one `send` per descriptor and message
    Each,
    /// In one SEND per descriptor, all of which are submitted to an `io_uring` at once
    Uring,
    /// In one `sendfile` per descriptor, from memory that all of them share
    Memfd,
}

/// What of Weir's own flags the harness uses.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where clients connect: 127.0.0.1:PORT
    #[arg(long)]
    pub(crate) addr: std::net::SocketAddrV4,
    /// Taken for Weir's sake: the bare server has one, whatever it is told
    #[arg(long, default_value_t = 1)]
    pub(crate) shards: u16,
    /// As above
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u16,
    /// As above: it has no listener for operators
    #[arg(long, default_value = "off")]
    pub(crate) admin: String,
}
