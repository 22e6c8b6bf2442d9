//! A hub, its clock, and clients whose sockets may be full.

use std::hint::black_box;

use gateway_core::event::Event;
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::slot::Slot;
use gateway_core::time::{Now, TICK_NANOS};
use gateway_core::transmit::{Part, Sent, Transmit};

use crate::alone::request;

/// Members served per flush slice, as by `weir serve` unless it is told otherwise.
const SLICE: usize = 64;

/// Key of a pong without a payload, which it does not change.
const PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];

/// A hub alone with its clients, in slots from 0 on.
pub(crate) struct Clients {
    hub: Hub,
    now: Now,
    sockets: Sockets,
}

impl Clients {
    pub(crate) fn of(config: Config) -> Self {
        Self { hub: Hub::new(config), now: Now::from_secs(100), sockets: Sockets::default() }
    }

    /// One more client is upgraded at `path`.
    pub(crate) fn join(&mut self, path: &str) -> Slot {
        let slot = Slot::from(self.sockets.windows.len());
        self.sockets.windows.push(usize::MAX);
        self.hub.handle(self.now, Event::Accepted { slot });
        self.receive(slot, &mut request(path));
        assert!(self.finish() > 0, "it hears an answer");
        self.sockets.spoken_to.clear();
        slot
    }

    /// A client's bytes arrive; they are unmasked where they lie.
    pub(crate) fn receive(&mut self, slot: Slot, bytes: &mut [u8]) {
        self.hub.handle(self.now, Event::Received { slot, bytes });
    }

    /// A client's socket takes so many bytes from now on, and the hub is told if that is any.
    pub(crate) fn open(&mut self, slot: Slot, bytes: usize) {
        self.sockets.windows[slot.index()] = bytes;
        if bytes > 0 {
            self.hub.handle(self.now, Event::Writable { slot });
        }
    }

    /// Flushes to the end and drains the effects; how many bytes were sent.
    pub(crate) fn finish(&mut self) -> usize {
        self.sockets.sent = 0;
        self.sockets.spoken_to.clear();
        while self.hub.flush(self.now, SLICE, &mut self.sockets) == Flush::More {}
        while let Some(effect) = self.hub.poll_effect() {
            black_box(effect);
        }
        self.sockets.sent
    }

    /// A tick passes: deadlines are met as they come, and who is pinged answers.
    pub(crate) fn tick(&mut self) {
        let until = Now(self.now.0 + TICK_NANOS);
        while let Some(due) = self.hub.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.hub.handle(self.now, Event::Tick);
            self.finish();
            let pinged = std::mem::take(&mut self.sockets.spoken_to);
            for &slot in &pinged {
                self.receive(slot, &mut PONG.clone());
            }
            self.sockets.spoken_to = pinged;
        }
        self.now = until;
    }

    /// Connections that are there.
    pub(crate) fn live(&self) -> u32 {
        self.hub.live()
    }

    /// Bytes of memory kept for those who owe.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.hub.outbox_bytes()
    }
}

#[derive(Default)]
struct Sockets {
    /// By slot: bytes that are taken before it is full.
    windows: Vec<usize>,
    sent: usize,
    spoken_to: Vec<Slot>,
}

impl Sockets {
    fn take(&mut self, slot: Slot, bytes: usize) -> Sent {
        let window = &mut self.windows[slot.index()];
        let taken = bytes.min(*window);
        if taken == 0 {
            return Sent::Blocked;
        }
        // Who takes everything does so for ever.
        *window = if *window == usize::MAX { usize::MAX } else { *window - taken };
        self.sent += taken;
        self.spoken_to.push(slot);
        Sent::Wrote(taken)
    }
}

impl Transmit for Sockets {
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        self.take(slot, black_box(bytes).len())
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        self.take(slot, black_box(parts).iter().map(Part::len).sum())
    }
}
