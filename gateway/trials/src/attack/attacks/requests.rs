//! Requests that break a rule, and offers that are traps.

use std::fmt::Write;

use anyhow::Result;

use super::super::attack::{Attack, COMMON};
use super::super::frames;
use super::super::outcome::{Outcome, Seen};
use super::super::target::{Case, Target, with_header};
use super::super::wire::{SOON, Wire, header_of};

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "request-malformed",
        about: "Wrong methods, versions, bodies, doubled headers: a proxy may read them otherwise.",
        pace: "300 requests a second",
        limits: &["handshake_invalid"],
        outcomes: &[Outcome::Status(400), Outcome::Status(405), Outcome::Status(426)],
        run: |target| Box::pin(async move { Ok(target.cases(300, malformed()).await) }),
        ..COMMON
    },
    Attack {
        name: "request-smuggled",
        about: "A second request behind a refused upgrade: a proxy would mix up the answers.",
        pace: "200 connections a second",
        limits: &["handshake_invalid"],
        outcomes: &[Outcome::Status(400), Outcome::Status(426)],
        run: |target| Box::pin(smuggled(target)),
        ..COMMON
    },
    Attack {
        name: "offer-deflate",
        about: "Offers of compression of every window size, twice, quoted, unknown: parsers fail.",
        pace: "300 requests a second",
        outcomes: &[Outcome::Served],
        run: |target| Box::pin(offers(target, deflate_offers())),
        ..COMMON
    },
    Attack {
        name: "offer-endless",
        about: "Lists of thousands of subprotocols or extensions: quadratic readers stand still.",
        pace: "300 requests a second, each of 7 KiB",
        // RFC 6455 §9.1: what is no list at all is an error.
        outcomes: &[Outcome::Served, Outcome::Status(400)],
        run: |target| Box::pin(offers(target, endless_offers())),
        ..COMMON
    },
];

/// The cases of a refused upgrade, each with its status.
fn malformed() -> Vec<Case> {
    let with = |name: &str, line: &str| with_header("/ws/attack", name, line);
    let and = |more: &str| frames::request("/ws/attack", more);
    let first = |line: &str| format!("{line}\r\n{}\r\n", frames::UPGRADE).into_bytes();
    let version = "Sec-WebSocket-Version";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let bad = [
        ("a body", and("Content-Length: 5\r\n")),
        ("a chunked body", and("Transfer-Encoding: chunked\r\n")),
        ("two hosts", and("Host: evil.example\r\n")),
        ("no host", with("Host", "")),
        ("two keys", and(key)),
        ("no key", with("Sec-WebSocket-Key", "")),
        ("a short key", with("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAA\r\n")),
        ("a folded header", and("X: a\r\n b\r\n")),
        ("a bare line feed", and("X: a\n")),
        ("a space before the colon", and("X : a\r\n")),
        ("a zero byte", and("X: a\0b\r\n")),
        ("an offer without a value", and("Sec-WebSocket-Extensions: x; a=\r\n")),
        ("an offer without a name", and("Sec-WebSocket-Extensions: x; =; ;;\r\n")),
        ("an offer without a quote", and("Sec-WebSocket-Extensions: x; a=\"\r\n")),
        ("HTTP/1.0", first("GET /ws/attack HTTP/1.0")),
        ("HTTP/2.0", first("GET /ws/attack HTTP/2.0")),
        ("no request", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec()),
    ];
    let mut cases: Vec<_> = bad
        .into_iter()
        .map(|(what, bytes)| Case::request(what, bytes, 400).counted("handshake_invalid"))
        .collect();
    let mut push = |what: &str, bytes, status| {
        cases.push(Case::request(what, bytes, status).counted("handshake_invalid"));
    };
    for value in ["0", "8", "12", "14", "130", "013", "13, 8", "-13"] {
        let bytes = with(version, &format!("{version}: {value}\r\n"));
        push(&format!("version {value}"), bytes, 426);
    }
    push("two versions", and("Sec-WebSocket-Version: 8\r\n"), 426);
    push("no upgrade", with("Upgrade", ""), 426);
    push("h2c", with("Upgrade", "Upgrade: h2c\r\n"), 426);
    for method in ["POST", "PUT", "CONNECT", "OPTIONS"] {
        push(method, first(&format!("{method} /ws/attack HTTP/1.1")), 405);
    }
    cases
}

async fn smuggled(target: Target) -> Result<Seen> {
    let seen = target.storm(200, move |number| async move {
        let mut seen = Seen::default();
        let Ok(mut wire) = Wire::connect(target.addr).await else {
            seen.add(Outcome::Cut);
            return seen;
        };
        let (mut bytes, wanted) = match number % 3 {
            0 => (with_header("/ws/attack", "Sec-WebSocket-Key", ""), 400),
            1 => (frames::request("/ws/attack", "Content-Length: 3\r\n"), 400),
            _ => (with_header("/ws/attack", "Upgrade", "Upgrade: h2c\r\n"), 426),
        };
        bytes.extend(b"GET /metrics HTTP/1.1\r\nHost: gateway.example\r\n\r\n");
        bytes.extend(frames::request("/ws/attack", ""));
        bytes.extend(frames::frame(frames::FIN | frames::TEXT, b"smuggled"));
        wire.push(&bytes).await;
        wire.finish().await;
        let all = String::from_utf8_lossy(&wire.rest(SOON).await).into_owned();
        let status = all.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        seen.check(
            "behind a refusal",
            status.map_or(Outcome::Cut, Outcome::Status),
            Outcome::Status(wanted),
        );
        if all.matches("HTTP/1.1 ").count() > 1 {
            seen.wrong("bytes behind a refused upgrade were answered".to_owned());
        }
        seen.owe("handshake_invalid");
        seen
    });
    Ok(seen.await)
}

/// Opens with each offer in turn: all are served, and none is answered what it may not be.
async fn offers(target: Target, offers: Vec<String>) -> Result<Seen> {
    let offers = std::sync::Arc::<[String]>::from(offers);
    let seen = target.storm(300, move |number| {
        let offers = std::sync::Arc::clone(&offers);
        async move {
            let offer = &offers[number as usize % offers.len()];
            let mut seen = Seen::default();
            let Ok(mut wire) = Wire::connect(target.addr).await else {
                seen.add(Outcome::Cut);
                return seen;
            };
            wire.push(&frames::request("/ws/attack", offer)).await;
            match wire.answer().await {
                Ok(head) => {
                    let shown: String = offer.chars().take(80).collect();
                    if let Some(why) = ill_answered(offer, &head) {
                        seen.wrong(format!("{shown:?} is answered {why}"));
                    }
                    seen.check(&shown, wire.is_served().await, Outcome::Served);
                }
                Err(outcome) => seen.add(outcome),
            }
            seen
        }
    });
    Ok(seen.await)
}

/// What must not be answered to an offer: an extension that was offered with nothing but traps,
/// or parameters beyond RFC 7692.
fn ill_answered(offer: &str, head: &str) -> Option<String> {
    let answer = header_of(head, "Sec-WebSocket-Extensions")?;
    let parameters: Vec<_> = answer.split(';').map(str::trim).collect();
    let window = |part: &&str| {
        part.strip_prefix("server_max_window_bits=")
            .or_else(|| part.strip_prefix("client_max_window_bits="))
            .is_some_and(|bits| !matches!(bits.parse(), Ok(8..=15)))
    };
    let twice = (1..parameters.len()).any(|at| parameters[..at].contains(&parameters[at]));
    let ill = !offer.contains(GOOD) || parameters[0] != GOOD || twice;
    (ill || parameters.iter().any(window)).then(|| answer.to_owned())
}

const GOOD: &str = "permessage-deflate";

/// Every size of a window for either side, and parameters that are no such thing.
fn deflate_offers() -> Vec<String> {
    let line = |parameters: &str| format!("Sec-WebSocket-Extensions: {GOOD}{parameters}\r\n");
    let mut offers: Vec<_> = (0..=255)
        .flat_map(|bits| {
            ["server_max_window_bits", "client_max_window_bits"]
                .map(|name| line(&format!("; {name}={bits}")))
        })
        .collect();
    offers.extend(
        [
            "; server_max_window_bits",
            "; server_max_window_bits=\"10\"",
            "; server_max_window_bits=10; server_max_window_bits=11",
            "; client_no_context_takeover; client_no_context_takeover",
            "; client_no_context_takeover=1",
            "; server_max_window_bits=-1",
            "; server_max_window_bits=18446744073709551626",
            "; server_max_window_bits=08",
            "; unknown",
            ", permessage-deflate; unknown, ,",
            "; __proto__=1; constructor",
        ]
        .map(line),
    );
    offers
}

fn endless_offers() -> Vec<String> {
    let mut protocols = String::from("Sec-WebSocket-Protocol: a");
    for number in 0.. {
        if protocols.len() > 7_000 {
            break;
        }
        write!(protocols, ", p{number}").expect("a string takes everything");
    }
    let long =
        |name: &str, piece: &str| format!("{name}: {}\r\n", piece.repeat(7_000 / piece.len()));
    vec![
        protocols + "\r\n",
        long("Sec-WebSocket-Protocol", ","),
        long("Sec-WebSocket-Protocol", "a, "),
        long("Sec-WebSocket-Extensions", "x; y=\"\\\\\", "),
        long("Sec-WebSocket-Extensions", "x;"),
        long("Sec-WebSocket-Extensions", "\\"),
        long("Connection", "Upgrade, "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_no_offer_asked_for_is_found() {
        let head =
            |answer: &str| format!("HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: {answer}\r\n");
        let offer = format!("Sec-WebSocket-Extensions: {GOOD}\r\n");
        let good = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
        assert_eq!(ill_answered(&offer, &head(good)), None);
        assert_eq!(ill_answered(&offer, "HTTP/1.1 101 x\r\n"), None);
        for bad in [
            "x-deflate",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; a; a",
        ] {
            assert!(ill_answered(&offer, &head(bad)).is_some(), "{bad}");
        }
        assert!(ill_answered("Sec-WebSocket-Extensions: x\r\n", &head(good)).is_some());
    }

    #[test]
    fn endless_offers_stay_below_the_bound_of_a_request() {
        for offer in endless_offers() {
            assert!((6_000..7_500).contains(&offer.len()), "{}", offer.len());
        }
    }
}
