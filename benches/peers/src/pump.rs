//! Serves a connection whose crate makes it a stream and a sink of messages: what can be read is
//! read, what is to be told is fed, and each turn ends with one flush.

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use anyhow::Result;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::task::spawn_local;

use crate::listen::ECHO;
use crate::rooms::{Mailbox, Rooms};

/// Messages that are taken from a connection before anything is done with them.
const BATCH_MAX: usize = 64;

/// A message of one of the crates.
pub(crate) trait Message: Clone + 'static {
    /// Whether it is text or bytes: the crates see to all others.
    fn is_data(&self) -> bool;
}

/// Serves a connection from its upgrade to its end.
///
/// # Errors
/// If the client breaks the rules, or is gone.
pub(crate) async fn serve<S, M, E>(socket: S, path: &str, rooms: Rc<Rooms<M>>) -> Result<()>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin + 'static,
    M: Message,
    E: Error + Send + Sync + 'static,
{
    if path == ECHO { echo(socket).await } else { talk(socket, path, rooms).await }
}

async fn echo<S, M, E>(mut socket: S) -> Result<()>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: Error + Send + Sync + 'static,
{
    let mut heard = Vec::new();
    while poll_fn(|cx| poll_batch(&mut socket, cx, &mut heard)).await? {
        for message in heard.drain(..) {
            socket.feed(message).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

/// One task reads and another writes, so that neither is polled for the other's sake.
async fn talk<S, M, E>(socket: S, path: &str, rooms: Rc<Rooms<M>>) -> Result<()>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin + 'static,
    M: Message,
    E: Error + Send + Sync + 'static,
{
    let room = rooms.enter(path);
    let mailbox = room.join();
    let socket = Rc::new(RefCell::new(socket));
    spawn_local(tell(Shared(socket.clone()), mailbox.clone()));
    let mut said = Vec::new();
    let ended = loop {
        match poll_fn(|cx| poll_batch(&mut *socket.borrow_mut(), cx, &mut said)).await {
            Ok(true) => room.publish(&mailbox, &mut said),
            Ok(false) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
    };
    room.leave(&mailbox);
    ended
}

/// Feeds all that waits and flushes once, until the member leaves.
async fn tell<S, M>(mut socket: Shared<S>, mailbox: Rc<Mailbox<M>>)
where
    S: Sink<M> + Unpin,
    M: Clone,
{
    while let Some(mut batch) = mailbox.next().await {
        loop {
            for message in batch.iter() {
                // Whoever reads finds out why, and leaves.
                let Ok(()) = socket.feed(message.clone()).await else { return };
            }
            match mailbox.try_next() {
                Some(next) => batch = next,
                None => break,
            }
        }
        let Ok(()) = socket.flush().await else { return };
    }
}

/// Takes all messages that can be had; ready if there are any, with `false` at the end.
fn poll_batch<S, M, E>(
    socket: &mut S,
    cx: &mut Context<'_>,
    batch: &mut Vec<M>,
) -> Poll<Result<bool, E>>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: Message,
{
    while batch.len() < BATCH_MAX {
        match socket.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(message))) if message.is_data() => batch.push(message),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
            Poll::Ready(None) if batch.is_empty() => return Poll::Ready(Ok(false)),
            Poll::Pending if batch.is_empty() => return Poll::Pending,
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    Poll::Ready(Ok(true))
}

/// The sink of a connection that another task reads from: borrowed for each poll, never longer.
struct Shared<S>(Rc<RefCell<S>>);

impl<S: Sink<M> + Unpin, M> Sink<M> for Shared<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), S::Error> {
        Pin::new(&mut *self.0.borrow_mut()).start_send(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_close(cx)
    }
}
