//! The judge judged: servers that keep every rule pass, and one broken rule fails the case, so that
//! a table in which nothing fails means something.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use trials::conform::{Case, Failure, cases, judge};
use trials::raw::{Frame, Length, accept_of, opcode};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long is waited for what never comes. What comes before may come later on a busy machine,
/// and then is not in time either.
const IMPATIENCE: Duration = Duration::from_secs(1);

const PING: &str = "a ping of 2 bytes is answered by a pong of the same";
const TEXTS: &str = "text stays text and binary stays binary, empty ones too";
const NOT_UTF8: &str = "FF, which starts nothing: fails with 1007";
const DEFLATED: &str = "the example of a message in one block";
const BARE: &str = "what the RFC asks for, and nothing else";
const REFUSED: &str = "`Sec-WebSocket-Version: 8`: 426";

/// How a server ends the stream.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Fin,
    Reset,
    Never,
}

fn case(says: &str) -> Case {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(cases);
    let found = ALL.iter().find(|case| case.says() == says);
    found.unwrap_or_else(|| panic!("there is no case {says:?}")).clone()
}

/// What the judge makes of a server that answers a request, which it is given, like this.
fn verdict(
    says: &str,
    patience: Duration,
    server: impl FnOnce(&mut TcpStream, &str) + Send + 'static,
) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = head(&mut stream);
        server(&mut stream, &head);
    });
    let verdict = judge(&case(says), addr, patience);
    serving.join().unwrap();
    verdict
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// The answer to a request, with these headers beside those that it needs.
fn switched(head: &str, headers: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = accept_of(key.unwrap());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
}

/// Says the bytes and ends; what the client says is read to its end.
fn say_and_end(stream: &mut TcpStream, bytes: &[u8], ends: Ends) {
    stream.write_all(bytes).unwrap();
    match ends {
        Ends::Fin => stream.shutdown(Shutdown::Write).unwrap(),
        Ends::Reset => {
            let at_once = Some(Duration::ZERO);
            return rustix::net::sockopt::set_socket_linger(stream, at_once).unwrap();
        }
        Ends::Never => {}
    }
    // A client that has its verdict may reset what it has not read.
    let _ = std::io::copy(stream, &mut std::io::sink());
}

/// What becomes of a case if a server that speaks WebSocket says these bytes, and ends so.
fn outcome(says: &str, headers: &'static str, bytes: Vec<u8>, ends: Ends) -> Result<(), Failure> {
    let patience = if matches!(ends, Ends::Never) { IMPATIENCE } else { PATIENCE };
    verdict(says, patience, move |stream, head| {
        let answer = switched(head, headers).into_bytes();
        say_and_end(stream, &[answer, bytes].concat(), ends);
    })
}

/// The case fails, and the failure says so.
#[track_caller]
fn assert_fails(verdict: Result<(), Failure>, told: &str) {
    let failure = verdict.expect_err(told);
    assert!(failure.to_string().contains(told), "{failure} has no {told:?}");
}

/// A server's frames.
fn frames(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.clone().key(None).to_bytes()).collect()
}

fn bye() -> Frame {
    Frame::close(1000, b"")
}

#[test]
fn a_server_that_keeps_the_rules_passes() {
    let pong = || Frame::pong("pp");
    for answer in [
        vec![pong(), bye()],
        vec![Frame::ping("are you there?"), pong(), Frame::ping(""), bye()],
        vec![pong(), Frame::close(1000, "g\u{f6}\u{f6}dbye".as_bytes())],
    ] {
        assert_eq!(outcome(PING, "", frames(&answer), Ends::Fin), Ok(()), "{answer:?}");
    }
    let in_fragments = [
        Frame::text("").unfinished(),
        Frame::ping("between"),
        Frame::continuation("a"),
        Frame::binary("b"),
        Frame::text(""),
        Frame::binary("").unfinished(),
        Frame::continuation(""),
        bye(),
    ];
    assert_eq!(outcome(TEXTS, "", frames(&in_fragments), Ends::Fin), Ok(()));
    let failed = frames(&[Frame::close(1007, b"")]);
    assert_eq!(outcome(NOT_UTF8, "", failed, Ends::Fin), Ok(()));
}

#[test]
fn a_pong_that_is_wrong_fails() {
    let pong = Frame::pong("pp");
    for (answer, told) in [
        (vec![Frame::pong("pq"), bye()], "a pong of 2 bytes \"pq\""),
        (vec![Frame::pong(""), bye()], "a pong of 0 bytes"),
        (vec![bye()], "came a close frame 1000"),
        (vec![Frame::text("pp"), bye()], "came plain text of 2 bytes"),
        (vec![pong.clone(), pong.clone(), bye()], "came a pong"),
        (vec![pong.clone().unfinished(), bye()], "not final"),
        (vec![pong.clone().reserved(1), bye()], "reserved bits 001"),
        (vec![pong.clone().reserved(4), bye()], "RSV1 on a frame"),
        (vec![Frame::new(0xB, "pp"), bye()], "reserved opcode 0xb"),
        (vec![pong.clone().length(Length::InTwo), bye()], "shortest"),
        (vec![Frame::pong(vec![b'p'; 126]), bye()], "126 bytes"),
    ] {
        assert_fails(outcome(PING, "", frames(&answer), Ends::Fin), told);
    }
    let masked = pong.key(Some([1, 2, 3, 4])).to_bytes();
    assert_fails(outcome(PING, "", masked, Ends::Fin), "a masked frame");
}

#[test]
fn a_goodbye_that_is_wrong_fails() {
    let pong = Frame::pong("pp");
    for (goodbye, ends, told) in [
        (Some(Frame::close(1001, b"")), Ends::Fin, "came a close frame 1001"),
        (Some(Frame::new(opcode::CLOSE, "")), Ends::Fin, "without a code"),
        (Some(Frame::new(opcode::CLOSE, "\x03")), Ends::Fin, "half a close code"),
        (Some(Frame::close(1005, b"")), Ends::Fin, "the close code 1005"),
        (Some(Frame::close(2000, b"")), Ends::Fin, "the close code 2000"),
        (Some(Frame::close(1000, b"\xff")), Ends::Fin, "not UTF-8"),
        (Some(bye()), Ends::Reset, "a reset"),
        (Some(bye()), Ends::Never, "nothing in time"),
        (None, Ends::Fin, "expected a close frame 1000; came the end of the stream"),
    ] {
        let answer: Vec<_> = [Some(pong.clone()), goodbye].into_iter().flatten().collect();
        assert_fails(outcome(PING, "", frames(&answer), ends), told);
    }
    for late in [Frame::text("late"), bye(), Frame::ping("late")] {
        let answer = frames(&[pong.clone(), bye(), late]);
        assert_fails(outcome(PING, "", answer, Ends::Fin), "after its close frame");
    }
    let mut cut = frames(&[pong, bye()]);
    cut.pop();
    assert_fails(outcome(PING, "", cut, Ends::Fin), "too early");
}

#[test]
fn messages_that_come_back_otherwise_fail() {
    let (a, b) = (Frame::text("a"), Frame::binary("b"));
    let (none, empty) = (Frame::text(""), Frame::binary(""));
    for (answer, told) in [
        (vec![Frame::binary("a")], "expected text of 1 bytes \"a\"; came plain binary"),
        (vec![a.clone(), Frame::text("b")], "expected binary"),
        (vec![Frame::text("ab")], "came plain text of 2 bytes"),
        (vec![b.clone()], "came plain binary"),
        (vec![a.clone(), b.clone(), empty.clone()], "expected text of 0 bytes"),
        (vec![a.clone(), b.clone(), none.clone(), bye()], "came a close frame"),
        (vec![a, b, none, empty.clone(), empty], "expected a close frame 1000"),
        (vec![Frame::text(b"\xff")], "text that is not UTF-8"),
        (vec![Frame::continuation("a")], "a continuation of nothing"),
        (vec![Frame::text("a").unfinished(), Frame::text("b")], "before the end of the last"),
        (vec![Frame::text("a").reserved(4)], "which nobody agreed on"),
    ] {
        assert_fails(outcome(TEXTS, "", frames(&answer), Ends::Fin), told);
    }
    let echo = frames(&[Frame::text(b"\xff")]);
    assert_fails(outcome(NOT_UTF8, "", echo, Ends::Fin), "text that is not UTF-8");
    let other = frames(&[Frame::close(1002, b"")]);
    assert_fails(outcome(NOT_UTF8, "", other, Ends::Fin), "came a close frame 1002");
}

/// What a server says to a request.
type Answer = fn(&str) -> String;

#[test]
fn an_answer_to_the_request_that_is_wrong_fails() {
    let answers = |says, answer: Answer| {
        verdict(says, PATIENCE, move |stream, head| {
            say_and_end(stream, answer(head).as_bytes(), Ends::Fin);
        })
    };
    let spoilt: [(Answer, &str); 10] = [
        (|head| switched(head, "").replace("101 ", "200 "), "an answer of 101"),
        (|head| switched(head, "").replace("websocket", "h2c"), "Upgrade: websocket"),
        (|head| switched(head, "").replace("tion: Upgrade", "tion: close"), "Connection: Upgrade"),
        (|head| switched(head, "").replace("Accept: ", "Accept: x"), "Sec-WebSocket-Accept: "),
        (|head| switched(head, "").replace("-Accept", "-Refuse"), "Sec-WebSocket-Accept: "),
        (|head| switched(head, "Content-Length: 0\r\n"), "no Content-Length"),
        (|head| switched(head, "Sec-WebSocket-Protocol: chat\r\n"), "no Sec-WebSocket-Protocol"),
        (
            |head| switched(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "no Sec-WebSocket-Extensions",
        ),
        (|head| switched(head, "").replace("\r\n", "\n"), "too early"),
        (|_| String::new(), "came the end of the stream"),
    ];
    for (answer, told) in spoilt {
        assert_fails(answers(BARE, answer), told);
    }
}

#[test]
fn a_refusal_that_is_wrong_fails() {
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 3\r\n\
                   Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n\
                   no\n";
    let answered = |answer: String, ends| {
        let patience = if matches!(ends, Ends::Never) { IMPATIENCE } else { PATIENCE };
        verdict(REFUSED, patience, move |stream, _| say_and_end(stream, answer.as_bytes(), ends))
    };
    assert_eq!(answered(refusal.to_owned(), Ends::Fin), Ok(()));
    for (from, to, told) in [
        ("426", "400", "an answer of 426"),
        ("Version: 13", "Version: 8", "Sec-WebSocket-Version: 13"),
        ("Connection: close\r\n", "", "Connection: close"),
        ("Upgrade: websocket\r\n", "", "Upgrade: websocket"),
        ("h: 3\r\n", "h: 0\r\n", "a body that says what to do"),
        ("h: 3\r\n", "h: 4\r\n", "too early"),
        ("no\n", "no\nmore", "the end after the refusal"),
    ] {
        assert!(refusal.contains(from));
        assert_fails(answered(refusal.replace(from, to), Ends::Fin), told);
    }
    assert_fails(answered(refusal.to_owned(), Ends::Never), "nothing in time");
    let accepted = verdict(REFUSED, PATIENCE, |stream, head| {
        say_and_end(stream, switched(head, "").as_bytes(), Ends::Fin);
    });
    assert_fails(accepted, "an answer of 426");
}

/// What the case that is deflated agrees on.
const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                      server_no_context_takeover\r\n";

#[test]
fn agreements_and_deflated_messages_that_are_wrong_fail() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let packed = Frame::text(hello).reserved(4);
    for fine in [packed.clone(), Frame::text("Hello")] {
        assert_eq!(outcome(DEFLATED, AGREED, frames(&[fine, bye()]), Ends::Fin), Ok(()));
    }
    for headers in [
        "",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
        "Sec-WebSocket-Extensions: x-unknown\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
         server_no_context_takeover; server_max_window_bits=15\r\n",
    ] {
        let verdict = outcome(DEFLATED, headers, frames(&[packed.clone(), bye()]), Ends::Fin);
        assert_fails(verdict, "Sec-WebSocket-Extensions: permessage-deflate; client_no");
    }
    for (frame, told) in [
        (Frame::text("hello"), "came plain text of 5 bytes \"hello\""),
        (Frame::text("\x06").reserved(4), "reserved kind"),
        (Frame::text(b"\xf2\x00\x11\x00\x00").reserved(4), "before the stream"),
        (Frame::text(&hello[..5]).reserved(4), "what no server may send"),
        (packed.reserved(6), "reserved bits 110"),
    ] {
        assert_fails(outcome(DEFLATED, AGREED, frames(&[frame, bye()]), Ends::Fin), told);
    }
}

/// Gives back a frame of the client's as it came but for its mask, and says goodbye.
fn echo_once(stream: &mut TcpStream) {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header[1], 0x80 | 126, "the message has a length in two bytes");
    let (mut len, mut key) = ([0; 2], [0; 4]);
    stream.read_exact(&mut len).unwrap();
    stream.read_exact(&mut key).unwrap();
    let mut payload = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut payload).unwrap();
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    let back = Frame { reserved: header[0] >> 4 & 7, ..Frame::new(header[0] & 0xF, payload) };
    say_and_end(stream, &frames(&[back, bye()]), Ends::Fin);
}

#[test]
fn a_server_that_reaches_beyond_the_window_it_was_asked_for_fails() {
    // What the client deflates reaches as far as it can.
    let echo = |says, agreed: &'static str| {
        verdict(says, PATIENCE, move |stream, head| {
            stream.write_all(switched(head, agreed).as_bytes()).unwrap();
            echo_once(stream);
        })
    };
    let json = "deflated text of 65536 bytes of JSON comes back";
    assert_eq!(echo(json, AGREED), Ok(()));
    let narrow = "server_max_window_bits=8: what comes back of 65536 bytes of JSON reaches no \
                  farther";
    let agreed = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                  server_no_context_takeover; server_max_window_bits=8\r\n";
    assert_fails(echo(narrow, agreed), "in a window of 8 bits");
}
