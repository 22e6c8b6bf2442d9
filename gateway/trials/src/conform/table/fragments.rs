//! Messages in fragments, in every order that is legal, and in those that are not.

use super::super::case::Kind;
use super::super::opening::Route;
use super::super::script::{Script, fragments};
use super::Sheet;
use crate::raw::Frame;

pub(super) fn put(sheet: &mut Sheet) {
    legal(sheet);
    empty(sheet);
    illegal(sheet);
    with_control_frames(sheet);
}

fn say_all(script: Script, frames: &[Frame]) -> Script {
    frames.iter().fold(script, |script, frame| script.say(frame))
}

fn heard(script: Script, kind: Kind, payload: &[u8]) -> Script {
    match kind {
        Kind::Text => script.text(payload),
        Kind::Binary => script.binary(payload),
    }
}

fn legal(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.4");
    for kind in Kind::BOTH {
        for count in [2, 3, 10, 100, 1000] {
            let parts: Vec<_> = (0..count).map(|number| format!("{number};")).collect();
            let script = say_all(Script::new(), &fragments(kind, &parts));
            let script = heard(script, kind, parts.concat().as_bytes()).bye();
            sheet.case(format!("{kind} in {count} fragments comes back as one message"), script);
        }
        let parts = ["frag", "ment", "ed"];
        for bytes in [1, 3] {
            let script = say_all(Script::new(), &fragments(kind, &parts)).in_pieces(bytes);
            let says = format!("{kind} in three fragments and pieces of {bytes} bytes comes back");
            sheet.case(says, heard(script, kind, b"fragmented").bye());
        }
        let frames = fragments(kind, &parts);
        let script = heard(say_all(Script::new(), &frames), kind, b"fragmented");
        let script = heard(say_all(script, &frames), kind, b"fragmented");
        sheet.case(format!("two messages of {kind} in fragments follow each other"), script.bye());
        let script = say_all(Script::on(Route::Plain), &frames);
        let script = say_all(script.say(&Frame::text("whole")), &frames);
        let script = heard(script, kind, b"fragmented").text("whole");
        let script = heard(script, kind, b"fragmented").bye();
        sheet.case(format!("a whole message may stand between messages of {kind}"), script);
    }
    for len in [125, 126, 65_535, 65_536] {
        let part = vec![b'x'; len];
        let script = say_all(Script::new(), &fragments(Kind::Text, &[&part, &part, &part]));
        let says = format!("three fragments of {len} bytes come back as one message");
        sheet.case(says, script.text(part.repeat(3)).bye());
    }
}

fn empty(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.4");
    for kind in Kind::BOTH {
        for (where_, parts) in
            [("first", ["", "ab", "cd"]), ("second", ["ab", "", "cd"]), ("last", ["ab", "cd", ""])]
        {
            let script = say_all(Script::new(), &fragments(kind, &parts));
            let says = format!("an empty {where_} fragment of {kind} is legal");
            sheet.case(says, heard(script, kind, b"abcd").bye());
        }
        let script = say_all(Script::new(), &fragments(kind, &["", "", ""]));
        let says = format!("three empty fragments of {kind} are an empty message");
        sheet.case(says, heard(script, kind, b"").bye());
        let mut parts = vec![""; 501];
        parts.extend(["end"]);
        let script = say_all(Script::new(), &fragments(kind, &parts));
        let says = format!("500 empty fragments of {kind} are legal");
        sheet.case(says, heard(script, kind, b"end").bye());
    }
}

fn illegal(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.4");
    let continuation = || Frame::continuation("lost");
    for (what, frame) in
        [("a last continuation", continuation()), ("a continuation", continuation().unfinished())]
    {
        let says = format!("{what} of nothing fails with 1002");
        sheet.case(says, Script::new().say(&frame).closed(1002));
        let says = format!("{what} of nothing fails byte by byte");
        sheet.case(says, Script::new().say(&frame).in_pieces(1).closed(1002));
        let script = Script::new().say(&Frame::text("whole")).say(&frame).text("whole");
        sheet.case(format!("{what} after a whole message fails"), script.closed(1002));
        let script = say_all(Script::new(), &fragments(Kind::Text, &["a", "b"]));
        let says = format!("{what} after the last fragment fails, and the message comes back");
        sheet.case(says, script.say(&frame).text("ab").closed(1002));
        let script = Script::new().say(&Frame::ping("p")).say(&frame).pong("p").closed(1002);
        sheet.case(format!("{what} after a ping fails"), script);
        let bytes = frame.to_bytes();
        let script = Script::new().say_bytes(&bytes[..6]).closed(1002);
        sheet.case(format!("{what} of nothing fails at its header"), script);
    }
    for kind in Kind::BOTH {
        for other in Kind::BOTH {
            for (what, second) in
                [("", other.frame("b")), ("unfinished ", other.frame("b").unfinished())]
            {
                let script = Script::new().say(&kind.frame("a").unfinished()).say(&second);
                let says = format!("{what}{other} within unfinished {kind} fails with 1002");
                sheet.case(says, script.say(&Frame::continuation("c")).closed(1002));
            }
        }
        let script = Script::new()
            .say(&kind.frame("a").unfinished())
            .say(&Frame::continuation("b").unfinished())
            .say(&kind.frame("c"))
            .closed(1002);
        sheet.case(format!("{kind} after two fragments of another message fails"), script);
    }
}

fn with_control_frames(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.4");
    for kind in Kind::BOTH {
        let frames = fragments(kind, &["a", "b", "c", "d", "e"]);
        let mut script = Script::new();
        for (number, frame) in frames.iter().enumerate() {
            script = script.say(&Frame::ping([number as u8])).say(frame);
        }
        let pongs = |script: Script| (0..5).fold(script, |script, number| script.pong([number]));
        let script = heard(pongs(script), kind, b"abcde").bye();
        sheet.case(format!("a ping before each of five fragments of {kind}"), script);
        let mut script = Script::new();
        for frame in &frames {
            script = script.say(&Frame::pong("unasked")).say(frame);
        }
        let says = format!("a pong before each of five fragments of {kind}");
        sheet.case(says, heard(script, kind, b"abcde").bye());
    }
    let script = Script::new()
        .say(&Frame::text("a").unfinished())
        .say(&Frame::ping(vec![1; 126]))
        .closed(1002);
    sheet.case("a ping that is too long between fragments fails", script);
    let script = Script::new()
        .say(&Frame::text("a").unfinished())
        .say(&Frame::ping("p").unfinished())
        .closed(1002);
    sheet.case("a ping in fragments between fragments fails", script);
    let script = Script::new()
        .say(&Frame::text("a").unfinished())
        .say(&Frame::close(1000, b"enough"))
        .closed(1000);
    sheet.case("a close frame between fragments is answered", script);
}
