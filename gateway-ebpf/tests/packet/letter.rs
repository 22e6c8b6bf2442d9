//! A second parser, by the letter of the standards and without a thought for speed or a
//! verifier: it cuts one header after the other from a slice and calls itself for what nests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_ebpf::{Flags, Segment, Skip};

/// Between whom, and the bytes behind all IP headers.
type Carried<'a> = (IpAddr, IpAddr, &'a [u8]);

pub(crate) fn parse(frame: &[u8]) -> Result<Segment, Skip> {
    let (_, typed) = cut(frame, 12)?;
    let (source, destination, rest) = behind_type(typed, 0)?;
    let (header, _) = cut(rest, 20)?;
    if header[12] < 0x50 {
        return Err(Skip::Short);
    }
    let ports = number(&header[..4]);
    Ok(Segment {
        source: source.into(),
        destination: destination.into(),
        source_port: (ports / 0x1_0000) as u16,
        destination_port: (ports % 0x1_0000) as u16,
        flags: Flags(header[13]),
    })
}

fn behind_type(typed: &[u8], tags: u32) -> Result<Carried<'_>, Skip> {
    let (ether_type, rest) = cut(typed, 2)?;
    match number(ether_type) {
        0x8100 | 0x88A8 if tags == 2 => Err(Skip::TooDeep),
        0x8100 | 0x88A8 => behind_type(cut(rest, 2)?.1, tags + 1),
        0x0800 => behind_ipv4(rest),
        0x86DD => behind_ipv6(rest),
        _ => Err(Skip::NotIp),
    }
}

fn behind_ipv4(packet: &[u8]) -> Result<Carried<'_>, Skip> {
    let (header, _) = cut(packet, 20)?;
    let (version, words) = (header[0] / 16, header[0] % 16);
    let fragment_offset = number(&header[6..8]) % 0x2000;
    match (version, words, fragment_offset, header[9]) {
        (4, 5.., 0, 6) => {
            let ip = |at: usize| IpAddr::V4(Ipv4Addr::from(number(&header[at..at + 4]) as u32));
            Ok((ip(12), ip(16), beyond(packet, usize::from(words) * 4)))
        }
        (4, 5.., 0, _) => Err(Skip::NotTcp),
        (4, 5.., _, _) => Err(Skip::Fragment),
        (4, ..) => Err(Skip::Short),
        _ => Err(Skip::NotIp),
    }
}

fn behind_ipv6(packet: &[u8]) -> Result<Carried<'_>, Skip> {
    let (header, rest) = cut(packet, 40)?;
    let source = Ipv6Addr::from(number(&header[8..24]));
    let destination = Ipv6Addr::from(number(&header[24..]));
    let mapped = [source, destination].iter().any(|ip| ip.to_ipv4_mapped().is_some());
    if header[0] / 16 != 6 || mapped {
        return Err(Skip::NotIp);
    }
    Ok((source.into(), destination.into(), behind_extensions(header[6], rest, 0)?))
}

fn behind_extensions(protocol: u8, rest: &[u8], seen: u32) -> Result<&[u8], Skip> {
    match protocol {
        6 => Ok(rest),
        0 | 43 | 44 | 60 if seen == 3 => Err(Skip::TooDeep),
        0 | 43 | 60 => {
            let (header, _) = cut(rest, 8)?;
            let bytes = usize::from(header[1]) * 8 + 8;
            behind_extensions(header[0], beyond(rest, bytes), seen + 1)
        }
        44 => {
            let (header, rest) = cut(rest, 8)?;
            if number(&header[2..4]) >= 8 {
                return Err(Skip::Fragment);
            }
            behind_extensions(header[0], rest, seen + 1)
        }
        _ => Err(Skip::NotTcp),
    }
}

fn cut(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), Skip> {
    bytes.split_at_checked(len).ok_or(Skip::Short)
}

/// What lies behind a header; nothing if the frame ends within it.
fn beyond(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(len..).unwrap_or_default()
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number * 256 + u128::from(*byte))
}
