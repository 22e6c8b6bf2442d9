//! Servers that do nothing but what the kernel makes them do.

mod bare_loop;
mod floor;
mod memfd;
mod uring;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::net::{SendFlags, send};

use crate::flags::{Bare, Mode, Serve};
use crate::{frames, machine, upgrade};

pub(crate) use self::bare_loop::TRIGGER;
use self::floor::{Answer, Floor, Way};
use self::memfd::Memfd;
use self::uring::Uring;

/// What clients ask for when they want their own messages back.
pub(crate) const ECHO: &str = "/ws/simple";

/// The bare server: what fan-out and echo cost at least.
///
/// # Errors
/// If the kernel has no such mode, or refuses bytes, as a loss would make the server look cheaper
/// than it is.
pub(crate) fn floor(flags: &Bare) -> Result<()> {
    let way = match flags.mode {
        Mode::Concat => Way::Concat,
        Mode::Each => Way::Each,
        Mode::Uring => Way::Uring(Box::new(Uring::new()?)),
        Mode::Memfd => Way::Memfd(Memfd::new()?),
    };
    let answer = Answer::Preframed(Preframed::new(flags));
    Floor::new(listen(flags)?, answer, way)?.run()
}

/// The `send` loop alone, as a check of the bare server.
///
/// # Errors
/// As the bare server's.
pub(crate) fn bare_loop(flags: &Bare) -> Result<()> {
    bare_loop::run(&listen(flags)?, &Preframed::new(flags))
}

/// The bare server in Weir's place.
///
/// # Errors
/// As the bare server's.
pub(crate) fn serve(flags: &Serve) -> Result<()> {
    Floor::new(listen_at(flags.addr)?, Answer::Relay, Way::Concat)?.run()
}

fn listen(flags: &Bare) -> Result<TcpListener> {
    if let Some(core) = flags.core {
        machine::pin(&[core])?;
    }
    listen_at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, flags.port))
}

fn listen_at(addr: SocketAddrV4) -> Result<TcpListener> {
    let listener = TcpListener::bind(addr).with_context(|| format!("cannot listen on {addr}"))?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}

/// Takes one connection and its upgrade, waiting for it: the load connects one by one.
/// Returns its path too; `None` if nothing is to be had of this connection.
fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, String)>> {
    let (mut stream, peer) = listener.accept()?;
    stream.set_nodelay(true)?;
    match upgrade::accept(&mut stream) {
        Ok(path) => Ok(Some((stream, path))),
        Err(error) => {
            eprintln!("{peer}: {error:#}");
            Ok(None)
        }
    }
}

/// The same message over and over, framed before anyone asked.
struct Preframed {
    frames: Vec<u8>,
    frame_bytes: usize,
}

impl Preframed {
    fn new(flags: &Bare) -> Self {
        let frames = frames::preframed(flags.payload as usize, usize::from(flags.burst));
        Self { frame_bytes: frames.len() / usize::from(flags.burst), frames }
    }

    /// Messages that there are.
    fn count(&self) -> usize {
        self.frames.len() / self.frame_bytes
    }

    /// # Errors
    /// If there are not as many.
    fn first(&self, count: usize) -> Result<&[u8]> {
        let frames = self.frames.get(..count * self.frame_bytes);
        frames.with_context(|| format!("{count} messages came at once: raise --burst"))
    }
}

/// # Errors
/// If the kernel takes less than everything.
fn send_whole(fd: &OwnedFd, bytes: &[u8]) -> Result<()> {
    match send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(sent) => bail!("the kernel took {sent} of {} bytes: send less at once", bytes.len()),
        Err(errno) => bail!("the kernel took none of {} bytes: {errno}", bytes.len()),
    }
}
