//! The client's side of compression: messages are deflated as RFC 7692 §7.2.1 says.

use flate2::{Compress, Compression, FlushCompress, Status};

/// RFC 7692 §7.2.1: what a message ends with that is flushed, and what is not sent of it.
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Makes messages shorter, and remembers those before.
#[derive(Debug)]
pub(super) struct Deflater {
    compress: Compress,
}

impl Deflater {
    /// Whose level is 0, at which nothing gets shorter, to 9.
    pub(super) fn new(level: u32) -> Self {
        Self { compress: Compress::new(Compression::new(level), false) }
    }

    /// The payload of a message that says `bytes`.
    pub(super) fn message(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = self.run(bytes, FlushCompress::Sync);
        // Who has nothing to flush writes nothing.
        if out.is_empty() {
            return vec![0];
        }
        assert!(out.ends_with(&TAIL), "a flush ends with an empty block");
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// As [`message`](Self::message), but its last block says that it is the last, and a byte
    /// follows that stands for one more, empty block (RFC 7692 §7.2.3.4). Nothing can follow it.
    pub(super) fn last_message(mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = self.run(bytes, FlushCompress::Finish);
        out.push(0);
        out
    }

    fn run(&mut self, mut bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            out.reserve(4096 + bytes.len() / 2);
            let before = self.compress.total_in();
            let status = self.compress.compress_vec(bytes, &mut out, flush);
            bytes = &bytes[(self.compress.total_in() - before) as usize..];
            match status.expect("a compressor takes whatever it is given") {
                Status::StreamEnd => return out,
                // What is not filled was not needed.
                Status::Ok | Status::BufError if bytes.is_empty() && out.len() < out.capacity() => {
                    return out;
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// The payload of a message by itself.
pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    Deflater::new(6).message(bytes)
}

#[cfg(test)]
mod tests {
    use letter::{Inflated, inflate};

    use super::super::payload::Payload;
    use super::*;

    fn read(message: &[u8]) -> Inflated {
        inflate(message, b"", 1 << 20).expect("it is what a compressor made")
    }

    #[test]
    fn the_examples_of_the_rfc_are_made() {
        // RFC 7692 §7.2.3.1 and §7.2.3.6.
        assert_eq!(deflated(b"Hello"), b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        assert_eq!(deflated(b""), b"\x00");
        // RFC 7692 §7.2.3.2: the second one knows the first.
        let mut deflater = Deflater::new(6);
        deflater.message(b"Hello");
        assert_eq!(deflater.message(b"Hello"), b"\xf2\x00\x11\x00\x00");
        // RFC 7692 §7.2.3.3.
        assert_eq!(Deflater::new(0).message(b"Hello"), b"\x00\x05\x00\xfa\xffHello\x00");
        // RFC 7692 §7.2.3.4.
        let last = Deflater::new(6).last_message(b"Hello");
        assert_eq!(last, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00");
    }

    #[test]
    fn whatever_is_deflated_is_inflated_again() {
        for level in [0, 1, 6, 9] {
            for len in [0, 1, 100, 5000, 65_535, 65_536, 300_000] {
                for payload in [
                    Payload::Text(len),
                    Payload::Json(len),
                    Payload::Random(len),
                    Payload::Zeros(len),
                ] {
                    let bytes = payload.bytes();
                    let message = Deflater::new(level).message(&bytes);
                    let inflated = read(&message);
                    assert!(inflated.bytes == *bytes, "{payload} at {level}");
                    let last = Deflater::new(level).last_message(&bytes);
                    let inflated = read(&last);
                    assert!(inflated.bytes == *bytes, "the last {payload} at {level}");
                }
            }
        }
    }

    #[test]
    fn how_far_back_a_message_reaches_is_measured() {
        let bytes = Payload::Json(200_000).bytes().into_owned();
        let mut reaches = Vec::new();
        for window_bits in 9..=15 {
            let compress = Compress::new_with_window_bits(Compression::best(), false, window_bits);
            let inflated = read(&Deflater { compress }.message(&bytes));
            assert!(inflated.bytes == bytes);
            assert!(inflated.reach <= 1 << window_bits, "{} at {window_bits}", inflated.reach);
            reaches.push(inflated.reach);
        }
        assert!(reaches.is_sorted() && reaches[6] > 1 << 14, "{reaches:?}");
    }
}
