//! Who takes part in a row.

use anyhow::Result;

use super::table::Shape;
use crate::apart::Apart;
use crate::contest::FLOOR;
use crate::contestant::{Contestant, Play, Plays};
use crate::flags::{Bare, Mode, Shared};
use crate::peers::{self, Peer};
use crate::rooms::Rooms;
use crate::server::Server;
use crate::upgrades::Upgrades;

/// The bare loop's name.
const LOOP: &str = "loop";

/// The payload from which on pages that are shared might pay.
const MEMFD_BYTES: usize = 32 << 10;

/// A server that can be started as often as a row needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    kind: Kind,
}

/// What is started.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Bare(Mode),
    Loop,
    Weir { shards: u16 },
    Peer(Peer),
}

/// Those who are there, and those who are not, with the reason.
pub(crate) struct Lineup {
    pub(crate) contestants: Vec<Apart>,
    pub(crate) skipped: Vec<(&'static str, String)>,
}

/// Everyone who could take part.
///
/// # Errors
/// If a server of others was asked for by its name, and cannot take part.
pub(crate) fn candidates(shape: Shape, shards: bool, shared: &Shared) -> Result<Vec<Candidate>> {
    let weir = |name, shards| Candidate { name, kind: Kind::Weir { shards } };
    let bare = |name, mode| Candidate { name, kind: Kind::Bare(mode) };
    let mut candidates = vec![bare(FLOOR, Mode::Concat)];
    match shape {
        Shape::Room { payload_bytes, .. } => {
            candidates.push(Candidate { name: LOOP, kind: Kind::Loop });
            candidates.push(bare("io_uring", Mode::Uring));
            if payload_bytes >= MEMFD_BYTES {
                candidates.push(bare("memfd", Mode::Memfd));
            }
        }
        Shape::Rooms(_) => candidates.push(bare("io_uring", Mode::Uring)),
        Shape::Echo { .. } | Shape::Upgrade | Shape::Idle { .. } => {}
    }
    candidates.push(weir("weir", 1));
    if shards {
        candidates.extend([weir("weir-2", 2), weir("weir-4", 4)]);
    }
    let play = match shape {
        Shape::Room { .. } | Shape::Upgrade | Shape::Idle { .. } => Play::Room,
        Shape::Echo { .. } => Play::Echo,
        // What is asked there is how many shards of Weir fare beside one.
        Shape::Rooms(_) => return Ok(candidates),
    };
    let peers = peers::taking_part(shared, play)?;
    let peer = |peer: Peer| Candidate { name: peer.name(), kind: Kind::Peer(peer) };
    candidates.extend(peers.into_iter().map(peer));
    Ok(candidates)
}

/// Everyone but those who are only one more way of the bare server to send.
///
/// # Errors
/// As of [`candidates`].
pub(crate) fn servers(shape: Shape, shared: &Shared) -> Result<Vec<Candidate>> {
    let all = candidates(shape, false, shared)?.into_iter();
    Ok(all.filter(|candidate| !candidate.is_variant()).collect())
}

/// Starts everyone, each with clients of its own; at most `burst` messages come at once.
///
/// # Errors
/// If the floor or Weir does not start.
pub(crate) fn line_up(
    candidates: Vec<Candidate>,
    shape: Shape,
    burst: usize,
    shared: &Shared,
) -> Result<Lineup> {
    let mut lineup = Lineup { contestants: Vec::new(), skipped: Vec::new() };
    for candidate in candidates {
        let own = shared.clone();
        let make = move || candidate.join(shape, burst, &own);
        match Apart::new(candidate.name, make) {
            Ok(contestant) => lineup.contestants.push(contestant),
            Err(error) if candidate.is_needed() => return Err(error),
            Err(error) => lineup.skipped.push((candidate.name, format!("{error:#}"))),
        }
    }
    Ok(lineup)
}

impl Candidate {
    /// Starts the server.
    ///
    /// # Errors
    /// If it does not say where it listens.
    pub(crate) fn start(self, shape: Shape, burst: usize, shared: &Shared) -> Result<Server> {
        let mode = match self.kind {
            Kind::Weir { shards } => return Server::weir_with(self.name, shards, shared),
            Kind::Peer(peer) => return peer.start(shared),
            Kind::Bare(mode) => mode,
            Kind::Loop => Mode::Concat,
        };
        let (payload, burst) = (u32::try_from(shape.payload_bytes())?, u8::try_from(burst)?);
        Server::bare(self.name, &Bare { port: 0, core: None, payload, burst, mode }, shared)
    }

    /// Starts the server and connects its clients.
    fn join(self, shape: Shape, burst: usize, shared: &Shared) -> Result<Box<dyn Plays>> {
        let server = self.start(shape, burst, shared)?;
        let preframed = self.is_preframed();
        let room = match self.kind {
            Kind::Bare(_) => Play::Preframed,
            Kind::Loop => Play::Triggered,
            Kind::Weir { .. } | Kind::Peer(_) => Play::Room,
        };
        Ok(match shape {
            Shape::Room { members, payload_bytes } => {
                self.contestant(server, room, members, payload_bytes)?
            }
            Shape::Echo { clients, payload_bytes } => {
                self.contestant(server, Play::Echo, clients, payload_bytes)?
            }
            Shape::Rooms(size) => Box::new(Rooms::new(server, size, preframed)?),
            Shape::Upgrade | Shape::Idle { .. } => Box::new(Upgrades::new(server)),
        })
    }

    /// What Weir or the floor loses ends a row, and what others lose is counted.
    fn contestant(
        self,
        server: Server,
        play: Play,
        clients: usize,
        payload_bytes: usize,
    ) -> Result<Box<dyn Plays>> {
        Ok(Box::new(match self.kind {
            Kind::Peer(_) => Contestant::peer(server, play, clients, payload_bytes)?,
            Kind::Bare(_) | Kind::Loop | Kind::Weir { .. } => {
                Contestant::new(server, play, clients, payload_bytes)?
            }
        }))
    }

    /// Whether what it sends does not depend on what it is sent.
    pub(crate) fn is_preframed(self) -> bool {
        matches!(self.kind, Kind::Bare(_) | Kind::Loop)
    }

    /// Whether it sends as the floor does, but for how.
    fn is_variant(self) -> bool {
        match self.kind {
            Kind::Bare(mode) => mode != Mode::Concat,
            Kind::Loop => true,
            Kind::Weir { .. } | Kind::Peer(_) => false,
        }
    }

    /// Whether nothing can be said without it.
    pub(crate) fn is_needed(self) -> bool {
        matches!(self.kind, Kind::Weir { .. } | Kind::Bare(Mode::Concat))
    }
}
