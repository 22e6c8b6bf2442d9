//! The server's half of a simulated network: `Net` over byte-counted queues.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use gateway::net::{Batch, Net, Ready};
use gateway_core::slot::Slot;
use gateway_core::transmit::{Part, Sent, Transmit};

use crate::backlog::Seat;
use crate::extents::Extents;
use crate::pipe::ServerEnd;
use crate::rng::Rng;
use crate::slots::Slots;

/// One shard's sockets, whose far ends are held by `F`.
///
/// The seed decides how much each `send` takes of what fits, how much each `recv` gives of what
/// is there, and in which order a poll tells what is ready. Readiness is level-triggered: an end
/// of stream or an error is told again with every poll until the slot's interest is taken back.
#[derive(Debug)]
pub struct Sockets<F> {
    pub(crate) far: F,
    slots: Slots<Connection>,
    /// Where newcomers wait for this shard.
    seat: Seat,
    bell: Arc<AtomicWaker>,
    rng: Rng,
    extents: Extents,
}

#[derive(Debug)]
struct Connection {
    end: ServerEnd,
    read: bool,
    write: bool,
}

impl Connection {
    fn new(end: ServerEnd) -> Self {
        Self { end, read: true, write: false }
    }
}

impl<F> Sockets<F> {
    pub(crate) fn over(
        far: F,
        rng: Rng,
        seat: Seat,
        bell: Arc<AtomicWaker>,
        extents: Extents,
    ) -> Self {
        Self { far, slots: Slots::new(), seat, bell, rng, extents }
    }

    /// What stored parts are read from.
    #[must_use]
    pub fn extents(&self) -> Extents {
        self.extents.clone()
    }

    /// What is accepted here is readable from the next poll on: a slot's first news is always
    /// that it exists.
    fn gather(&mut self, out: &mut Batch) {
        self.tell_ready(out);
        self.accept(out);
    }

    fn tell_ready(&self, out: &mut Batch) {
        for (slot, connection) in self.slots.iter() {
            if connection.read && connection.end.0.readable() {
                out.ready.push(Ready::Readable(slot));
            }
            if connection.write && connection.end.0.writable() {
                out.ready.push(Ready::Writable(slot));
            }
        }
    }

    fn accept(&mut self, out: &mut Batch) {
        while let Some((end, peer)) = self.seat.pop() {
            end.0.attach(&self.bell);
            let slot = self.slots.insert(Connection::new(end));
            out.ready.push(Ready::Accepted { slot, peer, cpu: None, own: false });
        }
    }
}

impl<F> Net for Sockets<F> {
    type Socket = ServerEnd;

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
        let before = out.ready.len();
        self.gather(out);
        if out.ready.len() == before {
            self.bell.register(cx.waker());
            // What happened before the waker was in place rang for nobody.
            self.gather(out);
        }
        self.slots.rest();
        self.rng.shuffle(&mut out.ready[before..]);
        if out.ready.len() == before { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
        match self.slots.get(slot) {
            Some(connection) => connection.end.0.recv(&mut self.rng, buf),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn interest(&mut self, slot: Slot, read: bool, write: bool) {
        if let Some(connection) = self.slots.get_mut(slot) {
            connection.read = read;
            connection.write = write;
            self.bell.wake();
        }
    }

    fn shutdown(&mut self, slot: Slot) {
        if let Some(connection) = self.slots.get(slot) {
            connection.end.0.shutdown();
            self.bell.wake();
        }
    }

    fn accepting(&mut self, on: bool) {
        self.seat.accepting(on);
        self.bell.wake();
    }

    fn retire(&mut self) {
        self.seat.retire();
        self.bell.wake();
    }

    fn is_retired(&self) -> bool {
        self.seat.is_retired()
    }

    fn vacant(&mut self) -> Slot {
        self.slots.vacant()
    }

    fn adopt(&mut self, slot: Slot, socket: Self::Socket) {
        socket.0.attach(&self.bell);
        self.slots.put(slot, Connection::new(socket));
        self.bell.wake();
    }

    fn release(&mut self, slot: Slot) -> Option<Self::Socket> {
        self.slots.remove(slot).map(|connection| connection.end)
    }
}

impl<F> Transmit for Sockets<F> {
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        self.send_parts(slot, &[Part::Bytes(bytes)])
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        match self.slots.get(slot) {
            Some(connection) => connection.end.0.send(&mut self.rng, parts, &self.extents),
            None => Sent::Broken,
        }
    }
}
