//! Five thousand clients in one room, a tenth of which never reads.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use support::{Socket, connect, in_time, join, next, node, sync, upgrade};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

const CLIENTS: usize = 4_990;
const PUBLISHERS: usize = 10;
const MESSAGE_BYTES: usize = 4 << 10;
const MESSAGES: usize = 60;
const OUTBOX_BYTES_MAX: usize = 64 << 10;
const SHARD_OUTBOX_BYTES_MAX: usize = 16 << 20;

/// What a message says: who, and which of theirs.
fn message(publisher: usize, number: usize) -> Message {
    let mut payload = vec![publisher as u8; MESSAGE_BYTES];
    payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Message::binary(payload)
}

/// Author and number of a message, which must be whole.
fn read(message: &Message) -> (usize, usize) {
    let Message::Binary(payload) = message else { panic!("not binary: {message:?}") };
    assert_eq!(payload.len(), MESSAGE_BYTES);
    let publisher = payload[8];
    assert!(payload[8..].iter().all(|&byte| byte == publisher), "a message arrives whole");
    let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
    (usize::from(publisher), number as usize)
}

/// Reads everything that is said from now on and returns the order in which it came.
async fn listen(mut socket: Socket, heard: Arc<AtomicUsize>) -> Vec<(usize, usize)> {
    let mut order = Vec::with_capacity(MESSAGES);
    while order.len() < MESSAGES {
        order.push(read(&next(&mut socket).await));
        heard.fetch_add(1, Ordering::Relaxed);
    }
    sync(&mut socket).await; // and nothing more
    order
}

/// Connects with a small receive buffer and small segments, for which the kernel keeps little: it
/// is full after some tens of kilobytes instead of megabytes.
async fn stuck(addr: std::net::SocketAddr) -> Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    upgrade(TcpStream::from_std(socket.into()).unwrap(), "/ws/crowd").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everyone_who_reads_hears_all_in_one_order_and_who_does_not_is_told() {
    let node = node(|config| {
        config.limits.outbox_bytes_max = OUTBOX_BYTES_MAX;
        config.limits.shard_outbox_bytes_max = SHARD_OUTBOX_BYTES_MAX;
    });
    // Both ends are in this process. Where descriptors are short, the crowd is smaller.
    let clients = CLIENTS.min(node.max_connections() as usize / 2 - PUBLISHERS) / 10 * 10;
    let heard = Arc::new(AtomicUsize::new(0));
    let mut reading_ones = Vec::new();
    let mut stuck_ones = Vec::new();
    for n in 0..clients {
        if n % 10 == 9 {
            stuck_ones.push(stuck(node.addr()).await);
        } else {
            let mut socket = connect(node.addr(), "/ws/crowd").await;
            sync(&mut socket).await;
            reading_ones.push(socket);
        }
    }
    // They wait for a message only when all are there.
    let listen = |socket| tokio::spawn(listen(socket, Arc::clone(&heard)));
    let readers: Vec<_> = reading_ones.into_iter().map(listen).collect();
    let stuck_count = stuck_ones.len();
    let publishers = publish(node.addr(), Arc::clone(&heard), readers.len());
    let (peak, watching) = watch_memory(&node);
    publishers.await;

    let mut orders = Vec::new();
    for reader in readers {
        orders.push(in_time("a reader", reader).await.unwrap());
    }
    for order in &orders {
        assert_eq!(order, &orders[0], "one order for everyone");
    }
    for publisher in 0..PUBLISHERS {
        let numbers: Vec<_> =
            orders[0].iter().filter(|said| said.0 == publisher).map(|said| said.1).collect();
        let expected: Vec<_> = (0..MESSAGES / PUBLISHERS).collect();
        assert_eq!(numbers, expected, "each once, in its author's order");
    }
    watching.send(true).unwrap();
    let peak = peak.await.unwrap();
    assert!(peak > 0, "somebody owed");
    assert!(peak <= SHARD_OUTBOX_BYTES_MAX as u64, "outboxes stay within Limits: {peak}");

    for socket in stuck_ones {
        assert_told(socket, &orders[0]).await;
    }
    assert_eq!(stuck_count, clients / 10);
    node.drain();
    let counters = join(node).await;
    let slow = gateway_core::event::CloseReason::Slow.index();
    assert_eq!(counters.closed[slow], stuck_count as u64);
    assert_eq!(counters.accepted, counters.closed_total());
}

/// Ten authors take turns, each waiting until everyone heard the last message.
async fn publish(addr: std::net::SocketAddr, heard: Arc<AtomicUsize>, readers: usize) {
    let mut authors = Vec::new();
    for _ in 0..PUBLISHERS {
        authors.push(connect(addr, "/ws/crowd").await);
    }
    for number in 0..MESSAGES / PUBLISHERS {
        for (publisher, author) in authors.iter_mut().enumerate() {
            author.send(message(publisher, number)).await.unwrap();
        }
        let expected = (number + 1) * PUBLISHERS * readers;
        let mut before = heard.load(Ordering::Relaxed);
        while before < expected {
            let more = async {
                while heard.load(Ordering::Relaxed) == before {
                    tokio::task::yield_now().await;
                }
            };
            in_time("somebody to hear more", more).await;
            before = heard.load(Ordering::Relaxed);
        }
        for author in &mut authors {
            for _ in 0..PUBLISHERS - 1 {
                read(&next(author).await);
            }
        }
    }
}

/// Samples what members owe until told to stop; gives the most that was
/// seen on one shard.
fn watch_memory(
    node: &gateway::server::Server,
) -> (tokio::task::JoinHandle<u64>, watch::Sender<bool>) {
    let (stop, mut stopped) = watch::channel(false);
    let census = node.census_handle();
    let peak = tokio::spawn(async move {
        let mut peak = 0;
        while !*stopped.borrow_and_update() {
            let most = census.shards().map(|shard| shard.outbox_bytes()).max();
            peak = peak.max(most.expect("a node has shards"));
            tokio::task::yield_now().await;
        }
        peak
    });
    (peak, stop)
}

/// Who reads at last finds whole messages, in order from the first, and then 1013.
async fn assert_told(mut socket: Socket, order: &[(usize, usize)]) {
    let mut found = 0;
    loop {
        match next(&mut socket).await {
            Message::Close(close) => {
                assert_eq!(u16::from(close.expect("a code").code), 1013);
                break;
            }
            message @ (Message::Binary(_)
            | Message::Text(_)
            | Message::Ping(_)
            | Message::Pong(_)
            | Message::Frame(_)) => {
                assert_eq!(read(&message), order[found]);
                found += 1;
            }
        }
    }
    assert!(found > 0 && found < MESSAGES, "it missed some: {found}");
    let end = in_time("the end", socket.next()).await;
    assert!(end.is_none_or(|end| end.is_err()), "nothing after the close frame");
}
