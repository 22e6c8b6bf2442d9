//! Who is denied is turned away unread, who is allowed has no bounds, and who is served stays,
//! however the list changes.
//!
//! Each address of 127.0.0.0/8 is a client of its own here.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway::config::Config;
use gateway::guard::{Guard, Verdict};
use gateway::server::{Server, StartError};
use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;
use support::{Socket, in_time, next, node, say, sync, upgrade};
use support_crowd::end;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
const AWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A file that is there while the tests run, each with a name of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.guard"));
    fs::write(&path, text).unwrap();
    path
}

fn guarded(file: PathBuf, change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        (config.shards, config.workers) = (Some(2), Some(2));
        config.sources.guard = Some(file);
        change(config);
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

/// The first line of what somebody is answered; `None` if it is reset.
async fn ask(addr: SocketAddr, from: Ipv4Addr, before: &str) -> Option<String> {
    let asked = async {
        let mut stream = call(addr, from).await?;
        stream.write_all(format!("{before}GET / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match in_time("an answer", asked).await {
        Ok(answer) => Some(answer.lines().next().unwrap_or_default().to_owned()),
        Err(error) => {
            let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            assert!(gone.contains(&error.kind()), "{error}");
            None
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK";

async fn is_served(node: &Server, from: Ipv4Addr) -> bool {
    let answer = ask(node.addr(), from, "").await;
    assert!(answer.as_deref().is_none_or(|line| line == OK), "{answer:?}");
    answer.is_some()
}

fn denied(counters: &gateway_core::counters::Counters) -> u64 {
    counters.hits[Hit::Denied.index()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_denied_is_reset_unread_and_others_are_served() {
    let lines = "# all but one\ndeny 127.0.0.0/8\nallow 127.0.0.3\ndeny ::/0";
    let node = guarded(file("denied", lines), |_| ());
    for _ in 0..10 {
        assert!(!is_served(&node, HOME).await && !is_served(&node, AWAY).await);
    }
    assert!(is_served(&node, NEAR).await);
    let counters = end(node).await;
    assert_eq!((denied(&counters), counters.accepted), (20, 1), "who is reset was nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_served_stays_when_the_list_changes_and_newcomers_are_judged_by_it_at_once() {
    let path = file("changed", "allow 127.0.0.0/8");
    let node = guarded(path.clone(), |_| ());
    let mut ann = enter(&node, AWAY).await;
    sync(&mut ann).await;
    fs::write(&path, "deny 127.0.0.2").unwrap();
    node.guard().reload().unwrap();
    for _ in 0..10 {
        assert!(!is_served(&node, AWAY).await && is_served(&node, HOME).await);
    }
    say(&mut ann, "still here").await;
    assert_eq!(next(&mut ann).await, Message::text("still here"));
    assert!(node.guard().remove("127.0.0.2".parse().unwrap()).is_some());
    assert!(is_served(&node, AWAY).await);
    node.guard().set("127.0.0.1".parse().unwrap(), Verdict::Deny).unwrap();
    assert!(!is_served(&node, HOME).await);
    drop(ann);
    assert_eq!(denied(&end(node).await), 11);
}

/// Each list denies one address and lets in another, by other prefixes than the list before.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_list_that_is_replaced_all_the_time_never_has_a_gap() {
    let lists = ["deny 127.0.0.0/8\nallow 127.0.0.1", "deny 127.0.0.2", "deny 127.0.0.2/31"];
    let shown = file("gap", lists[0]);
    let node = guarded(shown.clone(), |_| ());
    let (guard, done) = (Arc::clone(node.guard()), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&done);
    let changing = std::thread::spawn(move || {
        let mut changes = 0;
        while !ends.load(Ordering::Relaxed) {
            // Replaced whole, as editors do.
            fs::rename(file("gap-next", lists[changes % lists.len()]), &shown).unwrap();
            guard.reload().unwrap();
            changes += 1;
        }
        changes
    });
    for _ in 0..150 {
        assert!(is_served(&node, HOME).await);
        assert!(!is_served(&node, AWAY).await);
    }
    done.store(true, Ordering::Relaxed);
    assert!(changing.join().unwrap() > 0);
    assert_eq!(denied(&end(node).await), 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_allowed_has_what_no_source_has_and_who_is_not_named_has_its_bounds() {
    let node = guarded(file("allowed", "allow 127.0.0.2"), |config| {
        config.sources.loopback = true;
        (config.sources.connections_max, config.sources.rate) = (2, 1);
        // More than three come, and workers' clocks differ a little.
        config.sources.burst = 10;
    });
    let mut inside = Vec::new();
    for _ in 0..20 {
        inside.push(enter(&node, AWAY).await);
    }
    assert_eq!((node.sources().connections(), node.sources().known()), (0, 0));
    inside.extend([enter(&node, HOME).await, enter(&node, HOME).await]);
    let refused = ask(node.addr(), HOME, "").await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    drop(inside);
    end(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn behind_a_proxy_the_client_that_it_names_is_judged() {
    let lines = "deny 192.0.2.0/24\nallow 192.0.2.7\ndeny 127.0.0.3";
    let node = guarded(file("proxied", lines), |config| {
        config.sources.proxies = vec!["127.0.0.2/31".parse().unwrap()];
        config.sources.connections_max = 1;
    });
    let say = |client: &str| format!("PROXY TCP4 {client} {client} 5000 80\r\n");
    for _ in 0..3 {
        let closed = ask(node.addr(), AWAY, &say("192.0.2.8")).await;
        assert!(closed.is_none_or(|line| line.is_empty()), "it is closed unanswered");
        assert_eq!(ask(node.addr(), AWAY, &say("192.0.2.7")).await.as_deref(), Some(OK));
        assert_eq!(ask(node.addr(), AWAY, &say("198.51.100.1")).await.as_deref(), Some(OK));
    }
    assert_eq!(
        ask(node.addr(), NEAR, &say("192.0.2.7")).await,
        None,
        "this proxy is denied itself"
    );
    let counters = end(node).await;
    assert_eq!(denied(&counters), 4);
    assert_eq!(counters.closed[CloseReason::Reset.index()], 3);
}

#[test]
fn a_node_does_not_start_with_a_list_that_it_cannot_read() {
    let mut config = Config::default();
    config.addr.set_port(0);
    let path = file("bad", "deny 127.0.0.2\n\ndeny 127.0.0.3/8\n");
    config.sources.guard = Some(path.clone());
    let Err(StartError::Guard(error)) = Server::start(&config) else { panic!("it is refused") };
    let told = format!("{}:3: \"127.0.0.3/8\": the address goes on behind", path.display());
    assert!(error.to_string().starts_with(&told), "{error}");
}

/// Ten thousand prefixes are a list like any other.
#[test]
fn long_lists_are_read() {
    let network = |n: u32| format!("10.{}.{}.0/24", n >> 8 & 0xFF, n & 0xFF);
    let lines: String = (0..10_000).map(|n| format!("deny {}\n", network(n))).collect();
    let guard = Guard::open(&file("long", &lines)).unwrap();
    assert_eq!(guard.counts().deny, 10_000);
    let verdict = |ip: &str| guard.verdict(ip.parse().unwrap());
    assert_eq!(verdict("10.39.15.255"), Some(Verdict::Deny));
    assert_eq!([verdict("10.39.16.0"), verdict("9.255.255.255"), verdict("::10.0.0.0")], [None; 3]);
}
