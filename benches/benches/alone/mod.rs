//! One hub alone, over sockets that take everything: what the core costs without a kernel.

use std::hint::black_box;

use gateway_core::event::Event;
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_core::transmit::{Part, Sent, Transmit};

const NOW: Now = Now(1);

/// Members served per flush slice, as by `weir serve` unless it is told otherwise.
const SLICE: usize = 64;

/// A hub and its sockets. A turn is [`receive`](Self::receive) for all who speak, then
/// [`finish`](Self::finish).
pub(crate) struct Alone {
    hub: Hub,
    wires: Wires,
}

impl Alone {
    /// Clients that are upgraded at `path`, in slots from 0 on.
    pub(crate) fn with(clients: usize, path: &str) -> Self {
        let mut alone = Self { hub: Hub::new(Config::default()), wires: Wires { sent: 0 } };
        (0..clients).for_each(|slot| alone.join(Slot::from(slot), path));
        alone
    }

    /// A client comes into a free slot and is upgraded at `path`.
    pub(crate) fn join(&mut self, slot: Slot, path: &str) {
        self.hear(Event::Accepted { slot });
        self.receive(slot, &mut request(path));
        assert!(self.finish() > 0, "it hears an answer");
    }

    /// A client's bytes arrive; they are unmasked where they lie.
    pub(crate) fn receive(&mut self, slot: Slot, bytes: &mut [u8]) {
        self.hear(Event::Received { slot, bytes });
    }

    /// Something happens.
    pub(crate) fn hear(&mut self, event: Event<'_>) {
        self.hub.handle(NOW, event);
    }

    /// Flushes to the end and drains the effects; how many bytes were sent.
    pub(crate) fn finish(&mut self) -> usize {
        self.wires.sent = 0;
        while self.hub.flush(NOW, SLICE, &mut self.wires) == Flush::More {}
        while let Some(effect) = self.hub.poll_effect() {
            black_box(effect);
        }
        self.wires.sent
    }
}

/// A client asks to be upgraded at `path`.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: weir\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    request.into_bytes()
}

/// A client's binary message.
pub(crate) fn frame(payload_bytes: usize) -> Vec<u8> {
    let mut frame = match u8::try_from(payload_bytes) {
        Ok(short @ 0..=125) => vec![0x82, 0x80 | short],
        _ => {
            let len = u16::try_from(payload_bytes).expect("the payloads here are short");
            [&[0x82, 0x80 | 126][..], &len.to_be_bytes()].concat()
        }
    };
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&key);
    frame.extend((0..payload_bytes).map(|index| index as u8 ^ key[index % 4]));
    frame
}

/// Sockets that take everything.
struct Wires {
    sent: usize,
}

impl Transmit for Wires {
    fn send(&mut self, _slot: Slot, bytes: &[u8]) -> Sent {
        self.sent += black_box(bytes).len();
        Sent::Wrote(bytes.len())
    }

    fn send_parts(&mut self, _slot: Slot, parts: &[Part<'_>]) -> Sent {
        let len = black_box(parts).iter().map(Part::len).sum();
        self.sent += len;
        Sent::Wrote(len)
    }
}
