//! What does one more member of a room cost?
//!
//! At least a `send`, which the bare server shows; the bare loop shows that the bare server
//! adds nothing to it.

use anyhow::Result;

use crate::Outcome;
use crate::contest::{FLOOR, Heat};
use crate::contestant::{Contestant, Play};
use crate::flags::{Bare, Fanout, Mode};
use crate::json::Json;
use crate::machine;
use crate::server::Server;

/// What the bare server may take for what the bare loop takes.
const FLOOR_GOAL: f64 = 1.03;
/// What Weir may take for what the bare server takes: one message at a time, and in bursts.
const WEIR_GOAL: f64 = 1.05;
const WEIR_BURST_GOAL: f64 = 1.10;

/// Sending each message of a burst by itself costs so much that it is done more seldom.
const EACH_SHARE: usize = 10;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// # Errors
/// If a server fails or loses something.
pub(crate) fn run(flags: &Fanout) -> Result<Outcome> {
    let Fanout { shared, room } = flags;
    let members = shared.or_smoke(usize::from(room.subscribers), 20);
    let messages = shared.or_smoke(usize::from(room.messages), 8);
    println!("fanout: {members} members, {} bytes, on {}", room.payload, machine::describe());
    machine::allow_descriptors(4 * (members as u64 + 1) + DESCRIPTORS_SPARE)?;
    let mut contestants = contestants(flags, members)?;

    let mut heats = Vec::new();
    for burst in room.bursts.iter().copied().map(usize::from) {
        let times = |name: &str| match (name, burst) {
            ("each", 1) => 0,
            ("each", _) => messages.div_ceil(EACH_SHARE),
            _ => messages,
        };
        heats.push((burst, Heat::hold(&mut contestants, burst, shared.rounds(), times)?));
    }
    conclude(&heats)
}

fn contestants(flags: &Fanout, members: usize) -> Result<Vec<Contestant>> {
    let Fanout { shared, room } = flags;
    let burst = room.bursts.iter().copied().max().unwrap_or(1);
    let payload = room.payload;
    let join = |server, play| Contestant::new(server, play, members, payload as usize);
    let bare = |name, mode| {
        let flags = Bare { port: 0, core: None, payload, burst, mode };
        Server::bare(name, &flags, shared)
    };
    let mut contestants = vec![
        join(bare("loop", Mode::Concat)?, Play::Triggered)?,
        join(bare(FLOOR, Mode::Concat)?, Play::Preframed)?,
        join(Server::weir(shared)?, Play::Room)?,
    ];
    if burst > 1 {
        contestants.push(join(bare("each", Mode::Each)?, Play::Preframed)?);
    }
    Ok(contestants)
}

fn conclude(heats: &[(usize, Heat)]) -> Result<Outcome> {
    let mut verdicts = Vec::new();
    let mut numbers = Vec::new();
    for (burst, heat) in heats {
        heat.print()?;
        let goal = if *burst == 1 { WEIR_GOAL } else { WEIR_BURST_GOAL };
        verdicts.push(heat.judge(FLOOR, "loop", FLOOR_GOAL)?);
        verdicts.push(heat.judge("weir", FLOOR, goal)?);
        numbers.push(heat.json()?);
    }
    Ok(Outcome::new("fanout", verdicts, vec![("heats", Json::List(numbers))]))
}
