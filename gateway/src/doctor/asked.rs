//! What `weir serve` would be asked for: the flags that decide which fast paths there are.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use thiserror::Error;

use crate::plan::{Numa, Plan};

use super::cpus::Cpus;

/// What `weir serve` would be asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where clients connect.
    pub addr: IpAddr,
    /// Workers, shards and their CPUs.
    pub plan: Plan,
    /// Which NUMA nodes are used.
    pub numa: Numa,
    /// Connections served at a time, if that was said.
    pub max_connections: Option<u32>,
    /// Descriptors that are not connections.
    pub descriptors_beside: u64,
    /// Programs and devices.
    pub steering: Steering,
}

/// What was said of programs and devices.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Steering {
    /// `--steer`.
    pub steer: Steer,
    /// `--iface`, each of them.
    pub ifaces: Vec<Iface>,
    /// `--selector`.
    pub selector: Selector,
    /// `--placement`.
    pub placement: Placement,
    /// `--guard`.
    pub guard: Option<PathBuf>,
    /// `--limit-loopback`.
    pub limit_loopback: bool,
    /// `--pin`.
    pub pin: Option<PathBuf>,
}

/// Whether connections are steered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Steer {
    /// Not at all: the kernel's hash deals them out.
    Off,
    /// As well as it goes.
    #[default]
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
    /// By a rule, which [`placement`](super::checks::placement) states.
    #[default]
    Auto,
    /// None.
    Observe,
    /// Those that arrived on another NUMA node than their shard's.
    Node,
    /// Those that arrived on another CPU than their shard's.
    Core,
}

impl Asked {
    /// CPUs that workers are pinned to.
    #[must_use]
    pub fn cpus(&self) -> Cpus {
        self.plan.workers.iter().filter_map(|worker| worker.cpu).collect()
    }

    /// How it is asked for that the device has programs: by name, or as loopback with something
    /// to do.
    #[must_use]
    pub fn iface(&self, device: &str) -> Option<Iface> {
        let named = self.steering.ifaces.iter().find(|iface| iface.name == device);
        let loopback = device == "lo" && self.uses_loopback();
        named.cloned().or_else(|| loopback.then(|| Iface { name: "lo".into(), generic: true }))
    }

    /// Whether the device was named, and whoever named it is to hear if it cannot be had.
    #[must_use]
    pub fn names(&self, device: &str) -> bool {
        self.steering.ifaces.iter().any(|iface| iface.name == device)
    }

    /// Whether loopback has programs though nobody named it: clients come by it, and there is
    /// something to be done there.
    fn uses_loopback(&self) -> bool {
        let Steering { steer, ifaces, placement, guard, limit_loopback, .. } = &self.steering;
        let has_work = guard.is_some()
            || *limit_loopback
            || matches!(placement, Placement::Node | Placement::Core)
            || *steer == Steer::Require;
        self.addr.is_loopback() && ifaces.is_empty() && *steer != Steer::Off && has_work
    }
}

impl FromStr for Iface {
    type Err = IfaceError;

    fn from_str(text: &str) -> Result<Self, IfaceError> {
        let (name, mode) = text.split_once(':').unwrap_or((text, "native"));
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
