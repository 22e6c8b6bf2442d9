//! Frames as clients write them and as they read them: written again here, apart from the core.

use gateway_core::position::Position;

use crate::rng::Rng;

/// RFC 6455 §5.2.
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

const FIN: u8 = 0x80;

/// Appends a client's frame, masked with a key of the generator's.
pub(super) fn frame(out: &mut Vec<u8>, opcode: u8, last: bool, payload: &[u8], rng: &mut Rng) {
    out.push(opcode | if last { FIN } else { 0 });
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = (rng.next_u64() as u32).to_le_bytes();
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    for four in out[start..].chunks_mut(4) {
        four.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    }
}

/// How a client asks to join a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asking<'a> {
    pub(super) path: &'a str,
    pub(super) subprotocol: Option<&'a str>,
    pub(super) since: Option<Position>,
    /// A probe's name.
    pub(super) name: Option<u32>,
    /// How it is called, and what it shows, where people chat.
    pub(super) nick: Option<&'a str>,
    pub(super) token: Option<&'a str>,
}

/// Appends an upgrade request.
pub(super) fn request(out: &mut Vec<u8>, asking: &Asking<'_>) {
    use std::io::Write;
    let mut say = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("memory takes what is written");
    };
    say(format_args!("GET {}", asking.path));
    let mut sign = '?';
    if let Some(Position { epoch, offset }) = asking.since {
        say(format_args!("?epoch={}&offset={}", epoch.0, offset.0));
        sign = '&';
    }
    if let Some(name) = asking.name {
        say(format_args!("{sign}as={name}"));
    }
    if let Some(nick) = asking.nick {
        say(format_args!("{sign}name={nick}"));
    }
    say(format_args!(
        " HTTP/1.1\r\nHost: weir.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    ));
    if let Some(subprotocol) = asking.subprotocol {
        say(format_args!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
    }
    if let Some(token) = asking.token {
        say(format_args!("Authorization: Bearer {token}\r\n"));
    }
    say(format_args!("\r\n"));
}

/// Length of a response's head with its empty line, and its status.
pub(super) fn response(bytes: &[u8]) -> Option<(usize, u16)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = bytes.get(9..12)?;
    let status = status.iter().fold(0, |sum, &digit| sum * 10 + u16::from(digit.wrapping_sub(48)));
    Some((end, status))
}

/// The seconds of a response's `Retry-After`.
pub(super) fn retry_secs(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let (_, behind) = head.split_once("\r\nretry-after: ")?;
    behind.split_once("\r\n")?.0.parse().ok()
}

/// The milliseconds after which a close frame's reason asks to come back.
pub(super) fn retry_millis(payload: &[u8]) -> Option<u64> {
    let reason = std::str::from_utf8(payload.get(2..)?).ok()?;
    let (_, behind) = reason.rsplit_once("reconnect after ")?;
    behind.strip_suffix(" ms")?.parse().ok()
}

/// The first frame of what a server sent.
pub(super) enum Parsed<'a> {
    Frame { opcode: u8, payload: &'a [u8], rest: &'a [u8] },
    Incomplete,
    Wrong(&'static str),
}

/// Reads the first frame; a server neither masks nor fragments.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let [first, second, rest @ ..] = bytes else { return Parsed::Incomplete };
    if first & 0xf0 != FIN {
        return Parsed::Wrong("a frame is fragmented or has extension bits");
    }
    let (len, rest) = match second {
        0..126 => (usize::from(*second), rest),
        126 => match rest.split_first_chunk() {
            Some((len, rest)) => (usize::from(u16::from_be_bytes(*len)), rest),
            None => return Parsed::Incomplete,
        },
        127 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len) as usize, rest),
            None => return Parsed::Incomplete,
        },
        128.. => return Parsed::Wrong("a server's frame is masked"),
    };
    match rest.split_at_checked(len) {
        Some((payload, rest)) => Parsed::Frame { opcode: first & 0x0f, payload, rest },
        None => Parsed::Incomplete,
    }
}
