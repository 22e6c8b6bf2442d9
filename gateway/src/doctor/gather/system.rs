//! What no file tells: the kernel's answers about devices, and what the binary was built with.

use std::collections::BTreeMap;

use super::super::facts::{Answer, Attached, Build, Channels, Offload};

#[cfg(not(all(target_os = "linux", not(weir_portable))))]
use self::elsewhere as here;
#[cfg(all(target_os = "linux", not(weir_portable)))]
use self::linux as here;

/// Answers what no file tells. `None` and empty answers mean that it is not known.
pub trait System {
    /// The driver of a device that names none in `/sys`.
    fn driver(&self, device: &str) -> Option<String>;
    /// How many queues a device has and could have.
    fn channels(&self, device: &str) -> Option<Channels>;
    /// What a device does for the kernel.
    fn offloads(&self, device: &str) -> BTreeMap<String, Offload>;
    /// The XDP program on a device.
    fn xdp(&self, device: &str) -> Option<Attached>;
    /// What bpf(2) says to this process.
    fn bpf(&self) -> Answer;
    /// What the binary was built with.
    fn build(&self) -> Build;
}

/// The system that this process runs on.
#[derive(Clone, Copy, Debug)]
pub struct Live;

impl System for Live {
    fn driver(&self, device: &str) -> Option<String> {
        here::driver(device)
    }

    fn channels(&self, device: &str) -> Option<Channels> {
        here::channels(device)
    }

    fn offloads(&self, device: &str) -> BTreeMap<String, Offload> {
        here::offloads(device)
    }

    fn xdp(&self, device: &str) -> Option<Attached> {
        here::xdp(device)
    }

    /// Only whoever loads programs can ask; until then the kernel's settings are all that is known.
    fn bpf(&self) -> Answer {
        Answer::Unasked
    }

    fn build(&self) -> Build {
        let is_linux = cfg!(all(target_os = "linux", not(weir_portable)));
        Build { hwloc: here::hwloc(), jemalloc: is_linux && cfg!(feature = "jemalloc") }
    }
}

#[cfg(all(target_os = "linux", not(weir_portable)))]
mod linux {
    use std::collections::BTreeMap;

    use crate::net::{ethtool, rtnetlink};

    use super::super::super::facts::{Attached, Channels, Hwloc, Offload};

    pub(super) fn driver(device: &str) -> Option<String> {
        let driver = ethtool::Ethtool::of(device).ok()?.driver().ok()?;
        (!driver.is_empty()).then_some(driver)
    }

    pub(super) fn channels(device: &str) -> Option<Channels> {
        let channels = ethtool::Ethtool::of(device).ok()?.channels().ok()?;
        let combined = channels.combined_max > 0;
        let (alone, alone_max) = (channels.rx, channels.rx_max);
        Some(if combined {
            Channels { receive: channels.combined, receive_max: channels.combined_max, combined }
        } else {
            Channels { receive: alone, receive_max: alone_max, combined }
        })
    }

    pub(super) fn offloads(device: &str) -> BTreeMap<String, Offload> {
        let features = ethtool::Ethtool::of(device).and_then(|device| device.features());
        let offload = |ethtool::Feature { on, fixed }| Offload { on, fixed };
        let named = features.unwrap_or_default().into_iter();
        named.map(|(name, feature)| (name, offload(feature))).collect()
    }

    pub(super) fn xdp(device: &str) -> Option<Attached> {
        let rtnetlink::Attached { program, generic } = rtnetlink::xdp(device).ok()??;
        Some(Attached { program, generic })
    }

    pub(super) fn hwloc() -> Hwloc {
        #[cfg(feature = "numa")]
        return match hwlocality::Topology::new() {
            Ok(_) => Hwloc::Answers,
            Err(_) => Hwloc::Blind,
        };
        #[cfg(not(feature = "numa"))]
        Hwloc::Absent
    }
}

#[cfg(not(all(target_os = "linux", not(weir_portable))))]
mod elsewhere {
    use std::collections::BTreeMap;

    use super::super::super::facts::{Attached, Channels, Hwloc, Offload};

    pub(super) fn driver(_device: &str) -> Option<String> {
        None
    }

    pub(super) fn channels(_device: &str) -> Option<Channels> {
        None
    }

    pub(super) fn offloads(_device: &str) -> BTreeMap<String, Offload> {
        BTreeMap::new()
    }

    pub(super) fn xdp(_device: &str) -> Option<Attached> {
        None
    }

    pub(super) fn hwloc() -> Hwloc {
        Hwloc::Absent
    }
}
