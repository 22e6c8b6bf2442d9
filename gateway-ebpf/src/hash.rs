//! Numbers that look drawn, of what a packet says: the same in the kernel and on the host.

use crate::{Segment, Source};

/// Spreads a number's bits over all of it, so that each of them decides half of all others
/// (the finaliser of MurmurHash3).
#[inline(always)]
#[must_use]
pub const fn mix(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85EB_CA6B);
    let number = (number ^ (number >> 13)).wrapping_mul(0xC2B2_AE35);
    number ^ (number >> 16)
}

/// A number below `bound`, all about as often, without a division; 0 if `bound` is.
#[inline(always)]
#[must_use]
pub const fn below(number: u32, bound: u32) -> u32 {
    ((number as u64 * bound as u64) >> 32) as u32
}

/// Of a source alone: the same for whoever returns, to whichever node, after any restart.
#[inline(always)]
#[must_use]
pub const fn of_source(source: Source) -> u32 {
    let [a, b, c, d, e, f, g, h, _, _, _, _, i, j, k, l] = source.octets();
    // Of an IPv6 network the last four are 0, of an IPv4 address the first eight.
    let hash = mix(u32::from_be_bytes([a, b, c, d]) ^ 0x9E37_79B9);
    let hash = mix(hash ^ u32::from_be_bytes([e, f, g, h]));
    mix(hash ^ u32::from_be_bytes([i, j, k, l]))
}

/// Of a connection's two ends, as its client's packets have them.
#[inline(always)]
#[must_use]
pub const fn of_flow(segment: &Segment) -> u32 {
    let ports = (segment.source_port as u32) << 16 | segment.destination_port as u32;
    let hash = of_address(segment.source.octets(), mix(ports));
    of_address(segment.destination.octets(), hash)
}

#[inline(always)]
const fn of_address(octets: [u8; 16], hash: u32) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    let hash = mix(hash ^ u32::from_be_bytes([a, b, c, d]));
    let hash = mix(hash ^ u32::from_be_bytes([e, f, g, h]));
    let hash = mix(hash ^ u32::from_be_bytes([i, j, k, l]));
    mix(hash ^ u32::from_be_bytes([m, n, o, p]))
}
