//! Rules of RFC 6455 that no other test is about, and that the table of all names tests that are
//! there.

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use world::{Frame, World, close_code, masked, request, text};

const PONG: u8 = 0xA;

#[test]
fn a_pong_has_the_pings_bytes_and_who_reads_slowly_gets_the_latest() {
    let mut world = World::new();
    let echo = world.connect("/ws/simple");
    let longest = [b'x'; 125];
    for payload in [&b""[..], b"hi", &[0xFF, 0x00, 0x81], &longest] {
        world.raw(echo, &masked(0x89, payload));
        world.settle();
        assert_eq!(world.heard(echo), [Frame { opcode: PONG, payload: payload.to_vec() }]);
    }
    let member = world.connect("/ws/lobby");
    world.wire(member).window = 1;
    for number in 0..10 {
        world.raw(member, &masked(0x89, &[number]));
        world.settle();
    }
    world.read_more(member, usize::MAX / 2);
    let pongs: Vec<_> = world.heard(member).into_iter().map(|frame| frame.payload).collect();
    assert_eq!(pongs, [[0], [9]], "the one that was half sent, and the latest");
}

#[test]
fn after_our_close_frame_comes_nothing_and_after_theirs_nothing_is_understood() {
    let mut world = World::new();
    let [ann, bob, eve] = world.connect_all("/ws/lobby");
    let mut bytes = masked(0x81, b"before");
    bytes.extend(masked(0x88, &1000_u16.to_be_bytes()));
    bytes.extend(masked(0x81, b"after"));
    bytes.extend(masked(0x89, b"ping"));
    // Others speak in the same turn, and in the next.
    world.say(eve, "early");
    world.raw(ann, &bytes);
    world.say(eve, "late");
    world.settle();
    world.say(eve, "later");
    world.settle();
    let heard = world.heard(ann);
    assert_eq!(heard.iter().filter_map(close_code).collect::<Vec<_>>(), [1000]);
    assert_eq!(heard.last().and_then(close_code), Some(1000), "{heard:?}");
    assert_eq!(world.heard(bob), ["early", "before", "late", "later"].map(text));
}

#[test]
fn unknown_extensions_are_passed_over_and_none_is_picked() {
    let mut world = World::new();
    let slot = world.accept();
    let mut request = request("/ws/simple");
    request.truncate(request.len() - 2);
    for offer in ["permessage-bzip2; client_max_window_bits, x-unknown; a=\"b\"", "bbf-usp"] {
        request.extend(format!("Sec-WebSocket-Extensions: {offer}\r\n").into_bytes());
    }
    request.extend(b"\r\n");
    world.raw(slot, &request);
    world.settle();
    let got = std::mem::take(&mut world.wire(slot).got);
    let got = String::from_utf8(got).expect("a response is text");
    assert!(got.starts_with("HTTP/1.1 101 ") && !got.contains("Extensions"), "{got}");
    // So a reserved bit is nothing that was agreed on.
    world.raw(slot, &masked(0xC1, b"hi"));
    world.settle();
    assert_eq!(world.heard(slot).iter().filter_map(close_code).collect::<Vec<_>>(), [1002]);
}

#[test]
fn four_mebibytes_in_fragments_of_64_bytes_are_one_message() {
    let mut world = World::new();
    let echo = world.connect("/ws/simple");
    let whole: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut fragments = Vec::new();
    let count = whole.len() / 64;
    for (number, part) in whole.chunks(64).enumerate() {
        let first = if number == 0 { 0x02 } else { 0x00 };
        let last = if number + 1 == count { 0x80 } else { 0x00 };
        fragments.extend(masked(first | last, part));
    }
    for bytes in fragments.chunks(100_000) {
        world.raw(echo, bytes);
        world.settle();
    }
    let heard = world.heard(echo);
    assert_eq!((heard.len(), heard[0].opcode), (1, 0x2));
    assert!(heard[0].payload == whole);
}

/// Names in backquotes, in the order of a line.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_rule_has_a_test_that_is_there_or_a_word_why_not() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(core.join("CONFORMANCE.md")).expect("the table is there");
    let rules = table.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let rules: Vec<_> = rules.filter(|line| !line.starts_with("| section")).collect();
    assert!(rules.len() >= 45, "{} rules are left", rules.len());
    let mut tests = BTreeSet::new();
    for rule in rules {
        let shown = rule.trim_end_matches(" |").rsplit(" | ").next().expect("it has cells");
        match quoted(shown)[..] {
            [] => assert!(shown.contains('*'), "a word why not: {rule}"),
            [file, test] => {
                tests.insert((file, test));
            }
            _ => panic!("a file and a test: {rule}"),
        }
    }
    for (file, test) in tests {
        let path = match file.strip_prefix("gateway:") {
            Some(file) => core.parent().expect("it is in a folder").join(file),
            None => core.join(file),
        };
        let source = fs::read_to_string(&path).expect(file);
        assert!(source.contains(&format!("fn {test}(")), "{file} has no {test}");
    }
}

#[test]
fn each_place_that_keeps_a_rule_is_there() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(core.join("CONFORMANCE.md")).expect("the table is there");
    for rule in table.lines().filter(|line| line.starts_with("| ")) {
        let Some(kept) = rule.split(" | ").nth(2) else { continue };
        for file in quoted(kept) {
            assert!(core.join("src").join(file).is_file(), "{file}: {rule}");
        }
    }
}
