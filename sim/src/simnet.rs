//! The simulated network: a shard's sockets over turmoil's TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;
use turmoil::net::TcpListener;

use crate::backlog::Backlog;
use crate::pipe::{Pipe, ServerEnd};
use crate::pump;
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
    /// Listens on the current simulated host.
    ///
    /// # Errors
    /// If the address is in use or not the host's own.
    pub async fn bind(wires: &Wires, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let bell = Arc::new(AtomicWaker::new());
        let backlog = Arc::new(Backlog::new(wires.options().backlog_max, Arc::clone(&bell)));
        let accept = accept(listener, wires.clone(), Arc::clone(&backlog), Arc::clone(&bell));
        let task = tokio::task::spawn_local(accept).abort_handle();
        Ok(Self::over(Acceptor { address, task }, wires.fork(), backlog, bell))
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.far.address
    }
}

/// The listening side of a [`SimNet`]; dropping it stops listening when its host next runs.
#[derive(Debug)]
pub struct Acceptor {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Establishes connections as the kernel does: up to the backlog, whether or not the shard
/// accepts them at the moment.
async fn accept(
    listener: TcpListener,
    wires: Wires,
    backlog: Arc<Backlog>,
    bell: Arc<AtomicWaker>,
) {
    loop {
        std::future::poll_fn(|cx| backlog.poll_room(cx)).await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => panic!("turmoil's accept has no way to fail: {error}"),
        };
        let pipe = Pipe::new(wires.options().windows, Arc::clone(&bell));
        let server = stream.local_addr().expect("an accepted stream knows its address");
        wires.announce(peer, server, &pipe);
        pump::start(&pipe, stream, wires.fork(), wires.options());
        backlog.push(ServerEnd(pipe), peer);
    }
}

#[cfg(test)]
mod tests;
