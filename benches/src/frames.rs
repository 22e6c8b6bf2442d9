//! The little of RFC 6455 framing that a bare server and its load need.

use anyhow::{Result, ensure};

/// FIN and the opcode of a binary message.
pub(crate) const BINARY: u8 = 0x82;
/// FIN and the opcodes of control frames, which all have bit 3 set.
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
const CONTROL: u8 = 0x08;

/// The second byte's bit that says a mask follows.
const MASKED: u8 = 0x80;

/// Appends a frame as servers send it.
pub(crate) fn append_served(out: &mut Vec<u8>, payload: &[u8]) {
    append_header(out, BINARY, 0, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a frame as clients send it, masked with `key`.
pub(crate) fn append_masked(out: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    append_header(out, first, MASKED, payload.len());
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key);
}

fn append_header(out: &mut Vec<u8>, first: u8, masked: u8, len: usize) {
    out.push(first);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.push(masked | short),
        (_, Ok(medium)) => {
            out.push(masked | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Masks, or unmasks.
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    for piece in payload.chunks_mut(4) {
        for (byte, key) in piece.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
}

/// Shows `visit` the mask and the masked payload of each whole data frame at the start of
/// `bytes`; control frames are skipped. Returns the bytes of all whole frames.
///
/// # Errors
/// If a frame is not masked.
pub(crate) fn walk(bytes: &mut [u8], mut visit: impl FnMut([u8; 4], &mut [u8])) -> Result<usize> {
    let mut at = 0;
    while let Some(header) = Header::parse(&bytes[at..])? {
        let start = at + header.bytes;
        let Some(payload) = bytes[start..].get_mut(..header.payload) else { break };
        if header.first & CONTROL == 0 {
            visit(header.key, payload);
        }
        at = start + header.payload;
    }
    Ok(at)
}

struct Header {
    first: u8,
    bytes: usize,
    payload: usize,
    key: [u8; 4],
}

impl Header {
    /// `None` if bytes are missing.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        ensure!(second & MASKED != 0, "a client sent a frame without a mask");
        let (len_bytes, payload) = match second & !MASKED {
            126 => match rest.first_chunk() {
                Some(&len) => (2, u64::from(u16::from_be_bytes(len))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(&len) => (8, u64::from_be_bytes(len)),
                None => return Ok(None),
            },
            short => (0, u64::from(short)),
        };
        let payload = usize::try_from(payload)?;
        let key = rest[len_bytes..].first_chunk();
        Ok(key.map(|&key| Self { first: *first, bytes: 2 + len_bytes + 4, payload, key }))
    }
}

/// The message number `sequence`: its number first, then bytes that depend on it.
pub(crate) fn payload(sequence: u64, len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(len);
    payload.extend_from_slice(&sequence.to_be_bytes());
    payload.extend((8..len).map(|index| (sequence as usize).wrapping_add(index) as u8));
    payload.truncate(len);
    payload
}

/// The number of the message at the start of a frame that a server sent; none if it is not one of
/// [`payload`]'s.
pub(crate) fn sequence(frame: &[u8]) -> Option<u64> {
    let [BINARY, len, rest @ ..] = frame else { return None };
    let payload = match len {
        126 => rest.get(2..)?,
        127 => rest.get(8..)?,
        _ => rest,
    };
    payload.first_chunk().map(|&number| u64::from_be_bytes(number))
}

/// `count` frames of the same message, one after the other, as the bare servers send them.
pub(crate) fn preframed(len: usize, count: usize) -> Vec<u8> {
    let mut one = Vec::new();
    append_served(&mut one, &payload(0, len));
    one.repeat(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 0x80, 0xff, 7];

    fn unmasked(bytes: &mut [u8]) -> (Vec<Vec<u8>>, usize) {
        let mut seen = Vec::new();
        let visit = |key, payload: &mut [u8]| {
            mask(payload, key);
            seen.push(payload.to_vec());
        };
        let used = walk(bytes, visit).expect("the frames are masked");
        (seen, used)
    }

    #[test]
    fn masked_frames_of_every_length_class_come_out_as_they_went_in() {
        for len in [0, 8, 125, 126, 65535, 65536] {
            let message = payload(3, len);
            let mut bytes = Vec::new();
            append_masked(&mut bytes, BINARY, &message, KEY);
            append_masked(&mut bytes, BINARY, b"next", KEY);
            let all = bytes.len();
            assert_eq!(unmasked(&mut bytes), (vec![message, b"next".to_vec()], all));
        }
    }

    #[test]
    fn a_part_of_a_frame_waits_for_the_rest() {
        let mut whole = Vec::new();
        append_masked(&mut whole, BINARY, &payload(1, 300), KEY);
        for cut in 0..whole.len() {
            assert_eq!(unmasked(&mut whole[..cut]), (Vec::new(), 0), "{cut}");
        }
    }

    #[test]
    fn control_frames_are_not_messages() {
        let mut bytes = Vec::new();
        append_masked(&mut bytes, PONG, b"abc", KEY);
        let all = bytes.len();
        assert_eq!(unmasked(&mut bytes), (Vec::new(), all));
    }

    #[test]
    fn a_frame_without_a_mask_is_an_error() {
        let mut bytes = Vec::new();
        append_served(&mut bytes, b"x");
        assert!(walk(&mut bytes, |_, _| ()).is_err());
    }
}
