//! A node in this process and clients that are not ours.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::config::Config;
use gateway::server::Server;
use gateway_core::counters::Counters;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Longer than anything takes, also for thousands at once on a machine with much else to do; a test
/// that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The longest that a node waits for a client: a test gives up before.
const LIMIT_SECS: u32 = 3_600;

/// A node on a port of its own, changed from the defaults by `change`.
///
/// It is more patient than the tests are: no client is late because the machine is slow, and no
/// past is forgotten meanwhile. Tests of deadlines set their own.
pub(crate) fn node(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config::default();
    config.addr.set_port(0);
    config.pin = false;
    let (limits, secs) = (&mut config.limits, LIMIT_SECS);
    limits.ping_secs = 0;
    (limits.handshake_secs, limits.message_secs, limits.refusal_secs) = (secs, secs, secs);
    (limits.close_secs, limits.drain_secs) = (secs, secs);
    (limits.pin_secs, limits.transit.age_secs) = (secs, secs);
    change(&mut config);
    Server::start(&config).expect("a free port and a thread")
}

/// What a node has counted when it has ended, as it was told to.
pub(crate) async fn join(node: Server) -> Counters {
    let (tell, joined) = oneshot::channel();
    // No task: the runtime would wait for it even if the test has failed.
    thread::spawn(move || _ = tell.send(node.join()));
    in_time("all workers to end", joined).await.expect("it does not panic").unwrap()
}

/// The first of so many ports in a row that are free, below those that the system gives to
/// clients: nobody takes them between this look and their use.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 16_000;
    let start = (std::process::id() % 1_000) as u16 * 16;
    loop {
        let base = FIRST + (start + NEXT.fetch_add(count, Ordering::Relaxed)) % COUNT;
        let is_free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        if (base..base + count).all(is_free) {
            return base;
        }
    }
}

pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    let connected = in_time("a connection", socket.connect(addr)).await;
    upgrade(connected.unwrap(), path).await
}

pub(crate) async fn upgrade(stream: TcpStream, path: &str) -> Socket {
    let addr = stream.peer_addr().unwrap();
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .max_frame_size(Some(64 << 20))
        .max_message_size(Some(64 << 20));
    let url = format!("ws://{addr}{path}");
    let upgraded = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
    in_time("an upgrade", upgraded).await.expect("the upgrade is accepted").0
}

/// The next message that is not a ping or pong.
pub(crate) async fn next(socket: &mut Socket) -> Message {
    let next = async {
        loop {
            match heard(socket).await {
                Message::Ping(_) | Message::Pong(_) => {}
                message @ (Message::Text(_)
                | Message::Binary(_)
                | Message::Close(_)
                | Message::Frame(_)) => return message,
            }
        }
    };
    in_time("a message", next).await
}

async fn heard(socket: &mut Socket) -> Message {
    socket.next().await.expect("not the end").expect("no protocol error")
}

/// What comes of it, unless it takes longer than anything takes.
pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, wait).await;
    came.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

pub(crate) async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
}

/// Waits until the node has heard everything this client sent so far: a room member by echoing
/// a ping off it.
pub(crate) async fn sync(socket: &mut Socket) {
    socket.send(Message::Ping(b"sync".to_vec().into())).await.expect("sent");
    let pong = async {
        loop {
            match heard(socket).await {
                Message::Pong(payload) if payload.as_ref() == b"sync" => return,
                Message::Pong(_) | Message::Ping(_) => {}
                other @ (Message::Text(_)
                | Message::Binary(_)
                | Message::Close(_)
                | Message::Frame(_)) => panic!("unexpected {other:?}"),
            }
        }
    };
    in_time("a pong", pong).await;
}
