//! How much faster steering is: connections and echoes a second, of each way beside plain
//! `SO_REUSEPORT`, with clients on every CPU.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::bed::{Bed, Cable, Family};
use super::gateway::Launch;
use super::ground::Ground;
use super::rung::{Placement, Rung, Selector, Xdp};
use super::team::Team;

/// Connections that echo.
const ECHOING: usize = 64;
/// The default is the best, or as good as that.
const OF_THE_BEST: f64 = 0.95;
/// What steering has to be worth, in echoes a second beside plain.
const OF_PLAIN: f64 = 1.5;
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

/// One way, and what was measured of it in each round.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    flags: Vec<String>,
    cable: Cable,
    connections: Vec<f64>,
    echoes: Vec<f64>,
}

/// What was measured of a way, in each round.
type Measure = fn(&Entry) -> &[f64];

const PLAIN: &str = "plain SO_REUSEPORT";
const DEFAULT: &str = "default (auto)";

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
         connections: connect, upgrade, one echo, reset; echoes: 64 B on {ECHOING} connections\n",
        teams[0].len()
    )?;
    for round in 0..rounds {
        for place in order(round, rounds, entries.len()) {
            let entry = &mut entries[place];
            let at = usize::from(entry.cable == Cable::Generic);
            measure(entry, &flags.weir, &teams[at], &beds[at], time)
                .with_context(|| format!("{} cannot be measured", entry.name))?;
        }
    }
    table(out, &entries)?;
    if !ground.has_flag("--steer") {
        writeln!(out, "this weir has no --steer: only what it does anyway is measured")?;
    }
    let met = judge(out, &entries)?;
    if let Some(path) = &flags.json {
        write_json(path, &entries)?;
    }
    beds.into_iter().try_for_each(Bed::remove)?;
    Ok(met || !flags.strict)
}

/// Every way that the goals are about.
fn entries(ground: &Ground, only: &[String]) -> Vec<Entry> {
    let with = |name: &str, flags: Vec<String>| Entry {
        name: name.to_owned(),
        flags,
        cable: Cable::Native,
        connections: Vec::new(),
        echoes: Vec::new(),
    };
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
    entries.push(with(DEFAULT, Vec::new()));
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
    let shards = team.len().to_string();
    let launch = Launch::new(weir, ["--shards", &shards, "--workers", &shards]);
    let mut gateway = launch.with(&entry.flags).start(bed, Family::V4.gateway())?;
    let way = Team::way(gateway.addr(), Vec::new());
    team.connections_per_sec(&way, WARM_UP.min(time))?;
    entry.connections.push(team.connections_per_sec(&way, time)?);
    entry.echoes.push(team.echoes_per_sec(&way, ECHOING, time)?);
    gateway.still_runs()
}

/// The middle, and the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// # Panics
    /// If there is no number.
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { least: sorted[0], median: (low + high) / 2.0, most: sorted[sorted.len() - 1] }
    }

    /// Of one way's numbers beside another's of the same rounds.
    fn of_ratios(of: &[f64], beside: &[f64]) -> Self {
        Self::of(of.iter().zip(beside).map(|(one, other)| one / other))
    }

    fn ratio(self) -> String {
        format!("{:.2} ({:.2}..{:.2})", self.median, self.least, self.most)
    }
}

fn table(out: &mut impl Write, entries: &[Entry]) -> Result<()> {
    let plain = &entries[0];
    let (way, ratio) = ("way", "beside plain");
    writeln!(out, "{way:<26} {:>13}  {ratio:<20} {:>9}  {ratio}", "connections/s", "echoes/s")?;
    for entry in entries {
        let connections = Spread::of(entry.connections.iter().copied()).median;
        let echoes = Spread::of(entry.echoes.iter().copied()).median;
        let beside = Spread::of_ratios(&entry.connections, &plain.connections).ratio();
        let line = format!("{:<26} {connections:>13.0}  {beside:<20} {echoes:>9.0}", entry.name);
        writeln!(out, "{line}  {}", Spread::of_ratios(&entry.echoes, &plain.echoes).ratio())?;
    }
    writeln!(out)?;
    Ok(())
}

/// Says which goals were met; false if one was not.
fn judge(out: &mut impl Write, entries: &[Entry]) -> Result<bool> {
    let Some(default) = entries.iter().find(|entry| entry.name == DEFAULT) else {
        writeln!(out, "no default was measured: nothing to judge")?;
        return Ok(true);
    };
    let measures: [(&str, Measure); 2] =
        [("connections/s", |entry| &entry.connections), ("echoes/s", |entry| &entry.echoes)];
    let mut met = true;
    for (what, of) in measures {
        let median = |entry: &Entry| Spread::of(of(entry).iter().copied()).median;
        let best = entries.iter().max_by(|one, other| median(one).total_cmp(&median(other)));
        let best = best.expect("the default is there");
        let ratio = Spread::of_ratios(of(default), of(best));
        let what = format!("{what}: default beside the best, {}", best.name);
        met &= verdict(out, &what, ratio, OF_THE_BEST)?;
    }
    let ratio = Spread::of_ratios(&default.echoes, &entries[0].echoes);
    met &= verdict(out, "echoes/s: default beside plain", ratio, OF_PLAIN)?;
    Ok(met)
}

fn verdict(out: &mut impl Write, what: &str, ratio: Spread, goal: f64) -> Result<bool> {
    let is_met = ratio.median >= goal;
    let word = if is_met { "ok" } else { "MISSED" };
    writeln!(out, "{what:<62} ≥ {goal:.2}  {:<20} {word}", ratio.ratio())?;
    Ok(is_met)
}

fn write_json(path: &Path, entries: &[Entry]) -> Result<()> {
    let rows: Vec<Value> = entries
        .iter()
        .map(|Entry { name, flags, cable: _, connections, echoes }| {
            let per_sec = json!({ "connections": connections, "echoes": echoes });
            json!({ "name": name, "flags": flags, "per_sec": per_sec })
        })
        .collect();
    ensure!(!rows.is_empty(), "nothing was measured");
    let all = json!({ "machine": super::machine(), "steer": rows });
    fs::write(path, format!("{all}\n")).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, echoes: &[f64]) -> Entry {
        let echoes = echoes.to_vec();
        let (name, connections) = (name.to_owned(), echoes.clone());
        Entry { name, flags: Vec::new(), cable: Cable::Native, connections, echoes }
    }

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
    fn ratios_are_taken_within_a_round() {
        let spread = Spread::of_ratios(&[20.0, 10.0, 90.0], &[10.0, 10.0, 30.0]);
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(Spread::of([1.0, 2.0].into_iter()).median, 1.5);
    }

    #[test]
    fn a_default_that_another_way_outdoes_misses_its_goal() {
        let mut said = Vec::new();
        let ways =
            |best| [entry(PLAIN, &[10.0]), entry("program", &[best]), entry(DEFAULT, &[16.0])];
        assert!(judge(&mut said, &ways(16.5)).unwrap());
        assert!(!String::from_utf8_lossy(&said).contains("MISSED"));
        assert!(!judge(&mut said, &ways(20.0)).unwrap());
        assert!(String::from_utf8_lossy(&said).contains("default beside the best, program"));
    }

    #[test]
    fn a_default_that_is_no_better_than_plain_misses_its_goal() {
        let mut said = Vec::new();
        assert!(!judge(&mut said, &[entry(PLAIN, &[10.0]), entry(DEFAULT, &[14.9])]).unwrap());
        assert!(judge(&mut said, &[entry(PLAIN, &[10.0]), entry(DEFAULT, &[15.0])]).unwrap());
    }
}
