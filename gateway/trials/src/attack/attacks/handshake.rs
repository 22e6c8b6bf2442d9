//! Requests that are too much, or never end.

use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames;
use super::super::outcome::{Outcome, Seen};
use super::super::target::{Case, Target};
use super::super::wire::{SOON, Wire};

pub(super) const ATTACKS: [Attack; 5] = [
    Attack {
        name: "header-count",
        about: "65 or 1,000 short headers: each costs its reader a slot, its sender six bytes.",
        pace: "200 requests a second",
        limits: &["handshake_headers"],
        outcomes: &[Outcome::Status(431)],
        run: |target| Box::pin(header_count(target)),
        ..COMMON
    },
    Attack {
        name: "header-endless",
        about: "A header line without an end: who waits for it keeps all of it.",
        pace: "100 requests a second, each up to 64 KiB in pieces of 1 KiB",
        limits: &["handshake_bytes"],
        outcomes: &[Outcome::Status(431)],
        run: |target| Box::pin(header_endless(target)),
        ..COMMON
    },
    Attack {
        name: "header-bytewise",
        about: "A request of 8 KiB byte by byte: who parses from the start each time pays 33 MB.",
        pace: "4 requests at a time, each of 2,000 bytes a second",
        limits: &["handshake_bytes"],
        outcomes: &[Outcome::Status(431)],
        setting: Setting { phase: Duration::from_secs(5), ..PLAIN },
        run: |target| Box::pin(header_bytewise(target)),
        ..COMMON
    },
    Attack {
        name: "handshake-slow",
        about: "4,000 half-open requests that grow by a byte a second: each holds a place.",
        pace: "2,000 connections a second up to 4,000; one byte a second each",
        limits: &["handshake_secs"],
        outcomes: &[Outcome::Cut],
        setting: Setting { limits: "handshake_secs = 2", phase: Duration::from_secs(4), ..PLAIN },
        run: |target| Box::pin(handshake_slow(target)),
        ..COMMON
    },
    Attack {
        name: "handshake-budget",
        about: "Requests kept just below their bound: together they pass what a shard keeps.",
        pace: "400 connections, each of 7 KiB without an end",
        limits: &["inbound_bytes"],
        outcomes: &[Outcome::Status(503), Outcome::Cut],
        growth_max: Some(8 << 20),
        setting: Setting {
            limits: "inbound_bytes_max = \"256KiB\"\nmessage_bytes_max = \"64KiB\"",
            ..PLAIN
        },
        run: |target| Box::pin(handshake_budget(target)),
        ..COMMON
    },
];

async fn header_count(target: Target) -> Result<Seen> {
    let request = |headers: usize| frames::request("/ws/attack", &"a: b\r\n".repeat(headers));
    let case =
        |what, headers| Case::request(what, request(headers), 431).counted("handshake_headers");
    Ok(target.cases(200, vec![case("65 headers", 65), case("1,000 headers", 1_000)]).await)
}

async fn header_endless(target: Target) -> Result<Seen> {
    let seen = target.storm(100, move |_| async move {
        let mut seen = Seen::default();
        let Ok(mut wire) = Wire::connect(target.addr).await else {
            seen.add(Outcome::Cut);
            return seen;
        };
        wire.push(b"GET /ws/attack HTTP/1.1\r\nHost: gateway.example\r\nX: ").await;
        let mut pieces = 0;
        while pieces < 64 && wire.push(&[b'a'; 1024]).await {
            pieces += 1;
        }
        let outcome = wire.outcome(SOON).await;
        seen.check("a request without an end", outcome, Outcome::Status(431));
        if outcome == Outcome::Status(431) {
            seen.owe("handshake_bytes");
        }
        seen
    });
    Ok(seen.await)
}

async fn header_bytewise(target: Target) -> Result<Seen> {
    let one = move || async move {
        let mut seen = Seen::default();
        let Ok(mut wire) = Wire::connect(target.addr).await else { return seen };
        let mut pace = target.pace(2_000);
        let mut request = frames::request("/ws/attack", "");
        request.truncate(request.len() - 2);
        let mut bytes =
            request.into_iter().chain(b"X: ".iter().copied()).chain(std::iter::repeat(b'a'));
        let mut sent = 0;
        while let Some(due) = pace.due().await {
            for byte in bytes.by_ref().take(due as usize) {
                if sent > 8_200 || !wire.push(&[byte]).await {
                    seen.check("byte by byte", wire.outcome(SOON).await, Outcome::Status(431));
                    seen.owe("handshake_bytes");
                    return seen;
                }
                sent += 1;
            }
        }
        seen.notes.push(format!("a request has come to {sent} bytes only"));
        seen
    };
    let (mut seen, b, c, d) = tokio::join!(one(), one(), one(), one());
    [b, c, d].into_iter().for_each(|part| seen.merge(part));
    Ok(seen)
}

async fn handshake_slow(target: Target) -> Result<Seen> {
    let seen = target.storm(2_000, move |number| async move {
        let mut seen = Seen::default();
        if number >= 4_000 {
            return seen;
        }
        let Ok(mut wire) = Wire::connect(target.addr).await else {
            seen.add(Outcome::Cut);
            return seen;
        };
        wire.push(b"GET /ws/attack HTTP/1.1\r\nX: ").await;
        loop {
            if wire.outcome(Duration::from_secs(1)).await == Outcome::Cut {
                seen.add(Outcome::Cut);
                seen.owe("handshake_secs");
                return seen;
            }
            wire.push(b"a").await;
        }
    });
    Ok(seen.await)
}

async fn handshake_budget(target: Target) -> Result<Seen> {
    let mut request = frames::request("/ws/attack", "X: ");
    request.truncate(request.len() - 2);
    request.resize(7 << 10, b'a');
    let (mut seen, mut held) = (Seen::default(), Vec::new());
    for _ in 0..400 {
        let Ok(mut wire) = Wire::connect(target.addr).await else { continue };
        wire.push(&request).await;
        held.push(wire);
    }
    for wire in &mut held {
        let outcome = wire.outcome(Duration::from_millis(5)).await;
        if outcome == Outcome::Status(503) {
            seen.owe("inbound_bytes");
        }
        // Those within the budget wait for the rest of their request.
        if outcome != Outcome::Waits {
            seen.add(outcome);
        }
    }
    target.end().await;
    Ok(seen)
}
