//! The harness against itself: the bare server stands in Weir's place.

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const BENCH: &str = env!("CARGO_BIN_EXE_weir-bench");

/// Looks at the program, of which one that takes longer has failed: five minutes of them.
const LOOKS_MAX: u32 = 30_000;
const LOOK: Duration = Duration::from_millis(10);

/// Asks a question about `weir`, on one CPU, as the machine may not have two.
fn ask(question: &str, weir: &str, more: &[&str]) -> Output {
    let mut command = Command::new(BENCH);
    command.args([question, "--weir", weir, "--smoke", "--cores", "0", "--load-core", "0"]);
    command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program that is tested starts");
    // What it says fits into its pipes.
    let ended = (0..LOOKS_MAX).any(|_| {
        thread::sleep(LOOK);
        child.try_wait().expect("it can be waited for").is_some()
    });
    if !ended {
        child.kill().expect("it runs");
    }
    let output = child.wait_with_output().expect("it can be read");
    assert!(ended, "{question} comes to no end: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the harness speaks UTF-8")
}

fn count(said: &str, word: &str) -> usize {
    said.matches(word).count()
}

#[test]
fn every_question_is_answered_and_nothing_is_lost() {
    let file = std::env::temp_dir().join(format!("weir-bench-{}.json", std::process::id()));
    let path = file.to_str().expect("the temporary folder has a plain name");
    let output = ask("all", BENCH, &["--json", path]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    // One at a time and 16 at a time, of fan-out and of echo.
    assert_eq!(count(said, "lost 0 of"), 4, "{said}");
    assert_eq!(count(said, "weir / floor"), 4, "{said}");
    assert_eq!(count(said, "floor / loop"), 2, "{said}");
    assert_eq!(count(said, "bytes of user memory per connection"), 3, "{said}");
    let written = std::fs::read_to_string(&file).expect("the numbers were asked for");
    std::fs::remove_file(&file).expect("the file is ours");
    assert_eq!(count(&written, "\"verdict\":"), 8, "{written}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let output = ask("echo", "/nonexistent/weir", &[]);
    assert_eq!(output.status.code(), Some(1));
    let why = text(&output.stderr);
    assert!(why.contains("cannot start /nonexistent/weir"), "{why}");
}

#[test]
fn the_last_words_of_a_program_that_does_not_serve_are_repeated() {
    // A shell takes the word for a script, and complains that there is none.
    let output = ask("echo", "/bin/sh", &[]);
    assert_eq!(output.status.code(), Some(1));
    let why = text(&output.stderr);
    let (what, said) = why.split_once("it said: ").expect("what it said is repeated");
    assert!(what.contains("weir: it ended before it listened"), "{why}");
    assert!(said.contains("serve"), "{why}");
}

#[test]
fn a_missed_goal_fails_only_where_that_is_asked_for() {
    // So short a run may miss or meet its goals; the exit code says what was printed.
    let output = ask("fanout", BENCH, &["--strict"]);
    let missed = text(&output.stdout).contains("MISSED");
    assert_eq!(output.status.success(), !missed);
}

#[test]
fn several_shards_are_compared_with_one() {
    // The bare server passes everything on to everyone, so that it cannot stand in for pairs.
    let output = ask("fanout", BENCH, &["--shards", "2", "--pair-rooms", "0"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert_eq!(count(said, "shards / weir"), 2, "{said}");
}
