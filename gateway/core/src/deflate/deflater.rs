//! Makes messages small, each for itself, so that many can share what was made once.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{Reach, TAIL};

/// A message must shrink by at least this part of it, or it is not worth being inflated.
const WORTH: usize = 16;

/// Window bits of those who asked for less than 15. No compressor of this kind has fewer than 9,
/// and with 9 none refers back further than 250 bytes, which a window of 8 bits holds too.
const NARROW_BITS: u8 = 9;

/// Deflates messages, one at a time. Costs nothing until the first of them, and then about 256 KiB.
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
    /// before it. Whether that is worth it: no if the message does not become smaller.
    pub fn deflate(&mut self, message: &[u8], reach: Reach, out: &mut Vec<u8>) -> bool {
        let level = self.level;
        let make = |bits| move || Compress::new_with_window_bits(level, false, bits);
        let state = match reach {
            Reach::None => return false,
            Reach::Wide => self.wide.get_or_insert_with(make(15)),
            Reach::Narrow => self.narrow.get_or_insert_with(make(NARROW_BITS)),
        };
        state.reset();
        out.clear();
        // What needs more room than that is not worth it; what fills it may not be complete.
        let room = message.len() - message.len() / WORTH;
        out.reserve_exact(room);
        let (len, deflated) = compress(state, message, out, room);
        if !deflated || len >= room || !out.ends_with(&TAIL) {
            return false;
        }
        out.truncate(len - TAIL.len());
        true
    }
}

/// Compresses into at most `room` bytes; how many it took, and whether all of the message is there.
fn compress(state: &mut Compress, message: &[u8], out: &mut Vec<u8>, room: usize) -> (usize, bool) {
    out.resize(room, 0);
    let done = state.compress(message, out, FlushCompress::Sync).is_ok();
    let len = state.total_out() as usize;
    out.truncate(len);
    (len, done && state.total_in() == message.len() as u64)
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
    fn what_does_not_become_smaller_is_not_worth_it() {
        let (mut deflater, mut out) = (Deflater::new(1), Vec::new());
        let mut seed: u64 = 5;
        let byte = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        let noise: Vec<u8> = (0..5000).map(byte).collect();
        for message in [&b""[..], b"x", b"hello", &noise] {
            assert!(!deflater.deflate(message, Reach::Wide, &mut out), "{}", message.len());
        }
        assert!(!deflater.deflate(&feed(1000), Reach::None, &mut out));
        assert!(deflater.deflate(&feed(1000), Reach::Wide, &mut out), "and the next one may be");
    }
}
