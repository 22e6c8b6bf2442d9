//! RFC 1951 read by the letter, bit by bit, as RFC 7692 §7.2.2 has it.

/// Why there is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Error {
    Malformed,
    TooBig,
}

/// What is behind a message that was deflated: the last bytes of its stream, which are not sent,
/// and an empty last block, which tells whether the stream was whole.
const BEHIND: [u8; 6] = [0x00, 0x00, 0xFF, 0xFF, 0x03, 0x00];

/// Bits of the longest code.
const CODE_BITS_MAX: usize = 15;
const END_OF_BLOCK: usize = 256;

/// §3.2.5: what is added to the least length, and to the least distance, of each code.
const LENGTHS: [(usize, u32); 29] = [
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
const DISTANCES: [(usize, u32); 30] = [
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

/// The message, which may refer back by up to `distance_max` bytes, and into what was said before.
pub(crate) fn inflate(
    deflated: &[u8],
    window: &[u8],
    distance_max: usize,
    bytes_max: usize,
) -> Result<Vec<u8>, Error> {
    let bytes = [deflated, &BEHIND].concat();
    let mut reader = Reader { bytes: &bytes, at: 0, out: window.to_vec(), start: 0, distance_max };
    let limit = window.len() + bytes_max;
    while reader.at < 8 * bytes.len() {
        while !reader.block(limit)? {}
        // §3.2.3: a stream ends within a byte; RFC 7692 §7.2.3.4: another one may follow.
        reader.at = reader.at.next_multiple_of(8);
        reader.start = reader.out.len();
    }
    Ok(reader.out.split_off(window.len()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
    out: Vec<u8>,
    /// Where the stream began that is read now: before it nothing is referred to.
    start: usize,
    distance_max: usize,
}

impl Reader<'_> {
    /// §3.2.3: whether it was the last one of its stream.
    fn block(&mut self, limit: usize) -> Result<bool, Error> {
        let last = self.bits(1)? == 1;
        match self.bits(2)? {
            0 => self.stored(limit)?,
            1 => {
                let lens = |at| match at {
                    0..=143 => 8,
                    144..=255 => 9,
                    256..=279 => 7,
                    _ => 8,
                };
                let literals = Codes::new((0..288).map(lens).collect());
                self.compressed(&literals, &Codes::new(vec![5; 32]), limit)?;
            }
            2 => {
                let (literals, distances) = self.codes()?;
                self.compressed(&literals, &distances, limit)?;
            }
            _ => return Err(Error::Malformed),
        }
        Ok(last)
    }

    /// §3.2.4.
    fn stored(&mut self, limit: usize) -> Result<(), Error> {
        self.at = self.at.next_multiple_of(8);
        let (len, complement) = (self.bits(16)?, self.bits(16)?);
        if len != !complement & 0xFFFF {
            return Err(Error::Malformed);
        }
        for _ in 0..len {
            let byte = self.bits(8)? as u8;
            self.put(byte, limit)?;
        }
        Ok(())
    }

    /// §3.2.3: literals and references up to the end of the block.
    fn compressed(
        &mut self,
        literals: &Codes,
        distances: &Codes,
        limit: usize,
    ) -> Result<(), Error> {
        loop {
            let code = self.code(literals)?;
            match code.checked_sub(END_OF_BLOCK) {
                None => self.put(code as u8, limit)?,
                Some(0) => return Ok(()),
                Some(code) => {
                    let len = self.number(&LENGTHS, code - 1)?;
                    let code = self.code(distances)?;
                    let distance = self.number(&DISTANCES, code)?;
                    self.refer(len, distance, limit)?;
                }
            }
        }
    }

    fn refer(&mut self, len: usize, distance: usize, limit: usize) -> Result<(), Error> {
        if distance > self.out.len() - self.start || distance > self.distance_max {
            return Err(Error::Malformed);
        }
        for _ in 0..len {
            self.put(self.out[self.out.len() - distance], limit)?;
        }
        Ok(())
    }

    fn put(&mut self, byte: u8, limit: usize) -> Result<(), Error> {
        if self.out.len() == limit {
            return Err(Error::TooBig);
        }
        self.out.push(byte);
        Ok(())
    }

    fn number(&mut self, table: &[(usize, u32)], code: usize) -> Result<usize, Error> {
        let (least, bits) = *table.get(code).ok_or(Error::Malformed)?;
        Ok(least + self.bits(bits)? as usize)
    }

    /// §3.2.7: the codes of literals and of distances, themselves in code.
    fn codes(&mut self) -> Result<(Codes, Codes), Error> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = self.bits(5)? as usize + 257;
        let distances = self.bits(5)? as usize + 1;
        let count = self.bits(4)? as usize + 4;
        if literals > 286 || distances > 30 {
            return Err(Error::Malformed);
        }
        let mut lens = vec![0; 19];
        for at in &ORDER[..count] {
            lens[*at] = self.bits(3)? as usize;
        }
        let codes = Codes::new(lens);
        if !codes.is_complete() {
            return Err(Error::Malformed);
        }
        let mut lens = Vec::new();
        while lens.len() < literals + distances {
            let (len, times) = match self.code(&codes)? {
                16 => (*lens.last().ok_or(Error::Malformed)?, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                len => (len, 1),
            };
            lens.extend((0..times).map(|_| len));
        }
        if lens.len() > literals + distances || lens[END_OF_BLOCK] == 0 {
            return Err(Error::Malformed);
        }
        let distances = Codes::new(lens.split_off(literals));
        let literals = Codes::new(lens);
        // One distance may be coded in one bit, and where there are literals only, none is.
        let fine = literals.is_usable() && (distances.is_usable() || distances.is_empty());
        if fine { Ok((literals, distances)) } else { Err(Error::Malformed) }
    }

    /// §3.1.1: codes come from their first bit on, the most significant one.
    fn code(&mut self, codes: &Codes) -> Result<usize, Error> {
        let mut code = 0;
        for len in 1..=CODE_BITS_MAX {
            code = code << 1 | self.bits(1)? as usize;
            if let Some(symbol) = codes.symbol(code, len) {
                return Ok(symbol);
            }
        }
        Err(Error::Malformed)
    }

    /// §3.1.1: numbers of at most 16 bits come from their least significant bit on.
    fn bits(&mut self, count: u32) -> Result<u32, Error> {
        let at = self.at / 8;
        // Three bytes hold 16 bits wherever they begin. A loop over bits would cost more than all
        // else in a fuzzer.
        let byte = |at: usize| self.bytes.get(at).copied().map_or(0, u32::from);
        let bytes = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16;
        let number = bytes >> (self.at % 8) & ((1 << count) - 1);
        self.at += count as usize;
        if self.at > 8 * self.bytes.len() { Err(Error::Malformed) } else { Ok(number) }
    }
}

/// §3.2.2: codes that are given by their lengths alone.
struct Codes {
    /// Symbols by the lengths of their codes, in their order.
    symbols: [Vec<usize>; CODE_BITS_MAX + 1],
    /// The first code of each length.
    firsts: [usize; CODE_BITS_MAX + 1],
}

impl Codes {
    fn new(lens: Vec<usize>) -> Self {
        let mut symbols: [Vec<usize>; CODE_BITS_MAX + 1] = Default::default();
        for (symbol, len) in lens.into_iter().enumerate().filter(|(_, len)| *len > 0) {
            symbols[len].push(symbol);
        }
        let mut firsts = [0; CODE_BITS_MAX + 1];
        for len in 1..=CODE_BITS_MAX {
            firsts[len] = (firsts[len - 1] + symbols[len - 1].len()) << 1;
        }
        Self { symbols, firsts }
    }

    fn symbol(&self, code: usize, len: usize) -> Option<usize> {
        self.symbols[len].get(code.checked_sub(self.firsts[len])?).copied()
    }

    /// What share of all codes is taken, of 2¹⁵.
    fn taken(&self) -> usize {
        (1..=CODE_BITS_MAX).map(|len| self.symbols[len].len() << (CODE_BITS_MAX - len)).sum()
    }

    fn is_complete(&self) -> bool {
        self.taken() == 1 << CODE_BITS_MAX
    }

    fn is_empty(&self) -> bool {
        self.taken() == 0
    }

    /// Complete, or one code of one bit.
    fn is_usable(&self) -> bool {
        let alone = self.symbols[1].len() == 1 && self.taken() == 1 << (CODE_BITS_MAX - 1);
        self.is_complete() || alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let read = |deflated: &[u8], window: &[u8]| inflate(deflated, window, 1 << 15, 5);
        // RFC 7692 §7.2.3.1 to §7.2.3.6.
        for deflated in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(read(deflated, b"").as_deref(), Ok(&b"Hello"[..]), "{deflated:02x?}");
        }
        let again = b"\xf2\x00\x11\x00\x00";
        assert_eq!(read(again, b"Hello").as_deref(), Ok(&b"Hello"[..]));
        assert_eq!(read(again, b"").as_deref(), Err(&Error::Malformed));
        assert_eq!(inflate(again, b"Hello", 4, 5), Err(Error::Malformed), "it refers 5 back");
        assert_eq!(inflate(again, b"Hello", 5, 4), Err(Error::TooBig));
    }
}
