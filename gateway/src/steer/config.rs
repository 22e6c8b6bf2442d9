//! What an operator asks of steering: how far the ladder is climbed, where, and what must not fail.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use gateway_ebpf::abi;
use thiserror::Error;

/// Steering, as asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SteerConfig {
    /// Whether the kernel's programs are loaded.
    pub steer: Steer,
    /// Devices to attach XDP to; empty for loopback, where that is of use.
    pub ifaces: Vec<Iface>,
    /// Which rung of the ladder chooses listeners.
    pub selector: Selector,
    /// Where XDP sends packets.
    pub placement: Placement,
    /// Where links and maps are pinned, so that they outlive the process; nowhere by default.
    pub pin: Option<PathBuf>,
    /// Whether the thread that starts the node gives the capabilities for it up afterwards, and
    /// so every thread that it starts. The binary does.
    pub gives_up_capabilities: bool,
    /// Whether the programs say too what happens often, a sample of it.
    pub debug: bool,
}

/// Whether connections are steered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Steer {
    /// Not at all: the kernel's hash deals them out.
    #[default]
    Off,
    /// As well as it goes.
    Auto,
    /// By programs, or not at all.
    Require,
}

/// A device that programs may be put on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Iface {
    /// What it is called.
    pub name: String,
    /// Whether the kernel's generic path, which costs more, will do if the driver runs no programs.
    pub generic: bool,
}

/// `--iface` was given something else.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("give the name of a device, with :generic behind it if its driver runs no programs")]
pub struct IfaceError;

/// A flag that nothing comes of.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{0} does nothing with --steer off; leave it out, or give --steer auto")]
pub struct IdleError(&'static str);

/// Who gives a connection to a listener, the best first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Selector {
    /// The first of these that can be had.
    #[default]
    Auto,
    /// A program that knows each shard's CPU and load.
    Program,
    /// The kernel, by each listener's `SO_INCOMING_CPU`.
    IncomingCpu,
    /// A classic program, by the number of the CPU.
    Cbpf,
    /// The kernel's hash.
    Hash,
}

/// Which packets are sent on to another CPU before the kernel's network code sees them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Placement {
    /// `node` where all that a device receives arrives on one NUMA node and shards are on others
    /// too, unless queues or RPS deal it out; else `observe`.
    #[default]
    Auto,
    /// None.
    Observe,
    /// Those that arrived on another NUMA node than their shard's.
    Node,
    /// Those that arrived on another CPU than their shard's.
    Core,
}

impl SteerConfig {
    /// Checks that something can come of all that is asked for.
    ///
    /// # Errors
    /// Names a flag that is about programs, where none are loaded.
    pub fn check(&self) -> Result<(), IdleError> {
        let Self { steer, ifaces, placement, pin, .. } = self;
        let idle = [
            ("--iface", !ifaces.is_empty()),
            ("--placement", *placement != Placement::Auto),
            ("--pin", pin.is_some()),
        ];
        let idle = idle.into_iter().find(|(_, given)| *given && *steer == Steer::Off);
        idle.map_or(Ok(()), |(flag, _)| Err(IdleError(flag)))
    }
}

impl FromStr for Iface {
    type Err = IfaceError;

    fn from_str(text: &str) -> Result<Self, IfaceError> {
        // Loopback has no driver.
        let usual = if text == "lo" { "generic" } else { "native" };
        let (name, mode) = text.split_once(':').unwrap_or((text, usual));
        let is_name = !name.is_empty() && name.len() < 16 && !name.contains(['/', ' ', '\0']);
        let generic = match mode {
            "native" => false,
            "generic" => true,
            _ => return Err(IfaceError),
        };
        is_name.then(|| Self { name: name.to_owned(), generic }).ok_or(IfaceError)
    }
}

impl Selector {
    /// As flags and metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Program => "program",
            Self::IncomingCpu => "incoming-cpu",
            Self::Cbpf => "cbpf",
            Self::Hash => "hash",
        }
    }
}

impl Placement {
    /// What this means, where `auto` asks whether packets are to be moved to their shard's node.
    #[must_use]
    pub fn decide(self, moves_to_nodes: impl FnOnce() -> bool) -> abi::Placement {
        match self {
            Self::Observe => abi::Placement::Observe,
            Self::Node => abi::Placement::Node,
            Self::Core => abi::Placement::Core,
            Self::Auto if moves_to_nodes() => abi::Placement::Node,
            Self::Auto => abi::Placement::Observe,
        }
    }

    /// As flags and metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Observe => "observe",
            Self::Node => "node",
            Self::Core => "core",
        }
    }
}

/// As flags and metrics call a placement.
#[must_use]
pub fn placement_name(placement: abi::Placement) -> &'static str {
    match placement {
        abi::Placement::Observe => Placement::Observe.name(),
        abi::Placement::Node => Placement::Node.name(),
        abi::Placement::Core => Placement::Core.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_tried_behind_its_driver_only_when_that_is_said() {
        let iface = |text: &str| text.parse::<Iface>().map(|it| (it.name, it.generic));
        assert_eq!(iface("eth0"), Ok(("eth0".to_owned(), false)));
        assert_eq!(iface("eth0:native"), Ok(("eth0".to_owned(), false)));
        assert_eq!(iface("bond0.7:generic"), Ok(("bond0.7".to_owned(), true)));
        assert_eq!(iface("lo"), Ok(("lo".to_owned(), true)), "it has no driver to ask");
        assert_eq!(iface("lo:native"), Ok(("lo".to_owned(), false)));
        for wrong in ["", ":generic", "eth0:", "eth0:skb", "a/b", "sixteen-letters-", "a b"] {
            assert_eq!(iface(wrong), Err(IfaceError), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_asked_of_programs_that_are_not_loaded_is_told() {
        let off = SteerConfig::default;
        let idle = [
            ("--iface", SteerConfig { ifaces: vec!["lo".parse().unwrap()], ..off() }),
            ("--placement", SteerConfig { placement: Placement::Observe, ..off() }),
            ("--pin", SteerConfig { pin: Some(PathBuf::from("/sys/fs/bpf/weir")), ..off() }),
        ];
        for (flag, asked) in idle {
            assert_eq!(asked.check(), Err(IdleError(flag)));
            assert_eq!(SteerConfig { steer: Steer::Auto, ..asked }.check(), Ok(()), "{flag}");
        }
        let selects = SteerConfig { selector: Selector::IncomingCpu, ..off() };
        assert_eq!((off().check(), selects.check()), (Ok(()), Ok(())), "it takes no program");
    }

    #[test]
    fn packets_are_moved_if_that_is_said_or_of_use() {
        assert_eq!(Placement::Auto.decide(|| false), abi::Placement::Observe);
        assert_eq!(Placement::Auto.decide(|| true), abi::Placement::Node);
        assert_eq!(Placement::Core.decide(|| unreachable!("it was said")), abi::Placement::Core);
    }
}
