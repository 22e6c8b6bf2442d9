//! Who is not let in, by a file of prefixes and by a rate, with programs in the kernel and without.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock;
use crate::metrics::Metrics;
use crate::steer::bed::Family;
use crate::steer::crowd::{Tally, Way};
use crate::steer::gateway::{Gateway, Launch};
use crate::steer::ground::Need;
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{Scenario, Stage, expect_mode};
use crate::steer::visitor::Visitor;

/// How long is waited for what never comes.
const IMPATIENCE: Duration = Duration::from_millis(500);
/// Visitors of one address.
const FEW: usize = 8;
/// New connections a second, and at once, that an address may have.
const RATE: u64 = 20;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for xdp in [Xdp::Native, Xdp::Generic, Xdp::None] {
        let of = |scenario: Scenario| {
            let scenario = scenario.needing(Need::Flag("--guard")).on(rung(xdp).cable());
            if xdp == Xdp::None { scenario.without_bpf() } else { scenario }
        };
        for family in Family::ALL {
            let name = format!("denied prefix, xdp {}, {}", xdp.name(), family.name());
            all.push(of(Scenario::new(name, move |stage| denied(stage, xdp, family))));
        }
        let name = format!("rate of one source, xdp {}", xdp.name());
        all.push(of(Scenario::new(name, move |stage| rated(stage, xdp))));
    }
    all
}

fn rung(xdp: Xdp) -> Rung {
    let selector = if xdp == Xdp::None { Selector::IncomingCpu } else { Selector::Program };
    Rung { xdp, placement: Placement::Observe, selector }
}

/// Whoever is denied is not served, others are, and a file that is read again counts at once.
fn denied(stage: &Stage<'_>, xdp: Xdp, family: Family) -> Result<String> {
    let [stranger, friend] = [family.source(0), family.source(1)];
    let bits = if stranger.is_ipv4() { 32 } else { 64 };
    let prefix = match stranger {
        std::net::IpAddr::V4(address) => format!("{address}/{bits}"),
        std::net::IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/{bits}", std::net::Ipv6Addr::from(network))
        }
    };
    let file = stage.bed.folder().join("guard");
    let write = |text: &str| fs::write(&file, text).context("cannot write the guard's file");
    write(&format!("# strangers\ndeny {prefix}\n"))?;
    let path = file.display().to_string();
    let gateway = stage.steer_over(family, rung(xdp), &["--guard", &path])?;
    let refused = brief(stage, &gateway, stranger)?;
    ensure!(refused.served == 0, "whoever is denied: {refused}");
    if xdp != Xdp::None {
        gateway.until("a packet is denied", |it| packets(it, "deny") > 0)?;
    }
    few(stage, &gateway, friend)?.expect(FEW)?;
    write("# nobody\n")?;
    let (status, body) = gateway.order("POST", "/admin/guard/reload")?;
    ensure!(status == 200, "POST /admin/guard/reload is answered {status}: {body}");
    few(stage, &gateway, stranger)?.expect(FEW)?;
    let denied = packets(&gateway.metrics()?, "deny");
    Ok(format!("{denied} packets denied; served after the file was read again"))
}

/// One address may not have more than its rate, and takes nothing from others.
fn rated(stage: &Stage<'_>, xdp: Xdp) -> Result<String> {
    let config = stage.bed.folder().join("rate.toml");
    let limits = format!("[limits]\nsource_rate = {RATE}\nsource_burst = {RATE}\n");
    fs::write(&config, limits).context("cannot write a gateway's configuration")?;
    let rung = rung(xdp);
    let launch: Launch = stage.launch(rung.flags()).configured(&config);
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    expect_mode(&gateway, rung.xdp, rung.selector)?;
    let [greedy, friend] = [Family::V4.source(0), Family::V4.source(1)];
    let start = clock::now();
    let way = Way { until: start + IMPATIENCE * 2, ..stage.way_from(&gateway, &[greedy]) };
    let tally = stage.team.churn(&way)?;
    // A machine that stood still has given more meanwhile.
    let most = RATE + (start.elapsed().as_secs_f64() * RATE as f64).ceil() as u64 + 1;
    ensure!(tally.served > 0 && tally.served <= most, "at most {most} of one address: {tally}");
    few(stage, &gateway, friend)?.expect(FEW)?;
    let metrics = gateway.metrics()?;
    let [rate, shed] = ["rate", "shed"].map(|verdict| packets(&metrics, verdict));
    ensure!(xdp == Xdp::None || rate + shed > 0, "no packet was refused: {tally}");
    Ok(format!(
        "{} of at most {most} served, {rate} packets over the rate, {shed} shed",
        tally.served
    ))
}

/// A few of one address, who stay only until they were served.
fn few(stage: &Stage<'_>, gateway: &Gateway<'_>, from: std::net::IpAddr) -> Result<Tally> {
    let (visitors, tally) = stage.team.gather(&stage.way_from(gateway, &[from]), FEW)?;
    visitors.into_iter().for_each(Visitor::reset);
    Ok(tally)
}

/// As [`few`], without waiting for long.
fn brief(stage: &Stage<'_>, gateway: &Gateway<'_>, from: std::net::IpAddr) -> Result<Tally> {
    let way = stage.way_from(gateway, &[from]);
    let way = Way { until: clock::now() + IMPATIENCE, ..way };
    let (visitors, tally) = stage.team.gather(&way, FEW)?;
    visitors.into_iter().for_each(Visitor::reset);
    Ok(tally)
}

fn packets(metrics: &Metrics, verdict: &str) -> u64 {
    let by_verdict = metrics.by("weir_steer_packets_total", "verdict");
    by_verdict.get(verdict).copied().unwrap_or_default()
}
