//! Numbers for tests that look drawn.

use crate::Rate;

/// The same numbers for each seed (xorshift64).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Any number of 32 bits.
    pub(crate) fn word(&mut self) -> u32 {
        self.below(1 << 32) as u32
    }

    /// Two numbers, the smaller one first.
    pub(crate) fn pair(&mut self, bound: u64) -> [u64; 2] {
        let mut pair = [self.below(bound), self.below(bound)];
        pair.sort_unstable();
        pair
    }

    /// Tokens a second, tokens at once, and both together.
    pub(crate) fn rate(&mut self) -> (u64, u64, Rate) {
        let (rare, small) = (self.below(2) == 0, self.below(2) == 0);
        let per_sec = 1 + self.below(if rare { 10 } else { 1_000_000 });
        let burst = 1 + self.below(if small { 3 } else { 10_000 });
        let rate = Rate::new(per_sec as u32, burst as u32).expect("neither is 0");
        (per_sec, burst, rate)
    }
}
