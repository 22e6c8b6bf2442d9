//! The plan as an operator meets it: what the log says of workers, and what refuses to start.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use gateway::machine;
use process::{Weir, run};
use rustix::process::Signal;

/// What a node logs from start to drain.
fn log_of(flags: &[&str]) -> String {
    let mut weir = Weir::start(&[&["--max-connections", "10"], flags].concat());
    weir.signal(Signal::TERM);
    weir.end().1
}

/// The lines of `log` that hold `words`.
fn lines<'log>(log: &'log str, words: &str) -> Vec<&'log str> {
    log.lines().filter(|line| line.contains(words)).collect()
}

#[test]
fn each_worker_is_a_line_with_its_cpu_node_and_shards() {
    let log = log_of(&["--shards", "3", "--workers", "1"]);
    let [planned] = lines(&log, " planned ")[..] else { panic!("one line: {log}") };
    for part in ["shards=3 shards_from=flag", "workers=1 workers_from=flag", "cores="] {
        assert!(planned.contains(part), "{planned}");
    }
    let [worker] = lines(&log, " worker worker=")[..] else { panic!("one line: {log}") };
    assert!(worker.contains(" INFO ") && worker.contains("worker=0 cpu="), "{worker}");
    assert!(worker.contains(" node=") && worker.ends_with(" shards=0..3"), "{worker}");

    let log = log_of(&["--shards", "4", "--workers", "2", "--numa", "off"]);
    let workers = lines(&log, " worker worker=");
    assert_eq!(workers.len(), 2, "{log}");
    assert!(workers[0].ends_with(" shards=0..2") && workers[1].ends_with(" shards=2..4"), "{log}");
}

#[test]
fn more_workers_than_cpus_are_obeyed_and_warned_of_once() {
    let cpu = machine::allowed_cpus()[0];
    // The node inherits this thread's mask: one CPU, on every machine.
    let masked = std::thread::spawn(move || {
        machine::pin(cpu).unwrap();
        log_of(&["--shards", "3", "--workers", "3"])
    });
    let log = masked.join().unwrap();
    let workers = lines(&log, " worker worker=");
    let here = format!(" cpu={cpu} ");
    assert!(workers.len() == 3 && workers.iter().all(|line| line.contains(&here)), "{log}");
    let [note] = lines(&log, "3 workers on 1 CPU:")[..] else { panic!("once: {log}") };
    assert!(note.contains("WARN") && note.contains("take turns on one CPU"), "{note}");
}

#[test]
fn what_this_machine_cannot_do_is_one_clear_line_and_exit_1() {
    for (flags, told) in [
        (["--numa", "4095"], "node 4095 has no core that this process may use"),
        (["--workers", "1024"], "give --shards 1024 or more, or --workers "),
    ] {
        let output = run(&flags);
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        let [error] = lines(&log, "ERROR")[..] else { panic!("one line: {log}") };
        assert!(error.contains(told) && error.contains(flags[0]), "{error}");
    }
}

#[test]
fn what_no_machine_can_do_is_a_bad_flag_and_exit_2() {
    for (flags, told) in [
        (&["--shards", "2", "--workers", "3"][..], "give --shards 3 or more, or --workers 2"),
        (&["--shards", "1025"], "--shards 1025: give 1 to 1024"),
        (&["--ring", "1"], "--ring 1: give 2 to 65536 envelopes"),
        (&["--batch", "0"], "--batch 0: give 1 to 65536 members"),
        (&["--numa", "near"], "give auto, off, or the numbers of NUMA nodes, such as 0,2"),
    ] {
        let output = run(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(told), "{said}");
    }
}
