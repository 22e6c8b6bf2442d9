//! One connection: two byte-counted queues between the server's end and the far end.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;
use gateway_core::transmit::{Part, Sent};

use crate::extents::Extents;
use crate::rng::Rng;

/// How many bytes may be on their way in each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Windows {
    /// Bytes that the server has not read; a full window holds the client up.
    pub to_server: usize,
    /// Bytes that the client has not read; a full window blocks the server.
    pub to_client: usize,
}

impl Default for Windows {
    /// 16 KiB each way: a large message blocks several times, a small one hardly ever.
    fn default() -> Self {
        Self { to_server: 16 * 1024, to_client: 16 * 1024 }
    }
}

/// What the client's end sees of the connection, after all that it has read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// More may come.
    Open,
    /// The server ended its stream, and everything was read.
    Ended,
    /// The connection was cut: by this client, or by a server that closed with bytes unread.
    Reset,
}

/// The server's end of a connection; dropping it closes the connection.
///
/// As with a kernel, closing while received bytes are unread resets the connection, and what the
/// client had not read yet is lost.
#[derive(Debug)]
pub struct ServerEnd(pub(crate) Arc<Pipe>);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug)]
pub(crate) struct Pipe(Mutex<State>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) to_server: Queue,
    pub(crate) to_client: Queue,
    pub(crate) reset: bool,
    pub(crate) server_gone: bool,
    /// What the server sends is taken whole if it is no longer than this and fits.
    whole_bytes_max: usize,
    /// Wakes the shard that has the server's end.
    bell: Arc<AtomicWaker>,
    /// Tasks at the far end, waiting for the server to do something.
    waiting: Vec<Waker>,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) bytes: VecDeque<u8>,
    /// Bytes on the wire: before the queue towards the server, behind it towards the client.
    pub(crate) in_flight: usize,
    /// Whether the client counts its bytes, so that those in flight fill the window.
    counted: bool,
    window: usize,
    /// Whether the sender said that nothing follows.
    pub(crate) ended: bool,
}

impl Queue {
    fn new(window: usize) -> Self {
        assert!(window > 0, "a window of no bytes would never open");
        let bytes = VecDeque::new();
        Self { bytes, in_flight: 0, counted: false, window, ended: false }
    }

    /// What the sender may add.
    pub(crate) fn room(&self) -> usize {
        let in_flight = if self.counted { self.in_flight } else { 0 };
        self.space().saturating_sub(in_flight)
    }

    /// What the queue itself takes.
    pub(crate) fn space(&self) -> usize {
        self.window.saturating_sub(self.bytes.len())
    }
}

/// What the server's end does. Errors and outcomes are those that `Net` and `Transmit` name.
impl Pipe {
    pub(crate) fn new(windows: Windows, bell: Arc<AtomicWaker>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            to_server: Queue::new(windows.to_server),
            to_client: Queue::new(windows.to_client),
            reset: false,
            server_gone: false,
            whole_bytes_max: 0,
            bell,
            waiting: Vec::new(),
        })))
    }

    /// Whose task is woken from now on.
    pub(crate) fn attach(&self, bell: &Arc<AtomicWaker>) {
        self.lock().bell = Arc::clone(bell);
    }

    pub(crate) fn readable(&self) -> bool {
        let state = self.lock();
        !state.to_server.bytes.is_empty() || state.to_server.ended || state.reset
    }

    pub(crate) fn writable(&self) -> bool {
        let state = self.lock();
        // An error is news for a writer too, as with a kernel.
        state.to_client.room() > 0 || state.to_client.ended || state.reset
    }

    pub(crate) fn recv(&self, rng: &mut Rng, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "a read of no bytes would look like the end of the stream");
        let mut state = self.lock();
        let there = state.to_server.bytes.len();
        if there == 0 {
            return match (state.reset, state.to_server.ended) {
                (true, _) => Err(ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let count = rng.portion(there.min(buf.len()));
        for (place, byte) in buf.iter_mut().zip(state.to_server.bytes.drain(..count)) {
            *place = byte;
        }
        state.wake_far_end();
        Ok(count)
    }

    pub(crate) fn send(&self, rng: &mut Rng, parts: &[Part<'_>], extents: &Extents) -> Sent {
        let offered: usize = parts.iter().map(Part::len).sum();
        assert!(offered > 0, "what is sent is never empty");
        let mut state = self.lock();
        if state.reset || state.to_client.ended {
            return Sent::Broken;
        }
        let room = state.to_client.room();
        if room == 0 {
            return Sent::Blocked;
        }
        let whole = offered <= state.whole_bytes_max.min(room);
        let count = if whole { offered } else { rng.portion(offered.min(room)) };
        append(&mut state.to_client.bytes, parts, count, extents);
        state.wake_far_end();
        Sent::Wrote(count)
    }

    pub(crate) fn shutdown(&self) {
        let mut state = self.lock();
        state.to_client.ended = true;
        state.wake_far_end();
    }

    fn close(&self) {
        let mut state = self.lock();
        state.server_gone = true;
        state.to_client.ended = true;
        if !state.to_server.bytes.is_empty() {
            state.cut();
        }
        state.wake_far_end();
    }
}

/// What the far end does.
impl Pipe {
    /// Takes what fits of `bytes` and says how much that was.
    pub(crate) fn write(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        assert!(!state.to_server.ended, "a client that finished writes no more");
        if state.server_gone && !bytes.is_empty() {
            state.cut();
        }
        if state.reset {
            return 0;
        }
        let count = bytes.len().min(state.to_server.room());
        state.to_server.bytes.extend(&bytes[..count]);
        state.bell.wake();
        count
    }

    pub(crate) fn read(&self, bytes_max: usize) -> Vec<u8> {
        let mut state = self.lock();
        let count = bytes_max.min(state.to_client.bytes.len());
        let bytes = state.to_client.bytes.drain(..count).collect();
        state.bell.wake();
        bytes
    }

    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.to_server.ended = true;
        state.bell.wake();
    }

    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        state.cut();
        state.wake_far_end();
        state.bell.wake();
    }

    /// The client's own word on how much it takes unread.
    pub(crate) fn set_window_to_client(&self, window: usize) {
        assert!(window > 0, "a window of no bytes would never open");
        let mut state = self.lock();
        state.to_client.window = window;
        state.bell.wake();
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.lock();
        if state.reset {
            Seen::Reset
        } else if state.to_client.ended && state.to_client.bytes.is_empty() {
            Seen::Ended
        } else {
            Seen::Open
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only a far end does whose client is on another host.
impl Pipe {
    /// From now on the client counts what it writes and reads.
    pub(crate) fn count_in_flight(&self) {
        let mut state = self.lock();
        state.to_server.counted = true;
        state.to_client.counted = true;
    }

    /// From now on what is no longer than this is taken whole if it fits.
    pub(crate) fn take_whole(&self, bytes_max: usize) {
        self.lock().whole_bytes_max = bytes_max;
    }

    /// The client put `count` bytes onto the wire.
    pub(crate) fn depart(&self, count: usize) {
        self.lock().to_server.in_flight += count;
    }

    /// Bytes that the client wrote reached the server's queue, which has space for them.
    pub(crate) fn arrive(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let queue = &mut state.to_server;
        assert!(bytes.len() <= queue.space(), "no more is carried than there is space for");
        queue.bytes.extend(bytes);
        if queue.counted {
            let left = queue.in_flight.checked_sub(bytes.len());
            queue.in_flight = left.expect("what arrives departed before");
        }
        state.bell.wake();
    }

    /// The client read `count` bytes off the wire.
    pub(crate) fn acknowledge(&self, count: usize) {
        let mut state = self.lock();
        let left = state.to_client.in_flight.checked_sub(count);
        state.to_client.in_flight = left.expect("a client reads only what was sent to it");
        state.bell.wake();
    }

    /// Waits until `look` finds something; asks again after everything that the server does.
    pub(crate) fn poll_far_end<T>(
        &self,
        cx: &Context<'_>,
        look: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.lock();
        if let Some(found) = look(&mut state) {
            return Poll::Ready(found);
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    /// Nothing moves any more; only what the server's end received already can still be read.
    fn cut(&mut self) {
        self.reset = true;
        self.to_client.bytes.clear();
    }

    fn wake_far_end(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

/// Appends the first `count` bytes of `parts`.
fn append(queue: &mut VecDeque<u8>, parts: &[Part<'_>], mut count: usize, extents: &Extents) {
    for part in parts {
        let taken = part.len().min(count);
        count -= taken;
        match part {
            Part::Bytes(bytes) => queue.extend(&bytes[..taken]),
            Part::Stored { id, range } => {
                let from = usize::try_from(range.start).expect("an extent fits into memory");
                extents.read(*id, from..from + taken, |bytes| queue.extend(bytes));
            }
        }
    }
}
