//! What an operator asks of steering: how far the ladder is climbed, where, and what must not fail.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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

/// What `--steer` says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Steer {
    /// Nothing is loaded: the kernel chooses listeners by its hash.
    Off,
    /// What can be had is; what cannot is said once.
    #[default]
    Auto,
    /// The node does not start without its programs.
    Require,
}

/// What `--selector` says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Selector {
    /// The highest rung that can be had.
    #[default]
    Auto,
    /// This one, or the node does not start.
    Only(Rung),
}

/// What chooses a listener, from the best down. All serve the same clients with the same results.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rung {
    /// The kernel's `sk_reuseport` program: by CPU and load, for all strategies.
    Program,
    /// The kernel takes the listener whose CPU the packet arrived on (`SO_INCOMING_CPU`, kernels
    /// of 6.2 and later).
    IncomingCpu,
    /// The same by a classic BPF program, which needs no privilege and no such kernel, but stops
    /// being right when shards come or go.
    Cbpf,
    /// The kernel takes any listener, by a hash.
    Hash,
}

/// What `--placement` says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Placement {
    /// `node` where workers are on several NUMA nodes, else `observe`.
    #[default]
    Auto,
    /// Exactly this.
    Only(abi::Placement),
}

/// A device, and how far XDP may climb down on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Iface {
    /// As `ip link` calls it.
    pub name: String,
    /// Which modes are tried.
    pub modes: Modes,
}

/// In which modes XDP is tried on a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Modes {
    /// By the driver, before the kernel makes a packet of the frame.
    Native,
    /// By the driver, else behind it, where every device has it and it costs a copy.
    NativeOrGeneric,
    /// Behind the driver at once.
    Generic,
}

/// A flag of steering was given something else.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("give {0}")]
pub struct SteerFlagError(&'static str);

impl Placement {
    /// What this means for workers on so many NUMA nodes.
    #[must_use]
    pub fn decide(self, nodes: usize) -> abi::Placement {
        match self {
            Self::Only(placement) => placement,
            Self::Auto if nodes > 1 => abi::Placement::Node,
            Self::Auto => abi::Placement::Observe,
        }
    }
}

impl FromStr for Steer {
    type Err = SteerFlagError;

    fn from_str(text: &str) -> Result<Self, SteerFlagError> {
        Ok(match text {
            "off" => Self::Off,
            "auto" => Self::Auto,
            "require" => Self::Require,
            _ => return Err(SteerFlagError("off, auto or require")),
        })
    }
}

impl FromStr for Selector {
    type Err = SteerFlagError;

    fn from_str(text: &str) -> Result<Self, SteerFlagError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let rung = Rung::ALL.into_iter().find(|rung| rung.name() == text);
        rung.map(Self::Only).ok_or(SteerFlagError("auto, program, incoming-cpu, cbpf or hash"))
    }
}

impl FromStr for Placement {
    type Err = SteerFlagError;

    fn from_str(text: &str) -> Result<Self, SteerFlagError> {
        Ok(match text {
            "auto" => Self::Auto,
            "observe" => Self::Only(abi::Placement::Observe),
            "node" => Self::Only(abi::Placement::Node),
            "core" => Self::Only(abi::Placement::Core),
            _ => return Err(SteerFlagError("auto, observe, node or core")),
        })
    }
}

impl FromStr for Iface {
    type Err = SteerFlagError;

    fn from_str(text: &str) -> Result<Self, SteerFlagError> {
        const FORM: SteerFlagError =
            SteerFlagError("a device, such as eth0, eth0:native or eth0:generic");
        let (name, modes) = match text.split_once(':') {
            None | Some((_, "native")) => (text.split(':').next(), Modes::Native),
            Some((name, "generic")) => (Some(name), Modes::NativeOrGeneric),
            Some(_) => return Err(FORM),
        };
        // The kernel's own rule for names of devices.
        let valid = |name: &&str| {
            let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
            (1..16).contains(&name.len()) && name.bytes().all(plain) && !matches!(*name, "." | "..")
        };
        let name = name.filter(valid).ok_or(FORM)?;
        Ok(Self { name: name.to_owned(), modes })
    }
}

impl Rung {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Program, Self::IncomingCpu, Self::Cbpf, Self::Hash];

    /// As flags and metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::IncomingCpu => "incoming-cpu",
            Self::Cbpf => "cbpf",
            Self::Hash => "hash",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As flags and metrics call a placement.
#[must_use]
pub fn placement_name(placement: abi::Placement) -> &'static str {
    match placement {
        abi::Placement::Observe => "observe",
        abi::Placement::Node => "node",
        abi::Placement::Core => "core",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_tried_native_and_generic_only_when_that_is_said() {
        let iface = |text: &str| text.parse::<Iface>().map(|it| (it.name, it.modes));
        assert_eq!(iface("eth0"), Ok(("eth0".to_owned(), Modes::Native)));
        assert_eq!(iface("eth0:native"), Ok(("eth0".to_owned(), Modes::Native)));
        assert_eq!(iface("bond0.7:generic"), Ok(("bond0.7".to_owned(), Modes::NativeOrGeneric)));
        for wrong in ["", ":generic", "eth0:", "eth0:skb", "a/b", "..", "sixteen-letters-", "a b"] {
            let error = iface(wrong).unwrap_err();
            assert!(error.to_string().starts_with("give a device"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn flags_are_read_as_they_are_written_and_refused_with_what_could_be_given() {
        for rung in Rung::ALL {
            assert_eq!(rung.name().parse(), Ok(Selector::Only(rung)));
        }
        assert_eq!("auto".parse(), Ok(Selector::Auto));
        let error = "cpu".parse::<Selector>().unwrap_err();
        assert_eq!(error.to_string(), "give auto, program, incoming-cpu, cbpf or hash");
        assert_eq!("require".parse(), Ok(Steer::Require));
        assert_eq!("on".parse::<Steer>().unwrap_err().to_string(), "give off, auto or require");
        assert_eq!("core".parse(), Ok(Placement::Only(abi::Placement::Core)));
        assert!("numa".parse::<Placement>().is_err());
    }

    #[test]
    fn packets_are_sent_to_other_nodes_only_where_there_are_several() {
        assert_eq!(Placement::Auto.decide(1), abi::Placement::Observe);
        assert_eq!(Placement::Auto.decide(2), abi::Placement::Node);
        let core = Placement::Only(abi::Placement::Core);
        assert_eq!(core.decide(1), abi::Placement::Core);
    }
}
