//! The examples do what they say.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

#[path = "../examples/broadcast.rs"]
mod broadcast;
#[path = "../examples/handler.rs"]
mod handler;

use futures_util::SinkExt;
use gateway::admin::Probes;
use gateway::config::Config;
use support::{connect, next, say};
use support_crowd::{end, until};
use tokio_tungstenite::tungstenite::Message;

/// Messages, far more than the rate allows.
const FLOOD: u32 = 1_000;

fn config() -> Config {
    let mut config = Config::default();
    config.addr.set_port(0);
    (config.shards, config.pin) = (Some(3), false);
    config
}

#[tokio::test]
async fn what_a_client_broadcasts_all_others_hear() {
    let probes = Probes::new();
    let (node, clients) = broadcast::start(config(), &probes).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(connect(node.addr(), "/").await);
    }
    until("all are registered", || clients.size() == 10).await;
    assert_eq!(probes.read()["active_clients"], 10);
    // Rooms are joined in the turns after the answer.
    let there = || node.census().shards().filter(|cell| cell.live() > 0).count() as u64;
    let rooms = || node.census().shards().map(|cell| cell.rooms()).sum::<u64>();
    until("all are in the room", || rooms() == there()).await;
    for socket in &mut sockets {
        support::sync(socket).await;
    }
    say(&mut sockets[0], "Hello everyone!").await;
    for socket in &mut sockets[1..] {
        assert_eq!(next(socket).await, Message::text("Hello everyone!"));
    }
    say(&mut sockets[1], "and you").await;
    for (index, socket) in sockets.iter_mut().enumerate().filter(|&(index, _)| index != 1) {
        assert_eq!(next(socket).await, Message::text("and you"), "{index}");
    }
    drop(sockets);
    until("all have gone", || clients.size() == 0).await;
    assert_eq!(probes.read()["active_clients"], 0);
    let counters = end(node).await;
    assert_eq!((counters.messages, counters.deliveries), (2, 18));
}

#[tokio::test]
async fn people_count_together_and_floods_are_stopped() {
    let node = handler::start(config()).unwrap();
    let mut ann = connect(node.addr(), "/count/apples").await;
    assert_eq!(next(&mut ann).await, Message::text("apples: 0"));
    say(&mut ann, "+3").await;
    assert_eq!(next(&mut ann).await, Message::text("apples: 3"));
    say(&mut ann, "a dozen").await;
    assert_eq!(next(&mut ann).await, Message::text("apples: 15"));
    let mut bob = connect(node.addr(), "/count/apples").await;
    assert_eq!(next(&mut bob).await, Message::text("apples: 15"));
    say(&mut ann, "hello").await;
    assert_eq!(next(&mut ann).await, Message::text("a whole number, such as +3 or -1"));
    let mut pears = connect(node.addr(), "/count/pears").await;
    assert_eq!(next(&mut pears).await, Message::text("pears: 0"));
    // All of them arrive at once, and would be served for 43 seconds if nobody minded.
    for _ in 0..FLOOD {
        pears.feed(Message::text("1")).await.unwrap();
    }
    pears.flush().await.unwrap();
    let mut heard = 0;
    loop {
        match next(&mut pears).await {
            Message::Text(text) => {
                heard += 1;
                assert_eq!(text.as_str(), format!("pears: {heard}"));
            }
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1008);
                break;
            }
            other @ (Message::Binary(_)
            | Message::Ping(_)
            | Message::Pong(_)
            | Message::Close(None)
            | Message::Frame(_)) => panic!("{other:?}"),
        }
    }
    assert!((140..FLOOD).contains(&heard), "40 at once and 5 s of 20 each, not {heard}");
    drop((ann, bob, pears));
    end(node).await;
}
