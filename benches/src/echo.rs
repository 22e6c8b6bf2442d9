//! What does a message there and back cost?

use anyhow::Result;

use crate::Outcome;
use crate::contest::{FLOOR, Heat};
use crate::contestant::{Contestant, Play};
use crate::flags::{Bare, Echo, Mode};
use crate::json::Json;
use crate::server::Server;
use crate::unit::Unit;
use crate::{machine, peers};

/// What Weir may take for what the bare server takes.
const GOAL: f64 = 1.10;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// # Errors
/// If a server fails or loses something.
pub(crate) fn run(flags: &Echo) -> Result<Outcome> {
    let Echo { shared, pairs } = flags;
    let clients = shared.or_smoke(usize::from(pairs.clients), 8);
    let turns = shared.or_smoke(usize::from(pairs.turns), 8);
    let payload = pairs.echo_payload;
    println!("echo: {clients} clients, {payload} bytes, on {}", machine::describe());
    let peers = peers::taking_part(shared, Play::Echo)?;
    let servers = 2 + peers.len() as u64;
    machine::allow_descriptors(servers * clients as u64 + DESCRIPTORS_SPARE)?;
    let floor = Bare { port: 0, core: None, payload, burst: 1, mode: Mode::Concat };
    let join = |server| Contestant::new(server, Play::Echo, clients, payload as usize);
    let peers = peers::connect(&peers, shared, Play::Echo, clients, payload as usize)?;
    let mut contestants =
        vec![join(Server::bare(FLOOR, &floor, shared)?)?, join(Server::weir(shared)?)?];
    contestants.extend(peers);

    let mut heats = Vec::new();
    for depth in pairs.depths.iter().copied().map(usize::from) {
        heats.push(Heat::hold(Unit::Echo, &mut contestants, depth, shared.rounds(), |_| turns)?);
    }
    conclude(&heats)
}

fn conclude(heats: &[Heat]) -> Result<Outcome> {
    let mut verdicts = Vec::new();
    let mut numbers = Vec::new();
    for heat in heats {
        heat.print();
        verdicts.push(heat.judge("weir", FLOOR, GOAL)?);
        numbers.push(heat.json());
    }
    Ok(Outcome::new("echo", verdicts, vec![("heats", Json::List(numbers))]))
}
