//! Who may not come in: pages of strangers, and tokens that open nothing.

use anyhow::Result;

use super::super::attack::{Attack, CANARY, COMMON, PLAIN, Setting};
use super::super::frames;
use super::super::outcome::{Outcome, Seen};
use super::super::target::{Case, Target};
use super::super::wire::Wire;

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "origin-foreign",
        about: "A stranger's page connects with the visitor's credentials: cross-site hijacking.",
        pace: "300 requests a second",
        limits: &["origin"],
        outcomes: &[Outcome::Status(403)],
        run: |target| Box::pin(async move { Ok(target.cases(300, foreign()).await) }),
        ..COMMON
    },
    Attack {
        name: "token-wrong",
        about: "Tokens are guessed, by length and letter by letter, wherever one is taken.",
        pace: "300 requests a second",
        limits: &["token", "handshake_invalid"],
        outcomes: &[Outcome::Status(401), Outcome::Status(400)],
        setting: Setting { flags: &["--debug"], ..PLAIN },
        run: |target| Box::pin(async move { Ok(target.cases(300, wrong_tokens()).await) }),
        inspect: silent,
        ..COMMON
    },
    Attack {
        name: "token-canary",
        about: "The right token in header, query or subprotocol: a log that has it gives it away.",
        pace: "200 connections a second, with a line of log for each",
        outcomes: &[Outcome::Served],
        setting: Setting { flags: &["--debug"], ..PLAIN },
        run: |target| Box::pin(canary(target)),
        inspect: silent,
        ..COMMON
    },
];

fn foreign() -> Vec<Case> {
    let bearer = format!("Authorization: Bearer {CANARY}\r\n");
    let case = |origin: &str| {
        let more = format!("{bearer}Origin: {origin}\r\n");
        Case::request(origin, frames::request("/guarded/room", &more), 403).counted("origin")
    };
    let mut cases: Vec<_> = [
        "https://evil.example",
        "null",
        "",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://app.example:8443",
        "http://app.example",
        "https://app.example.",
        "https://app.example/",
        "https://app.exampl\u{435}",
        "https://xn--app-example",
        "https://me@app.example",
        "HTTPS://APP.EXAMPLE",
        "https://app.example, https://evil.example",
        "https://app.example%00.evil.example",
        "file://",
    ]
    .map(case)
    .into();
    let twice = format!("{bearer}Origin: https://app.example\r\nOrigin: https://app.example\r\n");
    let twice = frames::request("/guarded/room", &twice);
    cases.push(Case::request("two origins", twice, 403).counted("origin"));
    cases
}

fn wrong_tokens() -> Vec<Case> {
    let near = &CANARY[..CANARY.len() - 1];
    let upper = CANARY.to_uppercase();
    let long = CANARY.repeat(100);
    let mut cases = Vec::new();
    let mut push = |what: &str, path: &str, more: String| {
        cases.push(Case::request(what, frames::request(path, &more), 401).counted("token"));
    };
    for wrong in ["x", near, &format!("{CANARY}x"), &upper, &long] {
        push("a header", "/guarded/room", format!("Authorization: Bearer {wrong}\r\n"));
        push("a query", &format!("/guarded/room?access_token={wrong}"), String::new());
        let offer = format!("Sec-WebSocket-Protocol: weir.raw, bearer.{wrong}\r\n");
        push("a subprotocol", "/guarded/room", offer);
    }
    push("no token", "/guarded/room", String::new());
    push("another scheme", "/guarded/room", format!("Authorization: Basic {CANARY}\r\n"));
    push("another case", &format!("/guarded/room?ACCESS_TOKEN={CANARY}"), String::new());
    // What cannot be a token is no guess.
    for (what, token) in [("nothing", String::new()), ("too much", "x".repeat(4_097))] {
        let more = format!("Authorization: Bearer {token}\r\n");
        let request = frames::request("/guarded/room", &more);
        cases.push(Case::request(what, request, 400).counted("handshake_invalid"));
    }
    cases
}

async fn canary(target: Target) -> Result<Seen> {
    let seen = target.storm(200, move |number| async move {
        let mut seen = Seen::default();
        let header = format!("Authorization: Bearer {CANARY}\r\n");
        let offer = format!("Sec-WebSocket-Protocol: weir.raw, bearer.{CANARY}\r\n");
        let query = format!("/guarded/room?access_token={CANARY}");
        let (what, path, more) = match number % 5 {
            0 => ("a header", "/guarded/room", header),
            1 => ("a query", &*query, String::new()),
            2 => ("a subprotocol", "/guarded/room", offer),
            3 => ("our own page", "/guarded/room", header + "Origin: https://app.example\r\n"),
            _ => ("a page of this host", &*query, "Origin: http://gateway.example\r\n".to_owned()),
        };
        let outcome = match Wire::open(target.addr, path, &more).await {
            Ok(mut wire) => wire.is_served().await,
            Err(outcome) => outcome,
        };
        seen.check(what, outcome, Outcome::Served);
        seen
    });
    Ok(seen.await)
}

/// Looks for the token where everybody may read.
fn silent(log: &str, metrics: &str, seen: &mut Seen) {
    let canary = CANARY.to_lowercase();
    for (what, text) in [("log", log), ("metrics", metrics)] {
        if text.to_lowercase().contains(&canary[..canary.len() - 1]) {
            seen.wrong(format!("the token stands in the {what}"));
        }
    }
    seen.notes.push(format!("{} lines of log do not have the token", log.lines().count()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_sings_is_heard() {
        let wrongs = |log: &str, metrics: &str| {
            let mut seen = Seen::default();
            silent(log, metrics, &mut seen);
            seen.wrongs.len()
        };
        assert_eq!(wrongs("closed\n", "weir_ready 1\n"), 0);
        assert_eq!(wrongs(&format!("GET /?access_token={CANARY}\n"), ""), 1);
        assert_eq!(wrongs("", &CANARY.to_uppercase()), 1);
    }
}
