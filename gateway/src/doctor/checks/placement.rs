//! Placement: which packets are sent on to another CPU, and the rule by which `auto` decides.

use std::collections::BTreeSet;

use super::super::asked::{Asked, Placement};
use super::super::cpus::Cpus;
use super::super::facts::{Device, Facts, Node};
use super::super::finding::Finding;
use super::xdp;
use crate::plan::Worker;

/// The placement that is asked for, or that `auto` means, and why.
#[must_use]
pub fn placement(facts: &Facts, asked: &Asked) -> (Placement, String) {
    match asked.steering.placement {
        Placement::Auto => auto(xdp::on(facts, asked), &facts.nodes, &asked.plan.workers),
        asked @ (Placement::Observe | Placement::Node | Placement::Core) => {
            (asked, "as asked".to_owned())
        }
    }
}

/// The placement that `auto` means where these devices have programs, and why.
///
/// `auto` observes where there is nothing to move, where a device has a receive queue for each
/// shard or more, and where RPS deals its packets out. Of what is left it moves packets to their
/// shard's node, where they all arrive on one node and shards are on others too. It never moves
/// packets between cores of a node: that costs more than it gives.
pub(in crate::doctor) fn auto<'a>(
    devices: impl Iterator<Item = &'a Device>,
    nodes: &[Node],
    workers: &[Worker],
) -> (Placement, String) {
    let shards = workers.last().map_or(0, |worker| usize::from(worker.shards.end));
    let mut why = "no device has a program that could move packets".to_owned();
    for device in devices {
        let (name, queues) = (&device.name, device.receive.len());
        if queues >= shards {
            why = format!("{name} has {queues} receive queues for {shards} shards");
        } else if !device.rps().is_empty() {
            why = format!("RPS deals out what {name} receives");
        } else if let Some(node) = far(device, nodes, workers) {
            let why = format!("{name} receives on node {node}, and shards are on others");
            return (Placement::Node, why);
        } else {
            why = format!("{name} receives where its shards are; spill spreads connections");
        }
    }
    (Placement::Observe, why)
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

/// The one node that the device's packets arrive on, if shards are on others too.
fn far(device: &Device, nodes: &[Node], workers: &[Worker]) -> Option<usize> {
    let arrivals = nodes_of(nodes, &device.arrivals());
    let node = match arrivals.len() {
        0 => device.node?,
        1 => *arrivals.first()?,
        _ => return None,
    };
    workers.iter().any(|worker| worker.node != node).then_some(node)
}

/// Nodes that these CPUs belong to.
pub(super) fn nodes_of(nodes: &[Node], cpus: &Cpus) -> BTreeSet<usize> {
    let holds = |node: &Cpus| node.0.iter().any(|cpu| cpus.0.contains(cpu));
    nodes.iter().filter(|node| holds(&node.cpus)).map(|node| node.number).collect()
}
