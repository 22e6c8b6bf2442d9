//! The simulated network: a shard's sockets over turmoil's TCP.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;
use turmoil::net::TcpListener;

use crate::backlog::{Backlog, Deserted};
use crate::extents::Extents;
use crate::pipe::{Pipe, ServerEnd};
use crate::pump;
use crate::rng::Rng;
use crate::sockets::Sockets;
use crate::wires::Wires;

/// A network within a simulated host: byte windows, partial writes and half-closes over turmoil,
/// which counts whole segments and carries every write in one.
///
/// A pump per connection carries bytes between turmoil's stream and the queues that the shard
/// sees. A server that closes with bytes unread drops what its queue still held; the client then
/// sees a reset or a bare end of the stream, since turmoil sends a reset only for bytes that it
/// holds itself. A client from [`Wires::connect`] fills the window by not reading; for a bare
/// turmoil stream the window covers only what has not left the server.
pub type SimNet = Sockets<Acceptor>;

impl SimNet {
    /// Listens on the current simulated host, for one shard.
    ///
    /// # Errors
    /// If the address is in use or not the host's own.
    pub async fn bind(wires: &Wires, address: SocketAddr) -> io::Result<Self> {
        SharedPort::bind(wires, address).await?.net()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.far.0.address
    }
}

/// An address of a simulated host on which several shards listen, which turmoil does not know.
///
/// Each connection is dealt to one shard by the seed, as a kernel does by a hash. Shards may come
/// at any time; when all that ever came have [retired](gateway::net::Net::retire) or gone, nobody
/// listens any more. Connections may move between its shards, which keep stored payloads together.
#[derive(Clone, Debug)]
pub struct SharedPort {
    wires: Wires,
    listening: Arc<Listening>,
    backlog: Arc<Backlog>,
    extents: Extents,
}

impl SharedPort {
    /// Listens on the current simulated host; who comes before the first shard waits for it.
    ///
    /// # Errors
    /// If the address is in use or not the host's own.
    pub async fn bind(wires: &Wires, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        // Apart from the wires' own stream, from which a shard alone would draw nothing for this.
        let rng = Rng::new(!wires.options().seed ^ u64::from(address.port()));
        let backlog = Backlog::new(wires.options().backlog_max, rng);
        let accept = accept(listener, wires.clone(), Arc::clone(&backlog));
        let task = tokio::task::spawn_local(accept).abort_handle();
        let (wires, listening) = (wires.clone(), Arc::new(Listening { address, task }));
        Ok(Self { wires, listening, backlog, extents: Extents::default() })
    }

    /// The sockets of one more shard.
    ///
    /// # Errors
    /// `NotConnected` if nobody listens any more.
    pub fn net(&self) -> io::Result<SimNet> {
        let bell = Arc::new(AtomicWaker::new());
        let seat = self.backlog.join(&bell).ok_or(ErrorKind::NotConnected)?;
        let (far, extents) = (Acceptor(Arc::clone(&self.listening)), self.extents.clone());
        Ok(SimNet::over(far, self.wires.fork(), seat, bell, extents))
    }

    /// What stored parts are read from, by all of its shards.
    #[must_use]
    pub fn extents(&self) -> Extents {
        self.extents.clone()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listening.address
    }
}

/// The listening side of a [`SimNet`]; dropping the last of an address stops listening when its
/// host next runs.
#[derive(Debug)]
pub struct Acceptor(Arc<Listening>);

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Establishes connections as the kernel does: up to the backlog, whether or not a shard accepts
/// them at the moment, and as long as anybody may.
async fn accept(listener: TcpListener, wires: Wires, backlog: Arc<Backlog>) {
    let nobody = Arc::new(AtomicWaker::new());
    while let Ok(()) = poll_fn(|cx| backlog.poll_room(cx)).await {
        let accepted = tokio::select! {
            biased;
            Deserted = poll_fn(|cx| backlog.poll_deserted(cx)) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => panic!("turmoil's accept has no way to fail: {error}"),
        };
        let pipe = Pipe::new(wires.options().windows, Arc::clone(&nobody));
        let server = stream.local_addr().expect("an accepted stream knows its address");
        pipe.take_whole(wires.options().whole_bytes_max);
        wires.announce(peer, server, &pipe);
        pump::start(&pipe, stream, wires.fork(), wires.options());
        backlog.push(ServerEnd(pipe), peer);
    }
}

#[cfg(test)]
mod nodes;
#[cfg(test)]
mod tests;
