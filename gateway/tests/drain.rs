//! The end of a node: everyone who reads is told, nobody is reset, and who does not read is cut.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use gateway::server::Server;
use gateway_core::event::CloseReason;
use support::{Socket, connect, in_time, node};
use support_crowd::{end, until};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const PEOPLE: usize = 5_000;
const DEAF: usize = 100;
const ROOM: usize = 10;

/// The tests of this file, one after the other: each has half of the descriptors of a process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn serve() -> Server {
    node(|config| (config.shards, config.workers) = (Some(4), Some(2)))
}

async fn gather(node: &Server, people: usize) -> Vec<Socket> {
    let mut all = Vec::with_capacity(people);
    for n in 0..people {
        all.push(connect(node.addr(), &format!("/ws/{}", n / ROOM)).await);
    }
    all
}

/// Reads until the end; what the close frame said.
async fn goodbye(mut socket: Socket, told: Arc<AtomicUsize>) -> Option<CloseFrame> {
    let mut frame = None;
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Close(close)) => {
                told.fetch_add(1, Ordering::Relaxed);
                frame = close;
            }
            Ok(_) => {}
            Err(error) => panic!("reset instead of a clean end: {error}"),
        }
    }
    frame
}

/// Drains; everyone who reads hears so, once, and sees the end.
async fn everyone_is_told(sockets: Vec<Socket>, node: &Server) {
    let (people, told) = (sockets.len(), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for socket in sockets {
        readers.spawn(goodbye(socket, Arc::clone(&told)));
    }
    node.drain();
    while let Some(reader) = in_time("a reader", readers.join_next()).await {
        let close = reader.unwrap().expect("a close frame says why");
        assert_eq!(u16::from(close.code), 1001);
    }
    assert_eq!(told.load(Ordering::Relaxed), people, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn five_thousand_who_are_idle_hear_1001_and_nobody_is_cut() {
    let _alone = ALONE.lock().await;
    let node = serve();
    let sockets = gather(&node, PEOPLE).await;
    everyone_is_told(sockets, &node).await;
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Drained.index()], PEOPLE as u64);
    assert_eq!(counters.cut, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn five_thousand_hear_1001_while_a_tenth_speaks_and_a_hundred_never_read() {
    let _alone = ALONE.lock().await;
    let node = serve();
    let deaf = gather(&node, DEAF).await;
    let mut sockets = Vec::with_capacity(PEOPLE);
    let stop = Arc::new(AtomicBool::new(false));
    // They speak when all are there: what they say while others come would hold those up.
    let (begin, begun) = watch::channel(false);
    let mut authors = JoinSet::new();
    for n in 0..PEOPLE {
        let mut socket = connect(node.addr(), &format!("/ws/loud-{}", n / ROOM)).await;
        if n % ROOM > 0 {
            sockets.push(socket);
            continue;
        }
        let (stop, mut begun) = (Arc::clone(&stop), begun.clone());
        authors.spawn(async move {
            begun.wait_for(|begun| *begun).await.unwrap();
            // Until it is told to go: then its socket says so.
            while !stop.load(Ordering::Relaxed) && socket.send(Message::text("hi")).await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            drop(socket);
        });
    }
    begin.send(true).unwrap();
    let stats = node.stats();
    until("somebody speaks", || stats().counters().messages > 0).await;
    everyone_is_told(sockets, &node).await;
    stop.store(true, Ordering::Relaxed);
    while in_time("an author", authors.join_next()).await.is_some() {}
    until("only who never reads is left", || node.census().live() == DEAF as u64).await;
    drop(deaf);
    let counters = end(node).await;
    let drained = counters.closed[CloseReason::Drained.index()];
    assert!(drained >= (PEOPLE - PEOPLE / ROOM + DEAF) as u64, "{drained} of all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_never_reads_is_cut_when_the_time_is_over() {
    let node = node(|config| (config.shards, config.limits.drain_secs) = (Some(2), 1));
    let deaf = gather(&node, DEAF).await;
    node.drain();
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Drained.index()], DEAF as u64);
    assert_eq!(counters.cut, DEAF as u64);
    drop(deaf);
}
