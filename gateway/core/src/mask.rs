//! Unmasking in place, in a shape that the compiler turns into vector instructions.

/// The key of one frame, turned to the byte that comes next.
///
/// RFC 6455 §5.3: octet i of the payload is masked with octet i modulo 4 of the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mask(pub [u8; 4]);

impl Mask {
    /// Unmasks the next bytes of the frame's payload.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (blocks, rest) = bytes.as_chunks_mut::<8>();
        for block in blocks {
            *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        // A block is two whole turns of the key, so only the rest turns it.
        self.0.rotate_left(rest.len() % 4);
    }
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
