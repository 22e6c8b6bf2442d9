//! A machine of two NUMA nodes, made up for hwloc: where shards are, and what crosses.
#![cfg(all(target_os = "linux", not(weir_portable), feature = "numa"))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway::machine::allowed_cpus;
use process::Weir;
use serde_json::{Value, json};
use support::{PATIENCE, connect, free_ports, next, say};
use tokio_tungstenite::tungstenite::Message;

/// This machine's CPUs, one half on each of two nodes.
fn two_nodes(cpus: &[usize]) -> String {
    let indexes = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!("node:2 core:{} pu:1(indexes={indexes})", cpus.len() / 2)
}

/// What operators see under `/probes`.
fn probes(admin: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /probes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Two shards of which each has heard from the other; gives what is seen then.
async fn after_a_chat(machine: &str, until: impl Fn(&Value) -> bool) -> Value {
    let base = free_ports(2);
    let base_port = base.to_string();
    let own = ["--shards", "2", "--base-port", &base_port, "--admin", "127.0.0.1:0"];
    let variables = [("HWLOC_SYNTHETIC", machine), ("HWLOC_THISSYSTEM", "1")];
    let mut weir = Weir::start_with(&own, &variables);
    let admin = weir.admin();
    let of = |shard| SocketAddr::from(([127, 0, 0, 1], base + shard));
    let mut ann = connect(of(0), "/ws/lobby").await;
    let mut bob = connect(of(1), "/ws/lobby").await;
    say(&mut ann, "across").await;
    assert_eq!(next(&mut bob).await, Message::text("across"));
    let mut looks = PATIENCE.as_millis() / 10;
    loop {
        let seen = probes(admin);
        if until(&seen) {
            return seen;
        }
        looks = looks.checked_sub(1).unwrap_or_else(|| panic!("it is never seen: {seen}"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn place(seen: &Value, shard: usize) -> [&Value; 2] {
    ["cpu", "node"].map(|what| &seen["shards"][shard][what])
}

#[tokio::test]
async fn each_shard_is_shown_on_its_node_and_what_crosses_between_them_is_counted() {
    let mut cpus = allowed_cpus();
    cpus.truncate(cpus.len() / 2 * 2);
    let Some(&right) = cpus.get(cpus.len() / 2) else {
        return eprintln!("skipped: two nodes take two CPUs");
    };
    let crossed = |seen: &Value| {
        let bytes = &seen["cross_node_bytes"];
        (0..2).all(|worker| bytes[worker].as_u64().is_some_and(|bytes| bytes > 0))
    };
    let seen = after_a_chat(&two_nodes(&cpus), crossed).await;
    assert_eq!(place(&seen, 0), [&json!(cpus[0]), &json!(0)]);
    assert_eq!(place(&seen, 1), [&json!(right), &json!(1)]);
}
