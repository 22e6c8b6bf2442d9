//! Clients that deflate what they say, and read what is deflated for them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use flate2::{Compress, Compression as Level, FlushCompress};
use gateway_core::deflate::{Compression, Inflater};
use gateway_core::route::RouteConfig;
use gateway_core::slot::Slot;

use crate::world::{World, close_code, masked, request};

pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";
pub(crate) const NARROW: &str = "permessage-deflate; server_max_window_bits=10";

/// An upgrade request that offers extensions.
pub(crate) fn offering(path: &str, offer: &str) -> Vec<u8> {
    let mut request = request(path);
    request.truncate(request.len() - 2);
    request.extend(format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n").bytes());
    request
}

/// A client that has upgraded, and what the response says of extensions.
pub(crate) fn join(world: &mut World, path: &str, offer: &str) -> (Slot, Option<String>) {
    let slot = world.accept();
    world.raw(slot, &offering(path, offer));
    world.settle();
    let got = String::from_utf8(std::mem::take(&mut world.wire(slot).got)).unwrap();
    let header = got.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    (slot, header.map(str::to_owned))
}

/// A message as a client deflates it that refers to nothing before.
pub(crate) fn deflated(message: &[u8]) -> Vec<u8> {
    deflated_by(&mut Compress::new(Level::default(), false), message)
}

pub(crate) fn deflated_by(state: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 100);
    state.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

/// Payloads of whole frames by their first bytes; the frame's end is there.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let len = rest.first_chunk().map(|len| u64::from_be_bytes(*len));
                (len.unwrap() as usize, &rest[8..])
            }
            len => (usize::from(*len), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    frames
}

/// What a client got, and which of it was deflated.
pub(crate) fn heard(world: &mut World, slot: Slot) -> Vec<(bool, Vec<u8>)> {
    let got = std::mem::take(&mut world.wire(slot).got);
    let heard = frames(&got).into_iter().map(|(first, payload)| match first & 0x40 {
        0 => (false, payload),
        _ => {
            let mut out = Vec::new();
            Inflater::default().inflate(&payload, &[], 64 << 20, &mut out).unwrap();
            (true, out)
        }
    });
    heard.collect()
}

/// Words that become smaller.
pub(crate) fn words(len: usize) -> Vec<u8> {
    b"so it goes, and goes on; ".iter().copied().cycle().take(len).collect()
}

pub(crate) fn say(world: &mut World, slot: Slot, first: u8, payload: &[u8]) {
    world.raw(slot, &masked(first, payload));
    world.settle();
}

/// What a client is closed with, if it is.
pub(crate) fn closed_with(world: &mut World, slot: Slot) -> Option<u16> {
    world.heard(slot).last().and_then(close_code)
}

/// An echo on which messages may refer back, and a room.
pub(crate) fn takeover() -> [RouteConfig; 2] {
    let echo = RouteConfig {
        path: "/echo".to_owned(),
        kind: gateway_core::route::Kind::Echo,
        compression: Compression::Takeover,
        ..RouteConfig::default()
    };
    let (path, namespace) = ("/{room}".to_owned(), Some("rooms".to_owned()));
    let room =
        RouteConfig { path, namespace, compression: Compression::Off, ..RouteConfig::default() };
    [echo, room]
}
