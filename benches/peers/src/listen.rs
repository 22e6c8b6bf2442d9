//! The thread that all connections of a peer are served on.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// The path whose messages go back to their sender; all others are rooms.
pub(crate) const ECHO: &str = "/ws/simple";

/// Polls of tasks between two looks at the sockets. Tokio's 61 would ask the kernel sixteen times
/// while a room of a thousand is told one message.
const EVENT_INTERVAL: u32 = 512;

/// Serves until the process is ended, with a task for each connection.
///
/// # Errors
/// If there is no listening on `addr`.
pub(crate) fn serve<F>(addr: SocketAddr, connection: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default())?;
    runtime.block_on(accept(addr, connection))
}

async fn accept<F>(addr: SocketAddr, connection: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let listener = TcpListener::bind(addr);
    let listener = listener.await.with_context(|| format!("cannot listen on {addr}"))?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let served = connection(stream);
        spawn_local(async move {
            if let Err(error) = served.await {
                eprintln!("{peer}: {error:#}");
            }
        });
    }
}
