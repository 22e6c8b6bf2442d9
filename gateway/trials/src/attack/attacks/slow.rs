//! Connections that take their time, with our bytes or with theirs.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, frame, header};
use super::super::metrics::Metrics;
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, SOURCE, Wire, Word};

pub(super) const ATTACKS: [Attack; 6] = [
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
    Attack {
        name: "consumer-slow",
        about: "One more member of each room stops reading: what it is owed grows, others wait.",
        pace: "50 connections, one in each honest room; honest messages have 8 KiB",
        limits: &["outbox_bytes"],
        // Whoever reads again in time finds 1013; these do not.
        outcomes: &[Outcome::Cut, Outcome::Closed(1013)],
        growth_max: Some(32 << 20),
        setting: Setting {
            limits: "outbox_bytes_max = \"64KiB\"\nclose_secs = 1\nping_secs = 0",
            payload_bytes: Some(8 << 10),
            phase: Duration::from_secs(16),
            ..PLAIN
        },
        run: |target| Box::pin(consumer_slow(target)),
        ..COMMON
    },
    Attack {
        name: "echo-unread",
        about: "Echoes that never take back what they sent: all of it would be kept.",
        pace: "8 connections, together 100 messages of 256 KiB a second until none is taken",
        limits: &["echo_outbox_bytes"],
        outcomes: &[Outcome::Waits],
        // Two shards' budgets, and what a turn adds to them.
        growth_max: Some(16 << 20),
        setting: Setting {
            limits: "echo_outbox_bytes_max = \"256KiB\"",
            phase: Duration::from_secs(5),
            ..PLAIN
        },
        run: |target| Box::pin(echo_unread(target)),
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

async fn consumer_slow(target: Target) -> Result<Seen> {
    let mut seen = Seen::default();
    let rooms = Metrics::read(target.admin)?.sum("weir_homes");
    let mut wires = Vec::new();
    for room in 0..rooms {
        let wire = Wire::connect_from(SOURCE, target.addr, Some(2_048)).await;
        let Ok(wire) = wire else { continue };
        match wire.upgrade(&format!("/honest/{room}"), "").await {
            Ok(wire) => wires.push(wire),
            Err(outcome) => seen.add(outcome),
        }
    }
    target.end().await;
    for wire in &mut wires {
        // What was in the kernel's hands still comes, then the close frame or the cut.
        let outcome = wire.outcome(SOON).await;
        seen.add(outcome);
        if matches!(outcome, Outcome::Closed(1013) | Outcome::Cut) {
            seen.owe("outbox_bytes");
        }
    }
    Ok(seen)
}

async fn echo_unread(target: Target) -> Result<Seen> {
    let (mut seen, mut going, mut waiting) = (Seen::default(), Vec::new(), Vec::new());
    for _ in 0..8 {
        let wire = Wire::connect_from(SOURCE, target.addr, Some(4_096)).await?;
        match wire.upgrade("/ws/simple", "").await {
            Ok(wire) => going.push(wire),
            Err(outcome) => seen.add(outcome),
        }
    }
    let (message, mut pace, mut sent) = (frame(FIN | BINARY, &ECHO), target.pace(100), 0);
    while let (Some(due), false) = (pace.due().await, going.is_empty()) {
        for _ in 0..due.min(going.len() as u64) {
            let mut wire = going.remove(0);
            // The kernel takes some mebibytes each way; beyond them nothing is read any more.
            match wire.push_within(&message, Duration::from_millis(50)).await {
                Some(true) => {
                    sent += 1;
                    going.push(wire);
                }
                Some(false) => seen.add(Outcome::Cut),
                None => waiting.push(wire),
            }
        }
    }
    seen.notes.push(format!("{} MiB were taken of all", sent / 4));
    going.iter().for_each(|_| seen.add(Outcome::Served));
    waiting.iter().for_each(|_| seen.add(Outcome::Waits));
    if let Some(wire) = waiting.first_mut() {
        let word = wire.word(SOON).await;
        if !matches!(word, Some(Word::Frame(_, payload)) if payload == ECHO) {
            seen.wrong("an echo that reads again does not hear itself".to_owned());
        }
    }
    Ok(seen)
}

/// What an echo says.
static ECHO: [u8; 256 << 10] = [7; 256 << 10];
