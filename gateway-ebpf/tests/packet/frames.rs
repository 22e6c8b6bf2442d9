//! Frames built from the inside out: `ethernet(IPV4, &ipv4(TCP, &tcp(SYN)))`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_ebpf::{Flags, Segment, Skip};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86DD;
pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const SERVICE_VLAN: u16 = 0x88A8;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION: u8 = 60;

const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const DESTINATION_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 7);
const DESTINATION_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0xFFFF, 0, 9);
const PORTS: [u16; 2] = [40_000, 8080];

/// What follows each TCP header, which the parser must not need.
pub(crate) const PAYLOAD: &[u8] = b"hey";

/// What the parser says about every frame of [`segments`] that is IPv4.
pub(crate) fn segment_v4(flags: Flags) -> Segment {
    Segment {
        source: IpAddr::from(SOURCE_V4).into(),
        destination: IpAddr::from(DESTINATION_V4).into(),
        source_port: PORTS[0],
        destination_port: PORTS[1],
        flags,
    }
}

/// What the parser says about every frame of [`segments`] that is IPv6.
pub(crate) fn segment_v6(flags: Flags) -> Segment {
    Segment {
        source: IpAddr::from(SOURCE_V6).into(),
        destination: IpAddr::from(DESTINATION_V6).into(),
        ..segment_v4(flags)
    }
}

pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 7], &ether_type.to_be_bytes()[..], payload].concat()
}

/// What follows the type of a tag: its number and the next type.
pub(crate) fn tag(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0x20, 0x64], &ether_type.to_be_bytes()[..], payload].concat()
}

pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, &[], 0, payload)
}

/// Options are of a multiple of 4 bytes; `fragment` is three flags and 13 bits of offset.
pub(crate) fn ipv4_with(protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_bytes = 20 + options.len();
    let [total_high, total_low] = ((header_bytes + payload.len()) as u16).to_be_bytes();
    let [fragment_high, fragment_low] = fragment.to_be_bytes();
    let mut packet = vec![0x40 | (header_bytes / 4) as u8, 0, total_high, total_low];
    packet.extend([0xAB, 0xCD, fragment_high, fragment_low, 64, protocol, 0, 0]);
    packet.extend(SOURCE_V4.octets());
    packet.extend(DESTINATION_V4.octets());
    [&packet, options, payload].concat()
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_between(SOURCE_V6, DESTINATION_V6, next, payload)
}

pub(crate) fn ipv6_between(from: Ipv6Addr, to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let [len_high, len_low] = (payload.len() as u16).to_be_bytes();
    let start = [0x61, 0x23, 0x45, 0x67, len_high, len_low, next, 64];
    [&start, &from.octets()[..], &to.octets(), payload].concat()
}

/// An extension header of `units` times 8 bytes, beyond the first 8, that are there.
pub(crate) fn extension(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let padding = vec![0xEE; 6 + 8 * usize::from(units)];
    [&[next, units], &padding[..], payload].concat()
}

/// A fragment header; `offset` in units of 8 bytes. Its second byte is reserved, not a length.
pub(crate) fn fragment(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    [&[next, 0xFF, high, low, 1, 2, 3, 4], payload].concat()
}

pub(crate) fn tcp(flags: Flags) -> Vec<u8> {
    tcp_with(5, flags, PAYLOAD)
}

/// A TCP header without options, whatever `data_offset` says, and what follows it.
pub(crate) fn tcp_with(data_offset: u8, Flags(flags): Flags, payload: &[u8]) -> Vec<u8> {
    let ports = PORTS.map(u16::to_be_bytes);
    let mut header = ports.concat();
    header.extend([0xC1, 0xC2, 0xC3, 0xC4, 0xD1, 0xD2, 0xD3, 0xD4]);
    header.extend([data_offset << 4 | 0x0E, flags, 0x7F, 0xFF, 0, 0, 0, 0]);
    [&header, payload].concat()
}

/// The deepest headers that are followed, each of the greatest length.
pub(crate) fn deepest() -> Vec<u8> {
    let mut packet = tcp(Flags::SYN);
    packet = extension(TCP, 255, &packet);
    packet = extension(DESTINATION, 255, &packet);
    packet = extension(ROUTING, 255, &packet);
    ethernet(SERVICE_VLAN, &tag(VLAN, &tag(IPV6, &ipv6(HOP_BY_HOP, &packet))))
}

/// Frames that hold a segment, which ends with [`PAYLOAD`].
pub(crate) fn segments() -> Vec<(&'static str, Vec<u8>, Segment)> {
    let (syn, ack) = (Flags::SYN, Flags::ACK);
    let v4 = ipv4(TCP, &tcp(syn));
    let v6 = ipv6(TCP, &tcp(ack));
    let v4_frames = [
        ("IPv4", ethernet(IPV4, &v4)),
        ("a tag", ethernet(VLAN, &tag(IPV4, &v4))),
        ("a service tag alone", ethernet(SERVICE_VLAN, &tag(IPV4, &v4))),
        ("two tags", ethernet(SERVICE_VLAN, &tag(VLAN, &tag(IPV4, &v4)))),
        ("two customer tags", ethernet(VLAN, &tag(VLAN, &tag(IPV4, &v4)))),
        ("an option", ethernet(IPV4, &ipv4_with(TCP, &[0x94, 4, 0, 0], 0, &tcp(syn)))),
        ("all options", ethernet(IPV4, &ipv4_with(TCP, &[1; 40], 0, &tcp(syn)))),
        ("don't fragment", ethernet(IPV4, &ipv4_with(TCP, &[], 0x4000, &tcp(syn)))),
        ("first fragment", ethernet(IPV4, &ipv4_with(TCP, &[], 0x2000, &tcp(syn)))),
        ("super-packet", super_packet()),
    ];
    let v6_frames = [
        ("IPv6", ethernet(IPV6, &v6)),
        ("IPv6 in a tag", ethernet(VLAN, &tag(IPV6, &v6))),
        ("hop-by-hop", one_extension(HOP_BY_HOP, 0)),
        ("routing", one_extension(ROUTING, 2)),
        ("destination options", one_extension(DESTINATION, 1)),
        ("longest extension", one_extension(DESTINATION, 255)),
        ("first fragment of IPv6", first_fragment(true)),
        ("only fragment of IPv6", first_fragment(false)),
        ("three extensions", three_extensions()),
    ];
    let v4_frames = v4_frames.map(|(name, frame)| (name, frame, segment_v4(syn)));
    let v6_frames = v6_frames.map(|(name, frame)| (name, frame, segment_v6(ack)));
    let deepest = ("deepest", deepest(), segment_v6(syn));
    v4_frames.into_iter().chain(v6_frames).chain([deepest]).collect()
}

/// Frames that hold none: the reason, and after how many bytes it is known.
pub(crate) fn skips() -> Vec<(&'static str, Vec<u8>, Skip, usize)> {
    let payload = &tcp(Flags::ACK);
    let (v4, v6) = (&ipv4(TCP, payload), &ipv6(TCP, payload));
    let three_tags = tag(VLAN, &tag(VLAN, &tag(IPV4, v4)));
    let later = |protocol| ethernet(IPV4, &ipv4_with(protocol, &[], 0x0001, payload));
    let other_v6 = |next| ethernet(IPV6, &ipv6(next, payload));
    let mapped = SOURCE_V4.to_ipv6_mapped();
    let from_mapped = ipv6_between(mapped, DESTINATION_V6, TCP, payload);
    let to_mapped = ipv6_between(SOURCE_V6, mapped, TCP, payload);
    let four = extension(HOP_BY_HOP, 0, &three_extensions()[54..]);
    let udp_beyond = extension(UDP, 0, payload);
    vec![
        ("ARP", ethernet(0x0806, payload), Skip::NotIp, 14),
        ("802.3 length", ethernet(0x0026, payload), Skip::NotIp, 14),
        ("ARP in a tag", ethernet(VLAN, &tag(0x0806, payload)), Skip::NotIp, 18),
        ("three tags", ethernet(SERVICE_VLAN, &three_tags), Skip::TooDeep, 22),
        ("IPv6 called IPv4", ethernet(IPV4, v6), Skip::NotIp, 34),
        ("IPv4 called IPv6", ethernet(IPV6, v4), Skip::NotIp, 54),
        ("from a mapped address", ethernet(IPV6, &from_mapped), Skip::NotIp, 54),
        ("to a mapped address", ethernet(IPV6, &to_mapped), Skip::NotIp, 54),
        ("UDP", ethernet(IPV4, &ipv4(UDP, payload)), Skip::NotTcp, 34),
        ("IPv6 in IPv4", ethernet(IPV4, &ipv4(41, v6)), Skip::NotTcp, 34),
        ("hop-by-hop in IPv4", ethernet(IPV4, &ipv4(HOP_BY_HOP, payload)), Skip::NotTcp, 34),
        ("later fragment", later(TCP), Skip::Fragment, 34),
        ("later fragment of UDP", later(UDP), Skip::Fragment, 34),
        ("UDP over IPv6", other_v6(UDP), Skip::NotTcp, 54),
        ("encrypted", other_v6(50), Skip::NotTcp, 54),
        ("authenticated", other_v6(51), Skip::NotTcp, 54),
        ("no next header", other_v6(59), Skip::NotTcp, 54),
        ("UDP behind routing", ethernet(IPV6, &ipv6(ROUTING, &udp_beyond)), Skip::NotTcp, 62),
        ("later fragment of IPv6", later_fragment(1), Skip::Fragment, 62),
        ("last fragment of IPv6", later_fragment(0x1FFF), Skip::Fragment, 62),
        ("four extensions", ethernet(IPV6, &ipv6(HOP_BY_HOP, &four)), Skip::TooDeep, 78),
    ]
}

/// IPv4 as an offload hands it on: too long for its length field, which is 0.
fn super_packet() -> Vec<u8> {
    let mut frame = ethernet(IPV4, &ipv4(TCP, &tcp(Flags::SYN)));
    frame[16..18].fill(0);
    frame
}

fn one_extension(kind: u8, units: u8) -> Vec<u8> {
    ethernet(IPV6, &ipv6(kind, &extension(TCP, units, &tcp(Flags::ACK))))
}

fn first_fragment(more: bool) -> Vec<u8> {
    ethernet(IPV6, &ipv6(FRAGMENT, &fragment(TCP, 0, more, &tcp(Flags::ACK))))
}

fn later_fragment(offset: u16) -> Vec<u8> {
    ethernet(IPV6, &ipv6(FRAGMENT, &fragment(TCP, offset, true, &tcp(Flags::ACK))))
}

/// Hop-by-hop and routing before the fragment header, as RFC 8200 §4.1 orders them.
fn three_extensions() -> Vec<u8> {
    let payload = fragment(TCP, 0, true, &tcp(Flags::ACK));
    let payload = extension(FRAGMENT, 1, &payload);
    ethernet(IPV6, &ipv6(HOP_BY_HOP, &extension(ROUTING, 0, &payload)))
}
