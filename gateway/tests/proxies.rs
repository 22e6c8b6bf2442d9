//! Who a trusted proxy says it speaks for is who counts, and nobody else is believed to be another.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::io;
use std::net::Ipv4Addr;

use gateway::config::Config;
use gateway::server::Server;
use gateway_core::event::CloseReason;
use support::{in_time, node};
use support_crowd::{end, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const REQUEST: &str = "GET /ws/simple HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The text `hi`, masked with zeros, and its echo.
const HI: &[u8] = b"\x81\x82\0\0\0\0hi";
const ECHO: &[u8] = b"\x81\x02hi";

/// A node that trusts [`PROXY`], and gives each source two connections.
fn trusting(change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        config.shards = Some(1);
        config.sources.proxies = vec!["127.0.0.9".parse().unwrap()];
        config.sources.connections_max = 2;
        change(config);
    })
}

fn line(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    format!("PROXY {family} {client} {client} 5000 80\r\n").into_bytes()
}

/// A header of version 2 with something that is passed over.
fn block(client: [u8; 4]) -> Vec<u8> {
    let rest = [&client[..], &[127, 0, 0, 1, 0x13, 0x88, 0, 80], &[4, 0, 2, 7, 7]].concat();
    [SIGNATURE, &[0x21, 0x11, 0, rest.len() as u8], &rest].concat()
}

async fn call(node: &Server, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = socket.connect(node.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Says it in pieces of so many bytes, each of which the node may read alone.
async fn say(stream: &mut TcpStream, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// Connects through the proxy and asks for an echo; the connection and its response's first line.
async fn enter(node: &Server, header: &[u8]) -> (TcpStream, String) {
    let mut stream = call(node, PROXY).await;
    say(&mut stream, &[header, REQUEST.as_bytes()].concat(), usize::MAX).await;
    let head = head(&mut stream).await;
    (stream, head.lines().next().unwrap().to_owned())
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("a head", stream.read_u8()).await.expect("a whole head"));
    }
    String::from_utf8(head).unwrap()
}

/// All that still comes, until the end or a reset.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match in_time("the end", stream.read_to_end(&mut rest)).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    rest
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols";

#[tokio::test]
async fn header_request_and_frames_may_come_in_any_pieces() {
    let node = trusting(|_| ());
    for header in [line("192.0.2.7"), line("2001:db8::7"), block([192, 0, 2, 8])] {
        for piece in [1, 7, header.len(), header.len() + 9, usize::MAX] {
            let mut stream = call(&node, PROXY).await;
            let all = [&header, REQUEST.as_bytes(), HI].concat();
            say(&mut stream, &all, piece).await;
            assert!(head(&mut stream).await.starts_with(SWITCHED));
            let mut echo = [0; ECHO.len()];
            in_time("an echo", stream.read_exact(&mut echo)).await.unwrap();
            assert_eq!(echo, ECHO);
            drop(stream);
            until("it has gone", || node.sources().connections() == 0).await;
        }
    }
    assert_eq!(node.sources().known(), 3);
    end(node).await;
}

#[tokio::test]
async fn the_clients_a_proxy_names_are_sources_and_the_proxy_is_none() {
    let node = trusting(|_| ());
    let mut inside = Vec::new();
    for header in [line("192.0.2.7"), block([192, 0, 2, 7])] {
        let (stream, first) = enter(&node, &header).await;
        assert_eq!(first, SWITCHED);
        inside.push(stream);
    }
    let (_, first) = enter(&node, &line("192.0.2.7")).await;
    assert!(first.starts_with("HTTP/1.1 429 "), "{first}");
    // Addresses of one line, each with its own.
    for client in ["2001:db8::1", "2001:db8::2"] {
        let (stream, first) = enter(&node, &line(client)).await;
        assert_eq!(first, SWITCHED);
        inside.push(stream);
    }
    let (_, first) = enter(&node, &line("2001:db8::3")).await;
    assert!(first.starts_with("HTTP/1.1 429 "), "{first}");
    assert_eq!(node.sources().connections(), 4);
    // Who is nobody's client is bounded by nothing but the node: checks of health, for one.
    let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &local].repeat(3) {
        let (stream, first) = enter(&node, header).await;
        assert_eq!(first, SWITCHED);
        inside.push(stream);
    }
    assert_eq!(node.sources().connections(), 4);
    drop(inside);
    until("all have gone", || node.sources().connections() == 0).await;
    end(node).await;
}

#[tokio::test]
async fn a_trusted_proxy_that_names_nobody_is_closed_unanswered() {
    let node = trusting(|_| ());
    let wrong = [
        REQUEST.as_bytes(),
        b"PROXY TCP4 192.0.2.7 192.0.2.8 99999 80\r\nGET",
        b"PROXY TCP4 localhost localhost 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
    ];
    for bytes in wrong {
        let mut stream = call(&node, PROXY).await;
        // The node may have gone before all of it was said.
        let _ = stream.write_all(bytes).await;
        assert_eq!(rest(&mut stream).await, b"", "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(node.sources().known(), 0);
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Reset.index()], wrong.len() as u64);
    assert_eq!(counters.opened, 0);
}

#[tokio::test]
async fn who_is_not_trusted_cannot_be_another() {
    let node = trusting(|config| config.sources.loopback = true);
    for header in [line("192.0.2.7"), block([192, 0, 2, 7])] {
        let mut stream = call(&node, STRANGER).await;
        // The node may answer before all of it was said.
        let _ = stream.write_all(&[&header, REQUEST.as_bytes()].concat()).await;
        let answer = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    // Known is only where they came from.
    assert_eq!(node.sources().known(), 1);
    end(node).await;
}

#[tokio::test]
async fn a_header_that_never_ends_falls_under_the_requests_deadline() {
    let node = trusting(|config| config.limits.handshake_secs = 1);
    for begun in [&b""[..], b"PROXY TCP4 192.0", SIGNATURE, &block([1, 2, 3, 4])[..20]] {
        let mut stream = call(&node, PROXY).await;
        stream.write_all(begun).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::HandshakeTimeout.index()], 4);
}

#[tokio::test]
async fn a_full_node_answers_clients_of_proxies_too() {
    let node = trusting(|config| config.max_connections = Some(1));
    let (inside, first) = enter(&node, &line("192.0.2.7")).await;
    assert_eq!(first, SWITCHED);
    let (_, first) = enter(&node, &line("192.0.2.8")).await;
    assert!(first.starts_with("HTTP/1.1 503 "), "{first}");
    assert_eq!(node.sources().connections(), 1);
    drop(inside);
    end(node).await;
}
