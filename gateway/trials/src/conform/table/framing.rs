//! Lengths in all their forms, and streams that are cut anywhere.

use super::super::case::{Kind, Message};
use super::super::opening::Route;
use super::super::payload::Payload;
use super::super::script::Script;
use super::Sheet;
use crate::raw::Frame;

/// Where a length takes another form, and beside it.
const LENS: [usize; 9] = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537];

pub(super) fn put(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.2");
    for kind in Kind::BOTH {
        for len in LENS {
            let says = format!("{kind} of {len} bytes in one write comes back");
            sheet.case(says, Script::new().echo(message(kind, len)).bye());
        }
    }
    sheet.part("RFC 6455 §5.2");
    for kind in Kind::BOTH {
        for len in LENS {
            let script = Script::new().tell(message(kind, len)).in_pieces(997);
            let says = format!("{kind} of {len} bytes in pieces of 997 comes back");
            sheet.case(says, heard(script, kind, len).bye());
        }
    }
    sheet.part("RFC 6455 §5.2");
    for kind in Kind::BOTH {
        for len in LENS {
            let script = Script::new().tell(message(kind, len)).in_pieces(1);
            let says = format!("{kind} of {len} bytes byte by byte comes back");
            sheet.case(says, heard(script, kind, len).bye());
        }
    }
    sheet.part("RFC 6455 §5.4");
    together(sheet);
}

fn message(kind: Kind, len: usize) -> Message {
    match kind {
        Kind::Text => Message::text(Payload::Text(len)),
        Kind::Binary => Message::binary(Payload::Random(len)),
    }
}

fn heard(script: Script, kind: Kind, len: usize) -> Script {
    let Message { payload, .. } = message(kind, len);
    match kind {
        Kind::Text => script.text(payload),
        Kind::Binary => script.binary(payload),
    }
}

/// Several frames that share writes.
fn together(sheet: &mut Sheet) {
    let mut script = Script::new();
    for number in 0..100 {
        script = script.say(&Frame::text(format!("message {number}")));
    }
    for number in 0..100 {
        script = script.text(&*format!("message {number}"));
    }
    sheet.case("a hundred texts in one write come back as a hundred, in order", script.bye());

    for pieces in [1, 2, 3, 5, 7, 11, 13, 17] {
        let mut script = Script::on(Route::Plain);
        for number in 0..10 {
            script = script.say(&Frame::binary(vec![number; usize::from(number) * 30]));
        }
        script = script.in_pieces(pieces);
        for number in 0..10 {
            script = script.binary(vec![number; usize::from(number) * 30]);
        }
        let says = format!("ten messages in pieces of {pieces} bytes come back with their bounds");
        sheet.case(says, script.bye());
    }
    let script = Script::new()
        .say(&Frame::text("a"))
        .say(&Frame::binary("b"))
        .say(&Frame::text(""))
        .say(&Frame::binary(""))
        .text("a")
        .binary("b")
        .text("")
        .binary("")
        .bye();
    sheet.case("text stays text and binary stays binary, empty ones too", script);
}
