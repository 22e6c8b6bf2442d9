//! What a shard counts: plain numbers that only grow.

use crate::event::CloseReason;
use crate::hit::Hit;

/// Counts since the hub was made. Nothing reads them on the hot path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Connections accepted, refused ones included.
    pub accepted: u64,
    /// Upgrades completed.
    pub opened: u64,
    /// Connections ended, by [`CloseReason::index`]. Their sum, the live ones and those that moved
    /// out are the accepted ones and those that moved in.
    pub closed: [u64; CloseReason::NAMES.len()],
    /// Bounds that clients ran into, by [`Hit::index`]: once for each time that one had its effect.
    pub hits: [u64; Hit::COUNT],
    /// Connections cut with bytes unsent or without the peer's goodbye, after `close_secs`.
    pub cut: u64,
    /// Messages received.
    pub messages: u64,
    /// Messages handed to a member's socket or outbox, echoes included.
    pub deliveries: u64,
    /// Connections closed because their route's middleware or handler panicked, and panics of it
    /// when they had gone.
    pub panics: u64,
    /// Times that a connection was read from more slowly, because its middleware said so.
    pub slowed: u64,
    /// Orders of the program carried out: on each shard that one was given to.
    pub orders: u64,
    /// Messages a lossy member missed.
    pub dropped: u64,
    /// Connections that came from another shard.
    pub moved_in: u64,
    /// Connections that went to another shard.
    pub moved_out: u64,
    /// Newcomers that another shard serves, because this one was not chosen or had no place; they
    /// are accepted there. Not counted by hubs: whoever drives one knows.
    pub passed: u64,
    /// Times that a room's members here missed messages that nobody remembers.
    pub gaps: u64,
    /// Times that what a room's members here were sent had waited for more.
    pub coalesced: u64,
}

impl Counters {
    /// Connections ended, for any reason.
    #[must_use]
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// How often this bound was hit.
    #[must_use]
    pub fn hits_of(&self, hit: Hit) -> u64 {
        self.hits[hit.index()]
    }

    /// A bound was hit.
    #[cold]
    pub fn hit(&mut self, hit: Hit) {
        self.hits[hit.index()] += 1;
    }

    /// Adds another shard's counts.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.opened += other.opened;
        self.closed.iter_mut().zip(other.closed).for_each(|(sum, more)| *sum += more);
        self.hits.iter_mut().zip(other.hits).for_each(|(sum, more)| *sum += more);
        self.cut += other.cut;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.panics += other.panics;
        self.slowed += other.slowed;
        self.orders += other.orders;
        self.dropped += other.dropped;
        self.moved_in += other.moved_in;
        self.moved_out += other.moved_out;
        self.passed += other.passed;
        self.gaps += other.gaps;
        self.coalesced += other.coalesced;
    }
}
