//! What joins simulated hosts: how connections behave on the way, and the clients' end of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout_at};
use turmoil::net::TcpStream;

use crate::pipe::{Pipe, State, Windows};
use crate::rng::Rng;

/// How connections behave on the way.
#[derive(Clone, Copy, Debug)]
pub struct WireOptions {
    /// Decides every size and delay.
    pub seed: u64,
    /// Bytes on their way in each direction of one connection.
    pub windows: Windows,
    /// Connections that wait for the shard to accept them; further ones wait to be established.
    pub backlog_max: usize,
    /// Largest segment in bytes; each carries from one byte to this many.
    pub segment_bytes_max: usize,
    /// Now and then a segment waits up to this long beside its server, in whole milliseconds;
    /// zero turns that off.
    pub delay_max: Duration,
    /// What a server sends is taken whole if it is no longer than this and fits; of the rest the
    /// seed decides. A kernel takes less than all only when its buffer is full, so that whoever
    /// takes more later has lived in between: where that matters, pings are to be taken whole.
    pub whole_bytes_max: usize,
}

impl WireOptions {
    /// An ordinary local network as `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            windows: Windows::default(),
            backlog_max: 128,
            segment_bytes_max: 1460,
            delay_max: Duration::from_millis(3),
            whole_bytes_max: 0,
        }
    }

    /// A simulation in which this network's seed decides the rest too.
    #[must_use]
    pub fn simulation(&self) -> turmoil::Builder {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(self.seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 56))
            .tick_duration(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            // turmoil counts segments, not bytes, and panics at a listener's bound: the byte
            // windows and the backlog here are the narrower bounds.
            .tcp_capacity(65_536)
            .enable_random_order();
        builder
    }
}

/// A handle on one simulated network; clones share it. Given to every host at the start.
#[derive(Clone, Debug)]
pub struct Wires(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    options: WireOptions,
    rng: RefCell<Rng>,
    /// Accepted connections by the addresses of client and server, until their client took hold.
    accepted: RefCell<BTreeMap<(SocketAddr, SocketAddr), Weak<Pipe>>>,
}

impl Wires {
    /// A network with these options.
    #[must_use]
    pub fn new(options: WireOptions) -> Self {
        let rng = RefCell::new(Rng::new(options.seed));
        Self(Rc::new(Shared { options, rng, accepted: RefCell::default() }))
    }

    /// The options that it was made with.
    #[must_use]
    pub fn options(&self) -> &WireOptions {
        &self.0.options
    }

    /// Connects from the current simulated host.
    ///
    /// While the link is cut a connection attempt is repeated after 1, 2, 4 … seconds, as the
    /// kernel repeats a SYN. A cut of the way back alone goes unnoticed here, since turmoil
    /// carries no SYN-ACK.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens; `TimedOut` if there was no answer by `deadline`.
    pub async fn connect(&self, server: SocketAddr, deadline: Instant) -> io::Result<SimStream> {
        let stream = match timeout_at(deadline, establish(server, deadline)).await {
            Ok(established) => established?,
            Err(_) => return Err(ErrorKind::TimedOut.into()),
        };
        let pair = (stream.local_addr()?, stream.peer_addr()?);
        let pipe = self.0.accepted.borrow_mut().remove(&pair).and_then(|pipe| pipe.upgrade());
        if let Some(pipe) = &pipe {
            pipe.count_in_flight();
        }
        let segment_bytes_max = self.0.options.segment_bytes_max;
        Ok(SimStream { stream, pipe, rng: self.fork(), segment_bytes_max, ended: false })
    }

    /// Remembers an accepted connection for the client that has not returned from `connect` yet.
    pub(crate) fn announce(&self, client: SocketAddr, server: SocketAddr, pipe: &Arc<Pipe>) {
        self.0.accepted.borrow_mut().insert((client, server), Arc::downgrade(pipe));
    }

    pub(crate) fn fork(&self) -> Rng {
        self.0.rng.borrow_mut().fork()
    }
}

/// Connects as TCP would, which turmoil does not: it fails at once what a cut link swallows.
async fn establish(server: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    let mut pause = Duration::from_secs(1);
    let mut repeated = false;
    loop {
        let mut attempt = pin!(TcpStream::connect(server));
        // A listener's refusal takes a way there and back; one that comes at once comes from
        // the link.
        let first = std::future::poll_fn(|cx| Poll::Ready(attempt.as_mut().poll(cx))).await;
        let at_once = first.is_ready();
        let outcome = match first {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => attempt.await,
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                if at_once {
                    sleep_until(deadline.min(Instant::now() + pause)).await;
                    if Instant::now() >= deadline {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    pause *= 2;
                } else if repeated {
                    return Err(error);
                }
                // A SYN that was under way when the link was cut is refused late: the second
                // attempt tells the two cases apart.
                repeated = !at_once;
            }
            outcome => return outcome,
        }
    }
}

/// A client's end of a simulated connection: writes leave in segments, reads give less than is
/// there, and what is not read fills the windows.
#[derive(Debug)]
pub struct SimStream {
    stream: TcpStream,
    /// The server's side of the window, if the server is a [`SimNet`](crate::simnet::SimNet).
    pipe: Option<Arc<Pipe>>,
    rng: Rng,
    segment_bytes_max: usize,
    ended: bool,
}

impl SimStream {
    /// Where the server sees the client come from.
    ///
    /// # Errors
    /// If the simulated host has lost the connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Takes at most `window` bytes unread from now on; fewer block the server earlier.
    ///
    /// # Panics
    /// If `window` is 0, or the server is none of this network's.
    pub fn set_window(&self, window: usize) {
        assert!(self.try_set_window(window), "only a server over SimNet has byte windows");
    }

    /// As [`set_window`](Self::set_window); whether the server is one of this network's that was
    /// there when the connection was established.
    pub fn try_set_window(&self, window: usize) -> bool {
        self.pipe.as_ref().map(|pipe| pipe.set_window_to_client(window)).is_some()
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut segment = vec![0; this.rng.portion(buf.remaining().min(this.segment_bytes_max))];
        let mut read = ReadBuf::new(&mut segment);
        let outcome = Pin::new(&mut this.stream).poll_read(cx, &mut read);
        let bytes = read.filled();
        buf.put_slice(bytes);
        if let Some(pipe) = &this.pipe {
            pipe.acknowledge(bytes.len());
        }
        outcome
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = match &this.pipe {
            Some(pipe) => ready!(pipe.poll_far_end(cx, room_to_server)),
            None => usize::MAX,
        };
        let count = this.rng.portion(buf.len().min(this.segment_bytes_max).min(room));
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..count]))?;
        if let Some(pipe) = &this.pipe {
            pipe.depart(written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Ending twice is no error with a kernel.
        if std::mem::replace(&mut this.ended, true) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// What the client may write; without a bound once the stream itself has an error to tell.
fn room_to_server(state: &mut State) -> Option<usize> {
    if state.reset || state.server_gone {
        return Some(usize::MAX);
    }
    let room = state.to_server.room();
    (room > 0).then_some(room)
}
