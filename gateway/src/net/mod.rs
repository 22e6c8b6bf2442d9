//! The network seam: one shard's sockets behind one trait.
//!
//! The same turn runs over every implementation: epoll here, tokio elsewhere, plain
//! vectors and simulated streams in `sim`.

#[cfg(all(target_os = "linux", not(weir_portable)))]
mod epoll;
#[cfg(all(target_os = "linux", not(weir_portable)))]
pub mod ethtool;
pub mod listen;
#[cfg(all(target_os = "linux", not(weir_portable)))]
mod memfd;
mod places;
#[cfg(all(target_os = "linux", not(weir_portable)))]
pub mod rtnetlink;
#[cfg(all(target_os = "linux", not(weir_portable)))]
mod tee;
mod tokio;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use gateway_core::slot::Slot;
use gateway_core::transmit::Transmit;

#[cfg(all(target_os = "linux", not(weir_portable)))]
pub use self::epoll::EpollNet;
#[cfg(all(target_os = "linux", not(weir_portable)))]
pub use self::memfd::{Extents, MemfdStore};
pub use self::tokio::TokioNet;

/// What became ready in one poll.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ready {
    /// A connection was accepted into this slot, with read interest.
    Accepted {
        /// Its place, free until now.
        slot: Slot,
        /// Where it comes from.
        peer: SocketAddr,
        /// The CPU on which its packets arrive, where the system tells.
        cpu: Option<u32>,
        /// Whether it came to the shard's own port, and is to be served by this shard.
        own: bool,
    },
    /// The slot has bytes, an end of stream or an error to read.
    Readable(Slot),
    /// The slot takes bytes again.
    Writable(Slot),
}

/// Readiness gathered by one [`Net::poll`], in the order in which it is to be handled.
#[derive(Debug, Default)]
pub struct Batch {
    /// What became ready. `poll` appends; the turn clears.
    pub ready: Vec<Ready>,
}

/// One shard's sockets, not one socket: connections are slots in dense arrays.
///
/// A slot is chosen by the implementation on accept: the lowest place that is free and was not
/// released since the last poll, so that readiness gathered earlier never meets a stranger.
/// Calls for a slot that is not in use do nothing and answer `Broken` or `NotConnected`.
pub trait Net: Transmit {
    /// A connection outside its slot, on its way to another shard.
    type Socket: Send;

    /// Appends what is ready to `out`; `Pending` only if nothing is, with the waker registered.
    ///
    /// # Errors
    /// Only if the shard cannot go on at all (a listener or the poller is broken).
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>>;

    /// Reads what is there into `buf`; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; anything else means the connection is broken.
    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize>;

    /// Which readiness the slot reports from now on. Readiness is reported as long as it lasts,
    /// so a paused publisher costs no wake-ups.
    fn interest(&mut self, slot: Slot, read: bool, write: bool);

    /// Half-closes: what was written still arrives, and the peer sees the end of the stream.
    fn shutdown(&mut self, slot: Slot);

    /// Whether new connections are accepted; those not accepted wait in the kernel.
    fn accepting(&mut self, on: bool);

    /// How often accepting has paused for want of descriptors or memory, if the network knows.
    fn accept_pauses(&self) -> u64 {
        0
    }

    /// From now on only those are accepted who wait already; then each listener is closed.
    ///
    /// A network without a listener of its own has nothing to close and only stops accepting.
    fn retire(&mut self) {
        self.accepting(false);
    }

    /// Whether nobody will be accepted any more: no listener is open.
    fn is_retired(&self) -> bool {
        true
    }

    /// The lowest slot that is free and was not released since the last poll, for
    /// [`adopt`](Self::adopt). It stays free.
    fn vacant(&mut self) -> Slot;

    /// Puts a connection into a free slot, with read interest.
    fn adopt(&mut self, slot: Slot, socket: Self::Socket);

    /// Takes the connection out of its slot; dropping it closes it. `None` if the slot is free.
    fn release(&mut self, slot: Slot) -> Option<Self::Socket>;

    /// Gives back memory that was needed for slots which are not in use any more. Called now and
    /// then: it costs little when there is nothing to give back.
    fn give_back(&mut self) {}

    /// Closes the connection at once and tells the peer so, where the system can: nothing of it
    /// lingers here. Does nothing if the slot is free.
    fn reset(&mut self, slot: Slot) {
        drop(self.release(slot));
    }
}
