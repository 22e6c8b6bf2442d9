//! Messages as RFC 7692 §7.2.2 has them, block by block of RFC 1951.

use std::error::Error;
use std::fmt;

use crate::bits::Bits;
use crate::codes::Codes;

/// What is behind a message that was deflated: the last bytes of its stream, which are not sent,
/// and an empty last block, which tells whether the stream was whole.
const BEHIND: [u8; 6] = [0x00, 0x00, 0xFF, 0xFF, 0x03, 0x00];

const END_OF_BLOCK: usize = 256;

/// §3.2.7: in which order the lengths of codes for lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// §3.2.5: the least length of each code, and how many bits of what is added to it follow.
#[rustfmt::skip]
const LENGTHS: [(usize, u32); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1),
    (15, 1), (17, 1), (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3),
    (67, 4), (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
];

/// §3.2.5: the same of distances.
#[rustfmt::skip]
const DISTANCES: [(usize, u32); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3),
    (33, 4), (49, 4), (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8),
    (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12),
    (16385, 13), (24577, 13),
];

/// What a message says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inflated {
    /// The message.
    pub bytes: Vec<u8>,
    /// The longest distance in it: bytes of the window that its sender used.
    pub reach: usize,
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InflateError {
    /// It is no stream of RFC 1951, or not all of one: what was found in it.
    Malformed(&'static str),
    /// It has more bytes than it may.
    TooBig,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(what) => what,
            Self::TooBig => "more bytes than anybody asked for",
        })
    }
}

impl Error for InflateError {}

/// Reads the payload of a deflated message, which may refer back to what is in the `window`.
///
/// # Errors
/// At the first bit that no stream has at its place, or the first byte beyond `bytes_max`.
pub fn inflate(deflated: &[u8], window: &[u8], bytes_max: usize) -> Result<Inflated, InflateError> {
    let whole = [deflated, &BEHIND].concat();
    let (mut bits, mut out) = (Bits::new(&whole), Out::new(window, bytes_max));
    while !bits.is_at_end() {
        // §3.2.3: a stream ends with its last block.
        while !block(&mut bits, &mut out)? {}
        // RFC 7692 §7.2.3.4: another one may follow, which begins with a byte.
        bits.align();
        out.start = out.bytes.len();
    }
    Ok(Inflated { bytes: out.bytes.split_off(window.len()), reach: out.reach })
}

/// What was said before, and what is said.
struct Out {
    bytes: Vec<u8>,
    /// Where the stream began that is read now: before it nothing is referred to.
    start: usize,
    len_max: usize,
    reach: usize,
}

impl Out {
    fn new(window: &[u8], bytes_max: usize) -> Self {
        let len_max = window.len().saturating_add(bytes_max);
        Self { bytes: window.to_vec(), start: 0, len_max, reach: 0 }
    }

    fn put(&mut self, byte: u8) -> Result<(), InflateError> {
        if self.bytes.len() == self.len_max {
            return Err(InflateError::TooBig);
        }
        self.bytes.push(byte);
        Ok(())
    }

    fn repeat(&mut self, len: usize, distance: usize) -> Result<(), InflateError> {
        if distance > self.bytes.len() - self.start {
            return Err(InflateError::Malformed("a distance to before the stream"));
        }
        self.reach = self.reach.max(distance);
        // It may repeat what it has just written.
        (0..len).try_for_each(|_| self.put(self.bytes[self.bytes.len() - distance]))
    }
}

/// §3.2.3: whether it was the last one of its stream.
fn block(bits: &mut Bits<'_>, out: &mut Out) -> Result<bool, InflateError> {
    let last = bits.take(1)? == 1;
    match bits.take(2)? {
        0 => stored(bits, out)?,
        1 => {
            let (literals, distances) = fixed();
            compressed(bits, out, &literals, &distances)?;
        }
        2 => {
            let (literals, distances) = dynamic(bits)?;
            compressed(bits, out, &literals, &distances)?;
        }
        _ => return Err(InflateError::Malformed("a block of the reserved kind")),
    }
    Ok(last)
}

/// §3.2.4.
fn stored(bits: &mut Bits<'_>, out: &mut Out) -> Result<(), InflateError> {
    bits.align();
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len ^ complement != 0xFFFF {
        return Err(InflateError::Malformed("a stored block whose lengths differ"));
    }
    for _ in 0..len {
        let byte = bits.take(8)? as u8;
        out.put(byte)?;
    }
    Ok(())
}

/// §3.2.3: literals and references up to the end of the block.
fn compressed(
    bits: &mut Bits<'_>,
    out: &mut Out,
    literals: &Codes,
    distances: &Codes,
) -> Result<(), InflateError> {
    loop {
        match literals.take(bits)? {
            literal @ ..END_OF_BLOCK => out.put(literal as u8)?,
            END_OF_BLOCK => return Ok(()),
            code => {
                let len = number(bits, &LENGTHS, code - END_OF_BLOCK - 1)?;
                let code = distances.take(bits)?;
                let distance = number(bits, &DISTANCES, code)?;
                out.repeat(len, distance)?;
            }
        }
    }
}

/// §3.2.5: a length or a distance, of which this code is the first part.
fn number(bits: &mut Bits<'_>, table: &[(usize, u32)], code: usize) -> Result<usize, InflateError> {
    let reserved = InflateError::Malformed("a length or a distance that is reserved");
    let (least, more) = *table.get(code).ok_or(reserved)?;
    Ok(least + bits.take(more)?)
}

/// §3.2.6: the codes of literals and of distances that everybody knows.
fn fixed() -> (Codes, Codes) {
    let len = |literal| match literal {
        0..=143 => 8,
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    };
    (Codes::new((0..288).map(len)), Codes::new([5; 32]))
}

/// §3.2.7: the codes of literals and of distances, themselves in code.
fn dynamic(bits: &mut Bits<'_>) -> Result<(Codes, Codes), InflateError> {
    let malformed = |what| Err(InflateError::Malformed(what));
    let (literals, distances) = (bits.take(5)? + 257, bits.take(5)? + 1);
    let count = bits.take(4)? + 4;
    if literals > LENGTHS.len() + END_OF_BLOCK + 1 || distances > DISTANCES.len() {
        return malformed("codes for what is reserved");
    }
    let mut lens = [0; ORDER.len()];
    for &place in &ORDER[..count] {
        lens[place] = bits.take(3)?;
    }
    let lens = lengths(bits, &Codes::new(lens), literals + distances)?;
    if lens[END_OF_BLOCK] == 0 {
        return malformed("a block that cannot end");
    }
    let (literals, distances) = lens.split_at(literals);
    let literals = Codes::new(literals.iter().copied());
    let distances = Codes::new(distances.iter().copied());
    // Where there are literals only, no distance has a code.
    if !literals.is_usable() || !distances.is_usable() && !distances.is_empty() {
        return malformed("codes that leave bits over, or take too many");
    }
    Ok((literals, distances))
}

/// §3.2.7: so many lengths, in this code.
fn lengths(bits: &mut Bits<'_>, codes: &Codes, count: usize) -> Result<Vec<usize>, InflateError> {
    if !codes.is_complete() {
        return Err(InflateError::Malformed("codes for lengths that leave bits over"));
    }
    let mut lens = Vec::new();
    while lens.len() < count {
        let last = lens.last().copied();
        let nothing = InflateError::Malformed("a repetition of nothing");
        let (len, times) = match codes.take(bits)? {
            16 => (last.ok_or(nothing)?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            len => (len, 1),
        };
        lens.resize(lens.len() + times, len);
    }
    if lens.len() > count {
        return Err(InflateError::Malformed("a repetition beyond the codes"));
    }
    Ok(lens)
}
