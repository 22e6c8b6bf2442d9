//! Connections that never take what they are owed.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, FIN, frame};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, SOURCE, Wire, Word};
use crate::metrics::Metrics;

pub(super) const ATTACKS: [Attack; 3] = [
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
        name: "shard-owing",
        about: "Members of many rooms stop reading, each within its bound: together they are not.",
        pace: "12 rooms, together 100 messages of 256 KiB a second, up to 60 MiB",
        limits: &["shard_outbox_bytes"],
        outcomes: &[Outcome::Closed(1013), Outcome::Cut, Outcome::Served],
        // Two shards' budgets, and what a turn adds to them.
        growth_max: Some(24 << 20),
        setting: Setting {
            limits: "outbox_bytes_max = \"16MiB\"\nshard_outbox_bytes_max = \"2MiB\"",
            ..PLAIN
        },
        run: |target| Box::pin(shard_owing(target)),
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

async fn shard_owing(target: Target) -> Result<Seen> {
    let (mut seen, mut speakers, mut silent) = (Seen::default(), Vec::new(), Vec::new());
    for room in 0..12 {
        let path = format!("/ws/owing-{room}");
        let speaker = Wire::open(target.addr, &path, "").await;
        let wire = Wire::connect_from(SOURCE, target.addr, Some(4_096)).await?;
        match (speaker, wire.upgrade(&path, "").await) {
            (Ok(speaker), Ok(wire)) => {
                speakers.push(speaker);
                silent.push(wire);
            }
            (Err(outcome), _) | (_, Err(outcome)) => seen.add(outcome),
        }
    }
    let (message, mut pace, mut said) = (frame(FIN | BINARY, &WORDS), target.pace(100), 0);
    while let (Some(due), true) = (pace.due().await, said < 240 && !speakers.is_empty()) {
        for _ in 0..due {
            let speaker = said % speakers.len();
            speakers[speaker].push(&message).await;
            said += 1;
        }
    }
    target.end().await;
    for wire in &mut silent {
        // Whoever owed most has been told so; others find what they missed, and are served.
        let outcome = wire.outcome(Duration::from_millis(200)).await;
        seen.add(outcome);
        if matches!(outcome, Outcome::Closed(1013) | Outcome::Cut) {
            seen.owe("shard_outbox_bytes");
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
    let (message, mut pace, mut sent) = (frame(FIN | BINARY, &WORDS), target.pace(100), 0);
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
        if !matches!(word, Some(Word::Frame(_, payload)) if payload == WORDS) {
            seen.wrong("an echo that reads again does not hear itself".to_owned());
        }
    }
    Ok(seen)
}

/// A message that no socket takes many of.
static WORDS: [u8; 256 << 10] = [7; 256 << 10];
