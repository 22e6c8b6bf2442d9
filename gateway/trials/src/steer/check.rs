//! Whether steering does what is said of it: scenarios, each in namespaces of its own.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::bed::{Bed, Cable};
use super::ground::{self, Ground, Need};
use super::rung::{Rung, Selector};
use super::scenario::{Scenario, Stage};
use super::scenarios;
use crate::clock;

/// What the gateway says where it may not load programs into the kernel, or nobody may.
const REFUSALS: [&str; 2] = ["not permitted", "does not have it: bpf(2)"];

/// What `weir-steer check` takes.
#[derive(Args, Debug)]
pub(super) struct Flags {
    /// The gateway to check
    #[arg(long, value_name = "PATH")]
    weir: PathBuf,
    /// Every scenario, and not only those of the short form
    #[arg(long)]
    full: bool,
    /// Only scenarios whose names hold this; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Say which scenarios there are, and play none
    #[arg(long)]
    list: bool,
}

/// What became of a scenario.
enum Outcome {
    Ok(String),
    Failed(String),
    Skipped(Need),
}

/// Plays scenarios, and tells of each; whether all is well.
///
/// # Errors
/// If there is no gateway to check, or nobody hears.
pub(super) fn run(flags: &Flags, out: &mut impl Write) -> Result<bool> {
    let chosen = chosen(flags)?;
    if flags.list {
        chosen.iter().try_for_each(|it| writeln!(out, "{}", it.name))?;
        return Ok(true);
    }
    let ground = survey(flags)?;
    let strict = ground::nothing_may_be_missing();
    let (mut ok, mut failed, mut skipped) = (0, 0, 0);
    for scenario in &chosen {
        let start = clock::now();
        let (word, note) = match outcome(scenario, &ground) {
            Outcome::Ok(note) => ("ok", note),
            Outcome::Skipped(need) if strict && need.is_of_the_machine() => {
                ("FAILED", format!("{need}, and nothing may be missing"))
            }
            Outcome::Skipped(need) => ("skipped", need.to_string()),
            Outcome::Failed(why) => ("FAILED", why),
        };
        match word {
            "ok" => ok += 1,
            "skipped" => skipped += 1,
            _ => failed += 1,
        }
        let secs = start.elapsed().as_secs_f64();
        writeln!(out, "{:<44} {word:<8} {secs:>5.1} s   {note}", scenario.name)?;
        out.flush()?;
    }
    writeln!(out, "\n{ok} ok, {failed} failed, {skipped} skipped")?;
    Ok(failed == 0)
}

fn chosen(flags: &Flags) -> Result<Vec<Scenario>> {
    let mut chosen = scenarios::all();
    let named = |it: &Scenario| flags.only.iter().any(|text| it.name.contains(text.as_str()));
    chosen.retain(|it| match flags.only.as_slice() {
        [] => flags.full || it.is_short,
        _ => named(it),
    });
    ensure!(!chosen.is_empty(), "no scenario has that in its name; --full --list names them all");
    Ok(chosen)
}

/// What is here, and whether the kernel takes programs from the gateway at all.
fn survey(flags: &Flags) -> Result<Ground> {
    let mut ground = Ground::survey(&flags.weir)?;
    let tries = ground.lacks_a_bed().is_none()
        && ground.lacks(&Need::BPF).is_none()
        && ground.has_flag("--steer");
    if tries {
        let bed = Bed::make(Cable::Native)?;
        let tried = Stage::new(&bed, &ground)?.steer(Rung::selector(Selector::Program), &[]);
        let refused = tried.as_ref().is_err_and(|error| {
            let said = format!("{error:#}");
            REFUSALS.iter().any(|words| said.contains(words))
        });
        drop(tried);
        bed.remove()?;
        ground.set_refused(refused);
    }
    Ok(ground)
}

fn outcome(scenario: &Scenario, ground: &Ground) -> Outcome {
    if let Some(lack) = ground.lacks_a_bed().or_else(|| ground.lacks(&scenario.needs)) {
        return Outcome::Skipped(lack);
    }
    match played(scenario, ground) {
        Ok(note) => Outcome::Ok(note),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Plays it in namespaces of its own, of which nothing may be left.
fn played(scenario: &Scenario, ground: &Ground) -> Result<String> {
    let bed = Bed::make(scenario.cable)?;
    let note = Stage::new(&bed, ground).and_then(|stage| (scenario.play)(&stage));
    let removed = bed.remove();
    let note = note?;
    removed?;
    Ok(note)
}
