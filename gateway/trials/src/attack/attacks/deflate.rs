//! Compressed messages that are no such thing, or too much of one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{BINARY, CONTINUATION, FIN, FLUSH, PING, RSV1, TEXT, deflated, frame};
use super::super::outcome::{Outcome, Seen};
use super::super::target::Target;
use super::super::wire::{DEFLATE, SOON, Wire, header_of};

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "deflate-bomb",
        about: "A mebibyte on the wire that is a gibibyte of zeros: memory and time for nothing.",
        pace: "5 connections a second, each 1 MiB that inflates to 1 GiB",
        limits: &["inflated_bytes"],
        outcomes: &[Outcome::Closed(1009)],
        growth_max: Some(24 << 20),
        setting: Setting {
            limits: "message_bytes_max = \"2MiB\"",
            phase: Duration::from_secs(4),
            ..PLAIN
        },
        run: |target| Box::pin(bombs(target, 5, 1_024)),
        ..COMMON
    },
    Attack {
        name: "deflate-bombs",
        about: "Many small bombs, each just beyond the bound: the shard inflates for nobody.",
        pace: "60 connections a second, each 5 KiB that inflates to 5 MiB",
        limits: &["inflated_bytes"],
        outcomes: &[Outcome::Closed(1009)],
        growth_max: Some(24 << 20),
        setting: Setting { limits: "message_bytes_max = \"1MiB\"", ..PLAIN },
        run: |target| Box::pin(bombs(target, 60, 5)),
        ..COMMON
    },
    Attack {
        name: "deflate-rate",
        about: "Messages that are allowed, a hundredth as long on the wire: time for nothing.",
        pace: "20 connections a second, each 2.5 MiB in 40 messages at once; 1 MiB a second is due",
        limits: &["inflate_rate"],
        outcomes: &[Outcome::Served],
        growth_max: Some(8 << 20),
        setting: Setting { limits: "inflated_bytes_per_sec = \"1MiB\"", ..PLAIN },
        run: |target| Box::pin(rate(target)),
        ..COMMON
    },
    Attack {
        name: "deflate-malformed",
        about: "Compressed messages that are no deflate, and bits where they may not be.",
        pace: "200 connections a second, one case each",
        limits: &["protocol"],
        outcomes: &[Outcome::Closed(1002), Outcome::Closed(1007)],
        run: |target| Box::pin(malformed(target)),
        ..COMMON
    },
];

/// So many mebibytes of zeros as RFC 7692 writes them: blocks that end at a byte, each on its own.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mebibyte = deflated(&vec![0; 1 << 20]);
    vec![mebibyte; mebibytes].join(&FLUSH[..])
}

/// Opens with compression, or notes why not.
async fn open(target: Target, path: &str, seen: &mut Seen) -> Option<Wire> {
    let mut wire = Wire::connect(target.addr).await.ok()?;
    wire.push(&super::super::frames::request(path, DEFLATE)).await;
    match wire.answer().await {
        Ok(head) if header_of(&head, "Sec-WebSocket-Extensions").is_some() => Some(wire),
        Ok(_) => {
            seen.wrong("compression was offered and not taken".to_owned());
            None
        }
        Err(outcome) => {
            seen.add(outcome);
            None
        }
    }
}

async fn bombs(target: Target, per_sec: u32, mebibytes: usize) -> Result<Seen> {
    let payload = bomb(mebibytes);
    let wired = payload.len();
    let bomb = Arc::<[u8]>::from(frame(FIN | RSV1 | BINARY, &payload));
    let mut seen = target
        .storm(per_sec, |_| {
            let bomb = Arc::clone(&bomb);
            async move {
                let mut seen = Seen::default();
                let Some(mut wire) = open(target, "/ws/attack", &mut seen).await else {
                    return seen;
                };
                wire.push(&bomb).await;
                let outcome = wire.outcome(SOON).await;
                seen.check("a bomb", outcome, Outcome::Closed(1009));
                if outcome == Outcome::Closed(1009) {
                    seen.owe("inflated_bytes");
                }
                seen
            }
        })
        .await;
    seen.notes.push(format!("each bomb is {wired} bytes for {mebibytes} MiB"));
    Ok(seen)
}

async fn rate(target: Target) -> Result<Seen> {
    let zeros = frame(FIN | RSV1 | BINARY, &deflated(&vec![0; 64 << 10]));
    let burst = Arc::<[u8]>::from(zeros.repeat(40));
    let seen = target.storm(20, |number| {
        let burst = Arc::clone(&burst);
        async move {
            let mut seen = Seen::default();
            // Nobody else is there to hear it.
            let path = format!("/ws/alone-{number}");
            let Some(mut wire) = open(target, &path, &mut seen).await else { return seen };
            wire.push(&burst).await;
            // It is read from more slowly; what is behind is heard all the same.
            seen.check("a burst", wire.is_served().await, Outcome::Served);
            seen.owe("inflate_rate");
            seen
        }
    });
    Ok(seen.await)
}

async fn malformed(target: Target) -> Result<Seen> {
    let compressed = |bytes: &[u8]| frame(FIN | RSV1 | BINARY, bytes);
    let cases = [
        ("a block of no type", compressed(&[0x07, 0xff]), 1007),
        ("a length that is not its complement", compressed(&[0, 5, 0, 5, 0, 1]), 1007),
        (
            "a distance before the beginning",
            compressed(&[0x4b, 0x04, 0x62, 0x00, 0xff, 0xff, 0x07]),
            1007,
        ),
        ("nothing but ones", compressed(&[0xff; 64]), 1007),
        (
            "text that is not UTF-8",
            frame(FIN | RSV1 | TEXT, &[0x01, 2, 0, 0xfd, 0xff, 0xff, 0xfe]),
            1007,
        ),
        ("a compressed ping", frame(FIN | RSV1 | PING, b""), 1002),
        (
            "a bit on a continuation",
            [frame(RSV1 | BINARY, b""), frame(FIN | RSV1 | CONTINUATION, b"")].concat(),
            1002,
        ),
        ("another bit", frame(FIN | 0x20 | BINARY, b""), 1002),
    ];
    let cases = Arc::new(cases);
    let seen = target.storm(200, |number| {
        let cases = Arc::clone(&cases);
        async move {
            let mut seen = Seen::default();
            let Some(mut wire) = open(target, "/ws/attack", &mut seen).await else { return seen };
            let (what, bytes, code) = &cases[number as usize % cases.len()];
            wire.push(bytes).await;
            let outcome = wire.outcome(SOON).await;
            seen.check(what, outcome, Outcome::Closed(*code));
            if outcome == Outcome::Closed(1002) {
                seen.owe("protocol");
            }
            seen
        }
    });
    Ok(seen.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_inflates_to_what_it_says_and_is_a_thousand_times_shorter() {
        let mut bomb = bomb(3);
        assert!(bomb.len() < 3 * 1_200, "{}", bomb.len());
        bomb.extend(FLUSH);
        let mut inflated = vec![1; (3 << 20) + 1];
        let mut reader = flate2::Decompress::new(false);
        let flush = flate2::FlushDecompress::Sync;
        reader.decompress(&bomb, &mut inflated, flush).expect("it is deflate");
        assert_eq!(reader.total_out(), 3 << 20);
        assert!(inflated[..3 << 20].iter().all(|byte| *byte == 0));
    }
}
