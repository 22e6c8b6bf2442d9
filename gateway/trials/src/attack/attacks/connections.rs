//! More connections than there is room for: at once, again and again, or from one source.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, CANARY, COMMON, PLAIN, Setting};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire, Word, header_of};
use crate::metrics::Metrics;

/// Where a flood from one source comes from: nobody else is there.
const FLOODER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 66, 0, 1));

pub(super) const ATTACKS: [Attack; 8] = [
    Attack {
        name: "subscription-flood",
        about: "100,000 rooms that nobody stays in: what is kept of each is kept for ever.",
        pace: "4,000 connections a second, each joins a room of its own and goes",
        outcomes: &[Outcome::Served],
        setting: Setting { phase: Duration::from_secs(26), ..PLAIN },
        run: |target| Box::pin(subscriptions(target)),
        ..COMMON
    },
    Attack {
        name: "homes-behind",
        about: "Crowds enter rooms of other shards faster than these answer: all would wait.",
        pace: "400 connections at once, four times a second, two for each of 200 new rooms",
        limits: &["commands_waiting"],
        outcomes: &[Outcome::Status(503), Outcome::Served],
        setting: Setting {
            limits: "commands_waiting_max = 1",
            flags: &["--shards", "2", "--ring", "2"],
            ..PLAIN
        },
        run: |target| Box::pin(homes_behind(target)),
        ..COMMON
    },
    Attack {
        name: "reconnect-storm",
        about: "A thousand clients come back at once, and are cut, again and again.",
        pace: "1,000 at once, once a second",
        outcomes: &[Outcome::Served],
        run: |target| Box::pin(reconnects(target)),
        ..COMMON
    },
    Attack {
        name: "source-many",
        about: "One source holds as many connections as it gets: places for everyone are few.",
        pace: "400 connections a second from one source, all held",
        limits: &["source_connections"],
        outcomes: &[Outcome::Status(429), Outcome::Served],
        setting: Setting {
            flags: &["--limit-loopback"],
            limits: "source_connections_max = 200\nsource_rate = 10000\nsource_burst = 10000",
            ..PLAIN
        },
        run: |target| Box::pin(source_many(target)),
        ..COMMON
    },
    Attack {
        name: "source-fast",
        about: "One source connects and goes: each handshake costs us more than it.",
        pace: "1,000 connections a second from one source",
        limits: &["source_rate"],
        outcomes: &[Outcome::Cut, Outcome::Status(429), Outcome::Served],
        setting: Setting {
            flags: &["--limit-loopback"],
            limits: "source_rate = 100\nsource_burst = 200",
            ..PLAIN
        },
        run: |target| Box::pin(source_fast(target)),
        ..COMMON
    },
    Attack {
        name: "denied-fast",
        about: "Who is denied connects all the same: turning it away must cost next to nothing.",
        pace: "1,000 connections a second from one source",
        limits: &["denied"],
        outcomes: &[Outcome::Cut],
        run: |target| Box::pin(denied_fast(target)),
        ..COMMON
    },
    Attack {
        name: "places-taken",
        about: "All places are taken, and newcomers keep coming: refusing them must stay cheap.",
        pace: "800 connections a second, held or refused",
        limits: &["connections", "refusals"],
        outcomes: &[Outcome::Status(503), Outcome::Cut, Outcome::Served],
        setting: Setting { flags: &["--max-connections", "1200"], ..PLAIN },
        run: |target| Box::pin(places_taken(target)),
        ..COMMON
    },
    Attack {
        name: "descriptors",
        about: "More connections than descriptors: who tries in vain to accept spins for ever.",
        pace: "500 connections a second up to 700, all held; the gateway may open 900 descriptors",
        limits: &["descriptors"],
        outcomes: &[Outcome::Waits, Outcome::Served],
        setting: Setting { descriptors: Some(900), ..PLAIN },
        run: |target| Box::pin(descriptors(target)),
        ..COMMON
    },
];

async fn subscriptions(target: Target) -> Result<Seen> {
    let mut seen = target
        .storm(4_000, move |number| async move {
            let mut seen = Seen::default();
            if number >= 100_000 {
                return seen;
            }
            // Many sources, so that no port of one is needed twice in a short time.
            let source = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1 + (number % 64) as u8));
            let path = format!("/ws/flood-{number}");
            let outcome = match Wire::connect_from(source, target.addr, None).await {
                Ok(wire) => {
                    wire.upgrade(&path, "").await.map_or_else(|told| told, |_| Outcome::Served)
                }
                Err(_) => Outcome::Cut,
            };
            seen.add(outcome);
            seen
        })
        .await;
    let rooms = seen.count(Outcome::Served);
    seen.notes.push(format!("{rooms} rooms were joined and left"));
    Ok(seen)
}

async fn reconnects(target: Target) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut storms = 0;
    while target.goes_on() {
        let next = tokio::time::Instant::now() + Duration::from_secs(1);
        let mut wires = tokio::task::JoinSet::new();
        for number in 0..1_000 {
            let source = IpAddr::V4(Ipv4Addr::new(127, 9, 1, 1 + (number % 64) as u8));
            wires.spawn(async move {
                let wire = Wire::connect_from(source, target.addr, None).await;
                let Ok(wire) = wire else { return Err(Outcome::Cut) };
                wire.upgrade(&format!("/ws/storm-{}", number / 10), "").await
            });
        }
        let mut held = Vec::new();
        while let Some(ended) = wires.join_next().await {
            match ended? {
                Ok(wire) => {
                    seen.add(Outcome::Served);
                    held.push(wire);
                }
                Err(outcome) => seen.add(outcome),
            }
        }
        storms += 1;
        // All are cut at once.
        drop(held);
        tokio::time::sleep_until(next.min(target.until)).await;
    }
    seen.notes.push(format!("{storms} storms of 1,000"));
    Ok(seen)
}

async fn homes_behind(target: Target) -> Result<Seen> {
    let (mut seen, mut crowds) = (Seen::default(), 0);
    let mut waits = std::collections::BTreeSet::new();
    while target.goes_on() {
        let next = tokio::time::Instant::now() + Duration::from_millis(250);
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..400 {
            let source = IpAddr::V4(Ipv4Addr::new(127, 9, 2, 1 + (number % 64) as u8));
            let path = format!("/ws/crowd-{crowds}-{}", number / 2);
            crowd.spawn(async move {
                let mut wire = Wire::connect_from(source, target.addr, None).await.ok()?;
                wire.push(&super::super::frames::request(&path, "")).await;
                let word = wire.word(SOON).await;
                Some((wire, word))
            });
        }
        let mut wires = Vec::new();
        while let Some(came) = crowd.join_next().await {
            let Some((wire, Some(Word::Head(head)))) = came? else {
                seen.add(Outcome::Cut);
                continue;
            };
            let outcome = refused(&head, "commands_waiting", &mut waits, &mut seen);
            seen.add(outcome);
            wires.push(wire);
        }
        crowds += 1;
        Target::release(wires).await;
        tokio::time::sleep_until(next.min(target.until)).await;
    }
    seen.notes.push(format!("{crowds} crowds; Retry-After had {} values", waits.len()));
    Ok(seen)
}

async fn source_many(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut pace) = (Seen::default(), Vec::new(), target.pace(400));
    while let Some(due) = pace.due().await {
        for _ in 0..due {
            let Ok(wire) = Wire::connect_from(FLOODER, target.addr, None).await else {
                seen.add(Outcome::Cut);
                continue;
            };
            match wire.upgrade("/ws/attack", "").await {
                Ok(wire) => {
                    seen.add(Outcome::Served);
                    held.push(wire);
                }
                Err(outcome) => {
                    seen.add(outcome);
                    if outcome == Outcome::Status(429) {
                        seen.owe("source_connections");
                    }
                }
            }
        }
    }
    if held.len() > 200 {
        seen.wrong(format!("one source has {} connections, and 200 are allowed", held.len()));
    }
    Ok(seen)
}

async fn source_fast(target: Target) -> Result<Seen> {
    let seen = target.storm(1_000, move |_| async move {
        let mut seen = Seen::default();
        let outcome = match Wire::connect_from(FLOODER, target.addr, None).await {
            Ok(wire) => {
                wire.upgrade("/ws/attack", "").await.map_or_else(|told| told, |_| Outcome::Served)
            }
            Err(_) => Outcome::Cut,
        };
        seen.add(outcome);
        if outcome != Outcome::Served {
            seen.owe("source_rate");
        }
        seen
    });
    Ok(seen.await)
}

async fn denied_fast(target: Target) -> Result<Seen> {
    let order = format!(
        "POST /admin/guard/deny?prefix={FLOODER} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
         Connection: close\r\nAuthorization: Bearer {CANARY}\r\n\r\n"
    );
    let mut operator = Wire::connect(target.admin).await?;
    operator.push(order.as_bytes()).await;
    let obeyed = operator.outcome(SOON).await;
    let mut seen = target
        .storm(1_000, move |_| async move {
            let mut seen = Seen::default();
            let outcome = match Wire::connect_from(FLOODER, target.addr, None).await {
                Ok(wire) => {
                    let upgraded = wire.upgrade("/ws/attack", "").await;
                    upgraded.map_or_else(|told| told, |_| Outcome::Served)
                }
                Err(_) => Outcome::Cut,
            };
            seen.check("who is denied", outcome, Outcome::Cut);
            seen.owe("denied");
            seen
        })
        .await;
    if obeyed != Outcome::Status(200) {
        seen.wrong(format!("the order to deny was answered {obeyed:?}"));
    }
    Ok(seen)
}

async fn places_taken(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut pace) = (Seen::default(), Vec::new(), target.pace(800));
    let mut waits = std::collections::BTreeSet::new();
    while let Some(due) = pace.due().await {
        for _ in 0..due {
            let Ok(mut wire) = Wire::connect(target.addr).await else {
                seen.add(Outcome::Cut);
                continue;
            };
            // Refused clients that say nothing keep the few slots in which they would hear it.
            if held.len() % 2 == 1 {
                held.push((wire, false));
                continue;
            }
            wire.push(&super::super::frames::request("/ws/attack", "")).await;
            held.push((wire, true));
        }
    }
    for (wire, _) in held.iter_mut().filter(|(_, asked)| *asked) {
        match wire.word(SOON).await {
            Some(Word::Head(head)) => {
                let outcome = refused(&head, "connections", &mut waits, &mut seen);
                seen.add(outcome);
            }
            _ => seen.add(Outcome::Cut),
        }
    }
    Target::release(held.into_iter().map(|(wire, _)| wire).collect()).await;
    if waits.len() < 2 && seen.count(Outcome::Status(503)) > 50 {
        seen.wrong(format!("everyone is told to come back at once: {waits:?}"));
    }
    seen.notes.push(format!("Retry-After had {} values: {waits:?}", waits.len()));
    Ok(seen)
}

/// What an answer means; one that refuses says when to come back, and is counted as `limit`.
fn refused(
    head: &str,
    limit: &'static str,
    waits: &mut std::collections::BTreeSet<u64>,
    seen: &mut Seen,
) -> Outcome {
    if head.starts_with("HTTP/1.1 101 ") {
        return Outcome::Served;
    }
    if !head.starts_with("HTTP/1.1 503 ") {
        return Outcome::Cut;
    }
    match header_of(head, "Retry-After").and_then(|secs| secs.parse().ok()) {
        Some(secs) => _ = waits.insert(secs),
        None => seen.wrong("a 503 does not say when to come back".to_owned()),
    }
    seen.owe(limit);
    Outcome::Status(503)
}

async fn descriptors(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut pace) = (Seen::default(), Vec::new(), target.pace(500));
    while let Some(due) = pace.due().await {
        for _ in 0..due.min(700 - held.len() as u64) {
            // The kernel completes it and queues it, whether it is accepted or not.
            if let Ok(mut wire) = Wire::connect(target.addr).await {
                wire.push(&super::super::frames::request("/ws/attack", "")).await;
                held.push(wire);
            }
        }
    }
    for wire in &mut held {
        let outcome = wire.outcome(Duration::ZERO).await;
        seen.add(outcome);
    }
    if seen.count(Outcome::Waits) > 0 {
        seen.owe("descriptors");
        if !is_told(target).await {
            seen.wrong("metrics do not tell that descriptors are short while they are".to_owned());
        }
    }
    Target::release(held).await;
    Ok(seen)
}

/// Whether operators can look, and see what is short: shards tell their numbers now and then.
async fn is_told(target: Target) -> bool {
    for _ in 0..20 {
        match Metrics::read(target.admin) {
            Ok(metrics) if metrics.hits("descriptors") > 0 => return true,
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_time_to_come_back_is_wrong() {
        let (mut waits, mut seen) = (std::collections::BTreeSet::new(), Seen::default());
        let good = "HTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n";
        assert_eq!(refused(good, "connections", &mut waits, &mut seen), Outcome::Status(503));
        assert!(seen.wrongs.is_empty() && waits.contains(&7));
        refused("HTTP/1.1 503 x\r\n\r\n", "connections", &mut waits, &mut seen);
        assert_eq!(seen.wrongs.len(), 1);
        let served = refused("HTTP/1.1 101 x\r\n\r\n", "connections", &mut waits, &mut seen);
        assert_eq!((served, seen.due["connections"]), (Outcome::Served, 2));
    }
}
