//! Upgrade requests as proxies and load balancers pass them on.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use gateway_core::handshake::{Refusal, Request, Upgrade};
use gateway_core::limits::Limits;

const HEADERS: [&str; 5] = [
    "Host: gateway.example",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A request for this target with these headers, in this order.
fn head(target: &str, headers: &[&str]) -> String {
    format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"))
}

fn upgrade(head: &str) -> Result<Upgrade, Refusal> {
    Request::parse(head.as_bytes(), &Limits::default())?.upgrade()
}

/// The headers with another one in place of that of the same name.
fn with(header: &'static str) -> Vec<&'static str> {
    let name = |line: &str| line.split_once(':').unwrap().0.to_owned();
    HEADERS.map(|line| if name(line) == name(header) { header } else { line }).to_vec()
}

#[test]
fn headers_may_come_in_any_order_and_any_case() {
    let expected = upgrade(&head("/ws/lobby", &HEADERS)).unwrap();
    let write: [fn(&str) -> String; 3] = [str::to_owned, str::to_lowercase, str::to_uppercase];
    for turn in 0..HEADERS.len() {
        for write in write {
            let named = HEADERS.map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                format!("{}:{value}", write(name))
            });
            let mut lines: Vec<_> = named.iter().map(String::as_str).collect();
            lines.rotate_left(turn);
            for _ in 0..2 {
                let head = head("/ws/lobby", &lines);
                assert_eq!(upgrade(&head), Ok(expected.clone()), "{head}");
                lines.reverse();
            }
        }
    }
}

#[test]
fn what_proxies_make_of_connection_and_upgrade_is_understood() {
    for header in [
        "Connection: keep-alive, Upgrade",
        "Connection: Upgrade, keep-alive",
        "Connection: keep-alive,upgrade",
        "Connection: ,, Keep-Alive ,\tUPGRADE ,",
        "Connection: upgrade,upgrade",
        "Upgrade: WebSocket",
        "Upgrade: WEBSOCKET, h2c",
    ] {
        assert!(upgrade(&head("/ws/lobby", &with(header))).is_ok(), "{header}");
    }
    // Over several lines, be others of no interest between them.
    for split in [&["Connection: keep-alive"][..], &["X-Forwarded-For: ::1", "connection:TE"]] {
        let lines = [split, &HEADERS[..], split].concat();
        assert!(upgrade(&head("/ws/lobby", &lines)).is_ok(), "{lines:?}");
    }
    for header in ["Connection: keep-alive Upgrade", "Connection: \"upgrade\"", "Upgrade: web"] {
        assert!(upgrade(&head("/ws/lobby", &with(header))).is_err(), "{header}");
    }
}

#[test]
fn subprotocols_over_several_lines_are_one_list() {
    let lines = [
        &["Sec-WebSocket-Protocol: a, b"][..],
        &HEADERS,
        &["sec-websocket-protocol: c", "SEC-WEBSOCKET-PROTOCOL:,d ,"],
    ];
    let head = head("/ws/lobby", &lines.concat());
    let request = Request::parse(head.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}

#[test]
fn hosts_are_names_and_addresses_of_both_families_with_a_port_or_without() {
    for host in [
        "Host: gateway.example:443",
        "Host: 192.0.2.7",
        "Host: 192.0.2.7:9002",
        "Host: [2001:db8::7]",
        "Host: [2001:db8::7]:9002",
        "Host: [::1]:9002",
    ] {
        assert!(upgrade(&head("/ws/lobby", &with(host))).is_ok(), "{host}");
        let (_, authority) = host.split_once(": ").unwrap();
        for scheme in ["http", "https", "ws", "wss", "HTTP"] {
            let target = format!("{scheme}://{authority}/ws/lobby?a=b");
            let head = head(&target, &with(host));
            assert!(upgrade(&head).is_ok(), "{target}");
            let request = Request::parse(head.as_bytes(), &Limits::default()).unwrap();
            assert_eq!((request.path(), request.query().only("a")), ("/ws/lobby", Ok(Some("b"))));
        }
    }
}

/// Whether a page of this origin may ask for this target of this host, if it is not listed.
fn is_own(origin: &str, target: &str, host: &'static str) -> bool {
    let origin = format!("Origin: {origin}");
    let lines = [&with(host)[..], &[&origin]].concat();
    let head = head(target, &lines);
    Request::parse(head.as_bytes(), &Limits::default()).unwrap().comes_from(&[])
}

#[test]
fn a_page_of_the_same_host_is_known_by_its_address_and_port() {
    for (origin, host, own) in [
        ("http://[2001:db8::7]:9002", "Host: [2001:db8::7]:9002", true),
        ("https://[2001:db8::7]", "Host: [2001:db8::7]", true),
        ("http://[2001:DB8::7]", "Host: [2001:db8::7]", true),
        ("http://[2001:db8::7]:9002", "Host: [2001:db8::7]", false),
        ("http://[2001:db8::7]", "Host: [2001:db8::7]:9002", false),
        ("http://[2001:db8::8]", "Host: [2001:db8::7]", false),
        ("http://192.0.2.7:80", "Host: 192.0.2.7:8", false),
    ] {
        assert_eq!(is_own(origin, "/ws/lobby", host), own, "{origin} and {host}");
    }
}

#[test]
fn a_target_that_names_the_host_outranks_the_header() {
    let target = "http://gateway.example:9002/ws/lobby";
    assert!(is_own("http://gateway.example:9002", target, "Host: inner.example"));
    assert!(!is_own("http://inner.example", target, "Host: inner.example"));
}
