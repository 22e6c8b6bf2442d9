//! The binary as an operator meets it: flags, first line, signals, exit codes.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use futures_util::StreamExt;
use process::{Weir, command, output, run};
use rustix::process::Signal;
use support::{PATIENCE, connect, free_ports, in_time, next, say, sync};
use tokio_tungstenite::tungstenite::Message;

/// It waits for everyone who reads, be the machine ever so slow.
const PATIENT: [&str; 1] = ["-drain-secs=3600"];

#[tokio::test]
async fn a_signal_says_1001_to_everyone_and_exits_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut weir = Weir::start(&PATIENT);
        let mut ann = connect(weir.addr, "/ws/lobby").await;
        let mut bob = connect(weir.addr, "/ws/simple").await;
        sync(&mut ann).await;
        sync(&mut bob).await;
        weir.signal(signal);
        for client in [&mut ann, &mut bob] {
            let Message::Close(Some(close)) = next(client).await else { panic!("it is closed") };
            assert_eq!(u16::from(close.code), 1001);
        }
        // Reading on answers the close frame and sees the end.
        for client in [&mut ann, &mut bob] {
            assert!(in_time("the end", client.next()).await.is_none());
        }
        let (status, log) = weir.end();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("drained") && log.contains("accepted=2"), "{log}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_cut_and_the_exit_is_still_0() {
    let mut weir = Weir::start(&["-drain-secs=1"]);
    let mut silent = connect(weir.addr, "/ws/lobby").await;
    sync(&mut silent).await;
    weir.signal(Signal::TERM);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cut=1"), "{log}");
}

#[tokio::test]
async fn a_second_signal_exits_130_at_once() {
    let mut weir = Weir::start(&PATIENT);
    let mut silent = connect(weir.addr, "/ws/lobby").await;
    sync(&mut silent).await;
    weir.signal(Signal::INT);
    let Message::Close(_) = next(&mut silent).await else { panic!("it drains") };
    weir.signal(Signal::INT);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(130), "{log}");
    assert!(!log.contains("drained"), "{log}");
}

/// Whether the options that the program was built with are those that its allocator has read.
#[cfg(feature = "jemalloc")]
#[test]
fn memory_is_given_back_by_a_thread_of_its_own() {
    let weir = Weir::start(&[]);
    let is_there = || weir.threads().iter().any(|name| name == "jemalloc_bg_thd");
    let mut looks = 1_000;
    while !is_there() {
        looks -= 1;
        assert!(looks > 0, "{:?}", weir.threads());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A table that grows while it serves keeps whoever accepts waiting, for 10 ms and more.
#[test]
fn the_table_of_descriptors_is_made_before_anyone_comes() {
    let few = Weir::start(&["--max-connections", "1500"]);
    assert!((2048..65_536).contains(&few.descriptor_table()), "{}", few.descriptor_table());
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = allowed.map_or(u64::MAX, |most| most - 64).min(65_536);
    let default = Weir::start(&[]).descriptor_table();
    assert!(default as u64 >= most, "{default}");
}

#[test]
fn a_taken_port_is_one_clear_line_and_exit_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for shards in ["1", "2"] {
        let output = run(&["--addr", &addr, "--shards", shards]);
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
        let [error] = errors[..] else { panic!("one line: {log}") };
        assert!(error.contains(&addr) && error.contains("--addr"), "{error}");
    }
}

#[test]
fn two_nodes_never_share_a_port_unseen() {
    for shards in ["1", "2"] {
        let weir = Weir::start(&["--shards", shards]);
        let output = run(&["--addr", &weir.addr.to_string(), "--shards", shards]);
        assert_eq!(output.status.code(), Some(1), "{shards}");
    }
}

#[test]
fn bad_flags_say_what_is_wrong_and_exit_2() {
    for (flags, told) in [
        (&["--shards", "0"][..], "--shards 0: give 1 to 1024"),
        (&["-shards=2", "-workers=3"], "--workers 3: more than shards"),
        (&["-ring=1"], "--ring 1: give 2 to 65536 envelopes"),
        (&["-batch=0"], "--batch 0: give 1 to 65536 members"),
        (&["-numa", "-2"], "give auto, off, or the numbers of NUMA nodes"),
        (&["-max-connections=0"], "--max-connections"),
        (&["--addr", "nowhere"], "--addr nowhere: "),
        (&["-addr=:1", "-lb-addr=:2"], "--addr :1 and :2"),
        (&["-admin=here"], "--admin here: "),
        (&["-base-port=65535", "-shards=3"], "--base-port 65535: give 1 to 65533"),
        (&["-base-port=9001", "-shards=3"], "shard 1 would listen on port 9002 like --addr"),
        (&["-drain-secs=3601"], "3601 is not in 0..=3600"),
        (&["-token="], "--token: give 1 to 4096 visible ASCII characters"),
        (&["-admin-key=two words"], "--admin-key: an admin key is 1 to 1024 visible ASCII"),
        (&["-instance-id="], "--instance-id \"\": give 1 to 128 visible ASCII characters"),
        (&["-log-format=xml"], "possible values: text, json"),
        (&["-watch=yes"], "--watch"),
        (&["-shard=3"], "a similar argument exists: '--shards'"),
        (&["--nonsense"], "--nonsense"),
        (&["dance"], "dance"),
    ] {
        let output = run(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(told) && !said.contains("words"), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?}: it did not serve");
    }
}

/// The lines that the systems before were started with, but for their ports.
#[test]
fn lines_that_others_wrote_start_it() {
    for line in [
        "-addr=127.0.0.1:0 -shards=32 -workers=8 -batch=32 -ring=2048",
        "-addr=:0 -shards=32 -workers=8 -batch=32 -ring=2048",
        "-shards=3 -lb-addr=:0",
        "-addr=:0 -shards=2 -numa -1",
        "-addr=:0 -shards=2 -numa=-1 -max-connections=100",
        "serve -addr :0 -shards 2 -drain-secs 0 -debug -log-format json",
    ] {
        let flags: Vec<_> = line.split(' ').collect();
        let mut weir = Weir::start_as_written(&flags);
        weir.signal(Signal::TERM);
        let (status, log) = weir.end();
        assert_eq!(status.code(), Some(0), "{line}: {log}");
        assert!(!log.contains("ERROR"), "{line}: {log}");
    }
}

/// Three shards behind ports of their own, and an address for all: but for its ports the line is
/// `weir -shards=3 -base-port=3002 -lb-addr=:3005`.
#[tokio::test]
async fn shards_have_ports_of_their_own_beside_the_shared_one() {
    let base = free_ports(4);
    let (own, shared) = (format!("-base-port={base}"), format!("-lb-addr=:{}", base + 3));
    let mut weir = Weir::start_as_written(&["-shards=3", &own, &shared]);
    assert_eq!(weir.addr.port(), base + 3);
    let mut clients = Vec::new();
    for port in base..base + 4 {
        clients.push(connect(SocketAddr::from(([127, 0, 0, 1], port)), "/ws/lobby").await);
    }
    say(&mut clients[3], "everyone").await;
    for client in &mut clients[..3] {
        assert_eq!(next(client).await, Message::text("everyone"));
    }
    drop(clients);
    weir.signal(Signal::TERM);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    for shard in 0..3 {
        let line = format!("shard={shard} addr=127.0.0.1:{}", base + shard);
        let lines = log.lines().filter(|it| it.contains(&line)).count();
        assert_eq!(lines, 1, "{log}");
    }
}

#[test]
fn the_node_is_called_by_its_name_in_the_log() {
    for (flags, variables, named) in [
        (&["-instance-id=us-2"][..], &[("INSTANCE_ID", "eu-1")][..], "instance=\"us-2\""),
        (&[], &[("INSTANCE_ID", "eu-1")], "instance=\"eu-1\""),
        (&[], &[("INSTANCE_ID", "eu-1"), ("WEIR_INSTANCE_ID", "us-2")], "instance=\"us-2\""),
    ] {
        let mut weir = Weir::start_with(flags, variables);
        weir.signal(Signal::TERM);
        let (_, log) = weir.end();
        assert!(log.contains(named), "{log}");
    }
}

#[test]
fn secrets_are_in_no_help_and_no_error() {
    for flags in [&["--help"][..], &["-h"], &["--bogus"], &["-shards=0"], &["--token"]] {
        let mut weir = command();
        weir.env("WEIR_TOKEN", "s3cret").env("WEIR_ADMIN_KEY", "s3cret").env("WEIR_RING", "77");
        let output = output(weir.args(flags));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("s3cret"), "{flags:?}: {said}");
        if flags.contains(&"--help") {
            assert!(said.contains("WEIR_RING=77"), "others are shown");
            let words: Vec<_> = said.split_whitespace().collect();
            let bounds = "(POST /drain, POST /admin/...), 1 to 1024 visible ASCII characters";
            assert!(words.join(" ").contains(bounds), "and how long a key may be: {said}");
        }
    }
}

#[tokio::test]
async fn a_room_spans_all_shards() {
    let mut weir = Weir::start(&["serve", "--shards", "4", "--token", "s3cret"]);
    let mut members = Vec::new();
    for _ in 0..40 {
        members.push(connect(weir.addr, "/ws/lobby").await);
    }
    say(&mut members[0], "everyone").await;
    for member in &mut members[1..] {
        assert_eq!(next(member).await, Message::text("everyone"));
    }
    drop(members);
    weir.signal(Signal::INT);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_answered_503() {
    let weir = Weir::start(&["--max-connections", "1"]);
    let mut ann = connect(weir.addr, "/ws/lobby").await;
    sync(&mut ann).await;
    let addr = weir.addr;
    let answer = tokio::task::spawn_blocking(move || ask(addr, "GET /", "")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: "), "{answer}");
}

#[test]
fn json_logs_are_an_object_a_line() {
    let mut weir = Weir::start(&["--log-format", "json", "--debug"]);
    drop(TcpStream::connect(weir.addr).unwrap());
    weir.signal(Signal::TERM);
    let (_, log) = weir.end();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with('}'), "{line}");
    }
    assert!(log.contains(&format!("\"addr\":\"{}\"", weir.addr)), "{log}");
}

/// The whole answer to a request on a connection of its own.
fn ask(addr: SocketAddr, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn operators_see_what_it_does_and_may_end_it_with_the_key() {
    let mut weir = Weir::start(&["--admin", "127.0.0.1:0", "--admin-key", KEY]);
    let admin = weir.admin();
    let mut ann = connect(weir.addr, "/ws/lobby").await;
    let mut bob = connect(weir.addr, "/ws/lobby").await;
    say(&mut ann, "hi").await;
    next(&mut bob).await;
    let (sent, received) = std::sync::mpsc::channel();
    let operator = std::thread::spawn(move || {
        assert!(ask(admin, "GET /readyz", "").starts_with("HTTP/1.1 200 "));
        let mut looks = PATIENCE.as_millis() / 10;
        while !ask(admin, "GET /probes", "").contains("\"messages_total\":1") {
            looks = looks.checked_sub(1).expect("the message is counted in time");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(ask(admin, "GET /metrics", "").contains("weir_"));
        assert!(ask(admin, "POST /drain", "").starts_with("HTTP/1.1 401 "));
        let key = format!("Authorization: Bearer {KEY}\r\n");
        sent.send(ask(admin, "POST /drain", &key)).unwrap();
    });
    let Message::Close(Some(close)) = next(&mut ann).await else { panic!("it is closed") };
    assert_eq!(u16::from(close.code), 1001);
    assert!(received.recv_timeout(PATIENCE).unwrap().starts_with("HTTP/1.1 202 "));
    operator.join().unwrap();
    drop((ann, bob));
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains(KEY), "a key that was given is not shown");
}

#[test]
fn an_admin_address_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&["--addr", "127.0.0.1:0", "--admin", &addr]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(&addr) && log.contains("--admin"), "{log}");
}

#[tokio::test]
async fn the_token_opens_the_chat_route_and_without_one_a_warning_names_it() {
    let mut weir = Weir::start(&["-token=s3cret"]);
    let mut ann = connect(weir.addr, "/ws/chat/lobby?name=ann&access_token=s3cret").await;
    say(&mut ann, "hello").await;
    // Who chats hears itself, and who is there whenever that is told.
    while next(&mut ann).await != Message::text("hello") {}
    drop(ann);
    weir.signal(Signal::TERM);
    let (_, log) = weir.end();
    assert!(!log.contains("s3cret") && !log.contains("WARN"), "{log}");
    let mut weir = Weir::start(&[]);
    weir.signal(Signal::TERM);
    let (_, log) = weir.end();
    assert!(log.contains("WARN") && log.contains("/ws/chat/{room}"), "{log}");
}

#[test]
fn the_environment_is_heard_and_flags_beat_it() {
    let weir = |flags: &[&str]| {
        let output = output(command().env("WEIR_SHARDS", "0").env("PORT", "none").args(flags));
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(weir(&[]).contains("PORT none: give 0 to 65535"));
    assert!(weir(&["--addr", ":0"]).contains("--shards 0"));
    assert!(weir(&["--addr", ":0", "--shards", "2000"]).contains("--shards 2000"));
}
