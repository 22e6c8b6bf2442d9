//! RFC 1951 by the letter, slowly: reads what others make, and how far back it refers.

/// Base lengths and extra bits of codes 257 to 285, RFC 1951 §3.2.5.
const LENGTHS: [(usize, u32); 29] = {
    let mut table = [(258, 0); 29];
    let (mut code, mut base) = (0, 3);
    while code < 28 {
        let extra = if code < 4 { 0 } else { code as u32 / 4 - 1 };
        table[code] = (base, extra);
        base += 1 << extra;
        code += 1;
    }
    table
};

/// The order in which lengths of code lengths come, RFC 1951 §3.2.7.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What a stream says, and the longest distance in it.
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    pub(super) distance_max: usize,
}

/// Reads blocks until one says that it is the last.
///
/// # Panics
/// If it is no stream of RFC 1951.
pub(super) fn read(stream: &[u8]) -> Read {
    let mut bits = Bits { bytes: stream, at: 0 };
    let mut read = Read { bytes: Vec::new(), distance_max: 0 };
    loop {
        let last = bits.take(1) == 1;
        match bits.take(2) {
            0 => stored(&mut bits, &mut read),
            1 => {
                let lens: Vec<_> = (0..288).map(fixed_len).collect();
                block(&mut bits, &mut read, &Codes::of(&lens), &Codes::of(&[5; 30]));
            }
            2 => {
                let (literals, distances) = dynamic(&mut bits);
                block(&mut bits, &mut read, &literals, &distances);
            }
            _ => panic!("a block of no kind"),
        }
        if last {
            return read;
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> usize {
        (0..count).fold(0, |value, bit| {
            let one = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(one) << bit
        })
    }
}

/// Huffman codes by their lengths, RFC 1951 §3.2.2.
struct Codes(Vec<(usize, u32, usize)>);

impl Codes {
    fn of(lens: &[u32]) -> Self {
        let (mut code, mut codes) = (0, Vec::new());
        for len in 1..=15 {
            for (symbol, _) in lens.iter().enumerate().filter(|(_, own)| **own == len) {
                codes.push((code, len, symbol));
                code += 1;
            }
            code <<= 1;
        }
        Self(codes)
    }

    fn next(&self, bits: &mut Bits<'_>) -> usize {
        let (mut code, mut len) = (0, 0);
        loop {
            code = code << 1 | bits.take(1);
            len += 1;
            assert!(len <= 15, "a code that no symbol has");
            if let Some(found) = self.0.iter().find(|(own, bits, _)| (*own, *bits) == (code, len)) {
                return found.2;
            }
        }
    }
}

fn fixed_len(symbol: usize) -> u32 {
    match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

fn stored(bits: &mut Bits<'_>, read: &mut Read) {
    bits.at = bits.at.next_multiple_of(8);
    let (len, check) = (bits.take(16), bits.take(16));
    assert_eq!(len ^ check, 0xFFFF, "a length and its complement");
    read.bytes.extend((0..len).map(|_| bits.take(8) as u8));
}

fn dynamic(bits: &mut Bits<'_>) -> (Codes, Codes) {
    let (literals, distances, count) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
    let mut lens = [0; 19];
    for &place in &ORDER[..count] {
        lens[place] = bits.take(3) as u32;
    }
    let codes = Codes::of(&lens);
    let mut lens: Vec<u32> = Vec::new();
    while lens.len() < literals + distances {
        let (len, times) = match codes.next(bits) {
            16 => (*lens.last().expect("a length to repeat"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            len => (len as u32, 1),
        };
        lens.extend(std::iter::repeat_n(len, times));
    }
    let (literals, distances) = lens.split_at(literals);
    (Codes::of(literals), Codes::of(distances))
}

fn block(bits: &mut Bits<'_>, read: &mut Read, literals: &Codes, distances: &Codes) {
    loop {
        let symbol = literals.next(bits);
        match symbol {
            0..256 => read.bytes.push(symbol as u8),
            256 => return,
            _ => {
                let (base, extra) = LENGTHS[symbol - 257];
                let len = base + bits.take(extra);
                let code = distances.next(bits);
                let extra = (code as u32 / 2).saturating_sub(1);
                let base = if code < 2 { code + 1 } else { ((2 + code % 2) << extra) + 1 };
                let distance = base + bits.take(extra);
                read.distance_max = read.distance_max.max(distance);
                let from = read.bytes.len().checked_sub(distance).expect("nothing is there");
                (from..from + len).for_each(|at| read.bytes.push(read.bytes[at]));
            }
        }
    }
}
