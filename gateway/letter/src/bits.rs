//! A stream of bits, RFC 1951 §3.1.1: the lowest of each byte first.

use crate::InflateError;

pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A number of at most 16 bits, which come from the least significant one on.
    pub(crate) fn take(&mut self, count: u32) -> Result<usize, InflateError> {
        let at = self.at / 8;
        // Three bytes hold 16 bits wherever they begin. A loop over bits would cost more than all
        // else in a fuzzer.
        let byte = |at: usize| self.bytes.get(at).copied().map_or(0, usize::from);
        let three = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16;
        let number = three >> (self.at % 8) & ((1 << count) - 1);
        self.at += count as usize;
        if self.at > 8 * self.bytes.len() {
            return Err(InflateError::Malformed("a block without its end"));
        }
        Ok(number)
    }

    /// Passes over what is left of a byte that was begun.
    pub(crate) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == 8 * self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_lowest_of_each_byte_on() {
        let mut bits = Bits::new(&[0b1010_0110, 0xFF, 0x01, 0x00]);
        assert_eq!([1, 2, 3].map(|count| bits.take(count)), [Ok(0), Ok(0b11), Ok(0b100)]);
        assert_eq!(bits.take(16), Ok(0b0111_1111_1110));
        assert_eq!(bits.take(0), Ok(0));
        bits.align();
        assert!(!bits.is_at_end());
        assert_eq!(bits.take(8), Ok(0));
        assert!(bits.is_at_end());
        assert!(bits.take(1).is_err(), "nothing is left");
    }
}
