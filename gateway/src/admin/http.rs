//! The admin's thread: it accepts, bounds how many clients there are, and lets hyper speak HTTP.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::AdminConfig;
use super::answers::Desk;
use super::patience::{HEAD_MAX, Heard, Patience};

/// Clients served at a time: a few scrapers, balancers and people, with room for careless ones,
/// and little enough memory and descriptors that nobody notices if all are taken.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Clients being refused at a time; whoever comes beyond them waits in the kernel.
pub(super) const REFUSALS_MAX: usize = 16;

/// How long one who was refused may take to go: closing on its unread request would reset the
/// connection and lose the answer.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

/// Bytes of a request head: what servers commonly allow, and beyond it 431 is the answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long accepting pauses after it failed, as it does when descriptors are short.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// What the 65th client hears.
const REFUSAL: &str = "too many admin clients; try later\n";

/// When the 65th client may come again, in seconds: silent clients are gone by then.
const RETRY_AFTER: u64 = HEAD_MAX.as_secs();

/// Serves until `stopped` resolves, then drops all connections.
pub(super) fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    config: AdminConfig,
    stopped: oneshot::Receiver<()>,
) {
    let clients = LocalSet::new();
    let desk = Rc::new(Desk::new(config));
    clients.block_on(runtime, async {
        tokio::select! {
            biased;
            _ = stopped => {}
            () = accept(&listener, &desk) => {}
        }
    });
}

async fn accept(listener: &TcpListener, desk: &Rc<Desk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "the admin listener cannot accept; it tries again");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let desk = Rc::clone(desk);
            spawn_local(async move {
                converse(stream, &desk).await;
                drop(place);
            });
        } else {
            let refusal = Arc::clone(&refusals).acquire_owned().await;
            spawn_local(async move {
                // Whatever goes wrong, the client is gone, or will be.
                let _ = timeout(REFUSAL_MAX, refuse(&stream)).await;
                drop(refusal);
            });
        }
    }
}

/// One client, request after request.
async fn converse(stream: TcpStream, desk: &Rc<Desk>) {
    let patience = Patience::new();
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        let (desk, patience) = (Rc::clone(desk), patience.clone());
        async move {
            patience.asked();
            let response = desk.answer(request).await;
            patience.answered();
            Ok::<_, Infallible>(response)
        }
    });
    let stream = Heard { stream, patience: patience.clone() };
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        // Patience has the deadlines: hyper's own would count idle time as part of the head.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that speaks no HTTP was told so by hyper, and is nobody else's matter.
    patience.until(connection).await;
}

/// Says that there is no place, and waits until the client has heard it and goes.
async fn refuse(stream: &TcpStream) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
         retry-after: {RETRY_AFTER}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{REFUSAL}",
        REFUSAL.len(),
    );
    stream.writable().await?;
    // A new connection's buffer takes this whole.
    stream.try_write(answer.as_bytes())?;
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
    let mut scrap = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut scrap) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
