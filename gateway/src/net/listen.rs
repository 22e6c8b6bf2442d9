//! Where connections come from: binding listeners, and when to accept from them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::time::{Sleep, sleep};

/// Connections that may wait in the kernel to be accepted. The kernel clamps it to its own
/// bound (`net.core.somaxconn` on Linux); 4096 is that bound's default.
pub const BACKLOG: i32 = 4096;

/// Connections accepted from a listener in one poll, so that a storm of new clients cannot hold
/// up those already served, nor those at the shard's other listener.
pub(super) const ACCEPT_BATCH: usize = 64;

/// How long accepting pauses for want of descriptors or memory if no connection of this shard
/// ends first: others in the process may hold what is missing, and nobody tells when they let go.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// Which of a shard's listeners: the address that all shards share.
pub(super) const SHARED: usize = 0;
/// The shard's own port.
pub(super) const OWN: usize = 1;

/// Where one shard takes connections from.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// At the address that all shards share.
    pub(crate) shared: TcpListener,
    /// At the shard's own port, if it has one.
    pub(crate) own: Option<TcpListener>,
}

/// How a listener is bound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Whether several listeners may share the port, one for each shard (`SO_REUSEPORT`, Linux
    /// only). Without it a second process on the same port is refused.
    pub reuse_port: bool,
    /// Connections that may wait in the kernel; [`BACKLOG`] unless there is a reason.
    pub backlog: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { reuse_port: true, backlog: BACKLOG }
    }
}

/// How a port is bound that nobody else may have, not even unseen.
pub(crate) const ALONE: Options = Options { reuse_port: false, backlog: BACKLOG };

/// Binds a non-blocking listener to `addr`; port 0 lets the system pick one.
///
/// Accepted sockets send small frames at once (`TCP_NODELAY`). An IPv6 listener takes IPv4
/// clients too only if `addr` is the unspecified `[::]`, whatever the system's default is.
///
/// # Errors
/// What the system said, without the address: the caller knows it.
pub fn bind(addr: SocketAddr, options: &Options) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    // On Windows this option would let another process take over the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    socket.set_reuse_port(options.reuse_port)?;
    // Linux hands this down to accepted sockets; elsewhere it is set on each of them.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// Whether new connections are accepted now: switched by the shard, paused by a shortage.
#[derive(Debug)]
pub(super) struct Gate {
    on: bool,
    pause: Option<Pin<Box<Sleep>>>,
    pauses: u64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { on: true, pause: None, pauses: 0 }
    }

    /// Whether to accept, ending a pause whose time has passed; else wakes `cx` when it has.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(pause) = &mut self.pause
            && pause.as_mut().poll(cx).is_ready()
        {
            self.pause = None;
        }
        self.is_open()
    }

    /// The same without looking at the time.
    pub(super) fn is_open(&self) -> bool {
        self.on && self.pause.is_none()
    }

    pub(super) fn switch(&mut self, on: bool) {
        self.on = on;
    }

    /// Stops accepting until [`resume`](Self::resume) or [`ACCEPT_RETRY`], which wakes `cx`.
    pub(super) fn pause(&mut self, cx: &mut Context<'_>) {
        self.pauses += 1;
        let mut pause = Box::pin(sleep(ACCEPT_RETRY));
        if pause.as_mut().poll(cx).is_pending() {
            self.pause = Some(pause);
        }
    }

    /// A connection has ended: what was missing may be there again.
    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    pub(super) fn pauses(&self) -> u64 {
        self.pauses
    }
}

/// What a failed accept means for the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Nobody waits.
    Empty,
    /// This client is gone already; the next may be there.
    Skip,
    /// Descriptors or memory are short: the same call would fail again at once.
    Pause,
    /// The listener itself is of no use.
    Broken,
}

/// Sorts an accept's error. What is unknown pauses, so that it can neither spin nor end the
/// gateway: among it are EMFILE, ENFILE, ENOBUFS and their relatives on other systems.
pub(crate) fn refusal(error: &io::Error) -> Refusal {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    if kind == Kind::WouldBlock {
        Refusal::Empty
    } else if kind == Kind::InvalidInput {
        Refusal::Broken
    } else if matches!(
        kind,
        // accept(2): Linux passes a new connection's pending network errors on to accept.
        Kind::Interrupted
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::PermissionDenied
            | Kind::TimedOut
    ) {
        Refusal::Skip
    } else {
        Refusal::Pause
    }
}

/// Closes a connection so that the peer hears of it at once: nothing that was not sent is.
pub(super) fn reset(socket: TcpStream) {
    // Without it the system closes as always, which says the same more politely.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    drop(socket);
}

/// The peer's address as people write it: an IPv4 client of an IPv6 listener has an IPv4 one.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// The CPU on which the connection's packets arrived, where the system tells.
pub(super) fn incoming_cpu(socket: &SockRef<'_>) -> Option<u32> {
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    return socket.cpu_affinity().ok().and_then(|cpu| u32::try_from(cpu).ok());
    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    {
        let _ = socket;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_port_that_the_system_picked() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(any, &Options::default()).unwrap();
        let addr = first.local_addr().unwrap();
        assert_ne!(addr.port(), 0);
        if cfg!(all(target_os = "linux", not(weir_portable))) {
            let second = bind(addr, &Options::default()).unwrap();
            assert_eq!(second.local_addr().unwrap(), addr);
        }
    }

    #[test]
    fn a_port_that_is_not_shared_is_refused_to_a_second_listener() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), &ALONE).unwrap();
        let error = bind(first.local_addr().unwrap(), &ALONE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_the_unspecified_v6_address_takes_v4_clients() {
        let Ok(both) = bind("[::]:0".parse().unwrap(), &Options::default()) else {
            return; // This system has no IPv6 at all.
        };
        assert!(!SockRef::from(&both).only_v6().unwrap());
        let port = both.local_addr().unwrap().port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        let loopback = bind("[::1]:0".parse().unwrap(), &Options::default()).unwrap();
        assert!(SockRef::from(&loopback).only_v6().unwrap());
    }

    #[test]
    fn a_shortage_pauses_and_a_lost_client_does_not() {
        let of = |kind: io::ErrorKind| refusal(&kind.into());
        assert_eq!(of(io::ErrorKind::WouldBlock), Refusal::Empty);
        assert_eq!(of(io::ErrorKind::ConnectionAborted), Refusal::Skip);
        assert_eq!(of(io::ErrorKind::OutOfMemory), Refusal::Pause);
        assert_eq!(of(io::ErrorKind::InvalidInput), Refusal::Broken);
        #[cfg(all(target_os = "linux", not(weir_portable)))]
        for shortage in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert_eq!(refusal(&shortage.into()), Refusal::Pause);
        }
    }
}
