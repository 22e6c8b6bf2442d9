//! The bare server: one blocking epoll loop over an array of descriptors.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::{Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv};

use super::memfd::Memfd;
use super::uring::Uring;
use super::{ECHO, Preframed, send_whole};
use crate::frames;
use crate::upgrade::agree;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// What is read at once, a frame that was cut short before included.
const SCRATCH_BYTES: usize = 8 << 20;

/// What the listener's events carry instead of a descriptor.
const LISTENER: u64 = u64::MAX;

/// What everyone else in a room gets when a client sends messages.
pub(super) enum Answer {
    /// As many preframed ones.
    Preframed(Preframed),
    /// The same ones: what a gateway does, without bounds and care.
    Relay,
}

/// How bytes leave for everyone.
pub(super) enum Way {
    /// All messages in one `send`.
    Concat,
    /// A `send` for each message.
    Each,
    /// All messages in one SEND of an `io_uring`.
    Uring(Box<Uring>),
    /// All messages by one `sendfile`.
    Memfd(Memfd),
}

/// The index of those who only hear themselves.
const ECHOES: usize = 0;

/// The bare server.
pub(super) struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    answer: Answer,
    way: Way,
    /// Those who hear each other, after [`ECHOES`].
    rooms: Vec<Vec<OwnedFd>>,
    /// Indices of rooms by path: only looked at when somebody comes.
    paths: BTreeMap<String, usize>,
    /// By descriptor.
    clients: Vec<Client>,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

/// What is known of a descriptor.
#[derive(Default)]
struct Client {
    /// Itself, until its upgrade is over.
    waiting: Option<OwnedFd>,
    /// The room that it is in, and its index there.
    room: u32,
    place: u32,
    /// A request or a frame that is not complete yet.
    rest: Vec<u8>,
}

impl Floor {
    pub(super) fn new(listener: TcpListener, answer: Answer, way: Way) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        let event = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, event, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            answer,
            way,
            rooms: vec![Vec::new()],
            paths: BTreeMap::new(),
            clients: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            out: Vec::new(),
        })
    }

    /// Serves until it is ended from outside.
    ///
    /// # Errors
    /// If the kernel takes less than everything, or a client breaks the rules.
    pub(super) fn run(mut self) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), None))?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    descriptor => self.receive(descriptor as usize)?,
                }
            }
        }
    }

    /// Takes everyone who is there.
    fn accept(&mut self) -> Result<()> {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = match accept_with(&self.listener, flags) {
                Ok(fd) => fd,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => bail!("accepting a client: {errno}"),
            };
            set_tcp_nodelay(&fd, true)?;
            let descriptor = index(fd.as_raw_fd());
            let event = epoll::EventData::new_u64(descriptor as u64);
            epoll::add(&self.epoll, &fd, event, epoll::EventFlags::IN)?;
            if self.clients.len() <= descriptor {
                self.clients.resize_with(descriptor + 1, Client::default);
            }
            self.clients[descriptor] = Client { waiting: Some(fd), ..Client::default() };
        }
    }

    fn receive(&mut self, descriptor: usize) -> Result<()> {
        let client = &mut self.clients[descriptor];
        let (room, place) = (client.room as usize, client.place as usize);
        let fd = client.waiting.as_ref().unwrap_or_else(|| &self.rooms[room][place]);
        let held = client.rest.len();
        ensure!(held < SCRATCH_BYTES, "a frame of more than {SCRATCH_BYTES} bytes");
        self.scratch[..held].copy_from_slice(&client.rest);
        client.rest.clear();
        let read = match recv(fd, &mut self.scratch[held..], RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET | Errno::PIPE) => {
                self.forget(descriptor);
                return Ok(());
            }
            Ok((read, _)) => read,
            Err(errno) => bail!("reading from a client: {errno}"),
        };
        if client.waiting.is_some() {
            return self.upgrade(descriptor, held + read);
        }
        let filled = &mut self.scratch[..held + read];
        let relay = room == ECHOES || matches!(self.answer, Answer::Relay);
        let (count, used) = if relay {
            self.out.clear();
            reframe(filled, &mut self.out)?
        } else {
            count(filled)?
        };
        client.rest.extend_from_slice(&filled[used..]);
        match (count, room) {
            (0, _) => Ok(()),
            (_, ECHOES) => send_whole(fd, &self.out),
            _ => self.tell_others(room, place, count),
        }
    }

    /// Answers a request once it is whole, and puts its sender where it wants to be.
    fn upgrade(&mut self, descriptor: usize, filled: usize) -> Result<()> {
        let client = &mut self.clients[descriptor];
        let head = &self.scratch[..filled];
        if !head.ends_with(b"\r\n\r\n") {
            client.rest.extend_from_slice(head);
            return Ok(());
        }
        let (path, answer) = match str::from_utf8(head).map_err(Into::into).and_then(agree) {
            Ok(agreed) => agreed,
            Err(error) => {
                eprintln!("a client was refused: {error:#}");
                self.forget(descriptor);
                return Ok(());
            }
        };
        ensure!(path.starts_with("/ws/"), "{path} is not served here");
        let fd = client.waiting.take().expect("it is here until its upgrade is over");
        send_whole(&fd, answer.as_bytes())?;
        let next = self.rooms.len();
        let room = if path == ECHO { ECHOES } else { *self.paths.entry(path).or_insert(next) };
        if room == next {
            self.rooms.push(Vec::new());
        }
        self.rooms[room].push(fd);
        let client = &mut self.clients[descriptor];
        client.room = u32::try_from(room)?;
        client.place = u32::try_from(self.rooms[room].len() - 1)?;
        Ok(())
    }

    /// Sends what `count` messages of one member mean for the others.
    fn tell_others(&mut self, room: usize, place: usize, count: usize) -> Result<()> {
        let (before, rest) = self.rooms[room].split_at(place);
        let others = || before.iter().chain(&rest[1..]);
        let preframed = match &self.answer {
            Answer::Preframed(preframed) => preframed,
            Answer::Relay => return self.way.tell(others(), &self.out, self.out.len()),
        };
        let one = preframed.first(1)?.len();
        let mut left = count;
        while left > 0 {
            let some = left.min(preframed.count());
            self.way.tell(others(), preframed.first(some)?, one)?;
            left -= some;
        }
        Ok(())
    }

    /// Closes a connection; the last of its room takes its place.
    fn forget(&mut self, descriptor: usize) {
        let Client { waiting, room, place, .. } = std::mem::take(&mut self.clients[descriptor]);
        if waiting.is_some() {
            return;
        }
        let room = &mut self.rooms[room as usize];
        room.swap_remove(place as usize);
        if let Some(moved) = room.get(place as usize) {
            self.clients[index(moved.as_raw_fd())].place = place;
        }
    }
}

impl Way {
    /// Sends frames, each of `one` bytes, to all of them.
    fn tell<'a>(
        &mut self,
        mut others: impl Iterator<Item = &'a OwnedFd>,
        bytes: &[u8],
        one: usize,
    ) -> Result<()> {
        match self {
            Self::Concat => others.try_for_each(|fd| send_whole(fd, bytes)),
            Self::Each => others
                .try_for_each(|fd| bytes.chunks(one).try_for_each(|frame| send_whole(fd, frame))),
            Self::Uring(uring) => uring.send_all(others, bytes),
            Self::Memfd(memfd) => memfd.send_all(others, bytes),
        }
    }
}

/// How many messages are whole, and the bytes of them.
fn count(bytes: &mut [u8]) -> Result<(usize, usize)> {
    let mut count = 0;
    let used = frames::walk(bytes, |_, _| count += 1)?;
    Ok((count, used))
}

/// Appends the whole messages to `out` as a server frames them; counts as [`count`].
fn reframe(bytes: &mut [u8], out: &mut Vec<u8>) -> Result<(usize, usize)> {
    let mut count = 0;
    let used = frames::walk(bytes, |key, payload| {
        frames::mask(payload, key);
        frames::append_served(out, payload);
        count += 1;
    })?;
    Ok((count, used))
}

fn index(descriptor: RawFd) -> usize {
    usize::try_from(descriptor).expect("an open descriptor is not negative")
}
