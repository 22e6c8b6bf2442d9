//! A shard's sockets and its runtime, so that a test reads as a sequence of calls.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::task::Poll;
use std::time::Duration;

use gateway::net::{Batch, Net, Ready, TokioNet, listen};
use gateway_core::slot::Slot;
use gateway_core::transmit::Sent;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, timeout};

/// How long what must happen may take before the test fails: long enough for any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long all that a test does with a shard may take: who waits for one thing while others happen
/// without end has failed, too.
const STORY: Duration = Duration::from_secs(300);

/// A network under test, made from a listener, and one for the shard alone.
pub(crate) trait Testable: Net<Socket = TcpStream> + Sized {
    fn new(listener: TcpListener) -> io::Result<Self>;

    fn with_own(self, listener: TcpListener) -> io::Result<Self>;
}

#[cfg(all(target_os = "linux", not(weir_portable)))]
impl Testable for gateway::net::EpollNet {
    fn new(listener: TcpListener) -> io::Result<Self> {
        Self::new(listener)
    }

    fn with_own(self, listener: TcpListener) -> io::Result<Self> {
        self.with_own(listener)
    }
}

impl Testable for TokioNet {
    fn new(listener: TcpListener) -> io::Result<Self> {
        Self::new(listener)
    }

    fn with_own(self, listener: TcpListener) -> io::Result<Self> {
        self.with_own(listener)
    }
}

pub(crate) struct Shard<N> {
    pub(crate) net: N,
    addr: SocketAddr,
    /// The address of its own port, if it has one.
    own: Option<SocketAddr>,
    batch: Batch,
    /// A connection of no interest to the test but that its bytes come after all others'.
    sentinel: Option<(Slot, TcpStream)>,
    began: Instant,
    // Dropped last: sockets leave their runtime before it ends.
    runtime: Runtime,
}

impl<N: Testable> Shard<N> {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let context = runtime.enter();
        let (listener, addr) = listener();
        let net = N::new(listener).unwrap();
        drop(context);
        let (batch, began) = (Batch::default(), Instant::now());
        Self { net, addr, own: None, batch, sentinel: None, began, runtime }
    }

    /// One that has a port of its own too.
    pub(crate) fn with_own() -> Self {
        let mut shard = Self::new();
        let (listener, own) = listener();
        shard.own = Some(own);
        let Self { net, runtime, .. } = shard;
        let net = {
            let _context = runtime.enter();
            net.with_own(listener).unwrap()
        };
        Self { net, runtime, ..shard }
    }

    pub(crate) fn map(self, change: impl FnOnce(N) -> N) -> Self {
        Self { net: change(self.net), ..self }
    }

    /// A client that gives up instead of waiting for ever.
    pub(crate) fn connect(&self) -> TcpStream {
        Self::connect_to(self.addr)
    }

    /// The same, to the shard's own port.
    pub(crate) fn connect_own(&self) -> TcpStream {
        Self::connect_to(self.own.expect("it has one"))
    }

    fn connect_to(addr: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(addr).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Connects a client, sees it accepted and reads that it sent nothing yet; what else becomes
    /// ready meanwhile is dropped.
    pub(crate) fn accept(&mut self) -> (Slot, TcpStream) {
        let client = self.connect();
        let local = client.local_addr().unwrap();
        let accepted =
            |ready: &Ready| matches!(ready, Ready::Accepted { peer, .. } if *peer == local);
        let Ready::Accepted { slot, .. } = self.until_any(accepted) else {
            unreachable!("only an accept was waited for")
        };
        assert_eq!(self.drain(slot), Vec::<u8>::new());
        (slot, client)
    }

    /// Waits for the next poll that is not pending.
    pub(crate) fn poll(&mut self) -> Vec<Ready> {
        let (net, batch) = (&mut self.net, &mut self.batch);
        // The runtime turns once before, as between the turns of a shard.
        let ready = async {
            yield_now().await;
            poll_fn(|cx| net.poll(cx, batch)).await
        };
        let ready = self.runtime.block_on(async { timeout(PATIENCE, unconstrained(ready)).await });
        ready.expect("something becomes ready in time").unwrap();
        let ready = &self.batch.ready;
        assert!(!ready.is_empty(), "a poll that is ready reports something");
        assert!(self.began.elapsed() < STORY, "it comes to no end, and has {ready:?}");
        self.batch.ready.drain(..).collect()
    }

    /// What one poll reports, be it nothing.
    pub(crate) fn poll_now(&mut self) -> Vec<Ready> {
        let (net, batch) = (&mut self.net, &mut self.batch);
        let polled = poll_fn(|cx| Poll::Ready(net.poll(cx, batch)));
        if let Poll::Ready(result) = self.runtime.block_on(polled) {
            result.unwrap();
        }
        self.batch.ready.drain(..).collect()
    }

    /// What this many polls report while the clock stands still.
    pub(crate) fn polls_at_once(&mut self, polls: usize) -> Vec<Ready> {
        self.runtime.block_on(async { tokio::time::pause() });
        let seen = (0..polls).flat_map(|_| self.poll_now()).collect();
        self.runtime.block_on(async { tokio::time::resume() });
        seen
    }

    pub(crate) fn until(&mut self, wanted: Ready) {
        self.until_any(|ready| *ready == wanted);
    }

    pub(crate) fn until_any(&mut self, wanted: impl Fn(&Ready) -> bool) -> Ready {
        loop {
            if let Some(found) = self.poll().into_iter().find(&wanted) {
                return found;
            }
        }
    }

    /// Everything reported until bytes sent now arrive: who had something to tell has told it.
    pub(crate) fn passes_by(&mut self) -> Vec<Ready> {
        let (sentinel, _) = self.sentinel();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (_, mut client) = self.sentinel();
            client.write_all(b"now").unwrap();
            while !seen.contains(&Ready::Readable(sentinel)) {
                seen.extend(self.poll());
            }
            self.drain(sentinel);
        }
        seen
    }

    /// What [`passes_by`](Self::passes_by) tells of one slot, each kind once.
    pub(crate) fn of_slot(&mut self, slot: Slot) -> Vec<Ready> {
        let seen = self.passes_by();
        let all = [Ready::Readable(slot), Ready::Writable(slot)];
        all.into_iter().filter(|ready| seen.contains(ready)).collect()
    }

    pub(crate) fn sentinel(&mut self) -> (Slot, TcpStream) {
        if self.sentinel.is_none() {
            self.sentinel = Some(self.accept());
        }
        let (slot, client) = self.sentinel.as_ref().expect("accepted above");
        (*slot, client.try_clone().unwrap())
    }

    /// Reads until nothing is left.
    pub(crate) fn drain(&mut self, slot: Slot) -> Vec<u8> {
        let mut seen = Vec::new();
        let mut buf = [0; 4096];
        loop {
            match self.net.recv(slot, &mut buf) {
                Ok(count) => seen.extend_from_slice(&buf[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return seen,
                Err(error) => panic!("slot {slot} is broken: {error}"),
            }
        }
    }

    /// Sends until all is written or the kernel is full; how many bytes it took.
    pub(crate) fn send_until_blocked(&mut self, slot: Slot, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.net.send(slot, &bytes[sent..]) {
                Sent::Wrote(count) => sent += count,
                Sent::Blocked => break,
                Sent::Broken => panic!("the client of slot {slot} is there"),
            }
        }
        sent
    }

    /// Lets the shard be woken until it sleeps for so long, which one that spins never does. What
    /// it may be woken for comes whenever the machine gets to it.
    pub(crate) fn until_asleep(&mut self, asleep: Duration, wakings_max: u64) {
        let mut wakings = 0;
        loop {
            // It is polled at the begin and at the end, too.
            let polls = self.polls_within(asleep);
            if polls <= 2 {
                return;
            }
            wakings += polls - 2;
            assert!(wakings <= wakings_max, "woken {wakings} times, and not asleep yet");
        }
    }

    /// How often the shard is polled while something else takes its time. Nothing it reports is
    /// handled.
    pub(crate) fn polls_within(&mut self, other: Duration) -> u64 {
        let (net, batch) = (&mut self.net, &mut self.batch);
        let mut polls = 0;
        let shard = poll_fn(|cx| -> Poll<()> {
            polls += 1;
            if net.poll(cx, batch).is_ready() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        let ended = self.runtime.block_on(async { timeout(other, unconstrained(shard)).await });
        assert!(ended.is_err(), "a shard ends with its test only");
        batch.ready.clear();
        polls
    }
}

/// A listener on a port that the system chose, and where that is.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, &listen::Options::default()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Something that looks like a connection but that the system refuses to watch, if it has such.
pub(crate) fn unwatchable() -> Option<TcpStream> {
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        Some(TcpStream::from(std::os::fd::OwnedFd::from(file)))
    }
    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    None
}
