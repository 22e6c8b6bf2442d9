//! `cargo xtask run`: from a fresh clone to a serving Weir.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::flags::Run;
use crate::invocation::Invocation;
use crate::{packages, workspace};

/// Where `weir serve` listens unless told otherwise.
const ADDR_DEFAULT: &str = "127.0.0.1:9002";

pub(crate) fn run(flags: Run) -> Result<ExitCode> {
    let build = packages::ensure(!flags.no_install)?;
    let profile = if flags.dev { "debug" } else { "release" };
    let optimised: &[&str] = if flags.dev { &[] } else { &["--release"] };
    Invocation::cargo(["build", "-p", "gateway", "--bin", "weir"])
        .args(optimised)
        .args(build.flags())
        .run()?;
    print!("{}", welcome(&flags.weir));
    let weir = workspace::binary(&workspace::target_dir()?, profile, "weir");
    match Invocation::new(weir, ["serve"]).args(flags.weir).become_it()? {}
}

/// Two lines that say where to point a client.
fn welcome(flags: &[OsString]) -> String {
    let addr = addr(flags);
    let (start, client) = match reachable(&addr) {
        Some(client) => (format!("Weir will serve on {addr}"), client),
        None => ("Weir says below where it serves".to_owned(), addr),
    };
    format!(
        "{start}; stop it with Ctrl-C.\n\
         Talk through it from two terminals: npx wscat -c ws://{client}/ws/lobby\n",
    )
}

/// The value of `--addr`, the last one if it is there twice.
fn addr(flags: &[OsString]) -> String {
    let mut addr = ADDR_DEFAULT.to_owned();
    let mut flags = flags.iter().map(|flag| flag.to_string_lossy());
    while let Some(flag) = flags.next() {
        if flag == "--addr" {
            addr = flags.next().map_or(addr, |value| value.into_owned());
        } else if let Some(value) = flag.strip_prefix("--addr=") {
            addr = value.to_owned();
        }
    }
    addr
}

/// Where a client on this machine reaches that address, HOST:PORT or :PORT; `None` if the
/// system picks the port.
fn reachable(addr: &str) -> Option<String> {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "80"));
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    let is_picked = port.trim_matches('0').is_empty();
    (!is_picked).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome_for(flags: &[&str]) -> String {
        welcome(&flags.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn without_flags_the_client_is_pointed_at_the_default_address() {
        let text = welcome_for(&["--shards", "2"]);
        assert!(text.contains("npx wscat -c ws://127.0.0.1:9002/ws/lobby\n"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn both_spellings_of_addr_are_read() {
        assert!(welcome_for(&["--addr", "10.0.0.1:80"]).contains("ws://10.0.0.1:80/ws/lobby"));
        assert!(welcome_for(&["--addr=10.0.0.1:81"]).contains("ws://10.0.0.1:81/ws/lobby"));
    }

    #[test]
    fn an_address_of_all_interfaces_is_reached_on_the_loopback() {
        assert!(welcome_for(&["--addr", "0.0.0.0:80"]).contains("ws://127.0.0.1:80/"));
        assert!(welcome_for(&["--addr", "[::]:80"]).contains("ws://[::1]:80/"));
        assert!(welcome_for(&["--addr", ":8080"]).contains("ws://127.0.0.1:8080/"));
    }

    #[test]
    fn a_port_that_the_system_picks_is_not_guessed() {
        let text = welcome_for(&["--addr", "127.0.0.1:0"]);
        assert!(text.starts_with("Weir says below"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
