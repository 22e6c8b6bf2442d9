//! What a running node shows of its rings, its CPUs and its door.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::net::{SocketAddr, TcpStream};

use gateway::admin::stats::{self, Stats};
use gateway::admin::{Probes, Value};
use gateway::machine;
use gateway::server::Server;
use support::{connect, next, node, say};
use support_crowd::{end, until};
use tokio_tungstenite::tungstenite::Message;

fn probes(node: &Server) -> Value {
    let probes = Probes::new();
    stats::register(&probes, &node.stats()).unwrap();
    probes.read()
}

#[tokio::test]
async fn rings_between_workers_are_shown_and_empty_when_all_was_heard() {
    let node = node(|config| {
        (config.shards, config.workers) = (Some(2), Some(2));
        config.base_port = Some(support::free_ports(2));
    });
    let own = |shard| node.shard_addr(gateway_core::id::ShardId(shard)).unwrap();
    let mut ann = connect(own(0), "/ws/lobby").await;
    let mut bob = connect(own(1), "/ws/lobby").await;
    say(&mut ann, "across").await;
    assert_eq!(next(&mut bob).await, Message::text("across"));
    let stats = node.stats();
    until("what was said is heard", || stats().ring_depths == [0, 0]).await;
    let shown = probes(&node);
    assert_eq!(shown["ring_depth"], serde_json::json!([0, 0]));
    for probe in ["off_cpu", "accepted_late", "accept_pauses"] {
        assert_eq!(shown[probe], 0, "{probe}: nobody is pinned, late or short of anything");
    }
    assert_eq!(shown["cross_node_bytes"], serde_json::json!([0, 0]), "nobody is on any node");
    let nowhere = |shard: usize| ["cpu", "node"].map(|of| shown["shards"][shard][of].is_null());
    assert_eq!([nowhere(0), nowhere(1)], [[true; 2]; 2], "nor on any CPU");
    drop((ann, bob));
    end(node).await;
    assert!(stats().ring_depths.is_empty(), "nothing waits where nobody is");
}

/// Connects so often from this CPU, which is where loopback's packets then arrive.
fn call_from(cpu: usize, addr: SocketAddr, calls: usize) -> Vec<TcpStream> {
    let caller = std::thread::spawn(move || {
        machine::pin(cpu).unwrap();
        (0..calls).map(|_| TcpStream::connect(addr).unwrap()).collect()
    });
    caller.join().unwrap()
}

#[tokio::test]
async fn who_is_served_on_another_cpu_than_its_packets_arrive_on_is_counted() {
    const CALLS: usize = 20;
    let allowed = machine::allowed_cpus();
    let node = node(|config| (config.shards, config.pin) = (Some(1), true));
    let stats = node.stats();
    let accepted = |calls: usize| {
        let stats = stats.clone();
        async move {
            let is_true = || stats().counters().accepted == calls as u64;
            until("all are accepted", is_true).await;
        }
    };
    let mut clients = Vec::new();
    // Whichever it is pinned to, all but one of the CPUs are others.
    for &cpu in &allowed {
        clients.push(call_from(cpu, node.addr(), CALLS));
        accepted(CALLS * clients.len()).await;
    }
    let off = |stats: Stats| (stats.off_cpu(), stats.shards[0].off_cpu);
    let others = (CALLS * (allowed.len() - 1)) as u64;
    assert_eq!(off(stats()), (others, others));
    drop(clients);
    end(node).await;
}
