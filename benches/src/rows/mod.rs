//! The macro run: every row of the goals side by side in one run, then the table.

mod idle;
mod lineup;
mod score;
mod table;

use std::time::Duration;

use anyhow::Result;

pub(crate) use self::idle::{Weighed, weigh};
use self::lineup::candidates;
pub(crate) use self::lineup::{line_up, servers};
use self::score::Score;
pub(crate) use self::table::Shape;
use self::table::{GROUPS, Group, Row};
use crate::Outcome;
use crate::contest::Heat;
use crate::flags::{Macro, Shared};
use crate::json::Json;
use crate::machine;
use crate::stats::Spread;
use crate::verdict::Verdict;

/// What a row's goal is worth: the median of so many rounds.
const ROUNDS: usize = 5;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// Every row, as `--rows` names it.
pub(crate) fn names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.rows).map(|row| row.name).collect()
}

/// A row that fails is told among the others.
pub(crate) fn run(flags: &Macro) -> Outcome {
    let shared = &flags.shared;
    let rounds = shared.rounds_or(ROUNDS);
    println!("macro: {rounds} rounds, on {}, commit {}", machine::describe(), machine::commit());
    let deadline = machine::now() + Duration::from_secs(60 * u64::from(flags.minutes));
    let mut scores = Vec::new();
    for group in GROUPS {
        let asked =
            |row: &&Row| flags.rows.is_empty() || flags.rows.iter().any(|it| it == row.name);
        let rows: Vec<_> = group.rows.iter().filter(asked).collect();
        if rows.is_empty() {
            continue;
        }
        if machine::now() > deadline {
            let why = format!("{} minutes were over (--minutes)", flags.minutes);
            let unit = group.shape.unit();
            scores.extend(rows.into_iter().map(|row| Score::failed(row, unit, &why)));
            continue;
        }
        measure(group, &rows, shared, &mut scores);
    }
    conclude(scores)
}

/// Measures the rows of a group, and says of each what it came to.
fn measure(group: &Group, rows: &[&'static Row], shared: &Shared, scores: &mut Vec<Score>) {
    let shape = if shared.smoke { group.shape.smoked() } else { group.shape };
    let held = match shape {
        Shape::Idle { connections } => idle_row(group, rows[0], connections, shared, scores),
        Shape::Room { .. } | Shape::Rooms(_) | Shape::Echo { .. } | Shape::Upgrade => {
            heats(group, rows, shape, shared, scores)
        }
    };
    let Err(error) = held else { return };
    let measured = |row: &Row| scores.iter().any(|score| score.row.name == row.name);
    let rest: Vec<_> = rows.iter().filter(|row| !measured(row)).collect();
    for row in rest {
        println!("{}: {error:#}", row.title);
        scores.push(Score::failed(row, shape.unit(), &format!("{error:#}")));
    }
}

/// Rows in which something is sent, between the same contestants.
fn heats(
    group: &Group,
    rows: &[&'static Row],
    shape: Shape,
    shared: &Shared,
    scores: &mut Vec<Score>,
) -> Result<()> {
    let burst = rows.iter().map(|row| row.burst).max().unwrap_or(1);
    machine::allow_descriptors(shape.connections(burst) as u64 + DESCRIPTORS_SPARE)?;
    let candidates = candidates(shape, group.shards, shared)?;
    let mut lineup = line_up(candidates, shape, burst, shared)?;
    for row in rows {
        println!("{}:", row.title);
        let times = shared.or_smoke(row.times, 8);
        let rounds = shared.rounds_or(ROUNDS);
        let heat =
            Heat::hold(shape.counts(), &mut lineup.contestants, row.burst, rounds, |_| times)?;
        heat.print();
        scores.push(Score::of(row, shape.unit(), &heat, &lineup.skipped)?);
    }
    Ok(())
}

/// The row in which nothing is said.
fn idle_row(
    group: &Group,
    row: &'static Row,
    connections: usize,
    shared: &Shared,
    scores: &mut Vec<Score>,
) -> Result<()> {
    println!("{}:", row.title);
    let wanted = group.shape.connections(row.burst) as u64 + DESCRIPTORS_SPARE;
    machine::allow_descriptors(wanted)?;
    let rounds = shared.rounds_or(ROUNDS);
    let Weighed { standings, missing } = weigh(connections, group.shards, rounds, shared)?;
    scores.push(Score::plain(row, group.shape.unit(), standings, missing));
    Ok(())
}

/// Prints the table.
fn conclude(scores: Vec<Score>) -> Outcome {
    println!("\n{:<62} {:>8} {:>24}", "what", "goal", "measured (least..most)");
    for score in &scores {
        print!("{score}");
    }
    let failed = scores.iter().filter(|score| score.failure.is_some()).count() as f64;
    let none = Verdict {
        what: "rows that ended with something lost, twice or out of order".to_owned(),
        measured: Spread::of(std::iter::once(failed)),
        goal: 0.0,
        digits: 0,
    };
    println!("{none}\n");
    let parts = scores.iter().map(Score::part).collect();
    let mut rows = Vec::new();
    let mut verdicts = vec![none];
    for mut score in scores {
        let judged = std::mem::take(&mut score.verdicts);
        rows.push(score.json(&judged));
        verdicts.extend(judged);
    }
    Outcome::told("macro", verdicts, vec![("rows", Json::List(rows))], parts)
}
