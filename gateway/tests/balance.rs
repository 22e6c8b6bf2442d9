//! Newcomers go to the shard that the strategy names, whichever shard accepted them.
//!
//! Each address of 127.0.0.0/8 is a client of its own here. Clients that talk to themselves are in
//! no room, so that nobody follows one to its home.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::StreamExt;
use gateway::config::Config;
use gateway::server::{Removal, Server};
use gateway::steer::Steer;
use gateway_core::id::ShardId;
use gateway_ebpf::Strategy;
use support::{Socket, connect, in_time, next, node, say, upgrade};
use support_crowd::{end, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const SHARDS: u16 = 4;
const ECHO: &str = "/ws/simple";

/// What chooses listeners: nothing of ours, and the best that is to be had here.
const RUNGS: [Steer; 2] = [Steer::Off, Steer::Auto];

/// A node whose shards do all of it themselves.
fn balanced(strategy: Strategy, change: impl FnOnce(&mut Config)) -> Server {
    steered(Steer::Off, strategy, change)
}

fn steered(steer: Steer, strategy: Strategy, change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        (config.shards, config.workers) = (Some(SHARDS.into()), Some(2));
        config.steer.steer = steer;
        config.balance.strategy = strategy;
        change(config);
    })
}

/// Connections of each shard.
fn live(node: &Server) -> Vec<u32> {
    let shards = (0..SHARDS).map(usize::from);
    shards.map(|shard| node.census().shard(shard).live()).collect()
}

async fn call(addr: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    in_time("a connection", socket.connect(addr)).await.unwrap()
}

async fn enter(node: &Server) -> Socket {
    connect(node.addr(), ECHO).await
}

/// So many who stay.
async fn gather(node: &Server, people: usize) -> Vec<Socket> {
    let mut all = Vec::with_capacity(people);
    for _ in 0..people {
        all.push(enter(node).await);
    }
    all
}

async fn leave(node: &Server, sockets: Vec<Socket>) {
    drop(sockets);
    until("everyone has left", || node.census().live() == 0).await;
}

/// Everyone is heard and answered, wherever it is served.
async fn speak(sockets: &mut [Socket]) {
    for (n, socket) in sockets.iter_mut().enumerate() {
        let text = n.to_string();
        say(socket, &text).await;
        assert_eq!(next(socket).await, Message::text(text));
    }
}

#[tokio::test]
async fn by_round_robin_each_shard_has_its_turn() {
    for steer in RUNGS {
        let node = steered(steer, Strategy::RoundRobin, |_| ());
        let mut sockets = gather(&node, 40).await;
        assert_eq!(live(&node), [10; 4], "{steer:?}");
        speak(&mut sockets).await;
        leave(&node, sockets).await;
        let counters = end(node).await;
        assert_eq!((counters.accepted, counters.opened, counters.moved_in), (40, 40, 0));
        let passed = counters.passed > 0;
        assert!(
            passed || steer != Steer::Off,
            "the kernel's hash does not deal them out like this"
        );
    }
}

#[tokio::test]
async fn by_least_connections_no_shard_has_two_more_than_another() {
    for steer in RUNGS {
        let node = steered(steer, Strategy::LeastConnections, |_| ());
        let even = || live(&node).iter().max().unwrap() - live(&node).iter().min().unwrap() <= 1;
        let mut sockets = Vec::new();
        for _ in 0..30 {
            sockets.push(enter(&node).await);
            assert!(even(), "{steer:?}: {:?}", live(&node));
        }
        // Whoever leaves makes room for the next ones.
        sockets.truncate(11);
        until("they have left", || node.census().live() == 11).await;
        sockets.extend(gather(&node, 29).await);
        assert_eq!(live(&node), [10; 4], "{steer:?}");
        leave(&node, sockets).await;
        end(node).await;
    }
}

#[tokio::test]
async fn by_hash_whoever_returns_meets_its_shard_in_every_process_on_every_rung() {
    let mut met = Vec::new();
    for steer in RUNGS {
        let node = steered(steer, Strategy::Hash, |_| ());
        for host in (1..=16).chain(1..=16) {
            let before = live(&node);
            let stream = call(node.addr(), Ipv4Addr::new(127, 0, 7, host)).await;
            let socket = upgrade(stream, ECHO).await;
            let after = live(&node);
            let shard = (0..4).find(|&shard| after[shard] > before[shard]).unwrap();
            let known = met.get(usize::from(host) - 1).copied();
            assert_eq!(shard, known.unwrap_or(shard), "{steer:?}: host {host}");
            if known.is_none() {
                met.push(shard);
            }
            leave(&node, vec![socket]).await;
        }
        end(node).await;
    }
    assert!((0..4).all(|shard| met.contains(&shard)), "{met:?}");
}

#[tokio::test]
async fn by_weight_and_by_chance_shards_are_met_in_proportion() {
    let set = |config: &mut Config| config.balance.weights = vec![3, 1];
    let node = balanced(Strategy::Weighted, set);
    let sockets = gather(&node, 600).await;
    let shares = [300, 100, 100, 100];
    let near = |(live, share): (&u32, u32)| live.abs_diff(share) <= 60;
    assert!(live(&node).iter().zip(shares).all(near), "{:?}", live(&node));
    leave(&node, sockets).await;
    end(node).await;

    let node = balanced(Strategy::Random, |_| ());
    let sockets = gather(&node, 400).await;
    assert!(live(&node).iter().zip([100; 4]).all(near), "{:?}", live(&node));
    leave(&node, sockets).await;
    end(node).await;
}

#[tokio::test]
async fn by_affinity_nobody_comes_to_a_shard_beyond_its_bound() {
    let base = support::free_ports(SHARDS);
    let node = balanced(Strategy::Affinity, |config| config.base_port = Some(base));
    let own = node.shard_addr(ShardId(0)).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..150 {
        sockets.push(connect(own, ECHO).await);
    }
    // A share of 250 is 62.5, so that 126 would be the last there.
    sockets.extend(gather(&node, 100).await);
    assert_eq!(live(&node)[0], 150, "who asked for it stays, and nobody else comes");
    leave(&node, sockets).await;
    end(node).await;
}

#[tokio::test]
async fn whoever_comes_by_a_shards_own_port_is_never_passed_on() {
    let base = support::free_ports(SHARDS);
    let node = balanced(Strategy::RoundRobin, |config| config.base_port = Some(base));
    let own = node.shard_addr(ShardId(2)).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(connect(own, ECHO).await);
    }
    assert_eq!(live(&node), [0, 0, 8, 0]);
    leave(&node, sockets).await;
    assert_eq!(end(node).await.passed, 0);
}

/// What a plain request is answered, up to the end.
async fn ask(node: &Server) -> String {
    let mut stream = call(node.addr(), Ipv4Addr::LOCALHOST).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_full_shard_passes_newcomers_on_and_a_full_node_says_when_to_come_back() {
    let rungs = RUNGS.map(|steer| Strategy::ALL.map(|strategy| (steer, strategy)));
    for (steer, strategy) in rungs.into_iter().flatten() {
        let base = support::free_ports(SHARDS);
        let node = steered(steer, strategy, |config| {
            config.limits.connections_max = 10;
            config.base_port = Some(base);
        });
        let own = node.shard_addr(ShardId(1)).unwrap();
        let mut sockets = Vec::new();
        for _ in 0..10 {
            sockets.push(connect(own, ECHO).await);
        }
        sockets.extend(gather(&node, 30).await);
        assert_eq!(live(&node), [10; 4], "{strategy:?}");
        speak(&mut sockets).await;
        for _ in 0..8 {
            let answer = ask(&node).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            // How long is drawn, so that not all come back at once.
            assert!(answer.contains("\r\nRetry-After: "), "{answer}");
        }
        drop(sockets.swap_remove(3));
        until("one has left", || node.census().live() == 39).await;
        sockets.push(enter(&node).await);
        assert_eq!(live(&node), [10; 4], "{strategy:?}");
        leave(&node, sockets).await;
        end(node).await;
    }
}

#[tokio::test]
async fn what_a_source_has_is_counted_wherever_its_connections_are_served() {
    let node = balanced(Strategy::RoundRobin, |config| {
        config.sources.loopback = true;
        config.sources.connections_max = 8;
    });
    for _ in 0..2 {
        let sockets = gather(&node, 8).await;
        assert_eq!(live(&node), [2; 4]);
        assert!(ask(&node).await.starts_with("HTTP/1.1 429 "));
        leave(&node, sockets).await;
    }
    end(node).await;
}

#[tokio::test]
async fn a_proxy_is_heard_by_the_shard_that_its_client_was_passed_to() {
    let node = balanced(Strategy::RoundRobin, |config| {
        config.sources.proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let mut sockets = Vec::new();
    for n in 0..12 {
        let mut stream = call(node.addr(), Ipv4Addr::LOCALHOST).await;
        let header = format!("PROXY TCP4 192.0.2.{n} 192.0.2.255 1 2\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        sockets.push(upgrade(stream, ECHO).await);
    }
    assert_eq!(live(&node), [3; 4]);
    speak(&mut sockets).await;
    leave(&node, sockets).await;
    end(node).await;
}

/// Connects, speaks and leaves, again and again; how often.
async fn come_and_go(addr: SocketAddr, stop: Arc<AtomicBool>, visits: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let mut socket = connect(addr, ECHO).await;
        say(&mut socket, "hello").await;
        assert_eq!(next(&mut socket).await, Message::text("hello"));
        socket.close(None).await.unwrap();
        while let Some(message) = in_time("the end", socket.next()).await {
            message.unwrap();
        }
        visits.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn shards_come_and_go_under_newcomers_and_nobody_is_refused_or_reset() {
    for (steer, strategy) in [
        (Steer::Off, Strategy::RoundRobin),
        (Steer::Off, Strategy::LeastConnections),
        (Steer::Auto, Strategy::Hash),
        (Steer::Auto, Strategy::Affinity),
    ] {
        let node = steered(steer, strategy, |_| ());
        let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let visitor = || come_and_go(node.addr(), Arc::clone(&stop), Arc::clone(&visits));
        let visitors: Vec<_> = (0..8).map(|_| tokio::spawn(visitor())).collect();
        for old in 0..2 * SHARDS {
            node.add_shard().unwrap();
            node.remove_shard(ShardId(old)).unwrap();
            until("the shard is gone", || !node.shards().contains(&ShardId(old))).await;
            let visited = visits.load(Ordering::Relaxed);
            until("others came", || visits.load(Ordering::Relaxed) > visited + 20).await;
        }
        stop.store(true, Ordering::Relaxed);
        for visitor in visitors {
            in_time("a visitor", visitor).await.expect("it is served each time");
        }
        until("everyone has left", || node.census().live() == 0).await;
        let (visits, counters) = (visits.load(Ordering::Relaxed), end(node).await);
        assert_eq!((counters.accepted, counters.opened), (visits, visits));
        assert_eq!(counters.closed_total(), visits);
        assert!(counters.passed > 0 || steer != Steer::Off);
    }
}

#[tokio::test]
async fn a_shard_that_is_dismissed_tells_its_own_to_go_and_nobody_else() {
    let node = balanced(Strategy::RoundRobin, |_| ());
    let sockets = gather(&node, 12).await;
    let shards = node.shards_handle();
    shards.remove(ShardId(2), Removal::Dismiss).unwrap();
    // By turns: each third one of four.
    for (n, mut socket) in sockets.into_iter().enumerate() {
        if n % 4 == 2 {
            let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a reason") };
            assert_eq!(u16::from(close.code), 1001);
            assert!(close.reason.starts_with("drained on request"), "{}", close.reason);
        } else {
            speak(std::slice::from_mut(&mut socket)).await;
        }
    }
    until("the shard is gone", || shards.list().iter().all(|state| state.shard.0 != 2)).await;
    end(node).await;
}

#[tokio::test]
async fn a_shard_whose_connections_move_may_dismiss_them_after_all() {
    let node = balanced(Strategy::RoundRobin, |config| config.limits.connections_max = 3);
    let mut sockets = gather(&node, 12).await;
    let shards = node.shards_handle();
    // All others are full, so that its own stay.
    shards.remove(ShardId(1), Removal::Move).unwrap();
    speak(&mut sockets).await;
    assert!(shards.list().iter().any(|state| state.leaving && state.connections == 3));
    shards.remove(ShardId(1), Removal::Dismiss).unwrap();
    let mut told = sockets.swap_remove(1);
    assert!(matches!(next(&mut told).await, Message::Close(Some(_))));
    drop((told, sockets));
    until("the shard is gone", || shards.list().len() == 3).await;
    end(node).await;
}
