//! `cargo xtask bench`: whole processes measured beside the floor.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::flags::{Bench, Measure};
use crate::invocation::Invocation;
use crate::peers::{self, Wanted};
use crate::{packages, steer, workspace};

/// What `micro` runs, since Criterion's own help does not know.
const MICRO_HELP: &str = "\
Criterion's benches of single ideas, without a kernel, each beside what it is compared with:

  frame     messages read and headers written, beside other libraries
  mask      payloads unmasked, beside other libraries
  hub       somebody joins and leaves, echo, publish to 1,000 and in 1,000 rooms of two, a tick over
            10,000 who are idle
  outbox    what a refused tail costs: refused and drained at once, over 16 turns, and a member that
            is always a message behind
  envelope  what passes between shards for a message: built, cloned, read, and there and back
  ring      items from worker to worker, on one thread and between two, beside std's sync_channel
  registry  a room looked up, attached to, come and gone, among 1 and 100,000, beside a map behind
            one mutex

After hub, outbox, envelope, ring and registry stands how often each operation allocates.

cargo xtask bench micro [FILTER] [ARGS]
  FILTER    only what has this in its name, such as `outbox` or `hub/publish`
  ARGS      flags of Criterion's, such as --quick, --measurement-time 10, --save-baseline NAME
";

pub(crate) fn bench(flags: &Bench) -> Result<ExitCode> {
    let Some(measure) = flags.name else {
        print!("{}", names());
        return Ok(ExitCode::SUCCESS);
    };
    if measure == Measure::Micro && flags.args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{MICRO_HELP}");
        return Ok(ExitCode::SUCCESS);
    }
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
    if measure == Measure::Steer {
        return steer::measure(build, args);
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
        Measure::Micro => &["frame", "mask", "micro"],
        Measure::Parser => &["frame", "mask", "utf8"],
        Measure::Deflate => &["deflate"],
        Measure::Instructions => &["instructions"],
        Measure::Fanout
        | Measure::Echo
        | Measure::Idle
        | Measure::All
        | Measure::Macro
        | Measure::Latency
        | Measure::Growth
        | Measure::Steer => return None,
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
        | Measure::Steer
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
        | Measure::Steer
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
        let told = "cargo bench -p benches --bench frame --bench mask --bench micro -- --rounds";
        assert_eq!(line(Measure::Micro).as_deref(), Some(told));
        assert_eq!(line(Measure::Echo), None);
    }

    #[test]
    fn help_for_micro_names_each_group_and_builds_nothing() {
        let name = Some(Measure::Micro);
        let asked = bench(&Bench { name, args: vec!["--help".into()] });
        assert!(asked.is_ok());
        for group in ["frame", "mask", "hub", "outbox", "envelope", "ring", "registry"] {
            assert!(MICRO_HELP.contains(&format!("\n  {group} ")), "{group}");
        }
    }

    #[test]
    fn the_list_names_each_measure_with_its_sentence() {
        let names = names();
        assert!(names.contains("  fanout        What does one more member of a room cost?\n"));
        assert_eq!(names.lines().count(), 1 + Measure::value_variants().len());
    }
}
