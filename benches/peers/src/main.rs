//! `weir-peer NAME --addr ADDR`: one server on a published WebSocket crate, as its users would
//! tune it, with rooms at `/ws/{room}` and an echo at `/ws/simple`.
//!
//! One thread serves everyone; whoever says something in a room does not hear it.
#![expect(clippy::print_stdout, reason = "a server says where it listens")]

mod fastwebsockets;
mod listen;
mod pump;
mod rooms;
mod sockudo;
mod tokio_websockets;
mod tungstenite;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// The crates, by the names that they are asked for.
const NAMES: [&str; 4] = ["tungstenite", "fastwebsockets", "sockudo", "tokio-websockets"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let [name, "--addr", addr] = args[..] else {
        bail!("usage: weir-peer NAME --addr ADDR, where NAME is one of {}", NAMES.join(", "));
    };
    let addr: SocketAddr = addr.parse().with_context(|| format!("{addr} is no address"))?;
    match name {
        "tungstenite" => tungstenite::serve(addr),
        "fastwebsockets" => fastwebsockets::serve(addr),
        "sockudo" => sockudo::serve(addr),
        "tokio-websockets" => tokio_websockets::serve(addr),
        other => bail!("{other} is none of {}", NAMES.join(", ")),
    }
}
