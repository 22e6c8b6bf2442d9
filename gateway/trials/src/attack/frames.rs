//! Bytes of frames and requests as clients write them, well or badly.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Opcodes with the bit that ends a message (RFC 6455 §5.2).
pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// The bit of a frame's second byte that says a mask follows.
const MASKED: u8 = 0x80;
/// An attacker draws no random numbers; this is no key that leaves bytes as they are.
const KEY: [u8; 4] = [0x17, 0x2a, 0x9c, 0x05];

/// A masked frame with this first byte.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The header of a masked frame that declares so many bytes, whether they follow or not.
pub(super) fn header(first: u8, declared: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match declared {
        0..=125 => bytes.push(MASKED | declared as u8),
        126..=0xffff => {
            bytes.push(MASKED | 126);
            bytes.extend_from_slice(&(declared as u16).to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend_from_slice(&declared.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes
}

/// Bytes as RFC 7692 sends them compressed: a flushed block, without what every flush ends with.
pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let wrote = encoder.write_all(bytes).and_then(|()| encoder.flush());
    wrote.expect("a vector takes everything");
    let mut deflated = encoder.get_ref().clone();
    // RFC 7692 §7.2.1.
    if deflated.ends_with(&FLUSH) {
        deflated.truncate(deflated.len() - FLUSH.len());
    }
    deflated
}

/// How every flush of deflate ends: an empty block.
pub(super) const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];

/// A close frame with this code and reason.
pub(super) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A valid upgrade request for a path, with more header lines, each ending with CR LF.
pub(super) fn request(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{UPGRADE}{more}\r\n").into_bytes()
}

/// The header lines that a valid upgrade has.
pub(super) const UPGRADE: &str = "Host: gateway.example\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A frame that the gateway sent.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Heard {
    /// The first byte: opcode and bits.
    pub(super) first: u8,
    /// Where the payload lies in the bytes that it was found in.
    pub(super) payload: std::ops::Range<usize>,
}

/// The first whole frame of these bytes, which are a server's: without masks.
///
/// # Errors
/// If it is masked, which a server's never is.
pub(super) fn first_of(bytes: &[u8]) -> Result<Option<Heard>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & MASKED != 0 {
        return Err("the gateway sent a masked frame".to_owned());
    }
    let (lead, len) = match second {
        126 => match rest.first_chunk() {
            Some(&len) => (4, usize::from(u16::from_be_bytes(len))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(&len) => match usize::try_from(u64::from_be_bytes(len)) {
                Ok(len) => (10, len),
                Err(_) => return Err("the gateway declared more than there can be".to_owned()),
            },
            None => return Ok(None),
        },
        short => (2, usize::from(*short)),
    };
    let end = lead + len;
    Ok((bytes.len() >= end).then_some(Heard { first: *first, payload: lead..end }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_declared_in_its_shortest_form() {
        let start = |declared| header(FIN | BINARY, declared);
        assert_eq!(start(125)[..2], [0x82, 0xfd]);
        assert_eq!(start(126)[..4], [0x82, 0xfe, 0, 126]);
        assert_eq!(start(65_535)[..4], [0x82, 0xfe, 0xff, 0xff]);
        assert_eq!(start(65_536)[..10], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(frame(FIN | TEXT, &[0; 6])[6..], [0x17, 0x2a, 0x9c, 0x05, 0x17, 0x2a]);
    }

    #[test]
    fn a_servers_frame_is_found_when_all_of_it_is_there() {
        let bytes = [0x82, 126, 0, 3, 7, 8, 9];
        for cut in 0..bytes.len() {
            assert_eq!(first_of(&bytes[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(first_of(&bytes), Ok(Some(Heard { first: 0x82, payload: 4..7 })));
        assert!(first_of(&[0x82, 0x80, 0, 0, 0, 0]).is_err());
    }
}
