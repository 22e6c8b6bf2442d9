//! Frames that break the protocol.

use anyhow::Result;

use super::super::attack::{Attack, COMMON, PLAIN, Setting};
use super::super::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, close, frame, header, request,
};
use super::super::outcome::{Outcome, Seen};
use super::super::target::{Case, Target};

/// Connections a second, each with one case.
const PER_SEC: u32 = 300;
const PACE: &str = "300 connections a second, one case each";
const BROKEN: &[Outcome] = &[Outcome::Closed(1002)];

pub(super) const ATTACKS: [Attack; 10] = [
    Attack {
        name: "length-declared",
        about: "Ten bytes that declare up to 2^63-1: who makes room for it has none left.",
        pace: PACE,
        limits: &["message_bytes"],
        outcomes: &[Outcome::Closed(1009)],
        growth_max: Some(4 << 20),
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, declared()).await) }),
        ..COMMON
    },
    Attack {
        name: "length-impossible",
        about: "Lengths with the top bit, or in more bytes than they need: arithmetic overflows.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, impossible()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "control-size",
        about: "Control frames of 126 bytes and more: fixed buffers overflow.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, long_controls()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "control-fragmented",
        about: "Control frames in pieces: two messages that are unfinished at once.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, cut_controls()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "opcode-reserved",
        about: "Opcodes that there are not, continuations of nothing: states nobody thought of.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, opcodes()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "bits-reserved",
        about: "Bits of extensions that were never agreed on.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, bits()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "unmasked",
        about: "Frames without a mask: a page could write requests that caches on the way believe.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, unmasked()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "close-illegal",
        about: "Close frames with half a code, or one that is never sent: peers are told nonsense.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, closes()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "handshake-again",
        about: "A second request on the open connection: a proxy would think it is HTTP again.",
        run: |target| Box::pin(async move { Ok(target.cases(PER_SEC, again()).await) }),
        ..VIOLATION
    },
    Attack {
        name: "utf8-invalid",
        about: "Text and close reasons that are not UTF-8: every reader behind us stumbles.",
        pace: PACE,
        limits: &["utf8"],
        outcomes: &[Outcome::Closed(1007)],
        setting: Setting { limits: "close_secs = 2", ..PLAIN },
        run: |target| Box::pin(utf8(target)),
        ..COMMON
    },
];

const VIOLATION: Attack = Attack { pace: PACE, limits: &["protocol"], outcomes: BROKEN, ..COMMON };

fn broken(what: &str, bytes: Vec<u8>) -> Case {
    Case::frames(what, bytes, 1002).counted("protocol")
}

fn declared() -> Vec<Case> {
    [(32 << 20) + 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1]
        .map(|declared: u64| {
            let what = format!("{declared} bytes declared");
            Case::frames(&what, header(FIN | BINARY, declared), 1009).counted("message_bytes")
        })
        .into()
}

fn impossible() -> Vec<Case> {
    let mut cases: Vec<_> = [1 << 63, u64::MAX, u64::MAX - 3, (1 << 63) + 1]
        .map(|declared: u64| broken("the top bit", header(FIN | BINARY, declared)))
        .into();
    let padded = [
        ("five bytes in two", [&[FIN | BINARY, 0xfe, 0, 5][..], &[0; 9]].concat()),
        ("125 bytes in two", [&[FIN | BINARY, 0xfe, 0, 125][..], &[0; 129]].concat()),
        (
            "five bytes in eight",
            [&[FIN | BINARY, 0xff, 0, 0, 0, 0, 0, 0, 0, 5][..], &[0; 9]].concat(),
        ),
        (
            "65,535 bytes in eight",
            [&[FIN | BINARY, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..], &[0; 4]].concat(),
        ),
    ];
    cases.extend(padded.map(|(what, bytes)| broken(what, bytes)));
    cases
}

fn long_controls() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [PING, PONG, CLOSE] {
        for declared in [126, 1_000, 65_536, 1 << 40] {
            let what = format!("opcode {opcode} of {declared} bytes");
            cases.push(broken(&what, header(FIN | opcode, declared)));
        }
    }
    cases
}

fn cut_controls() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [PING, PONG, CLOSE] {
        let pieces = [frame(opcode, b"a"), frame(FIN | CONTINUATION, b"b")].concat();
        cases.push(broken(&format!("opcode {opcode} in two pieces"), pieces.clone()));
        let within = [frame(TEXT, b"a"), pieces].concat();
        cases.push(broken(&format!("opcode {opcode} in two pieces within a text"), within));
    }
    cases
}

fn opcodes() -> Vec<Case> {
    let reserved = (0x3..=0x7).chain(0xb..=0xf);
    let mut cases: Vec<_> = reserved
        .map(|opcode| broken(&format!("opcode {opcode}"), frame(FIN | opcode, b"")))
        .collect();
    cases.push(broken("a continuation of nothing", frame(FIN | CONTINUATION, b"a")));
    cases.push(broken("a fragment of nothing", frame(CONTINUATION, b"a")));
    let two = [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat();
    cases.push(broken("a text within a text", two));
    let after = [frame(FIN | TEXT, b"a"), frame(FIN | CONTINUATION, b"b")].concat();
    cases.push(broken("a continuation after the end", after));
    cases
}

fn bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..8_u8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let first = FIN | bits << 4 | opcode;
            cases.push(broken(&format!("{first:#x}"), frame(first, b"")));
        }
    }
    let within = [frame(TEXT, b"a"), frame(FIN | RSV1 | CONTINUATION, b"b")].concat();
    cases.push(broken("a bit on a continuation", within));
    cases
}

fn unmasked() -> Vec<Case> {
    [TEXT, BINARY, PING, CLOSE]
        .map(|opcode| broken(&format!("opcode {opcode} without a mask"), vec![FIN | opcode, 0]))
        .into_iter()
        .chain([broken("a text without a mask", vec![FIN | TEXT, 2, b'h', b'i'])])
        .collect()
}

fn closes() -> Vec<Case> {
    let illegal = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let mut cases: Vec<_> =
        illegal.map(|code| broken(&format!("code {code}"), close(code, b""))).into();
    cases.push(broken("half a code", frame(FIN | CLOSE, &[3])));
    cases
}

fn again() -> Vec<Case> {
    vec![
        broken("another handshake", request("/ws/attack", "")),
        broken("another request", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
    ]
}

/// What is no UTF-8, as the end of a text.
const NO_TEXT: [(&str, &[u8]); 8] = [
    ("a byte that begins nothing", b"ok \x80"),
    ("a byte that never comes", b"ok \xff"),
    ("an overlong slash", b"\xc0\xaf"),
    ("an overlong zero", b"\xe0\x80\x80"),
    ("a surrogate", b"\xed\xa0\x80"),
    ("beyond the last character", b"\xf4\x90\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("half a character", b"\xe2\x82"),
];

async fn utf8(target: Target) -> Result<Seen> {
    let case = |what: &str, bytes| Case::frames(what, bytes, 1007).counted("utf8");
    let mut cases = Vec::new();
    for (what, bytes) in NO_TEXT {
        cases.push(case(what, frame(FIN | TEXT, bytes)));
        cases.push(case(&format!("{what} in a reason"), close(1000, bytes)));
        let last = [frame(TEXT, b"ok "), frame(FIN | CONTINUATION, bytes)].concat();
        cases.push(case(&format!("{what} in a last fragment"), last));
    }
    // It fails at once: nobody waits for the end of the message, nor of the frame.
    for (what, bytes) in NO_TEXT.into_iter().filter(|(what, _)| !what.starts_with("half")) {
        cases.push(case(&format!("{what} in a first fragment"), frame(TEXT, bytes)));
        let whole = frame(FIN | TEXT, &[bytes, &[b'a'; 100]].concat());
        let begun = whole[..6 + bytes.len()].to_vec();
        cases.push(case(&format!("{what} in a frame that has begun"), begun));
    }
    Ok(target.cases(PER_SEC, cases).await)
}
