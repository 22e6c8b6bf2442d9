//! A seed means the same run in every process, and the command says what it found.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use sim::worlds::World;

const SEEDS: usize = 5;

fn sim(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(line.split_whitespace()).output().expect("the simulator starts")
}

/// What it prints, if it succeeds.
fn printed(line: &str) -> String {
    let output = sim(line);
    let text = String::from_utf8(output.stdout).expect("its output is text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn two_processes_agree_on_every_byte_and_no_two_seeds_do() {
    let line = format!("--seed 1 --runs {SEEDS} --world all");
    let first = printed(&line);
    assert_eq!(first, printed(&line));

    let hashes: Vec<&str> =
        first.lines().map(|line| line.split(' ').nth(2).unwrap_or_default()).collect();
    assert_eq!(hashes.len(), World::ALL.len() * SEEDS, "{first}");
    assert!(hashes.iter().all(|hash| hash.starts_with("hash=") && hash.len() == 5 + 16));
    let distinct: BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len(), "{first}");
}

#[test]
fn a_campaign_makes_each_run_twice_and_sums_it_once() {
    let text = printed("--twice --seed 1 --runs 3 --world model,mesh");
    assert!(text.contains("\nmesh: 3 runs (0 failed), "), "{text}");
    assert!(text.contains("\ntogether: 6 runs (0 failed), "), "{text}");
    assert!(text.contains("coverage of mesh is not judged: 3 of at least "), "{text}");
    assert!(text.ends_with("twice, with equal hashes\n"), "{text}");
}

#[test]
fn minutes_explore_from_the_seed_that_is_said_first_and_last() {
    let text = printed("--minutes 0.02 --world model --seed 70000");
    assert!(text.starts_with("seeds from 70000 on\n"), "{text}");
    assert!(text.ends_with("the first seed was 70000\n"), "{text}");
}

#[test]
fn a_failure_is_shrunk_and_told_with_the_command_that_replays_it() {
    let output = sim("--seed 1 --runs 50 --world mesh --quiet --mutant over-capacity");
    let text = String::from_utf8(output.stdout).expect("its output is text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    let replay = text.lines().find_map(|line| line.trim().strip_prefix("replay: cargo xtask sim "));
    let flags = replay.and_then(|flags| flags.strip_suffix(" --html failure.html"));
    let flags = flags.expect("it says how to replay it");
    assert!(flags.contains(" --mutant over-capacity") && flags.contains(" --actions "), "{flags}");
    // What is told of the replay is what was told of the failure.
    let again = sim(&flags.replace('\'', ""));
    let again = String::from_utf8(again.stdout).expect("its output is text");
    let head = |text: &str| text.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(head(&text), head(&again));
}

#[test]
fn bad_flags_are_a_usage_error() {
    for line in ["--world flat", "--html page.html --runs 2 --world mesh", "--mutant kindness"] {
        assert_eq!(sim(line).status.code(), Some(2), "{line}");
    }
}
