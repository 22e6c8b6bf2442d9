//! The turn: one shard's work, synchronous and repeated, over any network.
//!
//! Follow one turn top-down: what became ready is read and handed to the hub, the hub decides,
//! the hub's words go out in slices, and its effects reach the sockets.

use std::io;
use std::task::{Context, Poll, ready};

use gateway_core::event::{CloseReason, Effect, Event};
use gateway_core::hub::{Flush, Hub};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use tracing::debug;

use crate::net::{Batch, Net, Ready};

/// Members served per flush slice unless configured otherwise.
pub const SLICE_DEFAULT: usize = 64;

/// One shard: its sockets, its hub, and the buffers between them.
pub struct Turn<N> {
    net: N,
    hub: Hub,
    batch: Batch,
    /// Every read of the shard goes through this one buffer.
    scratch: Vec<u8>,
    slice: usize,
}

impl<N: Net> Turn<N> {
    /// A shard over `net` that flushes to `slice` members at a time.
    #[must_use]
    pub fn new(net: N, hub: Hub, slice: usize) -> Self {
        let scratch = vec![0; hub.limits().read_bytes_max];
        Self { net, hub, batch: Batch::default(), scratch, slice }
    }

    /// Does one turn if anything is ready or due; `Pending` with the waker registered if not.
    ///
    /// # Errors
    /// Only if the shard cannot go on: its listener or its poller is broken.
    pub fn poll(&mut self, cx: &mut Context<'_>, now: Now) -> Poll<io::Result<()>> {
        let due = self.hub.poll_timeout().is_some_and(|at| at <= now);
        self.batch.ready.clear();
        let polled = self.net.poll(cx, &mut self.batch);
        if !(due && polled.is_pending()) {
            ready!(polled)?;
        }
        if due {
            self.hub.handle(now, Event::Tick);
        }
        self.receive(now);
        self.finish(now);
        Poll::Ready(Ok(()))
    }

    /// Stops accepting and says goodbye to everyone; the shard is done when it is empty.
    pub fn drain(&mut self, now: Now) {
        self.net.accepting(false);
        self.hub.handle(now, Event::Drain);
        self.finish(now);
    }

    /// The shard's connections and rooms.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The shard's sockets.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    fn receive(&mut self, now: Now) {
        // Readiness lasts, so what is beyond the bound is reported again by the next poll.
        let mut left = self.hub.limits().turn_bytes_max;
        let mut batch = std::mem::take(&mut self.batch);
        for ready in batch.ready.drain(..) {
            match ready {
                Ready::Accepted { slot, peer, cpu } => {
                    debug!(%slot, %peer, ?cpu, "accepted");
                    self.hub.handle(now, Event::Accepted { slot });
                }
                Ready::Readable(slot) if left > 0 => {
                    left = left.saturating_sub(self.read(now, slot));
                }
                Ready::Readable(_) => {}
                Ready::Writable(slot) => self.hub.handle(now, Event::Writable { slot }),
            }
        }
        self.batch = batch;
    }

    /// Reads once from a slot; returns how many bytes came.
    fn read(&mut self, now: Now, slot: Slot) -> usize {
        if !self.hub.is_live(slot) {
            return 0;
        }
        match self.net.recv(slot, &mut self.scratch) {
            Ok(0) => self.hub.handle(now, Event::Ended { slot }),
            Ok(read) => {
                let bytes = &mut self.scratch[..read];
                self.hub.handle(now, Event::Received { slot, bytes });
                return read;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.hub.handle(now, Event::Broken { slot }),
        }
        0
    }

    /// Says what is to be said, then does what the hub asks for.
    fn finish(&mut self, now: Now) {
        while self.hub.flush(now, self.slice, &mut self.net) == Flush::More {}
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Interest { slot, read, write } => self.net.interest(slot, read, write),
                Effect::Shutdown { slot } => self.net.shutdown(slot),
                Effect::Release { slot, reason } => {
                    log_release(slot, reason);
                    drop(self.net.release(slot));
                }
            }
        }
    }
}

fn log_release(slot: Slot, reason: CloseReason) {
    debug!(%slot, reason = reason.name(), detail = ?reason, "closed");
}
