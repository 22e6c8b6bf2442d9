//! Each way to steer, with a thousand visitors: all are served, and where they should be.

use anyhow::{Result, ensure};

use crate::metrics::Metrics;
use crate::steer::bed::{Family, Side};
use crate::steer::gateway::Gateway;
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{CROWD, Scenario, Stage};
use crate::steer::team::Team;
use crate::steer::visitor::Visitor;

const UNLIMITED: [&str; 2] = ["--slack", "unlimited"];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for family in Family::ALL {
        all.extend(Rung::matrix().into_iter().map(|rung| steered(rung, family)));
        let alone = Selector::ALL.map(Rung::selector);
        all.extend(alone.into_iter().map(|rung| steered(rung, family)));
    }
    all.extend(Selector::ALL.map(cookies));
    all.push(Scenario::new("default slack: placed and spilled", slack));
    all.push(Scenario::new("packets on one CPU only", one_cpu));
    all
}

/// Everyone is served by the shard that the way means, and nothing is broken on the way.
fn steered(rung: Rung, family: Family) -> Scenario {
    let name = format!("{} {}", rung.name(), family.name());
    let is_short =
        rung.xdp != Xdp::None && rung.placement == Placement::Observe && family == Family::V4;
    let scenario = Scenario::new(name, move |stage| {
        let gateway = stage.steer_over(family, rung, &UNLIMITED)?;
        thousand(stage, &gateway, rung)
    })
    .on(rung.cable());
    match (is_short, needs_programs(rung)) {
        (true, _) => scenario.short(),
        (false, true) => scenario,
        (false, false) => scenario.without_bpf(),
    }
}

/// Whether the kernel has to take programs from the gateway for that.
fn needs_programs(rung: Rung) -> bool {
    rung.xdp != Xdp::None || rung.selector == Selector::Program
}

/// A thousand visitors are served, and still are when all of them are there.
fn thousand(stage: &Stage<'_>, gateway: &Gateway<'_>, rung: Rung) -> Result<String> {
    let broken = stage.bed.broken_segments()?;
    let mut visitors = stage.crowd(gateway, CROWD)?;
    let metrics = gateway.until("all are counted", |it| opened(it) == CROWD as u64)?;
    let off_cpu = metrics.sum("weir_off_cpu_total");
    ensure!(!is_judged(rung) || off_cpu == 0, "{off_cpu} of {CROWD} came to another CPU's shard");
    stage.team.echo_once(&mut visitors)?;
    let broken = stage.bed.broken_segments()? - broken;
    ensure!(broken == 0, "{broken} segments were dropped for their checksum");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served, off_cpu {off_cpu}"))
}

/// Where a selector follows the CPU, nobody is on another one's shard. On a veth cable with a
/// native program that only looks on, the kernel may receive later packets on another CPU than the
/// first, so that this is told, and not judged.
fn is_judged(rung: Rung) -> bool {
    let roams = rung.xdp == Xdp::Native && rung.placement != Placement::Core;
    rung.selector.follows_the_cpu() && !roams
}

fn opened(metrics: &Metrics) -> u64 {
    metrics.sum("weir_opened_total")
}

/// With SYN cookies a connection is chosen for when it is complete: where its last packet came.
fn cookies(selector: Selector) -> Scenario {
    let name = format!("syn cookies, {}", selector.name());
    let scenario = Scenario::new(name, move |stage| {
        stage.bed.set(Side::Gateway, "net/ipv4/tcp_syncookies", "2")?;
        let rung = Rung::selector(selector);
        thousand(stage, &stage.steer(rung, &UNLIMITED)?, rung)
    });
    if selector == Selector::Program { scenario } else { scenario.without_bpf() }
}

/// With the slack that is usual, each choice was counted as the one or the other.
fn slack(stage: &Stage<'_>) -> Result<String> {
    let rung =
        Rung { xdp: Xdp::Native, placement: Placement::Observe, selector: Selector::Program };
    let gateway = stage.steer(rung, &[])?;
    let visitors = stage.crowd(&gateway, CROWD)?;
    let metrics = gateway.until("all are counted", |it| opened(it) == CROWD as u64)?;
    let [placed, spilled] = choices(&metrics);
    // The program runs once for each SYN, and once more for one that is said again: among all that
    // is said again, which the system does not count apart.
    let (chosen, again) = (placed + spilled, stage.bed.said_again()?);
    let all = CROWD as u64..=CROWD as u64 + again;
    ensure!(all.contains(&chosen), "{placed} placed, {spilled} spilled, {again} said again");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{placed} placed, {spilled} spilled of {CROWD}, {again} segments said again"))
}

/// Where all packets come to one CPU, its shard does not take everyone.
fn one_cpu(stage: &Stage<'_>) -> Result<String> {
    let shards = stage.team.len();
    let gateway = stage.steer(Rung::selector(Selector::Program), &[])?;
    let (visitors, tally) = Team::on(stage.bed, 0).gather(&stage.way(&gateway), CROWD)?;
    tally.expect(CROWD)?;
    let metrics = gateway.until("all are counted", |it| opened(it) == CROWD as u64)?;
    let by_shard = metrics.by("weir_shard_connections", "shard");
    let [_, spilled] = choices(&metrics);
    ensure!(shards == 1 || spilled > 0, "nobody was sent elsewhere: {by_shard:?}");
    let share = CROWD / shards;
    // Those who are being accepted are not counted by the kernel yet.
    let most = (share + share / 8).max(share + 64) + UNDER_WAY;
    let fullest = by_shard.values().max().copied().unwrap_or_default();
    ensure!(fullest <= most as u64, "a shard has {fullest}, more than {most}: {by_shard:?}");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{by_shard:?} by shard, {spilled} spilled"))
}

/// Visitors who may be chosen for, and not accepted yet.
const UNDER_WAY: usize = 64;

fn choices(metrics: &Metrics) -> [u64; 2] {
    ["weir_steer_placed_total", "weir_steer_spilled_total"].map(|name| metrics.sum(name))
}
