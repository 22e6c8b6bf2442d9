//! Where a device's packets arrive: queues, RPS and interrupts against the plan's CPUs, offloads.

use super::super::asked::Asked;
use super::super::facts::Device;
use super::super::finding::Finding;

/// What spreads the device's packets, and what it does for the kernel.
pub(super) fn check(asked: &Asked, device: &Device) -> Vec<Finding> {
    if !device.exists {
        return Vec::new();
    }
    let mut findings = vec![state(device), Some(queues(asked, device)), irqs(asked, device)];
    findings.extend([xps(device), offloads(device)]);
    findings.into_iter().flatten().map(|finding| finding.on(&device.name)).collect()
}

/// A device without a link brings nobody; only that is worth a line.
fn state(device: &Device) -> Option<Finding> {
    let is_down = device.state.as_deref().is_some_and(|state| state.ends_with("down"));
    is_down.then(|| {
        let help = format!("ip link set dev {} up", device.name);
        Finding::slower("link", "the device is down: nobody comes by it", help)
    })
}

fn queues(asked: &Asked, device: &Device) -> Finding {
    let (queues, shards) = (device.receive.len(), asked.plan.shards());
    let of = format!("{queues} receive queue{}", if queues == 1 { "" } else { "s" });
    if shards == 1 {
        return Finding::active("queues", format!("{of}; one shard takes them all"));
    }
    if device.is_soft() {
        return Finding::active("queues", "packets arrive on the CPU of who sends them");
    }
    if queues >= shards {
        return Finding::active("queues", format!("{of} for {shards} shards"));
    }
    let rps = device.rps();
    if !rps.is_empty() {
        return Finding::active("queues", format!("{of}, dealt out to {} by RPS", rps.named()));
    }
    few(asked, device, &of)
}

/// Fewer queues than shards, and nothing that deals packets out.
fn few(asked: &Asked, device: &Device, of: &str) -> Finding {
    let (name, shards) = (&device.name, asked.plan.shards());
    let why = match device.receive.len() {
        0 => return Finding::unknown("queues", "the kernel tells of no receive queues"),
        1 => format!(
            "{of} for {shards} shards and no RPS: every packet arrives on one CPU; spill spreads \
             connections, not packets"
        ),
        _ => format!(
            "{of} for {shards} shards and no RPS: some CPUs get none; spill makes up for it"
        ),
    };
    let more = device.channels.filter(|channels| channels.receive < channels.receive_max);
    let help = match more {
        Some(channels) => {
            let kind = if channels.combined { "combined" } else { "rx" };
            let wanted = channels.receive_max.min(u32::try_from(shards).unwrap_or(u32::MAX));
            format!("ethtool -L {name} {kind} {wanted}")
        }
        None if device.receive.len() == 1 => {
            format!("weir doctor --fix --iface {name} (RPS to {})", asked.cpus().named())
        }
        None => format!(
            "echo {} > /sys/class/net/{name}/queues/rx-*/rps_cpus, each of them",
            asked.cpus().mask()
        ),
    };
    Finding::slower("queues", why, help)
}

/// Interrupts of receive queues on CPUs that no worker has, or not on some that one has.
fn irqs(asked: &Asked, device: &Device) -> Option<Finding> {
    let (arrivals, workers) = (device.arrivals(), asked.cpus());
    let is_dealt = !device.rps().is_empty();
    if device.irqs.is_empty() || asked.plan.shards() == 1 || workers.is_empty() {
        return None;
    }
    let what = if is_dealt { "RPS deals out to" } else { "interrupts come to" };
    let strange = arrivals.without(&workers);
    if !strange.is_empty() {
        let why = format!("{what} {}, where no worker is", strange.named());
        let help = if is_dealt {
            format!("weir doctor --fix --iface {}", device.name)
        } else {
            format!("/proc/irq/N/smp_affinity_list: {workers}; irqbalance may change it back")
        };
        return Some(Finding::slower("irqs", why, help));
    }
    let missing = workers.without(&arrivals);
    // One queue cannot be everywhere, and was spoken of.
    if device.receive.len() >= workers.len() && !missing.is_empty() {
        let why = format!("none come to {}, though there are queues for all", missing.named());
        let help = "one queue's interrupt for each worker: /proc/irq/N/smp_affinity_list";
        return Some(Finding::slower("irqs", why, help));
    }
    Some(Finding::active("irqs", format!("{what} {}, where workers are", arrivals.named())))
}

/// Whether what a CPU sends leaves by a queue of its own; only told where there are several.
fn xps(device: &Device) -> Option<Finding> {
    let known: Vec<_> = device.xps.iter().flatten().collect();
    if known.len() < 2 {
        return None;
    }
    if known.iter().any(|cpus| !cpus.is_empty()) {
        return Some(Finding::active("xps", "CPUs send through queues of their own"));
    }
    let name = &device.name;
    let help = format!("write each CPU's mask to /sys/class/net/{name}/queues/tx-*/xps_cpus");
    Some(Finding::slower("xps", "CPUs share transmit queues by hash, and wait for locks", help))
}

/// Offloads that save work for each packet; not told of devices that have no wire.
fn offloads(device: &Device) -> Option<Finding> {
    if device.offloads.is_empty() || device.is_soft() {
        return None;
    }
    let wanted = ["rx-gro", "tx-tcp-segmentation"];
    let can = |name: &&str| device.offloads.get(*name).is_some_and(|it| !it.on && !it.fixed);
    let off: Vec<_> = wanted.into_iter().filter(can).collect();
    if off.is_empty() {
        let checksums = if device.does("tx-checksum-ip-generic") || device.does("tx-checksum-ipv4")
        {
            ", checksums by the device"
        } else {
            ""
        };
        let has: Vec<_> = wanted.into_iter().filter(|it| device.does(it)).collect();
        let has = if has.is_empty() { "none that could be on".to_owned() } else { has.join(", ") };
        return Some(Finding::active("offloads", format!("{has}{checksums}")));
    }
    let why = format!("off: {}; each packet costs more", off.join(", "));
    let help: Vec<_> = off.iter().map(|name| format!("{name} on")).collect();
    let help = format!("ethtool -K {} {}", device.name, help.join(" "));
    Some(Finding::slower("offloads", why, help))
}
