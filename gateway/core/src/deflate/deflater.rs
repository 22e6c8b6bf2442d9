//! Makes messages small, each for itself, so that many can share what was made once.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{Reach, TAIL};

/// A message must shrink by at least this part of it, or it is not worth being inflated.
const WORTH: usize = 16;

/// Bytes beside those of the message that a short one may take.
const ROOM_BYTES_MIN: usize = 64;

const WIDE_BITS: u8 = 15;

/// Window bits of those who asked for less than 15. No compressor of this kind has fewer than 9,
/// and with 9 none refers back further than 250 bytes, which a window of 8 bits holds too.
const NARROW_BITS: u8 = 9;

/// Deflates messages, one at a time. Costs nothing until the first of them, and then 372 KiB, and
/// 246 KiB more once somebody asks for a narrow window.
pub struct Deflater {
    level: Compression,
    wide: Option<Compress>,
    narrow: Option<Compress>,
}

impl Deflater {
    /// One that works so hard: from 1, the fastest, to 9.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self { level: Compression::new(level.clamp(1, 9)), wide: None, narrow: None }
    }

    /// Replaces what is in `out` by the message as RFC 7692 §7.2.1 has it, which refers to nothing
    /// before it. Whether that is worth it: not if the message does not become smaller.
    ///
    /// Each message is brought to its end: a compressor that is begun anew while it has something
    /// to give remembers where that stood, and panics some messages later (zlib-rs 0.6.8).
    pub fn deflate(&mut self, message: &[u8], reach: Reach, out: &mut Vec<u8>) -> bool {
        let level = self.level;
        let place = match reach {
            Reach::None => return false,
            Reach::Wide => &mut self.wide,
            Reach::Narrow => &mut self.narrow,
        };
        let bits = if reach == Reach::Wide { WIDE_BITS } else { NARROW_BITS };
        let state = place.get_or_insert_with(|| Compress::new_with_window_bits(level, false, bits));
        state.reset();
        out.clear();
        // The fixed codes of the fastest level take at most nine bits for each eight.
        out.resize(message.len() + message.len() / 8 + ROOM_BYTES_MIN, 0);
        let done = state.compress(message, out, FlushCompress::Sync).is_ok();
        out.truncate(state.total_out() as usize);
        if !done || state.total_in() != message.len() as u64 || !out.ends_with(&TAIL) {
            // What is left in it would come with the next message, or worse.
            *place = None;
            return false;
        }
        out.truncate(out.len() - TAIL.len());
        out.len() < message.len() - message.len() / WORTH
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("level", &self.level.level()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Inflater;

    /// Text like that of feeds and chats.
    fn feed(len: usize) -> Vec<u8> {
        let line =
            |n: usize| format!("{{\"symbol\":\"S{}\",\"price\":{}}},", n % 37, n * 7919 % 100_003);
        (0..).map(line).flat_map(String::into_bytes).take(len).collect()
    }

    /// Bytes that cannot be deflated.
    fn noise(len: usize) -> Vec<u8> {
        let mut seed: u64 = 5;
        let byte = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        (0..len).map(byte).collect()
    }

    #[test]
    fn what_is_deflated_is_read_back_whatever_came_before() {
        for level in [1, 6, 9] {
            let mut deflater = Deflater::new(level);
            let (mut out, mut back) = (Vec::new(), Vec::new());
            for len in [200, 1000, 100_000, 64, 1 << 20] {
                for reach in [Reach::Wide, Reach::Narrow] {
                    assert!(deflater.deflate(&feed(len), reach, &mut out), "{len} {reach:?}");
                    assert!(out.len() < len - len / WORTH);
                    // A new inflater: nothing refers to what was sent before.
                    Inflater::default().inflate(&out, &[], len, &mut back).unwrap();
                    assert_eq!(back, feed(len), "{len} {reach:?}");
                }
            }
        }
    }

    #[test]
    fn who_asked_for_a_narrow_window_can_read_what_it_gets_with_the_narrowest() {
        let mut out = Vec::new();
        for level in 1..=9 {
            let mut deflater = Deflater::new(level);
            // Repetitions at each distance around that of eight bits, and a long text.
            let repeated =
                (200..600).map(|distance| [&feed(40), &noise(distance - 40)[..]].concat());
            for message in repeated.map(|part| part.repeat(4)).chain([feed(30_000)]) {
                if !deflater.deflate(&message, Reach::Narrow, &mut out) {
                    continue;
                }
                let read = letter::inflate(&out, b"", message.len()).unwrap();
                assert!(read.bytes == message);
                assert!(read.reach <= 256, "{} at level {level}", read.reach);
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_not_worth_it() {
        let (mut deflater, mut out) = (Deflater::new(1), Vec::new());
        let noise = noise(5000);
        for message in [&b""[..], b"x", b"hello", &noise] {
            assert!(!deflater.deflate(message, Reach::Wide, &mut out), "{}", message.len());
        }
        assert!(!deflater.deflate(&feed(1000), Reach::None, &mut out));
        assert!(deflater.deflate(&feed(1000), Reach::Wide, &mut out), "and the next one may be");
    }
}
