//! What becomes of a program's orders when shards come and go, and engines take their time.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use gateway::config::Config;
use gateway::handle::{ConnectionId, Content, Order, OrderError, To};
use gateway::sequencer::{self, Offset, Placed, Sequencer};
use gateway::server::Server;
use gateway_core::envelope::RoomName;
use gateway_core::handler::Callbacks;
use gateway_core::id::ShardId;
use gateway_core::route::RouteConfig;
use support::{Socket, connect, in_time, next, node};
use support_crowd::{end, until};
use tokio_tungstenite::tungstenite::Message;

/// An engine that answers when it is told to.
#[derive(Debug, Default)]
struct Slow(Mutex<Vec<sequencer::Ticket>>);

impl Sequencer for Slow {
    fn sequence(&self, ask: &sequencer::Ask<'_>) -> Placed {
        self.0.lock().unwrap().push(ask.ticket);
        Placed::Later
    }
}

fn shards(number: usize, change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        config.shards = Some(number);
        change(config);
    })
}

#[tokio::test]
async fn an_engines_answers_come_through_while_what_it_holds_up_waits() {
    let engine = Arc::new(Slow::default());
    let sequencer = Arc::clone(&engine);
    let node = shards(1, |config| {
        config.sequencer = Some(sequencer);
        config.limits.underway_bytes_max = 1_000;
    });
    let handle = node.handle();
    let mut member = connect(node.addr(), "/ws/lobby").await;
    let lobby = handle.room("ws", "lobby").unwrap();
    handle.publish(&lobby, Content::binary(vec![1; 2_000])).unwrap();
    until("the engine is asked", || engine.0.lock().unwrap().len() == 1).await;
    // More is under way than may be: this one waits for the engine's answer.
    handle.publish(&lobby, Content::binary(vec![2; 2_000])).unwrap();
    let ticket = engine.0.lock().unwrap()[0];
    let placed = Placed::At { prev: Offset(0), offset: Offset(1) };
    handle.place(ticket, placed).unwrap();
    assert_eq!(next(&mut member).await, Message::binary(vec![1; 2_000]));
    drop(member);
    end(node).await;
}

/// Connections by the order in which they came, which is another in each of them.
type Ids = Arc<Mutex<Vec<ConnectionId>>>;

fn noted(ids: &Ids) -> RouteConfig {
    let ids = Arc::clone(ids);
    let callbacks = Callbacks::new().opened(move |client| {
        ids.lock().unwrap().push(client.id());
        client.send_text("hello").unwrap();
    });
    RouteConfig::handled("/app", "app", callbacks)
}

/// Those who were born on a shard, by their number.
fn born(ids: &Ids, shard: u16) -> Vec<usize> {
    let ids = ids.lock().unwrap();
    let here = |id: &ConnectionId| id.birthplace() == Some(ShardId(shard));
    (0..ids.len()).filter(|&number| here(&ids[number])).collect()
}

fn live_on(node: &Server, shard: u16) -> u32 {
    node.census().live_on(gateway_registry::ids::ShardId(shard))
}

/// A request on the first shard that is never completed, which keeps that from ending.
async fn half_open_on_the_first(node: &Server) -> TcpStream {
    loop {
        let (before, first) = (node.census().live(), live_on(node, 0));
        let mut half = TcpStream::connect(node.addr()).unwrap();
        half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        until("it is accepted", || node.census().live() > before).await;
        if live_on(node, 0) > first {
            return half;
        }
        drop(half);
        until("it has gone", || node.census().live() == before).await;
    }
}

/// The texts that have come for a client.
async fn told(socket: &mut Socket) -> Vec<String> {
    let mut texts = Vec::new();
    // What came with the first ping is said before the answer to the second one.
    for _ in 0..2 {
        socket.send(Message::Ping(b"told".to_vec().into())).await.unwrap();
        loop {
            match in_time("a pong", socket.next()).await.unwrap().unwrap() {
                Message::Pong(_) => break,
                Message::Text(text) => texts.push(text.to_string()),
                other @ (Message::Ping(_)
                | Message::Binary(_)
                | Message::Close(_)
                | Message::Frame(_)) => panic!("unexpected {other:?}"),
            }
        }
    }
    texts
}

/// On one worker all shards are asked at once for a connection, and the first one, which knows only
/// where it sent that, answered for the one that had it.
#[tokio::test]
async fn who_has_moved_twice_is_reached_while_its_first_shard_still_leaves() {
    for workers in [1, 2, 3] {
        moved_twice_on(workers).await;
    }
}

async fn moved_twice_on(workers: usize) {
    let ids = Ids::default();
    let node = shards(3, |config| {
        config.workers = Some(workers);
        config.routes.push(noted(&ids));
    });
    let mut clients: Vec<Socket> = Vec::new();
    while born(&ids, 0).len() < 4 {
        let mut client = connect(node.addr(), "/app").await;
        assert_eq!(next(&mut client).await, Message::text("hello"));
        clients.push(client);
    }
    let half = half_open_on_the_first(&node).await;
    node.remove_shard(ShardId(0)).unwrap();
    until("all but one have left the first", || live_on(&node, 0) == 1).await;
    node.remove_shard(ShardId(1)).unwrap();
    until("the second has gone", || !node.shards().contains(&ShardId(1))).await;
    assert!(node.shards().contains(&ShardId(0)), "the first is still leaving");
    let handle = node.handle();
    for (number, &id) in ids.lock().unwrap().iter().enumerate() {
        handle.send_text(To::Connection(id), format!("{number}")).unwrap();
    }
    until("all is carried out", || handle.waiting() == (0, 0)).await;
    let mut missed = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        if told(client).await != [number.to_string()] {
            missed.push(number);
        }
    }
    assert!(missed.is_empty(), "{missed:?} of {:?} from the first shard", born(&ids, 0));
    drop((half, clients));
    end(node).await;
}

#[tokio::test]
async fn a_room_that_no_route_opens_is_refused_by_whatever_way_it_is_named() {
    let node = shards(1, |_| ());
    let handle = node.handle();
    let lobby = handle.room("ws", "lobby").unwrap();
    let long = RoomName { name: "x".repeat(100_000).into(), ..lobby.clone() };
    let publish = Order::Publish(long.clone(), Content::text("hi"));
    assert!(matches!(handle.order(publish), Err(OrderError::RoomName { .. })));
    let join = handle.join(To::Everyone, &long);
    assert!(matches!(join, Err(OrderError::RoomName { .. })));
    end(node).await;
}
