//! What must be true of every request and of its answer.

use std::fmt::Write;

use gateway_core::handshake::{Refusal, Request, head_end, percent_decode};
use gateway_core::limits::Limits;

pub(crate) fn check(data: &[u8], limits: &Limits) {
    let end = head_end(data, 0);
    check_search(data, end);
    let head = &data[..end.unwrap_or(data.len())];
    let request = match Request::parse(head, limits) {
        Ok(request) => request,
        Err(refusal) => return check_refusal(&refusal),
    };
    check_target(&request, limits);
    match request.upgrade() {
        Ok(upgrade) => {
            check_upgrade(head, &request);
            let mut response = Vec::new();
            upgrade.write_response(&mut response);
            assert_eq!(head_end(&response, 0), Some(response.len()), "a response without a body");
        }
        Err(refusal) => check_refusal(&refusal),
    }
}

/// A head is found at its end, and not before, when it comes byte by byte.
fn check_search(data: &[u8], end: Option<usize>) {
    let found = (1..=data.len()).find_map(|len| head_end(&data[..len], len - 1));
    assert_eq!(found, end, "the same end byte by byte");
}

fn check_target(request: &Request<'_>, limits: &Limits) {
    let path = request.path();
    assert!(!path.is_empty() && !path.contains(['?', '#', ' ']), "{path:?} is a path");
    check_refusal(&Refusal::not_found(path));
    for segment in path.split('/') {
        match percent_decode(segment, "the name", limits.room_name_bytes_max) {
            Ok(name) => check_name(&name, limits.room_name_bytes_max),
            Err(refusal) => check_refusal(&refusal),
        }
    }
    match request.query().parameter("name", limits.room_name_bytes_max) {
        Ok(name) => check_name(&name.unwrap_or_default(), limits.room_name_bytes_max),
        Err(refusal) => check_refusal(&refusal),
    }
}

/// A name is bounded and printable, and is the same when it is encoded and decoded again.
fn check_name(name: &str, bytes_max: usize) {
    assert!(name.len() <= bytes_max && !name.contains(char::is_control), "{name:?} is a name");
    let mut encoded = String::new();
    for byte in name.bytes() {
        write!(encoded, "%{byte:02x}").expect("a string takes all");
    }
    assert_eq!(percent_decode(&encoded, "the name", bytes_max).as_deref(), Ok(name));
}

/// The headers of a handshake are there, each once and with its value.
fn check_upgrade(head: &[u8], request: &Request<'_>) {
    assert!(request.is_get() && request.wants_upgrade());
    assert!(head.starts_with(b"GET ") || head.starts_with(b"\r\n"));
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let lines: Vec<_> = head.split("\r\n").filter_map(|line| line.split_once(':')).collect();
    let values = |name| {
        let named = lines.iter().filter(move |(of, _)| *of == name);
        named.map(|(_, value)| value.trim()).collect::<Vec<_>>()
    };
    assert_eq!(values("sec-websocket-version"), ["13"]);
    assert_eq!(values("host").len(), 1);
    assert!(matches!(values("sec-websocket-key")[..], [key] if key.len() == 24));
    assert!(values("upgrade").iter().any(|value| value.contains("websocket")));
    assert!(values("connection").iter().any(|value| value.contains("upgrade")));
    assert!(values("transfer-encoding").is_empty());
    assert!(values("content-length").iter().all(|value| *value == "0"));
}

/// A refusal is a whole response, and its body one line.
fn check_refusal(refusal: &Refusal) {
    let mut response = Vec::new();
    refusal.write_response(&mut response);
    let response = String::from_utf8(response).expect("a refusal is text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head has an end");
    let status = format!("HTTP/1.1 {} ", refusal.status as u16);
    assert!(head.starts_with(&status), "{head}");
    assert!(head.lines().any(|line| line == format!("Content-Length: {}", body.len())));
    let line = body.strip_suffix('\n').expect("a line has an end");
    assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?} is one line");
}
