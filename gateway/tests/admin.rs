//! The admin listener as its clients meet it: routes, refusals, bounds, and its end.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/exposition.rs"]
mod exposition;
mod support;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use gateway::admin::stats::{self, ShardStats, Source, Stats};
use gateway::admin::{Admin, AdminConfig, AdminError, AdminKey, Probes, Readiness};
use gateway::guard::{Guard, GuardTable, Verdict};
use gateway::plan::Place;
use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;
use gateway_core::id::ShardId;
use gateway_ebpf::Network;
use gateway_registry::census::{Capacity, Census};
use serde_json::{Value, json};
use support::PATIENCE;

const KEY: &str = "open-sesame";
const AUTHORIZED: &str = "authorization: Bearer open-sesame";
/// Connections that the listener serves at a time.
const CONNECTIONS_MAX: usize = 64;

/// A listener, and what it was given.
struct Desk {
    admin: Admin,
    probes: Arc<Probes>,
    readiness: Arc<Readiness>,
    /// How often a drain was begun.
    drains: Arc<AtomicU32>,
}

impl Desk {
    fn open() -> Self {
        Self::showing(Arc::new(numbers))
    }

    fn showing(stats: Source) -> Self {
        Self::with(stats, Arc::default())
    }

    fn with(stats: Source, guard: Arc<Guard>) -> Self {
        let (probes, readiness) = (Arc::new(Probes::new()), Arc::new(Readiness::starting()));
        let drains = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&drains);
        let config = AdminConfig {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            key: AdminKey::given(KEY.to_owned()).unwrap(),
            probes: Arc::clone(&probes),
            readiness: Arc::clone(&readiness),
            stats,
            guard,
            shards: None,
            drain: Box::new(move || _ = counted.fetch_add(1, Ordering::Relaxed)),
        };
        Self { admin: Admin::start(config).unwrap(), probes, readiness, drains }
    }

    fn client(&self) -> Client {
        Client::connect(self.admin.addr())
    }

    /// One request, such as `GET /path`, on a connection of its own.
    fn ask(&self, request: &str, headers: &[&str]) -> Answer {
        self.client().ask(request, headers)
    }

    fn drains(&self) -> u32 {
        self.drains.load(Ordering::Relaxed)
    }
}

/// Numbers that can be told apart: shard 0 and shard 7, which was added later.
fn numbers() -> Stats {
    let census = Census::new(Capacity { total_max: 1, shard_max: 1 }, 1);
    let shards = [0, 7].map(|shard: u16| {
        let own = u64::from(shard) * 100;
        let mut counters =
            Counters { messages: own + 5, deliveries: own + 6, ..Counters::default() };
        counters.closed[CloseReason::Slow.index()] = own + 8;
        let empty = ShardStats::of(ShardId(shard), census.shard(0), counters);
        let (off_cpu, accept_pauses) = (own + 3, own + 4);
        let place = (shard == 7).then_some(Place { cpu: 3, node: 1 });
        ShardStats { homes: own + 1, outbox_bytes: own + 2, off_cpu, accept_pauses, place, ..empty }
    });
    let (shards, ring_depths, cross_node_bytes) = (shards.into(), vec![0, 9], vec![0, 8]);
    let (connections, connections_max, accepted_late) = (12, 34, 7);
    let none = Stats::default();
    let none = Stats { cross_node_bytes, ..none };
    Stats { connections, connections_max, shards, ring_depths, accepted_late, ..none }
}

struct Client(BufReader<TcpStream>);

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str, headers: &[&str]) -> Answer {
        self.say(&head(request, headers));
        self.answer(!request.starts_with("HEAD "))
    }

    fn say(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").expect("a whole line").to_owned()
    }

    fn answer(&mut self, has_body: bool) -> Answer {
        let status = self.line();
        let status = status.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            let before = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert_eq!(before, None, "{name} is said once");
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.0.read_exact(&mut body).unwrap();
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }

    /// Waits until the other side has closed, whatever it said before.
    fn ended(mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is closed"),
        }
    }
}

fn head(request: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{request} HTTP/1.1\r\nhost: admin\r\n{headers}\r\n")
}

#[test]
fn everyone_may_look() {
    let desk = Desk::open();
    desk.readiness.serve();
    desk.probes.register("rings", || json!([1, 2])).unwrap();
    let shown = ["/healthz", "/readyz", "/probes"].map(|path| {
        let answer = desk.ask(&format!("GET {path}"), &["origin: http://elsewhere"]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        (answer.headers["content-type"].clone(), answer.body)
    });
    let text = || "text/plain; charset=utf-8".to_owned();
    assert_eq!(shown[0], (text(), "ok\n".to_owned()));
    assert_eq!(shown[1], (text(), "ready\n".to_owned()));
    assert_eq!(shown[2], ("application/json".to_owned(), "{\"rings\":[1,2]}\n".to_owned()));
}

#[test]
fn head_tells_the_length_and_no_body() {
    let desk = Desk::open();
    let mut client = desk.client();
    for path in ["/healthz", "/probes", "/metrics"] {
        let head = client.ask(&format!("HEAD {path}"), &[]);
        let whole = client.ask(&format!("GET {path}"), &[]);
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-length"], whole.body.len().to_string());
    }
}

#[test]
fn a_connection_serves_many_requests_even_at_once() {
    let desk = Desk::open();
    let mut client = desk.client();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /healthz", &[]).body, "ok\n");
    }
    client.say(&(head("GET /healthz", &[]) + &head("GET /readyz", &[])));
    assert_eq!([client.answer(true), client.answer(true)].map(|answer| answer.status), [200, 503]);
}

#[test]
fn readiness_is_told_as_it_changes() {
    let desk = Desk::open();
    let told = |path: &str| {
        let answer = desk.ask(path, &[]);
        (answer.status, answer.body)
    };
    assert_eq!(told("GET /readyz"), (503, "starting\n".to_owned()));
    desk.readiness.serve();
    assert_eq!(told("GET /readyz"), (200, "ready\n".to_owned()));
    desk.readiness.drain();
    assert_eq!(told("GET /readyz"), (503, "draining\n".to_owned()));
    assert_eq!(told("GET /healthz").0, 200, "a node that drains is well");
}

#[test]
fn what_is_not_there_is_not_found() {
    let desk = Desk::open();
    let paths = ["/", "/Healthz", "/healthz/", "/metrics/x", "//probes", "/../healthz"];
    for path in paths {
        assert_eq!(desk.ask(&format!("GET {path}"), &[AUTHORIZED]).status, 404, "{path}");
    }
    assert_eq!(desk.ask("GET /healthz?verbose", &[]).status, 200, "a query is no part of a path");
}

#[test]
fn a_wrong_method_hears_the_right_one() {
    let desk = Desk::open();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in ["/healthz", "/readyz", "/probes", "/metrics"] {
            let answer = desk.ask(&format!("{method} {path}"), &[AUTHORIZED]);
            assert_eq!((answer.status, &*answer.headers["allow"]), (405, "GET, HEAD"));
        }
    }
    for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
        let answer = desk.ask(&format!("{method} /drain"), &[AUTHORIZED]);
        assert_eq!((answer.status, &*answer.headers["allow"]), (405, "POST"));
    }
    assert_eq!(desk.drains(), 0);
}

#[test]
fn without_the_key_nothing_changes() {
    let desk = Desk::open();
    desk.readiness.serve();
    let wrong: [&[&str]; 9] = [
        &[],
        &["authorization: Bearer"],
        &["authorization: Bearer "],
        &["authorization: Bearer open-sesam"],
        &["authorization: Bearer open-sesame2"],
        &["authorization: Basic open-sesame"],
        &["authorization: open-sesame"],
        &["authorization: Bearer open-sesame x"],
        &[AUTHORIZED, AUTHORIZED],
    ];
    for headers in wrong {
        let answer = desk.ask("POST /drain", headers);
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{headers:?}");
        assert!(!answer.body.contains(KEY));
    }
    assert_eq!(desk.ask("POST /drain?access_token=open-sesame", &[]).status, 401);
    assert_eq!((desk.drains(), desk.ask("GET /readyz", &[]).status), (0, 200));
}

#[test]
fn pages_of_other_origins_are_refused_with_the_key_or_without() {
    let desk = Desk::open();
    let pages = [
        "origin: http://elsewhere",
        "origin: null",
        "origin: http://127.0.0.1:9003",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: ",
    ];
    for page in pages {
        for headers in
            [&[page, AUTHORIZED][..], &[page], &["sec-fetch-site: none", page, AUTHORIZED]]
        {
            let answer = desk.ask("POST /drain", headers);
            assert_eq!(answer.status, 403, "{headers:?}");
            let allows = |name: &String| name.starts_with("access-control-");
            assert!(!answer.headers.keys().any(allows), "no page is allowed anything");
        }
    }
    assert_eq!(desk.drains(), 0);
    assert_eq!(desk.ask("POST /drain", &["sec-fetch-site: none", AUTHORIZED]).status, 202);
}

#[test]
fn a_drain_is_begun_once() {
    let desk = Desk::open();
    desk.readiness.serve();
    let headers: [&[&str]; 3] = [
        &[AUTHORIZED, "sec-fetch-site: same-origin"],
        &["Authorization: bearer  open-sesame"],
        &[AUTHORIZED],
    ];
    let told = headers.map(|headers| {
        let answer = desk.ask("POST /drain", headers);
        (answer.status, answer.body)
    });
    let [first, others @ ..] = told;
    assert_eq!(first, (202, "draining\n".to_owned()));
    assert_eq!(others, [(); 2].map(|()| (202, "draining already\n".to_owned())));
    assert_eq!(desk.drains(), 1);
    assert_eq!(desk.ask("GET /readyz", &[]).body, "draining\n");
}

#[test]
fn a_drain_that_a_signal_began_is_not_begun_again() {
    let desk = Desk::open();
    desk.readiness.drain();
    let answer = desk.ask("POST /drain", &[AUTHORIZED]);
    assert_eq!((answer.status, &*answer.body), (202, "draining already\n"));
    assert_eq!(desk.drains(), 0);
}

#[test]
fn long_bodies_are_refused() {
    const MAX: usize = 64 << 10;
    let desk = Desk::open();
    let longer = format!("content-length: {}", MAX + 1);
    assert_eq!(desk.ask("POST /drain", &[AUTHORIZED, &longer]).status, 413);
    assert_eq!(desk.ask("GET /healthz", &[&longer]).status, 413);
    let mut client = desk.client();
    let body = "x".repeat(MAX + 1);
    client.say(&head("POST /drain", &[AUTHORIZED, "transfer-encoding: chunked"]));
    client.say(&format!("{:x}\r\n{body}", body.len()));
    assert_eq!(client.answer(true).status, 413);
    assert_eq!(desk.drains(), 0);
    let mut client = desk.client();
    client.say(&head("POST /drain", &[AUTHORIZED, &format!("content-length: {MAX}")]));
    client.say(&body[1..]);
    assert_eq!(client.answer(true).status, 202, "the longest is read through");
    assert_eq!(client.ask("GET /healthz", &[]).status, 200, "and what follows is heard");
}

#[test]
fn a_body_that_breaks_off_drains_nothing() {
    let desk = Desk::open();
    let mut client = desk.client();
    client.say(&head("POST /drain", &[AUTHORIZED, "content-length: 10"]));
    client.say("only");
    client.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    client.ended();
    assert_eq!(desk.drains(), 0);
}

#[test]
fn a_long_head_is_refused() {
    let desk = Desk::open();
    let fits = format!("x-filler: {}", "x".repeat(15 << 10));
    assert_eq!(desk.ask("GET /healthz", &[&fits]).status, 200);
    let mut client = desk.client();
    // Exactly as much as is read: nothing is left that would reset the connection.
    let begin = "GET /healthz HTTP/1.1\r\nx-filler: ";
    client.say(&format!("{begin}{}", "x".repeat((16 << 10) - begin.len())));
    assert_eq!(client.answer(true).status, 431);
    client.ended();
}

#[test]
fn who_speaks_no_http_is_told_and_left() {
    let desk = Desk::open();
    let mut client = desk.client();
    client.say("\x16\x03\x01 hello\r\n\r\n");
    assert_eq!(client.answer(true).status, 400);
    client.ended();
}

#[test]
fn slow_and_silent_clients_hold_up_nobody_and_are_cut() {
    let desk = Desk::open();
    let silent = desk.client();
    let mut slow = desk.client();
    slow.say("GET /healthz HTTP/1.1\r\nhost:");
    let mut bodiless = desk.client();
    bodiless.say(&head("POST /drain", &[AUTHORIZED, "content-length: 10"]));
    let mut idle = desk.client();
    assert_eq!(idle.ask("GET /healthz", &[]).status, 200);
    silent.ended();
    slow.ended();
    bodiless.ended();
    assert_eq!(idle.ask("GET /healthz", &[]).status, 200, "it may rest for longer");
    assert_eq!(desk.drains(), 0);
}

#[test]
fn who_asks_is_answered_though_all_places_are_taken_by_who_does_not() {
    let desk = Desk::open();
    let mut regular = desk.client();
    assert_eq!(regular.ask("GET /healthz", &[]).status, 200);
    let mut silent: Vec<_> = (0..3 * CONNECTIONS_MAX).map(|_| desk.client()).collect();
    for _ in 0..20 {
        assert_eq!(desk.ask("GET /metrics", &[]).status, 200);
    }
    // The first of those that ask for nothing have given up their places.
    silent.truncate(CONNECTIONS_MAX);
    silent.into_iter().for_each(Client::ended);
}

#[test]
fn a_probe_that_panics_is_an_error_among_the_others() {
    let desk = Desk::open();
    desk.probes.register("broken", || panic!("out of order")).unwrap();
    desk.probes.register("works", || json!({ "depth": 3 })).unwrap();
    for _ in 0..2 {
        let answer = desk.ask("GET /probes", &[]);
        let shown: Value = serde_json::from_str(&answer.body).unwrap();
        let error = "the probe panicked: out of order";
        assert_eq!(shown, json!({ "broken": { "error": error }, "works": { "depth": 3 } }));
    }
}

#[test]
fn stats_that_panic_cost_one_connection() {
    let desk = Desk::showing(Arc::new(|| panic!("no stats")));
    let mut client = desk.client();
    client.say(&head("GET /metrics", &[]));
    client.ended();
    assert_eq!(desk.ask("GET /healthz", &[]).status, 200);
}

#[test]
fn metrics_are_what_the_shards_say() {
    let desk = Desk::open();
    desk.readiness.serve();
    let answer = desk.ask("GET /metrics", &[]);
    let version = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, version));
    let series = exposition::parse(&answer.body);
    let value = |name: &str| series[name];
    assert_eq!(value("weir_ready"), 1.0);
    assert_eq!((value("weir_connections"), value("weir_connections_max")), (12.0, 34.0));
    assert_eq!(value("weir_accepted_late_total"), 7.0);
    let depth = |worker| series[&format!("weir_ring_depth{{worker=\"{worker}\"}}")];
    assert_eq!((depth(0), depth(1)), (0.0, 9.0));
    let crossed = |worker| series[&format!("weir_cross_node_bytes_total{{worker=\"{worker}\"}}")];
    assert_eq!((crossed(0), crossed(1)), (0.0, 8.0));
    let place = |what| series[&format!("weir_shard_{what}{{shard=\"7\"}}")];
    assert_eq!((place("cpu"), place("node")), (3.0, 1.0));
    assert!(!series.contains_key("weir_shard_cpu{shard=\"0\"}"), "who is not pinned has none");
    for (shard, own) in [(0, 0.0), (7, 700.0)] {
        let value = |name: &str| series[&format!("{name}{{shard=\"{shard}\"}}")];
        assert_eq!((value("weir_homes"), value("weir_outbox_bytes")), (own + 1.0, own + 2.0));
        assert_eq!(value("weir_off_cpu_total"), own + 3.0);
        assert_eq!(value("weir_accept_pauses_total"), own + 4.0);
        assert_eq!(value("weir_messages_total"), own + 5.0);
        assert_eq!(value("weir_deliveries_total"), own + 6.0);
        let closed = |reason: &str| {
            series[&format!("weir_closed_total{{shard=\"{shard}\",reason=\"{reason}\"}}")]
        };
        assert_eq!((closed("slow"), closed("peer")), (own + 8.0, 0.0));
        CloseReason::NAMES.iter().for_each(|reason| assert!(closed(reason) >= 0.0));
        let hits = |limit| {
            series[&format!("weir_limit_hits_total{{shard=\"{shard}\",limit=\"{limit}\"}}")]
        };
        assert!(Hit::NAMES.iter().all(|limit| hits(limit) == 0.0), "and all are there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_shows_its_clients() {
    let node = support::node(|config| config.shards = Some(2));
    let census = node.census_handle();
    let shards = || [0, 1].map(|shard| (ShardId(shard), Counters::default()));
    let source: Source = Arc::new(move || Stats::gather(&census, shards()));
    let desk = Desk::showing(Arc::clone(&source));
    stats::register(&desk.probes, &source).unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(support::connect(node.addr(), "/ws/lobby").await);
    }
    let series = exposition::parse(&desk.ask("GET /metrics", &[]).body);
    let on = |shard| series[&format!("weir_shard_connections{{shard=\"{shard}\"}}")];
    assert_eq!((series["weir_connections"], on(0) + on(1)), (3.0, 3.0));
    let probes: Value = serde_json::from_str(&desk.ask("GET /probes", &[]).body).unwrap();
    assert_eq!(probes["active_clients"], 3);
    assert_eq!(probes["shards"].as_array().map(Vec::len), Some(2));
}

/// A table that says when it is told something, and takes it when it may.
struct Slow {
    told: Sender<()>,
    may: Receiver<()>,
}

impl GuardTable for Slow {
    fn replace(&self, _: &[(Network, Verdict)]) -> io::Result<()> {
        self.told.send(()).unwrap();
        self.may.recv().map_err(io::Error::other)
    }
}

#[test]
fn others_are_answered_while_the_kernel_takes_its_time_for_a_list() {
    let ((told, is_told), (let_go, may)) = (mpsc::channel(), mpsc::channel());
    let guard = Arc::new(Guard::new());
    let_go.send(()).unwrap();
    guard.attach(Box::new(Slow { told, may }));
    is_told.recv().unwrap();
    let desk = Desk::with(Arc::new(numbers), guard);
    let mut operator = desk.client();
    operator.say(&head("POST /admin/guard/deny?prefix=10.0.0.0/8", &[AUTHORIZED]));
    is_told.recv().unwrap();
    assert_eq!(desk.ask("GET /healthz", &[]).status, 200);
    assert_eq!(desk.ask("POST /drain", &[AUTHORIZED]).status, 202);
    let_go.send(()).unwrap();
    assert_eq!(operator.answer(true).body, "{\"allow\":0,\"deny\":1}\n");
}

#[test]
fn a_port_in_use_is_an_error_that_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let config = AdminConfig {
        addr,
        key: AdminKey::generate().unwrap(),
        probes: Arc::default(),
        readiness: Arc::default(),
        stats: Arc::new(Stats::default),
        guard: Arc::default(),
        shards: None,
        drain: Box::new(|| {}),
    };
    let error = Admin::start(config).unwrap_err();
    assert!(matches!(&error, AdminError::Bind { addr: asked, .. } if *asked == addr), "{error:?}");
    let told = error.to_string();
    assert!(told.contains(&addr.to_string()) && told.contains("another --admin"), "{told}");
}

#[test]
fn stopping_closes_everything_and_frees_the_port() {
    let desk = Desk::open();
    let addr = desk.admin.addr();
    let mut client = desk.client();
    assert_eq!(client.ask("GET /healthz", &[]).status, 200);
    desk.admin.stop();
    client.ended();
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn dropping_it_is_stopping_it() {
    let desk = Desk::open();
    let client = desk.client();
    drop(desk);
    client.ended();
}

#[test]
fn a_probe_that_does_not_return_is_left_behind() {
    let desk = Desk::open();
    let (entered, is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let stuck = move || {
        entered.send(()).unwrap();
        json!(released.lock().unwrap().recv().is_err())
    };
    desk.probes.register("stuck", stuck).unwrap();
    let mut client = desk.client();
    client.say(&head("GET /probes", &[]));
    is_in.recv_timeout(PATIENCE).expect("the probe is asked");
    desk.admin.stop();
    // Only now may the probe go on: the stop did not wait for it.
    drop(release);
    client.ended();
}
