//! The admin's thread: it accepts, gives each client a place, and lets hyper speak HTTP.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::sleep;
use tracing::warn;

use super::AdminConfig;
use super::answers::Desk;
use super::patience::{Heard, Patience};
use super::places::Places;
use super::reserve::Reserve;
use crate::net::listen::{Refusal, refusal};

/// Bytes of a request head: what servers commonly allow, and beyond it 431 is the answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long accepting pauses after it failed, as it does when descriptors are short.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// Serves until `stopped` resolves, then drops all connections.
pub(super) fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    reserve: Reserve,
    config: AdminConfig,
    stopped: oneshot::Receiver<()>,
) {
    let clients = LocalSet::new();
    let desk = Rc::new(Desk::new(config));
    let places = Places::new(reserve);
    clients.block_on(runtime, async {
        tokio::select! {
            biased;
            _ = stopped => {}
            () = accept(&listener, &desk, &places) => {}
        }
    });
}

async fn accept(listener: &TcpListener, desk: &Rc<Desk>, places: &Rc<Places>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                places.vacant().await;
                seat(stream, desk, places);
            }
            // Whoever it was is gone already.
            Err(error) if refusal(&error) == Refusal::Skip => {}
            Err(error) => accept_in_shortage(listener, desk, places, &error).await,
        }
    }
}

/// Takes who waits, if anybody does, by a descriptor that was kept back: accept(2) fails for want
/// of one before it looks.
async fn accept_in_shortage(
    listener: &TcpListener,
    desk: &Rc<Desk>,
    places: &Rc<Places>,
    error: &io::Error,
) {
    if !places.lend() {
        warn!(%error, "the admin listener cannot accept; it tries again");
        sleep(ACCEPT_RETRY).await;
        return places.refill();
    }
    match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
        Poll::Ready(Ok((stream, _))) => {
            places.vacant().await;
            seat(stream, desk, places);
            places.keep_one().await;
        }
        // A shard was faster; there may be another one.
        Poll::Ready(Err(_)) => {}
        Poll::Pending => places.refill(),
    }
}

fn seat(stream: TcpStream, desk: &Rc<Desk>, places: &Rc<Places>) {
    let (desk, patience) = (Rc::clone(desk), Patience::new());
    places.seat(patience.clone(), converse(stream, desk, patience));
}

/// One client, request after request.
async fn converse(stream: TcpStream, desk: Rc<Desk>, patience: Patience) {
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        let (desk, patience) = (Rc::clone(&desk), patience.clone());
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
