//! The file of `--config` as an operator meets it: what it changes, and how its mistakes are told.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::SinkExt;
use gateway::config::{Config, FILE_BYTES_MAX, FileConfig};
use process::{Weir, run};
use rustix::process::Signal;
use support::{connect, in_time, next, say};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A file that is there while the tests run, each with a name of its own.
fn file(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn bad_files_say_what_is_wrong_and_where_and_exit_2() {
    let beyond = "#".repeat(FILE_BYTES_MAX + 1);
    let files: [(&str, &[u8], &str); 11] = [
        ("syntax", b"[limits\n", ":1: "),
        ("text", b"# caf\xe9\n", ":1: it is not UTF-8 there; save it as UTF-8"),
        ("later", b"# fine\n\n# \xff", ":3: it is not UTF-8 there"),
        ("beyond", beyond.as_bytes(), ": it is longer than 1048576 bytes (1 MiB); shorten it"),
        ("key", b"\n\nshards = 3\n", ":3: there is no key \"shards\"; remove it, or write one of"),
        ("type", b"[limits]\nping_secs = true\n", ":2: limits: ping_secs is true or false; write"),
        ("value", b"[limits]\nping_secs = 99999\n", ":2: limits: ping_secs is 99999; write 0 to"),
        ("route", b"[[route]]\npath = '/'\n", ":1: route 1: route \"/\": a room needs a namespace"),
        (
            "layer",
            b"[[route]]\npath = '/'\nkind = 'echo'\nmiddleware = ['gzip']\n",
            ":4: route 1: middleware has \"gzip\"; write \"log\", \"metrics\", \"rate-limit\" or",
        ),
        (
            "rate",
            b"[[route]]\npath = '/'\nkind = 'echo'\nmiddleware = ['rate-limit']\n",
            ":4: route 1: middleware has \"rate-limit\" and no rate; write rate_limit = {",
        ),
        ("name", b"[[namespace]]\nname = 'x'\n", ":2: namespace 1: no route opens \"x\"; write"),
    ];
    for (name, text, told) in files {
        let path = file(&format!("bad-{name}.toml"), text);
        assert_refused(&path, told);
    }
    assert_refused(Path::new("/nowhere/weir.toml"), ": there is no such file; see --config");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    assert_refused(directory, ": it is a directory; name a file in it");
}

/// Nothing is served, and one line says where and why.
fn assert_refused(path: &Path, told: &str) {
    let path = path.to_str().unwrap();
    // Bad files are told even where flags would say otherwise.
    let output = run(&["-addr=127.0.0.1:0", "-drain-secs=1", "-config", path]);
    assert_eq!(output.status.code(), Some(2), "{path}");
    assert!(output.stdout.is_empty(), "{path}: it did not serve");
    let said = String::from_utf8(output.stderr).unwrap();
    let first = said.lines().next().unwrap();
    assert!(first.contains(&format!("error: {path}{told}")), "{said}");
}

#[tokio::test]
async fn routes_of_the_file_are_served_instead_of_those_built_in() {
    let text = r#"
        [[route]]
        path = "/back"
        kind = "echo"

        [[route]]
        path = "/loud/{room}"
        namespace = "loud"
        include_sender = true
        message_bytes_max = "1KiB"
    "#;
    let path = file("routes.toml", text);
    let weir = Weir::start(&["--config", path.to_str().unwrap()]);
    for path in ["/back", "/loud/lobby"] {
        let mut ann = connect(weir.addr, path).await;
        say(&mut ann, "hi").await;
        assert_eq!(next(&mut ann).await, Message::text("hi"), "{path}");
    }
    let mut ann = connect(weir.addr, "/loud/lobby").await;
    ann.send(Message::binary(vec![0; 1025])).await.unwrap();
    let Message::Close(Some(close)) = next(&mut ann).await else { panic!("it is closed") };
    assert_eq!(u16::from(close.code), 1009);
    let stream = TcpStream::connect(weir.addr).await.unwrap();
    let url = format!("ws://{}/ws/lobby", weir.addr);
    let refused = in_time("an answer", tokio_tungstenite::client_async(url, stream)).await;
    let Err(Error::Http(answer)) = refused else { panic!("it is refused") };
    assert_eq!(answer.status(), 404);
}

/// The least of each limit that a file may set, but for a second connection to talk to, and for
/// more than the one second to ask in, which a machine may take that has other things to do.
const LEAST: &str = "\
[limits]
connections_max = 2
refusals_max = 0
refusal_secs = 1
handshake_bytes_max = 256
handshake_headers_max = 5
handshake_secs = 60
room_name_bytes_max = 16
message_bytes_max = 1
inbound_bytes_max = 1024
outbox_bytes_max = 1024
shard_outbox_bytes_max = 1024
echo_outbox_bytes_max = 1024
turn_bytes_max = 1024
read_bytes_max = 1024
cork_bytes_max = 0
share_bytes_min = 1024
store_bytes_min = 1024
store_members_min = 0
deflate_bytes_min = 0
deflate_bytes_max = 0
deflate_level = 1
deflate_bytes_per_sec = 0
inflated_bytes_per_sec = 1024
inflated_turn_bytes_max = 1024
windows_bytes_max = 0
rooms_max = 0
handler_bytes_max = 1024
ping_secs = 0
pong_secs = 1
close_secs = 1
drain_secs = 0
unanswered_max = 1
underway_bytes_max = 1024
commands_waiting_max = 1
delivery_messages_max = 1
delivery_bytes_max = 1
pin_secs = 1
small_room_members_max = 0
[limits.transit]
messages_max = 1
bytes_max = 1024
age_secs = 1
";

/// The most, but for what must stay below 4 GiB together, and descriptors for refusals.
const MOST: &str = r#"[limits]
connections_max = 1048576
refusals_max = 1024
refusal_secs = 3600
handshake_bytes_max = "1MiB"
handshake_headers_max = 1024
handshake_secs = 3600
room_name_bytes_max = 4096
message_bytes_max = "1GiB"
inbound_bytes_max = "512MiB"
outbox_bytes_max = "1024GiB"
shard_outbox_bytes_max = "1024GiB"
echo_outbox_bytes_max = "1024GiB"
turn_bytes_max = "512MiB"
read_bytes_max = "64MiB"
cork_bytes_max = "1MiB"
share_bytes_min = "1GiB"
store_bytes_min = "1GiB"
store_members_min = 1048576
deflate_bytes_min = "1GiB"
deflate_bytes_max = "1GiB"
deflate_level = 9
deflate_bytes_per_sec = "1024GiB"
inflated_bytes_per_sec = "1024GiB"
inflated_turn_bytes_max = "64MiB"
windows_bytes_max = "1024GiB"
rooms_max = 65536
handler_bytes_max = "256MiB"
ping_secs = 86400
pong_secs = 3600
close_secs = 3600
drain_secs = 3600
unanswered_max = 1048576
underway_bytes_max = "1024GiB"
commands_waiting_max = 16777216
delivery_messages_max = 1048576
delivery_bytes_max = "1GiB"
pin_secs = 3600
small_room_members_max = 65536
[limits.transit]
messages_max = 16777216
bytes_max = "1GiB"
age_secs = 86400
"#;

#[tokio::test]
async fn a_node_serves_with_limits_at_either_end() {
    for (name, text) in [("least", LEAST), ("most", MOST)] {
        let path = file(&format!("{name}.toml"), text);
        let mut weir = Weir::start(&["-shards=2", "-config", path.to_str().unwrap()]);
        let mut ann = connect(weir.addr, "/ws/a").await;
        let mut bob = connect(weir.addr, "/ws/a").await;
        say(&mut ann, "x").await;
        assert_eq!(next(&mut bob).await, Message::text("x"), "{name}");
        drop((ann, bob));
        weir.signal(Signal::TERM);
        let (status, log) = weir.end();
        assert_eq!(status.code(), Some(0), "{name}: {log}");
    }
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
    let path = file("drain.toml", "[limits]\ndrain_secs = 2\n");
    let config = ["--config", path.to_str().unwrap()];
    let variable = [("WEIR_DRAIN_SECS", "3")];
    for (flags, variables, secs) in [
        (&[][..], &[][..], 10),
        (&config, &[], 2),
        (&config, &variable, 3),
        (&[config[0], config[1], "-drain-secs=4"], &variable, 4),
    ] {
        let mut weir = Weir::start_with(flags, variables);
        weir.signal(Signal::TERM);
        let (status, log) = weir.end();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains(&format!("drain_secs={secs}\n")), "{secs}: {log}");
    }
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let path = file("variable.toml", "[limits]\ndrain_secs = 5\n");
    let mut weir = Weir::start_with(&[], &[("WEIR_CONFIG", path.to_str().unwrap())]);
    weir.signal(Signal::TERM);
    assert!(weir.end().1.contains("drain_secs=5\n"));
}

/// What the README shows is what the program takes.
#[test]
fn the_example_of_the_readme_is_a_file_that_works() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, example) = readme.split_once("```toml\n").expect("there is an example");
    let (example, _) = example.split_once("```").expect("it ends");
    let mut config = Config::default();
    FileConfig::parse(Path::new("README.md"), example).unwrap().apply(&mut config);
    config.check().unwrap();
    assert!(config.routes.iter().any(|route| route.path == "/prices/{room}"));
    assert!(!config.namespaces.is_empty());
    for key in [
        "origins",
        "include_sender",
        "policy",
        "presence",
        "message_bytes_max",
        "middleware",
        "rate_limit",
        "rooms_max",
        "handler_bytes_max",
        "[limits.transit]",
    ] {
        assert!(example.contains(&format!("\n{key}")), "it has all keys of a route: {key}");
    }
    let mut weir = Weir::start(&["--config", file("readme.toml", example).to_str().unwrap()]);
    weir.signal(Signal::TERM);
    assert_eq!(weir.end().0.code(), Some(0));
}
