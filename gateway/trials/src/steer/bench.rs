//! How much faster steering is: connections and echoes a second, of each way beside plain
//! `SO_REUSEPORT`, with clients on every CPU.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::bed::{Bed, Cable, Family};
use super::floor::Floor;
use super::gateway::{Launch, PORT};
use super::ground::Ground;
use super::rung::{Placement, Rung, Selector, Xdp};
use super::score;
use super::talk::Talk;
use super::team::Team;

/// Before a gateway is measured, so that its memory and tables are there.
const WARM_UP: Duration = Duration::from_millis(200);

/// What `weir-steer bench` takes.
#[derive(Args, Debug)]
pub(super) struct Flags {
    /// The gateway to measure
    #[arg(long, value_name = "PATH")]
    weir: PathBuf,
    /// Rounds, in each of which every way is measured; ratios are taken within a round
    #[arg(long, default_value_t = 3, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Milliseconds of each measurement
    #[arg(long, default_value_t = 1500, value_name = "N",
        value_parser = clap::value_parser!(u64).range(50..=60_000))]
    millis: u64,
    /// Only ways whose names begin with this, and plain; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Too short to measure, long enough to break
    #[arg(long)]
    smoke: bool,
    /// Fail if a goal is missed
    #[arg(long)]
    strict: bool,
    /// Write the numbers to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Who serves.
#[derive(Clone, Debug)]
enum Server {
    /// The gateway, with these flags.
    Weir(Vec<String>),
    Floor {
        incoming_cpu: bool,
    },
}

/// One way, and what was measured of it in each round.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    server: Server,
    cable: Cable,
    pub(super) connections: Vec<f64>,
    /// Of [`Talk::USUAL`].
    pub(super) echoes: Vec<f64>,
    /// Of each of [`Talk::OTHERS`]; none where that is not asked.
    others: [Vec<f64>; Talk::OTHERS.len()],
}

pub(super) const PLAIN: &str = "plain SO_REUSEPORT";
pub(super) const DEFAULT: &str = "default (auto)";
/// A bare loop, dealt to by the kernel's hash.
pub(super) const FLOOR: &str = "floor, plain";
/// A bare loop, each CPU of which has what arrives there.
pub(super) const FLOOR_STEERED: &str = "floor, incoming-cpu";

impl Entry {
    /// A gateway without flags, of which nothing is measured yet.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            server: Server::Weir(Vec::new()),
            cable: Cable::Native,
            connections: Vec::new(),
            echoes: Vec::new(),
            others: Default::default(),
        }
    }

    pub(super) fn is_floor(&self) -> bool {
        self.name == FLOOR || self.name == FLOOR_STEERED
    }

    /// Echoes a second of those who talk so.
    pub(super) fn of(&self, talk: Talk) -> &[f64] {
        let at = Talk::OTHERS.iter().position(|other| *other == talk);
        at.map_or(&self.echoes, |at| &self.others[at])
    }

    /// Whether more ways to talk are measured with it than the usual one.
    fn is_of_all_talks(&self) -> bool {
        [PLAIN, DEFAULT, FLOOR, FLOOR_STEERED].contains(&self.name.as_str())
    }
}

/// Measures, and prints the table; whether every goal was met, or none was asked for.
///
/// # Errors
/// If it cannot be measured here.
pub(super) fn run(flags: &Flags, out: &mut impl Write) -> Result<bool> {
    let ground = Ground::survey(&flags.weir)?;
    if let Some(lack) = ground.lacks_a_bed() {
        writeln!(out, "skipped: {lack}")?;
        return Ok(true);
    }
    let mut entries = entries(&ground, &flags.only);
    let (rounds, time) = if flags.smoke { (1, 100) } else { (flags.rounds, flags.millis) };
    let time = Duration::from_millis(time);
    let beds = [Bed::make(Cable::Native)?, Bed::make(Cable::Generic)?];
    let teams = [Team::everywhere(&beds[0])?, Team::everywhere(&beds[1])?];
    writeln!(out, "{}", super::machine())?;
    writeln!(
        out,
        "{rounds} rounds of {time:?} for each number, clients on {} CPUs over a veth cable; \
         connections: connect, upgrade, one echo, reset; echoes: 64 B on {} connections\n",
        teams[0].len(),
        Talk::USUAL
    )?;
    for round in 0..rounds {
        for place in order(round, rounds, entries.len()) {
            let entry = &mut entries[place];
            let at = usize::from(entry.cable == Cable::Generic);
            measure(entry, &flags.weir, &teams[at], &beds[at], time)
                .with_context(|| format!("{} cannot be measured", entry.name))?;
        }
    }
    score::table(out, &entries)?;
    score::talks(out, &entries)?;
    if !ground.has_flag("--steer") {
        writeln!(out, "this weir has no --steer: only what it does anyway is measured")?;
    }
    let met = score::judge(out, &entries)?;
    if let Some(path) = &flags.json {
        write_json(path, &entries)?;
    }
    beds.into_iter().try_for_each(Bed::remove)?;
    Ok(met || !flags.strict)
}

/// Every way that the goals are about.
fn entries(ground: &Ground, only: &[String]) -> Vec<Entry> {
    let with = |name: &str, flags| Entry { server: Server::Weir(flags), ..Entry::named(name) };
    if !ground.has_flag("--steer") {
        return vec![with(PLAIN, Vec::new())];
    }
    let mut entries = vec![with(PLAIN, vec!["--steer".to_owned(), "off".to_owned()])];
    entries.extend(Selector::ALL.map(|selector| {
        let rung = Rung::selector(selector);
        with(&rung.name(), rung.flags())
    }));
    for placement in [Placement::Observe, Placement::Core] {
        for xdp in Xdp::ATTACHED {
            let rung = Rung { xdp, placement, selector: Selector::Program };
            entries.push(Entry { cable: rung.cable(), ..with(&rung.name(), rung.flags()) });
        }
    }
    entries.push(Entry::named(DEFAULT));
    for (name, incoming_cpu) in [(FLOOR, false), (FLOOR_STEERED, true)] {
        entries.push(Entry { server: Server::Floor { incoming_cpu }, ..Entry::named(name) });
    }
    let wanted = |entry: &Entry| only.iter().any(|name| entry.name.starts_with(name.as_str()));
    entries.retain(|entry| only.is_empty() || entry.name == PLAIN || wanted(entry));
    entries
}

/// The order of a round: each begins elsewhere, so that none is always the first after a pause.
fn order(round: u16, rounds: u16, ways: usize) -> impl Iterator<Item = usize> {
    let first = usize::from(round) * ways / usize::from(rounds);
    (0..ways).map(move |step| (first + step) % ways)
}

fn measure(
    entry: &mut Entry,
    weir: &Path,
    team: &Team<'_>,
    bed: &Bed,
    time: Duration,
) -> Result<()> {
    let address = Family::V4.gateway();
    match &entry.server {
        Server::Weir(flags) => {
            let shards = team.len().to_string();
            let launch = Launch::new(weir, ["--shards", &shards, "--workers", &shards]);
            let mut gateway = launch.with(flags).start(bed, address)?;
            measure_at(entry, gateway.addr(), team, time)?;
            gateway.still_runs()
        }
        Server::Floor { incoming_cpu } => {
            let addr = SocketAddr::new(address, PORT);
            let _floor = Floor::start(bed, addr, *incoming_cpu)?;
            measure_at(entry, addr, team, time)
        }
    }
}

fn measure_at(entry: &mut Entry, to: SocketAddr, team: &Team<'_>, time: Duration) -> Result<()> {
    let way = Team::way(to, Vec::new());
    team.connections_per_sec(&way, WARM_UP.min(time))?;
    entry.connections.push(team.connections_per_sec(&way, time)?);
    entry.echoes.push(team.echoes_per_sec(&way, Talk::USUAL, time)?);
    if entry.is_of_all_talks() {
        for (talk, echoes) in Talk::OTHERS.into_iter().zip(&mut entry.others) {
            echoes.push(team.echoes_per_sec(&way, talk, time)?);
        }
    }
    Ok(())
}

fn write_json(path: &Path, entries: &[Entry]) -> Result<()> {
    let row = |entry: &Entry| {
        let Entry { name, server, cable: _, connections, echoes, others } = entry;
        let flags = if let Server::Weir(flags) = server { Some(flags) } else { None };
        let others: serde_json::Map<_, _> = Talk::OTHERS
            .iter()
            .zip(others)
            .map(|(talk, echoes)| (talk.to_string(), json!(echoes)))
            .collect();
        let per_sec =
            json!({ "connections": connections, "echoes": echoes, "echoes_of_others": others });
        json!({ "name": name, "flags": flags, "per_sec": per_sec })
    };
    let rows: Vec<Value> = entries.iter().map(row).collect();
    ensure!(!rows.is_empty(), "nothing was measured");
    let all = json!({ "machine": super::machine(), "steer": rows });
    fs::write(path, format!("{all}\n")).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_way_once_and_begins_elsewhere() {
        let orders: Vec<Vec<_>> = (0..3).map(|round| order(round, 3, 10).collect()).collect();
        assert_eq!(orders[0], (0..10).collect::<Vec<_>>());
        assert_eq!((orders[1][0], orders[2][0]), (3, 6));
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_way_to_talk_has_numbers_of_its_own() {
        let others = std::array::from_fn(|at| vec![at as f64]);
        let entry = Entry { echoes: vec![64.0], others, ..Entry::named(PLAIN) };
        assert_eq!(entry.of(Talk::USUAL), [64.0]);
        assert_eq!(Talk::OTHERS.map(|talk| entry.of(talk)[0]), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
