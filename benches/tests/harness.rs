//! The harness against itself: the bare server stands in Weir's place.

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

/// Runs a question that is told as a page; returns what it said, the page and the numbers.
fn told(question: &str, more: &[&str]) -> [String; 3] {
    let name = format!("weir-bench-{question}-{}", std::process::id());
    let files = ["html", "json"].map(|kind| std::env::temp_dir().join(format!("{name}.{kind}")));
    let [html, json] =
        files.each_ref().map(|file| file.to_str().expect("the temporary folder has a plain name"));
    let output = ask(question, BENCH, &[&["--html", html, "--json", json], more].concat());
    let said = text(&output.stdout).to_owned();
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let [page, numbers] = files.map(|file| {
        let written = std::fs::read_to_string(&file).expect("the file was asked for");
        std::fs::remove_file(&file).expect("the file is ours");
        written
    });
    [said, page, numbers]
}

#[test]
fn the_macro_run_measures_every_row_and_ends_with_the_table() {
    let [said, page, numbers] = told("macro", &[]);
    // The bare server is one shard whatever it is told, so that all take part in all rows.
    let (_, table) = said.split_once("measured (least..most)\n").expect("the table comes last");
    assert_eq!(count(table, "FAILED"), 0, "{said}");
    assert_eq!(count(&said, "lost 0 of"), 11, "{said}");
    assert_eq!(count(table, "weir / floor"), 11, "{table}");
    assert_eq!(count(table, "weir-4 / weir"), 4, "{table}");
    assert_eq!(count(table, "floor / loop"), 4, "{table}");
    assert_eq!(count(&page, "<figure>"), 12, "{page}");
    assert_eq!(count(&numbers, "\"failure\":\"\""), 12, "{numbers}");
    // Each row names what it counts, and eight of them messages that reach somebody else.
    assert_eq!(count(&said, "deliveries, none twice or out of order"), 8, "{said}");
    assert_eq!(count(&said, "echoes, none twice or out of order"), 2, "{said}");
    assert_eq!(count(&said, "connections, none refused"), 1, "{said}");
    assert!(said.contains("ksoftirqd"), "it is counted, or told that it is not: {said}");
    assert!(numbers.contains("\"softirq_share\":"), "{numbers}");
    for name in ["floor", "loop", "io_uring", "memfd", "weir", "weir-2", "weir-4"] {
        assert_eq!(count(&page, &format!("<dt>{name}</dt>")), 1, "{page}");
    }
}

#[test]
fn only_the_rows_that_are_asked_for_are_measured() {
    let [said, page, _] = told("macro", &["--rows", "pairs,echo16"]);
    assert_eq!(count(&page, "<figure>"), 2, "{said}");
    let output = ask("macro", BENCH, &["--rows", "nothing"]);
    assert!(text(&output.stderr).contains("room-15000"), "it says which there are");
}

#[test]
fn latencies_are_told_for_each_load() {
    let [said, page, numbers] = told("latency", &[]);
    assert_eq!(count(&numbers, "\"name\":\"weir\""), 3, "{said}");
    // The floor and Weir, and not the floor's other ways to send, in each of three figures.
    assert_eq!(count(&page, "<polyline"), 6, "{page}");
    assert_eq!(count(&page, "<span class=\"line"), 6, "{page}");
    assert_eq!(count(&page, ">load, of what each server can do</text>"), 3, "{page}");
    assert!(page.contains("100 % are, in messages/s: floor "), "{page}");
}

#[test]
fn growth_is_told_as_curves() {
    let [said, page, numbers] = told("growth", &["--connections", "5,15"]);
    assert_eq!(count(&page, "<figure>"), 3, "{said}");
    assert_eq!(count(&page, "<polyline"), 6, "{page}");
    // Deliveries and memory, at both sizes.
    assert_eq!(count(&numbers, "\"name\":\"weir\""), 4, "{numbers}");
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
fn a_server_of_others_that_is_not_here_is_left_out_of_all_of_them() {
    let output = ask("echo", BENCH, &["--peers", "all"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("sockudo is left out: no program with servers on crates"), "{said}");
    assert!(said.contains("nats is left out: it has nothing that answers Echo"), "{said}");
}

#[test]
fn a_server_of_others_that_was_asked_for_by_name_is_insisted_on() {
    let output = ask("echo", BENCH, &["--peers", "sockudo", "--weir-peer", "/nonexistent/peer"]);
    assert_eq!(output.status.code(), Some(1));
    let why = text(&output.stderr);
    assert!(why.contains("sockudo cannot take part: there is no /nonexistent/peer"), "{why}");
}

#[test]
fn whoever_ends_the_harness_ends_its_servers() {
    let mut harness = Command::new(BENCH)
        .args(["echo", "--weir", BENCH, "--cores", "0", "--load-core", "0", "--rounds", "1000"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program that is tested starts");
    let pid = harness.id();
    let children = || {
        let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        listed.expect("the harness runs").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until(|| children().len() == 2);
    let servers = children();
    let whom = Pid::from_raw(pid.try_into().expect("numbers of processes are small"));
    kill(whom, Signal::SIGTERM).expect("it is our child");
    let status = harness.wait().expect("it is our child");
    assert_eq!(status.code(), Some(128 + 15), "as of SIGTERM");
    // What has ended has no words of its command left, even if nobody waits for it.
    let ended = |pid: &String| {
        std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |words| words.is_empty())
    };
    wait_until(|| servers.iter().all(ended));
}

/// # Panics
/// If it does not come to be within a minute.
fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it was waited for in vain");
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
