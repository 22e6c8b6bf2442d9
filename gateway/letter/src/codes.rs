//! Huffman codes that are given by their lengths alone, RFC 1951 §3.2.2.

use crate::InflateError;
use crate::bits::Bits;

/// Bits of the longest code.
const CODE_BITS_MAX: usize = 15;

pub(crate) struct Codes {
    /// Symbols by the lengths of their codes, in their order.
    symbols: [Vec<usize>; CODE_BITS_MAX + 1],
    /// The first code of each length.
    firsts: [usize; CODE_BITS_MAX + 1],
}

impl Codes {
    /// Lengths of 1 to 15 bits, in the order of symbols; whoever has 0 has no code.
    pub(crate) fn new(lens: impl IntoIterator<Item = usize>) -> Self {
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

    /// The next symbol: §3.1.1, codes come from their first bit on, the most significant one.
    pub(crate) fn take(&self, bits: &mut Bits<'_>) -> Result<usize, InflateError> {
        let mut code = 0;
        for (symbols, first) in self.symbols.iter().zip(self.firsts).skip(1) {
            code = code << 1 | bits.take(1)?;
            let symbol = code.checked_sub(first).and_then(|at| symbols.get(at));
            if let Some(symbol) = symbol {
                return Ok(*symbol);
            }
        }
        Err(InflateError::Malformed("a code that stands for nothing"))
    }

    /// What share of all codes is taken, of 2¹⁵.
    fn taken(&self) -> usize {
        let taken = |(len, symbols): (usize, &Vec<usize>)| symbols.len() << (CODE_BITS_MAX - len);
        self.symbols.iter().enumerate().skip(1).map(taken).sum()
    }

    /// Each sequence of bits begins with one code.
    pub(crate) fn is_complete(&self) -> bool {
        self.taken() == 1 << CODE_BITS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken() == 0
    }

    /// Complete, or one code of one bit: §3.2.7 has it so for distances, and everybody who inflates
    /// takes literals like that, too.
    pub(crate) fn is_usable(&self) -> bool {
        let alone = self.symbols[1].len() == 1 && self.taken() == 1 << (CODE_BITS_MAX - 1);
        self.is_complete() || alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_has_these_codes() {
        // §3.2.2: the letters A to H.
        let codes = Codes::new([3, 3, 3, 3, 3, 2, 4, 4]);
        assert!(codes.is_complete());
        for (symbol, code) in
            ["010", "011", "100", "101", "110", "00", "1110", "1111"].into_iter().enumerate()
        {
            let byte = code.chars().rev().fold(0, |byte, bit| byte << 1 | u8::from(bit == '1'));
            assert_eq!(codes.take(&mut Bits::new(&[byte])), Ok(symbol), "{code}");
        }
    }

    #[test]
    fn codes_are_used_only_if_no_bits_are_left_over_or_one_is_alone() {
        for (lens, complete, usable) in [
            (&[1, 1][..], true, true),
            (&[1, 2, 2], true, true),
            (&[0, 1], false, true),
            (&[], false, false),
            (&[2], false, false),
            (&[1, 2], false, false),
            (&[2, 2], false, false),
            (&[1, 1, 1], false, false),
            (&[15], false, false),
        ] {
            let codes = Codes::new(lens.iter().copied());
            assert_eq!((codes.is_complete(), codes.is_usable()), (complete, usable), "{lens:?}");
        }
        let alone = Codes::new([0, 1]);
        assert_eq!(alone.take(&mut Bits::new(&[0])), Ok(1));
        assert!(alone.take(&mut Bits::new(&[0xFF, 0xFF])).is_err(), "no symbol has this code");
    }
}
