//! What a process that takes over goes on with: counters, and what sources have used up.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::life::pins;
use crate::clock;
use crate::metrics::Metrics;
use crate::steer::bed::Family;
use crate::steer::crowd::{Tally, Way};
use crate::steer::gateway::Gateway;
use crate::steer::ground::Need;
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{Scenario, Stage, expect_mode};

/// New connections that a source may have at once; one a second comes back.
const BURST: u64 = 60;
/// How long a source tries.
const TRIES: Duration = Duration::from_millis(700);
/// Visitors that are counted.
const FEW: usize = 20;

/// What is counted by the programs, with the label by which it is told apart.
const COUNTED: [(&str, &str); 5] = [
    ("weir_steer_packets_total", "verdict"),
    ("weir_steer_skipped_total", "reason"),
    ("weir_steer_redirects_total", "cpu"),
    ("weir_steer_placed_total", ""),
    ("weir_steer_spilled_total", ""),
];

const NATIVE: Rung =
    Rung { xdp: Xdp::Native, placement: Placement::Observe, selector: Selector::Program };

pub(super) fn scenarios() -> Vec<Scenario> {
    let pinned =
        |scenario: Scenario| scenario.needing(Need::Flag("--pin")).needing(Need::Tool("mount"));
    vec![
        pinned(Scenario::new("pinned: a source that has had its rate gets no more", limited)),
        pinned(Scenario::new("pinned: a map of another form is begun anew", begun_anew)),
    ]
}

/// # Errors
/// If nothing was counted before, or something is less afterwards.
pub(super) fn counts_go_on(before: &Metrics, after: &Metrics) -> Result<()> {
    ensure!(before.sum("weir_steer_placed_total") > 0, "no choice of a listener was counted");
    for (name, label) in COUNTED {
        let now = after.by(name, label);
        for (series, then) in before.by(name, label) {
            let now = now.get(&series).copied().unwrap_or_default();
            ensure!(now >= then, "{name} {series}: {then} before, and then {now}");
        }
    }
    Ok(())
}

/// A source has what it may have at once, and is over its rate; the process that follows gives it
/// no more than the time that has passed.
fn limited(stage: &Stage<'_>) -> Result<String> {
    let pins = pins(stage)?;
    let first = bounded(stage, &pins)?;
    let start = clock::now();
    let before = greedy(stage, &first)?;
    ensure!(before.served > BURST / 2, "it was to have its burst: {before}");
    let next = bounded(stage, &pins)?;
    first.order("POST", "/drain")?;
    first.ended()?;
    let after = greedy(stage, &next)?;
    let most = BURST + earned(start);
    let both = before.served + after.served;
    ensure!(both <= most, "at most {most} of one source: {before}, and then {after}");
    let friend = stage.way_from(&next, &[Family::V4.source(1)]);
    stage.team.gather(&friend, FEW)?.1.expect(FEW)?;
    Ok(format!("{} served, and {} of at most {most} after the upgrade", before.served, both))
}

/// Tokens that have come back since then; a machine that stood still has given more.
fn earned(since: Instant) -> u64 {
    since.elapsed().as_secs() + 2
}

/// A gateway whose sources are bounded.
fn bounded<'a>(stage: &Stage<'a>, pins: &str) -> Result<Gateway<'a>> {
    let config = stage.bed.folder().join("rate.toml");
    let limits = format!("[limits]\nsource_rate = 1\nsource_burst = {BURST}\n");
    fs::write(&config, limits).context("cannot write a gateway's configuration")?;
    let launch = stage.launch(NATIVE.flags()).with(["--pin", pins]).configured(&config);
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    expect_mode(&gateway, NATIVE.xdp, NATIVE.selector)?;
    Ok(gateway)
}

/// One source that comes again and again, for a while.
fn greedy(stage: &Stage<'_>, gateway: &Gateway<'_>) -> Result<Tally> {
    let from: IpAddr = Family::V4.source(0);
    let way = stage.way_from(gateway, &[from]);
    stage.team.churn(&Way { until: clock::now() + TRIES, ..way })
}

/// A map that is not what the programs need is left to who uses it, and said; everything is served
/// and counted from the beginning.
fn begun_anew(stage: &Stage<'_>) -> Result<String> {
    let pins = pins(stage)?;
    let first = stage.steer(NATIVE, &["--pin", &pins])?;
    drop(stage.crowd(&first, FEW)?);
    let before = placed(&first)?;
    let maps = Path::new(&pins).join("v1");
    fs::rename(maps.join("map-SOURCES"), maps.join("map-COUNTERS"))?;
    let next = stage.steer(NATIVE, &["--pin", &pins])?;
    let said = next.said()?;
    let line = said.lines().find(|line| line.contains("begun anew"));
    let line = line.with_context(|| format!("it does not say so:\n{said}"))?;
    let anew = placed(&next)?;
    ensure!(anew < before, "{before} were counted before, and {anew} by new counters");
    first.order("POST", "/drain")?;
    first.ended()?;
    drop(stage.crowd(&next, FEW)?);
    ensure!(maps.join("map-SOURCES").exists(), "a new map is not pinned");
    Ok(line.trim().to_owned())
}

/// Listeners that the programs say they have chosen.
fn placed(gateway: &Gateway<'_>) -> Result<u64> {
    let metrics = gateway.metrics()?;
    Ok(metrics.sum("weir_steer_placed_total") + metrics.sum("weir_steer_spilled_total"))
}
