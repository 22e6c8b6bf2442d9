//! `cargo xtask bench`: whole processes measured beside the floor.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::flags::{Bench, Measure};
use crate::invocation::Invocation;
use crate::peers::{self, Wanted};
use crate::{packages, workspace};

pub(crate) fn bench(flags: &Bench) -> Result<ExitCode> {
    let Some(measure) = flags.name else {
        print!("{}", names());
        return Ok(ExitCode::SUCCESS);
    };
    measure_all(measure, &flags.args)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds and runs what `measure` stands for; a failing one does not stop the others.
///
/// # Errors
/// Names the measures that failed.
pub(crate) fn measure_all(measure: Measure, args: &[OsString]) -> Result<()> {
    let build = packages::ensure(false)?;
    if let Some(alone) = of_the_core(measure) {
        return alone.args(args).run();
    }
    // Apart, so that the server has the features that `cargo xtask run` gives it.
    Invocation::cargo(["build", "--release", "-p", "gateway", "--bin", "weir"])
        .args(build.flags())
        .run()?;
    Invocation::cargo(["build", "--release", "-p", "benches", "--bin", "weir-bench"]).run()?;
    let unless_asked = unless_asked(measure);
    let (wanted, args) = Wanted::of(args, unless_asked);
    let peers = peers::prepare(&wanted)?;

    let mut failed = Vec::new();
    for name in questions(measure) {
        if !weir_bench(&name)?.args(&peers).args(&args).status()?.success() {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Benches of functions, which need no server; their flags are to follow.
fn of_the_core(measure: Measure) -> Option<Invocation> {
    let benches: &[&str] = match measure {
        Measure::Micro => &["micro"],
        Measure::Parser => &["frame", "mask", "utf8"],
        Measure::Deflate => &["deflate"],
        Measure::Instructions => &["instructions"],
        Measure::Fanout
        | Measure::Echo
        | Measure::Idle
        | Measure::All
        | Measure::Macro
        | Measure::Latency
        | Measure::Growth => return None,
    };
    let named = benches.iter().flat_map(|bench| ["--bench", bench]);
    Some(Invocation::cargo(["bench", "-p", "benches"]).args(named).arg("--"))
}

fn weir_bench(name: &str) -> Result<Invocation> {
    let target = workspace::target_dir()?;
    let [weir, bench] =
        ["weir", "weir-bench"].map(|name| workspace::binary(&target, "release", name));
    Ok(Invocation::new(bench, [name]).arg("--weir").arg(weir))
}

/// Whom Weir is measured beside if nobody is named: others belong to what is read beside them.
fn unless_asked(measure: Measure) -> Wanted {
    match measure {
        Measure::Macro | Measure::Latency | Measure::Growth => Wanted::Present,
        Measure::Fanout
        | Measure::Echo
        | Measure::Idle
        | Measure::All
        | Measure::Instructions
        | Measure::Micro
        | Measure::Deflate
        | Measure::Parser => Wanted::none(),
    }
}

/// Names of the single questions that `measure` stands for, as `weir-bench` knows them.
fn questions(measure: Measure) -> Vec<String> {
    match measure {
        Measure::All => vec![name(Measure::Fanout), name(Measure::Echo), name(Measure::Idle)],
        Measure::Fanout
        | Measure::Echo
        | Measure::Idle
        | Measure::Macro
        | Measure::Latency
        | Measure::Growth
        | Measure::Instructions
        | Measure::Micro
        | Measure::Deflate
        | Measure::Parser => vec![name(measure)],
    }
}

fn name(measure: Measure) -> String {
    let value = measure.to_possible_value().expect("no measure is hidden");
    value.get_name().to_owned()
}

fn names() -> String {
    let lines = Measure::value_variants().iter().map(|measure| {
        let value = measure.to_possible_value().expect("no measure is hidden");
        let help = value.get_help().expect("each measure has a sentence");
        format!("  {:<14}{help}\n", value.get_name())
    });
    format!("cargo xtask bench NAME [ARGS], where NAME is one of\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stands_for_each_question_once() {
        assert_eq!(questions(Measure::All), ["fanout", "echo", "idle"]);
        assert_eq!(questions(Measure::Macro), ["macro"]);
        assert_eq!(questions(Measure::Echo), ["echo"]);
    }

    #[test]
    fn what_is_read_beside_others_takes_them_along() {
        for measure in [Measure::Macro, Measure::Latency, Measure::Growth] {
            assert_eq!(unless_asked(measure), Wanted::Present);
        }
        assert_eq!(unless_asked(Measure::Fanout), Wanted::none());
    }

    #[test]
    fn benches_of_the_core_take_flags_of_their_own() {
        let line = |measure| of_the_core(measure).map(|bench| bench.arg("--rounds").to_string());
        let told = "cargo bench -p benches --bench instructions -- --rounds";
        assert_eq!(line(Measure::Instructions).as_deref(), Some(told));
        let told = "cargo bench -p benches --bench frame --bench mask --bench utf8 -- --rounds";
        assert_eq!(line(Measure::Parser).as_deref(), Some(told));
        assert_eq!(line(Measure::Echo), None);
    }

    #[test]
    fn the_list_names_each_measure_with_its_sentence() {
        let names = names();
        assert!(names.contains("  fanout        What does one more member of a room cost?\n"));
        assert_eq!(names.lines().count(), 1 + Measure::value_variants().len());
    }
}
