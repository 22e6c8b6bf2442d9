//! The listener for operators: seen by others, driven by others, or kept busy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::super::attack::{Attack, CANARY, COMMON, PLAIN, Setting};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire};
use crate::metrics;

/// Between two looks of who waits to be cut.
const LOOK: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "admin-orders",
        about: "An order to drain without the key, or from a page: anyone could end the service.",
        pace: "200 requests a second",
        outcomes: &[Outcome::Status(401), Outcome::Status(403), Outcome::Status(405)],
        run: |target| Box::pin(orders(target)),
        ..COMMON
    },
    Attack {
        name: "admin-busy",
        about: "Half-open requests and scrapes without end: an operator would see nothing.",
        pace: "200 connections that say a byte a second, and 20 scrapes a second",
        outcomes: &[Outcome::Status(200)],
        // Half-open requests are cut after five seconds.
        setting: Setting { phase: Duration::from_secs(8), ..PLAIN },
        run: |target| Box::pin(busy(target)),
        ..COMMON
    },
    Attack {
        name: "admin-half-open",
        about: "Half-open requests that come back when they are cut: no place is ever free.",
        pace: "200 connections that say nothing, each anew when it is cut, and 20 scrapes a second",
        outcomes: &[Outcome::Status(200)],
        setting: Setting { phase: Duration::from_secs(4), ..PLAIN },
        run: |target| Box::pin(half_open(target)),
        ..COMMON
    },
];

/// Orders that are not to be obeyed, with their statuses.
fn bad_orders() -> [(&'static str, String, u16); 7] {
    let first = "POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n";
    let order = |more: &str| format!("{first}{more}\r\n");
    let key = format!("Authorization: Bearer {CANARY}\r\n");
    let near = format!("Authorization: Bearer {}\r\n", &CANARY[1..]);
    [
        ("no key", order(""), 401),
        ("another key", order("Authorization: Bearer x\r\n"), 401),
        ("nearly the key", order(&near), 401),
        ("the key of another scheme", order(&format!("Authorization: Basic {CANARY}\r\n")), 401),
        ("a page with the key", order(&format!("{key}Origin: https://evil.example\r\n")), 403),
        ("a page of another site", order(&format!("{key}Sec-Fetch-Site: cross-site\r\n")), 403),
        ("a link", order("").replacen("POST", "GET", 1), 405),
    ]
}

async fn orders(target: Target) -> Result<Seen> {
    let mut elsewhere = Seen::default();
    // Bound to one address: no other of this machine answers.
    for other in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 66, 0, 9)] {
        let addr = SocketAddr::new(IpAddr::V4(other), target.admin.port());
        if Wire::connect(addr).await.is_ok() {
            elsewhere.wrong(format!("the listener for operators answers at {addr}"));
        }
    }
    let mut seen = target
        .storm(200, move |number| async move {
            let mut seen = Seen::default();
            let orders = bad_orders();
            let (what, bytes, status) = &orders[number as usize % orders.len()];
            let Ok(mut wire) = Wire::connect(target.admin).await else {
                seen.add(Outcome::Cut);
                return seen;
            };
            wire.push(bytes.as_bytes()).await;
            seen.check(what, wire.outcome(SOON).await, Outcome::Status(*status));
            seen
        })
        .await;
    seen.merge(elsewhere);
    let ready = tokio::task::spawn_blocking(move || metrics::get(target.admin, "/readyz")).await?;
    if ready.is_err() {
        seen.wrong("a bad order has begun a drain".to_owned());
    }
    Ok(seen)
}

async fn busy(target: Target) -> Result<Seen> {
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..200 {
        slow.spawn(async move {
            let mut wire = Wire::connect(target.admin).await.ok()?;
            wire.push(b"GET /metrics HTTP/1.1\r\nX: ").await;
            while target.goes_on() && wire.outcome(Duration::from_secs(1)).await == Outcome::Waits {
                wire.push(b"a").await;
            }
            Some(())
        });
    }
    let seen = scrapes(target).await;
    slow.shutdown().await;
    Ok(seen)
}

async fn half_open(target: Target) -> Result<Seen> {
    let mut silent = tokio::task::JoinSet::new();
    for _ in 0..200 {
        silent.spawn(async move {
            let mut times = 0_u64;
            while target.goes_on() {
                let Ok(mut wire) = Wire::connect(target.admin).await else {
                    tokio::time::sleep(LOOK).await;
                    continue;
                };
                times += 1;
                // Until it is cut, or the end.
                while target.goes_on() && wire.outcome(LOOK).await == Outcome::Waits {}
            }
            times
        });
    }
    let mut seen = scrapes(target).await;
    let mut times = 0;
    while let Some(ended) = silent.join_next().await {
        times += ended?;
    }
    seen.notes.push(format!("200 clients came {times} times"));
    Ok(seen)
}

/// Twenty scrapes a second until the end, each on a connection of its own.
async fn scrapes(target: Target) -> Seen {
    let slowest = Arc::new(AtomicU64::new(0));
    let slower = Arc::clone(&slowest);
    let mut seen = target
        .storm(20, move |_| {
            let slowest = Arc::clone(&slower);
            async move {
                let (mut seen, came) = (Seen::default(), Instant::now());
                let Ok(mut wire) = Wire::connect(target.admin).await else {
                    seen.add(Outcome::Waits);
                    return seen;
                };
                wire.push(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
                seen.add(wire.outcome(SOON).await);
                slowest.fetch_max(came.elapsed().as_millis() as u64, Ordering::Relaxed);
                seen
            }
        })
        .await;
    let served = seen.count(Outcome::Status(200));
    let all: u64 = seen.outcomes.values().sum();
    let slowest = slowest.load(Ordering::Relaxed);
    seen.notes
        .push(format!("{served} of {all} scrapes were answered, the slowest in {slowest} ms"));
    seen
}
