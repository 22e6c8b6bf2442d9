//! The shard's sockets on Linux: one descriptor per slot, one epoll inside one tokio `AsyncFd`.
//!
//! The epoll is level-triggered: readiness is reported as long as it lasts. A slot with neither
//! interest stays registered for nothing; the kernel adds EPOLLERR and EPOLLHUP to every
//! registration, which would report a dead connection for ever, so this one is a one-shot: it
//! fires at most once, is not passed on, and is armed again when interest comes back. With an
//! interest on, an error or hang-up is told to whichever is: reading it or writing to it then
//! shows what happened, and the shard lets the slot go.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use gateway_core::slot::{self, Slot};
use gateway_core::transmit::{Part, Sent, Transmit};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, SocketFlags,
    acceptfrom_with, recv, send, sendmsg, shutdown,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::listen::{
    self, ACCEPT_BATCH, Gate, OWN, Refusal, SHARED, canonical, incoming_cpu, refusal,
};
use super::memfd::Extents;
use super::places::Places;
use super::tee::Tee;
use super::{Batch, Net, Ready};

/// Events taken from the kernel in one poll; the kernel reports the rest first next time.
const EVENTS_MAX: usize = 1024;

/// Pieces handed to the kernel in one call, far below its bound of 1024.
const PIECES_MAX: usize = 64;

/// What the listeners' events carry instead of a slot: this and the one after, which no slot is.
const LISTENERS: u64 = 1 << 32;

/// Bits of a slot's interest: what it is to be.
const READ: u8 = 1;
const WRITE: u8 = 2;
const ASKED: u8 = READ | WRITE;
/// How many bits to the left of these is what the kernel knows.
const KNOWN: u8 = 2;
/// Whether the slot is among those whose interest may have changed.
const CHANGED: u8 = 16;

const ACCEPT: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

// What the documentation below promises about memory.
const _: () = assert!(size_of::<Option<OwnedFd>>() == 4);

type Accepted = (OwnedFd, Option<SocketAddrAny>);

/// One shard's sockets behind one epoll: five bytes and a bit per slot, no allocation once the
/// arrays have grown, and one system call to send or receive.
///
/// A poll is to be followed by others until one is pending; only then is the waker registered.
/// Between them the caller lets the runtime turn, or its timers starve.
pub struct EpollNet {
    epoll: AsyncFd<OwnedFd>,
    /// The shared one and the shard's own; none is left once they are retired.
    listeners: [Option<TcpListener>; 2],
    /// Whether each listener is closed as soon as nobody waits there.
    retiring: bool,
    /// Whether the listeners' readiness is asked for: what `gate` said last.
    armed: bool,
    gate: Gate,
    places: Places,
    sockets: Vec<Option<OwnedFd>>,
    interests: Vec<u8>,
    /// Slots whose interest the kernel may have to be told.
    changed: Vec<Slot>,
    events: Vec<epoll::Event>,
    extents: Option<Arc<dyn Extents>>,
    tee: Tee,
}

impl EpollNet {
    /// Takes over a listener, in the context of a tokio runtime whose I/O and time
    /// drivers are on.
    ///
    /// # Errors
    /// If the system has no descriptor or memory for the epoll.
    ///
    /// # Panics
    /// Outside of such a runtime.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, &listener, SHARED)?;
        // tokio's safe constructors are deprecated as unsound: they accept any `AsRawFd`, which
        // may answer with a closed or another descriptor later, while `AsyncFd` borrows it.
        // SAFETY: an `OwnedFd` is open until dropped and always answers with the same
        // descriptor. The `AsyncFd` owns it; nothing here calls `get_mut` or `into_inner`, and
        // the field is never assigned again, so that it stays the same until both are dropped.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }?;
        Ok(Self {
            epoll,
            listeners: [Some(listener), None],
            retiring: false,
            armed: true,
            gate: Gate::new(),
            places: Places::default(),
            sockets: Vec::new(),
            interests: Vec::new(),
            changed: Vec::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            extents: None,
            tee: Tee::default(),
        })
    }

    /// Takes over the listener of the shard's own port too.
    ///
    /// # Errors
    /// If the system has no memory to watch it.
    pub fn with_own(mut self, listener: TcpListener) -> io::Result<Self> {
        watch(self.epoll.get_ref(), &listener, OWN)?;
        self.listeners[OWN] = Some(listener);
        Ok(self)
    }

    /// Says where stored parts are sent from.
    #[must_use]
    pub fn with_extents(mut self, extents: Arc<dyn Extents>) -> Self {
        self.extents = Some(extents);
        self
    }

    fn socket(&self, slot: Slot) -> Option<BorrowedFd<'_>> {
        self.sockets.get(slot.index())?.as_ref().map(AsFd::as_fd)
    }

    /// Makes the listeners' registrations follow the gate.
    fn arm(&mut self) {
        let open = self.gate.is_open();
        if std::mem::replace(&mut self.armed, open) == open {
            return;
        }
        let interest = if open { READ } else { 0 };
        for (data, listener) in (LISTENERS..).zip(&self.listeners) {
            if let Some(listener) = listener {
                modify(&self.epoll, listener.as_fd(), data, interest);
            }
        }
    }

    /// Makes the registrations follow what is asked for. What was off and on again in a turn, as
    /// for who waited for its room no longer, costs nothing.
    fn tell_interests(&mut self) {
        let mut changed = std::mem::take(&mut self.changed);
        for slot in changed.drain(..) {
            let Some(&known) = self.interests.get(slot.index()) else { continue };
            let asked = known & ASKED;
            self.interests[slot.index()] = asked << KNOWN | asked;
            if let Some(socket) = self.socket(slot)
                && known >> KNOWN & ASKED != asked
            {
                modify(&self.epoll, socket, slot.0.into(), asked);
            }
        }
        self.changed = changed;
    }

    /// Turns the kernel's events into what the turn understands.
    fn report(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> io::Result<()> {
        for index in 0..self.events.len() {
            let epoll::Event { flags, data } = self.events[index];
            if let Some(which) = data.u64().checked_sub(LISTENERS) {
                self.accept(which as usize, cx, out)?;
                continue;
            }
            let slot = Slot::from(data.u64() as usize);
            let interest = self.interests[slot.index()];
            let over = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            if interest & READ != 0 && (over || flags.contains(epoll::EventFlags::IN)) {
                out.ready.push(Ready::Readable(slot));
            }
            if interest & WRITE != 0 && (over || flags.contains(epoll::EventFlags::OUT)) {
                out.ready.push(Ready::Writable(slot));
            }
        }
        Ok(())
    }

    fn accept(&mut self, which: usize, cx: &mut Context<'_>, out: &mut Batch) -> io::Result<()> {
        for _ in 0..ACCEPT_BATCH {
            // What is short for one listener is short for the other.
            if !self.gate.is_open() {
                break;
            }
            let Some(listener) = &self.listeners[which] else { break };
            let accepted = acceptfrom_with(listener, ACCEPT).map_err(io::Error::from);
            let Err(error) = accepted.and_then(|it| self.admit(it, which, out)) else { continue };
            match refusal(&error) {
                Refusal::Skip => {}
                Refusal::Empty => {
                    self.close_if_retiring(which);
                    break;
                }
                Refusal::Pause => {
                    self.gate.pause(cx);
                    self.arm();
                }
                Refusal::Broken => return Err(error),
            }
        }
        Ok(())
    }

    fn close_if_retiring(&mut self, which: usize) {
        if self.retiring
            && let Some(listener) = self.listeners[which].take()
        {
            epoll::delete(&self.epoll, &listener).expect("an open listener is registered");
        }
    }

    fn admit(&mut self, accepted: Accepted, which: usize, out: &mut Batch) -> io::Result<()> {
        let (socket, peer) = accepted;
        // A client that is gone already may have no address left.
        let peer = peer.and_then(|peer| peer.try_into().ok()).ok_or(Errno::CONNABORTED)?;
        let cpu = incoming_cpu(&SockRef::from(&socket));
        let slot = self.places.take();
        self.make_room(slot);
        if let Err(error) = self.occupy(slot, socket) {
            self.places.release(slot);
            return Err(error);
        }
        out.ready.push(Ready::Accepted { slot, peer: canonical(peer), cpu, own: which == OWN });
        Ok(())
    }

    /// Prepares a slot that was taken, with read interest.
    fn make_room(&mut self, slot: Slot) {
        let index = slot.index();
        if index >= self.sockets.len() {
            self.sockets.resize_with(index + 1, || None);
            self.interests.resize(index + 1, 0);
        }
        self.interests[index] = READ << KNOWN | READ;
    }

    /// Puts a socket into a slot prepared for it; on error it is closed.
    fn occupy(&mut self, slot: Slot, socket: OwnedFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(slot.0.into());
        epoll::add(&self.epoll, &socket, data, flags(READ))?;
        self.sockets[slot.index()] = Some(socket);
        Ok(())
    }

    fn report_lost(&self, out: &mut Batch) {
        let lost = self.places.lost().iter();
        let told = lost.filter(|slot| self.interests[slot.index()] & READ != 0);
        out.ready.extend(told.map(|&slot| Ready::Readable(slot)));
    }
}

impl Net for EpollNet {
    type Socket = TcpStream;

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
        let before = out.ready.len();
        self.tell_interests();
        self.tee.clear();
        self.places.turn();
        if self.gate.poll_open(cx) != self.armed {
            self.arm();
        }
        if self.retiring {
            for which in [SHARED, OWN] {
                self.accept(which, cx, out)?;
            }
        }
        self.report_lost(out);
        loop {
            // tokio watches the epoll edge-triggered: sleeping is safe only once the epoll had
            // nothing, after which the next event is an edge. Hence its readiness is cleared only
            // then (a hang was seen otherwise), and only what was known before asking: an event
            // that came meanwhile, on another thread's driver, must not be forgotten.
            let readiness = self.epoll.poll_read_ready(cx)?;
            self.events.clear();
            wait(self.epoll.get_ref(), &mut self.events)?;
            if self.events.is_empty()
                && let Poll::Ready(mut guard) = readiness
            {
                guard.clear_ready();
                if self.epoll.poll_read_ready(cx)?.is_ready() {
                    continue;
                }
            }
            self.report(cx, out)?;
            if out.ready.len() > before {
                return Poll::Ready(Ok(()));
            }
            if self.events.is_empty() {
                return Poll::Pending;
            }
        }
    }

    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "reading nothing looks like the end of the stream");
        let socket = self.socket(slot).ok_or(io::ErrorKind::NotConnected)?;
        let (count, _) = retry_on_intr(|| recv(socket, &mut *buf, RecvFlags::DONTWAIT))?;
        Ok(count)
    }

    fn interest(&mut self, slot: Slot, read: bool, write: bool) {
        let Some(known) = self.interests.get_mut(slot.index()) else { return };
        let asked = if read { READ } else { 0 } | if write { WRITE } else { 0 };
        *known = *known & !ASKED | asked;
        if *known >> KNOWN & ASKED != asked && *known & CHANGED == 0 {
            *known |= CHANGED;
            self.changed.push(slot);
        }
    }

    fn shutdown(&mut self, slot: Slot) {
        if let Some(socket) = self.socket(slot) {
            // Fails only if the connection is gone, which reading it shows.
            let _ = shutdown(socket, Shutdown::Write);
        }
    }

    fn accept_pauses(&self) -> u64 {
        self.gate.pauses()
    }

    fn accepting(&mut self, on: bool) {
        self.gate.switch(on);
        self.arm();
    }

    fn retire(&mut self) {
        self.retiring = true;
    }

    fn is_retired(&self) -> bool {
        self.listeners.iter().all(Option::is_none)
    }

    fn vacant(&mut self) -> Slot {
        self.places.vacant()
    }

    fn adopt(&mut self, slot: Slot, socket: TcpStream) {
        self.places.claim(slot);
        self.make_room(slot);
        // `sendfile` knows no flag for a single call.
        let adopted = socket.set_nonblocking(true).and_then(|()| self.occupy(slot, socket.into()));
        if adopted.is_err() {
            self.places.lose(slot);
        }
    }

    fn release(&mut self, slot: Slot) -> Option<TcpStream> {
        let socket = self.sockets.get_mut(slot.index()).and_then(Option::take);
        if socket.is_none() && !self.places.lost().contains(&slot) {
            return None;
        }
        self.interests[slot.index()] = 0;
        self.places.release(slot);
        self.gate.resume();
        self.arm();
        let socket = socket?;
        // It may live on in another shard, whose epoll is another.
        epoll::delete(&self.epoll, &socket).expect("an occupied slot's socket is registered");
        Some(socket.into())
    }

    fn give_back(&mut self) {
        let end = self.places.cut();
        slot::cut(&mut self.sockets, end);
        slot::cut(&mut self.interests, end);
    }

    fn reset(&mut self, slot: Slot) {
        if let Some(socket) = self.release(slot) {
            listen::reset(socket);
        }
    }
}

impl Transmit for EpollNet {
    #[inline]
    fn send(&mut self, slot: Slot, bytes: &[u8]) -> Sent {
        debug_assert!(!bytes.is_empty(), "a send offers at least one byte");
        let Some(socket) = self.socket(slot) else { return Sent::Broken };
        sent(retry_on_intr(|| send(socket, bytes, SEND)))
    }

    fn send_parts(&mut self, slot: Slot, parts: &[Part<'_>]) -> Sent {
        let socket = self.sockets.get(slot.index()).and_then(Option::as_ref);
        let Some(socket) = socket.map(AsFd::as_fd) else { return Sent::Broken };
        let mut rest = parts;
        let mut total = 0;
        // Until the kernel is full: only that is what `Wrote` of less than offered may mean.
        while let Some((run, tail)) = next_run(rest) {
            let offered: usize = run.iter().map(Part::len).sum();
            let outcome = match run {
                [Part::Stored { id, range }] => {
                    let extents = self.extents.as_ref();
                    let extents = extents.expect("a shard that sends stored parts has a store");
                    // What was begun goes on alone; a beginning is most often everybody's.
                    let whole = (range.start == 0).then_some((*id, range.end));
                    let teed = whole.and_then(|it| self.tee.send(&**extents, it, socket));
                    let result =
                        teed.unwrap_or_else(|| extents.send_range(*id, range.clone(), socket));
                    sent(result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)))
                }
                // What follows from the store shall not find its header gone ahead in a packet.
                pieces if tail.is_empty() => sent(send_pieces(socket, pieces, SEND)),
                pieces => sent(send_pieces(socket, pieces, SEND.union(SendFlags::MORE))),
            };
            match outcome {
                Sent::Wrote(count) if count == offered => total += count,
                Sent::Wrote(count) => return Sent::Wrote(total + count),
                Sent::Blocked if total > 0 => return Sent::Wrote(total),
                Sent::Blocked => return Sent::Blocked,
                Sent::Broken => return Sent::Broken,
            }
            rest = tail;
        }
        assert!(total > 0, "parts hold at least one byte");
        Sent::Wrote(total)
    }
}

impl fmt::Debug for EpollNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpollNet")
            .field("listeners", &self.listeners)
            .field("places", &self.places)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// Splits off what one system call sends: one stored part, or as many pieces of memory as come
/// before the next. `None` when nothing is left but empty parts.
fn next_run<'p, 'b>(parts: &'p [Part<'b>]) -> Option<(&'p [Part<'b>], &'p [Part<'b>])> {
    let first = parts.iter().position(|part| !part.is_empty())?;
    let parts = &parts[first..];
    let pieces = parts.iter().take(PIECES_MAX);
    let pieces = pieces.take_while(|part| matches!(part, Part::Bytes(_))).count();
    Some(parts.split_at(pieces.max(1)))
}

fn send_pieces(
    socket: BorrowedFd<'_>,
    pieces: &[Part<'_>],
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        if let Part::Bytes(bytes) = piece {
            *slice = IoSlice::new(bytes);
        }
    }
    let slices = &slices[..pieces.len()];
    retry_on_intr(|| sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags))
}

fn sent(result: rustix::io::Result<usize>) -> Sent {
    match result {
        Ok(count) => Sent::Wrote(count),
        Err(Errno::AGAIN) => Sent::Blocked,
        Err(_) => Sent::Broken,
    }
}

/// Registers one of the shard's listeners.
fn watch(epoll: &OwnedFd, listener: &TcpListener, which: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let data = epoll::EventData::new_u64(LISTENERS + which as u64);
    Ok(epoll::add(epoll, listener, data, flags(READ))?)
}

/// Takes what is ready now, without waiting, into the buffer's spare room.
fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>) -> rustix::io::Result<usize> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| epoll::wait(epoll, spare_capacity(events), Some(&now)))
}

fn modify(epoll: &AsyncFd<OwnedFd>, socket: BorrowedFd<'_>, data: u64, interest: u8) {
    let data = epoll::EventData::new_u64(data);
    // It needs no memory: epoll_ctl(2) lets it fail only for a socket that is not registered.
    epoll::modify(epoll, socket, data, flags(interest)).expect("the socket is registered");
}

fn flags(interest: u8) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, interest & READ != 0);
    flags.set(epoll::EventFlags::OUT, interest & WRITE != 0);
    flags.set(epoll::EventFlags::ONESHOT, interest == 0);
    flags
}
