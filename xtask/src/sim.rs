//! `cargo xtask sim`: the simulator, with its flags passed through.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;

use anyhow::Result;

use crate::flags::Sim;
use crate::invocation::Invocation;
use crate::packages;

/// Seeds of the mesh that `cargo xtask test --full` runs.
const FRESH_SEEDS: u64 = 10_000;

pub(crate) fn sim(flags: Sim) -> Result<ExitCode> {
    packages::ensure(false)?;
    match simulator().args(flags.args).become_it()? {}
}

/// Seeds in the mesh that no run has had before, as good as certainly. What breaks is said with the
/// command that replays it.
pub(crate) fn fresh_seeds() -> Invocation {
    // Half of a random word: far from the seeds that every run has, and still readable.
    let first = RandomState::new().build_hasher().finish() >> 32;
    let (first, runs) = (first.to_string(), FRESH_SEEDS.to_string());
    simulator().args(["--world", "mesh", "--quiet", "--seed", &first, "--runs", &runs])
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
        let line = fresh_seeds().to_string();
        assert!(line.contains(" --world mesh --quiet --seed "), "{line}");
        assert!(line.ends_with(" --runs 10000"), "{line}");
    }
}
