//! What steering is and has done, for whoever looks on.

use gateway_ebpf::abi::{self, Counter};
use gateway_ebpf::{Skip, Strategy};

use super::config::Selector;

/// How XDP sits on a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// Behind the driver.
    Generic,
}

/// Where on the ladder a node stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// What chooses listeners; never `Auto`.
    pub rung: Selector,
    /// Devices with XDP.
    pub devices: Vec<(String, Mode)>,
    /// Where XDP sends packets.
    pub placement: abi::Placement,
}

/// Steering at one look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Steered {
    /// Where on the ladder the node stands.
    pub state: State,
    /// How shards are chosen.
    pub strategy: Strategy,
    /// What the programs have counted; nothing without them.
    pub tally: Option<Tally>,
}

/// What the kernel's programs have counted since they were loaded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// By [`Counter`].
    pub counters: Vec<u64>,
    /// Packets sent to other CPUs, by CPU.
    pub redirects: Vec<(u32, u64)>,
}

impl Mode {
    /// As metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl State {
    /// The lowest mode of all devices; `none` without any.
    #[must_use]
    pub fn xdp(&self) -> &'static str {
        let generic = self.devices.iter().find(|(_, mode)| *mode == Mode::Generic);
        generic.or_else(|| self.devices.first()).map_or("none", |(_, mode)| mode.name())
    }
}

impl Tally {
    /// One counter.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.at(counter.index())
    }

    /// Packets in which no segment was found, for this reason.
    #[must_use]
    pub fn skipped(&self, skip: Skip) -> u64 {
        self.at(Counter::Skipped.index() + skip.index())
    }

    fn at(&self, place: u32) -> u64 {
        self.counters.get(place as usize).copied().unwrap_or_default()
    }
}
