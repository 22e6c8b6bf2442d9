//! UTF-8 validation of a text that comes in chunks, which may cut a character in two.

/// Texts up to this many bytes are tried as ASCII first, which most of them are: measured, that is
/// three times as fast for 125 bytes. Longer ones are faster where nothing is tried.
const SHORT_BYTES_MAX: usize = 255;

/// Bytes that every machine with vectors looks at together.
const BLOCK_BYTES: usize = 16;

/// The text is not UTF-8, and no further byte could make it so.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("text is not UTF-8")]
pub struct NotUtf8;

/// Checks a text that is all there.
///
/// # Errors
/// If it is not UTF-8, or ends within a character.
#[inline]
pub fn check(text: &[u8]) -> Result<(), NotUtf8> {
    if text.len() <= SHORT_BYTES_MAX && is_ascii_in_blocks(text) {
        return Ok(());
    }
    simdutf8::basic::from_utf8(text).map(drop).map_err(|_| NotUtf8)
}

/// Whether `text` has a block's length and is ASCII; looks no further than a first block that is
/// not.
#[inline]
fn is_ascii_in_blocks(text: &[u8]) -> bool {
    let is_ascii = |block| u128::from_ne_bytes(block) & u128::from_ne_bytes([0x80; _]) == 0;
    let (&[first, ref blocks @ ..], _) = text.as_chunks::<BLOCK_BYTES>() else { return false };
    if !is_ascii(first) {
        return false;
    }
    // It may overlap the last of the blocks, so that there is no rest.
    let mut seen = *text.last_chunk().expect("there is a first block");
    for block in blocks {
        for (seen, byte) in seen.iter_mut().zip(block) {
            *seen |= byte;
        }
    }
    is_ascii(seen)
}

/// A text received so far: valid, but for a character whose end is still to come.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character, which is at most 3 of its 4 bytes.
    carry: [u8; 3],
    carried: u8,
}

impl Utf8 {
    /// Takes the next bytes of the text.
    ///
    /// # Errors
    /// As soon as a byte is received that no UTF-8 text has at this place, such as the second
    /// one of `ED A0`, which would begin a surrogate.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<(), NotUtf8> {
        while self.carried > 0 {
            let Some((&byte, rest)) = chunk.split_first() else { return Ok(()) };
            self.finish_character(byte)?;
            chunk = rest;
        }
        let (whole, cut) = chunk.split_at(chunk.len() - cut_len(chunk));
        check(whole)?;
        if is_beginning(cut)? {
            self.carry[..cut.len()].copy_from_slice(cut);
            self.carried = cut.len() as u8;
        }
        Ok(())
    }

    /// Whether the text may end here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.carried == 0
    }

    /// Adds one byte to the carried beginning.
    fn finish_character(&mut self, byte: u8) -> Result<(), NotUtf8> {
        let at = usize::from(self.carried);
        let mut character = [0; 4];
        character[..at].copy_from_slice(&self.carry[..at]);
        character[at] = byte;
        if is_beginning(&character[..=at])? {
            self.carry[at] = byte;
            self.carried += 1;
        } else {
            self.carried = 0;
        }
        Ok(())
    }
}

/// How many bytes at the end of `chunk` begin a character that ends after it.
fn cut_len(chunk: &[u8]) -> usize {
    let last = chunk.len().min(3);
    for len in 1..=last {
        let byte = chunk[chunk.len() - len];
        let character_len = match byte {
            0x80..=0xBF => continue,
            0x00..=0x7F => 1,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
        };
        return if character_len > len { len } else { 0 };
    }
    0
}

/// Whether `bytes` is valid only as the beginning of a character, rather than as it is.
fn is_beginning(bytes: &[u8]) -> Result<bool, NotUtf8> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(false),
        Err(error) if error.error_len().is_none() => Ok(true),
        Err(_) => Err(NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a text is found wrong when it comes byte by byte, or whether it is complete.
    fn byte_by_byte(text: &[u8]) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        for (at, byte) in text.iter().enumerate() {
            utf8.push(&[*byte]).map_err(|_| at)?;
        }
        Ok(utf8.is_complete())
    }

    #[test]
    fn the_first_impossible_byte_fails_at_once() {
        let cases: [(&[u8], usize); 12] = [
            (b"\x80", 0),
            (b"a\xC0\xAF", 1),
            (b"\xC1\x80", 0),
            (b"\xC3a", 1),
            (b"\xE0\x9F\xBF", 1),
            (b"\xED\xA0\x80", 1),
            (b"\xE2\x82a", 2),
            (b"\xF0\x8F\xBF\xBF", 1),
            (b"\xF4\x90\x80\x80", 1),
            (b"\xF5\x80\x80\x80", 0),
            (b"\xF0\x9F\x98a", 3),
            (b"\xFF", 0),
        ];
        for (text, at) in cases {
            assert_eq!(byte_by_byte(text), Err(at), "{text:02x?}");
            assert_eq!(Utf8::default().push(text), Err(NotUtf8), "{text:02x?}");
            assert_eq!(Utf8::default().push(&text[..=at]), Err(NotUtf8), "{text:02x?}");
            assert_eq!(Utf8::default().push(&text[..at]), Ok(()), "{text:02x?}");
        }
    }

    #[test]
    fn edges_of_the_code_space_are_valid_however_they_are_cut() {
        let text = "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}";
        let text = text.repeat(12).into_bytes();
        assert_eq!(byte_by_byte(&text), Ok(true));
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::default();
            utf8.push(&text[..cut]).unwrap();
            let at_boundary = std::str::from_utf8(&text[..cut]).is_ok();
            assert_eq!(utf8.is_complete(), at_boundary, "cut at {cut}");
            utf8.push(&text[cut..]).unwrap();
            assert!(utf8.is_complete());
        }
    }

    #[test]
    fn one_wrong_byte_is_found_wherever_it_stands_in_a_text_of_any_length() {
        for len in 1..=SHORT_BYTES_MAX + 2 {
            let mut text = vec![b'a'; len];
            assert_eq!(check(&text), Ok(()), "{len} bytes");
            for at in 0..len {
                text[at] = 0x80;
                assert_eq!(check(&text), Err(NotUtf8), "{len} bytes, wrong at {at}");
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn every_two_and_three_bytes_are_judged_as_the_standard_library_does() {
        for first in 0xC0..=0xFF_u8 {
            for second in 0..=0xFF_u8 {
                for tail in [&[][..], &[0x80], &[0xBF, 0x80], &[0x61]] {
                    let text = [&[first, second], tail].concat();
                    let expected = match std::str::from_utf8(&text) {
                        Ok(_) => Ok(true),
                        Err(error) if error.error_len().is_none() => Ok(false),
                        Err(_) => Err(()),
                    };
                    let in_bytes = byte_by_byte(&text).map_err(drop);
                    assert_eq!(in_bytes, expected, "{text:02x?}");
                    let mut utf8 = Utf8::default();
                    let in_one = utf8.push(&text).map(|()| utf8.is_complete()).map_err(drop);
                    assert_eq!(in_one, expected, "{text:02x?}");
                }
            }
        }
    }

    #[test]
    fn empty_chunks_change_nothing() {
        let mut utf8 = Utf8::default();
        for chunk in [&b""[..], b"\xE2", b"", b"\x82", b"", b"\xAC", b""] {
            utf8.push(chunk).unwrap();
        }
        assert!(utf8.is_complete());
    }
}
