//! The way out: what the hub asks of a shard's sockets while it flushes.

use std::ops::Range;

use crate::slot::Slot;

/// What became of bytes offered to a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// The kernel took this many bytes, at least one. Fewer than offered means that it is full.
    Wrote(usize),
    /// The kernel took nothing now; ask for write interest and try again when told.
    Blocked,
    /// The connection is gone; nothing more will ever be written.
    Broken,
}

/// One piece of what is sent in a single call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part<'a> {
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// A range of an extent that a [`Store`](crate::body::Store) holds.
    Stored {
        /// Which extent.
        id: StoredId,
        /// Which of its bytes.
        range: Range<u64>,
    },
}

impl Part<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Stored { range, .. } => {
                usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
            }
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Names an extent within the store that made it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StoredId(pub u64);

/// A shard's sockets, seen from the hub: non-blocking sends by slot.
///
/// A refused tail stays the hub's: an implementation never queues.
pub trait Transmit {
    /// Sends one contiguous run of bytes, which is never empty.
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent;

    /// Sends several pieces in order as one run; `Wrote` counts over all of them.
    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent;

    /// Says that this slot is sent to soon, so that its state can be fetched into the cache.
    #[inline]
    fn hint(&mut self, _slot: Slot) {}
}
