//! Reserved bits that nobody agreed on.

use super::super::opening::Route;
use super::super::script::Script;
use super::Sheet;
use crate::raw::{Frame, opcode};

/// What is reserved, and in which frames it is said.
const OPCODES: [(&str, u8); 5] = [
    ("text", opcode::TEXT),
    ("binary", opcode::BINARY),
    ("a ping", opcode::PING),
    ("a pong", opcode::PONG),
    ("a close frame", opcode::CLOSE),
];

pub(super) fn put(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.2");
    for reserved in 1..8 {
        for (what, opcode) in OPCODES {
            let payload: &[u8] = if opcode == opcode::CLOSE { &[0x03, 0xE8] } else { b"hi" };
            let frame = Frame::new(opcode, payload).reserved(reserved);
            let says = format!("{what} with the reserved bits {reserved:03b} fails with 1002");
            sheet.case(says, Script::new().say(&frame).closed(1002));
        }
    }
    sheet.part("RFC 6455 §5.2");
    for reserved in 1..8 {
        let script = Script::new()
            .say(&Frame::text("fine"))
            .say(&Frame::text("not").reserved(reserved))
            .say(&Frame::ping("unheard"))
            .text("fine")
            .closed(1002);
        let says = format!("bits {reserved:03b} fail after a message, and what follows is unheard");
        sheet.case(says, script);
        let script = Script::new()
            .say(&Frame::text("fi").unfinished())
            .say(&Frame::continuation("ne").reserved(reserved))
            .closed(1002);
        let says = format!("bits {reserved:03b} on a continuation fail");
        sheet.case(says, script);
        let first = [0x81 | reserved << 4];
        let says = format!("bits {reserved:03b} fail at the first byte of a frame");
        sheet.case(says, Script::new().say_bytes(&first).closed(1002));
    }
    sheet.part("RFC 7692 §6");
    let script = Script::on(Route::Plain).say(&Frame::text("hi").reserved(0b100)).closed(1002);
    sheet.case("RSV1 fails where compression was not agreed on", script);
    for reserved in [0b001, 0b010, 0b011, 0b101, 0b110, 0b111] {
        let script = Script::deflated().say(&Frame::text("hi").reserved(reserved)).closed(1002);
        let says = format!("bits {reserved:03b} fail though compression was agreed on");
        sheet.case(says, script);
    }
}
