//! Everyone comes into one chat at once: all get in, nobody is told too much, and those who talk
//! meanwhile are heard.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures_util::SinkExt;
use gateway_core::chat::LISTED_MAX;
use serde_json::Value;
use support::{Socket, in_time, next, node};
use support_crowd::end;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const PEOPLE: usize = 1_000;
/// Lines that somebody says while all the others come.
const LINES: usize = 200;

async fn join(addr: SocketAddr, name: &str) -> Socket {
    let url = format!("ws://{addr}/ws/chat/lobby?name={name}&access_token=t");
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "weir.chat.v1".parse().unwrap());
    let stream = TcpStream::connect(addr).await.unwrap();
    in_time("an upgrade", tokio_tungstenite::client_async(request, stream)).await.unwrap().0
}

/// The next thing that a member is told.
async fn told(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

/// Reads until somebody says `end`; what was said before, and how many lists came.
async fn listen(mut socket: Socket) -> (Socket, Vec<String>, usize) {
    let (mut said, mut lists) = (Vec::new(), 0);
    loop {
        let told = told(&mut socket).await;
        match told["type"].as_str().unwrap() {
            "message" if told["text"] == "end" => return (socket, said, lists),
            "message" => said.push(told["text"].as_str().unwrap().to_owned()),
            "userlist" => lists += 1,
            other => panic!("{other}: {told}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_join_one_chat_at_once_and_nothing_is_lost() {
    let server = node(|config| {
        config.shards = Some(2);
        config.token = Some("t".to_owned().into());
    });
    let addr = server.addr();
    let witness = tokio::spawn(listen(join(addr, "witness").await));
    let mut speaker = join(addr, "speaker").await;
    let mut joined = Vec::new();
    let started = tokio::time::Instant::now();
    for number in 0..PEOPLE {
        joined.push(tokio::spawn(async move {
            let socket = join(addr, &format!("p{number}")).await;
            listen(socket).await
        }));
        if number % (PEOPLE / LINES) == 0 {
            let line = Message::text(format!("line {}", number / (PEOPLE / LINES)));
            speaker.send(line).await.unwrap();
        }
        // So many a second that each list would be of hundreds to hundreds.
        tokio::task::yield_now().await;
    }
    support_crowd::until("all are there", || server.census().live() == PEOPLE as u64 + 2).await;
    // Whoever was answered hears what is said from now on.
    support_crowd::until("all were answered", || {
        server.stats()().counters().opened == PEOPLE as u64 + 2
    })
    .await;
    speaker.send(Message::text("end")).await.unwrap();
    let (socket, said, lists) = in_time("the witness", witness).await.unwrap();
    // However long that was: one list is due in each quarter of a second.
    let took = started.elapsed();
    let lines: Vec<_> = (0..LINES).map(|line| format!("line {line}")).collect();
    assert_eq!(said, lines, "who was there all the time heard all");
    let ticks = usize::try_from(took.as_millis() / 250).unwrap() + 3;
    assert!(lists <= ticks, "{lists} lists in {took:?}");
    let mut sockets = vec![socket, speaker];
    for one in joined {
        let (socket, said, _) = in_time("a member", one).await.unwrap();
        let first = LINES - said.len();
        assert_eq!(said, lines[first..], "all that was said since it was answered");
        sockets.push(socket);
    }
    leave_one_by_one(sockets).await;
    let counters = end(server).await;
    assert_eq!((counters.dropped, counters.gaps), (0, 0));
    assert_eq!(counters.opened, PEOPLE as u64 + 2);
}

/// When all but a few have gone, those who are left are listed by name.
async fn leave_one_by_one(mut sockets: Vec<Socket>) {
    let mut left = sockets.split_off(sockets.len() - 3);
    drop(sockets);
    for socket in &mut left {
        let users = loop {
            let told = told(socket).await;
            if let Some(users) = told["users"].as_array().filter(|users| users.len() == 3) {
                assert!(users.len() <= LISTED_MAX);
                break users.clone();
            }
        };
        let users: BTreeSet<_> = users.iter().map(|user| user.as_str().unwrap()).collect();
        let wanted = (PEOPLE - 3..PEOPLE).map(|number| format!("p{number}"));
        assert!(wanted.into_iter().all(|name| users.contains(name.as_str())), "{users:?}");
    }
}
