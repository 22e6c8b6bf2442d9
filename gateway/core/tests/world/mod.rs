//! A world of vectors around one hub: clients, their windows, and time by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use gateway_core::event::{CloseReason, Effect, Event, Full, Grant, Ticket};
use gateway_core::hub::{Config, Flush, Hub, MemberPolicy};
use gateway_core::limits::Limits;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_core::transmit::{Part, Sent, Transmit};

/// The token that opens every route that asks for one.
pub(crate) const TOKEN: &str = "open-sesame";

/// One client's end: what it was sent, how much more it takes, and what was asked of its socket.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) got: Vec<u8>,
    pub(crate) window: usize,
    pub(crate) broken: bool,
    pub(crate) sends: usize,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    pub(crate) shut: bool,
    pub(crate) released: Option<CloseReason>,
}

impl Wire {
    fn new(window: usize) -> Self {
        Self {
            got: Vec::new(),
            window,
            broken: false,
            sends: 0,
            reads: true,
            writes: false,
            shut: false,
            released: None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Sent {
        assert!(!bytes.is_empty(), "nothing is never sent");
        assert!(!self.shut, "nothing is sent after a half-close");
        assert!(self.released.is_none(), "nothing is sent to a released slot");
        self.sends += 1;
        let fits = bytes.len().min(self.window);
        match (self.broken, fits) {
            (true, _) => Sent::Broken,
            (false, 0) => Sent::Blocked,
            (false, _) => {
                self.got.extend_from_slice(&bytes[..fits]);
                self.window -= fits;
                Sent::Wrote(fits)
            }
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Wires(pub(crate) Vec<Wire>);

impl Transmit for Wires {
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        self.0[slot.index()].take(bytes)
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => all.extend_from_slice(bytes),
                Part::Stored { range, .. } => all.extend(range.clone().map(|at| at as u8)),
            }
        }
        self.0[slot.index()].take(&all)
    }
}

/// A frame that a client got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn text(payload: &str) -> Frame {
    Frame { opcode: 1, payload: payload.into() }
}

pub(crate) fn binary(payload: &[u8]) -> Frame {
    Frame { opcode: 2, payload: payload.into() }
}

/// A close frame as `closed` gives it: the code alone.
pub(crate) fn close_code(frame: &Frame) -> Option<u16> {
    let code = frame.payload.get(..2)?;
    (frame.opcode == 8).then(|| u16::from_be_bytes([code[0], code[1]]))
}

/// Splits server frames; what is incomplete at the end is returned beside them.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame>, usize) {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, 0x80, "final and without extension bits");
        let (len, rest) = match second {
            126 if rest.len() >= 2 => {
                (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..])
            }
            127 if rest.len() >= 8 => {
                let len = u64::from_be_bytes(rest[..8].try_into().expect("eight bytes"));
                (len as usize, &rest[8..])
            }
            126 | 127 => break,
            128.. => panic!("a server does not mask"),
            &len => (usize::from(len), rest),
        };
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        frames.push(Frame { opcode: first & 0x0f, payload: payload.into() });
        bytes = rest;
    }
    (frames, bytes.len())
}

/// A client frame, masked with a fixed key.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x17, 0x2a, 0x99, 0xf0];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub(crate) fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: weir.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Limits with which a member is slow soon.
pub(crate) fn small_outbox() -> Limits {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 1_000;
    limits
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) wires: Wires,
    pub(crate) now: Now,
    /// Members per flush slice.
    pub(crate) slice: usize,
    /// The window a new client has.
    pub(crate) window: usize,
    /// Whether tokens are looked at later, and those that wait for it.
    pub(crate) ponders: bool,
    pub(crate) asked: Vec<(Ticket, bool)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), MemberPolicy::Close)
    }

    pub(crate) fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(limits, MemberPolicy::Close)
    }

    pub(crate) fn with(limits: Limits, member_policy: MemberPolicy) -> Self {
        let hub = Hub::new(Config { limits, member_policy, ..Config::default() });
        let now = Now::from_secs(100);
        let (wires, window) = (Wires::default(), usize::MAX);
        Self { hub, wires, now, slice: 3, window, ponders: false, asked: Vec::new() }
    }

    /// A world in which other routes are served.
    pub(crate) fn serving(routes: &[RouteConfig]) -> Self {
        let routes = Arc::new(Routes::new(routes).expect("the routes make sense"));
        let limits = small_outbox();
        let mut world = Self::new();
        world.hub = Hub::new(Config { routes, limits, ..Config::default() });
        world
    }

    /// Tells the hub what was found out about tokens.
    pub(crate) fn decide(&mut self) {
        for (ticket, granted) in std::mem::take(&mut self.asked) {
            let granted = granted.then(Grant::default);
            self.hub.handle(self.now, Event::Authenticated { ticket, granted });
        }
        self.settle();
    }

    /// A new client in a new slot.
    pub(crate) fn accept(&mut self) -> Slot {
        let slot = Slot::from(self.wires.0.len());
        self.wires.0.push(Wire::new(self.window));
        self.hub.handle(self.now, Event::Accepted { slot });
        slot
    }

    /// A new client in a new slot that is only there to hear what is full.
    pub(crate) fn accept_refused(&mut self, full: Full) -> Slot {
        let slot = Slot::from(self.wires.0.len());
        self.wires.0.push(Wire::new(self.window));
        self.hub.handle(self.now, Event::Refused { slot, full });
        slot
    }

    /// A client that has upgraded and read the response.
    pub(crate) fn connect(&mut self, path: &str) -> Slot {
        let slot = self.accept();
        self.raw(slot, &request(path));
        self.settle();
        let got = std::mem::take(&mut self.wire(slot).got);
        assert!(got.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&got));
        assert!(got.ends_with(b"\r\n\r\n"));
        slot
    }

    pub(crate) fn connect_all<const N: usize>(&mut self, path: &str) -> [Slot; N] {
        std::array::from_fn(|_| self.connect(path))
    }

    pub(crate) fn wire(&mut self, slot: Slot) -> &mut Wire {
        &mut self.wires.0[slot.index()]
    }

    /// Bytes arrive from a client; nothing is flushed yet.
    pub(crate) fn raw(&mut self, slot: Slot, bytes: &[u8]) {
        self.hub.handle(self.now, Event::Received { slot, bytes: &mut bytes.to_vec() });
    }

    pub(crate) fn say(&mut self, slot: Slot, text: &str) {
        self.raw(slot, &masked(0x81, text.as_bytes()));
    }

    pub(crate) fn say_binary(&mut self, slot: Slot, payload: &[u8]) {
        self.raw(slot, &masked(0x82, payload));
    }

    /// Flushes to the end and does what the hub asks for.
    pub(crate) fn settle(&mut self) {
        while self.hub.flush(self.now, self.slice, &mut self.wires) == Flush::More {}
        self.effects();
    }

    /// One slice of a flush.
    pub(crate) fn flush_once(&mut self) -> Flush {
        self.hub.flush(self.now, self.slice, &mut self.wires)
    }

    pub(crate) fn effects(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Interest { slot, read, write } => {
                    let wire = self.wire(slot);
                    (wire.reads, wire.writes) = (read, write);
                }
                Effect::Shutdown { slot } => self.wire(slot).shut = true,
                Effect::Release { slot, reason } => {
                    let before = self.wire(slot).released.replace(reason);
                    assert_eq!(before, None, "a connection ends once");
                    assert!(!self.hub.is_live(slot));
                }
                Effect::Authenticate { ticket, token, .. } => {
                    self.asked.push((ticket, token.expose() == TOKEN));
                    if !self.ponders {
                        self.decide();
                    }
                }
                Effect::Ship { .. } | Effect::Inquire(_) => {
                    panic!("a hub that is alone asks nobody: {effect:?}");
                }
            }
        }
    }

    /// The client reads up to `bytes` more; the hub is told if it asked.
    pub(crate) fn read_more(&mut self, slot: Slot, bytes: usize) {
        let wire = self.wire(slot);
        wire.window = wire.window.saturating_add(bytes);
        if wire.writes {
            self.hub.handle(self.now, Event::Writable { slot });
        }
        self.settle();
    }

    /// Whole frames that the client got since it was last asked; half a frame may remain.
    pub(crate) fn heard(&mut self, slot: Slot) -> Vec<Frame> {
        let got = &mut self.wire(slot).got;
        let (frames, rest) = frames(got);
        got.drain(..got.len() - rest);
        frames
    }

    /// Time passes, and deadlines are met as they come.
    pub(crate) fn pass_secs(&mut self, secs: u64) {
        let until = Now(self.now.0 + secs * 1_000_000_000);
        while let Some(due) = self.hub.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.hub.handle(self.now, Event::Tick);
            self.settle();
        }
        self.now = until;
    }

    pub(crate) fn end(&mut self, slot: Slot) {
        self.hub.handle(self.now, Event::Ended { slot });
        self.settle();
    }

    /// Nothing is left: no connection, room, chunk or byte, and the counters add up.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.hub.live(), 0);
        assert_eq!(self.hub.rooms(), 0);
        assert_eq!((self.hub.chunks(), self.hub.outbox_bytes()), (0, 0));
        assert_eq!(self.hub.echo_bytes(), 0);
        assert_eq!(self.hub.inbound_bytes(), 0);
        let counters = self.hub.counters();
        assert_eq!(counters.accepted, counters.closed_total());
    }
}

/// A wire for a slot that is used again.
pub(crate) fn fresh_wire() -> Wire {
    Wire::new(usize::MAX)
}
