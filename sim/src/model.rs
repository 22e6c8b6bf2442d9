//! The model network: plain vectors, whose client ends a test drives directly.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;

use crate::backlog::Backlog;
use crate::extents::Extents;
use crate::pipe::{Pipe, Seen, ServerEnd, Windows};
use crate::rng::Rng;
use crate::sockets::Sockets;

/// A network without runtime, time or latency: what one end writes, the other can read at once.
pub type ModelNet = Sockets<Clients>;

impl ModelNet {
    /// A network in which `seed` decides the size of every read and write and the order of
    /// readiness.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let bell = Arc::new(AtomicWaker::new());
        // Without a listener of its own the model refuses nobody: a test states its own bound.
        let backlog = Backlog::new(usize::MAX, Rng::new(seed));
        let seat = backlog.join(&bell).expect("a new backlog has room for its shard");
        let clients = Clients { pipes: Arc::default(), backlog, bell: Arc::clone(&bell) };
        Self::over(clients, Rng::new(seed), seat, bell, Extents::default())
    }

    /// The client ends, to be driven while a turn owns the network.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.far.clone()
    }
}

/// Names a client of a [`ModelNet`], also after its connection moved to another one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub usize);

/// The client ends of a [`ModelNet`]; clones share them.
#[derive(Clone, Debug)]
pub struct Clients {
    pipes: Arc<Mutex<Vec<Arc<Pipe>>>>,
    backlog: Arc<Backlog>,
    bell: Arc<AtomicWaker>,
}

impl Clients {
    /// Connects a client with the default windows; it waits until the server accepts it, but may
    /// write at once.
    #[must_use]
    pub fn connect(&self) -> ClientId {
        self.connect_with(Windows::default())
    }

    /// Connects a client with windows of its own: a narrow one blocks the server early.
    #[must_use]
    pub fn connect_with(&self, windows: Windows) -> ClientId {
        let pipe = Pipe::new(windows, Arc::clone(&self.bell));
        let mut pipes = self.lock();
        let client = ClientId(pipes.len());
        pipes.push(Arc::clone(&pipe));
        self.backlog.push(ServerEnd(pipe), address(client));
        client
    }

    /// Writes what fits into the window and says how much that was; 0 also after a reset.
    ///
    /// Writing to a server that has closed resets the connection.
    ///
    /// # Panics
    /// If the client has finished.
    pub fn write(&self, client: ClientId, bytes: &[u8]) -> usize {
        self.pipe(client).write(bytes)
    }

    /// Reads up to `bytes_max` bytes, as many as there are.
    #[must_use]
    pub fn read(&self, client: ClientId, bytes_max: usize) -> Vec<u8> {
        self.pipe(client).read(bytes_max)
    }

    /// Half-closes: the server reads what was written and then the end of the stream.
    pub fn finish(&self, client: ClientId) {
        self.pipe(client).finish();
    }

    /// Cuts the connection: the server still reads what it had received, then an error.
    pub fn reset(&self, client: ClientId) {
        self.pipe(client).reset();
    }

    /// Takes at most `window` bytes unread from now on; fewer block the server earlier.
    ///
    /// # Panics
    /// If `window` is 0.
    pub fn set_window(&self, client: ClientId, window: usize) {
        self.pipe(client).set_window_to_client(window);
    }

    /// Where the server sees the client come from.
    #[must_use]
    pub fn address(&self, client: ClientId) -> SocketAddr {
        address(client)
    }

    /// What the client sees of its connection.
    #[must_use]
    pub fn seen(&self, client: ClientId) -> Seen {
        self.pipe(client).seen()
    }

    /// Bytes that the client could read now.
    #[must_use]
    pub fn unread(&self, client: ClientId) -> usize {
        self.pipe(client).lock().to_client.bytes.len()
    }

    fn pipe(&self, client: ClientId) -> Arc<Pipe> {
        Arc::clone(self.lock().get(client.0).expect("a client is named by its own network"))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Pipe>>> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address of its own for each client, within 10.0.0.0/8.
fn address(client: ClientId) -> SocketAddr {
    let host = u32::try_from(client.0).expect("a test has fewer than 2^32 clients");
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() | (host & 0x00ff_ffff));
    SocketAddr::from((ip, 40_000))
}

#[cfg(test)]
mod tests;
