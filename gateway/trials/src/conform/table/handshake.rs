//! The opening handshake: what is accepted, what is refused, and with which status.

use super::super::opening::{Answer, Request, Route};
use super::super::script::Script;
use super::Sheet;
use crate::raw::Frame;

/// RFC 6455 §4.4 and RFC 9110 §15.5.22: what a client is told to do better.
const UPGRADE: [(&str, &str); 3] =
    [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")];

pub(super) fn put(sheet: &mut Sheet) {
    accepted(sheet);
    targets(sheet);
    keys(sheet);
    subprotocols(sheet);
    followed(sheet);
    refused_headers(sheet);
    refused_lines(sheet);
    bodies(sheet);
    bounds(sheet);
}

fn plain() -> Request {
    Request::to(Route::Simple, 3)
}

/// The request is answered 101, and messages come back.
fn succeeds(sheet: &mut Sheet, says: impl Into<String>, request: &Request) {
    sheet.case(says, works(Script::after(request)));
}

fn works(script: Script) -> Script {
    script.say(&Frame::text("hello")).text("hello").bye()
}

fn refuses(sheet: &mut Sheet, says: impl Into<String>, bytes: Vec<u8>, status: u16) {
    let headers: &[_] = match status {
        405 => &[("Allow", "GET")],
        426 => &UPGRADE,
        _ => &[],
    };
    let says = format!("{}: {status}", says.into());
    sheet.case(says, Script::with(bytes, Answer::Refused { status, headers }));
}

fn accepted(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.2.1");
    succeeds(sheet, "what the RFC asks for, and nothing else", &plain());
    let mut reversed = plain();
    reversed.headers.reverse();
    succeeds(sheet, "headers in another order", &reversed);
    for (what, change) in [
        ("in upper case", str::to_uppercase as fn(&str) -> String),
        ("in lower case", str::to_lowercase),
    ] {
        let mut request = plain();
        for header in &mut request.headers {
            let (name, value) = header.split_once(':').expect("a header has a name");
            *header = format!("{}:{value}", change(name));
        }
        succeeds(sheet, format!("names of headers {what}"), &request);
    }
    for header in [
        "Connection: keep-alive, Upgrade",
        "Connection: keep-alive,upgrade",
        "Connection:Upgrade,keep-alive",
        "Connection: \tUPGRADE \t",
        "Upgrade: WebSocket",
        "Upgrade: h2c, websocket",
        "Upgrade: websocket, h2c",
        "Sec-WebSocket-Version:13",
        "Sec-WebSocket-Version: \t13 \t",
        "Host: [::1]:8080",
        "Host: [2001:db8::7]",
        "Host: example.org",
    ] {
        succeeds(sheet, format!("`{}`", header.replace('\t', "␉")), &plain().with(header));
    }
    for header in [
        "Connection: keep-alive",
        "Upgrade: h2c",
        "Content-Length: 0",
        "Cookie: name=caf\u{e9}",
        "X-Empty:",
        "Origin: https://elsewhere.example",
        "Sec-WebSocket-Extensions: x-unknown; a=\"b\", bbf-usp-protocol",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "X-Forwarded-For: 192.0.2.1, 2001:db8::7",
    ] {
        succeeds(sheet, format!("one more header, `{header}`"), &plain().and(header));
    }
}

fn targets(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §3");
    for target in [
        "/ws/simple?",
        "/ws/simple?key=value&flag",
        "/ws/simple?a=/b?c",
        "/ws/simpl%65",
        "http://localhost:8080/ws/simple",
        "HTTP://localhost/ws/simple?a=b",
        "ws://localhost:8080/ws/simple",
        "https://[::1]:8080/ws/simple",
    ] {
        let request = plain().first(format!("GET {target} HTTP/1.1"));
        succeeds(sheet, format!("the target {target}"), &request);
    }
    for (target, status) in [
        ("/nowhere/at/all", 404),
        ("/ws/simple/", 404),
        ("/WS/SIMPLE", 404),
        ("ftp://localhost/ws/simple", 404),
        ("*", 404),
        ("/ws/simple#fragment", 400),
    ] {
        let bytes = plain().first(format!("GET {target} HTTP/1.1")).bytes();
        refuses(sheet, format!("the target {target}"), bytes, status);
    }
}

fn keys(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.2.2");
    // The RFC's own examples; the bits that the last digit of one has too many are not zero.
    for key in ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==", "x3JJHMbDL1EzLkh9GBhXDw=="]
    {
        let mut request = plain().with(&format!("Sec-WebSocket-Key: {key}"));
        request.key = key.to_owned();
        succeeds(sheet, format!("the key {key} is proved to have been read"), &request);
    }
    for seed in 100..110 {
        let request = Request::to(Route::Plain, seed);
        succeeds(sheet, format!("the key {} is proved to have been read", request.key), &request);
    }
}

fn subprotocols(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.2.2");
    let offering = |lists: &[&str]| {
        let offer =
            |request: Request, list: &&str| request.and(format!("Sec-WebSocket-Protocol: {list}"));
        Script::after(&lists.iter().fold(plain(), offer))
    };
    for lists in [
        &["weir.raw"][..],
        &["chat, weir.raw"],
        &["weir.raw,chat"],
        &["chat,superchat , weir.raw"],
        &["chat", "weir.raw"],
        &[",, weir.raw,"],
    ] {
        let script = works(offering(lists).picking("weir.raw"));
        sheet.case(
            format!("of the subprotocols {lists:?} the one that is spoken is picked"),
            script,
        );
    }
    for lists in [&["chat"][..], &["chat, superchat"], &["Weir.Raw"], &["weir.raw.v9"], &[","]] {
        sheet.case(format!("of the subprotocols {lists:?} none is picked"), works(offering(lists)));
    }
}

fn followed(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.2.2");
    for pieces in [1, 2, 7, 50] {
        let script = works(Script::after(&plain()).request_in_pieces(pieces));
        sheet.case(format!("a request in pieces of {pieces} bytes"), script);
    }
    let mut follows = Script::after(&plain());
    for frame in [Frame::text("early"), Frame::ping("p"), Frame::text("bird")] {
        frame.put(&mut follows.opening.request);
    }
    let heard = |script: Script| script.text("early").pong("p").text("bird").bye();
    sheet.case("frames may follow the request in the same write", heard(follows.clone()));
    for pieces in [1, 100] {
        let script = heard(follows.clone().request_in_pieces(pieces));
        sheet.case(format!("frames may follow the request, in pieces of {pieces} bytes"), script);
    }
    let mut script = Script::after(&plain());
    Frame::text("no mask").key(None).put(&mut script.opening.request);
    sheet.case("a bad frame behind the request fails after the answer", script.closed(1002));
    let mut script = Script::after(&plain());
    Frame::close(1000, b"").put(&mut script.opening.request);
    sheet.case("a close frame behind the request is answered", script.closed(1000));
}

fn refused_headers(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.2.1");
    for (name, status) in [
        ("Host", 400),
        ("Upgrade", 426),
        ("Connection", 426),
        ("Sec-WebSocket-Version", 426),
        ("Sec-WebSocket-Key", 400),
    ] {
        refuses(sheet, format!("no {name}"), plain().without(name).bytes(), status);
    }
    for (header, status) in [
        ("Host: ", 400),
        ("Upgrade: websockets", 426),
        ("Upgrade: h2c", 426),
        ("Connection: keep-alive", 426),
        ("Connection: no-upgrade", 426),
        ("Sec-WebSocket-Version: 0", 426),
        ("Sec-WebSocket-Version: 7", 426),
        ("Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 12", 426),
        ("Sec-WebSocket-Version: 14", 426),
        ("Sec-WebSocket-Version: 013", 426),
        ("Sec-WebSocket-Version: 13, 8", 426),
        ("Sec-WebSocket-Version: thirteen", 426),
        ("Sec-WebSocket-Key: ", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ== x", 400),
        ("Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==", 400),
    ] {
        refuses(sheet, format!("`{header}`"), plain().with(header).bytes(), status);
    }
    for (header, status) in [
        ("Host: other", 400),
        ("Sec-WebSocket-Version: 13", 426),
        ("Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 400),
    ] {
        refuses(sheet, format!("one more `{header}`"), plain().and(header).bytes(), status);
    }
}

fn refused_lines(sheet: &mut Sheet) {
    sheet.part("RFC 9112 §2.2");
    for (first, status) in [
        ("POST /ws/simple HTTP/1.1", 405),
        ("PUT /ws/simple HTTP/1.1", 405),
        ("OPTIONS /ws/simple HTTP/1.1", 405),
        ("get /ws/simple HTTP/1.1", 405),
        ("GET /ws/simple HTTP/1.0", 400),
        ("GET /ws/simple HTTP/2.0", 400),
        ("GET /ws/simple HTTP/0.9", 400),
        ("GET /ws/simple", 400),
        ("GET /ws/ simple HTTP/1.1", 400),
        ("GET  /ws/simple HTTP/1.1", 400),
        ("GET", 400),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
    ] {
        let says = format!("the first line {first:?}");
        refuses(sheet, says, plain().first(first).bytes(), status);
    }
    let whole = String::from_utf8(plain().bytes()).expect("the request is text");
    for (what, from, to) in [
        ("bare LF everywhere", "\r\n", "\n"),
        ("a header that ends with a bare LF", "\r\nUpgrade", "\nUpgrade"),
        ("an empty line that is a bare LF", "\r\n\r\n", "\r\n\n"),
        ("a header folded by a space", "Upgrade: web", "Upgrade:\r\n web"),
        ("a header folded by a tab", "Upgrade: web", "Upgrade:\r\n\tweb"),
        ("a space before the first header", "Host:", " Host:"),
        ("a space before a colon", "Host:", "Host :"),
        ("a name with a letter that is not ASCII", "Host:", "H\u{f6}st:"),
        ("a header without a name", "Host:", ":"),
        ("a header without a colon", "Host: localhost:8080", "Host localhost"),
        ("a zero in a value", "localhost", "local\0host"),
        ("a bare CR in a value", "localhost", "local\rhost"),
    ] {
        assert!(whole.contains(from), "the request has something to spoil");
        refuses(sheet, what, whole.replace(from, to).into_bytes(), 400);
    }
}

fn bodies(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §4.1");
    for header in [
        "Content-Length: 5",
        "Content-Length: x",
        "Content-Length: 0, 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
    ] {
        refuses(sheet, format!("`{header}`"), plain().and(header).bytes(), 400);
    }
}

fn bounds(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §10.4");
    let long = plain().and(format!("X: {}", "y".repeat(7000)));
    succeeds(sheet, "a header of 7,000 bytes", &long);
    let longer = plain().and(format!("X: {}", "y".repeat(9000)));
    refuses(sheet, "a header of 9,000 bytes", longer.bytes(), 431);
    let more = |count| (0..count).fold(plain(), |request, at| request.and(format!("X-{at}: y")));
    succeeds(sheet, "50 headers more than needed", &more(50));
    refuses(sheet, "100 headers more than needed", more(100).bytes(), 431);
    let endless = [b"GET /ws/simple HTTP/1.1\r\nX: ".to_vec(), vec![b'y'; 9000]].concat();
    refuses(sheet, "a head of 9,000 bytes without an end", endless, 431);
}
