//! The same shard over the portable network, as other systems run it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use gateway::net::TokioNet;
use gateway::net::listen::{self, Options};
use gateway::shard::{self, DrainSignal};
use gateway::turn::Turn;
use gateway_core::counters::Counters;
use gateway_core::hub::{Config, Hub};
use gateway_registry::census::{Capacity, Census};
use support::{connect, in_time, next, say, sync};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A shard on this test's own thread.
fn shard() -> (SocketAddr, DrainSignal, JoinHandle<std::io::Result<Counters>>) {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let addr = listener.local_addr().unwrap();
    let drain = DrainSignal::default();
    let turn = Turn::new(TokioNet::new(listener).unwrap(), Hub::new(Config::default()), 64);
    let capacity = Capacity { total_max: 100, shard_max: 100 };
    let running = shard::run(turn, drain.clone(), Arc::new(Census::new(capacity, 1)));
    (addr, drain, tokio::task::spawn_local(running))
}

#[tokio::test]
async fn rooms_echoes_and_the_end_work_over_tokios_sockets() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let (addr, drain, running) = shard();
            let mut members = Vec::new();
            for _ in 0..20 {
                let mut member = connect(addr, "/ws/lobby").await;
                sync(&mut member).await;
                members.push(member);
            }
            for n in 0..50 {
                say(&mut members[0], &format!("{n}")).await;
            }
            for member in &mut members[1..] {
                for n in 0..50 {
                    assert_eq!(next(member).await, Message::text(n.to_string()));
                }
            }
            let mut echo = connect(addr, "/ws/simple").await;
            let large = Message::binary(vec![7; 8 << 20]);
            echo.send(large.clone()).await.unwrap();
            assert!(next(&mut echo).await == large);
            drain.give();
            for member in members.iter_mut().chain([&mut echo]) {
                let Message::Close(Some(close)) = next(member).await else { panic!("closed") };
                assert_eq!(u16::from(close.code), 1001);
                assert!(in_time("the end", member.next()).await.is_none());
            }
            let counters = in_time("the shard", running).await.unwrap().unwrap();
            assert_eq!(counters.accepted, 21);
            assert_eq!(counters.closed_total(), 21);
        })
        .await;
}
