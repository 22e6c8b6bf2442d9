//! Opcodes that are reserved, and bytes that are no frames at all.

use super::super::script::Script;
use super::Sheet;
use crate::raw::Frame;

const RESERVED: [u8; 10] = [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF];

pub(super) fn put(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.2");
    for opcode in RESERVED {
        let script = Script::new().say(&Frame::new(opcode, "")).closed(1002);
        sheet.case(format!("the opcode {opcode:#x} without a payload fails with 1002"), script);
        let script = Script::new().say(&Frame::new(opcode, "payload")).closed(1002);
        sheet.case(format!("the opcode {opcode:#x} with a payload fails with 1002"), script);
    }
    sheet.part("RFC 6455 §5.2");
    for opcode in RESERVED {
        let script = Script::new()
            .say(&Frame::text("fine"))
            .say(&Frame::new(opcode, "not"))
            .say(&Frame::ping("unheard"))
            .text("fine")
            .closed(1002);
        let says = format!("the opcode {opcode:#x} fails after a message, which comes back first");
        sheet.case(says, script);
    }
    sheet.part("RFC 6455 §5.2");
    for opcode in RESERVED {
        let script = Script::new()
            .say(&Frame::text("be").unfinished())
            .say(&Frame::new(opcode, "not"))
            .closed(1002);
        sheet.case(format!("the opcode {opcode:#x} fails within a message"), script);
        let script = Script::new().say(&Frame::new(opcode, "not").unfinished()).closed(1002);
        sheet.case(format!("the opcode {opcode:#x} fails as a fragment"), script);
    }
    sheet.part("RFC 6455 §5.2");
    for opcode in RESERVED {
        let says = format!("the opcode {opcode:#x} fails at the first byte of the frame");
        sheet.case(says, Script::new().say_bytes(&[0x80 | opcode]).closed(1002));
    }
    sheet.part("RFC 6455 §7.1.7");
    let script =
        Script::new().say_bytes(b"GET /ws/simple HTTP/1.1\r\nHost: localhost\r\n\r\n").closed(1002);
    sheet.case("a second request is no frame and fails with 1002", script);
}
