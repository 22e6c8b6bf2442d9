//! The three paths, as clients that are not ours see them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use futures_util::SinkExt;
use support::{connect, in_time, next, node, say, sync};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[tokio::test]
async fn root_and_rooms_reach_the_others_and_not_the_sender() {
    let node = node(|_| {});
    for path in ["/", "/ws/lobby", "/ws/caf%C3%A9?token=ignored"] {
        let mut ann = connect(node.addr(), path).await;
        let mut bob = connect(node.addr(), path).await;
        sync(&mut ann).await;
        sync(&mut bob).await;
        say(&mut ann, "Hello everyone!").await;
        bob.send(Message::binary(vec![0, 255, 128])).await.unwrap();
        assert_eq!(next(&mut bob).await, Message::text("Hello everyone!"));
        assert_eq!(next(&mut ann).await, Message::binary(vec![0, 255, 128]));
        sync(&mut ann).await; // nothing of its own is waiting
        sync(&mut bob).await;
    }
}

/// Deterministic bytes that differ at every length.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + len) as u8).collect()
}

#[tokio::test]
async fn messages_of_0_bytes_to_32_mib_come_back_as_they_were() {
    let node = node(|_| {});
    let mut echo = connect(node.addr(), "/ws/simple").await;
    let sizes =
        [0, 1, 125, 126, 127, 4096, 65_535, 65_536, 65_537, 1 << 20, (32 << 20) - 1, 32 << 20];
    for size in sizes {
        let message = Message::binary(payload(size));
        echo.send(message.clone()).await.unwrap();
        assert!(next(&mut echo).await == message, "{size} bytes");
    }
    for text in ["", "x", "grüße 🦀", &"é".repeat(100_000), &"🦀".repeat(8 << 20)] {
        let message = Message::text(text);
        echo.send(message.clone()).await.unwrap();
        assert!(next(&mut echo).await == message, "{} bytes of text", text.len());
    }
}

#[tokio::test]
async fn fragmented_messages_come_back_as_one() {
    let node = node(|_| {});
    let mut echo = connect(node.addr(), "/ws/simple").await;
    for (size, piece) in [(10, 1), (1000, 7), (1 << 20, 64), (32 << 20, 1 << 20)] {
        let whole = payload(size);
        let pieces = whole.chunks(piece).count();
        for (n, fragment) in whole.chunks(piece).enumerate() {
            let opcode = if n == 0 { Data::Binary } else { Data::Continue };
            let frame = Frame::message(fragment.to_vec(), OpCode::Data(opcode), n + 1 == pieces);
            echo.feed(Message::Frame(frame)).await.unwrap();
            if n == 3 {
                echo.feed(Message::Ping(b"between".to_vec().into())).await.unwrap();
            }
        }
        echo.flush().await.unwrap();
        assert!(next(&mut echo).await == Message::binary(whole), "{size} in {piece}");
    }
    // Characters cut between fragments.
    let crab = "🦀".as_bytes();
    for (n, byte) in crab.iter().enumerate() {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(vec![*byte], OpCode::Data(opcode), n + 1 == crab.len());
        echo.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(next(&mut echo).await, Message::text("🦀"));
}

#[tokio::test]
async fn messages_of_any_size_reach_the_whole_room_from_heap_or_store() {
    for store in [false, true] {
        messages_of_any_size_reach_the_whole_room(store).await;
    }
}

async fn messages_of_any_size_reach_the_whole_room(store: bool) {
    // As many as there are in the room, or nobody.
    let members = if store { 3 } else { 0 };
    let node = node(|config| config.limits.store_members_min = members);
    let mut ann = connect(node.addr(), "/ws/lobby").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = connect(node.addr(), "/ws/lobby").await;
        sync(&mut other).await;
        others.push(other);
    }
    for size in [0, 1 << 20, 32 << 20] {
        let message = Message::binary(payload(size));
        ann.send(message.clone()).await.unwrap();
        say(&mut ann, "and a small one").await;
        for other in &mut others {
            assert!(next(other).await == message, "{size}");
            assert_eq!(next(other).await, Message::text("and a small one"));
        }
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_with_1009() {
    let node = node(|config| config.limits.message_bytes_max = 1000);
    let mut echo = connect(node.addr(), "/ws/simple").await;
    echo.send(Message::binary(payload(1000))).await.unwrap();
    assert_eq!(next(&mut echo).await, Message::binary(payload(1000)));
    echo.send(Message::binary(payload(1001))).await.unwrap();
    let Message::Close(Some(close)) = next(&mut echo).await else { panic!("it is closed") };
    assert_eq!(u16::from(close.code), 1009);
}

/// What the node answers to plain bytes.
async fn answer(node: &gateway::server::Server, request: &str) -> String {
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_plain_get_says_what_this_is() {
    let node = node(|_| {});
    let page = answer(&node, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("Content-Type: text/html; charset=utf-8\r\n"), "{page}");
    assert!(page.contains("<title>Weir") && page.contains("wscat"), "{page}");
}

#[tokio::test]
async fn refusals_are_answered_and_the_connection_ends() {
    let node = node(|_| {});
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("GET /ws/lobby HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
    ] {
        let answer = answer(&node, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}
