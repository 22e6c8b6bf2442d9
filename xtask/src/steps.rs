//! Which cargo commands each step of `cargo xtask test` stands for.

use std::path::Path;

use crate::flags::Step;
use crate::invocation::Invocation;
use crate::packages::Build;
use crate::{sim, threads};

/// What the commands of a step depend on.
pub(crate) struct Plan<'a> {
    /// What can be built here.
    pub(crate) build: Build,
    /// Whether steps that have a longer form run that.
    pub(crate) full: bool,
    /// Where cargo puts what it builds.
    pub(crate) target: &'a Path,
    /// The files of the checkout, relative to its top.
    pub(crate) files: &'a [String],
    /// The system that the nightly compiler builds for, where a step needs that compiler.
    pub(crate) host: &'a str,
}

impl Plan<'_> {
    /// The commands of a step, in order; none if it has nothing to run, or is no matter of cargo.
    ///
    /// Steps name the whole workspace wherever they can: with fewer packages chosen, cargo
    /// would unify features differently and build nearly everything once more.
    pub(crate) fn commands(&self, step: Step) -> Vec<Invocation> {
        match step {
            Step::Packages | Step::Tidy | Step::Ebpf | Step::Steer | Step::Bench => Vec::new(),
            Step::Format => vec![Invocation::cargo(["fmt", "--all", "--check"])],
            Step::Clippy => {
                vec![self.workspace("clippy", &["--all-targets"]).args(["--", "-D", "warnings"])]
            }
            Step::Unit => vec![self.workspace("test", &["--no-fail-fast", "--lib", "--bins"])],
            Step::Doc => vec![
                self.workspace("test", &["--no-fail-fast", "--doc"]),
                self.workspace("doc", &["--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
            ],
            Step::Integration => self.named_tests(|package| package != "sim"),
            Step::Simulated => self.named_tests(|package| package == "sim"),
            Step::Portable => vec![
                Invocation::cargo(["check", "-p", "gateway", "--no-default-features"]),
                self.portable(),
            ],
            Step::Loom => vec![threads::loom(self.target)],
            Step::Shuttle => vec![threads::shuttle(self.target)],
            Step::Tsan => threads::tsan(self.target, self.host, self.full),
            Step::Miri => vec![threads::miri(self.target)],
            Step::Instructions => vec![
                Invocation::cargo(["bench", "-p", "benches", "--bench", "instructions"])
                    .args(["--", "--check", "--rounds", "300"]),
            ],
            Step::Seeds => {
                let check = sim::check(self.build, self.target).into_iter();
                check.chain(sim::fresh_seeds().into_iter().filter(|_| self.full)).collect()
            }
        }
    }

    fn workspace(&self, command: &str, args: &[&str]) -> Invocation {
        Invocation::cargo([command, "--workspace"]).args(self.build.flags()).args(args)
    }

    /// One command for the integration tests of the packages in these folders.
    fn named_tests(&self, of: impl Fn(&str) -> bool) -> Vec<Invocation> {
        let mut names: Vec<_> = integration_tests(self.files)
            .filter(|(folder, _)| of(folder))
            .map(|(_, name)| name)
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Vec::new();
        }
        let args = names.iter().flat_map(|name| ["--test", name]);
        vec![self.workspace("test", &["--no-fail-fast"]).args(args)]
    }

    /// A few tests over real sockets with the code that other systems take.
    fn portable(&self) -> Invocation {
        Invocation::cargo(["test", "-p", "gateway", "--no-default-features"])
            .args(["--test", "paths", "--test", "ports"])
            .arg("--target-dir")
            .arg(self.target.join("portable"))
            .env("RUSTFLAGS", "--cfg tokio_unstable --cfg weir_portable")
    }
}

/// Folder of the package and name of each integration test that cargo discovers.
fn integration_tests(files: &[String]) -> impl Iterator<Item = (&str, &str)> {
    files.iter().filter_map(|path| {
        let (folder, test) = path.split_once("/tests/")?;
        let test = test.strip_suffix(".rs")?;
        let name = test.strip_suffix("/main").unwrap_or(test);
        let manifest = format!("{folder}/Cargo.toml");
        (!name.contains('/') && files.contains(&manifest)).then_some((folder, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(build: Build, files: &[&str], step: Step) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|path| (*path).to_owned()).collect();
        let target = Path::new("target");
        let plan = Plan { build, target, files: &files, full: false, host: "a-b-c" };
        plan.commands(step).iter().map(ToString::to_string).collect()
    }

    const FILES: [&str; 7] = [
        "gateway/Cargo.toml",
        "gateway/tests/broadcast.rs",
        "gateway/tests/common/mod.rs",
        "gateway/tests/limits/main.rs",
        "gateway/src/tests/unit.rs",
        "sim/Cargo.toml",
        "sim/tests/same_trace.rs",
    ];

    #[test]
    fn integration_names_the_tests_that_cargo_would_find() {
        assert_eq!(
            lines(Build::Whole, &FILES, Step::Integration),
            ["cargo test --workspace --no-fail-fast --test broadcast --test limits"]
        );
    }

    #[test]
    fn simulated_tests_are_a_step_of_their_own() {
        assert_eq!(
            lines(Build::Whole, &FILES, Step::Simulated),
            ["cargo test --workspace --no-fail-fast --test same_trace"]
        );
    }

    #[test]
    fn a_step_without_tests_has_no_command() {
        assert!(lines(Build::Whole, &["sim/Cargo.toml"], Step::Simulated).is_empty());
    }

    #[test]
    fn seeds_are_run_by_the_simulator_that_the_tests_were_built_with() {
        let lines = lines(Build::Whole, &FILES, Step::Seeds);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "cargo build --workspace --bin sim");
        assert!(lines[1].starts_with("target/debug/sim --check --quiet --seed "), "{lines:?}");
    }

    #[test]
    fn with_full_more_seeds_are_run_optimised() {
        let target = Path::new("target");
        let (build, files) = (Build::Whole, &[]);
        let plan = Plan { build, full: true, target, files, host: "a-b-c" };
        let lines: Vec<_> = plan.commands(Step::Seeds).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[2..].iter().all(|line| line.contains(" --profile campaign ")), "{lines:?}");
    }

    #[test]
    fn other_systems_code_has_its_own_flags_and_its_own_folder() {
        assert_eq!(
            lines(Build::Whole, &[], Step::Portable),
            [
                "cargo check -p gateway --no-default-features",
                "RUSTFLAGS='--cfg tokio_unstable --cfg weir_portable' cargo test -p gateway \
                 --no-default-features --test paths --test ports --target-dir target/portable",
            ]
        );
    }

    #[test]
    fn a_portable_build_leaves_features_out_of_every_workspace_command() {
        for step in [Step::Clippy, Step::Unit, Step::Doc, Step::Integration] {
            for line in lines(Build::Portable, &FILES, step) {
                assert!(line.contains(" --workspace --no-default-features "), "{line}");
            }
        }
    }
}
