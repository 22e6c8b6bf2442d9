//! More of what is legal than anybody needs: fragments, pings, messages, words that nobody reads.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, CONTINUATION, FIN, PING, TEXT, frame};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire, Word};

pub(super) const ATTACKS: [Attack; 7] = [
    Attack {
        name: "fragments-tiny",
        about: "A message of a million fragments of a byte: who keeps each fragment keeps 50 MB.",
        pace: "one connection, 250,000 fragments a second, to a million; the echo is awaited",
        outcomes: &[Outcome::Served],
        growth_max: Some(16 << 20),
        setting: Setting { phase: Duration::from_secs(5), ..PLAIN },
        run: |target| Box::pin(fragments_tiny(target)),
        ..COMMON
    },
    Attack {
        name: "fragments-beyond",
        about: "Fragments of a byte until the message is longer than is allowed.",
        pace: "one connection after the other, 200,000 fragments a second",
        limits: &["message_bytes"],
        outcomes: &[Outcome::Closed(1009)],
        growth_max: Some(8 << 20),
        setting: Setting { limits: "message_bytes_max = \"64KiB\"", ..PLAIN },
        run: |target| Box::pin(fragments_beyond(target)),
        ..COMMON
    },
    Attack {
        name: "fragments-empty",
        about: "Fragments without a byte for ever: they fill nothing that is counted in bytes.",
        pace: "50 connections a second, each up to 5,000 fragments in one write",
        limits: &["frame_rate"],
        outcomes: &[Outcome::Closed(1008)],
        run: |target| Box::pin(fragments_empty(target)),
        ..COMMON
    },
    Attack {
        name: "message-endless",
        about: "A message that never ends, in fragments of 64 KiB: memory until there is none.",
        pace: "5 connections a second, each up to 8 MiB",
        limits: &["message_bytes"],
        outcomes: &[Outcome::Closed(1009)],
        growth_max: Some(24 << 20),
        setting: Setting { limits: "message_bytes_max = \"1MiB\"", ..PLAIN },
        run: |target| Box::pin(message_endless(target)),
        ..COMMON
    },
    Attack {
        name: "ping-flood",
        about: "Pings whose pongs are never read: each pong that is kept is memory.",
        pace: "20 connections a second, each up to 5,000 pings of 125 bytes in pieces of 100",
        limits: &["control_rate"],
        outcomes: &[Outcome::Closed(1008)],
        growth_max: Some(16 << 20),
        run: |target| Box::pin(ping_flood(target)),
        ..COMMON
    },
    Attack {
        name: "message-flood",
        about: "Messages faster than a route's rate: everyone in the room has to hear them.",
        pace: "10 connections a second, each up to 1,000 messages at once",
        limits: &["message_rate"],
        outcomes: &[Outcome::Closed(1008)],
        run: |target| Box::pin(message_flood(target)),
        ..COMMON
    },
    Attack {
        name: "unfinished",
        about: "Many messages of 900 KiB that lack their last byte: each is allowed, all are not.",
        pace: "60 connections in 3 seconds, 54 MB together",
        limits: &["inbound_bytes"],
        outcomes: &[Outcome::Closed(1013), Outcome::Served],
        // Two shards' budgets, and buffers that grow in steps.
        growth_max: Some(40 << 20),
        setting: Setting {
            limits: "inbound_bytes_max = \"8MiB\"\nmessage_bytes_max = \"1MiB\"",
            ..PLAIN
        },
        run: |target| Box::pin(unfinished(target)),
        ..COMMON
    },
];

/// Opens at a path, or notes why not.
async fn open(target: Target, path: &str, seen: &mut Seen) -> Option<Wire> {
    match Wire::open(target.addr, path, "").await {
        Ok(wire) => Some(wire),
        Err(outcome) => {
            seen.add(outcome);
            None
        }
    }
}

async fn fragments_tiny(target: Target) -> Result<Seen> {
    let (mut seen, mut sent) = (Seen::default(), 0_u64);
    let Some(mut wire) = open(target, "/ws/simple", &mut seen).await else { return Ok(seen) };
    let (fragment, mut pace) = (frame(CONTINUATION, b"a"), target.pace(250_000));
    wire.push(&frame(TEXT, b"")).await;
    while let Some(due) = pace.due().await {
        let due = due.min(1_000_000 - sent);
        if due == 0 || !wire.push(&fragment.repeat(due as usize)).await {
            break;
        }
        sent += due;
    }
    wire.push(&frame(FIN | CONTINUATION, b"")).await;
    let echo = match wire.word(SOON).await {
        Some(Word::Frame(_, payload)) => payload,
        other => {
            return Ok({
                seen.wrong(format!("{sent} fragments were answered {other:?}"));
                seen
            });
        }
    };
    seen.check("a message of fragments", wire.is_served().await, Outcome::Served);
    if echo.len() as u64 != sent || echo.iter().any(|byte| *byte != b'a') {
        seen.wrong(format!("{sent} fragments came back as {} bytes", echo.len()));
    }
    seen.notes.push(format!("{sent} fragments were one message"));
    Ok(seen)
}

async fn fragments_beyond(target: Target) -> Result<Seen> {
    let mut seen = Seen::default();
    let (some, mut pace) = (frame(CONTINUATION, b"a").repeat(1_000), target.pace(200));
    let mut wire = None;
    while let Some(due) = pace.due().await {
        for _ in 0..due {
            let Some(mut open) = (match wire.take() {
                Some(open) => Some(open),
                None => begun(target, &mut seen).await,
            }) else {
                continue;
            };
            let taken = open.push(&some).await;
            let patience = if taken { Duration::ZERO } else { SOON };
            let outcome = open.outcome(patience).await;
            if taken && outcome == Outcome::Served {
                wire = Some(open);
                continue;
            }
            seen.check("a message beyond the bound", outcome, Outcome::Closed(1009));
            if outcome == Outcome::Closed(1009) {
                seen.owe("message_bytes");
            }
        }
    }
    Ok(seen)
}

/// A connection with a message that has begun.
async fn begun(target: Target, seen: &mut Seen) -> Option<Wire> {
    let mut wire = open(target, "/ws/attack", seen).await?;
    wire.push(&frame(BINARY, b"")).await;
    Some(wire)
}

async fn fragments_empty(target: Target) -> Result<Seen> {
    let seen = target.storm(50, move |_| async move {
        let mut seen = Seen::default();
        let Some(mut wire) = open(target, "/ws/attack", &mut seen).await else { return seen };
        let flood = [frame(TEXT, b""), frame(CONTINUATION, b"").repeat(5_000)].concat();
        wire.push(&flood).await;
        ended(&mut seen, "empty fragments", &mut wire, 1008, "frame_rate").await;
        seen
    });
    Ok(seen.await)
}

/// Notes how a flood ended, which must be with this code and be counted.
async fn ended(seen: &mut Seen, what: &str, wire: &mut Wire, code: u16, limit: &'static str) {
    let outcome = wire.outcome(SOON).await;
    seen.check(what, outcome, Outcome::Closed(code));
    if outcome == Outcome::Closed(code) {
        seen.owe(limit);
    }
}

async fn message_endless(target: Target) -> Result<Seen> {
    let seen = target.storm(5, move |_| async move {
        let mut seen = Seen::default();
        let Some(mut wire) = begun(target, &mut seen).await else { return seen };
        let fragment = frame(CONTINUATION, &[7; 64 << 10]);
        for _ in 0..128 {
            if !wire.push(&fragment).await {
                break;
            }
        }
        ended(&mut seen, "an endless message", &mut wire, 1009, "message_bytes").await;
        seen
    });
    Ok(seen.await)
}

async fn ping_flood(target: Target) -> Result<Seen> {
    let seen = target.storm(20, move |_| async move {
        let mut seen = Seen::default();
        let Some(mut wire) = open(target, "/ws/attack", &mut seen).await else { return seen };
        let pings = frame(FIN | PING, &[b'p'; 125]).repeat(100);
        for _ in 0..50 {
            if !wire.push(&pings).await {
                break;
            }
        }
        ended(&mut seen, "a flood of pings", &mut wire, 1008, "control_rate").await;
        seen
    });
    Ok(seen.await)
}

async fn message_flood(target: Target) -> Result<Seen> {
    let seen = target.storm(10, move |_| async move {
        let mut seen = Seen::default();
        let Some(mut wire) = open(target, "/rated/room", &mut seen).await else { return seen };
        wire.push(&frame(FIN | TEXT, b"flood").repeat(1_000)).await;
        ended(&mut seen, "a flood of messages", &mut wire, 1008, "message_rate").await;
        seen
    });
    Ok(seen.await)
}

async fn unfinished(target: Target) -> Result<Seen> {
    let (mut seen, mut held) = (Seen::default(), Vec::new());
    let (mut pace, part) = (target.pace(20), [7; 900 << 10]);
    let mut lacking = frame(FIN | BINARY, &part);
    lacking.pop();
    while let Some(due) = pace.due().await {
        for _ in 0..due.min(60 - held.len() as u64) {
            let Some(mut wire) = open(target, "/ws/attack", &mut seen).await else { continue };
            wire.push(&lacking).await;
            held.push(wire);
        }
    }
    for wire in &mut held {
        let outcome = wire.outcome(Duration::from_millis(20)).await;
        seen.add(outcome);
        if outcome == Outcome::Closed(1013) {
            seen.owe("inbound_bytes");
        }
    }
    Ok(seen)
}
