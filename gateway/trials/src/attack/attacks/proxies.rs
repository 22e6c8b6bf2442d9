//! Addresses that are not one's own: PROXY headers from strangers, and bad ones from the trusted.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames;
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{SOON, Wire};

/// Who is trusted to speak for others; nobody else is there.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1));
const TRUSTING: &[&str] = &["--proxy-from", "127.77.0.0/16"];
/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Whom an attacker says to be.
const FORGED: [u8; 4] = [203, 0, 113, 7];

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "proxy-forged",
        about: "PROXY headers from who is no proxy: a source would be whoever it says it is.",
        pace: "300 requests a second, in both versions",
        limits: &["handshake_invalid"],
        outcomes: &[Outcome::Status(400)],
        setting: Setting { flags: TRUSTING, ..PLAIN },
        run: |target| Box::pin(forged(target)),
        ..COMMON
    },
    Attack {
        name: "proxy-malformed",
        about: "Headers without an end, of 64 KiB, or of no known kind: parsers fail, or wait.",
        pace: "300 connections a second through the proxy, one case each",
        limits: &["proxy_header"],
        outcomes: &[Outcome::Cut],
        growth_max: Some(4 << 20),
        setting: Setting { flags: TRUSTING, ..PLAIN },
        run: |target| Box::pin(malformed(target)),
        ..COMMON
    },
    Attack {
        name: "proxy-slow",
        about: "Headers byte by byte through the proxy: each holds a place before its request.",
        pace: "500 connections a second up to 1,000; two bytes a second each",
        limits: &["handshake_secs"],
        outcomes: &[Outcome::Cut],
        setting: Setting {
            limits: "handshake_secs = 2",
            flags: TRUSTING,
            phase: Duration::from_secs(4),
            ..PLAIN
        },
        run: |target| Box::pin(slow(target)),
        ..COMMON
    },
    Attack {
        name: "proxy-sources",
        about: "One source comes through the proxy as often as it can: it is not the proxy's.",
        pace: "300 connections, 60 at once, every fourth of a source of its own, all held",
        limits: &["source_connections"],
        outcomes: &[Outcome::Status(429), Outcome::Served],
        setting: Setting {
            flags: &["--proxy-from", "127.77.0.0/16", "--limit-loopback"],
            limits: "source_connections_max = 100\nsource_rate = 10000\nsource_burst = 10000",
            ..PLAIN
        },
        run: |target| Box::pin(sources(target)),
        ..COMMON
    },
];

/// A header of version 1.
fn line(client: [u8; 4]) -> Vec<u8> {
    format!("PROXY TCP4 {} 192.0.2.1 5000 80\r\n", Ipv4Addr::from(client)).into_bytes()
}

/// A header of version 2: version and command, family and transport, declared length, the rest.
fn block(command: u8, family: u8, declared: u16, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &declared.to_be_bytes(), rest].concat()
}

/// A good one, with as many bytes of extras behind its addresses.
fn good_block(client: [u8; 4], extras: u16) -> Vec<u8> {
    let addresses = [client, [192, 0, 2, 1], [0x13, 0x88, 0, 80]].concat();
    let rest = [addresses, vec![4; extras.into()]].concat();
    block(0x21, 0x11, 12 + extras, &rest)
}

async fn forged(target: Target) -> Result<Seen> {
    let seen = target.storm(300, move |number| async move {
        let mut seen = Seen::default();
        let Ok(mut wire) = Wire::connect(target.addr).await else {
            seen.add(Outcome::Cut);
            return seen;
        };
        let header = if number % 2 == 0 { line(FORGED) } else { good_block(FORGED, 0) };
        wire.push(&[header, frames::request("/ws/attack", "")].concat()).await;
        let outcome = wire.outcome(SOON).await;
        seen.check("a forged header", outcome, Outcome::Status(400));
        if outcome == Outcome::Status(400) {
            seen.owe("handshake_invalid");
        }
        seen
    });
    Ok(seen.await)
}

/// Headers that are none.
fn bad_headers() -> Vec<(&'static str, Vec<u8>)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let mut bad = vec![
        ("none", frames::request("/ws/attack", "")),
        ("a line without an end", text(&format!("PROXY TCP4 {}", "1".repeat(64 << 10)))),
        ("an unknown without an end", text(&format!("PROXY UNKNOWN {}", "x".repeat(64 << 10)))),
        ("a bare line feed", text(&"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n".repeat(4))),
        ("another family", text("PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n")),
        ("a port beyond", text("PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n")),
        ("an address with a zone", text("PROXY TCP6 fe80::1%lo ::1 1 2\r\n")),
        ("too many words", text("PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n")),
        ("another version", block(0x31, 0x11, 12, &[0; 12])),
        ("another command", block(0x2f, 0x11, 12, &[0; 12])),
        ("datagrams", block(0x21, 0x12, 12, &[0; 12])),
        ("no room for addresses", block(0x21, 0x11, 11, &[0; 11])),
        ("no room for long ones", block(0x21, 0x21, 12, &[0; 12])),
        ("64 KiB declared", block(0x21, 0x11, u16::MAX, &[])),
        ("64 KiB of extras", block(0x21, 0x11, u16::MAX, &[4; u16::MAX as usize])),
        ("64 KiB of its own", block(0x20, 0, u16::MAX, &[0; 4_096])),
        ("a byte too much", good_block(FORGED, 509)),
    ];
    for (_, bytes) in &mut bad {
        bytes.extend(frames::request("/ws/attack", ""));
    }
    bad
}

async fn malformed(target: Target) -> Result<Seen> {
    let bad = std::sync::Arc::new(bad_headers());
    let seen = target.storm(300, move |number| {
        let bad = std::sync::Arc::clone(&bad);
        async move {
            let mut seen = Seen::default();
            let (what, bytes) = &bad[number as usize % bad.len()];
            let Ok(mut wire) = Wire::connect_from(PROXY, target.addr, None).await else {
                seen.wrong("the proxy cannot connect".to_owned());
                return seen;
            };
            wire.push(bytes).await;
            seen.check(what, wire.outcome(SOON).await, Outcome::Cut);
            seen.owe("proxy_header");
            seen
        }
    });
    Ok(seen.await)
}

async fn slow(target: Target) -> Result<Seen> {
    let seen = target.storm(500, move |number| async move {
        let mut seen = Seen::default();
        if number >= 1_000 {
            return seen;
        }
        let Ok(mut wire) = Wire::connect_from(PROXY, target.addr, None).await else {
            seen.wrong("the proxy cannot connect".to_owned());
            return seen;
        };
        let header = if number % 2 == 0 { line(FORGED) } else { good_block(FORGED, 500) };
        for byte in header {
            wire.push(&[byte]).await;
            if wire.outcome(Duration::from_millis(500)).await == Outcome::Cut {
                seen.add(Outcome::Cut);
                seen.owe("handshake_secs");
                return seen;
            }
        }
        seen.wrong("a header may take as long as it likes".to_owned());
        seen
    });
    Ok(seen.await)
}

async fn sources(target: Target) -> Result<Seen> {
    let (mut seen, mut held, mut crowd) = (Seen::default(), Vec::new(), 0_u64);
    for burst in 0..5 {
        let mut coming = tokio::task::JoinSet::new();
        (60 * burst..60 * (burst + 1)).for_each(|number| _ = coming.spawn(come(target, number)));
        while let Some(came) = coming.join_next().await {
            match came? {
                (own, Ok(wire)) => {
                    seen.add(Outcome::Served);
                    crowd += u64::from(!own);
                    held.push(wire);
                }
                (true, Err(outcome)) => {
                    seen.wrong(format!("a source of its own is told {outcome}"));
                }
                (false, Err(outcome)) => {
                    seen.add(outcome);
                    seen.owe("source_connections");
                }
            }
        }
    }
    target.end().await;
    if crowd != 100 {
        seen.wrong(format!("one source has {crowd} connections, and 100 are allowed"));
    }
    Target::release(held).await;
    Ok(seen)
}

/// Comes through the proxy; whether as a source of its own, and what it is answered.
async fn come(target: Target, number: u16) -> (bool, Result<Wire, Outcome>) {
    let own = number.is_multiple_of(4);
    let [high, low] = number.to_be_bytes();
    let client = if own { [198, 18, high, low] } else { FORGED };
    // The longest extras that are allowed, every other time.
    let header = if number.is_multiple_of(2) { line(client) } else { good_block(client, 508) };
    let came = match Wire::connect_from(PROXY, target.addr, None).await {
        Ok(mut wire) => {
            wire.push(&header).await;
            wire.upgrade("/ws/attack", "").await
        }
        Err(_) => Err(Outcome::Cut),
    };
    (own, came)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_block_declares_what_follows() {
        for extras in [0, 508] {
            let block = good_block(FORGED, extras);
            let declared = u16::from_be_bytes([block[14], block[15]]);
            assert_eq!(usize::from(declared), block.len() - 16);
        }
        // What the gateway reads at most.
        assert_eq!(good_block(FORGED, 508).len(), 536);
    }
}
