//! Text that is UTF-8, and text that is not: whole, cut at each byte, and failing at once.

use super::super::case::{Kind, Message};
use super::super::payload::Payload;
use super::super::script::{Script, fragments};
use super::Sheet;
use crate::raw::{Frame, Length};

/// What is UTF-8.
const VALID: [(&str, &[u8]); 27] = [
    ("ASCII", b"Hello, world!"),
    ("every ASCII character with a control's number", b"\x00\x01\t\r\n\x1b\x1f\x7f"),
    ("Latin letters", "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!".as_bytes()),
    ("Greek", "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes()),
    ("Hangul", "\u{c704}\u{c5b4} \u{ac15}".as_bytes()),
    ("emoji with a joiner", "\u{1f469}\u{200d}\u{1f680}".as_bytes()),
    ("U+0000, the first of one byte", b"\x00"),
    ("U+007F, the last of one byte", b"\x7f"),
    ("U+0080, the first of two bytes", b"\xc2\x80"),
    ("U+07FF, the last of two bytes", b"\xdf\xbf"),
    ("U+0800, the first of three bytes", b"\xe0\xa0\x80"),
    ("U+0FFF, the last behind E0", b"\xe0\xbf\xbf"),
    ("U+1000, the first behind E1", b"\xe1\x80\x80"),
    ("U+CFFF, the last behind EC", b"\xec\xbf\xbf"),
    ("U+D7FF, the last before surrogates", b"\xed\x9f\xbf"),
    ("U+E000, the first after surrogates", b"\xee\x80\x80"),
    ("U+FDD0, which is no character", b"\xef\xb7\x90"),
    ("U+FEFF, a mark of byte order", b"\xef\xbb\xbf"),
    ("U+FFFD, the replacement", b"\xef\xbf\xbd"),
    ("U+FFFE, which is no character", b"\xef\xbf\xbe"),
    ("U+FFFF, the last of three bytes", b"\xef\xbf\xbf"),
    ("U+10000, the first of four bytes", b"\xf0\x90\x80\x80"),
    ("U+3FFFF, the last behind F0", b"\xf0\xbf\xbf\xbf"),
    ("U+40000, the first behind F1", b"\xf1\x80\x80\x80"),
    ("U+FFFFF, the last behind F3", b"\xf3\xbf\xbf\xbf"),
    ("U+100000, the first behind F4", b"\xf4\x80\x80\x80"),
    ("U+10FFFF, the last of all", b"\xf4\x8f\xbf\xbf"),
];

/// What has a byte at which it cannot be UTF-8 any more.
const INVALID: [(&str, &[u8]); 58] = [
    ("80, a continuation of nothing", b"\x80"),
    ("BF, a continuation of nothing", b"\xbf"),
    ("two continuations of nothing", b"\x80\xbf"),
    ("a continuation too many after two bytes", b"\xc3\xa9\x80"),
    ("a continuation too many after three bytes", b"\xe2\x82\xac\x80"),
    ("a continuation too many after four bytes", b"\xf0\x9f\x98\x80\x80"),
    ("C0, which starts nothing", b"\xc0"),
    ("C1, which starts nothing", b"\xc1"),
    ("F5, which starts nothing", b"\xf5"),
    ("F6, which starts nothing", b"\xf6"),
    ("F7, which starts nothing", b"\xf7"),
    ("F8, which starts nothing", b"\xf8"),
    ("FB, which starts nothing", b"\xfb"),
    ("FC, which starts nothing", b"\xfc"),
    ("FD, which starts nothing", b"\xfd"),
    ("FE, which starts nothing", b"\xfe"),
    ("FF, which starts nothing", b"\xff"),
    ("marks of byte order of UTF-16", b"\xfe\xff\xff\xfe"),
    ("a letter after C2", b"\xc2a"),
    ("a letter after DF", b"\xdfa"),
    ("two starts of two bytes", b"\xc3\xc3"),
    ("a letter after E0", b"\xe0a"),
    ("a letter after E2 82", b"\xe2\x82a"),
    ("a letter after EF BF", b"\xef\xbfa"),
    ("a letter after F0", b"\xf0a"),
    ("a letter after F0 9F", b"\xf0\x9fa"),
    ("a letter after F0 9F 98", b"\xf0\x9f\x98a"),
    ("a letter after F4 8F BF", b"\xf4\x8f\xbfa"),
    ("a start after a start of four bytes", b"\xf0\x9f\xf0\x9f"),
    ("a slash in two bytes", b"\xc0\xaf"),
    ("a slash in three bytes", b"\xe0\x80\xaf"),
    ("a slash in four bytes", b"\xf0\x80\x80\xaf"),
    ("a slash in five bytes", b"\xf8\x80\x80\x80\xaf"),
    ("a slash in six bytes", b"\xfc\x80\x80\x80\x80\xaf"),
    ("zero in two bytes", b"\xc0\x80"),
    ("zero in three bytes", b"\xe0\x80\x80"),
    ("zero in four bytes", b"\xf0\x80\x80\x80"),
    ("U+007F in two bytes", b"\xc1\xbf"),
    ("U+07FF in three bytes", b"\xe0\x9f\xbf"),
    ("U+FFFF in four bytes", b"\xf0\x8f\xbf\xbf"),
    ("U+1FFFFF in four bytes", b"\xf7\xbf\xbf\xbf"),
    ("U+200000 in five bytes", b"\xf8\x88\x80\x80\x80"),
    ("U+4000000 in six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ("U+7FFFFFFF in six bytes", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    ("U+D800, the first surrogate", b"\xed\xa0\x80"),
    ("U+DB7F, a surrogate", b"\xed\xad\xbf"),
    ("U+DB80, a surrogate", b"\xed\xae\x80"),
    ("U+DBFF, the last high surrogate", b"\xed\xaf\xbf"),
    ("U+DC00, the first low surrogate", b"\xed\xb0\x80"),
    ("U+DF80, a surrogate", b"\xed\xbe\x80"),
    ("U+DFFF, the last surrogate", b"\xed\xbf\xbf"),
    ("two surrogates that are a pair", b"\xed\xa0\x80\xed\xb0\x80"),
    ("the last two surrogates that are a pair", b"\xed\xaf\xbf\xed\xbf\xbf"),
    ("U+110000, the first beyond all", b"\xf4\x90\x80\x80"),
    ("U+13FFFF behind F4", b"\xf4\xbf\xbf\xbf"),
    ("U+140000 behind F5", b"\xf5\x80\x80\x80"),
    ("Latin-1", b"caf\xe9 au lait"),
    ("text of before and a surrogate", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"),
];

/// What only its end makes wrong.
const UNFINISHED: [(&str, &[u8]); 12] = [
    ("C2", b"\xc2"),
    ("DF", b"\xdf"),
    ("E0", b"\xe0"),
    ("E0 A0", b"\xe0\xa0"),
    ("E2 82", b"\xe2\x82"),
    ("ED 9F", b"\xed\x9f"),
    ("EF BF", b"\xef\xbf"),
    ("F0", b"\xf0"),
    ("F0 90", b"\xf0\x90"),
    ("F0 9F 98", b"\xf0\x9f\x98"),
    ("F4 8F BF", b"\xf4\x8f\xbf"),
    ("text and F0 9F", b"so far \xc3\xa9 \xf0\x9f"),
];

pub(super) fn put(sheet: &mut Sheet) {
    valid(sheet);
    valid_in_fragments(sheet);
    invalid(sheet);
    invalid_in_fragments(sheet);
    at_once(sheet);
    unfinished(sheet);
    far_in(sheet);
    elsewhere(sheet);
}

fn valid(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in VALID {
        let around = [b"a\xc3\xa9", bytes, b"\xe2\x82\xac."].concat();
        let script = Script::new()
            .say(&Frame::text(bytes))
            .text(bytes)
            .say(&Frame::text(&*around))
            .in_pieces(1)
            .text(around);
        sheet.case(format!("{what}: comes back, alone and within text"), script.bye());
    }
}

fn valid_in_fragments(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in VALID.iter().filter(|(_, bytes)| bytes.len() > 1) {
        let mut script = Script::new();
        for at in 1..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            // The pong shows that the half character did not fail.
            script = script
                .say(&Frame::text(head).unfinished())
                .say(&Frame::ping("still there?"))
                .pong("still there?")
                .say(&Frame::continuation(tail))
                .text(*bytes);
        }
        let parts: Vec<_> = bytes.chunks(1).collect();
        for frame in fragments(Kind::Text, &parts) {
            script = script.say(&frame);
        }
        let says = format!("{what}: comes back however it is cut into fragments");
        sheet.case(says, script.text(*bytes).bye());
    }
}

fn invalid(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in INVALID {
        let script = Script::new().say(&Frame::text(bytes)).closed(1007);
        sheet.case(format!("{what}: fails with 1007"), script);
        let around = [b"a\xc3\xa9", bytes, b"\xe2\x82\xac."].concat();
        let script = Script::new()
            .say(&Frame::text("fine"))
            .say(&Frame::text(around))
            .say(&Frame::ping("unheard"))
            .text("fine")
            .closed(1007);
        sheet.case(format!("{what}: fails within text, after a message that is fine"), script);
    }
}

fn invalid_in_fragments(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in INVALID {
        for at in 1..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            let script = Script::new()
                .say(&Frame::text(head).unfinished())
                .say(&Frame::continuation(tail))
                .closed(1007);
            sheet.case(format!("{what}: fails cut after {at} bytes into two fragments"), script);
        }
        let script = Script::new()
            .say(&Frame::text("\u{e9}").unfinished())
            .say(&Frame::continuation(bytes))
            .closed(1007);
        sheet.case(format!("{what}: fails in a second fragment"), script);
    }
}

/// Bytes of `bytes` up to the one after which nothing can make it UTF-8.
fn fatal_len(bytes: &[u8]) -> usize {
    let is_fatal = |len: &usize| {
        str::from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some())
    };
    (1..=bytes.len()).find(is_fatal).expect("it has a byte that is fatal")
}

/// What is missing of the message never comes, so that only an answer to what came can pass.
fn at_once(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in INVALID {
        let fatal = &bytes[..fatal_len(bytes)];
        let frame = Frame::text([b"fine so far ", fatal].concat());
        let longer = frame.clone().length(Length::Declared(100_000));
        let says = format!("{what}: fails at its first bad byte, before the frame's end");
        sheet.case(says, Script::new().say(&longer).closed(1007));
        let script = Script::new().say(&longer).in_pieces(1).closed(1007);
        sheet.case(format!("{what}: fails there too if it comes byte by byte"), script);
        let says = format!("{what}: fails in a whole fragment, before the message's end");
        sheet.case(says, Script::new().say(&frame.unfinished()).closed(1007));
        let (head, tail) = fatal.split_at(fatal.len() - 1);
        let script = Script::new()
            .say(&Frame::text([b"fine so far ", head].concat()).unfinished())
            .say(&Frame::continuation(tail).length(Length::Declared(1000)).unfinished())
            .closed(1007);
        sheet.case(format!("{what}: fails at its last byte in an unfinished fragment"), script);
    }
}

fn unfinished(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for (what, bytes) in UNFINISHED {
        let script = Script::new().say(&Frame::text(bytes)).closed(1007);
        sheet.case(format!("{what} at the end of a message fails with 1007"), script);
        let script = Script::new()
            .say(&Frame::text(bytes).unfinished())
            .say(&Frame::ping("still there?"))
            .pong("still there?")
            .say(&Frame::continuation(""))
            .closed(1007);
        sheet.case(format!("{what} fails when an empty last fragment ends it"), script);
        let script = Script::new()
            .say(&Frame::text(bytes).unfinished())
            .say(&Frame::continuation("a").unfinished())
            .closed(1007);
        sheet.case(format!("{what} fails when the next fragment does not go on"), script);
        let script =
            Script::new().say(&Frame::text(bytes)).say(&Frame::continuation(bytes)).closed(1007);
        sheet.case(format!("{what} is not ended by what follows the message"), script);
    }
}

/// Validators look at many bytes at once: each place among them is tried.
fn far_in(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §8.1");
    for at in (0..=66).chain([127, 128, 4095, 4096, 65_535, 65_536, 200_000]) {
        let mut bytes = vec![b'x'; at];
        bytes.extend(b"\xff");
        bytes.extend([b'x'; 100]);
        let script = Script::new().say(&Frame::text(bytes)).closed(1007);
        sheet.case(format!("FF behind {at} letters fails with 1007"), script);
    }
    for at in [0, 1, 15, 30, 31, 32, 61, 62, 63, 64, 65] {
        let bytes = [&vec![b'x'; at], "\u{1f600}".as_bytes(), &[b'x'; 50]].concat();
        let script = Script::new().say(&Frame::text(&*bytes)).text(bytes).bye();
        sheet.case(format!("a character of four bytes behind {at} letters comes back"), script);
    }
    for bytes in [1, 2, 3, 7, 64, 1000] {
        let message = Message::text(Payload::Text(20_000)).in_fragments(bytes);
        let says = format!("text in several scripts in fragments of {bytes} bytes comes back");
        sheet.case(says, Script::new().echo(message).bye());
    }
}

fn elsewhere(sheet: &mut Sheet) {
    sheet.part("RFC 6455 §5.6");
    let mut script = Script::new();
    for (_, bytes) in INVALID.iter().chain(&UNFINISHED) {
        script = script.say(&Frame::binary(*bytes)).binary(*bytes);
    }
    sheet.case("what is not UTF-8 may be binary", script.bye());
    let frames = fragments(Kind::Binary, &[b"\xff\xf0", &b"\x9f\xc0"[..], b"\x80"]);
    let script = frames.iter().fold(Script::new(), |script, frame| script.say(frame));
    let script = script.binary(&b"\xff\xf0\x9f\xc0\x80"[..]).bye();
    sheet.case("what is not UTF-8 may be binary in fragments", script);
}
