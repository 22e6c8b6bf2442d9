//! The packet parser: what it finds, why it skips, and that it never reads where it should not.

mod frames;
mod letter;
mod mutant;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use frames::{IPV4, IPV6, PAYLOAD, TCP};
use gateway_ebpf::{
    Address, Flags, HEADERS_BYTES_MAX, IPV6_EXTENSIONS_MAX, Packet, Segment, Skip, VLAN_TAGS_MAX,
    parse,
};
use mutant::Chance;

#[test]
fn segments_are_found_behind_every_header_that_is_followed() {
    for (name, frame, segment) in frames::segments() {
        assert_eq!(parse(&frame[..]), Ok(segment), "{name}");
    }
}

#[test]
fn a_frame_without_a_segment_is_skipped_for_its_reason() {
    for (name, frame, skip, _) in frames::skips() {
        assert_eq!(parse(&frame[..]), Err(skip), "{name}");
    }
}

#[test]
fn a_segment_cut_before_the_end_of_its_header_is_short() {
    for (name, frame, segment) in frames::segments() {
        let needed = frame.len() - PAYLOAD.len();
        for cut in 0..=frame.len() {
            let expected = if cut < needed { Err(Skip::Short) } else { Ok(segment) };
            assert_eq!(parse(&frame[..cut]), expected, "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_cut_frame_is_skipped_for_its_reason_as_soon_as_that_is_known() {
    for (name, frame, skip, known) in frames::skips() {
        for cut in 0..=frame.len() {
            let expected = if cut < known { Skip::Short } else { skip };
            assert_eq!(parse(&frame[..cut]), Err(expected), "{name} cut at {cut}");
        }
    }
}

#[test]
fn an_ipv4_header_of_less_than_five_words_is_short() {
    // Wherever a TCP header is sought in this, it has five words.
    let mut frame = frames::ethernet(IPV4, &frames::ipv4(TCP, &[0x55; 60]));
    for words in 0..16 {
        frame[14] = 0x40 | words;
        let expected = if words < 5 { Err(Skip::Short) } else { Ok([0x5555, 0x5555]) };
        let ports = |segment: Segment| [segment.source_port, segment.destination_port];
        assert_eq!(parse(&frame[..]).map(ports), expected, "{words}");
    }
}

#[test]
fn ipv4_options_longer_than_the_frame_are_short() {
    let mut frame =
        frames::ethernet(IPV4, &frames::ipv4(TCP, &frames::tcp_with(5, Flags::SYN, &[])));
    for words in 6..16 {
        frame[14] = 0x40 | words;
        assert_eq!(parse(&frame[..]), Err(Skip::Short), "{words}");
    }
}

#[test]
fn a_tcp_header_of_less_than_five_words_is_short() {
    for words in 0..16 {
        let segment = frames::tcp_with(words, Flags::SYN, &[]);
        let v4 = frames::ethernet(IPV4, &frames::ipv4(TCP, &segment));
        let v6 = frames::ethernet(IPV6, &frames::ipv6(TCP, &segment));
        for (frame, expected) in
            [(v4, frames::segment_v4(Flags::SYN)), (v6, frames::segment_v6(Flags::SYN))]
        {
            // Options need not be there: a first fragment may end before them.
            let expected = if words < 5 { Err(Skip::Short) } else { Ok(expected) };
            assert_eq!(parse(&frame[..]), expected, "{words}");
        }
    }
}

#[test]
fn an_extension_longer_than_the_frame_is_short() {
    for kind in [frames::HOP_BY_HOP, frames::ROUTING, frames::DESTINATION] {
        for units in 0..=255_u8 {
            let mut packet = frames::extension(TCP, units, &frames::tcp(Flags::SYN));
            let frame = frames::ethernet(IPV6, &frames::ipv6(kind, &packet));
            assert_eq!(parse(&frame[..]), Ok(frames::segment_v6(Flags::SYN)), "{units}");
            packet.drain(8..8 + PAYLOAD.len() + 1);
            let frame = frames::ethernet(IPV6, &frames::ipv6(kind, &packet));
            assert_eq!(parse(&frame[..]), Err(Skip::Short), "{units}");
        }
    }
}

#[test]
fn a_fragment_with_any_bit_of_its_offset_is_a_later_one() {
    for bit in 0..13 {
        let payload = frames::tcp(Flags::ACK);
        let v4 = frames::ipv4_with(TCP, &[], 1 << bit, &payload);
        assert_eq!(parse(&frames::ethernet(IPV4, &v4)[..]), Err(Skip::Fragment), "{bit}");
        let v6 = frames::fragment(TCP, 1 << bit, false, &payload);
        let v6 = frames::ethernet(IPV6, &frames::ipv6(frames::FRAGMENT, &v6));
        assert_eq!(parse(&v6[..]), Err(Skip::Fragment), "{bit}");
    }
}

#[test]
fn every_control_bit_arrives() {
    for flags in (0..=255).map(Flags) {
        let frame = frames::ethernet(IPV4, &frames::ipv4(TCP, &frames::tcp(flags)));
        assert_eq!(parse(&frame[..]), Ok(frames::segment_v4(flags)));
    }
    let reply = Flags(Flags::SYN.0 | Flags::ACK.0);
    assert!(reply.contains(Flags::SYN) && reply.contains(reply));
    assert!(!Flags::SYN.contains(reply) && !reply.contains(Flags::FIN));
}

#[test]
fn a_parser_by_the_letter_agrees_on_every_change_of_one_byte() {
    for frame in all_frames() {
        // Beyond, only the filling of long extensions and what the deepest frame ends with.
        for at in 0..frame.len().min(160) {
            let mut frame = frame.clone();
            for byte in 0..=255 {
                frame[at] = byte;
                let _ = agreed(&frame);
            }
        }
    }
}

#[test]
fn a_parser_by_the_letter_agrees_on_20_000_mutants() {
    let mut chance = Chance(0x5EED);
    let frames = all_frames();
    let mut found = 0;
    let mut skipped = [0; Skip::ALL.len()];
    for _ in 0..20_000 {
        let mut frame = frames[chance.below(frames.len())].clone();
        mutant::mutate(&mut frame, &frames[chance.below(frames.len())], &mut chance);
        match agreed(&frame) {
            Ok(_) => found += 1,
            Err(skip) => skipped[skip.index() as usize] += 1,
        }
    }
    // Mutants that all died at the first header would prove little.
    assert!(found >= 2000, "{found} segments, skipped {skipped:?}");
    assert!(skipped.iter().all(|count| *count >= 300), "{found} segments, skipped {skipped:?}");
}

#[test]
fn each_header_is_loaded_once_and_in_order() {
    let mut chance = Chance(7);
    let frames = all_frames();
    for round in 0..5000 {
        let mut frame = frames[round % frames.len()].clone();
        if round >= frames.len() {
            mutant::mutate(&mut frame, &frames[chance.below(frames.len())], &mut chance);
        }
        let watched = Watched::new(&frame);
        assert_eq!(parse(&watched), parse(&frame[..]));
        let loads = watched.loads.into_inner();
        assert!(loads.len() <= 3 + VLAN_TAGS_MAX + IPV6_EXTENSIONS_MAX, "{loads:?}");
        assert!(loads.is_sorted_by(|before, after| before.1 <= after.0), "{loads:?}");
        assert!(loads.iter().all(|(_, end)| *end <= HEADERS_BYTES_MAX), "{loads:?}");
    }
}

#[test]
fn the_deepest_frame_is_read_to_the_bound() {
    let frame = frames::deepest();
    let watched = Watched::new(&frame);
    assert_eq!(parse(&watched), Ok(frames::segment_v6(Flags::SYN)));
    let loads = watched.loads.into_inner();
    assert_eq!(loads.len(), 3 + VLAN_TAGS_MAX + IPV6_EXTENSIONS_MAX);
    assert_eq!(loads.last().map(|(_, end)| *end), Some(HEADERS_BYTES_MAX));
}

#[test]
fn a_load_beyond_the_end_is_none_whatever_the_offset() {
    let bytes: &[u8] = &[1, 2, 3, 4];
    assert_eq!(bytes.load(0), Some([1, 2, 3, 4]));
    assert_eq!(bytes.load(2), Some([3, 4]));
    assert_eq!(bytes.load(4), Some([]));
    assert_eq!(bytes.load::<5>(0), None);
    assert_eq!(bytes.load::<2>(3), None);
    assert_eq!(bytes.load::<0>(5), None);
    assert_eq!(bytes.load::<1>(usize::MAX), None);
    assert_eq!(bytes.load::<2>(usize::MAX), None);
}

#[test]
fn a_skip_is_the_index_of_its_counter() {
    for (index, skip) in (0..).zip(Skip::ALL) {
        assert_eq!(skip.index(), index, "{skip:?}");
    }
}

#[test]
fn an_address_has_one_form_for_both_families() {
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    let address = Address::v4(v4.octets());
    assert!(address.is_v4());
    assert_eq!(address, IpAddr::V4(v4).into());
    assert_eq!(address, IpAddr::V6(v4.to_ipv6_mapped()).into());
    assert_eq!(address.octets(), v4.to_ipv6_mapped().octets());
    assert_eq!((IpAddr::from(address), format!("{address:?}")), (v4.into(), "192.0.2.1".into()));

    // Compatible addresses (RFC 4291 §2.5.5.1) are IPv6.
    for v6 in [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, v4.to_ipv6_compatible()] {
        let address = Address::v6(v6.octets());
        assert!(!address.is_v4(), "{v6}");
        assert_eq!((IpAddr::from(address), format!("{address:?}")), (v6.into(), v6.to_string()));
    }
}

/// All fixtures, whatever the parser says about them.
fn all_frames() -> Vec<Vec<u8>> {
    let segments = frames::segments().into_iter().map(|(_, frame, _)| frame);
    segments.chain(frames::skips().into_iter().map(|(_, frame, ..)| frame)).collect()
}

/// What both parsers say.
fn agreed(frame: &[u8]) -> Result<Segment, Skip> {
    let result = parse(frame);
    assert_eq!(result, letter::parse(frame), "{frame:02x?}");
    result
}

/// A packet that remembers which bytes were asked for, as beginning and end.
struct Watched<'a> {
    bytes: &'a [u8],
    loads: RefCell<Vec<(usize, usize)>>,
}

impl<'a> Watched<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, loads: RefCell::default() }
    }
}

impl Packet for Watched<'_> {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.loads.borrow_mut().push((offset, offset + N));
        self.bytes.load(offset)
    }
}
