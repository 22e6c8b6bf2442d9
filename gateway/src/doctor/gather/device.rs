//! A network device as `/sys` and `/proc/irq` tell of it.

use std::collections::BTreeSet;

use super::super::cpus::Cpus;
use super::super::facts::{Device, Irq, Receive};
use super::system::System;
use super::tree::Tree;

/// What names of interrupts have in them that are not of receive queues.
const OTHER_IRQS: [&str; 9] =
    ["config", "output", "-tx-", "-tx", "async", "ctrl", "cmd", "mgmnt", "event"];

/// Reads all about the device of that name.
pub(super) fn read(tree: &Tree<'_>, system: &impl System, name: &str) -> Device {
    let folder = format!("sys/class/net/{name}");
    // A name that leads elsewhere is nobody's.
    if name.contains(['/', '\0']) || !tree.exists(&folder) {
        return Device { name: name.to_owned(), ..Device::default() };
    }
    let file = |file: &str| format!("{folder}/{file}");
    Device {
        name: name.to_owned(),
        exists: true,
        driver: driver(tree, system, name, &folder),
        state: tree.text(&file("operstate")),
        mtu: tree.number(&file("mtu")),
        // The kernel says -1 where it does not matter.
        node: on_bus(tree, &file("device"), "numa_node").and_then(|path| tree.number(&path)),
        receive: receive(tree, &file("queues")),
        xps: xps(tree, &file("queues")),
        irqs: irqs(tree, &file("device")),
        channels: system.channels(name),
        offloads: system.offloads(name),
        virtio: tree.text(&file("device/features")).and_then(|bits| virtio(&bits)),
        xdp: system.xdp(name),
    }
}

fn driver(tree: &Tree<'_>, system: &impl System, name: &str, folder: &str) -> Option<String> {
    if name == "lo" {
        return Some("loopback".to_owned());
    }
    tree.link(&format!("{folder}/device/driver")).or_else(|| system.driver(name))
}

fn receive(tree: &Tree<'_>, queues: &str) -> Vec<Receive> {
    let names = tree.names(queues).into_iter().filter(|name| name.starts_with("rx-"));
    let queue = |name: String| {
        let rps = tree.text(&format!("{queues}/{name}/rps_cpus"));
        Receive { rps: rps.and_then(|mask| Cpus::of_mask(&mask)), name }
    };
    names.map(queue).collect()
}

fn xps(tree: &Tree<'_>, queues: &str) -> Vec<Option<Cpus>> {
    let names = tree.names(queues).into_iter().filter(|name| name.starts_with("tx-"));
    let mask = |name| tree.text(&format!("{queues}/{name}/xps_cpus"));
    names.map(|name| mask(name).and_then(|mask| Cpus::of_mask(&mask))).collect()
}

/// Interrupts that may be of receive queues.
fn irqs(tree: &Tree<'_>, device: &str) -> Vec<Irq> {
    let Some(folder) = on_bus(tree, device, "msi_irqs") else { return Vec::new() };
    let numbers = tree.names(&folder).into_iter().filter_map(|name| name.parse().ok());
    numbers.collect::<BTreeSet<u32>>().into_iter().filter_map(|it| irq(tree, it)).collect()
}

/// Where the bus tells something: of the device itself, or of what it is on, as for virtio.
fn on_bus(tree: &Tree<'_>, device: &str, file: &str) -> Option<String> {
    let paths = [format!("{device}/{file}"), format!("{device}/../{file}")];
    paths.into_iter().find(|path| tree.exists(path))
}

fn irq(tree: &Tree<'_>, number: u32) -> Option<Irq> {
    let folder = format!("proc/irq/{number}");
    // The driver's name for it is a folder among the files; one without a handler has none.
    let is_name = |name: &String| {
        let is_file = name.contains("affinity") || ["node", "spurious"].contains(&name.as_str());
        !is_file && !OTHER_IRQS.iter().any(|other| name.contains(other))
    };
    let name = tree.names(&folder).into_iter().find(is_name)?;
    let list = |file: &str| Cpus::of_list(&tree.text(&format!("{folder}/{file}"))?);
    let effective = list("effective_affinity_list").filter(|cpus| !cpus.is_empty());
    Some(Irq { number, name, cpus: effective.or_else(|| list("smp_affinity_list"))? })
}

/// Bits of features in the order of their numbers, as text.
fn virtio(bits: &str) -> Option<u64> {
    let bit = |(index, bit)| match bit {
        '0' => Some(0),
        '1' => Some(1_u64.checked_shl(u32::try_from(index).ok()?).unwrap_or(0)),
        _ => None,
    };
    bits.chars().enumerate().map(bit).try_fold(0, |all, bit| Some(all | bit?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_virtio_are_counted_from_the_left() {
        assert_eq!(virtio("0110"), Some(0b110));
        assert_eq!(virtio(&format!("{}1{}", "0".repeat(63), "1".repeat(64))), Some(1 << 63));
        assert_eq!((virtio(""), virtio("01x")), (Some(0), None));
    }
}
