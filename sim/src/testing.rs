//! What the tests of both networks share: a small echo server and ways to look at a poll.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, Waker};

use gateway::net::{Batch, Net, Ready};
use gateway_core::slot::Slot;
use gateway_core::transmit::Sent;

/// Polls once; nothing if nothing is ready.
pub(crate) fn poll_once(net: &mut impl Net) -> Vec<Ready> {
    let mut batch = Batch::default();
    match net.poll(&mut Context::from_waker(Waker::noop()), &mut batch) {
        Poll::Ready(outcome) => outcome.expect("a simulated shard can always go on"),
        Poll::Pending => assert!(batch.ready.is_empty(), "a pending poll tells nothing"),
    }
    batch.ready
}

/// Reads until nothing is there, the end, or an error.
pub(crate) fn receive_all(net: &mut impl Net, slot: Slot) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match net.recv(slot, &mut buf) {
            Ok(0) => return (bytes, Ok(())),
            Ok(count) => bytes.extend(&buf[..count]),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// Sends until all is taken or nothing more is; says how much was.
pub(crate) fn send_all(net: &mut impl Net, slot: Slot, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match net.send(slot, &bytes[sent..]) {
            Sent::Wrote(count) => sent += count,
            Sent::Blocked | Sent::Broken => break,
        }
    }
    sent
}

/// Sends back what each connection sends, keeps to the rules of `Net`, and stops reading from
/// who does not read.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    connections: BTreeMap<Slot, Echoed>,
    /// Connections that ended as they should, and all others.
    pub(crate) finished: usize,
    pub(crate) broken: usize,
}

#[derive(Debug, Default)]
struct Echoed {
    pending: Vec<u8>,
    ended: bool,
}

const PENDING_MAX: usize = 3000;

impl Echo {
    /// Handles what became ready.
    pub(crate) fn turn(&mut self, net: &mut impl Net, batch: &mut Batch) {
        for ready in batch.ready.drain(..) {
            match ready {
                Ready::Accepted { slot, .. } => {
                    let before = self.connections.insert(slot, Echoed::default());
                    assert!(before.is_none(), "slot {slot} was free");
                }
                Ready::Readable(slot) => self.read(net, slot),
                Ready::Writable(slot) => self.write(net, slot),
            }
        }
    }

    fn read(&mut self, net: &mut impl Net, slot: Slot) {
        let Some(echoed) = self.connections.get_mut(&slot) else { return };
        let mut buf = [0; 1000];
        while echoed.pending.len() < PENDING_MAX {
            match net.recv(slot, &mut buf) {
                Ok(0) => {
                    echoed.ended = true;
                    break;
                }
                Ok(count) => echoed.pending.extend(&buf[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.break_off(net, slot),
            }
        }
        self.write(net, slot);
    }

    fn write(&mut self, net: &mut impl Net, slot: Slot) {
        let Some(echoed) = self.connections.get_mut(&slot) else { return };
        if !echoed.pending.is_empty() {
            match net.send(slot, &echoed.pending) {
                Sent::Wrote(count) => drop(echoed.pending.drain(..count)),
                Sent::Blocked => (),
                Sent::Broken => return self.break_off(net, slot),
            }
        }
        let idle = echoed.pending.is_empty();
        if idle && echoed.ended {
            net.shutdown(slot);
            net.release(slot);
            self.connections.remove(&slot);
            self.finished += 1;
        } else {
            net.interest(slot, !echoed.ended && echoed.pending.len() < PENDING_MAX, !idle);
        }
    }

    fn break_off(&mut self, net: &mut impl Net, slot: Slot) {
        net.release(slot);
        self.connections.remove(&slot);
        self.broken += 1;
    }
}
