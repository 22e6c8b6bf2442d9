//! `weir.probe.v1`: a subprotocol that shows every promise on the wire, for simulation and tests.
//!
//! All frames are binary: a tag, then the fields in the order in which the variants name them.
//! Numbers are eight bytes, little end first; a kind is its opcode, 1 or 2; a list is its count and
//! then its members; a payload is the rest of its frame.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use self::client::{Subscribe, ToServer};
pub use self::server::{MESSAGE_HEADER_BYTES, ToClient, Why, message_header};

use crate::frame::Kind;
use crate::id::Author;
use crate::position::{Epoch, Offset, Position};
use crate::utf8;

/// Its name, which a client offers in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "weir.probe.v1";

/// A frame that is none of the protocol's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("the frame ends within a field")]
    Short,
    /// It goes on behind its last field.
    #[error("the frame goes on behind its last field")]
    Long,
    /// Its first byte is no tag.
    #[error("no frame has this tag")]
    Tag,
    /// A byte has none of the values that its field has.
    #[error("a field has no such value")]
    Value,
    /// Its kind is text, and its payload is not.
    #[error("the text is not UTF-8")]
    NotUtf8,
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put(out, position.epoch.0);
    put(out, position.offset.0);
}

fn put_kind(out: &mut Vec<u8>, kind: Kind) {
    out.push(kind.opcode().to_u8());
}

/// What of a frame is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(byte)
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value),
        }
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(bytes))
    }

    fn position(&mut self) -> Result<Position, Malformed> {
        Ok(Position { epoch: Epoch(self.number()?), offset: Offset(self.number()?) })
    }

    fn author(&mut self) -> Result<Author, Malformed> {
        self.number().map(Author::from_bits)
    }

    fn authors(&mut self) -> Result<Vec<Author>, Malformed> {
        let count = self.number()?;
        let (numbers, _) = self.0.as_chunks();
        // A count is believed as far as there are bytes for it, so that none asks for memory.
        let count = usize::try_from(count).ok().filter(|&count| count <= numbers.len());
        let numbers = &numbers[..count.ok_or(Malformed::Short)?];
        self.0 = &self.0[numbers.as_flattened().len()..];
        Ok(numbers.iter().map(|&bytes| Author::from_bits(u64::from_le_bytes(bytes))).collect())
    }

    /// The kind, and the payload up to the frame's end.
    ///
    /// A text is checked here: it goes on to others as a text frame, and RFC 6455 §8.1 has them
    /// fail their connections if it is not UTF-8.
    fn words(&mut self) -> Result<(Kind, &'a [u8]), Malformed> {
        let kind = match self.byte()? {
            1 => Kind::Text,
            2 => Kind::Binary,
            _ => return Err(Malformed::Value),
        };
        let payload = std::mem::take(&mut self.0);
        if kind == Kind::Text {
            utf8::check(payload).map_err(|_| Malformed::NotUtf8)?;
        }
        Ok((kind, payload))
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}
