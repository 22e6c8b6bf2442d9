//! What steering needs of privilege: what is stated and no more, and nothing on the lower rungs.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::steer::bed::Family;
use crate::steer::gateway::Gateway;
use crate::steer::ground::{Need, effective};
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{CROWD, Scenario, Stage, expect_mode};
use crate::steer::visitor::Visitor;

/// Somebody who is nobody.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
/// What is stated.
const STATED: &str = "-all,+bpf,+net_admin,+perfmon";
const NOTHING: &str = "-all";

pub(super) fn scenarios() -> Vec<Scenario> {
    let setpriv = |scenario: Scenario| scenario.needing(Need::Tool("setpriv"));
    let mut all = vec![setpriv(Scenario::new("exactly the stated capabilities", stated))];
    for selector in [Selector::IncomingCpu, Selector::Cbpf, Selector::Hash] {
        let name = format!("no capability, {}", selector.name());
        let play = move |stage: &Stage<'_>| named_without(stage, selector);
        all.push(setpriv(Scenario::new(name, play).without_bpf()));
    }
    let auto = Scenario::new("no capability, whatever there is", auto_without).without_bpf();
    all.push(setpriv(auto));
    let bottom = Scenario::new("bottom rung: nothing at all", bottom).without_flags().short();
    all.push(setpriv(bottom));
    all
}

/// The words that run a program as nobody, with these capabilities and no way to others.
fn as_nobody(capabilities: &str) -> Vec<String> {
    let mut words = vec!["setpriv".to_owned()];
    words.extend(NOBODY.map(str::to_owned));
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        words.push(format!("--{set}={capabilities}"));
    }
    words.push("--no-new-privs".to_owned());
    words
}

/// It attaches all that it attaches with what is stated, and gives it up then.
fn stated(stage: &Stage<'_>) -> Result<String> {
    let rung = Rung { xdp: Xdp::Native, placement: Placement::Core, selector: Selector::Program };
    let launch = stage.launch(rung.flags()).run_by(&as_nobody(STATED));
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    expect_mode(&gateway, rung.xdp, rung.selector)?;
    none_is_left(&gateway)?;
    stage.crowd(&gateway, CROWD)?.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served, no capability left"))
}

/// No thread has any: each has its own, and one that was started before would keep them.
fn none_is_left(gateway: &Gateway<'_>) -> Result<()> {
    let process = gateway.proc("status")?;
    let id = process.lines().find_map(|line| line.strip_prefix("Pid:"));
    let id = id.context("the system does not say which process it is")?.trim();
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let number = thread?.file_name();
        let status = gateway.proc(&format!("task/{}/status", number.display()))?;
        let name = status.lines().next().unwrap_or_default();
        let left = effective(&status).context("the system does not say")?;
        ensure!(left == 0, "capabilities {left:#x} are left after attaching: thread {name}");
    }
    Ok(())
}

/// A lower rung that was named is had without any privilege.
fn named_without(stage: &Stage<'_>, selector: Selector) -> Result<String> {
    let launch = stage.launch(Rung::selector(selector).flags()).run_by(&as_nobody(NOTHING));
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    expect_mode(&gateway, Xdp::None, selector)?;
    stage.crowd(&gateway, CROWD)?.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served"))
}

/// Without privilege and without flags the ladder ends on a rung that follows the CPU.
fn auto_without(stage: &Stage<'_>) -> Result<String> {
    let launch = stage.launch([""; 0]).run_by(&as_nobody(NOTHING));
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    expect_mode(&gateway, Xdp::None, Selector::IncomingCpu)?;
    stage.crowd(&gateway, CROWD)?.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served by {}", Selector::IncomingCpu.name()))
}

/// Plain `SO_REUSEPORT` serves the same visitors.
fn bottom(stage: &Stage<'_>) -> Result<String> {
    let flags: &[&str] = if stage.can_steer() { &["--steer", "off"] } else { &[] };
    let launch = stage.launch(flags.iter().copied()).run_by(&as_nobody(NOTHING));
    let gateway = launch.start(stage.bed, Family::V4.gateway())?;
    let mut visitors = stage.crowd(&gateway, CROWD)?;
    stage.team.echo_once(&mut visitors)?;
    let left = effective(&gateway.proc("status")?).context("the system does not say")?;
    ensure!(left == 0, "it has capabilities {left:#x} after all");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{CROWD} served"))
}
