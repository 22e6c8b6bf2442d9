//! Without descriptors for clients, operators are answered all the same.
//!
//! Alone in its process, whose limit it lowers.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use gateway::admin::stats::Stats;
use gateway::admin::{Admin, AdminConfig, AdminKey, Probes, Readiness};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Clients that the admin listener serves by descriptors that it keeps back.
const SERVED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn operators_look_when_there_are_no_descriptors() {
    let admin = start();
    // Clients have theirs before there are none, and keep them: they are not to be the listener's.
    let mut sockets: Vec<_> = (0..3 * (SERVED + 1)).map(|_| socket()).collect();
    let mut gone = Vec::new();
    let limit = getrlimit(Resource::Nofile);
    allow_no_more_descriptors();
    while !sockets.is_empty() {
        let mut clients: Vec<_> =
            sockets.drain(..SERVED).map(|socket| call(socket, admin.addr())).collect();
        clients.iter_mut().for_each(scrape);
        // One more takes the place of who was answered longest ago.
        clients.push(call(sockets.remove(0), admin.addr()));
        scrape(&mut clients[SERVED]);
        assert!(has_ended(&mut clients[0]));
        for client in &mut clients[1..] {
            scrape(client);
            client.shutdown(Shutdown::Write).unwrap();
            assert!(has_ended(client));
        }
        gone.append(&mut clients);
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    admin.stop();
}

fn start() -> Admin {
    let config = AdminConfig {
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        key: AdminKey::given("open-sesame".to_owned()).unwrap(),
        probes: Arc::new(Probes::new()),
        readiness: Arc::new(Readiness::starting()),
        stats: Arc::new(Stats::default),
        guard: Arc::default(),
        shards: None,
        drain: Box::new(|| ()),
    };
    Admin::start(config).unwrap()
}

fn socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn call(socket: Socket, addr: SocketAddr) -> TcpStream {
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// Asks for the metrics on a connection that stays open, and reads them.
fn scrape(client: &mut TcpStream) {
    client.write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n").unwrap();
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0].into());
    }
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    client.read_exact(&mut body).unwrap();
}

/// Whether nothing more comes, and the listener has closed.
fn has_ended(client: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap() == 0
}

fn allow_no_more_descriptors() {
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd();
    let limit = getrlimit(Resource::Nofile);
    let current = Some(u64::try_from(lowest_free).unwrap());
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}
