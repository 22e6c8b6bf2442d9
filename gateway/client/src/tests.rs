//! The client and a tungstenite server, over a stream in memory.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{self as ws, CloseFrame};
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async};

use crate::{Client, ClientError, MESSAGE_BYTES_MAX, Message};

const URL: &str = "ws://weir.test/ws/lobby";

/// A client and a server that have shaken hands.
async fn pair() -> (Client<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (near, far) = duplex(1 << 10);
    let (client, server) = tokio::join!(Client::handshake(near, URL), accept_async(far));
    (client.unwrap(), server.unwrap())
}

fn close_frame(code: u16, reason: &'static str) -> ws::Message {
    ws::Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

#[track_caller]
fn assert_closed(outcome: Result<Message, ClientError>, expected: (Option<u16>, &str)) {
    match outcome {
        Err(ClientError::Closed { code, reason }) => {
            assert_eq!((code, reason.as_str()), expected);
        }
        other => panic!("{other:?} is no close"),
    }
}

#[tokio::test]
async fn messages_go_both_ways_as_they_are() {
    let (mut client, mut server) = pair().await;
    client.send_text("café").await.unwrap();
    client.send_binary(&b"\xFF\0"[..]).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), ws::Message::text("café"));
    assert_eq!(server.next().await.unwrap().unwrap(), ws::Message::binary(&b"\xFF\0"[..]));
    server.send(ws::Message::text("bonjour")).await.unwrap();
    server.send(ws::Message::binary(&b""[..])).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Message::Text("bonjour".into()));
    assert_eq!(client.next().await.unwrap(), Message::Binary("".into()));
}

#[tokio::test]
async fn pings_are_answered_while_the_client_waits_for_messages() {
    let (mut client, mut server) = pair().await;
    server.send(ws::Message::Ping("are you there".into())).await.unwrap();
    server.send(ws::Message::Pong("".into())).await.unwrap();
    let listen = async {
        let answer = server.next().await.unwrap().unwrap();
        server.send(ws::Message::text("after")).await.unwrap();
        answer
    };
    let (message, answer) = tokio::join!(client.next(), listen);
    assert_eq!(message.unwrap(), Message::Text("after".into()));
    assert_eq!(answer, ws::Message::Pong("are you there".into()));
}

#[tokio::test]
async fn the_servers_close_is_answered_and_told_from_then_on() {
    let (mut client, mut server) = pair().await;
    server.send(ws::Message::text("last")).await.unwrap();
    server.send(close_frame(1013, "slow")).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Message::Text("last".into()));
    assert_closed(client.next().await, (Some(1013), "slow"));
    assert_closed(client.next().await, (Some(1013), "slow"));
    let outcome = client.send_text("too late").await.map(|()| Message::Text(String::new()));
    assert_closed(outcome, (Some(1013), "slow"));
    let answer = server.next().await.unwrap().unwrap();
    assert_eq!(answer, close_frame(1013, "slow"), "the client does not have to be asked again");
    client.close().await.expect("it is closed already");
}

#[tokio::test]
async fn a_close_frame_may_say_nothing() {
    let (mut client, mut server) = pair().await;
    server.send(ws::Message::Close(None)).await.unwrap();
    assert_closed(client.next().await, (None, ""));
}

#[tokio::test]
async fn closing_waits_for_the_servers_answer_past_its_messages() {
    let (mut client, mut server) = pair().await;
    server.send(ws::Message::text("on its way")).await.unwrap();
    let hear = async {
        let close = server.next().await.unwrap().unwrap();
        while server.next().await.is_some() {}
        close
    };
    let (closed, close) = tokio::join!(client.close(), hear);
    closed.unwrap();
    assert_eq!(close, close_frame(1000, ""));
    assert_closed(client.next().await, (Some(1000), ""));
}

#[tokio::test]
async fn halves_work_at_the_same_time() {
    let (client, mut server) = pair().await;
    let (mut sender, mut receiver) = client.split();
    let echo = async {
        while let Some(Ok(message)) = server.next().await {
            if message.is_close() {
                break;
            }
            server.send(message).await.unwrap();
        }
        while server.next().await.is_some() {}
    };
    let say = async {
        for at in 0..200_u8 {
            // Together more than the stream holds, so that neither half may wait for the other.
            sender.send_binary(vec![at; 500]).await.unwrap();
        }
        sender.send_text("done").await.unwrap();
        sender.close().await.unwrap();
        assert!(matches!(sender.send_text("late").await, Err(ClientError::Closing)));
    };
    let hear = async {
        for at in 0..200_u8 {
            assert_eq!(receiver.next().await.unwrap(), Message::Binary(vec![at; 500].into()));
        }
        assert_eq!(receiver.next().await.unwrap(), Message::Text("done".into()));
        assert_closed(receiver.next().await, (Some(1000), ""));
        assert_closed(receiver.next().await, (Some(1000), ""));
    };
    tokio::join!(echo, say, hear);
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_told_apart() {
    let (mut client, server) = pair().await;
    drop(server);
    assert!(matches!(client.next().await, Err(ClientError::Ended)));
    assert!(client.send_text("hello").await.is_err());
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason() {
    let (near, mut far) = duplex(1 << 10);
    let refuse = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(far.read_u8().await.unwrap());
        }
        let response = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nfull\n";
        far.write_all(response.as_bytes()).await.unwrap();
    };
    let (client, ()) = tokio::join!(Client::handshake(near, URL), refuse);
    match client {
        Err(ClientError::Refused { status: 503, why }) => assert_eq!(why, "full"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_end_within_the_handshake_is_an_error() {
    let (near, mut far) = duplex(1 << 10);
    let hang_up = async move {
        far.read_u8().await.unwrap();
    };
    let (client, ()) = tokio::join!(Client::handshake(near, URL), hang_up);
    assert!(matches!(client, Err(ClientError::Ended | ClientError::Broken(_))), "{client:?}");
}

#[tokio::test]
async fn headers_are_sent_along() {
    let (near, far) = duplex(1 << 10);
    let mut seen = Vec::new();
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        for name in ["host", "authorization"] {
            seen.push(request.headers()[name].to_str().unwrap().to_owned());
        }
        seen.push(request.uri().to_string());
        Ok(response)
    };
    let headers = [("Authorization", "Bearer weir")];
    let client = Client::handshake_with_headers(near, URL, &headers);
    let (client, server) = tokio::join!(client, accept_hdr_async(far, callback));
    client.unwrap();
    server.unwrap();
    assert_eq!(seen, ["weir.test", "Bearer weir", "/ws/lobby"]);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_from_its_header() {
    let (near, far) = duplex(1 << 10);
    let (client, server) = tokio::join!(Client::handshake(near, URL), accept_async(far));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let mut header = b"\x82\x7f".to_vec();
    header.extend((MESSAGE_BYTES_MAX as u64 + 1).to_be_bytes());
    server.get_mut().write_all(&header).await.unwrap();
    assert!(matches!(client.next().await, Err(ClientError::TooBig(_))));
}
