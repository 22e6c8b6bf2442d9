//! What does one more member of a room cost?
//!
//! At least a `send`, which the bare server shows; the bare loop shows that the bare server
//! adds nothing to it.

use anyhow::Result;

use crate::Outcome;
use crate::apart::Apart;
use crate::contest::{FLOOR, Heat};
use crate::contestant::{Contestant, Play};
use crate::flags::{Bare, Fanout, Mode};
use crate::json::Json;
use crate::server::Server;
use crate::unit::Unit;
use crate::verdict::Verdict;
use crate::{machine, peers};

/// What the bare server may take for what the bare loop takes.
const FLOOR_GOAL: f64 = 1.03;
/// What Weir may take for what the bare server takes: one message at a time, and in bursts.
const WEIR_GOAL: f64 = 1.05;
const WEIR_BURST_GOAL: f64 = 1.10;
/// What Weir with several shards may take for what it takes with one.
const SHARDS_GOAL: f64 = 1.10;
/// Its name.
const SHARDS: &str = "shards";

/// Sending each message of a burst by itself costs so much that it is done more seldom.
const EACH_SHARE: usize = 10;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// # Errors
/// If a server fails or loses something.
pub(crate) fn run(flags: &Fanout) -> Result<Outcome> {
    let Fanout { shared, room, .. } = flags;
    let members = shared.or_smoke(usize::from(room.subscribers), 20);
    let messages = shared.or_smoke(usize::from(room.messages), 8);
    println!("fanout: {members} members, {} bytes, on {}", room.payload, machine::describe());
    let peers = peers::taking_part(shared, Play::Room)?;
    let servers = 5 + peers.len() as u64;
    machine::allow_descriptors(servers * (members as u64 + 1) + DESCRIPTORS_SPARE)?;
    // Before ours: Weir asks clients that say nothing for long whether they are still there.
    let peers = peers::connect(&peers, shared, Play::Room, members, room.payload as usize)?;
    let mut contestants = contestants(flags, members)?;
    contestants.extend(peers);

    let mut heats = Vec::new();
    for burst in room.bursts.iter().copied().map(usize::from) {
        let times = |name: &str| match (name, burst) {
            ("each", 1) => 0,
            ("each", _) => messages.div_ceil(EACH_SHARE),
            _ => messages,
        };
        heats.push((
            burst,
            Heat::hold(Unit::Delivery, &mut contestants, burst, shared.rounds(), times)?,
        ));
    }
    drop(contestants);
    let pairs = pairs(flags)?;
    conclude(flags, &heats, &pairs)
}

/// Rooms of two, in which nothing is gained by having several shards, and nothing may be lost.
fn pairs(flags: &Fanout) -> Result<Vec<(usize, Heat)>> {
    let Fanout { shared, room, spread } = flags;
    let rooms = shared.or_smoke(usize::from(spread.pair_rooms), 20);
    let turns = shared.or_smoke(usize::from(spread.pair_turns), 4);
    if spread.shards < 2 || rooms == 0 {
        return Ok(Vec::new());
    }
    println!("{rooms} pairs, {} bytes:", room.payload);
    machine::allow_descriptors(2 * rooms as u64 + DESCRIPTORS_SPARE)?;
    let payload = room.payload as usize;
    let apart = |name, shards| {
        let shared = shared.clone();
        Apart::new(name, move || {
            let server = Server::weir_with(name, shards, &shared)?;
            Contestant::new(server, Play::Pairs, rooms, payload)
        })
    };
    let mut both = [apart("weir", 1)?, apart(SHARDS, spread.shards)?];
    let mut heats = Vec::new();
    for burst in room.bursts.iter().copied().map(usize::from) {
        heats.push((
            burst,
            Heat::hold(Unit::Delivery, &mut both, burst, shared.rounds(), |_| turns)?,
        ));
    }
    Ok(heats)
}

fn contestants(flags: &Fanout, members: usize) -> Result<Vec<Contestant>> {
    let Fanout { shared, room, spread } = flags;
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
    if spread.shards > 1 {
        let server = Server::weir_with(SHARDS, spread.shards, shared)?;
        contestants.push(join(server, Play::Room)?);
    }
    if burst > 1 {
        contestants.push(join(bare("each", Mode::Each)?, Play::Preframed)?);
    }
    Ok(contestants)
}

fn conclude(flags: &Fanout, heats: &[(usize, Heat)], pairs: &[(usize, Heat)]) -> Result<Outcome> {
    let mut verdicts = Vec::new();
    for (burst, heat) in heats {
        heat.print();
        let goal = if *burst == 1 { WEIR_GOAL } else { WEIR_BURST_GOAL };
        verdicts.push(heat.judge(FLOOR, "loop", FLOOR_GOAL)?);
        verdicts.push(heat.judge("weir", FLOOR, goal)?);
        if flags.spread.shards > 1 {
            verdicts.push(heat.judge(SHARDS, "weir", SHARDS_GOAL)?);
        }
    }
    for (_, heat) in pairs {
        println!("pairs:");
        heat.print();
        let verdict = heat.judge(SHARDS, "weir", SHARDS_GOAL)?;
        verdicts.push(Verdict { what: format!("pairs, {}", verdict.what), ..verdict });
    }
    let json = |heats: &[(usize, Heat)]| heats.iter().map(|(_, heat)| heat.json()).collect();
    let numbers = vec![
        ("shards", f64::from(flags.spread.shards).into()),
        ("heats", Json::List(json(heats))),
        ("pairs", Json::List(json(pairs))),
    ];
    Ok(Outcome::new("fanout", verdicts, numbers))
}
