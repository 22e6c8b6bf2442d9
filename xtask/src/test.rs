//! `cargo xtask test`: every check, step by step, and a table at the end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::ebpf::{self, Verified};
use crate::flags::{Measure, Step, Test};
use crate::invocation::Invocation;
use crate::packages::{self, Build};
use crate::report::{Outcome, Reason, Report};
use crate::skips::Skips;
use crate::steps::Plan;
use crate::{bench, nightly, steer, tidy, workspace};

/// The most that one command of a step may take. All of them together take some ten minutes on
/// two cores; a test that hangs must not keep the others from being heard.
const COMMAND_MAX: Duration = Duration::from_secs(30 * 60);

pub(crate) fn test(flags: &Test) -> Result<ExitCode> {
    let mut run = Run {
        may_install: !flags.no_install,
        full: flags.full,
        build: None,
        target: workspace::target_dir()?,
        files: tidy::tracked_files(&workspace::root())?,
    };
    let mut report = Report::default();
    for step in chosen(flags) {
        println!("\n== {}", name(step));
        let started = now();
        let outcome = run.outcome(step);
        report.add(name(step), outcome, started.elapsed());
    }
    print!("\n{report}");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps that were asked for, in their order, after what they rest on.
fn chosen(flags: &Test) -> Vec<Step> {
    let named = |step| flags.steps.contains(&step);
    let usual = |step| flags.steps.is_empty() && !is_long(step);
    let long = |step| flags.full && is_long(step);
    let steps = Step::value_variants().iter().copied();
    let mut steps: Vec<_> =
        steps.filter(|&step| named(step) || usual(step) || long(step)).collect();
    if !steps.contains(&Step::Packages) && !steps.iter().copied().all(is_plain) {
        steps.insert(0, Step::Packages);
    }
    steps
}

/// Whether a step takes longer than a change should wait.
fn is_long(step: Step) -> bool {
    step == Step::Bench
}

/// Whether a step does without building Weir.
fn is_plain(step: Step) -> bool {
    matches!(step, Step::Packages | Step::Tidy | Step::Format | Step::Ebpf)
}

struct Run {
    may_install: bool,
    /// Whether steps that have a longer form run that.
    full: bool,
    /// What can be built here, once the step `packages` has found out.
    build: Option<Build>,
    /// Where cargo puts what it builds.
    target: PathBuf,
    files: Vec<String>,
}

impl Run {
    fn outcome(&mut self, step: Step) -> Outcome {
        if step == Step::Packages {
            return self.packages();
        }
        let Some(build) = self.build.or_else(|| is_plain(step).then_some(Build::Whole)) else {
            return Outcome::Skipped(Reason::PackagesMissing);
        };
        if let Some(reason) = lacking(step) {
            return Outcome::Skipped(reason);
        }
        if step == Step::Tidy {
            passed(tidy::check())
        } else if step == Step::Ebpf {
            verified(ebpf::verify())
        } else if step == Step::Steer {
            steered(steer::check(build, self.may_install, self.full, COMMAND_MAX))
        } else if step == Step::Bench {
            passed(bench::measure_all(Measure::All, &["--smoke".into()]))
        } else {
            self.cargo(step, build)
        }
    }

    fn packages(&mut self) -> Outcome {
        match packages::ensure(self.may_install) {
            Ok(build) => {
                self.build = Some(build);
                Outcome::Passed
            }
            Err(error) => {
                println!("{error:#}");
                Outcome::Failed(Reason::PackagesMissing.to_string())
            }
        }
    }

    fn cargo(&self, step: Step, build: Build) -> Outcome {
        let host = is_nightly(step).then(nightly::host).flatten().unwrap_or_default();
        let (target, files) = (self.target.as_path(), self.files.as_slice());
        let plan = Plan { build, target, files, full: self.full, host: &host };
        let commands = plan.commands(step);
        if commands.is_empty() {
            return Outcome::Skipped(Reason::NothingToRun);
        }
        let skips = match Skips::begin(&self.target) {
            Ok(skips) => skips,
            Err(error) => return failed(error),
        };
        let (name, value) = skips.variable();
        let run = |command: Invocation| command.env(name, &value).run_within(COMMAND_MAX).err();
        // All of them, so that one run tells everything.
        let failures: Vec<_> = commands.into_iter().filter_map(run).collect();
        match failures.into_iter().next() {
            Some(error) => failed(error),
            None => skips.told().map_or(Outcome::Passed, Outcome::PassedBut),
        }
    }
}

fn passed(result: Result<()>) -> Outcome {
    result.map_or_else(failed, |()| Outcome::Passed)
}

fn steered(result: Result<Option<Reason>>) -> Outcome {
    result.map_or_else(failed, |lack| lack.map_or(Outcome::Passed, Outcome::Skipped))
}

fn verified(result: Result<Verified>) -> Outcome {
    match result {
        Ok(Verified::Rebuilt) => Outcome::Passed,
        Ok(Verified::Skipped(reason)) => Outcome::Skipped(Reason::NotRebuilt(reason)),
        Err(error) => failed(error),
    }
}

fn failed(error: anyhow::Error) -> Outcome {
    println!("{error:#}");
    Outcome::Failed(format!("{error:#}").lines().next().unwrap_or_default().to_owned())
}

/// What a step needs of this machine that is not there.
fn lacking(step: Step) -> Option<Reason> {
    if step == Step::Instructions {
        if !cfg!(target_arch = "x86_64") {
            return Some(Reason::OtherProcessor("x86-64"));
        }
        let is_there = Invocation::new("valgrind", ["--version"]).succeeds();
        return (!is_there).then_some(Reason::ProgramAbsent("valgrind"));
    }
    if is_nightly(step) {
        return absent_of_nightly(step);
    }
    absent_component(step).map(Reason::ComponentAbsent)
}

/// Whether a step needs what only a nightly compiler can do.
fn is_nightly(step: Step) -> bool {
    matches!(step, Step::Tsan | Step::Miri)
}

fn absent_of_nightly(step: Step) -> Option<Reason> {
    let Some(host) = nightly::host() else { return Some(Reason::NightlyAbsent) };
    if step == Step::Miri {
        let parts = [("miri", nightly::has_miri()), ("rust-src", nightly::has_library())];
        let absent = parts.into_iter().find(|(_, there)| !there);
        return absent.map(|(name, _)| Reason::NightlyLacks(name));
    }
    let watched = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
    (!watched.contains(&host.as_str())).then_some(Reason::OtherProcessor("64-bit Linux"))
}

/// The part of the toolchain that a step needs and that is not there.
fn absent_component(step: Step) -> Option<&'static str> {
    let parts = [(Step::Format, "rustfmt", "fmt"), (Step::Clippy, "clippy", "clippy")];
    let (_, component, probe) = parts.into_iter().find(|(of, ..)| *of == step)?;
    (!Invocation::cargo([probe, "--version"]).succeeds()).then_some(component)
}

fn name(step: Step) -> String {
    let value = step.to_possible_value().expect("no step is hidden");
    value.get_name().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the table tells how long each step really took")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(full: bool, steps: &[Step]) -> Vec<Step> {
        chosen(&Test { full, no_install: true, steps: steps.to_vec() })
    }

    #[test]
    fn all_steps_but_the_long_ones_run_unless_asked_for() {
        let usual = steps(false, &[]);
        assert!(usual.contains(&Step::Seeds) && !usual.contains(&Step::Bench));
        assert_eq!(steps(true, &[]), Step::value_variants());
    }

    #[test]
    fn steps_run_once_and_in_their_order() {
        assert_eq!(
            steps(false, &[Step::Format, Step::Tidy, Step::Format]),
            [Step::Tidy, Step::Format]
        );
    }

    #[test]
    fn a_step_that_builds_checks_the_packages_first() {
        assert_eq!(steps(false, &[Step::Unit]), [Step::Packages, Step::Unit]);
    }

    #[test]
    fn the_object_is_verified_without_any_package() {
        assert_eq!(steps(false, &[Step::Ebpf]), [Step::Ebpf]);
        assert!(steps(false, &[]).contains(&Step::Ebpf));
    }

    #[test]
    fn an_object_that_nothing_here_can_build_is_skipped_and_a_wrong_one_fails() {
        let reason = "built with another compiler".to_owned();
        let skipped = verified(Ok(Verified::Skipped(reason.clone())));
        assert_eq!(skipped, Outcome::Skipped(Reason::NotRebuilt(reason)));
        assert_eq!(verified(Ok(Verified::Rebuilt)), Outcome::Passed);
        let wrong = verified(Err(anyhow::anyhow!("older than its sources")));
        assert_eq!(wrong, Outcome::Failed("older than its sources".to_owned()));
    }

    #[test]
    fn full_adds_to_chosen_steps() {
        let chosen = steps(true, &[Step::Tidy]);
        assert_eq!(chosen, [Step::Packages, Step::Tidy, Step::Bench]);
    }

    #[test]
    fn without_packages_what_builds_is_skipped_and_says_why() {
        let mut run = Run {
            may_install: false,
            full: false,
            build: None,
            target: PathBuf::new(),
            files: Vec::new(),
        };
        assert_eq!(run.outcome(Step::Unit), Outcome::Skipped(Reason::PackagesMissing));
    }
}
