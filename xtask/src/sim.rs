//! `cargo xtask sim`: the simulator, with its flags passed through, and what of it a change must
//! pass.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::flags::Sim;
use crate::invocation::Invocation;
use crate::packages::{self, Build};
use crate::{threads, workspace};

/// Seeds of the mesh that `cargo xtask test --full` runs.
const FRESH_SEEDS: u64 = 10_000;
/// Minutes for which it explores the other worlds.
const FRESH_MINUTES: u64 = 3;
/// The first seed of a check where there is no commit to take it from.
const SEED_WITHOUT_COMMIT: u64 = 1_000_000;

pub(crate) fn sim(flags: Sim) -> Result<ExitCode> {
    packages::ensure(false)?;
    let Sim { mut args } = flags;
    if asks_for_all_mutants(&args) {
        args.extend(["--twins".into(), twins()?.into()]);
    }
    match simulator().args(args).become_it()? {}
}

fn asks_for_all_mutants(args: &[OsString]) -> bool {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    has("--mutants") && !has("--mutant") && !has("--help")
}

/// Has loom search for the faults that are compiled in; the file of what was said about each.
fn twins() -> Result<PathBuf> {
    let target = workspace::target_dir()?;
    let path = target.join("twins.txt");
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    // Whether all were found is said with all others. One thread alone would begin a test's line
    // before the test speaks, so that nobody finds its end.
    threads::loom(&target).args(["--", "twin_", "--test-threads", "2"]).status_into(file)?;
    Ok(path)
}

/// Every seed that ever failed and a fixed number of others, which follow from the commit: the same
/// commit runs the same ones, the next one others. Built as the tests of the workspace are, the
/// simulator is there already.
pub(crate) fn check(build: Build, target: &Path) -> [Invocation; 2] {
    let first = first_seed(Invocation::new("git", ["rev-parse", "HEAD"]).output().as_deref());
    let built = Invocation::cargo(["build", "--workspace", "--bin", "sim"]).args(build.flags());
    let sim = workspace::binary(target, "debug", "sim");
    let first = first.to_string();
    [built, Invocation::new(sim, ["--check", "--quiet", "--seed", &first])]
}

/// The first half of a word of the commit's name.
fn first_seed(commit: Option<&str>) -> u64 {
    let seed = commit.and_then(|name| u64::from_str_radix(name.get(..8)?, 16).ok());
    seed.unwrap_or_else(|| {
        println!("there is no commit here: the seeds are those from {SEED_WITHOUT_COMMIT} on");
        SEED_WITHOUT_COMMIT
    })
}

/// Seeds that no run has had before, as good as certainly. What breaks is said with the command
/// that replays it.
pub(crate) fn fresh_seeds() -> [Invocation; 2] {
    // Half of a random word: far from the seeds that every run has, and still readable.
    let first = RandomState::new().build_hasher().finish() >> 32;
    let (first, runs, minutes) =
        (first.to_string(), FRESH_SEEDS.to_string(), FRESH_MINUTES.to_string());
    let mesh = ["--world", "mesh", "--twice", "--quiet", "--seed", &first, "--runs", &runs];
    let others =
        ["--world", "model,turmoil,cluster", "--quiet", "--seed", &first, "--minutes", &minutes];
    [simulator().args(mesh), simulator().args(others)]
}

fn simulator() -> Invocation {
    Invocation::cargo(["run", "--profile", "campaign", "-p", "sim", "--bin", "sim", "--"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_seeds_are_not_those_of_the_last_time() {
        assert_ne!(fresh_seeds(), fresh_seeds());
        let line = fresh_seeds()[0].to_string();
        assert!(line.contains(" --world mesh --twice --quiet --seed "), "{line}");
        assert!(line.ends_with(" --runs 10000"), "{line}");
    }

    #[test]
    fn the_seeds_of_a_check_follow_from_the_commit() {
        let commit = "0000002a6b3d9c3c0ea16a7c7b6dc6d6ea2e4e23\n";
        assert_eq!(first_seed(Some(commit)), 42);
        assert_eq!(first_seed(None), SEED_WITHOUT_COMMIT);
        assert_eq!(first_seed(Some("")), SEED_WITHOUT_COMMIT);
    }

    #[test]
    fn loom_is_asked_only_when_all_faults_are() {
        let args = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_all_mutants(&args("--mutants")));
        assert!(!asks_for_all_mutants(&args("--mutants --mutant early-ack")));
        assert!(!asks_for_all_mutants(&args("--seed 7")));
    }
}
