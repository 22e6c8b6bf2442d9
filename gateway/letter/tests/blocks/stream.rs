//! Streams written bit by bit, right or wrong.

use letter::{InflateError, Inflated, inflate};

/// Kinds of blocks, RFC 1951 §3.2.3.
pub(crate) const STORED: usize = 0;
pub(crate) const FIXED: usize = 1;
pub(crate) const DYNAMIC: usize = 2;
pub(crate) const RESERVED: usize = 3;

pub(crate) const END_OF_BLOCK: usize = 256;

#[derive(Clone, Default)]
pub(crate) struct Stream {
    bytes: Vec<u8>,
    /// Bits of the last byte that are written; 0 if all are.
    used: usize,
}

impl Stream {
    pub(crate) fn block(self, kind: usize) -> Self {
        self.bits(0, 1).bits(kind, 2)
    }

    pub(crate) fn last_block(self, kind: usize) -> Self {
        self.bits(1, 1).bits(kind, 2)
    }

    /// A number, from its lowest bit on.
    pub(crate) fn bits(mut self, number: usize, count: usize) -> Self {
        for at in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("a byte was begun");
            *last |= (number >> at & 1) as u8 * (1 << self.used);
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// A code, from its highest bit on.
    pub(crate) fn code(self, code: usize, count: usize) -> Self {
        (0..count).rev().fold(self, |stream, at| stream.bits(code >> at & 1, 1))
    }

    /// §3.2.6: a literal, the end of a block, or the first part of a length.
    pub(crate) fn fixed(self, symbol: usize) -> Self {
        match symbol {
            0..=143 => self.code(0b0011_0000 + symbol, 8),
            144..=255 => self.code(0b1_1001_0000 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0b1100_0000 + symbol - 280, 8),
        }
    }

    /// §3.2.7: the head of a block with codes of these lengths, in which no run is used.
    pub(crate) fn lengths(self, literals: &[usize], distances: &[usize]) -> Self {
        let head = self.head(literals.len(), distances.len());
        literals.iter().chain(distances).fold(head, |stream, len| stream.length(*len))
    }

    /// How many codes there are, and the code in which their lengths are: for the 13 first lengths
    /// it has four bits, and five for the others and for runs.
    pub(crate) fn head(self, literals: usize, distances: usize) -> Self {
        let counts = self.bits(literals - 257, 5).bits(distances - 1, 5).bits(15, 4);
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        order.iter().fold(counts, |stream, len| stream.bits(if *len < 13 { 4 } else { 5 }, 3))
    }

    /// A length, or one of the runs 16 to 18, whose bits are to follow.
    pub(crate) fn length(self, symbol: usize) -> Self {
        if symbol < 13 { self.code(symbol, 4) } else { self.code(symbol + 13, 5) }
    }

    /// The rest of a byte.
    pub(crate) fn padded(self) -> Self {
        let rest = (8 - self.used) % 8;
        self.bits(0, rest)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        assert_eq!(self.used, 0, "bytes are whole");
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The payload of a message, which ends behind the head of an empty block.
    pub(crate) fn payload(self) -> Vec<u8> {
        self.block(STORED).padded().bytes
    }

    /// What it says by itself.
    pub(crate) fn read(self) -> Result<Inflated, InflateError> {
        inflate(&self.payload(), b"", 1 << 20)
    }

    /// What is wrong with it.
    pub(crate) fn mistake(self) -> &'static str {
        match self.read() {
            Err(InflateError::Malformed(what)) => what,
            other => panic!("{other:?} is no mistake"),
        }
    }
}
