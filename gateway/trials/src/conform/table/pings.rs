//! Pings and pongs.

use super::super::case::Kind;
use super::super::script::{Script, fragments};
use super::Sheet;
use crate::raw::{Frame, Length};

pub(super) fn put(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.5.2");
    for len in [0, 1, 2, 8, 64, 124, 125] {
        let payload = vec![b'p'; len];
        let says = format!("a ping of {len} bytes is answered by a pong of the same");
        sheet.case(says, Script::new().say(&Frame::ping(&*payload)).pong(payload).bye());
    }
    let payload = b"\x00\xff\xfe\xfd\xc0\x80\xed\xa0\x80";
    let script = Script::new().say(&Frame::ping(payload)).pong(payload).bye();
    sheet.case("a ping may carry what is not UTF-8", script);
    let payload = vec![0xFE; 125];
    let script = Script::new().say(&Frame::ping(&*payload)).in_pieces(1).pong(payload).bye();
    sheet.case("a ping of 125 bytes byte by byte is answered", script);
    let mut script = Script::new();
    for number in 0..10 {
        script = script.say(&Frame::ping([number]));
    }
    let heard = |script: Script| (0..10).fold(script, |script, number| script.pong([number]));
    sheet.case("ten pings in one write are answered by ten pongs", heard(script.clone()).bye());
    sheet.case("ten pings byte by byte are answered too", heard(script.in_pieces(1)).bye());

    sheet.part("RFC 6455 §5.5");
    for len in [126_usize, 127, 200, 65_535, 65_536] {
        let says = format!("a ping of {len} bytes fails with 1002");
        let script = Script::new().say(&Frame::ping(vec![0; len])).closed(1002);
        sheet.case(says, script);
    }
    let header = &Frame::ping(vec![0; 126]).to_bytes()[..2];
    let script = Script::new().say_bytes(header).closed(1002);
    sheet.case("a ping that says it is too long fails before its length is known", script);
    let script = Script::new().say(&Frame::ping("x").length(Length::InTwo)).closed(1002);
    sheet.case("a short ping whose length stands in two bytes fails", script);
    let script = Script::new().say(&Frame::pong(vec![0; 126])).closed(1002);
    sheet.case("a pong of 126 bytes fails with 1002", script);
    let script = Script::new().say(&Frame::ping("x").unfinished()).closed(1002);
    sheet.case("a ping that is not final fails with 1002", script);
    let script = Script::new().say(&Frame::pong("x").unfinished()).closed(1002);
    sheet.case("a pong that is not final fails with 1002", script);

    sheet.part("RFC 6455 §5.5.3");
    for (what, payload) in [("without a payload", &b""[..]), ("with a payload", b"unasked")] {
        let script = Script::new().say(&Frame::pong(payload)).bye();
        sheet.case(format!("a pong {what} that nobody asked for is passed over"), script);
    }
    let script = Script::new()
        .say(&Frame::pong("unasked"))
        .say(&Frame::ping("asked"))
        .say(&Frame::text("after"))
        .pong("asked")
        .text("after")
        .bye();
    sheet.case("a pong that nobody asked for changes nothing of what follows", script);

    sheet.part("RFC 6455 §5.4");
    between_fragments(sheet);
}

fn between_fragments(sheet: &mut Sheet) {
    for kind in Kind::BOTH {
        let [first, middle, last] = &fragments(kind, &["one ", "two ", "three"])[..] else {
            unreachable!("three parts are three frames")
        };
        let script = Script::new()
            .say(first)
            .say(&Frame::ping("1"))
            .say(middle)
            .say(&Frame::pong("unasked"))
            .say(&Frame::ping("2"))
            .say(last);
        let heard = |script: Script| {
            let script = script.pong("1").pong("2");
            match kind {
                Kind::Text => script.text("one two three"),
                Kind::Binary => script.binary("one two three"),
            }
        };
        let says = format!("pings between fragments of {kind} are answered before the message");
        sheet.case(says.clone(), heard(script.clone()).bye());
        sheet.case(format!("{says}, byte by byte"), heard(script.in_pieces(1)).bye());
    }
    let script = Script::new()
        .say(&Frame::text("begun").unfinished())
        .say(&Frame::ping("now"))
        .pong("now")
        .say(&Frame::continuation(" and ended"))
        .text("begun and ended")
        .bye();
    sheet.case("a ping in a message is answered while the message is unfinished", script);
}
