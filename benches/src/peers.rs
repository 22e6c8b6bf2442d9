//! Servers that others made, side by side with Weir: which of them take part, and how each is
//! started, on one thread or with one worker.

mod nchan;

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::contestant::{Contestant, Play};
use crate::dialect::Dialect;
use crate::flags::Shared;
use crate::folder::Folder;
use crate::server::{Launch, Ready, Server};

/// A server that Weir is measured beside.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Peer {
    /// tokio-tungstenite, with a read buffer of 4 KiB
    Tungstenite,
    /// fastwebsockets, behind hyper
    Fastwebsockets,
    /// sockudo-ws
    Sockudo,
    /// tokio-websockets
    TokioWebsockets,
    /// nats-server, over its WebSocket listener
    Nats,
    /// nginx with the module nchan
    Nchan,
    /// socketify, which is uWebSockets under Python
    Socketify,
}

/// What `--peers` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// All that are here; who is not is told.
    All,
    None,
    One(Peer),
}

/// Keeps no message for later, pings nobody, and has a second listener that nobody uses.
const NATS_CONF: &str = "listen: \"127.0.0.1:-1\"\n\
    logtime: false\n\
    no_sys_acc: true\n\
    ping_interval: \"24h\"\n\
    websocket { listen: \"127.0.0.1:-1\", no_tls: true, compression: false }\n";

/// Where administrators' programs are, which not everyone's path names.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Those that take part where clients `play` so; says who else is left out, and why.
///
/// # Errors
/// If one that was asked for by its name cannot.
pub(crate) fn taking_part(shared: &Shared, play: Play) -> Result<Vec<Peer>> {
    let all = shared.peers.contains(&Wanted::All);
    let named = |peer: &Peer| shared.peers.contains(&Wanted::One(*peer));
    let mut taking = Vec::new();
    for peer in Peer::value_variants().iter().filter(|peer| all || named(peer)) {
        let name = peer.name();
        if !peer.dialect().can_play(play) {
            println!("{name} is left out: it has nothing that answers {play:?}");
            continue;
        }
        match peer.program(shared) {
            Ok(_) => taking.push(*peer),
            Err(why) if named(peer) => return Err(why.context(format!("{name} cannot take part"))),
            Err(why) => println!("{name} is left out: {why:#}"),
        }
    }
    Ok(taking)
}

/// Starts them and connects each one's clients.
///
/// # Errors
/// If one does not come to serve, or refuses a client.
pub(crate) fn connect(
    peers: &[Peer],
    shared: &Shared,
    play: Play,
    clients: usize,
    payload: usize,
) -> Result<Vec<Contestant>> {
    let connect = |peer: &Peer| Contestant::peer(peer.start(shared)?, play, clients, payload);
    peers.iter().map(connect).collect()
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tungstenite => "tungstenite",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Sockudo => "sockudo",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Nats => "nats",
            Self::Nchan => "nchan",
            Self::Socketify => "socketify",
        }
    }

    fn dialect(self) -> Dialect {
        match self {
            Self::Nats => Dialect::Nats,
            Self::Nchan => Dialect::Nchan,
            Self::Tungstenite
            | Self::Fastwebsockets
            | Self::Sockudo
            | Self::TokioWebsockets
            | Self::Socketify => Dialect::Raw,
        }
    }

    /// What is run.
    fn program(self, shared: &Shared) -> Result<PathBuf> {
        match self {
            Self::Nats => installed("nats-server"),
            Self::Nchan => nchan::module().and_then(|_| installed("nginx")),
            Self::Socketify => {
                let python = shared.python.clone();
                there(python.context("no Python that has socketify: give --python")?)
            }
            Self::Tungstenite | Self::Fastwebsockets | Self::Sockudo | Self::TokioWebsockets => {
                let peers = shared.weir_peer.clone();
                there(peers.context("no program with servers on crates: give --weir-peer")?)
            }
        }
    }

    /// # Errors
    /// If it is not here, or does not come to serve.
    pub(crate) fn start(self, shared: &Shared) -> Result<Server> {
        let mut command = Command::new(self.program(shared)?);
        let name = self.name();
        let launch = match self {
            Self::Tungstenite | Self::Fastwebsockets | Self::Sockudo | Self::TokioWebsockets => {
                command.args([name, "--addr", "127.0.0.1:0"]);
                Launch::raw(name, command)
            }
            Self::Nats => {
                let folder = Folder::new(name)?;
                let conf = folder.write("nats.conf", NATS_CONF)?;
                command.arg("-c").arg(conf).env("GOMAXPROCS", "1");
                let ready = Ready::Says("ws://");
                Launch { name, command, ready, dialect: self.dialect(), folder: Some(folder) }
            }
            Self::Nchan => nchan::launch(name, command, free_addr()?)?,
            Self::Socketify => {
                let folder = Folder::new(name)?;
                let addr = free_addr()?;
                let text = include_str!("../peers/socketify_peer.py");
                command.arg(folder.write("socketify_peer.py", text)?).arg(addr.port().to_string());
                let (ready, dialect) = (Ready::Listens(addr), self.dialect());
                Launch { name, command, ready, dialect, folder: Some(folder) }
            }
        };
        Server::start(launch, shared)
    }
}

impl Wanted {
    /// As written on the command line.
    ///
    /// # Errors
    /// Names everything that may be written.
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        match word {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            name => Peer::from_str(name, false).map(Self::One).map_err(|_| {
                let names: Vec<_> = Peer::value_variants().iter().map(|peer| peer.name()).collect();
                format!("neither all nor none nor one of {}", names.join(", "))
            }),
        }
    }
}

/// An address that nobody listens on at this moment.
fn free_addr() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn there(path: PathBuf) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    bail!("there is no {}", path.display())
}

/// Where a program of the system is.
fn installed(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join(name)).filter(|path| path.is_file());
    programs.next().with_context(|| format!("{name} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_written_is_named_in_one_way() {
        for peer in Peer::value_variants() {
            assert_eq!(Wanted::parse(peer.name()), Ok(Wanted::One(*peer)));
        }
        assert_eq!(Wanted::parse("all"), Ok(Wanted::All));
        let error = Wanted::parse("uws").unwrap_err();
        assert!(error.contains("tungstenite, fastwebsockets"), "{error}");
    }

    #[test]
    fn a_program_of_the_system_is_found_or_named() {
        assert!(installed("sh").is_ok());
        let error = installed("weir-no-such-program").unwrap_err().to_string();
        assert_eq!(error, "weir-no-such-program is not installed");
    }
}
