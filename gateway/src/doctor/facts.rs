//! What is known about a machine: plain values, which checks only read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::plan::Quota;

use super::cpus::Cpus;
use super::release::Release;

/// What is known about the machine and what this process may do on it. What is `None` could not
/// be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The kernel's release.
    pub kernel: Option<Release>,
    /// What the process may do beyond what every process may.
    pub capabilities: Option<Capabilities>,
    /// How the kernel takes programs.
    pub bpf: Bpf,
    /// Devices that packets come through: those named, or those that the address is on.
    pub devices: Vec<Device>,
    /// NUMA nodes, ascending.
    pub nodes: Vec<Node>,
    /// Whether cores have several CPUs (SMT) that are in use.
    pub smt: Option<bool>,
    /// CPUs that the process may run on.
    pub allowed: Option<Cpus>,
    /// CPU time that the cgroup grants; none is no bound.
    pub quota: Option<Quota>,
    /// Descriptors that the process may have.
    pub descriptors: Option<Descriptors>,
    /// How the kernel treats connections that nobody has accepted yet.
    pub tcp: Tcp,
    /// What the binary was built with.
    pub build: Build,
}

/// The capabilities that matter here, of the effective set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities {
    /// Load programs and make maps.
    pub bpf: bool,
    /// Attach programs to devices.
    pub net_admin: bool,
    /// Have programs use pointers as Rust compiles them.
    pub perfmon: bool,
    /// Give threads of the kernel a priority.
    pub sys_nice: bool,
    /// Stands in for `bpf` and `perfmon`.
    pub sys_admin: bool,
}

/// How the kernel takes programs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bpf {
    /// What bpf(2) says when it is asked.
    pub answer: Answer,
    /// `kernel.unprivileged_bpf_disabled`: above 0 if only the privileged may.
    pub unprivileged_disabled: Option<u32>,
    /// `net.core.bpf_jit_enable`: 0 if programs are interpreted.
    pub jit: Option<u32>,
    /// Whether the kernel tells its types.
    pub btf: bool,
    /// Where file systems are mounted that keep links and maps.
    pub file_systems: Vec<PathBuf>,
}

/// What bpf(2) says when it is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Answer {
    /// It was not asked.
    #[default]
    Unasked,
    /// It answers this process.
    Yes,
    /// It refuses this process, in the words of the system.
    Refused(String),
}

/// A network device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Device {
    /// What it is called.
    pub name: String,
    /// Whether there is one of that name; the rest is empty if not.
    pub exists: bool,
    /// Which driver it has; none for those that have no hardware and do not say.
    pub driver: Option<String>,
    /// `up`, `down`, or `unknown` for those without a link, such as loopback.
    pub state: Option<String>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// The NUMA node that it is attached to.
    pub node: Option<usize>,
    /// Receive queues.
    pub receive: Vec<Receive>,
    /// For each transmit queue the CPUs that send through it; none if the kernel does not say.
    pub xps: Vec<Option<Cpus>>,
    /// Interrupts of its receive queues.
    pub irqs: Vec<Irq>,
    /// How many queues it could have.
    pub channels: Option<Channels>,
    /// What it does for the kernel, by ethtool's names.
    pub offloads: BTreeMap<String, Offload>,
    /// Features agreed on with the host, for virtio devices: bit *n* is feature *n*.
    pub virtio: Option<u64>,
    /// The XDP program on it.
    pub xdp: Option<Attached>,
}

/// A receive queue.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Receive {
    /// The folder that tells about it, such as `rx-0`.
    pub name: String,
    /// CPUs that its packets are dealt out to (RPS); empty if they stay where they arrive.
    pub rps: Option<Cpus>,
}

/// An interrupt of a receive queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Irq {
    /// Its number.
    pub number: u32,
    /// What the driver calls it.
    pub name: String,
    /// The CPUs that it may interrupt.
    pub cpus: Cpus,
}

/// How many queues a device has, and could have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channels {
    /// Receive queues, alone or together with a transmit queue.
    pub receive: u32,
    /// The most of them.
    pub receive_max: u32,
    /// Whether they are counted together with transmit queues.
    pub combined: bool,
}

/// Something that a device does for the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offload {
    /// Whether it does.
    pub on: bool,
    /// Whether that can be changed.
    pub fixed: bool,
}

/// A program that is on a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// Its id in the kernel.
    pub program: u32,
    /// Its name, which only the privileged hear.
    pub name: Option<String>,
    /// Whether it runs in the kernel's generic path.
    pub generic: bool,
}

/// A NUMA node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// The system's number for it.
    pub number: usize,
    /// Its CPUs.
    pub cpus: Cpus,
}

/// Descriptors that the process may have; `u64::MAX` for no bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptors {
    /// Now.
    pub soft: u64,
    /// At most, if it asks, which `weir serve` does.
    pub hard: u64,
}

/// How the kernel treats connections that nobody has accepted yet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tcp {
    /// `net.core.somaxconn`: connections that may wait at a listener.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`: half-open ones that may, without SYN cookies.
    pub syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syncookies`: above 0 if half-open ones are remembered by the client.
    pub syncookies: Option<u32>,
    /// `net.ipv4.tcp_migrate_req`: 1 if those who wait at a listener that closes go to another.
    pub migrate: Option<u32>,
}

/// What the binary was built with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Build {
    /// Whether it can load programs.
    pub bpf: bool,
    /// Whether hwloc tells cores and nodes, and answers.
    pub hwloc: Hwloc,
    /// Whether the binary's allocator is jemalloc.
    pub jemalloc: bool,
}

/// Whether hwloc tells about cores and nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hwloc {
    /// The binary was built without it.
    #[default]
    Absent,
    /// It is there and sees nothing.
    Blind,
    /// It tells.
    Answers,
}

impl Capabilities {
    /// What a mask of the kernel holds: bit *n* is capability *n*.
    #[must_use]
    pub fn of_mask(mask: u64) -> Self {
        let has = |bit: u32| mask >> bit & 1 == 1;
        Self {
            net_admin: has(12),
            sys_admin: has(21),
            sys_nice: has(23),
            perfmon: has(38),
            bpf: has(39),
        }
    }

    /// Those that programs need and that are not there, by the names of capabilities(7).
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let needs = [
            ("CAP_BPF", self.bpf || self.sys_admin),
            ("CAP_NET_ADMIN", self.net_admin),
            ("CAP_PERFMON", self.perfmon || self.sys_admin),
        ];
        needs.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect()
    }
}

impl Device {
    /// CPUs that packets are dealt out to, of all its queues; empty without RPS.
    #[must_use]
    pub fn rps(&self) -> Cpus {
        let cpus = self.receive.iter().filter_map(|queue| queue.rps.as_ref());
        cpus.flat_map(|cpus| cpus.0.iter().copied()).collect()
    }

    /// CPUs on which packets come in: those dealt out to, or else those interrupted; empty if it
    /// is not known.
    #[must_use]
    pub fn arrivals(&self) -> Cpus {
        let rps = self.rps();
        if !rps.is_empty() {
            return rps;
        }
        self.irqs.iter().flat_map(|irq| irq.cpus.0.iter().copied()).collect()
    }

    /// Whether packets are there when they are sent: no wire and no interrupt is between, so that
    /// they arrive on the CPU of the sender.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.driver.as_deref().is_some_and(|driver| ["loopback", "veth"].contains(&driver))
    }

    /// Whether it is known to do something for the kernel.
    #[must_use]
    pub fn does(&self, offload: &str) -> bool {
        self.offloads.get(offload).is_some_and(|it| it.on)
    }
}
