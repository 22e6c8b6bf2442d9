//! The little of NATS over WebSocket that a client of the load generator needs.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

use crate::dialect::SUBSCRIPTION;
use crate::frames;

const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";

/// More than a server says before it is ready.
const GREETING_BYTES_MAX: usize = 4096;

/// What a server may say between messages.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Line {
    /// The beginning of a message.
    Message,
    /// It wants the answer that [`pong`] makes; so many bytes.
    Ping(usize),
    /// Nothing that matters; so many bytes.
    Other(usize),
    /// Bytes are missing.
    Cut,
}

/// Introduces a client on a blocking stream, whose first bytes are `begun`, and waits until the
/// server has taken in what it said. Without a room it only wants to speak.
///
/// # Errors
/// If the server says something else than it should, or nothing in time.
pub(crate) fn introduce(
    stream: &mut TcpStream,
    mut begun: Vec<u8>,
    room: Option<&str>,
) -> Result<Stripper> {
    let subscribe = room.map(|room| format!("SUB {room} {SUBSCRIPTION}\r\n")).unwrap_or_default();
    // Nobody hears what it said itself.
    let words = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"protocol\":1}}\r\n\
         {subscribe}PING\r\n"
    );
    stream.write_all(&line(words.as_bytes()))?;
    let mut stripper = Stripper::default();
    let mut said = Vec::new();
    loop {
        let len = stripper.strip(&mut begun)?;
        said.extend_from_slice(&begun[..len]);
        if said.ends_with(PONG) {
            return Ok(stripper);
        }
        ensure!(said.len() < GREETING_BYTES_MAX, "it does not answer a PING of NATS");
        begun.resize(GREETING_BYTES_MAX, 0);
        let read = stream.read(&mut begun).context("no greeting of NATS")?;
        ensure!(read > 0, "it ended the connection: {}", String::from_utf8_lossy(&said));
        begun.truncate(read);
    }
}

/// The frame that answers a `PING`.
pub(crate) fn pong() -> Vec<u8> {
    line(PONG)
}

fn line(words: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frames::append_masked(&mut frame, frames::BINARY, words, [0; 4]);
    frame
}

/// What stands at the beginning of `bytes`, where a message may.
///
/// # Errors
/// If it is a complaint.
pub(crate) fn line_of(bytes: &[u8]) -> Result<Line> {
    if bytes.first().is_none_or(|&first| first == b'M') {
        return Ok(if bytes.is_empty() { Line::Cut } else { Line::Message });
    }
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(Line::Cut);
    };
    let line = &bytes[..end + 2];
    match line {
        PING => Ok(Line::Ping(line.len())),
        [b'-', ..] => bail!("it complains: {}", String::from_utf8_lossy(line).trim_end()),
        _ => Ok(Line::Other(line.len())),
    }
}

/// Takes frames apart, wherever what arrives is cut.
#[derive(Default)]
pub(crate) struct Stripper {
    /// A header that is not complete yet.
    header: Vec<u8>,
    /// Bytes of the payload that are still to come.
    left: usize,
}

impl Stripper {
    /// Moves what was in frames to the front of `bytes`; returns how many that are.
    ///
    /// # Errors
    /// If there is a frame that carries nothing of NATS.
    pub(crate) fn strip(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            if self.left == 0 {
                self.header.push(bytes[read]);
                read += 1;
                if let Some(payload) = payload_bytes(&self.header)? {
                    self.left = payload;
                    self.header.clear();
                }
                continue;
            }
            let len = self.left.min(bytes.len() - read);
            bytes.copy_within(read..read + len, kept);
            (read, kept, self.left) = (read + len, kept + len, self.left - len);
        }
        Ok(kept)
    }
}

/// How long the payload behind a header is; `None` if the header is not complete.
fn payload_bytes(header: &[u8]) -> Result<Option<usize>> {
    let [first, second, rest @ ..] = header else { return Ok(None) };
    ensure!(first & 0x0f <= 2, "a control frame or a wrong one: {header:?}");
    let payload = match second {
        126 => rest.first_chunk().map(|&len| u64::from(u16::from_be_bytes(len))),
        127 => rest.first_chunk().map(|&len| u64::from_be_bytes(len)),
        short @ 0..126 => Some(u64::from(*short)),
        128.. => bail!("a server's frame with a mask"),
    };
    Ok(payload.map(usize::try_from).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_apart_wherever_they_are_cut() {
        let (long, longest) = (vec![7; 300], vec![8; 70_000]);
        let mut sent = Vec::new();
        for payload in [&b"first"[..], b"", &long, &longest] {
            frames::append_served(&mut sent, payload);
        }
        let whole = [&b"first"[..], &long, &longest].concat();
        for piece in [1, 2, 3, 7, 1000, sent.len()] {
            let mut stripper = Stripper::default();
            let mut got = Vec::new();
            for piece in sent.chunks(piece) {
                let mut piece = piece.to_vec();
                let len = stripper.strip(&mut piece).unwrap();
                got.extend_from_slice(&piece[..len]);
            }
            assert!(got == whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_goodbye_is_found_in_a_frame() {
        assert!(Stripper::default().strip(&mut [frames::CLOSE, 2, 3, 0xe8]).is_err());
        assert!(Stripper::default().strip(&mut [frames::BINARY, 0x81]).is_err());
    }

    #[test]
    fn lines_between_messages_are_told_apart() {
        assert_eq!(line_of(b"MS").unwrap(), Line::Message);
        assert_eq!(line_of(b"PING\r\nMSG a 1 5\r\n").unwrap(), Line::Ping(6));
        assert_eq!(line_of(b"INFO {}\r\n").unwrap(), Line::Other(9));
        for cut in [&b""[..], b"PI", b"PING\r", b"-ERR"] {
            assert_eq!(line_of(cut).unwrap(), Line::Cut);
        }
        let error = line_of(b"-ERR 'Slow Consumer'\r\n").unwrap_err().to_string();
        assert_eq!(error, "it complains: -ERR 'Slow Consumer'");
    }
}
