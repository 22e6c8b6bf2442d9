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

    fn bpf(&self) -> Answer {
        here::bpf()
    }

    fn build(&self) -> Build {
        let is_linux = cfg!(all(target_os = "linux", not(weir_portable)));
        Build {
            bpf: is_linux && cfg!(feature = "bpf"),
            hwloc: here::hwloc(),
            jemalloc: is_linux && cfg!(feature = "jemalloc"),
        }
    }
}

#[cfg(all(target_os = "linux", not(weir_portable)))]
mod linux {
    use std::collections::BTreeMap;

    use crate::net::{ethtool, rtnetlink};

    use super::super::super::facts::{Answer, Attached, Channels, Hwloc, Offload};

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
        Some(Attached { program, name: name(program), generic })
    }

    /// What a program is called, where that is told.
    #[cfg(feature = "bpf")]
    fn name(program: u32) -> Option<String> {
        let mut programs = aya::programs::loaded_programs().filter_map(Result::ok);
        programs.find(|other| other.id() == program)?.name_as_str().map(str::to_owned)
    }

    #[cfg(not(feature = "bpf"))]
    fn name(_program: u32) -> Option<String> {
        None
    }

    /// Has bpf(2) load a program of two instructions that chooses no listener, and lets it go.
    #[cfg(feature = "bpf")]
    pub(super) fn bpf() -> Answer {
        use aya::programs::{ProgramError, ProgramType};

        match aya::sys::is_program_supported(ProgramType::SkReuseport) {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::Refused("this kernel knows no such programs".to_owned()),
            Err(ProgramError::SyscallError(error)) => Answer::Refused(error.io_error.to_string()),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    /// Nobody here can ask.
    #[cfg(not(feature = "bpf"))]
    pub(super) fn bpf() -> Answer {
        Answer::Unasked
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

    use super::super::super::facts::{Answer, Attached, Channels, Hwloc, Offload};

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

    pub(super) fn bpf() -> Answer {
        Answer::Unasked
    }

    pub(super) fn hwloc() -> Hwloc {
        Hwloc::Absent
    }
}
