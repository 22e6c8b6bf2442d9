//! Placement: which packets are sent on to another CPU, and the rule by which `auto` decides.

use std::collections::BTreeSet;

use super::super::asked::{Asked, Placement};
use super::super::cpus::Cpus;
use super::super::facts::{Device, Facts};
use super::super::finding::Finding;
use super::xdp;

/// The placement that is asked for, or that `auto` means, and why.
///
/// `auto` observes where there is nothing to move, where the device has a receive queue for each
/// shard or more, and where RPS deals its packets out. Of what is left it moves packets to their
/// shard's node, where they all arrive on one that has not all shards. It never moves packets
/// between cores of a node: that costs more than it gives.
#[must_use]
pub fn placement(facts: &Facts, asked: &Asked) -> (Placement, String) {
    match asked.steering.placement {
        Placement::Auto => auto(facts, asked),
        asked @ (Placement::Observe | Placement::Node | Placement::Core) => {
            (asked, "as asked".to_owned())
        }
    }
}

/// The placement, and whether it can be had.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Finding {
    let (placement, why) = placement(facts, asked);
    let why = format!("{}: {why}", placement.name());
    let moves = matches!(placement, Placement::Node | Placement::Core);
    if moves && !xdp::is_active(facts, asked) {
        let why = format!("--placement {}: no device has a program", placement.name());
        return Finding::refused("placement", why, "--iface NAME, and what xdp asks for");
    }
    if !moves {
        return Finding::idle("placement", why);
    }
    match facts.devices.iter().find(|device| device.driver.as_deref() == Some("veth")) {
        Some(veth) => {
            let why = format!("{why}; {} loses checksums that its peer leaves out", veth.name);
            Finding::active("placement", why).by("at the other end: ethtool -K PEER tx off")
        }
        None => Finding::active("placement", why),
    }
}

fn auto(facts: &Facts, asked: &Asked) -> (Placement, String) {
    let shards = asked.plan.shards();
    let mut last = "no device has a program that could move packets".to_owned();
    for device in xdp::on(facts, asked) {
        let queues = device.receive.len();
        if queues >= shards {
            last = format!("{} has {queues} receive queues for {shards} shards", device.name);
        } else if !device.rps().is_empty() {
            last = format!("RPS deals out what {} receives", device.name);
        } else if let Some(node) = far(facts, asked, device) {
            let why = format!("{} receives on node {node}, and shards are on others", device.name);
            return (Placement::Node, why);
        } else {
            last =
                format!("{} receives where its shards are; spill spreads connections", device.name);
        }
    }
    (Placement::Observe, last)
}

/// The one node that the device's packets arrive on, if shards are on others too.
fn far(facts: &Facts, asked: &Asked, device: &Device) -> Option<usize> {
    let nodes = nodes_of(facts, &device.arrivals());
    let node = match nodes.len() {
        0 => device.node?,
        1 => *nodes.first()?,
        _ => return None,
    };
    asked.plan.workers.iter().any(|worker| worker.node != node).then_some(node)
}

/// Nodes that these CPUs belong to.
pub(super) fn nodes_of(facts: &Facts, cpus: &Cpus) -> BTreeSet<usize> {
    let holds = |node: &Cpus| node.0.iter().any(|cpu| cpus.0.contains(cpu));
    facts.nodes.iter().filter(|node| holds(&node.cpus)).map(|node| node.number).collect()
}
