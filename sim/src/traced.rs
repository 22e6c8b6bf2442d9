//! A network that remembers: all that passes the seam, folded into one number.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use gateway::net::{Batch, Net, Ready};
use gateway_core::slot::Slot;
use gateway_core::transmit::{Part, Sent, Transmit};

/// What a [`Trace`] keeps besides its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceOptions {
    /// How many of the last events stay readable, for a failure's report.
    pub lines_max: usize,
    /// Whether facts are kept, so that a reference can be derived from them.
    pub keep_facts: bool,
}

/// Names one of all connections that a network ever held.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId {
    /// Its slot.
    pub slot: Slot,
    /// Which connection of that slot, counted from 1.
    pub generation: u32,
}

/// What a reference builds on: all that came in, and what became of it at the seam.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// A poll found something to do: another turn.
    Polled,
    /// A connection was accepted.
    Accepted {
        /// Its name.
        connection: ConnectionId,
        /// Where it comes from.
        peer: SocketAddr,
    },
    /// One call received bytes; none stands for the end of the stream.
    Received {
        /// From whom.
        connection: ConnectionId,
        /// What was received.
        bytes: Vec<u8>,
    },
    /// The connection's window was full: a send passed nothing.
    Blocked {
        /// Whose.
        connection: ConnectionId,
    },
    /// New connections are accepted from now on, or no longer.
    Accepting(bool),
}

/// How often something happened that a campaign wants to have seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Sends of which a part was taken.
    pub short_sends: u64,
    /// Sends of which nothing was taken.
    pub blocked_sends: u64,
    /// Ranges of stored extents that were sent.
    pub stored_parts: u64,
}

/// The record of a run, shared with its [`Traced`] network and readable after the run.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<Record>>);

#[derive(Debug)]
struct Record {
    options: TraceOptions,
    hash: u64,
    events: u64,
    lines: VecDeque<String>,
    line: String,
    facts: Vec<Fact>,
    tally: Tally,
    generations: Vec<u32>,
}

impl Trace {
    fn new(options: TraceOptions) -> Self {
        Self(Arc::new(Mutex::new(Record {
            options,
            hash: FNV_OFFSET,
            events: 0,
            lines: VecDeque::new(),
            line: String::new(),
            facts: Vec::new(),
            tally: Tally::default(),
            generations: Vec::new(),
        })))
    }

    /// FNV-1a over every event so far: its text, as in [`lines`](Self::lines), and its bytes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    /// All facts, in the order of the calls over all slots; none unless they are kept.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        self.lock().facts.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Record {
    /// Folds one event: what its text says, which includes all lengths and results, and the bytes
    /// that passed.
    fn note<'a>(&mut self, event: Arguments<'_>, pieces: impl IntoIterator<Item = &'a [u8]>) {
        self.events += 1;
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.write_fmt(event).expect("a string takes all text");
        self.fold(line.as_bytes());
        // Not part of any text, so that text and bytes cannot be mistaken for one another.
        self.fold(&[0xff]);
        for piece in pieces {
            self.fold(piece);
        }
        if self.options.lines_max > 0 {
            if self.lines.len() == self.options.lines_max {
                self.lines.pop_front();
            }
            self.lines.push_back(line.clone());
        }
        self.line = line;
    }

    fn fold(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }

    fn ready(&mut self, ready: &Ready) {
        match ready {
            Ready::Accepted { slot, peer, cpu, own: _ } => {
                let connection = self.begin(*slot);
                self.keep(|| Fact::Accepted { connection, peer: *peer });
                self.note(format_args!("accepted {slot} from {peer} on {cpu:?}"), []);
            }
            Ready::Readable(slot) => self.note(format_args!("readable {slot}"), []),
            Ready::Writable(slot) => self.note(format_args!("writable {slot}"), []),
        }
    }

    /// Another connection has this slot from now on.
    fn begin(&mut self, slot: Slot) -> ConnectionId {
        if self.generations.len() <= slot.index() {
            self.generations.resize(slot.index() + 1, 0);
        }
        self.generations[slot.index()] += 1;
        ConnectionId { slot, generation: self.generations[slot.index()] }
    }

    /// The latest connection of a slot; of generation 0 if there was none.
    fn connection(&self, slot: Slot) -> ConnectionId {
        let generation = self.generations.get(slot.index()).copied().unwrap_or(0);
        ConnectionId { slot, generation }
    }

    fn keep(&mut self, fact: impl FnOnce() -> Fact) {
        if self.options.keep_facts {
            self.facts.push(fact());
        }
    }

    fn count(&mut self, slot: Slot, sent: Sent, offered: usize) {
        match sent {
            Sent::Wrote(count) => self.tally.short_sends += u64::from(count < offered),
            Sent::Blocked => {
                self.tally.blocked_sends += 1;
                let connection = self.connection(slot);
                self.keep(|| Fact::Blocked { connection });
            }
            Sent::Broken => {}
        }
    }
}

/// Wraps any network and records, in the order of the calls, all that passes.
///
/// Polls that found nothing leave no trace: how often a task is woken for nothing is no part of
/// what happened. The bytes of stored parts are covered by their id and range.
#[derive(Debug)]
pub struct Traced<N> {
    net: N,
    trace: Trace,
}

impl<N> Traced<N> {
    /// Wraps `net`; the trace stays readable when the network is gone.
    pub fn new(net: N, options: TraceOptions) -> (Self, Trace) {
        let trace = Trace::new(options);
        (Self { net, trace: trace.clone() }, trace)
    }

    fn note(&self, event: Arguments<'_>) {
        self.trace.lock().note(event, []);
    }
}

impl<N: Net> Net for Traced<N> {
    type Socket = N::Socket;

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
        let before = out.ready.len();
        let outcome = self.net.poll(cx, out);
        let mut record = self.trace.lock();
        if out.ready.len() > before {
            record.keep(|| Fact::Polled);
        }
        for ready in &out.ready[before..] {
            record.ready(ready);
        }
        if let Poll::Ready(Err(error)) = &outcome {
            record.note(format_args!("poll failed: {:?}", error.kind()), []);
        }
        outcome
    }

    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
        let offered = buf.len();
        let outcome = self.net.recv(slot, buf);
        let mut record = self.trace.lock();
        match &outcome {
            Ok(count) => {
                let bytes = &buf[..*count];
                record.note(format_args!("recv {slot}: {count} of {offered}"), [bytes]);
                let connection = record.connection(slot);
                record.keep(|| Fact::Received { connection, bytes: bytes.to_vec() });
            }
            Err(error) => {
                record.note(format_args!("recv {slot}: {:?} of {offered}", error.kind()), []);
            }
        }
        outcome
    }

    fn interest(&mut self, slot: Slot, read: bool, write: bool) {
        self.note(format_args!("interest {slot}: read {read}, write {write}"));
        self.net.interest(slot, read, write);
    }

    fn shutdown(&mut self, slot: Slot) {
        self.note(format_args!("shutdown {slot}"));
        self.net.shutdown(slot);
    }

    fn accepting(&mut self, on: bool) {
        self.note(format_args!("accepting {on}"));
        self.trace.lock().keep(|| Fact::Accepting(on));
        self.net.accepting(on);
    }

    fn accept_pauses(&self) -> u64 {
        self.net.accept_pauses()
    }

    fn retire(&mut self) {
        self.note(format_args!("retire"));
        self.trace.lock().keep(|| Fact::Accepting(false));
        self.net.retire();
    }

    fn is_retired(&self) -> bool {
        self.net.is_retired()
    }

    fn give_back(&mut self) {
        self.net.give_back();
    }

    fn vacant(&mut self) -> Slot {
        self.net.vacant()
    }

    fn adopt(&mut self, slot: Slot, socket: Self::Socket) {
        self.trace.lock().begin(slot);
        self.note(format_args!("adopt {slot}"));
        self.net.adopt(slot, socket);
    }

    fn release(&mut self, slot: Slot) -> Option<Self::Socket> {
        let socket = self.net.release(slot);
        self.note(format_args!("release {slot}: {}", socket.is_some()));
        socket
    }
}

impl<N: Transmit> Transmit for Traced<N> {
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        let sent = self.net.send(slot, bytes);
        let offered = bytes.len();
        let passed = &bytes[..wrote(sent)];
        let mut record = self.trace.lock();
        record.note(format_args!("send {slot}: {sent:?} of {offered}"), [passed]);
        record.count(slot, sent, offered);
        drop(record);
        sent
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        let sent = self.net.send_parts(slot, parts);
        let mut record = self.trace.lock();
        let (count, offered) = (parts.len(), parts.iter().map(Part::len).sum::<usize>());
        record.note(format_args!("send {slot}: {sent:?} of {offered} in {count} parts"), []);
        record.count(slot, sent, offered);
        let mut left = wrote(sent);
        for part in parts {
            let passed = part.len().min(left);
            left -= passed;
            if passed == 0 {
                continue;
            }
            match part {
                Part::Bytes(bytes) => {
                    record.note(format_args!("part {passed}"), [&bytes[..passed]]);
                }
                Part::Stored { id, range } => {
                    record.tally.stored_parts += 1;
                    record.note(format_args!("part {passed} of {id:?} from {}", range.start), []);
                }
            }
        }
        sent
    }

    fn hint(&mut self, slot: Slot) {
        self.net.hint(slot);
    }
}

fn wrote(sent: Sent) -> usize {
    match sent {
        Sent::Wrote(count) => count,
        Sent::Blocked | Sent::Broken => 0,
    }
}

#[cfg(test)]
mod tests;
