//! Compressed messages, RFC 7692 §6 and §7.2.

use super::super::case::{Expected, Kind, Message};
use super::super::deflate::{Deflater, TAIL, deflated};
use super::super::opening::{LONG_BYTES_MAX, Route, SHORT_BYTES_MAX};
use super::super::payload::Payload;
use super::super::script::{Script, fragments};
use super::Sheet;
use crate::raw::{DEFLATED, Frame};

const KIB: usize = 1 << 10;

pub(super) fn put(sheet: &mut Sheet) {
    examples(sheet);
    echoes(sheet);
    in_fragments(sheet);
    marks(sheet);
    blocks(sheet);
    contexts(sheet);
    windows(sheet);
    mixed(sheet);
    malformed(sheet);
    not_utf8(sheet);
    bombs(sheet);
}

/// A frame whose payload is a deflated message, or claims to be.
fn packed(kind: Kind, payload: impl Into<Vec<u8>>) -> Frame {
    kind.frame(payload).reserved(DEFLATED)
}

/// The frames of a message whose deflated payload is cut into these parts.
fn packed_fragments<P: AsRef<[u8]>>(kind: Kind, parts: &[P]) -> Vec<Frame> {
    let mut frames = fragments(kind, parts);
    frames[0].reserved = DEFLATED;
    frames
}

fn say_all(script: Script, frames: &[Frame]) -> Script {
    frames.iter().fold(script, |script, frame| script.say(frame))
}

fn examples(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.2.3");
    let whole = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    for (what, payload) in [
        ("a message in one block", &whole[..]),
        ("a message in a block that is stored", b"\x00\x05\x00\xfa\xffHello\x00"),
        ("a message in a last block", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        ("a message in two blocks", b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
    ] {
        let script = Script::deflated().say(&packed(Kind::Text, payload)).text("Hello").bye();
        sheet.case(format!("the example of {what}"), script);
        let script =
            Script::deflated().say(&packed(Kind::Text, payload)).in_pieces(1).text("Hello");
        sheet.case(format!("the example of {what}, byte by byte"), script.bye());
    }
    let script =
        say_all(Script::deflated(), &packed_fragments(Kind::Text, &[&whole[..3], &whole[3..]]));
    sheet.case("the example of a message in two fragments", script.text("Hello").bye());
    let script =
        Script::offering(Route::Takeover, "permessage-deflate", &["server_no_context_takeover"])
            .say(&packed(Kind::Text, &whole[..]))
            .say(&packed(Kind::Text, &b"\xf2\x00\x11\x00\x00"[..]))
            .text("Hello")
            .text("Hello")
            .bye();
    sheet.case("the example of a message that knows the one before", script);
    let script = Script::deflated().say(&packed(Kind::Text, [0])).text("").bye();
    sheet.case("the example of an empty message", script);
}

fn echoes(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.2");
    for len in [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB] {
        for message in [
            Message::text(Payload::Text(len)),
            Message::text(Payload::Json(len)),
            Message::binary(Payload::Random(len)),
            Message::binary(Payload::Zeros(len)),
        ] {
            let says = format!("deflated {} {} comes back", message.kind, message.payload);
            sheet.case(says, Script::deflated().echo(message.deflated()).bye());
        }
    }
    let message = Message::text(Payload::Json(64 * KIB)).deflated();
    let script = Script::deflated()
        .tell(message)
        .hear(Expected::Deflated(Kind::Text, Payload::Json(64 * KIB)))
        .bye();
    sheet.case("64 KiB of JSON come back deflated", script);
    let script = Script::deflated()
        .tell(Message::text(Payload::Text(16)).deflated())
        .hear(Expected::Plain(Kind::Text, Payload::Text(16)))
        .bye();
    sheet.case("16 bytes come back as they are: they would not get shorter", script);
    let message = Message::text(Payload::Json(20 * KIB));
    let script = Script::deflated().tell(message).in_pieces(17).text(Payload::Json(20 * KIB));
    sheet.case("a message that is not deflated comes back though it might be", script.bye());
}

fn in_fragments(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §6.1");
    for kind in Kind::BOTH {
        for bytes in [1, 2, 7, 64, 1000, 16 * KIB] {
            let payload = Payload::Json(64 * KIB);
            let message = Message { kind, ..Message::text(payload) };
            let says = format!("deflated {kind} in fragments of {bytes} bytes comes back");
            let script = Script::deflated().echo(message.deflated().in_fragments(bytes));
            sheet.case(says, script.bye());
        }
    }
    let payload = deflated(b"Hello");
    for parts in [[&b""[..], &payload, b""], [&payload, b"", b""], [b"", b"", &payload]] {
        let script = say_all(Script::deflated(), &packed_fragments(Kind::Text, &parts));
        let lens = parts.map(<[u8]>::len);
        sheet.case(
            format!("deflated text in fragments of {lens:?} bytes"),
            script.text("Hello").bye(),
        );
    }
    let [first, second] = &packed_fragments(Kind::Text, &[&payload[..2], &payload[2..]])[..] else {
        unreachable!("two parts are two frames")
    };
    let script = Script::deflated()
        .say(first)
        .say(&Frame::ping("p"))
        .say(&Frame::pong("unasked"))
        .pong("p")
        .say(second)
        .text("Hello")
        .bye();
    sheet.case("control frames may stand between fragments of a deflated message", script);
    let script = Script::deflated().say(first).say(&Frame::close(1000, b"")).closed(1000);
    sheet.case("a close frame may stand between fragments of a deflated message", script);
}

/// RSV1 stands on the first frame of a message and nowhere else.
fn marks(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §6.1");
    let payload = deflated(b"Hello");
    for (what, frame) in [
        ("a ping", Frame::ping("p")),
        ("a pong", Frame::pong("p")),
        ("a close frame", Frame::close(1000, b"")),
    ] {
        let script = Script::deflated().say(&frame.clone().reserved(DEFLATED)).closed(1002);
        sheet.case(format!("RSV1 on {what} fails with 1002"), script);
        let script = Script::deflated()
            .say(&packed(Kind::Text, &payload[..2]).unfinished())
            .say(&frame.reserved(DEFLATED))
            .closed(1002);
        sheet.case(format!("RSV1 on {what} within a deflated message fails"), script);
    }
    for kind in Kind::BOTH {
        for (what, first) in [
            ("deflated", packed(kind, &payload[..2]).unfinished()),
            ("plain", kind.frame("begun").unfinished()),
        ] {
            let second = Frame::continuation(&payload[2..]).reserved(DEFLATED);
            let script = Script::deflated().say(&first).say(&second).closed(1002);
            sheet.case(format!("RSV1 on a fragment that goes on {what} {kind} fails"), script);
            let script =
                Script::deflated().say(&first).say(&second.clone().unfinished()).closed(1002);
            sheet.case(format!("RSV1 on a middle fragment of {what} {kind} fails"), script);
        }
    }
    let script =
        Script::deflated().say(&Frame::continuation(payload).reserved(DEFLATED)).closed(1002);
    sheet.case("RSV1 on a continuation of nothing fails", script);
}

fn blocks(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.2.2");
    let bytes = Payload::Json(5000).bytes().into_owned();
    for level in [0, 1, 6, 9] {
        let payload = Deflater::new(level).message(&bytes);
        let script = Script::deflated().say(&packed(Kind::Text, payload)).text(&*bytes).bye();
        sheet.case(format!("a message at level {level}"), script);
        let payload = Deflater::new(level).last_message(&bytes);
        let script = Script::deflated().say(&packed(Kind::Text, payload)).text(&*bytes).bye();
        sheet.case(format!("a message at level {level} whose last block says so"), script);
    }
    for pieces in [2, 10, 1000] {
        let mut deflater = Deflater::new(6);
        let parts: Vec<_> =
            bytes.chunks(bytes.len() / pieces).map(|part| deflater.message(part)).collect();
        let script = Script::deflated().say(&packed(Kind::Text, parts.join(&TAIL[..])));
        sheet.case(format!("a message flushed {pieces} times"), script.text(&*bytes).bye());
    }
    let empty = [&[0][..], &TAIL].concat().repeat(100);
    let payload = [&*empty, &deflated(b"Hello")].concat();
    let script = Script::deflated().say(&packed(Kind::Text, payload)).text("Hello").bye();
    sheet.case("a hundred empty blocks before a message", script);
    let twice = [Deflater::new(6).last_message(b"Hello"), TAIL.to_vec()].concat();
    let script = Script::deflated().say(&packed(Kind::Text, [twice, vec![0]].concat()));
    sheet.case("an empty block behind one that is last", script.text("Hello").bye());
    for (what, payload) in [
        ("stored", &b"\x00"[..]),
        ("fixed", b"\x02\x00"),
        ("stored and last", b"\x01\x00\x00\xff\xff\x00"),
        ("fixed and last", b"\x03\x00\x00"),
    ] {
        let script = Script::deflated().say(&packed(Kind::Binary, payload)).binary("").bye();
        sheet.case(format!("an empty message whose block is {what}"), script);
    }
}

fn contexts(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1.1.2");
    let takeover =
        || Script::offering(Route::Takeover, "permessage-deflate", &["server_no_context_takeover"]);
    let texts: Vec<_> = (0..20).map(|number| format!("{{\"n\":{number},\"same\":true}}")).collect();
    let mut deflater = Deflater::new(6);
    let payloads: Vec<_> = texts.iter().map(|text| deflater.message(text.as_bytes())).collect();
    let mut script = takeover();
    for (text, payload) in texts.iter().zip(&payloads) {
        script = script.say(&packed(Kind::Text, &**payload)).text(&**text);
    }
    sheet.case("a client that keeps its context over 20 messages is understood", script.bye());
    let mut script = takeover();
    for (number, payload) in payloads.iter().enumerate() {
        let parts: Vec<_> = payload.chunks(1 + number % 5).collect();
        script = say_all(script, &packed_fragments(Kind::Text, &parts));
        script = script.say(&Frame::text("plain")).say(&Frame::ping("p"));
    }
    for text in &texts {
        script = script.text(&**text).text("plain").pong("p");
    }
    let says = "a client that keeps its context in fragments, among plain messages, is understood";
    sheet.case(says, script.bye());
    let bytes = Payload::Json(40 * KIB).bytes().into_owned();
    let mut deflater = Deflater::new(9);
    let mut script = takeover();
    for part in bytes.chunks(10 * KIB).chain(bytes.chunks(10 * KIB)) {
        script = script.say(&packed(Kind::Text, deflater.message(part))).text(part);
    }
    sheet.case("a context that slides over 80 KiB is understood", script.bye());
    let mut script = takeover();
    for text in &texts {
        script = script.say(&packed(Kind::Text, deflated(text.as_bytes()))).text(&**text);
    }
    sheet.case("a client that may keep its context need not", script.bye());
    let script = Script::deflated()
        .say(&packed(Kind::Text, &*payloads[0]))
        .say(&packed(Kind::Text, &*payloads[1]))
        .text(&*texts[0])
        .closed(1007);
    sheet.case("a client that keeps a context nobody agreed on fails with 1007", script);
}

/// The server's own window is judged by whoever listens, in every case.
fn windows(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.1.2.1");
    let windows = [
        "server_max_window_bits=8",
        "server_max_window_bits=9",
        "server_max_window_bits=10",
        "server_max_window_bits=12",
        "server_max_window_bits=14",
    ];
    for window in windows {
        let agreed = ["server_no_context_takeover", "client_no_context_takeover", window];
        let offer = format!("permessage-deflate; {window}");
        for payload in [Payload::Json(64 * KIB), Payload::Text(256 * KIB)] {
            let says = format!("{window}: what comes back {payload} reaches no farther");
            let script = Script::offering(Route::Simple, &offer, &agreed);
            sheet.case(says, script.echo(Message::text(payload).deflated()).bye());
        }
    }
}

fn mixed(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §6");
    let mut script = Script::deflated();
    for number in 0..50 {
        let text = format!("message {number}");
        script = if number % 3 == 0 {
            script.say(&Frame::text(&*text))
        } else {
            script.say(&packed(Kind::Text, deflated(text.as_bytes())))
        };
    }
    for number in 0..50 {
        script = script.text(&*format!("message {number}"));
    }
    sheet.case("deflated and plain messages in one write come back in order", script.bye());
    let mut script = Script::deflated();
    for len in [0, 10, 1023, 1024, 1025, 5000, 100_000] {
        script = script.echo(Message::text(Payload::Json(len)));
        script = script.echo(Message::text(Payload::Json(len)).deflated());
        script = script.echo(Message::binary(Payload::Random(len)).deflated());
    }
    sheet.case("deflated and plain messages of all sizes take turns", script.bye());
    // A compressor that stopped in the middle of what it could not shorten is not to remember it.
    for random in [1500, 5000, 16 * KIB, 64 * KIB, 256 * KIB] {
        let mut script = Script::deflated();
        for len in [1500, 5000, 64 * KIB, 256 * KIB] {
            script = script.echo(Message::binary(Payload::Random(random)).deflated());
            script = script.echo(Message::text(Payload::Json(len)).deflated());
        }
        let says = format!("{random} random bytes, and JSON of many sizes after them, come back");
        sheet.case(says, script.bye());
    }
}

fn malformed(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §7.2.2");
    let whole = deflated(&Payload::Json(3000).bytes());
    for (what, payload) in [
        ("a block of the reserved kind", &b"\x06"[..]),
        ("a block of the reserved kind behind another", b"\xf2\x48\xcd\xc9\xc9\x07\x06"),
        ("a stored block whose lengths differ", b"\x00\x05\x00\xfa\xf0Hello\x00"),
        ("a stored block without its end", b"\x00\xff\x00\x00\xffHello"),
        ("a distance to before the message", b"\xf2\x00\x11\x00\x00"),
        ("codes that do not fit", b"\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("bytes that are anything", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("text that nobody deflated", b"not deflated at all"),
        ("a message cut in half", &whole[..whole.len() / 2]),
    ] {
        for kind in Kind::BOTH {
            let script = Script::deflated().say(&packed(kind, payload)).closed(1007);
            sheet.case(format!("{what} in {kind} fails with 1007"), script);
        }
        let parts: Vec<_> = payload.chunks(3).collect();
        let script = say_all(Script::deflated(), &packed_fragments(Kind::Binary, &parts));
        sheet.case(format!("{what} in fragments fails with 1007"), script.closed(1007));
    }
}

fn not_utf8(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    let far = [&vec![b'x'; 5000], &b"\xff"[..]].concat();
    for (what, bytes) in [
        ("FF", &b"\xff"[..]),
        ("a surrogate", b"fine \xed\xa0\x80 not"),
        ("a slash in two bytes", b"\xc0\xaf"),
        ("half a character at its end", b"fine \xe2\x82"),
        ("FF behind 5,000 letters", &far),
    ] {
        let payload = deflated(bytes);
        let script = Script::deflated().say(&packed(Kind::Text, &*payload)).closed(1007);
        sheet.case(format!("deflated text with {what} fails with 1007"), script);
        let parts: Vec<_> = payload.chunks(2).collect();
        let script = say_all(Script::deflated(), &packed_fragments(Kind::Text, &parts));
        sheet.case(format!("deflated text with {what} in fragments fails"), script.closed(1007));
        let script = Script::deflated().say(&packed(Kind::Binary, payload)).binary(bytes).bye();
        sheet.case(format!("deflated binary with {what} comes back"), script);
    }
    let message = Message::text(Payload::Text(10_000)).deflated().in_fragments(1);
    let script = Script::deflated().echo(message).bye();
    sheet.case("deflated text in several scripts may be cut anywhere", script);
}

/// What is small on the wire and large in memory.
fn bombs(sheet: &mut Sheet) {
    sheet.part("RFC 7692 §8.2");
    let takeover =
        || Script::offering(Route::Takeover, "permessage-deflate", &["server_no_context_takeover"]);
    let longest = Message::binary(Payload::Zeros(SHORT_BYTES_MAX)).deflated();
    let script = takeover().echo(longest).bye();
    sheet.case("zeros of as many bytes as the route takes come back", script);
    for (what, len) in [("a byte", SHORT_BYTES_MAX + 1), ("a hundred times", 100 * SHORT_BYTES_MAX)]
    {
        let message = Message::binary(Payload::Zeros(len)).deflated();
        let script = takeover().tell(message.clone()).closed(1009);
        sheet.case(format!("{what} more than the route takes, inflated, fails with 1009"), script);
        let script = takeover().tell(message.in_fragments(100)).closed(1009);
        sheet.case(format!("{what} more, inflated in fragments, fails with 1009"), script);
    }
    let message = Message::text(Payload::Zeros(LONG_BYTES_MAX + 1)).deflated();
    let script = Script::deflated().tell(message).closed(1009);
    sheet.case("a byte more than 32 MiB, inflated, fails with 1009", script);
}
