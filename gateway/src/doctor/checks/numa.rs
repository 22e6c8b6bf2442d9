//! NUMA: whether packets, connections and memory stay on one node.

use std::collections::BTreeSet;

use super::super::asked::Asked;
use super::super::facts::{Facts, Hwloc};
use super::super::finding::Finding;
use super::placement::nodes_of;
use crate::plan::Numa;

/// How many nodes there are, whether the plan keeps them apart, and where devices are.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    let mut findings = vec![nodes(facts, asked)];
    if facts.nodes.len() > 1 {
        findings.extend(facts.devices.iter().filter_map(|device| {
            let arrivals = nodes_of(&facts.nodes, &device.arrivals());
            let node = device.node.or_else(|| arrivals.first().copied())?;
            Some(near(asked, node).on(&device.name))
        }));
    }
    findings.push(hwloc(facts));
    findings
}

/// Nodes that workers are on.
fn used(asked: &Asked) -> BTreeSet<usize> {
    asked.plan.workers.iter().map(|worker| worker.node).collect()
}

fn nodes(facts: &Facts, asked: &Asked) -> Finding {
    match facts.nodes.len() {
        0 => Finding::unknown("numa", "the kernel tells of no nodes"),
        1 => Finding::idle("numa", "one node: there is nothing to keep apart"),
        count if asked.numa == Numa::Off => {
            let why = format!("--numa off: memory of {count} nodes is used from everywhere");
            Finding::slower("numa", why, "--numa auto")
        }
        count => {
            let used = used(asked);
            let why = format!("workers on {} of {count} nodes, shards grouped by node", used.len());
            Finding::active("numa", why)
        }
    }
}

fn near(asked: &Asked, node: usize) -> Finding {
    if used(asked).contains(&node) {
        return Finding::active("near", format!("on node {node}, which has workers"));
    }
    let why = format!("on node {node}, where no worker is: every packet crosses between nodes");
    Finding::slower("near", why, format!("--numa {node}, or --numa auto"))
}

fn hwloc(facts: &Facts) -> Finding {
    let matters = facts.nodes.len() > 1 || facts.smt == Some(true);
    let (why, help) = match facts.build.hwloc {
        Hwloc::Answers => return Finding::active("hwloc", "cores and nodes are known"),
        Hwloc::Absent => ("built without it", "build with the feature numa"),
        Hwloc::Blind => ("it sees nothing here", "make /sys readable to this process"),
    };
    if matters {
        let why = format!("{why}: CPUs are taken for cores, nodes are not known");
        return Finding::slower("hwloc", why, help);
    }
    Finding::idle("hwloc", format!("{why}, and there is nothing that it could tell"))
}
