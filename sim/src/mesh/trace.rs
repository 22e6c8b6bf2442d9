//! One number for all that a run sent and released.

/// Folds what happens, in order: the same for the same run, in any process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    pub(super) events: u64,
}

impl Trace {
    /// A client was sent these bytes.
    #[inline]
    pub(super) fn sent(&mut self, client: u32, bytes: &[u8]) {
        self.fold(u64::from(client) << 32 | bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = self.hash;
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        for &byte in rest {
            hash = mix(hash, u64::from(byte));
        }
        self.hash = hash;
    }

    /// Something else happened.
    #[inline]
    pub(super) fn fold(&mut self, word: u64) {
        self.events += 1;
        self.hash = mix(self.hash, word);
    }

    pub(super) fn hash(self) -> u64 {
        self.hash
    }
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}
