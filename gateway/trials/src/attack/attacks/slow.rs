//! Connections that take their time with what they say, or never answer.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, header};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire};
use crate::metrics::Metrics;

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "frame-silent",
        about: "The header of a message, then silence: its place is kept for nothing.",
        pace: "100 connections, held",
        limits: &["message_secs"],
        outcomes: &[Outcome::Closed(1008)],
        setting: SLOW,
        run: |target| Box::pin(frames_slow(target, false)),
        ..COMMON
    },
    Attack {
        name: "frame-dripped",
        about: "A message of 64 KiB byte by byte: a deadline for each byte never comes.",
        pace: "100 connections, 5 bytes a second each",
        limits: &["message_secs"],
        outcomes: &[Outcome::Closed(1008)],
        setting: SLOW,
        run: |target| Box::pin(frames_slow(target, true)),
        ..COMMON
    },
    Attack {
        name: "close-unanswered",
        about: "Our close frame is never answered, and our end never followed: sockets pile up.",
        pace: "100 connections a second, held",
        limits: &["close_secs"],
        outcomes: &[Outcome::Closed(1002)],
        setting: Setting { limits: "close_secs = 1", phase: Duration::from_secs(4), ..PLAIN },
        run: |target| Box::pin(close_unanswered(target)),
        ..COMMON
    },
    Attack {
        name: "pong-never",
        about: "Clients that are gone without a word, or never answer: their places are kept.",
        pace: "500 connections at once",
        limits: &["pong_secs"],
        outcomes: &[Outcome::Closed(1008)],
        setting: Setting {
            limits: "ping_secs = 1\npong_secs = 1",
            phase: Duration::from_secs(4),
            ..PLAIN
        },
        run: |target| Box::pin(pong_never(target)),
        ..COMMON
    },
];

const SLOW: Setting =
    Setting { limits: "message_secs = 2", phase: Duration::from_secs(4), ..PLAIN };

/// So many connections to a path, each from here.
async fn crowd(target: Target, count: usize, path: &str, seen: &mut Seen) -> Vec<Wire> {
    let mut wires = Vec::with_capacity(count);
    for _ in 0..count {
        match Wire::open(target.addr, path, "").await {
            Ok(wire) => wires.push(wire),
            Err(outcome) => seen.add(outcome),
        }
    }
    wires
}

async fn frames_slow(target: Target, drips: bool) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut wires = crowd(target, 100, "/ws/attack", &mut seen).await;
    for wire in &mut wires {
        wire.push(&header(FIN | BINARY, 64 << 10)).await;
    }
    while drips && target.goes_on() {
        for wire in &mut wires {
            // Who is closed already is told below.
            wire.push(b"a").await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    target.end().await;
    for wire in &mut wires {
        let outcome = wire.outcome(Duration::from_secs(1)).await;
        seen.check("a slow frame", outcome, Outcome::Closed(1008));
        if outcome == Outcome::Closed(1008) {
            seen.owe("message_secs");
        }
    }
    Ok(seen)
}

async fn close_unanswered(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut pace) = (Seen::default(), Vec::new(), target.pace(100));
    while let Some(due) = pace.due().await {
        // Those that come too late would not be cut before the end.
        if target.until.saturating_duration_since(tokio::time::Instant::now())
            < Duration::from_secs(2)
        {
            break;
        }
        for mut wire in crowd(target, due as usize, "/ws/attack", &mut seen).await {
            // Without a mask: we are closed, and do not follow.
            wire.push(&[FIN | BINARY, 0]).await;
            seen.check("a frame without a mask", wire.outcome(SOON).await, Outcome::Closed(1002));
            seen.owe("close_secs");
            held.push(wire);
        }
    }
    target.end().await;
    let left = Metrics::read(target.admin)?.sum("weir_connections");
    seen.notes.push(format!("{} were held open; {left} connections were left", held.len()));
    Ok(seen)
}

async fn pong_never(target: Target) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut wires = crowd(target, 500, "/ws/attack", &mut seen).await;
    target.end().await;
    for wire in &mut wires {
        let outcome = wire.outcome(Duration::from_secs(1)).await;
        seen.add(outcome);
        if outcome == Outcome::Closed(1008) {
            seen.owe("pong_secs");
        }
    }
    Target::release(wires).await;
    Ok(seen)
}
