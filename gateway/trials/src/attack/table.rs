//! What is printed: a row for each attack, and why a row is red.

use std::io::{self, Write};

use super::attack::Attack;
use super::honest::{ROOM_MEMBERS, ROOM_MESSAGES_PER_SEC};
use super::judge::{
    Limit, P99_FLOOR_MICROS, P99_RATIO_MAX, RESIDENT_BYTES_MAX, RESIDENT_PART_MAX, Row,
};
use super::outcome::Outcome;
use super::stage::Script;

/// Which attacks there are.
pub(super) fn list(out: &mut impl Write, attacks: &[Attack]) -> io::Result<()> {
    for attack in attacks {
        writeln!(out, "{}\n    {}", attack.name, attack.about)?;
        writeln!(out, "    pace: {}", attack.pace)?;
        let outcomes = joined(attack.outcomes.iter().map(Outcome::to_string), ", ");
        let limits = joined(attack.limits.iter().map(|&name| name.to_owned()), ", ");
        writeln!(out, "    outcome: {outcomes}; limit: {limits}")?;
    }
    Ok(())
}

/// What the numbers mean.
pub(super) fn head(out: &mut impl Write, script: Script, tries: usize) -> io::Result<()> {
    let (rooms, floor) = (script.size.rooms, f64::from(P99_FLOOR_MICROS) / 1000.0);
    let secs = script.phase.as_secs_f64();
    writeln!(
        out,
        "{} honest clients in {rooms} rooms of {ROOM_MEMBERS}; each room hears \
         {ROOM_MESSAGES_PER_SEC} messages a second. Quiet for {secs} s, then attacked for at \
         least as long.\n\
         Red: a message lost, twice or out of order; an honest client closed; p99 beyond \
         {P99_RATIO_MAX} times the quiet one, unless below {floor} ms; memory afterwards more \
         than {:.0} % and {} MiB beyond before; an outcome or a count that is not as expected.\n\
         Ordinary visitors come first, with messages of 960 KiB and deflated ones: what a shard \
         keeps to work with is no attack's.\n\
         A row that is red for its latency is played up to {tries} times: other programs on \
         this machine make noise, and not each time.\n\
         Attackers have what honest clients and the gateway leave of the cores they share, as if \
         they had a machine of their own.\n",
        rooms * ROOM_MEMBERS,
        RESIDENT_PART_MAX * 100.0,
        RESIDENT_BYTES_MAX >> 20,
    )?;
    writeln!(out, "{}", line(&TITLES.map(str::to_owned)))?;
    writeln!(out, "{}", line(&WIDTHS.map(|width| "-".repeat(width))))?;
    out.flush()
}

const TITLES: [&str; 8] = [
    "attack",
    "limit: hits",
    "expected",
    "seen",
    "lost/heard",
    "p50/p99 ms, attacked",
    "MiB, most, after",
    "",
];
const WIDTHS: [usize; 8] = [20, 28, 12, 26, 10, 26, 20, 5];

/// One attack, with its reds and notes below.
pub(super) fn row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let reds = row.reds();
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let seen = row.seen.outcomes.iter().map(|(outcome, count)| format!("{outcome}×{count}"));
    let cells = [
        row.name.to_owned(),
        joined(row.limits.iter().map(hits), " "),
        joined(row.expected.iter().map(Outcome::to_string), " "),
        joined(seen, " "),
        format!("{}/{}", row.lost, row.heard),
        format!("{} {} {:.1}×", row.quiet, row.attacked, row.ratio()),
        format!("{} {} {}", mib(row.before), mib(row.peak), mib(row.after)),
        if reds.is_empty() { "green" } else { "RED" }.to_owned(),
    ];
    writeln!(out, "{}", line(&cells))?;
    for red in reds {
        writeln!(out, "    red: {red}")?;
    }
    for note in &row.seen.notes {
        writeln!(out, "    {note}")?;
    }
    out.flush()
}

/// An attack that could not be played.
pub(super) fn failed(out: &mut impl Write, name: &str, error: &anyhow::Error) -> io::Result<()> {
    let width = WIDTHS[0];
    writeln!(out, "{name:width$} | RED: {error:#}")?;
    out.flush()
}

/// How many were red.
pub(super) fn foot(out: &mut impl Write, attacks: usize, reds: usize) -> io::Result<()> {
    writeln!(out, "\n{attacks} attacks, {reds} red")?;
    out.flush()
}

fn hits(limit: &Limit) -> String {
    let hits = limit.hits.map_or_else(|| "none".to_owned(), |hits| hits.to_string());
    format!("{}: {hits}", limit.name)
}

/// The parts in a row, or a dash if there are none.
fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    let joined = parts.collect::<Vec<_>>().join(between);
    if joined.is_empty() { "-".to_owned() } else { joined }
}

fn line(cells: &[String; 8]) -> String {
    let cells = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
}
