//! That ThreadSanitizer finds a race: a ring that breaks a rule, between real threads.

use std::env;
use std::process::Command;
use std::thread;

use crate::ring::starting_at;
use crate::rules::Rules;
use crate::sync::Ordering;

#[derive(Debug)]
struct TailIsRelaxed;

impl Rules for TailIsRelaxed {
    const TAIL: Ordering = Ordering::Relaxed;
}

#[test]
#[ignore = "races on purpose; the test below runs it"]
fn a_relaxed_tail() {
    let (mut sender, mut receiver) = starting_at::<_, TailIsRelaxed>(0, 2);
    let sending = thread::spawn(move || {
        for number in 0..1_000 {
            while sender.send(number).is_err() {
                thread::yield_now();
            }
        }
    });
    let mut received = 0;
    while received < 1_000 {
        received += receiver.receive().map_or(0, |_| 1);
    }
    sending.join().unwrap();
}

#[test]
fn twin_a_relaxed_tail_is_a_race() {
    let mut twin = Command::new(env::current_exe().unwrap());
    let twin = twin.args(["raced::a_relaxed_tail", "--exact", "--ignored", "--nocapture"]);
    let output = twin.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("WARNING: ThreadSanitizer: data race"), "no race was found: {said}");
    assert!(!output.status.success(), "a race must make the process fail");
}
