//! The tasks that carry bytes between a simulated stream and a connection's queues.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use turmoil::net::TcpStream;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::pipe::{Pipe, State};
use crate::rng::Rng;
use crate::wires::WireOptions;

/// Carries a connection's bytes both ways until either side is done with it.
///
/// Spawns two tasks on the current host's local set.
pub(crate) fn start(pipe: &Arc<Pipe>, stream: TcpStream, mut rng: Rng, options: &WireOptions) {
    let (read, write) = stream.into_split();
    let (bytes_max, delay_max) = (options.segment_bytes_max, options.delay_max);
    let inbound = Pump { pipe: Arc::clone(pipe), rng: rng.fork(), bytes_max, delay_max };
    let outbound = Pump { pipe: Arc::clone(pipe), rng, bytes_max, delay_max };
    tokio::task::spawn_local(inbound.receive(read));
    tokio::task::spawn_local(outbound.send(write));
}

struct Pump {
    pipe: Arc<Pipe>,
    rng: Rng,
    bytes_max: usize,
    delay_max: Duration,
}

/// What is to go out next.
enum Next {
    Segment(Vec<u8>),
    End,
    Cut,
}

impl Pump {
    /// From the stream to the server. Stops reading while the window is full.
    async fn receive(mut self, mut stream: OwnedReadHalf) {
        let mut buf = vec![0; self.bytes_max];
        while let Some(space) = self.space().await {
            let count = self.rng.portion(space.min(buf.len()));
            // Dropping the stream's half with bytes unread makes turmoil send a reset.
            let outcome = tokio::select! {
                biased;
                () = self.server_done() => return,
                outcome = stream.read(&mut buf[..count]) => outcome,
            };
            self.linger().await;
            match outcome {
                Ok(0) => return self.pipe.finish(),
                Ok(count) => self.pipe.arrive(&buf[..count]),
                Err(_) => return self.pipe.reset(),
            }
        }
    }

    /// From the server to the stream. What a server wrote before it closed still leaves.
    async fn send(mut self, mut stream: OwnedWriteHalf) {
        loop {
            let sent = match self.next().await {
                Next::Segment(bytes) => {
                    self.linger().await;
                    tokio::select! {
                        biased;
                        () = self.cut() => return,
                        sent = stream.write_all(&bytes) => sent,
                    }
                }
                Next::End => {
                    if stream.shutdown().await.is_err() {
                        self.pipe.reset();
                    }
                    return;
                }
                Next::Cut => return,
            };
            if sent.is_err() {
                return self.pipe.reset();
            }
        }
    }

    /// How much the server's queue takes, at least a byte; `None` once it takes no more at all.
    async fn space(&self) -> Option<usize> {
        let look = |state: &mut State| {
            if state.server_gone || state.reset {
                return Some(None);
            }
            let space = state.to_server.space();
            (space > 0).then_some(Some(space))
        };
        poll_fn(|cx: &mut Context<'_>| self.pipe.poll_far_end(cx, look)).await
    }

    async fn server_done(&self) {
        let look = |state: &mut State| (state.server_gone || state.reset).then_some(());
        poll_fn(|cx: &mut Context<'_>| self.pipe.poll_far_end(cx, look)).await;
    }

    async fn cut(&self) {
        let look = |state: &mut State| state.reset.then_some(());
        poll_fn(|cx: &mut Context<'_>| self.pipe.poll_far_end(cx, look)).await;
    }

    async fn next(&mut self) -> Next {
        let Self { pipe, rng, bytes_max, .. } = self;
        poll_fn(|cx: &mut Context<'_>| {
            pipe.poll_far_end(cx, |state| next_segment(state, rng, *bytes_max))
        })
        .await
    }

    /// Now and then a segment is late.
    async fn linger(&mut self) {
        let millis = usize::try_from(self.delay_max.as_millis()).expect("a delay is short");
        if millis > 0 && self.rng.one_in(4) {
            sleep(Duration::from_millis(1 + self.rng.below(millis) as u64)).await;
        }
    }
}

fn next_segment(state: &mut State, rng: &mut Rng, bytes_max: usize) -> Option<Next> {
    if state.reset {
        return Some(Next::Cut);
    }
    let queue = &mut state.to_client;
    if queue.bytes.is_empty() {
        return queue.ended.then_some(Next::End);
    }
    let count = rng.portion(queue.bytes.len().min(bytes_max));
    queue.in_flight += count;
    Some(Next::Segment(queue.bytes.drain(..count).collect()))
}
