//! Names of rooms: too long, not text, or written to be read by others than the gateway.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{self, FIN, TEXT};
use super::super::outcome::{Outcome, Seen};
use super::super::target::{Case, Target};
use super::super::wire::Wire;

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "room-names",
        about: "Names that are too long or no text: what keeps or repeats them pays for it.",
        pace: "300 requests a second",
        limits: &["room_name"],
        outcomes: &[Outcome::Status(400), Outcome::Status(404)],
        setting: Setting { flags: &["--debug"], ..PLAIN },
        run: |target| Box::pin(async move { Ok(target.cases(300, bad_names()).await) }),
        inspect: clean,
        ..COMMON
    },
    Attack {
        name: "room-injection",
        about: "Legal names that look like log lines, metrics or escapes, where all is logged.",
        pace: "200 connections a second, each says one message",
        outcomes: &[Outcome::Served],
        setting: Setting { flags: &["--debug"], ..PLAIN },
        run: |target| Box::pin(injected(target)),
        inspect: clean,
        ..COMMON
    },
    Attack {
        name: "room-hashes",
        about: "12,000 names of rooms that collide under weak hashes: each join looks at all.",
        pace: "2,000 joins a second, all held",
        outcomes: &[Outcome::Served],
        setting: Setting { phase: Duration::from_secs(6), ..PLAIN },
        run: |target| Box::pin(hashes(target)),
        ..COMMON
    },
];

/// Paths that name no room, with their statuses.
fn bad_names() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut push = |what: &str, path: String, status| {
        let case = Case::request(what, frames::request(&path, ""), status);
        cases.push(case.counted("room_name"));
    };
    for len in [256, 1_000, 7_000] {
        push("a long name", format!("/logged/{}", "a".repeat(len)), 400);
    }
    push("a long name in escapes", format!("/logged/{}", "%61".repeat(256)), 400);
    for (what, name) in [
        ("CR LF", "a%0d%0aINFO%20injected"),
        ("a line feed", "a%0aweir_injected%201"),
        ("an escape", "%1b%5b2Jinjected"),
        ("a zero", "a%00b"),
        ("a delete", "a%7fb"),
        ("a control of eight bits", "a%c2%85b"),
        ("half a character", "a%c3"),
        ("a surrogate", "a%ed%a0%80"),
        ("an overlong slash", "a%c0%af"),
        ("half an escape", "a%4"),
        ("no escape", "a%zz"),
    ] {
        push(what, format!("/logged/{name}"), 400);
    }
    cases
}

/// Legal names that others may understand.
const INJECTIONS: [&str; 10] = [
    "%22%7d%201%20weir_injected%7ba=%22",
    "x%22%20verdict=%22served%22%20injected=%22",
    "%5cninjected%5cr%5cn",
    "%e2%80%ae%e2%80%a9injected",
    "$%7bjndi:injected%7d",
    "*",
    "%3e.*.%3e",
    "..%2f..%2fadmin",
    "%25s%25n%25x",
    "%7b%7binjected%7d%7d",
];

async fn injected(target: Target) -> Result<Seen> {
    let seen = target.storm(200, move |number| async move {
        let mut seen = Seen::default();
        let path = format!("/logged/{}", INJECTIONS[number as usize % INJECTIONS.len()]);
        let outcome = match Wire::open(target.addr, &path, "").await {
            Ok(mut wire) => {
                wire.push(&frames::frame(FIN | TEXT, b"said")).await;
                wire.is_served().await
            }
            Err(outcome) => outcome,
        };
        seen.check(&path, outcome, Outcome::Served);
        seen
    });
    Ok(seen.await)
}

/// Looks for what somebody else has written into the log or the metrics.
fn clean(log: &str, metrics: &str, seen: &mut Seen) {
    let control = |char: char| char.is_control() && char != '\n';
    if log.contains(control) || metrics.contains(control) {
        seen.wrong("a control character stands in the log or the metrics".to_owned());
    }
    let begins = |text: &str, word: &str| text.lines().any(|line| line.starts_with(word));
    if begins(metrics, "weir_injected") || begins(log, "injected") || begins(log, "INFO injected") {
        seen.wrong("a name has begun a line of its own".to_owned());
    }
    // Bidirectional marks and line separators turn a line around on somebody's screen.
    if log.contains(['\u{202e}', '\u{2029}', '\u{85}']) {
        seen.wrong("a character that turns lines around stands in the log".to_owned());
    }
    seen.notes.push(format!("{} lines of log were looked through", log.lines().count()));
}

/// What comes of a crowd of names: the median join of the first and of the last tenth.
async fn hashes(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut micros) = (Seen::default(), Vec::new(), Vec::new());
    let mut pace = target.pace(2_000);
    while let Some(due) = pace.due().await {
        for _ in 0..due.min(12_000 - held.len() as u64) {
            let path = format!("/ws/{}", colliding(held.len()));
            let start = tokio::time::Instant::now();
            match Wire::open(target.addr, &path, "").await {
                Ok(wire) => {
                    micros.push(start.elapsed().as_micros() as u64);
                    held.push(wire);
                    seen.add(Outcome::Served);
                }
                Err(outcome) => seen.add(outcome),
            }
        }
    }
    let tenth = (micros.len() / 10).max(1);
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    };
    let (first, last) = (
        median(&micros[..tenth.min(micros.len())]),
        median(&micros[micros.len().saturating_sub(tenth)..]),
    );
    let rooms = held.len();
    Target::release(held).await;
    seen.notes.push(format!("{rooms} rooms; median join {first} µs at first, {last} µs at last"));
    // A table that had become a list would look through thousands of names by then.
    if last > (4 * first).max(1_000) {
        seen.wrong(format!(
            "a join takes {last} µs when there are {rooms} rooms, {first} at first"
        ));
    }
    Ok(seen)
}

/// Names of 24 letters in which pairs of the same sum stand for the bits of a number: they collide
/// under every hash that multiplies by 31 and adds.
fn colliding(number: usize) -> String {
    (0..12).map(|bit| if number >> bit & 1 == 0 { "Aa" } else { "BB" }).collect::<String>()
        + &"x".repeat(number >> 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_collide_under_a_weak_hash() {
        let weak = |name: &str| {
            name.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
        };
        let names: std::collections::BTreeSet<_> = (0..4_096).map(colliding).collect();
        assert_eq!(names.len(), 4_096);
        assert!(names.iter().all(|name| weak(name) == weak(&colliding(0))));
    }

    #[test]
    fn what_a_name_has_written_is_found() {
        let wrongs = |log: &str, metrics: &str| {
            let mut seen = Seen::default();
            clean(log, metrics, &mut seen);
            seen.wrongs.len()
        };
        assert_eq!(wrongs("INFO a room=\"injected\"\n", "weir_ready 1\n"), 0);
        assert_eq!(wrongs("a\u{1b}[2J\n", ""), 1);
        assert_eq!(wrongs("a\ninjected\n", ""), 1);
        assert_eq!(wrongs("", "weir_ready 1\nweir_injected 1\n"), 1);
        assert_eq!(wrongs("a\u{202e}b\n", ""), 1);
    }
}
