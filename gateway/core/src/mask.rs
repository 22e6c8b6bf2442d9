//! Unmasking in place, in a shape that the compiler turns into vector instructions.
//!
//! Measured beside words alone, blocks of 32 and 64 bytes, and a last block that overlaps the one
//! before: whole blocks are equally fast, and what costs is the rest and the turning of the key.

/// The key of one frame, turned to the byte that comes next.
///
/// RFC 6455 §5.3: octet i of the payload is masked with octet i modulo 4 of the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mask(pub [u8; 4]);

impl Mask {
    /// Unmasks the next bytes of the frame's payload.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.apply_to_text(bytes);
    }

    /// Unmasks the next bytes and gives whether all of them are ASCII: that costs least while they
    /// pass, and nothing where nobody asks.
    #[inline(always)]
    pub fn apply_to_text(&mut self, bytes: &mut [u8]) -> bool {
        let key = u32::from_ne_bytes(self.0);
        let mut seen = [0; 4];
        let (blocks, rest) = bytes.as_chunks_mut::<16>();
        for block in blocks {
            for (word, seen) in block.as_chunks_mut().0.iter_mut().zip(&mut seen) {
                *seen |= apply_to_word(key, word);
            }
        }
        let mut seen = seen[0] | seen[1] | seen[2] | seen[3];
        let (words, rest) = rest.as_chunks_mut();
        for word in words {
            seen |= apply_to_word(key, word);
        }
        // Blocks and words are whole turns of the key, so only the rest turns it.
        for byte in rest {
            *byte ^= self.0[0];
            seen |= u32::from(*byte);
            self.turn();
        }
        seen & 0x8080_8080 == 0
    }

    /// Puts the first byte last, by a number: bytes in memory would have to be waited for.
    #[inline]
    fn turn(&mut self) {
        self.0 = u32::from_le_bytes(self.0).rotate_right(8).to_le_bytes();
    }
}

#[inline]
fn apply_to_word(key: u32, word: &mut [u8; 4]) -> u32 {
    let plain = u32::from_ne_bytes(*word) ^ key;
    *word = plain.to_ne_bytes();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn masked_by_the_letter(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]).collect()
    }

    #[test]
    fn the_example_of_the_rfc_is_unmasked() {
        // RFC 6455 §5.7: a single-frame masked text message.
        let mut bytes = *b"\x7f\x9f\x4d\x51\x58";
        Mask(KEY).apply(&mut bytes);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn every_length_is_masked_to_its_last_byte_and_not_beyond() {
        let plain: Vec<u8> = (0..100).collect();
        for len in 0..plain.len() {
            let mut bytes = plain.clone();
            Mask(KEY).apply(&mut bytes[..len]);
            assert_eq!(bytes[..len], masked_by_the_letter(&plain[..len]));
            assert_eq!(bytes[len..], plain[len..]);
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_seen_wherever_it_stands() {
        for len in 0..100 {
            assert!(
                Mask(KEY).apply_to_text(&mut masked_by_the_letter(&vec![0x7f; len])),
                "{len} bytes"
            );
            for at in 0..len {
                let mut plain = vec![b'a'; len];
                plain[at] = 0x80;
                let ascii = Mask(KEY).apply_to_text(&mut masked_by_the_letter(&plain));
                assert!(!ascii, "{len} bytes, not ASCII at {at}");
            }
        }
    }

    #[test]
    fn a_payload_in_three_pieces_is_unmasked_like_one() {
        let plain: Vec<u8> = (0..40).collect();
        let whole = masked_by_the_letter(&plain);
        for first in 0..=plain.len() {
            for second in first..=plain.len() {
                let mut bytes = plain.clone();
                let mut mask = Mask(KEY);
                mask.apply(&mut bytes[..first]);
                mask.apply(&mut bytes[first..second]);
                mask.apply(&mut bytes[second..]);
                assert_eq!(bytes, whole, "cut at {first} and {second}");
            }
        }
    }
}
