//! What goes over the wire, byte by byte, and what does not.

use super::client::NAMES;
use super::*;
use crate::frame::{self, Opcode};
use crate::handshake::Query;

const AT: Position = Position { epoch: Epoch(0x0102_0304_0506_0708), offset: Offset(9) };

const PUBLISH_HEADER_BYTES: usize = 10;

/// All that a client may say, with the bytes that it has always been.
fn said() -> Vec<(ToServer<'static>, &'static [u8])> {
    vec![
        (
            ToServer::Publish { id: 0x0A0B, kind: Kind::Text, payload: "hé".as_bytes() },
            b"\x01\x0b\x0a\0\0\0\0\0\0\x01h\xc3\xa9",
        ),
        (
            ToServer::Publish { id: u64::MAX, kind: Kind::Binary, payload: b"" },
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ),
        (ToServer::Members { id: 0x0A0B }, b"\x02\x0b\x0a\0\0\0\0\0\0"),
    ]
}

/// All that a client may be told, with the bytes that it has always been.
fn told() -> Vec<(ToClient<'static>, &'static [u8])> {
    let message = |kind, payload| ToClient::Message {
        epoch: AT.epoch,
        prev: Offset(7),
        offset: AT.offset,
        kind,
        payload,
    };
    let who = Author::from_bits(0x8000_0000_0000_0005);
    vec![
        (
            ToClient::Subscribed { position: AT, recovered: true },
            b"\x01\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0\x01",
        ),
        (
            ToClient::Subscribed { position: Position::default(), recovered: false },
            b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        (
            message(Kind::Text, b"hi"),
            b"\x02\x08\x07\x06\x05\x04\x03\x02\x01\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01hi",
        ),
        (
            message(Kind::Binary, b"\xff"),
            b"\x02\x08\x07\x06\x05\x04\x03\x02\x01\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x02\xff",
        ),
        (
            ToClient::Ack { id: 4, position: AT },
            b"\x03\x04\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0",
        ),
        (ToClient::Refused { id: 4, why: Why::Full }, b"\x04\x04\0\0\0\0\0\0\0\0"),
        (ToClient::Refused { id: 4, why: Why::Gone }, b"\x04\x04\0\0\0\0\0\0\0\x01"),
        (ToClient::Gap { position: AT }, b"\x05\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0"),
        (
            ToClient::Reset { position: AT },
            b"\x06\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0",
        ),
        (ToClient::Joined { who }, b"\x07\x05\0\0\0\0\0\0\x80"),
        (ToClient::Left { who }, b"\x08\x05\0\0\0\0\0\0\x80"),
        (ToClient::Members { id: 3, who: vec![] }, b"\x09\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (
            ToClient::Members { id: 3, who: vec![who, Author::NOBODY] },
            b"\x09\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
              \x05\0\0\0\0\0\0\x80\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ]
}

fn bytes_of(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(&mut out);
    out.strip_prefix(b"before").expect("frames are appended").to_vec()
}

#[test]
fn the_format_does_not_drift() {
    for (said, golden) in said() {
        assert_eq!(bytes_of(|out| said.encode(out)), golden, "{said:?}");
        assert_eq!(ToServer::decode(golden), Ok(said));
    }
    for (told, golden) in told() {
        assert_eq!(bytes_of(|out| told.encode(out)), golden, "{told:?}");
        assert_eq!(ToClient::decode(golden), Ok(told));
    }
}

#[test]
fn every_tag_has_its_golden_bytes() {
    for tag in 0..=u8::MAX {
        let known = said().iter().any(|(_, golden)| golden[0] == tag);
        assert_eq!(ToServer::decode(&[tag]) == Err(Malformed::Tag), !known, "{tag}");
        let known = told().iter().any(|(_, golden)| golden[0] == tag);
        assert_eq!(ToClient::decode(&[tag]) == Err(Malformed::Tag), !known, "{tag}");
    }
}

#[test]
fn a_frame_that_is_cut_is_an_error() {
    for (said, golden) in said() {
        // Where a payload is cut is not to be seen: it is the rest of its frame.
        let fixed = match said {
            ToServer::Publish { .. } => PUBLISH_HEADER_BYTES,
            ToServer::Members { .. } => golden.len(),
        };
        for len in 0..fixed {
            let cut = ToServer::decode(&golden[..len]);
            assert_eq!(cut, Err(Malformed::Short), "{said:?} cut at {len}");
        }
    }
    for (told, golden) in told() {
        let open = matches!(told, ToClient::Message { .. });
        let fixed = if open { MESSAGE_HEADER_BYTES } else { golden.len() };
        for len in 0..fixed {
            let cut = ToClient::decode(&golden[..len]);
            assert_eq!(cut, Err(Malformed::Short), "{told:?} cut at {len}");
        }
    }
}

#[test]
fn a_frame_that_goes_on_is_an_error() {
    for (said, golden) in said() {
        let longer = [golden, &[0]].concat();
        match said {
            ToServer::Publish { .. } => {
                let read = ToServer::decode(&longer);
                assert!(read.is_ok_and(|read| read != said), "a payload is the rest: {said:?}");
            }
            ToServer::Members { .. } => {
                assert_eq!(ToServer::decode(&longer), Err(Malformed::Long), "{said:?}");
            }
        }
    }
    for (told, golden) in told() {
        for more in [1, 8] {
            let longer = [golden, &[0; 8][..more]].concat();
            let read = ToClient::decode(&longer);
            if matches!(told, ToClient::Message { .. }) {
                assert!(read.is_ok_and(|read| read != told), "a payload is the rest: {told:?}");
            } else {
                assert_eq!(read, Err(Malformed::Long), "{told:?}");
            }
        }
    }
}

#[test]
fn a_field_has_only_its_values() {
    /// Decodes `golden` with this byte in place of the one at `at`.
    fn with<'a>(golden: &[u8], at: usize, byte: u8, space: &'a mut Vec<u8>) -> &'a [u8] {
        space.clear();
        space.extend_from_slice(golden);
        space[at] = byte;
        space
    }
    let mut space = Vec::new();
    let (subscribed, message, refused) = (told()[0].1, told()[3].1, told()[5].1);
    let publish = said()[1].1;
    for byte in 0..=u8::MAX {
        let kind = matches!(byte, 1 | 2);
        let two = byte < 2;
        let said = ToServer::decode(with(publish, PUBLISH_HEADER_BYTES - 1, byte, &mut space));
        assert_eq!(said == Err(Malformed::Value), !kind, "publish {byte}");
        for (golden, at, legal) in [
            (subscribed, subscribed.len() - 1, two),
            (message, MESSAGE_HEADER_BYTES - 1, kind),
            (refused, refused.len() - 1, two),
        ] {
            let told = ToClient::decode(with(golden, at, byte, &mut space));
            assert_eq!(told == Err(Malformed::Value), !legal, "{golden:?} with {byte} at {at}");
        }
    }
}

#[test]
fn a_text_is_utf_8() {
    for payload in [&b"\xff"[..], b"caf\xc3", b"\xed\xa0\x80"] {
        let (text, binary) = (Kind::Text, Kind::Binary);
        let publish = |kind| bytes_of(|out| ToServer::Publish { id: 1, kind, payload }.encode(out));
        assert_eq!(ToServer::decode(&publish(text)), Err(Malformed::NotUtf8));
        let told = ToServer::Publish { id: 1, kind: binary, payload };
        assert_eq!(ToServer::decode(&publish(binary)), Ok(told));

        let mut message = bytes_of(|out| message_header(out, AT.epoch, Offset(8), AT.offset, text));
        message.extend_from_slice(payload);
        assert_eq!(ToClient::decode(&message), Err(Malformed::NotUtf8));
    }
}

#[test]
fn a_count_is_not_believed_without_its_members() {
    let members = |count: u64, bytes: usize| {
        let mut frame = bytes_of(|out| ToClient::Members { id: 1, who: vec![] }.encode(out));
        let at = frame.len() - size_of_val(&count);
        frame[at..].copy_from_slice(&count.to_le_bytes());
        frame.resize(frame.len() + bytes, 0);
        ToClient::decode(&frame).map(|_| ())
    };
    // Eight times 2⁶¹ + 1 is eight in 64 bits.
    for count in [2, 1 << 32, (1 << 61) + 1, u64::MAX] {
        assert_eq!(members(count, 8), Err(Malformed::Short), "{count}");
        assert_eq!(members(count, 15), Err(Malformed::Short), "{count}");
    }
    assert_eq!(members(1, 8), Ok(()));
    assert_eq!(members(1, 9), Err(Malformed::Long));
    assert_eq!(members(0, 8), Err(Malformed::Long));
}

#[test]
fn a_message_goes_into_its_frame_without_a_detour() {
    for (told, golden) in told() {
        let ToClient::Message { epoch, prev, offset, kind, payload } = told else { continue };
        let direct = bytes_of(|out| {
            frame::put_header(out, Opcode::Binary, MESSAGE_HEADER_BYTES + payload.len());
            message_header(out, epoch, prev, offset, kind);
            out.extend_from_slice(payload);
        });
        let (header, words) = direct.split_at(frame::header_len(golden.len()));
        assert_eq!(header, [0x82, golden.len() as u8]);
        assert_eq!(words, golden);
    }
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 56) as u8
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }
}

/// Reads the bytes as both sides do. What means something is said in these bytes only.
///
/// Returns how many of the two understood them.
fn read_both(bytes: &[u8]) -> usize {
    let said = ToServer::decode(bytes).map(|said| bytes_of(|out| said.encode(out)));
    let told = ToClient::decode(bytes).map(|told| bytes_of(|out| told.encode(out)));
    let understood = [said, told].into_iter().flatten();
    understood.inspect(|again| assert_eq!(again, bytes)).count()
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut dice = Dice(1);
    for _ in 0..20_000 {
        let len = dice.below(80);
        let bytes: Vec<u8> = (0..len).map(|_| dice.byte()).collect();
        read_both(&bytes);
    }
}

#[test]
fn damaged_frames_are_refused_or_mean_what_they_say() {
    let (said, told) = (said(), told());
    let goldens =
        said.iter().map(|(_, golden)| *golden).chain(told.iter().map(|(_, golden)| *golden));
    let goldens: Vec<&[u8]> = goldens.collect();
    let mut dice = Dice(2);
    let mut understood = 0;
    for _ in 0..20_000 {
        let mut bytes = goldens[dice.below(goldens.len())].to_vec();
        for _ in 0..=dice.below(3) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] = dice.byte(),
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => bytes.truncate(at + 1),
                _ => bytes.insert(at, dice.byte() % 4),
            }
        }
        understood += read_both(&bytes);
    }
    assert!((2_000..38_000).contains(&understood), "{understood} of 40,000 were understood");
}

#[test]
fn what_is_malformed_is_said_in_the_way_of_errors() {
    use Malformed::{Long, NotUtf8, Short, Tag, Value};
    let lines = [Short, Long, Tag, Value, NotUtf8].map(|malformed| malformed.to_string());
    for line in &lines {
        assert!(line.starts_with(char::is_lowercase) && !line.ends_with('.'), "{line}");
        assert_eq!(lines.iter().filter(|other| *other == line).count(), 1, "{line}");
    }
}

#[test]
fn a_query_says_where_a_client_was_and_who_it_is() {
    let at = |epoch, offset| Some(Position { epoch: Epoch(epoch), offset: Offset(offset) });
    for (query, since, author) in [
        ("", None, None),
        ("&&", None, None),
        ("epoch=3&offset=4", at(3, 4), None),
        ("as=9&offset=0&epoch=0", at(0, 0), Some(9)),
        ("x=y&as=9&y", None, Some(9)),
        ("Epoch=x&epochs=x&bias=x&x=as=x", None, None),
        ("epoch=007&offset=18446744073709551615", at(7, u64::MAX), None),
        ("as=4611686018427387903", None, Some(NAMES - 1)),
    ] {
        let asked = Subscribe::parse(Query::new(query));
        assert_eq!(asked, Ok(Subscribe { since, author }), "{query}");
    }
}

#[test]
fn a_query_that_could_be_meant_in_another_way_is_refused_with_what_to_do() {
    for (query, name, advice) in [
        ("epoch=3", "`epoch` and `offset`", "give both"),
        ("offset=4&as=1", "`epoch` and `offset`", "give both"),
        ("epoch=3&offset=-1", "`offset`", "decimal"),
        ("epoch=0x3&offset=1", "`epoch`", "decimal"),
        ("epoch=3&offset=1.5", "`offset`", "decimal"),
        ("epoch=%33&offset=1", "`epoch`", "decimal"),
        ("as=", "`as`", "decimal"),
        ("as", "`as`", "decimal"),
        ("as=+5", "`as`", "decimal"),
        ("as=\u{665}", "`as`", "decimal"),
        ("as=99999999999999999999", "`as`", "at most 18446744073709551615"),
        ("as=4611686018427387904", "`as`", "below 4611686018427387904"),
        ("as=1&as=1", "`as`", "once"),
        ("epoch=1&offset=1&epoch", "`epoch`", "once"),
    ] {
        let refusal = Subscribe::parse(Query::new(query)).expect_err(query);
        assert_eq!(refusal.status as u16, 400, "{query}");
        for part in [name, advice] {
            assert!(refusal.why().contains(part), "{query}: {:?} has no {part}", refusal.why());
        }
    }
}

#[test]
fn names_beyond_those_that_are_served_would_be_somebody_elses() {
    assert_eq!(Author::named(NAMES), Author::named(0));
    assert_ne!(Author::named(NAMES - 1), Author::named(NAMES / 2 - 1));
}
