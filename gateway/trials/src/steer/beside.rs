//! A plain listener in the gateway's group: who is left when a gateway dies.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use super::bed::{Bed, Side};
use super::visitor;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long a client may keep this waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at who comes.
const POLL: Duration = Duration::from_millis(1);

/// A thread that serves visitors one after the other, until it is dropped.
#[derive(Debug)]
pub(super) struct Beside {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Joins the group of whoever listens at this IPv4 address.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn join(bed: &Bed, addr: SocketAddr) -> Result<Self> {
        let listener = bed.on(Side::Gateway, || in_group(addr).context("no place in the group"))?;
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let thread = std::thread::spawn(move || serve(&listener, &ended));
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Nothing else is told by it.
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it has panicked, its message stands above, and visitors have seen it.
            let _ = thread.join();
        }
    }
}

fn in_group(addr: SocketAddr) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &addr)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: &TcpListener, ends: &AtomicBool) {
    // Whoever was served stays connected.
    let mut served = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        match listener.accept() {
            // Who does not do as visitors do is none, and is left.
            Ok((stream, _)) => served.extend(greet(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(POLL),
            Err(_) => return,
        }
    }
}

/// Answers a request, and says once what is heard.
fn greet(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    stream.write_all(&visitor::answer())?;
    let mut said = vec![0; visitor::said().len()];
    stream.read_exact(&mut said)?;
    stream.write_all(visitor::heard())?;
    Ok(stream)
}
