//! Large messages, and those that are larger than a route takes.

use super::super::case::{Kind, Message};
use super::super::opening::{LONG_BYTES_MAX, Route, SHORT_BYTES_MAX};
use super::super::payload::Payload;
use super::super::script::Script;
use super::Sheet;
use crate::raw::{Frame, Length};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

pub(super) fn put(sheet: &mut Sheet) {
    whole(sheet);
    in_fragments(sheet);
    beyond(sheet);
    lengths(sheet);
}

fn message(kind: Kind, len: usize) -> Message {
    match kind {
        Kind::Text => Message::text(Payload::Text(len)),
        Kind::Binary => Message::binary(Payload::Random(len)),
    }
}

/// A size in the unit that people would say it in.
fn size(len: usize) -> String {
    match len {
        len if len >= MIB => format!("{} MiB", len / MIB),
        len if len >= KIB => format!("{} KiB", len / KIB),
        len => format!("{len} bytes"),
    }
}

fn whole(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.2");
    for kind in Kind::BOTH {
        for len in [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB, LONG_BYTES_MAX] {
            let says = format!("{kind} of {} in one frame comes back", size(len));
            sheet.case(says, Script::new().echo(message(kind, len)).bye());
        }
    }
    for pieces in [64, 256, 1000, 4096, 64 * KIB] {
        for kind in Kind::BOTH {
            let Message { payload, .. } = message(kind, MIB);
            let script = Script::new().tell(message(kind, MIB)).in_pieces(pieces);
            let script = match kind {
                Kind::Text => script.text(payload),
                Kind::Binary => script.binary(payload),
            };
            sheet.case(
                format!("{kind} of 1 MiB in pieces of {} comes back", size(pieces)),
                script.bye(),
            );
        }
    }
}

fn in_fragments(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.4");
    for kind in Kind::BOTH {
        for bytes in [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB] {
            let message = message(kind, 4 * MIB).in_fragments(bytes);
            let says = format!("{kind} of 4 MiB in fragments of {} comes back", size(bytes));
            sheet.case(says, Script::new().echo(message).bye());
        }
        let longest = message(kind, LONG_BYTES_MAX).in_fragments(MIB);
        let says = format!("{kind} of 32 MiB in fragments of 1 MiB comes back");
        sheet.case(says, Script::new().echo(longest).bye());
    }
    let bytes = message(Kind::Binary, 64 * KIB).in_fragments(1);
    sheet.case("64 KiB in fragments of a byte come back", Script::new().echo(bytes).bye());
}

fn beyond(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §7.4.1");
    let max = SHORT_BYTES_MAX as u64;
    for kind in Kind::BOTH {
        let longest = message(kind, SHORT_BYTES_MAX);
        let says = format!("{kind} of as many bytes as the route takes comes back");
        sheet.case(says, Script::on(Route::Plain).echo(longest).bye());
        for declared in [max + 1, 2 * max, 1 << 32, 1 << 40, (1 << 63) - 1] {
            let frame = kind.frame("").length(Length::Declared(declared));
            let script = Script::on(Route::Plain).say(&frame).closed(1009);
            let says = format!("{kind} of {declared} bytes fails with 1009 before its payload");
            sheet.case(says, script);
            let script = Script::on(Route::Plain).say(&frame.unfinished()).closed(1009);
            let says = format!("a first fragment of {declared} bytes of {kind} fails likewise");
            sheet.case(says, script);
        }
        let script = Script::on(Route::Plain)
            .say(&kind.frame(vec![b'x'; SHORT_BYTES_MAX - 10]).unfinished())
            .say(&Frame::continuation("").length(Length::Declared(11)).unfinished())
            .closed(1009);
        let says = format!("fragments of {kind} fail at the header that makes them too many");
        sheet.case(says, script);
        let script = Script::on(Route::Plain)
            .say(&kind.frame(vec![b'x'; SHORT_BYTES_MAX - 10]).unfinished())
            .say(&Frame::continuation([b'y'; 10]).unfinished())
            .say(&Frame::continuation("z"))
            .closed(1009);
        let says = format!("fragments of {kind} fail that are a byte too many together");
        sheet.case(says, script);
    }
    let long = LONG_BYTES_MAX as u64;
    let frame = Frame::binary("").length(Length::Declared(long + 1));
    let script = Script::new().say(&frame).closed(1009);
    sheet.case("a byte more than 32 MiB fails on the route that takes 32 MiB", script);
}

fn lengths(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.2");
    for (what, len) in
        [("only the highest bit", 1 << 63), ("every bit", u64::MAX), ("two bits", 1 << 63 | 1)]
    {
        for kind in Kind::BOTH {
            let frame = kind.frame("").length(Length::Declared(len));
            let script = Script::new().say(&frame).closed(1002);
            sheet.case(format!("{kind} whose length has {what} set fails with 1002"), script);
        }
    }
    for len in [0, 1, 125] {
        let frame = Frame::text(vec![b'x'; len]).length(Length::InTwo);
        let says = format!("{len} bytes whose length stands in two bytes fail with 1002");
        sheet.case(says, Script::new().say(&frame).closed(1002));
    }
    for len in [0, 1, 125, 126, 65_535] {
        let frame = Frame::text(vec![b'x'; len]).length(Length::InEight);
        let says = format!("{len} bytes whose length stands in eight bytes fail with 1002");
        sheet.case(says, Script::new().say(&frame).closed(1002));
    }
    let header = &Frame::text("x").length(Length::InEight).to_bytes()[..10];
    let script = Script::new().say_bytes(header).closed(1002);
    sheet.case("a length that is not minimal fails before the mask", script);
}
