//! What was measured, as tables, and whether the goals were met.

use std::io::Write;

use anyhow::Result;

use super::bench::{DEFAULT, Entry, FLOOR, FLOOR_STEERED, PLAIN};
use super::talk::Talk;

/// The default is the best, or as good as that.
const OF_THE_BEST: f64 = 0.95;
/// What steering has to be worth, in echoes a second beside plain.
const OF_PLAIN: f64 = 1.5;
/// How much of what steering is worth to a bare loop it is worth to the default.
const OF_THE_FLOOR: f64 = 0.95;

/// What was measured of a way, in each round.
type Measure = fn(&Entry) -> &[f64];

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
        Self::of(ratios(of, beside))
    }

    fn ratio(self) -> String {
        format!("{:.2} ({:.2}..{:.2})", self.median, self.least, self.most)
    }
}

fn ratios(of: &[f64], beside: &[f64]) -> impl Iterator<Item = f64> {
    of.iter().zip(beside).map(|(one, other)| one / other)
}

/// Every way beside plain.
///
/// # Errors
/// If it cannot be written.
pub(super) fn table(out: &mut impl Write, entries: &[Entry]) -> Result<()> {
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

/// What steering is worth to a bare loop and to the default, by how clients talk.
///
/// # Errors
/// If it cannot be written.
pub(super) fn talks(out: &mut impl Write, entries: &[Entry]) -> Result<()> {
    let named = |name| entries.iter().find(|entry| entry.name == name);
    let pairs = [(FLOOR_STEERED, FLOOR), (DEFAULT, PLAIN)];
    let [Some(floor), Some(default)] =
        pairs.map(|(steered, plain)| Some((named(steered)?, named(plain)?)))
    else {
        return Ok(());
    };
    let (clients, beside) = ("echoes/s of clients", "beside its plain");
    writeln!(out, "{clients:<20} {:>9}  {beside:<20} {:>9}  {beside}", "floor", "default")?;
    for talk in std::iter::once(Talk::USUAL).chain(Talk::OTHERS) {
        write!(out, "{:<20}", talk.to_string())?;
        for (steered, plain) in [floor, default] {
            let echoes = Spread::of(steered.of(talk).iter().copied()).median;
            let ratio = Spread::of_ratios(steered.of(talk), plain.of(talk)).ratio();
            write!(out, " {echoes:>9.0}  {ratio:<20}")?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    Ok(())
}

/// Says which goals were met; false if one was not.
///
/// # Errors
/// If it cannot be written.
pub(super) fn judge(out: &mut impl Write, entries: &[Entry]) -> Result<bool> {
    let Some(default) = entries.iter().find(|entry| entry.name == DEFAULT) else {
        writeln!(out, "no default was measured: nothing to judge")?;
        return Ok(true);
    };
    let measures: [(&str, Measure); 2] =
        [("connections/s", |entry| &entry.connections), ("echoes/s", |entry| &entry.echoes)];
    let mut met = true;
    for (what, of) in measures {
        let median = |entry: &Entry| Spread::of(of(entry).iter().copied()).median;
        // What no gateway can outdo is no way for a gateway.
        let ways = entries.iter().filter(|entry| !entry.is_floor());
        let best = ways.max_by(|one, other| median(one).total_cmp(&median(other)));
        let best = best.expect("the default is there");
        let ratio = Spread::of_ratios(of(default), of(best));
        let what = format!("{what}: default beside the best, {}", best.name);
        met &= verdict(out, &what, ratio, OF_THE_BEST)?;
    }
    let ratio = Spread::of_ratios(&default.echoes, &entries[0].echoes);
    met &= verdict(out, "echoes/s: default beside plain", ratio, OF_PLAIN)?;
    let named = |name| entries.iter().find(|entry| entry.name == name);
    if let (Some(floor), Some(steered)) = (named(FLOOR), named(FLOOR_STEERED)) {
        let worth: Vec<_> = ratios(&default.echoes, &entries[0].echoes).collect();
        let bound: Vec<_> = ratios(&steered.echoes, &floor.echoes).collect();
        let what = "echoes/s: that ratio beside the same of the floor";
        met &= verdict(out, what, Spread::of_ratios(&worth, &bound), OF_THE_FLOOR)?;
    }
    Ok(met)
}

fn verdict(out: &mut impl Write, what: &str, ratio: Spread, goal: f64) -> Result<bool> {
    let is_met = ratio.median >= goal;
    let word = if is_met { "ok" } else { "MISSED" };
    writeln!(out, "{what:<62} ≥ {goal:.2}  {:<20} {word}", ratio.ratio())?;
    Ok(is_met)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, echoes: &[f64]) -> Entry {
        let mut entry = Entry::named(name);
        (entry.connections, entry.echoes) = (echoes.to_vec(), echoes.to_vec());
        entry
    }

    fn said_of(entries: &[Entry]) -> (bool, String) {
        let mut said = Vec::new();
        let met = judge(&mut said, entries).unwrap();
        (met, String::from_utf8(said).unwrap())
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let spread = Spread::of_ratios(&[20.0, 10.0, 90.0], &[10.0, 10.0, 30.0]);
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(Spread::of([1.0, 2.0].into_iter()).median, 1.5);
    }

    #[test]
    fn a_default_that_another_way_outdoes_misses_its_goal() {
        let ways =
            |best| [entry(PLAIN, &[10.0]), entry("program", &[best]), entry(DEFAULT, &[16.0])];
        assert!(said_of(&ways(16.5)).0);
        let (met, said) = said_of(&ways(20.0));
        assert!(!met && said.contains("default beside the best, program"), "{said}");
    }

    #[test]
    fn a_default_that_is_no_better_than_plain_misses_its_goal() {
        assert!(!said_of(&[entry(PLAIN, &[10.0]), entry(DEFAULT, &[14.9])]).0);
        assert!(said_of(&[entry(PLAIN, &[10.0]), entry(DEFAULT, &[15.0])]).0);
    }

    #[test]
    fn the_floor_is_no_way_for_a_gateway_but_its_gain_is_the_measure() {
        let ways = |steered| {
            let floors = [entry(FLOOR, &[20.0]), entry(FLOOR_STEERED, &[steered])];
            [vec![entry(PLAIN, &[10.0]), entry(DEFAULT, &[16.0])], Vec::from(floors)].concat()
        };
        let (met, said) = said_of(&ways(32.0));
        assert!(met && said.contains("default beside the best, default"), "{said}");
        assert!(!said_of(&ways(40.0)).0, "a bare loop gains 2, the gateway 1.6");
    }
}
