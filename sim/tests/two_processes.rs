//! A seed means the same run in every process.

use std::collections::BTreeSet;
use std::process::Command;

const SEEDS: usize = 5;

/// What the simulator prints for the first seeds in all three worlds.
fn output() -> String {
    let runs = SEEDS.to_string();
    let arguments = ["--seed", "1", "--runs", &runs, "--world", "all"];
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .expect("the simulator starts");
    let text = String::from_utf8(output.stdout).expect("its output is text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn two_processes_agree_on_every_byte_and_no_two_seeds_do() {
    let first = output();
    assert_eq!(first, output());

    let hashes: Vec<&str> =
        first.lines().map(|line| line.split(' ').nth(2).unwrap_or_default()).collect();
    assert_eq!(hashes.len(), 3 * SEEDS, "{first}");
    assert!(hashes.iter().all(|hash| hash.starts_with("hash=") && hash.len() == 5 + 16));
    let distinct: BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len(), "{first}");
}

#[test]
fn bad_flags_are_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["--world", "flat"]).output();
    assert_eq!(output.expect("the simulator starts").status.code(), Some(2));
}
