//! How steering begins and ends: a device that is taken, a process that dies, one that follows.

use std::cell::Cell;
use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::kept;
use crate::metrics::Metrics;
use crate::steer::bed::{DEVICE, Family, Side};
use crate::steer::beside::Beside;
use crate::steer::crowd::Tally;
use crate::steer::gateway::Launch;
use crate::steer::ground::Need;
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{CROWD, Scenario, Stage};
use crate::steer::team::Team;
use crate::steer::tools;
use crate::steer::visitor::Visitor;

/// Upgrades while visitors come and go.
const UPGRADES: usize = 3;
/// Looks in which nobody comes to a gateway that is followed by another one.
const QUIET_LOOKS: u32 = 5;
/// Visitors that come and go between two of them.
const SOME: u64 = 200;

const NATIVE: Rung =
    Rung { xdp: Xdp::Native, placement: Placement::Observe, selector: Selector::Program };

/// With flows that are remembered.
const CORE: Rung = Rung { placement: Placement::Core, ..NATIVE };

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("device that another program holds", taken),
        Scenario::new("killed: who is left in the group goes on", killed),
        Scenario::new("pinned upgrade under load", |stage| upgraded(stage, NATIVE))
            .needing(Need::Flag("--pin"))
            .needing(Need::Tool("mount")),
        Scenario::new("pinned upgrade under load, core", |stage| upgraded(stage, CORE))
            .needing(Need::Flag("--pin"))
            .needing(Need::Tool("mount")),
        Scenario::new("pinned: who fails to start takes nothing over", failed)
            .needing(Need::Flag("--pin"))
            .needing(Need::Tool("mount")),
    ]
}

/// Who finds a program on the device serves without, and says whose it is; or does not start, if
/// it was told to require it.
fn taken(stage: &Stage<'_>) -> Result<String> {
    let _first = stage.steer(NATIVE, &[])?;
    let elsewhere = |launch: Launch| launch.elsewhere().start(stage.bed, Family::V4.gateway());
    let error = match elsewhere(stage.launch(NATIVE.flags())) {
        Ok(_) => anyhow::bail!("it was told to require the device, and started without"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.contains(DEVICE), "it ends without saying which device is taken: {error}");
    let device = format!("{DEVICE}:native");
    let second = elsewhere(stage.launch(["--steer", "auto", "--iface", &device]))?;
    let mode = second.mode()?;
    ensure!(mode.get("xdp").is_some_and(|xdp| xdp == "none"), "{mode:?}");
    let said = second.said()?;
    let line = said.lines().find(|line| line.contains(DEVICE) && line.contains("program"));
    let line = line.with_context(|| format!("it does not say who holds the device:\n{said}"))?;
    stage.crowd(&second, CROWD / 10)?.into_iter().for_each(Visitor::reset);
    Ok(line.trim().to_owned())
}

/// A process that dies takes its programs along, and whoever is left in its group serves everyone.
fn killed(stage: &Stage<'_>) -> Result<String> {
    let first = stage.steer(NATIVE, &[])?;
    let way = stage.way(&first);
    let _left = Beside::join(stage.bed, first.addr())?;
    ensure!(programs(stage)?.contains("xdp"), "no program is seen on the device");
    first.signal(Signal::KILL)?;
    first.ended()?;
    let (visitors, tally) = stage.team.gather(&Team::patient(&way), CROWD)?;
    tally.expect(CROWD)?;
    let left = programs(stage)?;
    ensure!(!left.contains("xdp"), "a program is left on the device: {left}");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served by who is left, no program on the device"))
}

/// What `ip` says of the device.
fn programs(stage: &Stage<'_>) -> Result<String> {
    let side = stage.bed.name(Side::Gateway);
    tools::run("ip", &["-n", side, "-details", "link", "show", DEVICE])
}

/// Processes follow each other while visitors come and go: each takes over what is pinned, and
/// none of the visitors is turned away, or lost without being told to go; no counter goes back.
fn upgraded(stage: &Stage<'_>, rung: Rung) -> Result<String> {
    let pins = pins(stage)?;
    let flags = ["--pin", &pins];
    let mut serving = stage.steer(rung, &flags)?;
    let way = stage.way(&serving);
    let ((), tally): ((), Tally) = stage.meanwhile(&way, || {
        for _ in 0..UPGRADES {
            let next = stage.steer(rung, &flags)?;
            // Nobody comes to it any more; who has come and not asked yet would hear 503.
            let quiet = Cell::new((0, 0));
            serving.until("who came before has asked", |it| is_quiet(it, &quiet))?;
            let counted = serving.metrics()?;
            let (status, body) = serving.order("POST", "/drain")?;
            ensure!(status == 202, "POST /drain is answered {status}: {body}");
            std::mem::replace(&mut serving, next).ended()?;
            kept::counts_go_on(&counted, &serving.metrics()?)?;
            let before = serving.metrics()?.sum("weir_opened_total");
            let more = |it: &Metrics| it.sum("weir_opened_total") > before + SOME;
            serving.until("visitors come to who follows", more)?;
        }
        Ok(())
    })?;
    ensure!(tally.failures() == 0, "{UPGRADES} upgrades: {tally}");
    Ok(format!("{UPGRADES} upgrades, {tally} meanwhile"))
}

/// Whether all that it accepted have been let in, and nobody came for some looks.
fn is_quiet(seen: &Metrics, before: &Cell<(u64, u32)>) -> bool {
    let accepted = seen.sum("weir_accepted_total");
    let (then, looks) = before.get();
    let looks = if accepted == then { looks + 1 } else { 0 };
    before.set((accepted, looks));
    looks >= QUIET_LOOKS && accepted == seen.sum("weir_opened_total")
}

/// A start that ends with an error leaves the device to who serves: its program, with its list.
fn failed(stage: &Stage<'_>) -> Result<String> {
    let pins = pins(stage)?;
    let _first = stage.steer(NATIVE, &["--pin", &pins])?;
    let before = programs(stage)?;
    ensure!(before.contains("xdp"), "no program is seen on the device: {before}");
    let list = stage.bed.folder().join("broken");
    fs::write(&list, "deny nobody\n")?;
    let list = list.display().to_string();
    let launch = stage.launch(NATIVE.flags()).with(["--pin", &pins, "--guard", &list]);
    ensure!(launch.start(stage.bed, Family::V4.gateway()).is_err(), "it took a broken list");
    let after = programs(stage)?;
    ensure!(after == before, "the device was taken over:\n{before}\n{after}");
    Ok("the device is still the first one's".to_owned())
}

/// A folder of a BPF file system.
pub(super) fn pins(stage: &Stage<'_>) -> Result<String> {
    let folder = stage.bed.folder().join("bpf");
    fs::create_dir(&folder)?;
    let path = folder.display().to_string();
    tools::run("mount", &["-t", "bpf", "bpf", &path])?;
    Ok(format!("{path}/weir"))
}
