//! Every command and flag of `cargo xtask`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs, tests and measures Weir.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Installs what the build needs, builds Weir and starts it
    Run(Run),
    /// Checks everything, step by step, and ends with a table
    Test(Test),
    /// Measures Weir beside the floor of the kernel's send path
    Bench(Bench),
    /// Runs Weir in simulated worlds: `cargo xtask sim --seed N` replays a run, `--minutes M`
    /// explores, `--help` tells all
    Sim(Sim),
    /// Goes through the protocol case by case against a running gateway
    Conform(Trial),
    /// Abuses a running gateway that serves honest clients meanwhile
    Attack(Trial),
    /// Searches for inputs that break a promise: `cargo xtask fuzz session --seconds 600`
    Fuzz(Fuzz),
    /// Builds the programs for the kernel, or verifies the object that is committed
    Ebpf(Ebpf),
    /// Runs the gateway in an emulated machine of two NUMA nodes, and shows what is where
    Vm(Vm),
    /// Checks the sources against the rules that a compiler does not know
    Tidy,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Only tell which system packages are missing, and how to install them
    #[arg(long)]
    pub(crate) no_install: bool,
    /// Build without optimisation: quicker to build, slower to serve
    #[arg(long)]
    pub(crate) dev: bool,
    /// Flags of `weir serve`
    #[arg(last = true, value_name = "FLAGS")]
    pub(crate) weir: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Also run the steps that take longer than a change should wait
    #[arg(long)]
    pub(crate) full: bool,
    /// Only tell which system packages are missing, and how to install them
    #[arg(long)]
    pub(crate) no_install: bool,
    /// Only these steps, in the usual order
    #[arg(value_enum, value_name = "STEP")]
    pub(crate) steps: Vec<Step>,
}

/// One step of `cargo xtask test`, in the order in which they run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Step {
    /// The system packages that the build needs
    Packages,
    /// `cargo xtask tidy`
    Tidy,
    /// rustfmt
    Format,
    /// Clippy, where a warning is an error
    Clippy,
    /// Tests inside libraries and binaries
    Unit,
    /// Examples in the documentation, and its links
    Doc,
    /// Tests over whole packages, with real sockets
    Integration,
    /// Tests in the simulated world
    Simulated,
    /// The gateway without the system's libraries, and with the code of other systems
    Portable,
    /// What shards share, under every interleaving of their threads
    Loom,
    /// The same in random schedules of more threads than that can hold
    Shuttle,
    /// The same between real threads, watched by ThreadSanitizer; gateways of several shards with
    /// --full
    Tsan,
    /// The same, read by Miri instruction by instruction
    Miri,
    /// The instructions that the core spends, beside their budget
    Instructions,
    /// The committed object for the kernel: its checksum, its age, and its bytes once more
    Ebpf,
    /// Gateways that steer, in network namespaces of their own; every way to steer with --full
    Steer,
    /// Seeds that failed once, and fresh ones of this commit, each in two processes; with --full
    /// also ten thousand of the mesh that nobody has seen, and minutes of the other worlds
    Seeds,
    /// The benchmarks, too short to measure, long enough to break (with --full)
    Bench,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Which question to ask; without it, lists them
    #[arg(value_enum, value_name = "NAME")]
    pub(crate) name: Option<Measure>,
    /// Flags of the benchmark
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

/// What `cargo xtask bench` can measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Measure {
    /// What does one more member of a room cost?
    Fanout,
    /// What does a message there and back cost?
    Echo,
    /// What does a silent connection cost?
    Idle,
    /// All of the above, one after the other
    All,
    /// Every row of the goals in one run beside servers of others, then the table: `--rows a,b`,
    /// `--html FILE`, `--peers all` (installs what is missing), `--peers nats,sockudo`
    Macro,
    /// How long does a message take when messages come at their own pace? `--html FILE`, `--peers`
    /// as above
    Latency,
    /// What does a delivery or a connection cost when there are more of them? `--html FILE`,
    /// `--peers` as above
    Growth,
    /// How much faster is a gateway that steers, beside plain SO_REUSEPORT? (needs root)
    Steer,
    /// How many instructions does the core spend on a delivery, and on an echo? (needs valgrind)
    Instructions,
    /// What do single ideas cost, and how often do they allocate? (frame, mask, hub, outbox,
    /// envelope, ring and registry; `micro --help` tells more)
    Micro,
    /// What do frames, masks and UTF-8 cost, beside other libraries?
    Parser,
    /// What does it cost to make messages small and large, beside other libraries?
    Deflate,
}

#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// Flags of the simulator, such as `--seed N --runs K`
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Trial {
    /// Flags of the trial, such as `--help`
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Vm {
    /// How the command calls itself in a network of its own
    #[arg(long, hide = true, num_args = 2, value_names = ["KERNEL", "INITRAMFS"])]
    pub(crate) inside: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Fuzz {
    /// What to search
    #[arg(value_enum, value_name = "TARGET", required_unless_present = "all")]
    pub(crate) target: Option<FuzzTarget>,
    /// Search every target, one after the other
    #[arg(long, conflicts_with = "target")]
    pub(crate) all: bool,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub(crate) seconds: u32,
    /// Put to git's corpus the fewest inputs that cover what it does not cover yet
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only run the target on this input
    #[arg(long, conflicts_with_all = ["all", "seconds", "keep"], value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Ebpf {
    /// Build the object once more and compare it with the committed one; needs the compiler that
    /// built it, and says so where there is another one or none
    #[arg(long)]
    pub(crate) verify: bool,
    /// The compiler; without it, the first of these that is there
    #[arg(long, value_enum, conflicts_with = "verify", value_name = "COMPILER")]
    pub(crate) with: Option<Compiler>,
    /// Only tell which system packages are missing, and how to install them
    #[arg(long, conflicts_with = "verify")]
    pub(crate) no_install: bool,
}

/// What can build programs for the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Compiler {
    /// Rustup's nightly compiler with rust-src
    Nightly,
    /// The distribution's compiler, with its standard library for BPF
    Distribution,
}

/// What `cargo xtask fuzz` can search: the binaries of the package `fuzz`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum FuzzTarget {
    /// Paths, queries, origins, tokens, extensions, routes, and lines typed where people chat
    Command,
    /// Messages that are deflated, and those that say they are
    Deflate,
    /// Sessions beside those of tungstenite
    Differential,
    /// Frames, beside a reading of RFC 6455 by the letter
    FrameParser,
    /// Lists of who is denied and who is allowed, beside a look at all their lines
    Guard,
    /// Upgrade requests and their answers
    Handshake,
    /// The kernel's packet parser
    Packet,
    /// Sessions and whole hubs, with bytes in arbitrary pieces
    Session,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Command {
        Flags::try_parse_from(line.split(' ')).expect("a valid line").command
    }

    #[test]
    fn flags_after_two_dashes_belong_to_weir() {
        let Command::Run(run) = parse("xtask run --no-install -- --addr 0.0.0.0:80 --debug") else {
            panic!("`run` is a command");
        };
        assert!(run.no_install && !run.dev);
        assert_eq!(run.weir, ["--addr", "0.0.0.0:80", "--debug"]);
    }

    #[test]
    fn flags_of_a_bench_pass_through() {
        let Command::Bench(bench) = parse("xtask bench fanout --members 10 --help") else {
            panic!("`bench` is a command");
        };
        assert_eq!(bench.name, Some(Measure::Fanout));
        assert_eq!(bench.args, ["--members", "10", "--help"]);
    }

    #[test]
    fn flags_of_the_simulator_pass_through() {
        let Command::Sim(sim) = parse("xtask sim --seed 7 --runs 2") else {
            panic!("`sim` is a command");
        };
        assert_eq!(sim.args, ["--seed", "7", "--runs", "2"]);
    }

    #[test]
    fn one_target_or_all_are_searched() {
        let Command::Fuzz(fuzz) = parse("xtask fuzz frame_parser --seconds 9 --keep") else {
            panic!("`fuzz` is a command");
        };
        assert_eq!((fuzz.target, fuzz.seconds), (Some(FuzzTarget::FrameParser), 9));
        let Command::Fuzz(fuzz) = parse("xtask fuzz --all") else {
            panic!("`fuzz` is a command");
        };
        assert_eq!((fuzz.target, fuzz.all, fuzz.seconds), (None, true, 60));
        for bad in ["xtask fuzz", "xtask fuzz session --all", "xtask fuzz --all --replay x"] {
            assert!(Flags::try_parse_from(bad.split(' ')).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_object_is_built_by_a_compiler_that_is_asked_for_or_verified() {
        let Command::Ebpf(ebpf) = parse("xtask ebpf --with distribution --no-install") else {
            panic!("`ebpf` is a command");
        };
        assert_eq!((ebpf.with, ebpf.verify), (Some(Compiler::Distribution), false));
        assert!(ebpf.no_install);
        // The provenance says which compiler verifies, and nothing is installed for it.
        for bad in ["--verify --with nightly", "--verify --no-install", "--with shed"] {
            let line = format!("xtask ebpf {bad}");
            assert!(Flags::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn the_guest_is_run_from_inside_with_both_of_its_files() {
        let Command::Vm(vm) = parse("xtask vm --inside vmlinuz initramfs") else {
            panic!("`vm` is a command");
        };
        assert_eq!(vm.inside, [PathBuf::from("vmlinuz"), PathBuf::from("initramfs")]);
        assert!(Flags::try_parse_from(["xtask", "vm", "--inside", "vmlinuz"]).is_err());
    }

    #[test]
    fn an_unknown_step_is_refused() {
        assert!(Flags::try_parse_from(["xtask", "test", "tidiness"]).is_err());
    }

    #[test]
    fn the_definitions_are_sound() {
        <Flags as clap::CommandFactory>::command().debug_assert();
    }
}
