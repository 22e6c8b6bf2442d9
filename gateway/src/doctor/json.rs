//! A report as one JSON object, whose names stay.

use serde_json::{Value, json};

use super::asked::Asked;
use super::checks::{placement, rung};
use super::facts::{Capabilities, Device, Facts};
use super::finding::Finding;
use super::{Fix, Report};

/// The whole object.
pub(super) fn report(report: &Report, asked: &Asked) -> Value {
    let severity = report.severity();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "severity": severity.name(),
        "exit_code": severity.exit_code(),
        "addr": asked.addr.to_string(),
        "shards": asked.plan.shards(),
        "workers": asked.plan.workers.len(),
        "cpus": asked.cpus().to_string(),
        "selector": rung(&report.facts, asked).name(),
        "placement": placement(&report.facts, asked).0.name(),
        "fixes": report.fixes.iter().map(fix).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "facts": facts(&report.facts),
    })
}

fn fix(fix: &Fix) -> Value {
    match fix {
        Fix::Set { device, path, old, new } => {
            json!({ "device": device, "changed": true, "path": path, "old": old, "new": new })
        }
        Fix::Left { device, why } => json!({ "device": device, "changed": false, "why": why }),
        Fix::Denied { device, why, command } => {
            json!({ "device": device, "changed": false, "why": why, "command": command })
        }
    }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "device": finding.device,
        "state": finding.state.name(),
        "severity": finding.severity.name(),
        "why": finding.why,
        "turn_on": finding.turn_on,
    })
}

fn facts(facts: &Facts) -> Value {
    let nodes = facts
        .nodes
        .iter()
        .map(|node| json!({ "node": node.number, "cpus": node.cpus.to_string() }));
    json!({
        "kernel": facts.kernel.map(|kernel| kernel.to_string()),
        "capabilities": facts.capabilities.map(capabilities),
        "btf": facts.bpf.btf,
        "jit": facts.bpf.jit,
        "nodes": nodes.collect::<Vec<_>>(),
        "quota_cpus": facts.quota.map(|quota| quota.to_string()),
        "descriptors": facts.descriptors.map(|limit| limit.hard),
        "somaxconn": facts.tcp.somaxconn,
        "syncookies": facts.tcp.syncookies,
        "migrate": facts.tcp.migrate,
        "devices": facts.devices.iter().map(device).collect::<Vec<_>>(),
    })
}

fn capabilities(has: Capabilities) -> Value {
    let Capabilities { bpf, net_admin, perfmon, sys_nice, sys_admin } = has;
    json!({
        "bpf": bpf,
        "net_admin": net_admin,
        "perfmon": perfmon,
        "sys_nice": sys_nice,
        "sys_admin": sys_admin,
    })
}

fn device(device: &Device) -> Value {
    json!({
        "name": device.name,
        "exists": device.exists,
        "driver": device.driver,
        "state": device.state,
        "mtu": device.mtu,
        "node": device.node,
        "receive_queues": device.receive.len(),
        "transmit_queues": device.xps.len(),
        "receive_queues_max": device.channels.map(|channels| channels.receive_max),
        "rps": device.rps().to_string(),
        "arrivals": device.arrivals().to_string(),
        "xdp_program": device.xdp.as_ref().map(|attached| attached.program),
        "xdp_name": device.xdp.as_ref().map(|attached| &attached.name),
    })
}
