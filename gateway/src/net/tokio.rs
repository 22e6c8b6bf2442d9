//! The shard's sockets wherever tokio runs: streams whose wakers feed one list of due slots.
//!
//! A plain scan of all slots would cost their number in every poll, so each slot has a waker
//! that puts it on a shared list and wakes the shard. A due slot is asked what it is ready for
//! and stays due as long as the answer is something it has interest in, that is until a
//! receive or send said `WouldBlock`; so it may be reported once more than there is to read.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use gateway_core::slot::{self, Slot};
use gateway_core::transmit::{Part, Sent, Transmit};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::listen::{
    self, ACCEPT_BATCH, Gate, OWN, Refusal, SHARED, canonical, incoming_cpu, refusal,
};
use super::places::Places;
use super::{Batch, Net, Ready};

/// Pieces handed to the system in one call, within every system's bound.
const PIECES_MAX: usize = 64;

/// One shard's sockets as tokio streams. Nothing is allocated per connection but tokio's own
/// registration; one poll reports each connection at most twice.
///
/// The shard is polled within [`tokio::task::unconstrained`]: otherwise tokio pretends after 128
/// ready sockets that the others are not, and each turn serves no more. A poll is to be followed
/// by others until one is pending, and between them the caller lets the runtime turn, which is
/// what finds new readiness. Stored parts are not for this one: nobody but Linux has a store.
#[derive(Debug)]
pub struct TokioNet {
    /// Where adopted connections are watched.
    runtime: Handle,
    /// The shared one and the shard's own; none is left once they are retired.
    listeners: [Option<TcpListener>; 2],
    /// Whether each listener is closed as soon as nobody waits there.
    retiring: bool,
    gate: Gate,
    places: Places,
    slots: Vec<Seat>,
    /// Slots to ask in the next poll, each once.
    due: Vec<Slot>,
    /// Swapped with the list of woken slots, so that neither is allocated anew.
    woken: Vec<Slot>,
    wakes: Arc<Wakes>,
}

impl TokioNet {
    /// Takes over a listener, in the context of a tokio runtime whose I/O and time
    /// drivers are on.
    ///
    /// # Errors
    /// If the runtime cannot watch the listener.
    ///
    /// # Panics
    /// Outside of such a runtime.
    pub fn new(listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            runtime: Handle::current(),
            listeners: [Some(TcpListener::from_std(listener)?), None],
            retiring: false,
            gate: Gate::new(),
            places: Places::default(),
            slots: Vec::new(),
            due: Vec::new(),
            woken: Vec::new(),
            wakes: Arc::default(),
        })
    }

    /// Takes over the listener of the shard's own port too, in the same context.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    ///
    /// # Panics
    /// Outside of such a runtime.
    pub fn with_own(mut self, listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        self.listeners[OWN] = Some(TcpListener::from_std(listener)?);
        Ok(self)
    }

    fn stream(&self, slot: Slot) -> Option<&TcpStream> {
        self.slots.get(slot.index())?.stream.as_ref()
    }

    fn accept(&mut self, which: usize, cx: &mut Context<'_>, out: &mut Batch) -> io::Result<()> {
        for _ in 0..ACCEPT_BATCH {
            let Some(listener) = &self.listeners[which] else { break };
            let Poll::Ready(accepted) = listener.poll_accept(cx) else {
                self.close_if_retiring(which, out);
                break;
            };
            let error = match accepted {
                Ok((stream, peer)) => {
                    self.admit(stream, peer, which, out);
                    continue;
                }
                Err(error) => error,
            };
            match refusal(&error) {
                Refusal::Skip => {}
                Refusal::Empty => break,
                Refusal::Pause => {
                    self.gate.pause(cx);
                    break;
                }
                Refusal::Broken => return Err(error),
            }
        }
        Ok(())
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, which: usize, out: &mut Batch) {
        #[cfg(not(all(target_os = "linux", not(weir_portable))))]
        let _ = stream.set_nodelay(true); // Fails only if the peer is gone.
        let cpu = incoming_cpu(&SockRef::from(&stream));
        let slot = self.places.take();
        self.occupy(slot, Some(stream));
        out.ready.push(Ready::Accepted { slot, peer: canonical(peer), cpu, own: which == OWN });
    }

    /// The runtime may not have heard yet of those who wait, so the system itself is asked.
    /// Whoever it cannot give for want of descriptors or memory is turned away.
    fn close_if_retiring(&mut self, which: usize, out: &mut Batch) {
        if !self.retiring {
            return;
        }
        let listener = self.listeners[which].take().map(TcpListener::into_std);
        let Some(Ok(listener)) = listener else { return };
        loop {
            let accepted = listener.accept().and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                let _context = self.runtime.enter();
                Ok((TcpStream::from_std(stream)?, peer))
            });
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, which, out),
                Err(error) if refusal(&error) == Refusal::Skip => {}
                Err(_) => return,
            }
        }
    }

    /// Puts a stream into a slot taken for it, with read interest, and makes it due.
    fn occupy(&mut self, slot: Slot, stream: Option<TcpStream>) {
        while self.slots.len() <= slot.index() {
            self.slots.push(Seat::new(Slot::from(self.slots.len()), &self.wakes));
        }
        let seat = &mut self.slots[slot.index()];
        seat.stream = stream;
        (seat.read, seat.write) = (true, false);
        self.add_due(slot);
    }

    fn add_due(&mut self, slot: Slot) {
        // A stream that has gone may still wake the slot that it was in.
        let Some(seat) = self.slots.get_mut(slot.index()) else { return };
        if !seat.due {
            seat.due = true;
            self.due.push(slot);
        }
    }

    /// Moves woken slots to those that are due.
    fn collect(&mut self, cx: &Context<'_>) {
        self.wakes.collect(cx.waker(), &mut self.woken);
        let mut woken = std::mem::take(&mut self.woken);
        for slot in woken.drain(..) {
            self.add_due(slot);
        }
        self.woken = woken;
    }

    fn report_lost(&self, out: &mut Batch) {
        let lost = self.places.lost().iter();
        let told = lost.filter(|slot| self.slots[slot.index()].read);
        out.ready.extend(told.map(|&slot| Ready::Readable(slot)));
    }
}

impl Net for TokioNet {
    type Socket = StdStream;

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
        let before = out.ready.len();
        self.places.turn();
        let mut open = self.gate.poll_open(cx);
        for which in [SHARED, OWN] {
            if open {
                self.accept(which, cx, out)?;
                // What is short for one listener is short for the other.
                open = self.gate.is_open();
            }
        }
        self.collect(cx);
        self.report_lost(out);
        let slots = &mut self.slots;
        self.due.retain(|&slot| slots[slot.index()].report(slot, out));
        if out.ready.len() > before { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "reading nothing looks like the end of the stream");
        let stream = self.stream(slot).ok_or(io::ErrorKind::NotConnected)?;
        uninterrupted(|| stream.try_read(buf))
    }

    fn interest(&mut self, slot: Slot, read: bool, write: bool) {
        let Some(seat) = self.slots.get_mut(slot.index()) else { return };
        let more = (read && !seat.read) || (write && !seat.write);
        (seat.read, seat.write) = (read, write);
        if more {
            seat.waker.wake_by_ref();
        }
    }

    fn shutdown(&mut self, slot: Slot) {
        if let Some(stream) = self.stream(slot) {
            // Fails only if the connection is gone, which reading it shows.
            let _ = SockRef::from(stream).shutdown(Shutdown::Write);
        }
    }

    fn accept_pauses(&self) -> u64 {
        self.gate.pauses()
    }

    fn accepting(&mut self, on: bool) {
        self.gate.switch(on);
        self.wakes.wake_shard();
    }

    fn retire(&mut self) {
        self.retiring = true;
        self.wakes.wake_shard();
    }

    fn is_retired(&self) -> bool {
        self.listeners.iter().all(Option::is_none)
    }

    fn vacant(&mut self) -> Slot {
        self.places.vacant()
    }

    fn adopt(&mut self, slot: Slot, socket: StdStream) {
        self.places.claim(slot);
        let context = self.runtime.enter();
        let adopted = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        drop(context);
        if adopted.is_err() {
            self.places.lose(slot);
        }
        self.occupy(slot, adopted.ok());
        self.wakes.wake_shard();
    }

    fn release(&mut self, slot: Slot) -> Option<StdStream> {
        let seat = self.slots.get_mut(slot.index())?;
        let stream = seat.stream.take();
        if stream.is_none() && !self.places.lost().contains(&slot) {
            return None;
        }
        self.places.release(slot);
        self.gate.resume();
        self.wakes.wake_shard();
        // Fails only if the runtime cannot let it go; then it is closed here.
        stream?.into_std().ok()
    }

    fn give_back(&mut self) {
        let end = self.places.cut();
        if end < self.slots.len() {
            self.due.retain(|slot| slot.index() < end);
            slot::cut(&mut self.slots, end);
            self.wakes.lock().cut(end);
        }
    }

    fn reset(&mut self, slot: Slot) {
        if let Some(socket) = self.release(slot) {
            listen::reset(socket);
        }
    }
}

impl Transmit for TokioNet {
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        debug_assert!(!bytes.is_empty(), "a send offers at least one byte");
        let Some(stream) = self.stream(slot) else { return Sent::Broken };
        sent(uninterrupted(|| stream.try_write(bytes)))
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        let Some(stream) = self.stream(slot) else { return Sent::Broken };
        let mut total = 0;
        // Until the system is full: only that is what `Wrote` of less than offered may mean.
        for pieces in parts.chunks(PIECES_MAX) {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(bytes(piece));
            }
            let offered: usize = pieces.iter().map(Part::len).sum();
            if offered == 0 {
                continue;
            }
            let slices = &slices[..pieces.len()];
            match sent(uninterrupted(|| stream.try_write_vectored(slices))) {
                Sent::Wrote(count) if count == offered => total += count,
                Sent::Wrote(count) => return Sent::Wrote(total + count),
                Sent::Blocked if total > 0 => return Sent::Wrote(total),
                Sent::Blocked => return Sent::Blocked,
                Sent::Broken => return Sent::Broken,
            }
        }
        assert!(total > 0, "parts hold at least one byte");
        Sent::Wrote(total)
    }
}

/// A slot with what it holds. Its waker stays when connections come and go, so that one left
/// with an earlier stream at worst asks a slot for nothing.
#[derive(Debug)]
struct Seat {
    stream: Option<TcpStream>,
    read: bool,
    write: bool,
    /// Whether the slot is on the list of those that are due.
    due: bool,
    waker: Waker,
}

impl Seat {
    fn new(slot: Slot, wakes: &Arc<Wakes>) -> Self {
        let waker = Waker::from(Arc::new(SlotWake { slot, wakes: Arc::clone(wakes) }));
        Self { stream: None, read: false, write: false, due: false, waker }
    }

    /// Reports what the slot is ready for; otherwise leaves its waker to tell. True if it stays
    /// due.
    fn report(&mut self, slot: Slot, out: &mut Batch) -> bool {
        let cx = &mut Context::from_waker(&self.waker);
        let (read, write) = match &self.stream {
            Some(stream) => (
                self.read && stream.poll_read_ready(cx).is_ready(),
                self.write && stream.poll_write_ready(cx).is_ready(),
            ),
            None => (false, false),
        };
        if read {
            out.ready.push(Ready::Readable(slot));
        }
        if write {
            out.ready.push(Ready::Writable(slot));
        }
        self.due = read || write;
        self.due
    }
}

/// Slots that were woken since the last poll, and whom to tell.
#[derive(Debug, Default)]
struct Wakes(Mutex<Woken>);

/// Written by wakers, on whichever thread drives the runtime; emptied by the shard.
#[derive(Debug, Default)]
struct Woken {
    slots: Vec<Slot>,
    /// For each slot, whether it is among `slots`.
    listed: Vec<bool>,
    shard: Option<Waker>,
}

impl Wakes {
    fn wake(&self, slot: Slot) {
        let shard = self.lock().list(slot);
        // Outside of the lock: waking may run code of the runtime that comes back here.
        if let Some(shard) = shard {
            shard.wake();
        }
    }

    fn wake_shard(&self) {
        let shard = self.lock().shard.take();
        if let Some(shard) = shard {
            shard.wake();
        }
    }

    /// Swaps the woken slots into `into`, which is empty. Whoever wakes from now on wakes `shard`.
    fn collect(&self, shard: &Waker, into: &mut Vec<Slot>) {
        let mut woken = self.lock();
        let woken = &mut *woken;
        std::mem::swap(&mut woken.slots, into);
        for slot in into {
            woken.listed[slot.index()] = false;
        }
        match &mut woken.shard {
            Some(known) => known.clone_from(shard),
            none => *none = Some(shard.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().expect("nothing panics while the list of woken slots is held")
    }
}

impl Woken {
    fn list(&mut self, slot: Slot) -> Option<Waker> {
        if self.listed.len() <= slot.index() {
            self.listed.resize(slot.index() + 1, false);
        }
        if !std::mem::replace(&mut self.listed[slot.index()], true) {
            self.slots.push(slot);
        }
        self.shard.take()
    }

    /// Forgets the slots from `end` on.
    fn cut(&mut self, end: usize) {
        self.slots.retain(|slot| slot.index() < end);
        slot::cut(&mut self.listed, end);
    }
}

/// What a slot's streams wake.
#[derive(Debug)]
struct SlotWake {
    slot: Slot,
    wakes: Arc<Wakes>,
}

impl Wake for SlotWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.wake(self.slot);
    }
}

fn bytes<'a>(part: &Part<'a>) -> &'a [u8] {
    match part {
        Part::Bytes(bytes) => bytes,
        Part::Stored { id, .. } => {
            panic!("a shard without a store was given the stored part {id:?}")
        }
    }
}

fn sent(result: io::Result<usize>) -> Sent {
    match result {
        Ok(count) => Sent::Wrote(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
        Err(_) => Sent::Broken,
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
