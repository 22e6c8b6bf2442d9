//! Ports of shards: who connects to one is served there, in the same rooms as all others.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use gateway::config::Config;
use gateway::server::{AddError, OwnPortError, Server, StartError};
use gateway_core::id::ShardId;
use support::{connect, free_ports, next, node, say};
use support_crowd::{end, until};
use tokio_tungstenite::tungstenite::Message;

const SHARDS: u16 = 3;

/// Three shards with ports of their own, and room for two more; which port is the first.
fn ported(change: impl FnOnce(&mut Config)) -> (Server, u16) {
    let base = free_ports(SHARDS + 2);
    let node = node(|config| {
        (config.shards, config.base_port) = (Some(SHARDS.into()), Some(base));
        change(config);
    });
    (node, base)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn connections(node: &Server) -> Vec<u32> {
    (node.stats())().shards.iter().map(|shard| shard.connections).collect()
}

#[tokio::test]
async fn who_connects_to_a_shards_port_is_served_there_wherever_its_room_is() {
    let (node, base) = ported(|config| config.workers = Some(2));
    for shard in 0..SHARDS {
        assert_eq!(node.shard_addr(ShardId(shard)), Some(local(base + shard)));
    }
    // A pair would meet at its room's home, if they had not asked for these shards.
    let mut members = Vec::new();
    for _ in 0..4 {
        for shard in 0..SHARDS {
            members.push(connect(local(base + shard), "/ws/lobby").await);
        }
    }
    let mut pairs = Vec::new();
    for pair in 0..10 {
        let path = format!("/ws/pair-{pair}");
        pairs.push([connect(local(base), &path).await, connect(local(base + 2), &path).await]);
    }
    until("all are shown where they came", || connections(&node) == [14, 4, 14]).await;
    for [ann, bob] in &mut pairs {
        say(ann, "hello").await;
        assert_eq!(next(bob).await, Message::text("hello"));
        say(bob, "hello yourself").await;
        assert_eq!(next(ann).await, Message::text("hello yourself"));
    }
    let mut shared = connect(node.addr(), "/ws/lobby").await;
    say(&mut shared, "everyone").await;
    for member in &mut members {
        assert_eq!(next(member).await, Message::text("everyone"));
    }
    say(&mut members[0], "and you").await;
    assert_eq!(next(&mut shared).await, Message::text("and you"));
    until("one more is shown", || connections(&node).iter().sum::<u32>() == 33).await;
    drop((members, pairs, shared));
    end(node).await;
}

#[tokio::test]
async fn ports_come_and_go_with_their_shards() {
    let (node, base) = ported(|_| ());
    let mut ann = connect(local(base + 1), "/ws/lobby").await;
    let mut bob = connect(local(base + 2), "/ws/lobby").await;
    node.remove_shard(ShardId(1)).unwrap();
    until("the shard is gone", || !node.shards().contains(&ShardId(1))).await;
    let late = TcpStream::connect(local(base + 1)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ConnectionRefused);
    say(&mut ann, "moved").await;
    assert_eq!(next(&mut bob).await, Message::text("moved"));

    let added = node.add_shard().unwrap();
    assert_eq!((added, node.shard_addr(added)), (ShardId(3), Some(local(base + 3))));
    let mut eve = connect(local(base + 3), "/ws/lobby").await;
    assert_eq!(node.census().shard(3).live(), 1);
    say(&mut eve, "new here").await;
    assert_eq!(next(&mut ann).await, Message::text("new here"));
    assert_eq!(next(&mut bob).await, Message::text("new here"));
    node.drain();
    for client in [&mut ann, &mut bob, &mut eve] {
        let Message::Close(Some(close)) = next(client).await else { panic!("goodbye") };
        assert_eq!(u16::from(close.code), 1001);
    }
    drop((ann, bob, eve));
    let shared = node.addr();
    end(node).await;
    for addr in [shared, local(base + 3)] {
        let late = TcpStream::connect(addr).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn a_port_that_somebody_has_is_an_error_that_says_which() {
    let base = free_ports(3);
    // It would share its port with whoever asks for that too.
    let taken = gateway::net::listen::bind(local(base + 1), &Default::default()).unwrap();
    let mut config = Config::default();
    (config.addr, config.shards) = (local(0), Some(2));
    (config.base_port, config.pin) = (Some(base), false);
    let error = Server::start(&config).unwrap_err();
    assert!(matches!(error, StartError::OwnPort(OwnPortError::Bind { .. })), "{error:?}");
    let told = error.to_string();
    let who = format!("cannot listen on 127.0.0.1:{} for shard 1: ", base + 1);
    assert!(told.starts_with(&who) && told.contains("give another --base-port"), "{told}");
    drop(taken);

    let node = Server::start(&config).unwrap();
    let taken = TcpListener::bind(local(base + 2)).unwrap();
    let told = node.add_shard().unwrap_err().to_string();
    assert!(told.contains(&format!("127.0.0.1:{} for shard 2", base + 2)), "{told}");
    drop(taken);
    assert_eq!(node.add_shard().unwrap(), ShardId(2), "the id was not used up");
    end(node).await;
}

#[tokio::test]
async fn ports_that_are_not_there_are_an_error() {
    let mut config = Config::default();
    (config.addr, config.pin) = (local(0), false);
    (config.shards, config.base_port) = (Some(2), Some(65_535));
    let told = Server::start(&config).unwrap_err().to_string();
    assert_eq!(told, "--base-port 65535: give 1 to 65534, for a port of each shard");
    config.shards = Some(1);
    let node = Server::start(&config).unwrap();
    let error = node.add_shard().unwrap_err();
    assert!(matches!(error, AddError::OwnPort(OwnPortError::Beyond { .. })), "{error:?}");
    assert_eq!(
        error.to_string(),
        "--base-port 65535: shard 1 would need a port beyond 65535; restart with a lower one"
    );
    end(node).await;
}
