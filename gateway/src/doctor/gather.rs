//! Facts, read from `/proc` and `/sys` below a root folder and asked of the kernel.

mod device;
mod system;
mod tree;
mod whereabouts;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::plan::cgroup;

use super::cpus::Cpus;
use super::facts::{Bpf, Capabilities, Descriptors, Device, Facts, Node, Tcp};
use super::release::Release;

pub use self::system::{Live, System};
use self::tree::Tree;

/// Devices that are looked at unless they are named: more do not fit on a screen.
const DEVICES_MAX: usize = 4;

/// Reads all facts.
///
/// `root` is `/` but for tests, and `system` answers what no file tells. Devices are those named,
/// or else those that `addr` is on, four at most.
#[must_use]
pub fn gather(root: &Path, system: &impl System, named: &[String], addr: IpAddr) -> Facts {
    let tree = Tree::new(root);
    let devices = match named {
        [] => whereabouts::devices(&tree, addr),
        named => named.to_vec(),
    };
    let bound = if named.is_empty() { DEVICES_MAX } else { usize::MAX };
    let devices = devices.iter().take(bound);
    Facts {
        kernel: tree.text("proc/sys/kernel/osrelease").and_then(|it| Release::parse(&it)),
        capabilities: capabilities(&tree),
        bpf: bpf(&tree, system),
        devices: devices.map(|name| device::read(&tree, system, name)).collect(),
        nodes: nodes(&tree),
        smt: tree.number("sys/devices/system/cpu/smt/active").map(|active: u32| active == 1),
        allowed: tree
            .field("proc/self/status", "Cpus_allowed_list:")
            .and_then(|it| Cpus::of_list(&it)),
        // What cannot be read is no bound that is known of; `weir serve` warns of it.
        quota: cgroup::quota(root).ok().flatten(),
        descriptors: descriptors(&tree),
        tcp: Tcp {
            somaxconn: tree.number("proc/sys/net/core/somaxconn"),
            syn_backlog: tree.number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
            syncookies: tree.number("proc/sys/net/ipv4/tcp_syncookies"),
            migrate: tree.number("proc/sys/net/ipv4/tcp_migrate_req"),
        },
        build: system.build(),
    }
}

/// Reads only where packets of these devices arrive: the devices, and NUMA nodes.
pub(super) fn arrivals(
    root: &Path,
    system: &impl System,
    devices: &[&str],
) -> (Vec<Device>, Vec<Node>) {
    let tree = Tree::new(root);
    let devices = devices.iter().map(|name| device::read(&tree, system, name)).collect();
    (devices, nodes(&tree))
}

fn capabilities(tree: &Tree<'_>) -> Option<Capabilities> {
    let mask = tree.field("proc/self/status", "CapEff:")?;
    u64::from_str_radix(&mask, 16).ok().map(Capabilities::of_mask)
}

fn bpf(tree: &Tree<'_>, system: &impl System) -> Bpf {
    Bpf {
        answer: system.bpf(),
        unprivileged_disabled: tree.number("proc/sys/kernel/unprivileged_bpf_disabled"),
        jit: tree.number("proc/sys/net/core/bpf_jit_enable"),
        btf: tree.exists("sys/kernel/btf/vmlinux"),
        file_systems: bpf_file_systems(tree),
    }
}

/// Where file systems of kind bpf are mounted.
fn bpf_file_systems(tree: &Tree<'_>) -> Vec<PathBuf> {
    let mounts = tree.text("proc/self/mountinfo").unwrap_or_default();
    let of_bpf = mounts.lines().filter(|line| line.contains(" - bpf "));
    of_bpf.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn nodes(tree: &Tree<'_>) -> Vec<Node> {
    let folder = "sys/devices/system/node";
    let number = |name: &String| name.strip_prefix("node")?.parse().ok();
    let mut nodes: Vec<_> = tree
        .names(folder)
        .iter()
        .filter_map(|name| {
            let cpus = Cpus::of_list(&tree.text(&format!("{folder}/{name}/cpulist"))?)?;
            Some(Node { number: number(name)?, cpus })
        })
        .collect();
    nodes.sort_by_key(|node| node.number);
    nodes
}

fn descriptors(tree: &Tree<'_>) -> Option<Descriptors> {
    let line = tree.field("proc/self/limits", "Max open files")?;
    let mut numbers = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(Descriptors { soft: numbers.next()??, hard: numbers.next()?? })
}
