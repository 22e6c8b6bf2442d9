//! One source has of a node what it may have, over all shards, and what it had is given back.
//!
//! Each address of 127.0.0.0/8 is a source of its own here, as soon as loopback is not exempt.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use gateway::config::{Config, SourceConfig};
use gateway::server::Server;
use gateway::sources::Sources;
use gateway_core::event::CloseReason;
use gateway_core::id::ShardId;
use support::{Socket, in_time, node, upgrade};
use support_crowd::{Crowd, Room, Speech, end, gather, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
const AWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn limited(change: impl FnOnce(&mut SourceConfig)) -> Server {
    shards(2, change)
}

fn shards(shards: usize, change: impl FnOnce(&mut SourceConfig)) -> Server {
    node(|config: &mut Config| {
        (config.shards, config.workers) = (Some(shards), Some(2));
        config.sources.loopback = true;
        change(&mut config.sources);
    })
}

async fn call(addr: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(addr).await
}

async fn enter(node: &Server, from: Ipv4Addr) -> Socket {
    upgrade(call(node.addr(), from).await.unwrap(), "/ws/simple").await
}

/// What a plain request is answered, up to the end.
async fn ask(node: &Server, from: Ipv4Addr) -> io::Result<String> {
    let mut stream = call(node.addr(), from).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    in_time("an answer", read).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_source_beyond_its_connections_hears_429_on_every_shard_and_others_are_served() {
    let node = limited(|sources| sources.connections_max = 5);
    let mut inside = Vec::new();
    for _ in 0..5 {
        inside.push(enter(&node, HOME).await);
    }
    for _ in 0..8 {
        let answer = ask(&node, HOME).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: ") && answer.contains("close some"), "{answer}");
    }
    let others = [enter(&node, AWAY).await, enter(&node, AWAY).await];
    assert_eq!(node.sources().connections(), 7);
    drop(inside.pop());
    until("one has gone", || node.sources().connections() == 6).await;
    inside.push(enter(&node, HOME).await);
    drop((inside, others));
    until("all have gone", || node.sources().connections() == 0).await;
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Answered(429).index()], 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_comes_too_often_is_reset_unread_and_others_are_served() {
    let node = limited(|sources| (sources.rate, sources.burst) = (1, 6));
    let mut served = 0;
    let mut reset = 0;
    for _ in 0..40 {
        match ask(&node, HOME).await {
            Ok(answer) => {
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                served += 1;
            }
            Err(error) => {
                let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
                assert!(gone.contains(&error.kind()), "{error}");
                reset += 1;
            }
        }
    }
    // Some more came back meanwhile.
    assert!(served >= 6 && reset > 0, "{served} served, {reset} reset");
    assert!(ask(&node, AWAY).await.unwrap().starts_with("HTTP/1.1 200 "));
    let counters = end(node).await;
    assert_eq!(counters.accepted, served + 1, "who is reset was nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn this_machines_clients_have_no_bounds_unless_told() {
    let node = limited(|sources| {
        sources.loopback = false;
        (sources.connections_max, sources.rate, sources.burst) = (1, 1, 1);
    });
    let mut inside = Vec::new();
    for _ in 0..20 {
        inside.push(enter(&node, HOME).await);
    }
    assert_eq!((node.sources().connections(), node.sources().known()), (0, 0));
    drop(inside);
    end(node).await;
}

/// Where a seat is lost, the count does not come back to nothing; where it is given back twice,
/// it would be less than nothing, which panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn seats_go_along_when_connections_move_and_shards_are_removed_and_added() {
    let node = shards(4, |sources| {
        (sources.connections_max, sources.rate) = (1_000, 0);
    });
    let sources: Arc<Sources> = Arc::clone(node.sources());
    // Pairs go where their rooms are.
    let mut rooms: Vec<_> = (0..60).map(|n| Room::new(format!("/ws/pair-{n}"), 2)).collect();
    rooms.push(Room::new("/ws/wide".to_owned(), 40));
    let mut sockets = gather(node.addr(), &rooms).await;
    assert_eq!(sources.connections(), 160);
    for shard in [ShardId(0), ShardId(1)] {
        node.remove_shard(shard).unwrap();
    }
    until("they have gone", || node.shards().len() == 2).await;
    assert_eq!(sources.connections(), 160);
    node.add_shard().unwrap();
    sockets.iter_mut().take(30).for_each(|pair| drop(pair.pop()));
    until("thirty have gone", || sources.connections() == 130).await;
    drop(sockets);
    until("all have gone", || sources.connections() == 0).await;

    let sockets = gather(node.addr(), &rooms).await;
    let told = Crowd::start(&rooms, sockets, &Speech::Messages(2)).end().await;
    assert_eq!(sources.connections(), 160);
    node.drain();
    drop(told.sockets);
    let counters = end(node).await;
    assert!(counters.moved_in > 60, "some did move: {}", counters.moved_in);
    assert_eq!(sources.connections(), 0, "a drain gives back what is left");
}

/// Who has no place on the node keeps none of its source's either.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_hears_503_is_not_counted() {
    let node = node(|config: &mut Config| {
        (config.shards, config.max_connections) = (Some(1), Some(2));
        config.sources.loopback = true;
        config.sources.connections_max = 3;
    });
    let inside = [enter(&node, HOME).await, enter(&node, HOME).await];
    for _ in 0..5 {
        let answer = ask(&node, HOME).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    assert_eq!(node.sources().connections(), 2);
    drop(inside);
    end(node).await;
}
