//! `weir doctor` as an operator meets it: on this machine, whatever it is like.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use process::{Weir, run};
use rustix::process::Signal;

/// What it says on stdout, on stderr, and its exit code.
fn doctor(flags: &[&str]) -> (String, String, i32) {
    let output = run(&[&["doctor"], flags].concat());
    let [said, wrong] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    (said, wrong, output.status.code().unwrap())
}

#[test]
fn it_tells_of_this_machine_on_one_screen() {
    let (screen, wrong, code) = doctor(&["--addr", "127.0.0.1:0", "--shards", "2"]);
    assert_eq!(wrong, "");
    for name in ["kernel ", "capabilities ", "selector ", "xdp lo ", "pinning ", "descriptors "] {
        let starts = |line: &str| line.get(2..).is_some_and(|line| line.starts_with(name));
        assert!(screen.lines().any(starts), "{name}: {screen}");
    }
    assert!(screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
    assert!(screen.ends_with(&format!("(exit code {code})\n")), "{screen}");
}

#[test]
fn json_says_the_same() {
    let (text, wrong, code) = doctor(&["--json", "--addr", "127.0.0.1:0", "--shards", "2"]);
    assert_eq!(wrong, "");
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["exit_code"], code);
    assert_eq!(object["shards"], 2);
    assert_eq!(object["facts"]["devices"][0]["driver"], "loopback");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(release.starts_with(object["facts"]["kernel"].as_str().unwrap()), "{release}");
}

/// What it foretells is what comes, whatever this process may do here.
#[test]
fn the_selector_that_it_names_is_the_one_that_serves() {
    for flags in [&["--steer", "auto"][..], &["--steer", "off"], &["--selector", "hash"]] {
        let flags = [&["--shards", "2", "--addr", "127.0.0.1:0"], flags].concat();
        let (text, _, _) = doctor(&[&["--json"], &flags[..]].concat());
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let selector = object["selector"].as_str().unwrap();
        let mut weir = Weir::start_as_written(&flags);
        weir.signal(Signal::TERM);
        let (_, log) = weir.end();
        assert!(log.contains(&format!("steering selector={selector:?} ")), "{flags:?}: {log}");
    }
}

#[test]
fn what_is_asked_for_and_cannot_be_had_is_exit_2() {
    let (screen, _, code) = doctor(&["--iface", "weir-none"]);
    assert!(screen.contains("X xdp weir-none"), "{screen}");
    assert_eq!(code, 2);
}

#[test]
fn a_line_of_serve_that_makes_no_sense_makes_none_here() {
    for (flags, told) in [
        (["--shards", "0"], "--shards 0: give 1 to 1024"),
        (["--iface", "a/b"], "--iface"),
        (["--fix", "--json"], "--iface"),
        (["--steer", "on"], "[possible values: off, auto, require]"),
    ] {
        let (screen, wrong, code) = doctor(&flags);
        assert_eq!((screen.as_str(), code), ("", 2), "{wrong}");
        assert!(wrong.contains(told), "{wrong}");
    }
}

#[test]
fn exit_codes_are_in_its_help() {
    let (help, _, code) = doctor(&["--help"]);
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("The exit code is 0 if all is fine, 1 if something is slower"),
        "{help}"
    );
    assert_eq!(code, 0);
}
