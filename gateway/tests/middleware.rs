//! Middleware of a running node: floods, panics, counts and log lines, over real sockets.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::SinkExt;
use gateway::auth::{Ask, Auth, Decision, Grant};
use gateway::config::Config;
use gateway::middleware::{Context, Log, Middleware, Next, RateLimit, RouteCount, Verdict};
use gateway::server::Server;
use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::id::ShardId;
use gateway_core::route::RouteConfig;
use process::Weir;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{PATIENCE, Socket, connect, join, next, node, say, sync};
use tokio_tungstenite::tungstenite::Message;

const PATH: &str = "/ws/{room}";

/// The rooms of `PATH`, counted, on two shards between which nobody moves.
fn serve(config: &mut Config, inner: impl FnOnce(RouteConfig) -> RouteConfig) {
    let route = RouteConfig {
        path: PATH.to_owned(),
        namespace: Some("ws".to_owned()),
        ..RouteConfig::default()
    };
    config.routes = vec![inner(route.with(config.route_metrics.layer(PATH)))];
    config.shards = Some(2);
    config.limits.small_room_members_max = 0;
}

/// What the one route has counted.
fn counts(node: &Server) -> RouteCount {
    let [count] = &node.stats()().routes[..] else { panic!("one route counts") };
    count.clone()
}

/// The code with which a client is closed, and nothing before.
async fn closed(socket: &mut Socket) -> u16 {
    let Message::Close(Some(close)) = next(socket).await else { panic!("it is closed") };
    close.code.into()
}

/// Ends a node whose clients have gone, or go now.
async fn end(node: Server) -> Counters {
    node.drain();
    join(node).await
}

/// What a client hears up to this text.
async fn heard_until(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let message = next(socket).await;
        let text = message.to_text().unwrap().to_owned();
        if text == last {
            return heard;
        }
        heard.push(text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_is_closed_and_all_others_hear_all_that_was_accepted() {
    const FLOOD: usize = 5_000;
    // 150 are accepted however fast they come.
    let limit = RateLimit::new(100, 50, 1).unwrap();
    let node = node(|config| serve(config, |route| route.with(limit)));
    let mut ann = connect(node.addr(), "/ws/lobby").await;
    let mut bob = connect(node.addr(), "/ws/lobby").await;
    let mut eve = connect(node.addr(), "/ws/lobby").await;
    let speech = async {
        for number in 0..20 {
            say(&mut eve, &format!("eve {number}")).await;
        }
        eve
    };
    let flood = async {
        for number in 0..FLOOD {
            ann.feed(Message::text(format!("ann {number}"))).await.unwrap();
        }
        ann.flush().await.unwrap();
        loop {
            let heard = next(&mut ann).await;
            let Message::Text(text) = heard else { break heard };
            assert!(text.starts_with("eve "));
        }
    };
    let (mut eve, last) = tokio::join!(speech, flood);
    let Message::Close(Some(close)) = last else { panic!("it is closed") };
    assert_eq!(u16::from(close.code), 1008);
    say(&mut eve, "end").await;
    let heard = heard_until(&mut bob, "end").await;
    let (from_ann, from_eve): (Vec<_>, Vec<_>) =
        heard.into_iter().partition(|text| text.starts_with("ann "));
    assert!(from_eve.iter().eq(&(0..20).map(|it| format!("eve {it}")).collect::<Vec<_>>()));
    assert!((150..FLOOD).contains(&from_ann.len()), "{}", from_ann.len());
    let accepted: Vec<_> = (0..from_ann.len()).map(|it| format!("ann {it}")).collect();
    assert_eq!(from_ann, accepted);
    say(&mut bob, "bye").await;
    assert_eq!(heard_until(&mut eve, "bye").await, accepted, "eve hears no more and no less");

    let count = counts(&node);
    let served = from_ann.len() as u64 + 22;
    assert_eq!((count.messages, count.verdicts), (served + 1, [served, 0, 0, 0, 1, 0]));
    drop((ann, bob, eve));
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Flood.index()], 1);
    assert_eq!((counters.closed_total(), counters.messages), (3, served + 1));
    assert!(counters.slowed >= 1, "it was read from more slowly first");
}

/// Does what a message says.
#[derive(Clone, Copy, Debug)]
struct Obedient;

impl Middleware for Obedient {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: gateway::middleware::Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        match message.text() {
            Some("drop") => Verdict::Drop,
            Some("answer") => Verdict::Answer("so".to_owned()),
            Some("panic") => panic!("told to"),
            Some(_) | None => next.run(context, message),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_closes_one_connection_and_is_counted() {
    let told = Told::start();
    let node = node(|config| serve(config, |route| route.with(Obedient)));
    let mut ann = connect(node.addr(), "/ws/lobby").await;
    let mut bob = connect(node.addr(), "/ws/lobby").await;
    let mut eve = connect(node.addr(), "/ws/lobby").await;
    for text in ["before", "panic", "after"] {
        say(&mut ann, text).await;
    }
    assert_eq!(closed(&mut ann).await, 1011);
    say(&mut bob, "still here").await;
    assert_eq!(heard_until(&mut eve, "still here").await, ["before"]);
    let count = counts(&node);
    assert_eq!((count.messages, count.verdicts), (3, [2, 0, 0, 0, 0, 1]));
    drop((ann, bob, eve));
    let counters = end(node).await;
    assert_eq!((counters.panics, counters.closed[CloseReason::Panic.index()]), (1, 1));
    let errors = told.lines().into_iter().filter(|line| line["level"] == "ERROR");
    let [error] = &errors.collect::<Vec<_>>()[..] else { panic!("one line tells it") };
    let text = error["message"].as_str().unwrap();
    assert!(text.starts_with("middleware or a handler panicked, as told above"), "{text}");
    assert_eq!(error["panics"], 1);
}

/// Whoever shows a token is called like it.
#[derive(Debug)]
struct ByName;

impl Auth for ByName {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        Decision::Granted(Grant { user: Some(ask.token.expose().into()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_has_a_target_of_its_own_and_the_user_who_is_known() {
    let told = Told::start();
    let node = node(|config| {
        serve(config, |route| {
            let auth = gateway_core::route::Auth::Bearer;
            RouteConfig { auth, ..route }.with(Log).with(Obedient)
        });
        config.auth = Some(Arc::new(ByName));
    });
    let mut ann = connect(node.addr(), "/ws/users?access_token=ann").await;
    say(&mut ann, "drop").await;
    sync(&mut ann).await;
    drop(ann);
    end(node).await;
    let lines = told.lines().into_iter().filter(|line| line["room"] == "users");
    let [line] = &lines.collect::<Vec<_>>()[..] else { panic!("one line tells it") };
    assert_eq!((&line["target"], &line["user"]), (&json!("weir::messages"), &json!("ann")));
    assert_eq!((&line["verdict"], &line["bytes"]), (&json!("dropped"), &json!(4)));
}

/// What this process logs, line by line.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    /// From the first call on, for all tests together: workers have threads of their own.
    fn start() -> &'static Self {
        static TOLD: OnceLock<Told> = OnceLock::new();
        TOLD.get_or_init(|| {
            let told = Self::default();
            let writer = told.clone();
            let lines = tracing_subscriber::fmt().json().flatten_event(true);
            lines.with_writer(move || writer.clone()).init();
            told
        })
    }

    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        // The last one may be half of a line of another test.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_stay_when_a_shard_has_ended() {
    let node = node(|config| serve(config, |route| route.with(Obedient)));
    let stats = node.stats();
    let mut sockets = Vec::new();
    for number in 0..8 {
        sockets.push(connect(node.addr(), &format!("/ws/{number}")).await);
    }
    let expected = |rounds: u64| RouteCount {
        route: PATH.to_owned(),
        messages: 8 * 4 * rounds,
        bytes: 8 * (5 + 4 + 6 + 3) * rounds,
        verdicts: [2, 1, 1, 0, 0, 0].map(|each| 8 * each * rounds),
    };
    for round in 1..=3 {
        for socket in &mut sockets {
            for text in ["hello", "drop", "answer"] {
                say(socket, text).await;
            }
            socket.send(Message::binary(vec![0; 3])).await.unwrap();
            assert_eq!(next(socket).await, Message::text("so"));
            sync(socket).await;
        }
        assert_eq!(stats().routes, [expected(round)]);
        if round == 1 {
            node.remove_shard(ShardId(0)).unwrap();
            let mut looks = PATIENCE.as_millis() / 5;
            while node.shards().contains(&ShardId(0)) {
                looks = looks.checked_sub(1).expect("the shard ends in time");
                assert_eq!(stats().routes, [expected(round)]);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    drop(sockets);
    end(node).await;
    assert_eq!(stats().routes, [expected(3)]);
}

/// A binary with a room of which all is told, and what is said there.
const TOLD: &str = r#"
[[route]]
path = "/ws/{room}"
namespace = "ws"
middleware = ["log", "metrics"]

[[route]]
path = "/chat/{room}"
namespace = "chat"
kind = "chat"
middleware = ["metrics", "log", "commands"]
"#;

fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn messages_are_logged_without_their_payload_and_counted() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("told.toml");
    fs::write(&path, TOLD).unwrap();
    let flags = ["-config", path.to_str().unwrap(), "-log-format=json", "-admin=127.0.0.1:0"];
    let mut weir = Weir::start(&flags);
    let admin = weir.admin();
    let mut ann = connect(weir.addr, "/ws/caf%C3%A9%22").await;
    say(&mut ann, "confidential").await;
    ann.send(Message::binary(b"confidential2".as_slice())).await.unwrap();
    sync(&mut ann).await;
    let mut bob = connect(weir.addr, "/chat/lobby?name=bob").await;
    say(&mut bob, "/shrug confidential3").await;
    say(&mut bob, "/help").await;
    while !next(&mut bob).await.to_text().unwrap().contains("/shrug") {}

    let shown = get(admin, "/metrics");
    for line in [
        r#"weir_route_messages_total{route="/ws/{room}"} 2"#,
        r#"weir_route_bytes_total{route="/ws/{room}"} 25"#,
        r#"weir_route_verdicts_total{route="/ws/{room}",verdict="served"} 2"#,
        r#"weir_route_verdicts_total{route="/chat/{room}",verdict="served"} 1"#,
        r#"weir_route_verdicts_total{route="/chat/{room}",verdict="answered"} 1"#,
        r#"weir_route_verdicts_total{route="/chat/{room}",verdict="panicked"} 0"#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let probes: Value = serde_json::from_str(&get(admin, "/probes")).unwrap();
    assert_eq!(probes["routes"][1]["route"], "/ws/{room}");
    assert_eq!(probes["routes"][1]["bytes"], 25);
    assert_eq!(probes["routes"][0]["verdicts"]["answered"], 1);

    drop((ann, bob));
    weir.signal(Signal::TERM);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("confidential"), "{log}");
    assert_lines(&log);
}

/// The log has a line for each message, in their order, and the totals of the goodbye.
fn assert_lines(log: &str) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().filter(|line| line["message"] == "message").collect();
    let told = messages.iter().map(|line| {
        assert_eq!(line["connection"].as_str().map(str::len), Some(16), "{line}");
        assert_eq!(line["level"], "INFO");
        ["route", "room", "kind", "bytes", "verdict"].map(|key| line[key].clone())
    });
    let expected = [
        json!(["/ws/{room}", "café\"", "text", 12, "served"]),
        json!(["/ws/{room}", "café\"", "binary", 13, "served"]),
        json!(["/chat/{room}", "lobby", "text", 20, "served"]),
        json!(["/chat/{room}", "lobby", "text", 5, "answered"]),
    ];
    assert_eq!(told.map(|line| json!(line)).collect::<Vec<_>>(), expected);
    let goodbye = lines.iter().find(|line| line["message"] == "drained").expect("it says goodbye");
    assert_eq!([&goodbye["panics"], &goodbye["slowed"], &goodbye["orders"]], [0, 0, 0]);
}
