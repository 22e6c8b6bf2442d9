//! What `weir serve` would be asked for: the flags that decide which fast paths there are.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::plan::{Numa, Plan};
pub use crate::steer::{Iface, IfaceError, Placement, Selector, Steer};

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
    /// `--limit-loopback`, with a rate that sources are bound to.
    pub limit_loopback: bool,
    /// `--pin`.
    pub pin: Option<PathBuf>,
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
