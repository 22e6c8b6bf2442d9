//! Whoever operates a node changes who is denied: by a file, a signal and orders.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::{Weir, run};
use rustix::process::Signal;
use support::PATIENCE;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A file that is there while the tests run, each with a name of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.guard"));
    fs::write(&path, text).unwrap();
    path
}

/// The status and body of the answer to a request on a connection of its own.
fn ask(addr: SocketAddr, line: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), body.to_owned())
}

/// An operator of a node.
struct Desk(SocketAddr);

impl Desk {
    /// An order with the key.
    fn order(&self, path: &str) -> (u16, String) {
        ask(
            self.0,
            &format!("POST /admin/guard/{path}"),
            &format!("Authorization: Bearer {KEY}\r\n"),
        )
    }

    /// What `/probes` shows of the guard, by name.
    fn shown(&self, name: &str) -> u64 {
        let (_, body) = ask(self.0, "GET /probes", "");
        let probes: gateway::admin::Value = body.parse().unwrap();
        probes["guard"][name].as_u64().unwrap()
    }

    fn wait(&self, name: &str, count: u64) {
        let mut looks = PATIENCE.as_millis() / 10;
        while self.shown(name) != count {
            looks = looks.checked_sub(1).expect("it is so in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The node itself judges here, and the machine's loopback is left alone.
fn start(guard: &Path) -> (Weir, Desk) {
    let flags = ["--admin", "127.0.0.1:0", "--admin-key", KEY, "--steer", "off"];
    let variables = [("WEIR_GUARD", guard.to_str().unwrap())];
    let mut weir = Weir::start_with(&flags, &variables);
    let desk = Desk(weir.admin());
    (weir, desk)
}

#[test]
fn a_hangup_has_the_file_read_again_and_a_bad_one_changes_nothing() {
    let path = file("hangup", "deny 192.0.2.1\ndeny 192.0.2.2\nallow ::1");
    let (mut weir, desk) = start(&path);
    assert_eq!((desk.shown("deny"), desk.shown("allow")), (2, 1));
    fs::write(&path, "deny 192.0.2.1").unwrap();
    weir.signal(Signal::HUP);
    desk.wait("allow", 0);
    assert_eq!(desk.shown("deny"), 1);
    fs::write(&path, "deny 192.0.2.1\ndeny 192.0.2").unwrap();
    weir.signal(Signal::HUP);
    desk.wait("refused_files", 1);
    assert_eq!((desk.shown("deny"), desk.shown("changes")), (1, 2));
    weir.signal(Signal::TERM);
    let (status, log) = weir.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let why = format!("{}:2: \"192.0.2\": no IP address; write", path.display());
    let line = log.lines().find(|line| line.contains("ERROR")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("the guard stays as it is") && line.contains(&why), "{line}");
    assert!(log.contains("guard read again signal=\"SIGHUP\" deny=1 allow=0"), "{log}");
}

#[test]
fn without_a_list_a_hangup_ends_a_node_as_it_ends_other_programs() {
    // Under nohup(1) it ends none, and children inherit that.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1 {
        return;
    }
    let mut weir = Weir::start(&[]);
    weir.signal(Signal::HUP);
    let (status, log) = weir.end();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(Signal::HUP.as_raw()), "{log}");
}

#[test]
fn orders_change_the_list_until_the_file_is_read_again() {
    let path = file("orders", "deny 192.0.2.0/24");
    let (mut weir, desk) = start(&path);
    let counts = |deny, allow| (200, format!("{{\"allow\":{allow},\"deny\":{deny}}}\n"));
    assert_eq!(desk.order("deny?prefix=2001:db8::%2F32"), counts(2, 0));
    assert_eq!(desk.order("allow?prefix=192.0.2.7"), counts(2, 1));
    assert_eq!(desk.order("remove?prefix=192.0.2.0/24"), counts(1, 1));
    assert_eq!(desk.order("reload"), counts(1, 0));
    assert_eq!(desk.order("reload"), counts(1, 0));
    fs::write(&path, "deny\n").unwrap();
    let (status, why) = desk.order("reload");
    let told = format!("{}:1: deny whom? write a prefix", path.display());
    assert!(status == 422 && why.starts_with(&told), "{status} {why}");
    assert_eq!(desk.shown("deny"), 1);
    for (order, status, told) in [
        ("deny", 400, "name one prefix: ?prefix=10.0.0.0/8\n"),
        ("allow?prefix=10.0.0.1/8", 400, "prefix: the address goes on behind"),
        ("remove?prefix=192.0.2.7", 404, "192.0.2.7/32 says nothing\n"),
        ("flush", 404, "nothing is here\n"),
    ] {
        let (answered, why) = desk.order(order);
        assert!(answered == status && why.starts_with(told), "{order}: {answered} {why}");
    }
    weir.signal(Signal::TERM);
    let (_, log) = weir.end();
    assert!(log.contains("prefix=192.0.2.7/32 verdict=\"allow\""), "{log}");
}

#[test]
fn orders_need_the_key_and_are_refused_to_pages() {
    let (weir, desk) = start(&file("refused", "deny 192.0.2.0/24"));
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for order in ["reload", "deny?prefix=::1", "allow?prefix=::1", "remove?prefix=192.0.2.0/24"] {
        let line = format!("POST /admin/guard/{order}");
        assert_eq!(ask(desk.0, &line, "").0, 401, "{order}");
        assert_eq!(ask(desk.0, &line, "Authorization: Bearer x\r\n").0, 401, "{order}");
        let page = format!("{key}Origin: http://elsewhere\r\n");
        assert_eq!(ask(desk.0, &line, &page).0, 403, "{order}");
        assert_eq!(ask(desk.0, &line.replace("POST", "GET"), &key).0, 405, "{order}");
    }
    assert_eq!((desk.shown("deny"), desk.shown("allow"), desk.shown("changes")), (1, 0, 1));
    drop(weir);
}

#[test]
fn without_a_file_there_is_nothing_to_read_again_but_orders_are_taken() {
    let flags = ["--admin", "127.0.0.1:0", "--admin-key", KEY];
    let mut weir = Weir::start(&flags);
    let desk = Desk(weir.admin());
    let told = "there is no file to read again; start with --guard FILE\n";
    assert_eq!(desk.order("reload"), (422, told.to_owned()));
    assert_eq!(desk.order("deny?prefix=192.0.2.1").0, 200);
    assert_eq!(desk.shown("deny"), 1);
}

#[test]
fn a_list_that_cannot_be_read_is_one_clear_line_and_exit_1() {
    let path = file("bad", "deny 192.0.2.1\nallow 192.0.2.1\n");
    let guard = path.to_str().unwrap();
    let output = run(&["--addr", "127.0.0.1:0", "--steer", "off", "--guard", guard]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors[..] else { panic!("one line: {log}") };
    let told = format!("{}:2: 192.0.2.1/32 stands on line 1 already; remove", path.display());
    assert!(error.contains(&told), "{error}");
}
