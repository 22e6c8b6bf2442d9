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
    /// Who was readable when the last turn reached its bound, in that order.
    unread: Vec<Slot>,
    /// The turn in which each slot was last read from, or put off.
    seen: Vec<u32>,
    turns: u32,
    /// Every read of the shard goes through this one buffer.
    scratch: Vec<u8>,
    slice: usize,
}

impl<N: Net> Turn<N> {
    /// A shard over `net` that flushes to `slice` members at a time.
    #[must_use]
    pub fn new(net: N, hub: Hub, slice: usize) -> Self {
        let scratch = vec![0; hub.limits().read_bytes_max];
        let (unread, seen) = (Vec::new(), Vec::new());
        Self { net, hub, batch: Batch::default(), unread, seen, turns: 0, scratch, slice }
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
        self.turns = self.turns.wrapping_add(1);
        let mut left = self.hub.limits().turn_bytes_max;
        // Readiness lasts and is reported in the same order each time, so whoever a turn did not
        // come to is read from first in the next one, or those behind would never be.
        for slot in std::mem::take(&mut self.unread) {
            self.read_once(now, slot, &mut left);
        }
        let mut batch = std::mem::take(&mut self.batch);
        for ready in batch.ready.drain(..) {
            match ready {
                Ready::Accepted { slot, peer, cpu } => {
                    debug!(%slot, %peer, ?cpu, "accepted");
                    self.hub.handle(now, Event::Accepted { slot });
                }
                Ready::Readable(slot) => self.read_once(now, slot, &mut left),
                Ready::Writable(slot) => self.hub.handle(now, Event::Writable { slot }),
            }
        }
        self.batch = batch;
    }

    /// Reads from a slot unless this turn has, or puts it off if the turn has read enough.
    fn read_once(&mut self, now: Now, slot: Slot, left: &mut usize) {
        if slot.index() >= self.seen.len() {
            self.seen.resize(slot.index() + 1, self.turns.wrapping_sub(1));
        }
        if std::mem::replace(&mut self.seen[slot.index()], self.turns) == self.turns {
            return;
        }
        if *left == 0 {
            return self.unread.push(slot);
        }
        *left = left.saturating_sub(self.read(now, slot));
    }

    /// Reads once from a slot; returns how many bytes came.
    fn read(&mut self, now: Now, slot: Slot) -> usize {
        if !self.hub.reads(slot) {
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::task::Waker;

    use gateway_core::hub::Config;
    use gateway_core::limits::Limits;
    use gateway_core::transmit::{Part, Sent, Transmit};

    use super::*;

    /// Sockets that have an upgrade request and then echoes without end to read.
    #[derive(Default)]
    struct Talkers {
        accepted: bool,
        upgraded: Vec<bool>,
        read: [usize; TALKERS as usize],
    }

    const TALKERS: u32 = 8;
    const REQUEST: &[u8] = b"GET /ws/simple HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    impl Transmit for Talkers {
        fn send(&mut self, _: Slot, bytes: &[u8]) -> Sent {
            Sent::Wrote(bytes.len())
        }

        fn send_parts(&mut self, _: Slot, parts: &[Part<'_>]) -> Sent {
            Sent::Wrote(parts.iter().map(Part::len).sum())
        }
    }

    impl Net for Talkers {
        type Socket = ();

        fn poll(&mut self, _: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
            let slots = (0..TALKERS).map(Slot);
            let peer = SocketAddr::from(([127, 0, 0, 1], 1));
            if !self.accepted {
                self.accepted = true;
                self.upgraded = vec![false; TALKERS as usize];
                let cpu = None;
                out.ready.extend(slots.clone().map(|slot| Ready::Accepted { slot, peer, cpu }));
            }
            out.ready.extend(slots.map(Ready::Readable));
            Poll::Ready(Ok(()))
        }

        fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.upgraded[slot.index()], true) {
                buf[..REQUEST.len()].copy_from_slice(REQUEST);
                return Ok(REQUEST.len());
            }
            for frame in buf.as_chunks_mut::<6>().0 {
                *frame = *b"\x82\x80mask";
            }
            let read = buf.len() / 6 * 6;
            self.read[slot.index()] += read;
            Ok(read)
        }

        fn interest(&mut self, _: Slot, _: bool, _: bool) {}
        fn shutdown(&mut self, _: Slot) {}
        fn accepting(&mut self, _: bool) {}
        fn adopt(&mut self, _: Slot, (): ()) {}
        fn release(&mut self, _: Slot) -> Option<()> {
            None
        }
    }

    #[test]
    fn a_turn_stops_reading_at_its_bound_and_the_next_goes_on_behind_it() {
        let mut limits = Limits::default();
        limits.read_bytes_max = 6_000;
        limits.turn_bytes_max = 20_000;
        let hub = Hub::new(Config { limits, ..Config::default() });
        let mut turn = Turn::new(Talkers::default(), hub, SLICE_DEFAULT);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(turn.poll(&mut cx, Now(0)).is_ready());
        assert_eq!(turn.net.read, [0; 8], "the requests come first");
        for rounds in 1..4 {
            for half in [1, 2] {
                assert!(turn.poll(&mut cx, Now(0)).is_ready());
                let read = turn.net.read.iter().sum::<usize>();
                let reads = (rounds - 1) * 8 + half * 4;
                assert_eq!(read, reads * 6_000, "four reads reach the bound, not eight");
                assert_eq!(turn.hub.counters().deliveries, (reads * 1_000) as u64);
            }
            assert_eq!(turn.net.read, [rounds * 6_000; 8], "nobody is read twice before another");
        }
    }
}
