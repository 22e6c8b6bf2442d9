//! Ends that cross each other: halves, resets, and goodbyes that both sides say at once.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, TEXT, close, frame, header};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire, Word};
use crate::metrics::Metrics;

/// How long all that have ended may be counted as connections.
const GONE_WAIT: Duration = Duration::from_secs(3);

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "close-races",
        about: "Half closes, data behind a goodbye, two goodbyes: ends that nobody thought of.",
        pace: "1,000 connections a second, one case each",
        outcomes: &[Outcome::Closed(1000), Outcome::Cut],
        run: |target| Box::pin(races(target)),
        ..COMMON
    },
    Attack {
        name: "close-reset",
        about: "Connections reset while our answer, echo or goodbye is on its way: slots stay.",
        pace: "1,500 connections a second, each reset at another step of its end",
        outcomes: &[Outcome::Cut],
        run: |target| Box::pin(resets(target)),
        ..COMMON
    },
    Attack {
        name: "close-both",
        about: "A thousand goodbyes just when we say ours: each side may wait for the other.",
        pace: "1,000 connections that answer no ping, and say goodbye when we lose patience",
        limits: &["pong_secs"],
        outcomes: &[Outcome::Closed(1008), Outcome::Closed(1000)],
        setting: Setting {
            limits: "ping_secs = 1\npong_secs = 1",
            phase: Duration::from_secs(6),
            ..PLAIN
        },
        run: |target| Box::pin(both(target)),
        ..COMMON
    },
];

/// An end that is said in one write.
struct End {
    what: &'static str,
    bytes: Vec<u8>,
    /// Whether nothing more is sent, and the other side told so.
    half: bool,
    wanted: Outcome,
}

fn ends() -> Vec<End> {
    let bye = close(1000, b"bye");
    let text = frame(FIN | TEXT, b"after all");
    let begun = [&header(FIN | BINARY, 100)[..], b"half of it"].concat();
    let end =
        |what, bytes: &[&[u8]], half, wanted| End { what, bytes: bytes.concat(), half, wanted };
    let (said, cut) = (Outcome::Closed(1000), Outcome::Cut);
    vec![
        end("half a close", &[], true, cut),
        end("half a close within a message", &[&begun], true, cut),
        end("half a close behind a message", &[&text], true, cut),
        end("a goodbye", &[&bye], false, said),
        end("a goodbye and half a close", &[&bye], true, said),
        end("a goodbye within a message", &[&frame(TEXT, b"a"), &bye], false, said),
        end("data behind a goodbye", &[&bye, &text.repeat(100)], false, said),
        end("half a message behind a goodbye", &[&bye, &begun], true, said),
        end("two goodbyes", &[&bye, &close(1001, b"")], false, said),
        end("no protocol behind a goodbye", &[&bye, &[0xff; 64]], false, said),
    ]
}

async fn races(target: Target) -> Result<Seen> {
    let before = connections(target)?;
    let mut seen = target
        .storm(1_000, move |number| async move {
            let mut seen = Seen::default();
            let mut ends = ends();
            let end = ends.swap_remove(number as usize % ends.len());
            let mut wire = match Wire::open(target.addr, "/ws/attack", "").await {
                Ok(wire) => wire,
                Err(outcome) => {
                    seen.add(outcome);
                    return seen;
                }
            };
            wire.push(&end.bytes).await;
            if end.half {
                wire.finish().await;
            }
            let outcome = wire.outcome(SOON).await;
            seen.check(end.what, outcome, end.wanted);
            has_ended(end.what, outcome, &mut wire, &mut seen).await;
            seen
        })
        .await;
    all_gone(target, before, &mut seen).await?;
    Ok(seen)
}

/// RFC 6455 §7.1.1: who has heard and said goodbye closes, and waits for nothing more.
async fn has_ended(what: &str, outcome: Outcome, wire: &mut Wire, seen: &mut Seen) {
    if matches!(outcome, Outcome::Closed(_)) && wire.word(SOON).await != Some(Word::End) {
        seen.wrong(format!("{what}: the connection goes on behind its goodbye"));
    }
}

async fn resets(target: Target) -> Result<Seen> {
    let before = connections(target)?;
    let mut seen = target
        .storm(1_500, move |number| async move {
            let mut seen = Seen::default();
            let path = if number % 2 == 0 { "/ws/simple" } else { "/ws/attack" };
            let Ok(mut wire) = Wire::connect(target.addr).await else { return seen };
            let request = super::super::frames::request(path, "");
            let bye = close(1000, b"");
            let broken = frame(0x40 | FIN | TEXT, b"");
            // What is dropped is reset, whatever is on its way to it.
            match number % 5 {
                0 => _ = wire.push(&request).await,
                1 => _ = wire.push(&[request, bye].concat()).await,
                2 => _ = wire.push(&[request, broken].concat()).await,
                3 => {
                    wire.push(&[request, frame(FIN | BINARY, &[7; 4_000]), bye].concat()).await;
                }
                _ => {
                    wire.push(&[request, broken].concat()).await;
                    wire.word(SOON).await;
                }
            }
            seen.add(Outcome::Cut);
            seen
        })
        .await;
    all_gone(target, before, &mut seen).await?;
    Ok(seen)
}

async fn both(target: Target) -> Result<Seen> {
    let before = connections(target)?;
    let mut parts = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        parts.spawn(both_once(target, number));
    }
    let mut seen = Seen::default();
    while let Some(part) = parts.join_next().await {
        seen.merge(part?);
    }
    all_gone(target, before, &mut seen).await?;
    Ok(seen)
}

/// A client that is asked whether it is there and says goodbye about when it is given up.
async fn both_once(target: Target, number: u64) -> Seen {
    let mut seen = Seen::default();
    let mut wire = match Wire::open(target.addr, "/ws/attack", "").await {
        Ok(wire) => wire,
        Err(outcome) => {
            seen.add(outcome);
            return seen;
        }
    };
    // The ping. Then a second, and up to a tick of a quarter of one.
    if !matches!(wire.word(SOON).await, Some(Word::Frame(..))) {
        seen.wrong("a silent client is not asked whether it is there".to_owned());
    }
    tokio::time::sleep(Duration::from_millis(950 + number % 400)).await;
    wire.push(&close(1000, b"")).await;
    let outcome = wire.outcome(SOON).await;
    seen.add(outcome);
    if outcome == Outcome::Closed(1008) {
        seen.owe("pong_secs");
    }
    has_ended("both at once", outcome, &mut wire, &mut seen).await;
    seen
}

fn connections(target: Target) -> Result<u64> {
    Ok(Metrics::read(target.admin)?.sum("weir_connections"))
}

/// Nobody who has ended keeps a place: waits until there are no more than before, or too long.
async fn all_gone(target: Target, before: u64, seen: &mut Seen) -> Result<()> {
    let deadline = tokio::time::Instant::now() + GONE_WAIT;
    loop {
        let left = connections(target)?;
        if left <= before {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            seen.wrong(format!("{} ended connections keep their places", left - before));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_is_another_one() {
        let ends = ends();
        for (index, end) in ends.iter().enumerate() {
            let same = |other: &End| other.bytes == end.bytes && other.half == end.half;
            assert!(!ends[..index].iter().any(same), "{}", end.what);
        }
    }
}
