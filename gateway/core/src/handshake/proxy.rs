//! The line or block in which a trusted proxy says who its client is, before the request: versions
//! 1 and 2 of the PROXY protocol (HAProxy's specification, sections 2.1 and 2.2).
//!
//! A pure function of the bytes so far. Whether the header is wanted is for the driver to know: it
//! is read from peers that are trusted, who must send it, and from nobody else.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Bytes of a header of version 2 at most, where the protocol allows 65,551. The longest addresses
/// are 216 bytes; what proxies add (names, TLS, checksums, ids of a cloud's networks) is under 300.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;

/// §2.1: a line of version 1 has 107 bytes at most, with its CR LF.
const V1_BYTES_MAX: usize = 107;
const V1_PREFIX: &[u8] = b"PROXY ";
/// §2.2: no request of HTTP begins like this.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and transport, and the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// What a proxy said, and how many bytes it took to say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyHeader {
    /// Bytes of the header: the request follows at once.
    pub len: usize,
    /// Where the client comes from. `None` if the proxy speaks for itself (`LOCAL`, as health
    /// checks do), or does not know (`UNKNOWN`, a Unix socket).
    pub client: Option<SocketAddr>,
}

/// Why bytes are no PROXY header. The connection is to be closed without an answer (§2.2).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProxyError {
    /// They begin like neither version.
    #[error("no PROXY header; have the proxy send one, or take it out of --proxy-from")]
    Missing,
    /// A line of version 1 does not end where it must.
    #[error("a PROXY line is longer than 107 bytes, or does not end with CR LF")]
    Line,
    /// A line of version 1 does not say what it must.
    #[error("a PROXY line is malformed; write `PROXY TCP4 source destination port port`")]
    Malformed,
    /// Neither version 2 nor another that is known follows the signature.
    #[error("the version of a PROXY header is not 2")]
    Version,
    /// The command, family or transport is none of those specified.
    #[error("the command, family or transport of a PROXY header is not known")]
    Kind,
    /// It is longer than it may be, or too short for its addresses.
    #[error("the length of a PROXY header is beyond 536 bytes, or too short for its addresses")]
    Length,
}

/// Reads the header that these bytes begin with; `None` if more are needed to tell.
///
/// # Errors
/// If no bytes behind these could make a header of them.
pub fn proxy_header(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    if begins_like(bytes, V2_SIGNATURE) {
        version_2(bytes)
    } else if begins_like(bytes, V1_PREFIX) {
        version_1(bytes)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Whether the shorter of both begins the other.
fn begins_like(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, wanted)| byte == wanted)
}

fn version_1(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\r', within) else {
        // The last one may be its LF, whose CR would have to stand before it.
        return if bytes.len() + 1 < V1_BYTES_MAX { Ok(None) } else { Err(ProxyError::Line) };
    };
    match within.get(end + 1) {
        Some(b'\n') => {}
        None if end + 1 < V1_BYTES_MAX => return Ok(None),
        Some(_) | None => return Err(ProxyError::Line),
    }
    let words = within.get(V1_PREFIX.len()..end).ok_or(ProxyError::Malformed)?;
    let words = std::str::from_utf8(words).map_err(|_| ProxyError::Malformed)?;
    Ok(Some(ProxyHeader { len: end + 2, client: client_of(words)? }))
}

/// What follows `PROXY `: the family, both addresses and both ports, with one space between each.
fn client_of(words: &str) -> Result<Option<SocketAddr>, ProxyError> {
    let mut words = words.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        // §2.1: the rest of the line is to be ignored.
        return Ok(None);
    }
    let mut ip = || -> Option<IpAddr> {
        let word = words.next()?;
        match family? {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let ips = ip().zip(ip());
    let mut number = || words.next().and_then(port);
    let ports = number().zip(number());
    match (ips, ports, words.next()) {
        (Some((ip, _)), Some((port, _)), None) => Ok(Some(canonical(ip, port))),
        _ => Err(ProxyError::Malformed),
    }
}

/// §2.1: a decimal number up to 65,535 without zeros before it.
fn port(word: &str) -> Option<u16> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn version_2(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    // What is wrong is told as soon as it is there.
    match bytes.get(12) {
        Some(byte) if byte >> 4 != 2 => return Err(ProxyError::Version),
        Some(byte) if byte & 0xF > 1 => return Err(ProxyError::Kind),
        Some(_) | None => {}
    }
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_BYTES>() else { return Ok(None) };
    let is_local = fixed[12] & 0xF == 0;
    let family = fixed[13];
    let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let len = V2_FIXED_BYTES + rest;
    if len > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyError::Length);
    }
    // §2.2: of a LOCAL one the family is of no interest, whatever it is.
    let wanted = if is_local { 0 } else { address_bytes(family)? };
    if rest < wanted {
        return Err(ProxyError::Length);
    }
    let Some(whole) = bytes.get(..len) else { return Ok(None) };
    let client = if is_local { None } else { address(family, &whole[V2_FIXED_BYTES..]) };
    Ok(Some(ProxyHeader { len, client }))
}

/// Bytes of both addresses, by the family in the high four bits and the transport in the low ones.
fn address_bytes(family: u8) -> Result<usize, ProxyError> {
    match family {
        // Unspecified: §2.2 has it accepted without an address.
        0x00 => Ok(0),
        // TCP over IPv4: two addresses, two ports.
        0x11 => Ok(12),
        0x21 => Ok(36),
        // A Unix stream: two names of 108 bytes.
        0x31 => Ok(216),
        // Datagrams among them: no WebSocket comes that way.
        _ => Err(ProxyError::Kind),
    }
}

fn address(family: u8, rest: &[u8]) -> Option<SocketAddr> {
    match family {
        0x11 => {
            let &[a, b, c, d, _, _, _, _, high, low, ..] = rest else { return None };
            Some(canonical([a, b, c, d].into(), u16::from_be_bytes([high, low])))
        }
        0x21 => {
            let ip = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            let &[high, low] = rest.get(32..34)? else { return None };
            Some(canonical(ip.into(), u16::from_be_bytes([high, low])))
        }
        _ => None,
    }
}

/// A mapped IPv6 address is the IPv4 address that it stands for.
fn canonical(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header, which must be told from every shorter prefix only when it is whole, and never
    /// depends on what follows.
    #[track_caller]
    fn whole(header: &[u8]) -> Option<SocketAddr> {
        for cut in 0..header.len() {
            assert_eq!(proxy_header(&header[..cut]), Ok(None), "cut at {cut}");
        }
        for tail in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n", b"PROXY "] {
            let found = proxy_header(&[header, tail].concat()).expect("a header").expect("whole");
            assert_eq!(found.len, header.len());
        }
        proxy_header(header).expect("a header").expect("whole").client
    }

    /// The error, which must not have been a header before and stays one whatever follows.
    #[track_caller]
    fn refused(bytes: &[u8]) -> ProxyError {
        let error = proxy_header(bytes).expect_err("no header");
        let mut seen = false;
        for len in 0..=bytes.len() {
            match proxy_header(&bytes[..len]) {
                Ok(None) => assert!(!seen, "an error is the last word"),
                Ok(Some(header)) => panic!("{header:?} in {len} bytes"),
                Err(_) => seen = true,
            }
        }
        let longer = [bytes, &[0; 600]].concat();
        assert!(proxy_header(&longer).is_err());
        error
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).expect("a short rest").to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x1F, 0x90, 0, 80];

    #[test]
    fn a_line_names_the_client() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n", Some("192.0.2.7:8080")),
            ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", Some("255.255.255.255:65535")),
            ("PROXY TCP6 2001:db8::7 ::1 1 443\r\n", Some("[2001:db8::7]:1")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 9 443\r\n", Some("192.0.2.7:9")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff:f:f whatever 1 2 3\r\n", None),
        ] {
            let client = client.map(|it| it.parse().expect("an address"));
            assert_eq!(whole(line.as_bytes()), client, "{line:?}");
        }
        let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
        assert_eq!((longest.len(), whole(longest.as_bytes())), (V1_BYTES_MAX, None));
    }

    #[test]
    fn a_line_that_is_not_by_the_letter_is_none() {
        use ProxyError::{Line, Malformed, Missing};
        for (line, error) in [
            ("GET / HTTP/1.1\r\n", Missing),
            ("proxy TCP4 192.0.2.7 198.51.100.1 8080 80\r\n", Missing),
            ("PROXY\tTCP4", Missing),
            ("\r\nPROXY TCP4", Missing),
            ("PROXY\r\n", Missing),
            ("PROXY \r\n", Malformed),
            ("PROXY TCP5 192.0.2.7 198.51.100.1 8080 80\r\n", Malformed),
            ("PROXY UNKNOWNS\r\n", Malformed),
            ("PROXY TCP4\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080 80 1\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080 80 \r\n", Malformed),
            ("PROXY TCP4  192.0.2.7 198.51.100.1 8080 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080 65536\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 +8080 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 08080 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 -1 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2.007 198.51.100.1 8080 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2 198.51.100.1 8080 80\r\n", Malformed),
            ("PROXY TCP4 2001:db8::7 ::1 8080 80\r\n", Malformed),
            ("PROXY TCP6 192.0.2.7 198.51.100.1 8080 80\r\n", Malformed),
            ("PROXY TCP6 [2001:db8::7] ::1 8080 80\r\n", Malformed),
            ("PROXY TCP6 fe80::1%eth0 ::1 8080 80\r\n", Malformed),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\rX", Line),
        ] {
            assert_eq!(refused(line.as_bytes()), error, "{line:?}");
        }
        assert_eq!(refused(b"PROXY TCP4 \xC3\x28 198.51.100.1 1 2\r\n"), Malformed);
    }

    #[test]
    fn a_line_is_not_waited_for_beyond_its_bound() {
        let line = |len: usize| format!("PROXY UNKNOWN {}", "x".repeat(len - 14));
        assert_eq!(proxy_header(line(105).as_bytes()), Ok(None));
        assert_eq!(refused(line(106).as_bytes()), ProxyError::Line);
        let late = line(106) + "\r\n";
        assert_eq!(refused(late.as_bytes()), ProxyError::Line);
        let bare = "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n".repeat(3);
        assert_eq!(refused(bare.as_bytes()), ProxyError::Line);
    }

    #[test]
    fn a_block_names_the_client() {
        let client = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!(whole(&v2(0x21, 0x11, &V4)), client("192.0.2.7:8080"));
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (v6[15], v6[32], v6[33]) = (7, 0x1F, 0x90);
        assert_eq!(whole(&v2(0x21, 0x21, &v6)), client("[2001:db8::7]:8080"));
        v6[..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 7]);
        assert_eq!(whole(&v2(0x21, 0x21, &v6)), client("192.0.2.7:8080"));
    }

    #[test]
    fn what_a_proxy_adds_to_its_addresses_is_passed_over() {
        let extra = [&V4[..], &[0x20, 0, 5, 1, 2, 3, 4, 5], &[0xFF; 9]].concat();
        assert_eq!(whole(&v2(0x21, 0x11, &extra)), Some("192.0.2.7:8080".parse().unwrap()));
        let longest = [&V4[..], &[7; PROXY_HEADER_BYTES_MAX - V2_FIXED_BYTES - 12]].concat();
        assert!(whole(&v2(0x21, 0x11, &longest)).is_some());
        let longer = [&longest[..], &[7]].concat();
        assert_eq!(refused(&v2(0x21, 0x11, &longer)), ProxyError::Length);
        assert_eq!(refused(&v2(0x20, 0, &[0; 600])), ProxyError::Length);
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_or_does_not_know_names_nobody() {
        for header in [
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &V4),
            v2(0x20, 0x11, &[1, 2]),
            v2(0x20, 0xFF, &[1, 2]),
            v2(0x21, 0x00, &[]),
            v2(0x21, 0x00, &[1, 2, 3]),
            v2(0x21, 0x31, &[b'x'; 216]),
        ] {
            assert_eq!(whole(&header), None, "{header:?}");
        }
    }

    #[test]
    fn a_block_that_is_not_by_the_letter_is_none() {
        for version in [0x01, 0x11, 0x31, 0xF1] {
            assert_eq!(refused(&v2(version, 0x11, &V4)), ProxyError::Version);
        }
        for command in [0x22, 0x2F] {
            assert_eq!(refused(&v2(command, 0x11, &V4)), ProxyError::Kind);
        }
        for family in [0x01, 0x02, 0x10, 0x12, 0x22, 0x32, 0x13, 0x41, 0xFF] {
            assert_eq!(refused(&v2(0x21, family, &[0; 250])), ProxyError::Kind, "{family:#x}");
        }
        for (family, short) in [(0x11, 11), (0x21, 35), (0x31, 215), (0x11, 0)] {
            assert_eq!(refused(&v2(0x21, family, &vec![0; short])), ProxyError::Length);
        }
        for at in 0..12 {
            let mut header = v2(0x21, 0x11, &V4);
            header[at] ^= 1;
            assert_eq!(refused(&header), ProxyError::Missing, "byte {at}");
        }
    }
}
