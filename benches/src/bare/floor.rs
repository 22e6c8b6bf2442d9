//! The bare server: one blocking epoll loop over an array of descriptors.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::{Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};

use super::{ECHO, Preframed, accept, send_whole};
use crate::frames;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// What is read at once, a frame that was cut short before included.
const SCRATCH_BYTES: usize = 8 << 20;

/// What the listener's events carry instead of a descriptor.
const LISTENER: u64 = u64::MAX;

/// What everyone else in the array gets when a client sends messages.
pub(super) enum Answer {
    /// As many preframed ones, in one `send`.
    Concat(Preframed),
    /// As many preframed ones, in a `send` each.
    Each(Preframed),
    /// The same ones, in one `send`: what a gateway does, without rooms, bounds and care.
    Relay,
}

/// The bare server.
pub(super) struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    answer: Answer,
    /// Those who hear each other, and those who hear themselves.
    room: Vec<OwnedFd>,
    echoes: Vec<OwnedFd>,
    /// By descriptor.
    clients: Vec<Client>,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

/// What is known of a descriptor.
#[derive(Default)]
struct Client {
    echo: bool,
    /// Its index in the array that it is in.
    place: u32,
    /// A frame that is not complete yet.
    rest: Vec<u8>,
}

impl Floor {
    pub(super) fn new(listener: TcpListener, answer: Answer) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        let event = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, event, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            answer,
            room: Vec::new(),
            echoes: Vec::new(),
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

    fn accept(&mut self) -> Result<()> {
        let (stream, path) = match accept(&self.listener) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let echo = path == ECHO;
        ensure!(echo || path.starts_with("/ws/"), "{path} is not served here");
        let descriptor = index(stream.as_raw_fd());
        let event = epoll::EventData::new_u64(descriptor as u64);
        epoll::add(&self.epoll, &stream, event, epoll::EventFlags::IN)?;
        if self.clients.len() <= descriptor {
            self.clients.resize_with(descriptor + 1, Client::default);
        }
        let array = self.array(echo);
        array.push(stream.into());
        let place = array.len() as u32 - 1;
        self.clients[descriptor] = Client { echo, place, rest: Vec::new() };
        Ok(())
    }

    fn array(&mut self, echo: bool) -> &mut Vec<OwnedFd> {
        if echo { &mut self.echoes } else { &mut self.room }
    }

    fn receive(&mut self, descriptor: usize) -> Result<()> {
        let client = &mut self.clients[descriptor];
        let fd = if client.echo { &self.echoes } else { &self.room };
        let fd = &fd[client.place as usize];
        let held = client.rest.len();
        ensure!(held < SCRATCH_BYTES, "a frame of more than {SCRATCH_BYTES} bytes");
        self.scratch[..held].copy_from_slice(&client.rest);
        client.rest.clear();
        let read = match recv(fd, &mut self.scratch[held..], RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET | Errno::PIPE) => return self.forget(descriptor),
            Ok((read, _)) => read,
            Err(errno) => bail!("reading from a client: {errno}"),
        };
        let filled = &mut self.scratch[..held + read];
        let relay = client.echo || matches!(self.answer, Answer::Relay);
        let (count, used) = if relay {
            self.out.clear();
            reframe(filled, &mut self.out)?
        } else {
            count(filled)?
        };
        client.rest.extend_from_slice(&filled[used..]);
        if count == 0 {
            return Ok(());
        }
        if client.echo {
            return send_whole(fd, &self.out);
        }
        let place = client.place as usize;
        self.tell_others(place, count)
    }

    /// Sends what `count` messages of one member mean for the others.
    fn tell_others(&self, place: usize, count: usize) -> Result<()> {
        let (before, rest) = self.room.split_at(place);
        let others = || before.iter().chain(&rest[1..]);
        let (bytes, times) = match &self.answer {
            Answer::Concat(preframed) => (preframed.first(count)?, 1),
            Answer::Each(preframed) => (preframed.first(1)?, count),
            Answer::Relay => (&self.out[..], 1),
        };
        for fd in others() {
            for _ in 0..times {
                send_whole(fd, bytes)?;
            }
        }
        Ok(())
    }

    /// Closes a connection; the last of its array takes its place.
    fn forget(&mut self, descriptor: usize) -> Result<()> {
        let Client { echo, place, .. } = self.clients[descriptor];
        let array = self.array(echo);
        array.swap_remove(place as usize);
        let moved = array.get(place as usize).map(|fd| index(fd.as_raw_fd()));
        if let Some(moved) = moved {
            self.clients[moved].place = place;
        }
        self.clients[descriptor] = Client::default();
        Ok(())
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
