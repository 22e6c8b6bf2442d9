//! A second opinion on deflated messages: RFC 1951, bit by bit, with how far back they reach.
//!
//! It shares no code with the compressors on either side, and unlike theirs it says which window
//! would have done.

use super::deflate::TAIL;

/// Bytes that a message may become.
const BYTES_MAX: usize = 1 << 28;

/// Bits of the longest code of RFC 1951.
const CODE_BITS_MAX: usize = 15;

/// RFC 1951 §3.2.7: in which order the lengths of codes for lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// RFC 1951 §3.2.5: the shortest length for each symbol from 257 on, and bits that follow.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// RFC 1951 §3.2.5: the shortest distance for each symbol, and bits that follow.
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// What a message says.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    /// Bytes of the window that its sender used: the largest distance.
    pub(super) reach: usize,
}

/// Reads the payload of a deflated message that follows no other (RFC 7692 §7.2.2).
///
/// # Errors
/// How it is malformed.
pub(super) fn inflate(payload: &[u8]) -> Result<Inflated, &'static str> {
    let whole = [payload, &TAIL].concat();
    let mut bits = Bits { bytes: &whole, at: 0, bit: 0 };
    let mut out = Inflated { bytes: Vec::new(), reach: 0 };
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out)?,
            1 => coded(&mut bits, &mut out, &fixed())?,
            2 => {
                let codes = dynamic(&mut bits)?;
                coded(&mut bits, &mut out, &codes)?;
            }
            _ => return Err("a block of the reserved kind"),
        }
        // RFC 7692 §7.2.3.4: a last block is padded, and followed by one more.
        if last {
            bits.align();
        }
        if bits.is_at_end() {
            return Ok(out);
        }
    }
}

/// A stream of bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    bit: u8,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Result<usize, &'static str> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at).ok_or("a block without its end")?;
            value |= usize::from(byte >> self.bit & 1) << place;
            self.bit = (self.bit + 1) % 8;
            self.at += usize::from(self.bit == 0);
        }
        Ok(value)
    }

    /// Passes over what is left of a byte that was begun.
    fn align(&mut self) {
        self.at += usize::from(self.bit != 0);
        self.bit = 0;
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len() && self.bit == 0
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Inflated) -> Result<(), &'static str> {
    bits.align();
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len != !complement & 0xFFFF {
        return Err("a stored block whose lengths differ");
    }
    let end = bits.at + len;
    out.bytes.extend(bits.bytes.get(bits.at..end).ok_or("a stored block without its end")?);
    bits.at = end;
    Ok(())
}

/// A canonical Huffman code: how many codes there are of each length, and the symbols in order.
struct Code {
    counts: [usize; CODE_BITS_MAX + 1],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; CODE_BITS_MAX + 1];
        for &length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let mut symbols: Vec<_> = (0..lengths.len() as u16).collect();
        symbols.retain(|&symbol| lengths[usize::from(symbol)] != 0);
        symbols.sort_by_key(|&symbol| lengths[usize::from(symbol)]);
        Self { counts, symbols }
    }

    fn take(&self, bits: &mut Bits<'_>) -> Result<usize, &'static str> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(usize::from(self.symbols[index + code - first]));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("a code that stands for nothing")
    }
}

/// Codes for literals and lengths, and for distances.
type Codes = (Code, Code);

/// RFC 1951 §3.2.6.
fn fixed() -> Codes {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    (Code::new(&lengths), Code::new(&[5; 30]))
}

/// RFC 1951 §3.2.7.
fn dynamic(bits: &mut Bits<'_>) -> Result<Codes, &'static str> {
    let (literals, distances) = (bits.take(5)? + 257, bits.take(5)? + 1);
    let mut lengths = [0; ORDER.len()];
    let count = bits.take(4)? + 4;
    for &place in &ORDER[..count] {
        lengths[place] = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let last = lengths.last().copied();
        let (length, times) = match code.take(bits)? {
            16 => (last.ok_or("a repetition of nothing")?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.resize(lengths.len() + times, length);
    }
    if lengths.len() > literals + distances {
        return Err("a repetition beyond the codes");
    }
    Ok((Code::new(&lengths[..literals]), Code::new(&lengths[literals..])))
}

fn coded(bits: &mut Bits<'_>, out: &mut Inflated, codes: &Codes) -> Result<(), &'static str> {
    loop {
        match codes.0.take(bits)? {
            literal @ 0..=255 => out.bytes.push(literal as u8),
            256 => return Ok(()),
            symbol => {
                let length = LENGTHS.get(symbol - 257).ok_or("a length that is reserved")?;
                let length = usize::from(length.0) + bits.take(length.1)?;
                let distance = codes.1.take(bits)?;
                let distance = DISTANCES.get(distance).ok_or("a distance that is reserved")?;
                let distance = usize::from(distance.0) + bits.take(distance.1)?;
                repeat(out, distance, length)?;
            }
        }
        if out.bytes.len() > BYTES_MAX {
            return Err("more bytes than anybody asked for");
        }
    }
}

fn repeat(out: &mut Inflated, distance: usize, length: usize) -> Result<(), &'static str> {
    let start = out.bytes.len().checked_sub(distance);
    let start = start.ok_or("a distance to before the message")?;
    // It may repeat what it has just written.
    for at in start..start + length {
        out.bytes.push(out.bytes[at]);
    }
    out.reach = out.reach.max(distance);
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::super::payload::Payload;
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_say_hello() {
        for payload in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xffHello\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflate(payload).unwrap().bytes, b"Hello", "{payload:02x?}");
        }
        assert_eq!(inflate(b"\x00").unwrap().bytes, b"");
        // What knows the message before reaches too far by itself.
        assert!(inflate(b"\xf2\x00\x11\x00\x00").is_err());
    }

    #[test]
    fn what_is_malformed_is_told() {
        for (payload, how) in [
            (&b"\x06"[..], "reserved kind"),
            (b"\x00\x05\x00\xfa\xf0Hello\x00", "lengths differ"),
            (b"\x00\xff\xff\x00\x00Hello", "without its end"),
            (b"\xf2\x48\xcd", "end"),
        ] {
            let error = inflate(payload).expect_err(how);
            assert!(error.contains(how), "{error:?} has no {how:?}");
        }
    }

    #[test]
    fn how_far_back_a_message_reaches_is_measured() {
        let bytes = Payload::Json(200_000).bytes().into_owned();
        let mut reaches = Vec::new();
        for window_bits in 9..=15 {
            let mut compress =
                Compress::new_with_window_bits(Compression::best(), false, window_bits);
            let mut out = Vec::with_capacity(bytes.len());
            compress.compress_vec(&bytes, &mut out, FlushCompress::Sync).unwrap();
            let inflated = inflate(out.strip_suffix(&TAIL).unwrap()).unwrap();
            assert!(inflated.bytes == bytes);
            assert!(inflated.reach <= 1 << window_bits, "{} at {window_bits}", inflated.reach);
            reaches.push(inflated.reach);
        }
        assert!(reaches.is_sorted() && reaches[6] > 1 << 14, "{reaches:?}");
    }
}
