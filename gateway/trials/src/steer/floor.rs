//! What no gateway can outdo: a listener and a bare epoll loop on each CPU, which answer visitors
//! with the very bytes that they expect and know nothing else of WebSockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};

use super::bed::{Bed, Side};
use super::{team, tools, visitor};

/// The word that makes this program the floor.
pub(super) const VERB: &str = "floor";
/// What it says when clients may come.
const READY: &str = "listening";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Events that are taken at a time.
const EVENTS: usize = 64;
/// Bytes that are taken at a time: more than a request, or many messages.
const READ_BYTES: usize = 16 * 1024;
/// Bytes of a request that are waited for: more than a visitor's has.
const REQUEST_BYTES_MAX: usize = 4096;

/// What the floor's process takes.
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// Where it listens
    #[arg(long)]
    addr: SocketAddr,
    /// Tell the kernel to give each listener the connections of its own CPU
    #[arg(long)]
    incoming_cpu: bool,
}

/// Its process in the gateway's namespace; ended when dropped.
#[derive(Debug)]
pub(super) struct Floor {
    child: Child,
}

impl Floor {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// If it does not; what it said stands above.
    pub(super) fn start(bed: &Bed, addr: SocketAddr, incoming_cpu: bool) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find the path of this program")?;
        let mut command = tools::command("ip");
        command.args(["netns", "exec", bed.name(Side::Gateway)]).arg(program);
        command.args([VERB, "--addr", &addr.to_string()]);
        command.args(incoming_cpu.then_some("--incoming-cpu"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut floor = Self { child: command.spawn().context("cannot start the floor")? };
        let out = floor.child.stdout.take().expect("it is piped");
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said)?;
        ensure!(said.trim_end() == READY, "the floor does not listen");
        Ok(floor)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What its process does: serves until its standard input ends, and so with who started it.
///
/// # Errors
/// If it cannot listen.
pub(super) fn main(flags: &Flags) -> Result<()> {
    serve(flags.addr, flags.incoming_cpu)?;
    let mut out = std::io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new()).context("no pipe to wait at")?;
    Ok(())
}

/// Listens, and serves with a thread on each CPU for as long as this process runs.
fn serve(addr: SocketAddr, incoming_cpu: bool) -> Result<()> {
    let cpus = team::cpus()?;
    // All are there before the first connection, or the first listener would have them all.
    let listeners: Vec<_> = cpus
        .iter()
        .map(|&cpu| listener(addr, incoming_cpu.then_some(cpu)).context("it cannot listen"))
        .collect::<Result<_>>()?;
    for (cpu, listener) in cpus.into_iter().zip(listeners) {
        thread::spawn(move || -> Result<()> {
            team::pin(cpu)?;
            Desk::open(listener)?.work()
        });
    }
    Ok(())
}

fn listener(addr: SocketAddr, cpu: Option<usize>) -> Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &addr)?;
    if let Some(cpu) = cpu {
        sockopt::set_socket_incoming_cpu(&socket, u32::try_from(cpu)?)?;
    }
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// One thread's listener and connections.
struct Desk {
    listener: OwnedFd,
    epoll: OwnedFd,
    /// Each at the number of its descriptor.
    guests: Vec<Option<Guest>>,
    scratch: Vec<u8>,
}

/// A connection.
struct Guest {
    socket: OwnedFd,
    /// What came of its request; none once that was answered.
    request: Option<Vec<u8>>,
    /// Bytes of a message that has not come as a whole.
    begun: usize,
}

impl Desk {
    fn open(listener: OwnedFd) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        watch(&epoll, &listener)?;
        Ok(Self { listener, epoll, guests: Vec::new(), scratch: vec![0; READ_BYTES] })
    }

    fn work(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            for event in events.drain(..) {
                let at = event.data.u64() as usize;
                if at == self.listener.as_raw_fd() as usize {
                    self.welcome()?;
                } else if self.hear(at).is_none() {
                    self.guests[at] = None;
                }
            }
        }
    }

    fn welcome(&mut self) -> Result<()> {
        // Whoever has gone while waiting is none.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK) {
            sockopt::set_tcp_nodelay(&socket, true)?;
            watch(&self.epoll, &socket)?;
            let at = socket.as_raw_fd() as usize;
            if self.guests.len() <= at {
                self.guests.resize_with(at + 1, || None);
            }
            self.guests[at] = Some(Guest { socket, request: Some(Vec::new()), begun: 0 });
        }
        Ok(())
    }

    /// Takes what came; none if the connection is at its end.
    fn hear(&mut self, at: usize) -> Option<()> {
        let guest = self.guests.get_mut(at)?.as_mut()?;
        let received = match recv(&guest.socket, &mut self.scratch[..], RecvFlags::empty()) {
            Ok((0, _)) => return None,
            Ok((received, _)) => received,
            Err(Errno::AGAIN) => return Some(()),
            Err(_) => return None,
        };
        guest.answer(&self.scratch[..received])
    }
}

impl Guest {
    fn answer(&mut self, came: &[u8]) -> Option<()> {
        let Some(request) = &mut self.request else {
            self.begun += came.len();
            let whole = self.begun / visitor::said().len();
            self.begun %= visitor::said().len();
            return (0..whole).try_for_each(|_| self.say(visitor::heard()));
        };
        request.extend_from_slice(came);
        if request.ends_with(b"\r\n\r\n") {
            // Visitors say nothing more before they have this.
            self.request = None;
            return self.say(&visitor::answer());
        }
        (request.len() < REQUEST_BYTES_MAX).then_some(())
    }

    /// None if not all is taken: so little is, unless the connection is gone.
    fn say(&self, words: &[u8]) -> Option<()> {
        let sent = send(&self.socket, words, SendFlags::NOSIGNAL).ok()?;
        (sent == words.len()).then_some(())
    }
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd) -> Result<()> {
    let data = epoll::EventData::new_u64(socket.as_raw_fd() as u64);
    Ok(epoll::add(epoll, socket, data, epoll::EventFlags::IN)?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::steer::crowd::{self, Over, PATIENCE, Way};
    use crate::steer::pingpong;

    #[test]
    fn visitors_are_served_by_the_floor_as_by_a_gateway() {
        // A port of this machine's that was free a moment ago.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        serve(addr, false).unwrap();
        let until = clock::now() + PATIENCE;
        let way = Way { to: addr, from: Vec::new(), at_once: 4, until, over: Over::default() };
        let (mut visitors, tally) = crowd::gather(&way, 8).unwrap();
        tally.expect(8).unwrap();
        let soon = || clock::now() + Duration::from_millis(200);
        assert!(pingpong::play(&mut visitors, soon()).unwrap() >= 8);
        assert!(pingpong::in_step(&mut visitors, soon()).unwrap() >= 8);
    }

    #[test]
    fn who_asks_without_end_is_let_go() {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let mut guest = Guest { socket: socket.unwrap(), request: Some(Vec::new()), begun: 0 };
        assert!(guest.answer(&[b'x'; REQUEST_BYTES_MAX - 1]).is_some());
        assert!(guest.answer(b"x").is_none());
    }
}
