//! What is claimed of the gateway in the guest, and how each claim is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::claims::{Claims, Verdict};
use super::client::{self, Client};
use super::guest::Guest;
use super::maps::Memory;
use super::series::Series;
use super::{SUBNETS, UNFINISHED_BYTES};

const PORT: u16 = 9002;
const ADMIN_PORT: u16 = 9003;
/// Where the first shard listens alone, for clients within the guest.
const BASE_PORT: u16 = 9100;

/// CPUs of the guest.
const CPUS: usize = 4;
/// Connections from each subnet.
const CLIENTS: usize = 50;
/// Members of a room: so many that no connection moves to the room's home.
const MEMBERS: usize = 12;
/// Clients that `load` starts in the guest.
const LOADERS: u64 = 8;
/// What they make a shard keep.
const LOADED_BYTES: u64 = LOADERS * UNFINISHED_BYTES;
/// Of what a shard's clients make it keep, so much is on its node at least, in percent: the rest
/// is for what other threads do meanwhile.
const NEAR_PERCENT: u64 = 95;

/// How often is looked whether something has come about, and the pause before each look.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);
/// The same for memory that is given back, and by how much it may still change.
const SETTLING_LOOKS: u32 = 60;
const SETTLING_PAUSE: Duration = Duration::from_secs(2);
const SETTLED_BYTES: u64 = 256 << 10;

/// Adds all claims, one after the other, about one gateway.
///
/// # Errors
/// If the gateway does not serve, or the guest does not do what it is told.
pub(super) fn all(claims: &mut Claims, guest: &mut Guest) -> Result<()> {
    serve(guest)?;
    plan(claims)?;
    queues(claims, guest)?;
    xdp(claims, guest)?;
    served_where_placed(claims)?;
    crossing(claims)?;
    memory(claims, guest)
}

/// Starts the gateway and waits until all shards serve. One that steers does so on the guest's
/// device, however unevenly the packets come.
fn serve(guest: &mut Guest) -> Result<()> {
    let steers = guest.ask("help")?.iter().any(|line| line.contains("--iface"));
    let steering =
        if steers { " --iface eth0:native --placement node --slack unlimited" } else { "" };
    guest.ask(&format!(
        "serve --config /weir.toml --addr :{PORT} --admin 0.0.0.0:{ADMIN_PORT} \
         --base-port {BASE_PORT}{steering}"
    ))?;
    let all_serve = |series: &Series| series.by("weir_shard_cpu", "shard").len() == CPUS;
    until("the gateway serves on each CPU", || metrics().ok().filter(all_serve))?;
    Ok(())
}

fn plan(claims: &mut Claims) -> Result<()> {
    let series = metrics()?;
    let (nodes, cpus) = (nodes(&series), series.by("weir_shard_cpu", "shard"));
    // The guest's first socket has CPUs 0 and 1, and is node 0.
    let placed = cpus.iter().all(|(shard, cpu)| nodes.get(shard) == Some(&(cpu / 2)));
    let distinct: BTreeSet<_> = nodes.values().collect();
    let shards = nodes.iter().map(|(shard, node)| {
        let cpu = cpus.get(shard).map_or_else(|| "no CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        format!("shard {shard} on {cpu} of node {node}")
    });
    let read = shards.collect::<Vec<_>>().join(", ");
    let holds = distinct.len() == 2 && placed && cpus.len() == nodes.len();
    claims.add("the plan sees two nodes", Verdict::of(holds), read);
    Ok(())
}

fn queues(claims: &mut Claims, guest: &mut Guest) -> Result<()> {
    let queues = guest.ask("queues")?;
    let receiving = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
    let read = format!("{receiving} receive queues on eth0");
    claims.add("the device has a queue for each CPU", Verdict::of(receiving == CPUS), read);
    Ok(())
}

/// Connections from the host, and whether their shards own the CPUs that their packets came to.
fn served_where_placed(claims: &mut Claims) -> Result<()> {
    let before = metrics()?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        for subnet in SUBNETS {
            clients.push(Client::connect(guest_at(subnet, PORT)?, "/ws/simple")?);
        }
    }
    for client in &mut clients {
        client.echo("there and back")?;
    }
    let wanted = clients.len() as u64;
    let accepted = |series: &Series| {
        sum(series, "weir_accepted_total") == sum(&before, "weir_accepted_total") + wanted
    };
    let after = until("all are counted", || metrics().ok().filter(accepted))?;
    let off = sum(&after, "weir_off_cpu_total") - sum(&before, "weir_off_cpu_total");
    placed(claims, &after, wanted, off);
    redirected(claims, &after);
    let crossed = sum(&after, "weir_cross_node_bytes_total");
    let read = format!("{crossed} bytes after {wanted} echoes");
    claims.add("echoes cross to no other node", Verdict::of(crossed == 0), read);
    Ok(())
}

fn placed(claims: &mut Claims, series: &Series, wanted: u64, off: u64) {
    let nodes = nodes(series);
    let mut by_node = BTreeMap::<u64, u64>::new();
    for (shard, connections) in series.by("weir_shard_connections", "shard") {
        *by_node.entry(nodes.get(&shard).copied().unwrap_or_default()).or_default() += connections;
    }
    let selector = series.label("weir_steer_mode", "selector");
    let on_both = by_node.len() == 2 && by_node.values().all(|&connections| connections > 0);
    let verdict = match selector {
        None | Some("hash") => Verdict::NotYet,
        Some(_) => Verdict::of(off == 0 && on_both),
    };
    let read = format!(
        "{wanted} connections by {}, {} on the nodes, {off} on another CPU than their packets'",
        selector.unwrap_or("the kernel's hash"),
        by_node.values().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    );
    claims.add("connections are served where packets arrive", verdict, read);
}

/// Packets that XDP sent to another node, if it was to.
fn redirected(claims: &mut Claims, series: &Series) {
    if series.label("weir_steer_mode", "placement") != Some("node") {
        return;
    }
    let of = |verdict| {
        series.value(&format!("weir_steer_packets_total{{verdict=\"{verdict}\"}}")).unwrap_or(0)
    };
    let (redirected, passed, stuck) = (of("redirect"), of("pass"), of("stuck"));
    let read = format!("{redirected} redirected, {passed} there already, {stuck} without a queue");
    let holds = redirected > 0 && passed > 0 && stuck == 0;
    claims.add("packets go to their shard's node", Verdict::of(holds), read);
}

/// A room with members on all shards.
fn crossing(claims: &mut Claims) -> Result<()> {
    let addresses = SUBNETS.iter().cycle().take(MEMBERS);
    let members = addresses.map(|subnet| Client::connect(guest_at(subnet, PORT)?, "/ws/lobby"));
    let mut members = members.collect::<Result<Vec<_>>>()?;
    members[0].say("to all")?;
    let crossed = || {
        let series = metrics().ok()?;
        Some(sum(&series, "weir_cross_node_bytes_total")).filter(|&bytes| bytes > 0)
    };
    let bytes = until("something crosses", crossed)?;
    let read = format!("{bytes} bytes for a room of {MEMBERS}");
    claims.add("what crosses to another node is counted", Verdict::of(bytes > 0), read);
    Ok(())
}

/// Each shard in turn is made to keep much, and it is looked on which node that is.
fn memory(claims: &mut Claims, guest: &mut Guest) -> Result<()> {
    let mut before = settled(guest)?;
    for (shard, node) in nodes(&metrics()?) {
        let port = usize::from(BASE_PORT) + shard;
        guest.ask(&format!("load {port}"))?;
        let kept = format!("weir_inbound_bytes{{shard=\"{shard}\"}}");
        let is_there = |&bytes: &u64| bytes >= LOADED_BYTES;
        until("the shard keeps it", || metrics().ok()?.value(&kept).filter(is_there))?;
        let after = settled(guest)?;
        let grown = after.since(&before);
        let near = grown.on(usize::try_from(node)?);
        let far = grown.total() - near;
        let holds = near >= LOADED_BYTES && near * 100 >= grown.total() * NEAR_PERCENT;
        let read = format!("{} more on node {node}, {} elsewhere", mib(near), mib(far));
        claims.add(format!("shard {shard}'s memory is on its node"), Verdict::of(holds), read);
        before = after;
    }
    Ok(())
}

/// Where memory is when no more is being given back: the allocator keeps what it may need again
/// for a second.
fn settled(guest: &mut Guest) -> Result<Memory> {
    let mut before = maps(guest)?;
    for _ in 0..SETTLING_LOOKS {
        thread::sleep(SETTLING_PAUSE);
        let now = maps(guest)?;
        if now.total().abs_diff(before.total()) <= SETTLED_BYTES {
            return Ok(now);
        }
        before = now;
    }
    bail!("the gateway's memory never settles")
}

/// How packets are met, or why not.
fn xdp(claims: &mut Claims, guest: &mut Guest) -> Result<()> {
    let name = "native XDP on virtio-net, or why not";
    let series = metrics()?;
    let mode = |label| series.label("weir_steer_mode", label).unwrap_or("unknown");
    let xdp = mode("xdp");
    let (verdict, read) = match xdp {
        "unknown" => (Verdict::NotYet, "the gateway does not tell how it steers".to_owned()),
        "native" => (Verdict::Holds, format!("native, placement {}", mode("placement"))),
        other => {
            let log = guest.ask("show /log")?;
            let reason = log.iter().rfind(|line| line.contains("eth0"));
            let said = reason.map_or("and no reason in the log", String::as_str);
            (Verdict::of(reason.is_some()), format!("{other}: {said}"))
        }
    };
    claims.add(name, verdict, read);
    Ok(())
}

/// The node of each shard.
fn nodes(series: &Series) -> BTreeMap<usize, u64> {
    series.by("weir_shard_node", "shard")
}

fn sum(series: &Series, family: &str) -> u64 {
    let label = if family.starts_with("weir_cross") { "worker" } else { "shard" };
    series.by(family, label).values().sum()
}

fn maps(guest: &mut Guest) -> Result<Memory> {
    let lines = guest.ask("maps")?;
    Ok(Memory::read(lines.iter().map(String::as_str)))
}

fn metrics() -> Result<Series> {
    Ok(Series::read(&client::get(guest_at(SUBNETS[0], ADMIN_PORT)?, "/metrics")?))
}

fn guest_at(subnet: &str, port: u16) -> Result<SocketAddr> {
    Ok(format!("{subnet}.2:{port}").parse()?)
}

/// Looks until there is something to be seen.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    for _ in 0..LOOKS {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        thread::sleep(PAUSE);
    }
    bail!("it never comes about that {what}")
}

/// Bytes in MiB with one digit behind the point.
fn mib(bytes: u64) -> String {
    let tenths = (bytes * 10 + (1 << 19)) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_tenths_of_a_mebibyte() {
        assert_eq!(mib(0), "0.0 MiB");
        assert_eq!(mib((3 << 20) + (1 << 19)), "3.5 MiB");
        assert_eq!(mib((1 << 20) - 1), "1.0 MiB");
    }

    #[test]
    fn what_never_comes_about_is_named() {
        let mut looks = 0;
        let seen = until("three", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(seen.expect("it comes about"), 3);
    }
}
