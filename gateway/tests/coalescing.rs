//! What is said to a room within a window arrives together, over real sockets: a turn whose time
//! the test decides, and a node whose clock is the machine's.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::Poll;
use std::time::Instant;

use gateway::config::Config;
use gateway::net::TokioNet;
use gateway::others::Alone;
use gateway::server::Server;
use gateway::turn::Turn;
use gateway_core::hub::{self, Hub};
use gateway_core::time::Now;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{unconstrained, yield_now};

mod shard;

use shard::{PATIENCE, Testable, listener};

const MICROS: u32 = 200;

/// A shard whose turns and time are the test's.
struct Desk<N> {
    turn: Turn<N>,
    addr: SocketAddr,
    now: Now,
    // Dropped last: sockets leave their runtime before it ends.
    runtime: Runtime,
}

impl<N: Testable> Desk<N> {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let context = runtime.enter();
        let (listener, addr) = listener();
        let net = N::new(listener).unwrap();
        drop(context);
        let hub = Hub::new(hub::Config { coalesce_micros: MICROS, ..hub::Config::default() });
        Self { turn: Turn::new(net, hub, 64), addr, now: Now::from_secs(100), runtime }
    }

    /// Turns until this is so, while no time passes for the shard.
    #[expect(clippy::disallowed_methods, reason = "how long a test waits is the machine's time")]
    fn until(&mut self, is_so: impl Fn(&Hub) -> bool) {
        let begun = Instant::now();
        while !is_so(self.turn.hub()) {
            assert!(begun.elapsed() < PATIENCE, "it never was so");
            let (turn, now) = (&mut self.turn, self.now);
            self.runtime.block_on(async {
                // The runtime turns once before, as between the turns of a shard.
                yield_now().await;
                let turned = poll_fn(|cx| Poll::Ready(turn.poll(cx, now, &mut Alone::default())));
                if let Poll::Ready(result) = unconstrained(turned).await {
                    result.unwrap();
                }
            });
        }
    }

    fn join(&mut self) -> TcpStream {
        let opened = self.turn.hub().counters().opened;
        let mut client = knock(self.addr);
        self.until(|hub| hub.counters().opened > opened);
        read_response(&mut client);
        client
    }

    fn hear(&mut self, client: &mut TcpStream, text: &str) {
        let messages = self.turn.hub().counters().messages;
        say(client, text);
        self.until(|hub| hub.counters().messages > messages);
    }
}

fn knock(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    let request = "GET /ws/lobby HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    client
}

fn read_response(client: &mut TcpStream) {
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        response.extend(byte);
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&response));
}

/// A text frame with a mask that changes nothing.
fn say(client: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    client.write_all(&frame).unwrap();
}

/// As a member hears it.
fn heard(texts: impl IntoIterator<Item = String>) -> Vec<u8> {
    texts
        .into_iter()
        .flat_map(|text| [&[0x81, text.len() as u8], text.as_bytes()].concat())
        .collect()
}

/// What one read gives, if anything is there.
fn read_once(client: &mut TcpStream) -> Vec<u8> {
    let mut buf = vec![0; 64 << 10];
    let read = client.read(&mut buf).unwrap();
    buf.truncate(read);
    buf
}

fn assert_silent(client: &mut TcpStream) {
    client.set_nonblocking(true).unwrap();
    let read = client.read(&mut [0]);
    assert!(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it heard something");
    client.set_nonblocking(false).unwrap();
}

fn sixteen_messages_within_a_window_arrive_in_two_sends<N: Testable>() {
    let mut desk = Desk::<N>::new();
    let (mut ann, mut bob) = (desk.join(), desk.join());
    desk.hear(&mut ann, "0");
    assert_eq!(read_once(&mut bob), heard(["0".to_owned()]), "the first one does not wait");
    for n in 1..16 {
        desk.hear(&mut ann, &n.to_string());
    }
    assert_silent(&mut bob);
    desk.now = desk.turn.hub().poll_timeout().unwrap();
    desk.until(|hub| !hub.has_words_waiting());
    assert_eq!(read_once(&mut bob), heard((1..16).map(|n| n.to_string())), "in one send");
    assert_eq!(desk.turn.counters().coalesced, 1);
    assert_eq!(desk.turn.counters().deliveries, 16);
}

#[cfg(all(target_os = "linux", not(weir_portable)))]
#[test]
fn sixteen_messages_within_a_window_arrive_in_two_sends_over_epoll() {
    sixteen_messages_within_a_window_arrive_in_two_sends::<gateway::net::EpollNet>();
}

#[test]
fn sixteen_messages_within_a_window_arrive_in_two_sends_over_tokio() {
    sixteen_messages_within_a_window_arrive_in_two_sends::<TokioNet>();
}

#[test]
fn a_node_lets_go_of_what_waits_although_nothing_else_happens() {
    let mut config = Config::default();
    config.addr.set_port(0);
    config.admin = None;
    config.shards = Some(1);
    config.coalesce_micros = 10_000;
    let server = Server::start(&config).unwrap();
    let [mut ann, mut bob] = [0, 1].map(|_| {
        let mut client = knock(server.addr());
        read_response(&mut client);
        client
    });
    for n in 0..20 {
        let text = format!("{n:02}");
        say(&mut ann, &text);
        let mut frame = [0; 4];
        bob.read_exact(&mut frame).unwrap();
        assert_eq!(frame.to_vec(), heard([text]));
    }
    server.drain();
    assert_eq!(server.join().unwrap().deliveries, 20);
}
