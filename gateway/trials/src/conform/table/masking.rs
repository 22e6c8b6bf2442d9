//! Masking keys, and frames without one.

use super::super::case::Kind;
use super::super::opening::Route;
use super::super::script::Script;
use super::Sheet;
use crate::raw::{Frame, opcode};

pub(super) fn put(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.1");
    for (what, opcode) in [
        ("text", opcode::TEXT),
        ("binary", opcode::BINARY),
        ("a ping", opcode::PING),
        ("a pong", opcode::PONG),
        ("a close frame", opcode::CLOSE),
    ] {
        for payload in [&b""[..], &[0x03, 0xE8]] {
            let script = Script::new().say(&Frame::new(opcode, payload).key(None)).closed(1002);
            let says = format!("{what} of {} bytes without a mask fails with 1002", payload.len());
            sheet.case(says, script);
        }
        let header = &Frame::new(opcode, "").key(None).to_bytes()[..2];
        let script = Script::new().say_bytes(&header[..1]).say_bytes(&header[1..]).closed(1002);
        sheet.case(format!("{what} without a mask fails at its second byte"), script);
    }
    let script = Script::new()
        .say(&Frame::text("a").unfinished())
        .say(&Frame::continuation("b").key(None))
        .closed(1002);
    sheet.case("a continuation without a mask fails", script);
    let script = Script::new()
        .say(&Frame::text("masked"))
        .say(&Frame::text("not").key(None))
        .say(&Frame::text("unheard"))
        .text("masked")
        .closed(1002);
    sheet.case("what comes before a frame without a mask is heard, and nothing after", script);

    sheet.part("RFC 6455 §5.3");
    let payload: Vec<u8> = (0..=255).collect();
    for key in [[0; 4], [0xFF; 4], [1, 0, 0, 0], [0, 0, 0, 1], [0x81, 0, 0x80, 0], *b"\r\n\r\n"] {
        let frame = Frame::binary(&*payload).key(Some(key));
        let script = Script::new().say(&frame).binary(&*payload).bye();
        sheet.case(format!("every byte comes back with the key {key:02x?}"), script);
        let script = Script::new().say(&frame).in_pieces(1).binary(&*payload).bye();
        sheet.case(format!("every byte comes back with the key {key:02x?}, byte by byte"), script);
        let script = Script::new()
            .say(&Frame::ping("control").key(Some(key)))
            .say(&Frame::text("te\u{e9}xt").key(Some(key)))
            .pong("control")
            .text("te\u{e9}xt")
            .bye();
        sheet.case(format!("a ping and text with the key {key:02x?}"), script);
    }
    for len in 0..=40_u8 {
        let payload: Vec<u8> = (0..len).collect();
        let key = Some([0xA5, len, 0x5A, !len]);
        let script = Script::on(Route::Plain)
            .say(&Kind::Binary.frame(&*payload).key(key))
            .binary(payload)
            .bye();
        sheet.case(format!("{len} bytes are unmasked, whatever is left over"), script);
    }
}
