//! The closing handshake: codes, reasons, and what comes after.

use super::super::case::{Expected, Kind};
use super::super::opening::Route;
use super::super::payload::Payload;
use super::super::script::Script;
use super::Sheet;
use crate::raw::{Frame, opcode};

/// RFC 6455 §7.4 and the registry it has begun: what may be sent.
const LEGAL: [u16; 15] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000];

/// What stands for an absence, is reserved, or belongs to nobody.
const ILLEGAL: [u16; 17] = [
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 32_768, 65_534,
    65_535,
];

pub(super) fn put(sheet: &mut Sheet) {
    codes(sheet);
    payloads(sheet);
    reasons(sheet);
    after(sheet);
    without(sheet);
}

fn codes(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.5.1");
    let script = Script::new()
        .say(&Frame::new(opcode::CLOSE, ""))
        .hear(Expected::Close(vec![1000, 1005]))
        .hear(Expected::End);
    sheet.case("a close frame without a code is answered by one, without or with 1000", script);
    for code in LEGAL.into_iter().chain([4999]) {
        let script = Script::new().say(&Frame::close(code, b"")).closed(code);
        sheet.case(format!("{code} is answered by {code}"), script);
        let script = Script::new().say(&Frame::close(code, b"why")).in_pieces(1).closed(code);
        sheet.case(format!("{code} with a reason, byte by byte, is answered by {code}"), script);
    }
    sheet.part("RFC 6455 §7.4");
    for code in ILLEGAL {
        let script = Script::new().say(&Frame::close(code, b"")).closed(1002);
        sheet.case(format!("{code} is no code to send, and answered by 1002"), script);
        let script = Script::new().say(&Frame::close(code, b"why")).closed(1002);
        sheet.case(format!("{code} with a reason is answered by 1002"), script);
    }
}

fn payloads(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.5.1");
    for byte in [0x00, 0x03, 0xFF] {
        let script = Script::new().say(&Frame::new(opcode::CLOSE, [byte])).closed(1002);
        sheet.case(format!("half a code, {byte:02x}, is answered by 1002"), script);
    }
    for len in [2, 3, 10, 100, 124, 125] {
        let script = Script::new().say(&Frame::close(1000, &vec![b'r'; len - 2])).closed(1000);
        sheet.case(format!("a close frame of {len} bytes is answered"), script);
    }
    sheet.part("RFC 6455 §5.5");
    for len in [126, 127, 1000, 65_536] {
        let script = Script::new().say(&Frame::close(1000, &vec![b'r'; len - 2])).closed(1002);
        sheet.case(format!("a close frame of {len} bytes fails with 1002"), script);
    }
    let script = Script::new().say(&Frame::close(1000, b"").unfinished()).closed(1002);
    sheet.case("a close frame that is not final fails with 1002", script);
}

fn reasons(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    let longest = Payload::Text(123).bytes().into_owned();
    for (what, reason) in [
        ("in several scripts", longest.as_slice()),
        ("with U+10FFFF", b"\xf4\x8f\xbf\xbf"),
        ("with zero", b"\0"),
    ] {
        let script = Script::new().say(&Frame::close(1000, reason)).closed(1000);
        sheet.case(format!("a reason {what} is fine"), script);
    }
    for (what, reason) in [
        ("FF", &b"\xff"[..]),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a slash in two bytes", b"\xc0\xaf"),
        ("U+110000", b"\xf4\x90\x80\x80"),
        ("half a character at its end", b"why \xe2\x82"),
        ("Latin-1", b"caf\xe9 ferm\xe9"),
    ] {
        let script = Script::new().say(&Frame::close(1000, reason)).closed(1007);
        sheet.case(format!("a reason with {what} is answered by 1007"), script);
    }
}

fn after(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.5.1");
    let goodbye = || Script::new().say(&Frame::close(1000, b""));
    let answered = |script: Script| script.hear(Expected::Close(vec![1000])).hear(Expected::Gone);
    for (what, frame) in [
        ("text", Frame::text("late")),
        ("a ping", Frame::ping("late")),
        ("another close frame", Frame::close(1001, b"late")),
        ("a frame that breaks the protocol", Frame::text("late").reserved(7)),
        ("text that is not UTF-8", Frame::text(b"\xff")),
    ] {
        let says = format!("{what} in the same write as a close frame is not understood");
        sheet.case(says, answered(goodbye().say(&frame)));
    }
    let long = vec![b'x'; 300_000];
    let script = answered(goodbye().say(&Frame::binary(long)));
    sheet.case("300 KB after a close frame are not understood", script);
    let script = Script::on(Route::Plain)
        .say(&Frame::text("before"))
        .say(&Frame::ping("before"))
        .say(&Frame::close(3000, b"now"))
        .text("before")
        .pong("before")
        .closed(3000);
    sheet.case("what comes before a close frame is answered before it", script);
    for kind in Kind::BOTH {
        let script = Script::new()
            .say(&kind.frame("begun").unfinished())
            .say(&Frame::close(1000, b""))
            .say(&Frame::continuation("late"))
            .hear(Expected::Close(vec![1000]))
            .hear(Expected::Gone);
        sheet.case(format!("a close frame within {kind} ends it unheard"), script);
    }
}

/// Streams that end without a close frame: nobody is left to be told anything.
fn without(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §7.1.5");
    for (what, bytes) in [
        ("at once", &b""[..]),
        ("within a header", b"\x81"),
        ("within a payload", b"\x81\x85\x01\x02\x03\x04ab"),
        ("within a message", b"\x01\x80\x01\x02\x03\x04"),
    ] {
        let mut script = Script::new();
        if !bytes.is_empty() {
            script = script.say_bytes(bytes);
        }
        let script = script.hang_up().hear(Expected::End);
        sheet.case(
            format!("a client that ends {what} is not answered, and its stream ends"),
            script,
        );
    }
    let script = Script::new()
        .say(&Frame::text("last words"))
        .hang_up()
        .text("last words")
        .hear(Expected::End);
    sheet.case("a client that ends after a message still hears it come back", script);
}
