//! A campaign per world: every promise holds, no schedule repeats, and nothing is left untried.

use std::collections::BTreeSet;

use sim::scenario::{Coverage, World, run};

const SEEDS: u64 = 100;

/// Runs the seeds; what happened over all of them, and how many schedules there were.
fn campaign(world: World) -> (Coverage, usize) {
    let mut coverage = Coverage::default();
    let mut hashes = BTreeSet::new();
    for seed in 1..=SEEDS {
        match run(seed, world) {
            Ok(report) => {
                coverage += report.coverage;
                hashes.insert(report.hash);
            }
            Err(failure) => panic!(
                "seed {seed}: {}\n{}\nreplay: cargo xtask sim --seed {seed} --world {world}",
                failure.what,
                failure.lines.join("\n")
            ),
        }
    }
    (coverage, hashes.len())
}

fn assert_thorough(world: World) {
    let (coverage, schedules) = campaign(world);
    assert_eq!(schedules as u64, SEEDS, "a schedule came twice");
    for (what, count) in coverage.rows() {
        assert!(count > 0, "{SEEDS} seeds in {world} saw no {what}: {coverage:?}");
    }
}

#[test]
fn a_hundred_seeds_keep_every_promise_in_the_model_world() {
    assert_thorough(World::Model);
}

#[test]
fn a_hundred_seeds_keep_every_promise_in_turmoil() {
    assert_thorough(World::Turmoil);
}
