//! What clients choose, and the tokens that they show, as an operator meets them: in logs, metrics
//! and probes of the binary.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use process::Weir;
use rustix::process::Signal;
use support::{PATIENCE, connect, next, say};

/// A token that nothing may repeat.
const CANARY: &str = "canary-1c4b86f0";
/// One that opens nothing.
const STRANGER: &str = "canary-stranger";

/// Every line of a message is logged, in rooms that are open and in those that are not.
const ROUTES: &str = "
[[route]]
path = '/ws/{room}'
namespace = 'ws'
include_sender = true
middleware = ['log', 'metrics']

[[route]]
path = '/ws/chat/{room}'
namespace = 'chat'
kind = 'chat'
auth = 'bearer'
middleware = ['log']
";

/// A node that logs all it can, and where its operators look.
fn talkative(format: &str) -> (Weir, SocketAddr) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("injection-{format}.toml"));
    std::fs::write(&path, ROUTES).unwrap();
    let flags = ["--config", path.to_str().unwrap(), "--debug", "--log-format", format];
    let variables = [("WEIR_ADMIN", "127.0.0.1:0"), ("WEIR_TOKEN", CANARY)];
    let mut weir = Weir::start_with(&flags, &variables);
    let admin = weir.admin();
    (weir, admin)
}

/// The whole answer to a request, or what there is of it when the stream is cut.
fn ask(addr: SocketAddr, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn ended(mut weir: Weir) -> String {
    weir.signal(Signal::TERM);
    weir.end().1
}

/// Lines of a log have nothing in them that a terminal or another line could be made of.
fn assert_tame(log: &str) {
    for line in log.lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{2028}', '\u{feff}']), "{line:?}");
        assert!(line.len() < 1_200, "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_clients_choose_forge_no_line_and_no_label() {
    let forged = "x%22%20verdict=%22served%22%20admin=%22%27%5c";
    let turned = "%e2%80%ae%e2%80%a8%ef%bb%bfevil";
    let long = "r".repeat(255);
    for format in ["text", "json"] {
        let (weir, admin) = talkative(format);
        for name in [forged, turned, &long] {
            let mut client = connect(weir.addr, &format!("/ws/{name}")).await;
            say(&mut client, "hello").await;
            next(&mut client).await;
            let told = [ask(admin, "/metrics", ""), ask(admin, "/probes", "")];
            assert!(told.iter().all(|told| !told.contains("evil") && !told.contains(&long[..65])));
            assert!(!told[0].contains("verdict=\"served\" admin"), "{}", told[0]);
        }
        for target in ["/ws/%0d%0aINFO%20forged", "/ws/%1b%5b2J", "/ws/a?name=%0aINFO"] {
            let origin = "Origin: https://evil.example\r\n";
            let answer = ask(weir.addr, target, origin);
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        let log = ended(weir);
        let lines: Vec<_> = log.lines().filter(|line| line.contains("/ws/{room}")).collect();
        let of = |name: &str| lines.iter().filter(|line| line.contains(name)).count();
        assert_eq!((of("admin="), of("evil"), of(&long[..64])), (1, 1, 1), "{log}");
        assert_eq!(lines.len(), 3, "one for each message: {log}");
        assert_eq!(of(&long[..65]), 0, "cut: {log}");
        assert!(!log.contains("forged") && !log.contains("evil.example"), "{log}");
        assert!(!log.contains(" verdict=\"served\" admin"), "quotes are escaped: {log}");
        assert_tame(&log);
    }
}

#[test]
fn tokens_are_shown_nowhere() {
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Version: 13\r\n";
    for format in ["text", "json"] {
        let (weir, admin) = talkative(format);
        for token in [CANARY, STRANGER] {
            let header = format!("Authorization: Bearer {token}\r\n");
            let offered = format!("Sec-WebSocket-Protocol: weir.raw, bearer.{token}\r\n");
            let query = format!("?access_token={token}");
            for (query, headers) in [("", &*header), ("", &offered), (&query, "")] {
                // Served, or refused since `Connection` does not name the upgrade.
                let target = format!("/ws/chat/lobby{query}");
                let answer = ask(weir.addr, &target, &format!("{upgrade}{headers}"));
                assert!(!answer.contains("canary"), "{answer}");
                let mut stream = TcpStream::connect(weir.addr).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n");
                stream.write_all(format!("{head}{upgrade}{headers}\r\n").as_bytes()).unwrap();
                let mut status = [0; 12];
                stream.read_exact(&mut status).unwrap();
                let expected = if token == CANARY { b"HTTP/1.1 101" } else { b"HTTP/1.1 401" };
                assert_eq!(&status, expected);
            }
        }
        for target in ["/metrics", "/probes", "/readyz"] {
            assert!(!ask(admin, target, "").contains("canary"), "{target}");
        }
        let log = ended(weir);
        assert!(!log.contains("canary"), "{log}");
        assert!(log.contains("token"), "the limit was hit, and is told: {log}");
        assert_tame(&log);
    }
}
