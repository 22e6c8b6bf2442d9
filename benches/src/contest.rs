//! Rounds in which servers take turns, so that what disturbs the machine disturbs all of them.

use anyhow::{Context, Result};

use crate::contestant::{Cost, Plays};
use crate::json::Json;
use crate::stats::Spread;
use crate::verdict::Verdict;

/// Turns that each server has in a round: so many that a disturbance seldom meets only one, and
/// so few that each turn sends far more than it takes to warm the caches.
const SLICES: usize = 10;

/// What the others are compared to where it takes part; else it is the first of them.
pub(crate) const FLOOR: &str = "floor";

/// All rounds with one size of burst.
pub(crate) struct Heat {
    burst: usize,
    names: Vec<&'static str>,
    /// By round, then as `names`.
    rounds: Vec<Vec<Cost>>,
}

impl Heat {
    /// Lets the contestants take turns, each `times(name)` times a round; the first, uncounted
    /// round warms everyone up.
    ///
    /// # Errors
    /// If a server fails or loses something.
    pub(crate) fn hold(
        contestants: &mut [impl Plays],
        burst: usize,
        rounds: usize,
        times: impl Fn(&str) -> usize,
    ) -> Result<Self> {
        let mut taking: Vec<_> =
            contestants.iter_mut().filter(|contestant| times(contestant.name()) > 0).collect();
        let names = taking.iter().map(|contestant| contestant.name()).collect();
        let mut heat = Self { burst, names, rounds: Vec::new() };
        for contestant in &mut taking {
            contestant.run(burst, times(contestant.name()).div_ceil(SLICES))?;
        }
        for round in 0..rounds {
            let costs = play(&mut taking, burst, round, &times)?;
            heat.rounds.push(costs);
            println!("round {:>2}/{rounds}, {}", round + 1, heat.line(round));
        }
        Ok(heat)
    }

    fn line(&self, round: usize) -> String {
        let costs = &self.rounds[round];
        let base = self.base();
        let floor = costs[base].nanos_each();
        let of = |(name, cost): (&&str, &Cost)| match cost.nanos_each() {
            nanos if *name == self.names[base] => format!("{name} {nanos:.0} ns"),
            nanos => format!("{name} {nanos:.0} ns ({:.3})", nanos / floor),
        };
        let servers: Vec<_> = self.names.iter().zip(costs).map(of).collect();
        let load = costs.iter().copied().sum::<Cost>().utilisation();
        format!("{}: {}; load {:.0} %", self.title(), servers.join(", "), load * 100.0)
    }

    fn title(&self) -> String {
        match self.burst {
            1 => "one at a time".to_owned(),
            burst => format!("{burst} at a time"),
        }
    }

    /// Whom the others are compared to.
    fn base(&self) -> usize {
        self.names.iter().position(|&name| name == FLOOR).unwrap_or(0)
    }

    fn index(&self, name: &str) -> Result<usize> {
        let index = self.names.iter().position(|&found| found == name);
        index.with_context(|| format!("{name} did not take part"))
    }

    /// CPU time for one delivery, over the rounds.
    fn nanos(&self, index: usize) -> Spread {
        Spread::of(self.rounds.iter().map(|costs| costs[index].nanos_each()))
    }

    /// What `above` took for what `below` took, within each round.
    fn ratio(&self, above: usize, below: usize) -> Spread {
        let ratio = |costs: &Vec<Cost>| costs[above].nanos_each() / costs[below].nanos_each();
        Spread::of(self.rounds.iter().map(ratio))
    }

    /// Whether `above` is at most `goal` times `below`.
    ///
    /// # Errors
    /// If one of them did not take part.
    pub(crate) fn judge(&self, above: &str, below: &str, goal: f64) -> Result<Verdict> {
        let measured = self.ratio(self.index(above)?, self.index(below)?);
        let what = format!("{above} / {below}, {}", self.title());
        Ok(Verdict { what, measured, goal, digits: 3 })
    }

    fn total(&self) -> Cost {
        self.rounds.iter().flatten().copied().sum()
    }

    /// Prints medians and spreads.
    pub(crate) fn print(&self) {
        println!("{}, median (least..most) of {} rounds:", self.title(), self.rounds.len());
        let floor = self.base();
        let base = self.names[floor];
        for (index, name) in self.names.iter().enumerate() {
            let (nanos, ratio) = (self.nanos(index), self.ratio(index, floor));
            let [nanos, ratio] = [format!("{nanos:.1}"), format!("{ratio:.3}")];
            println!("  {name:<6} {nanos:>26} ns {ratio:>24} of {base}");
        }
        let total = self.total();
        println!(
            "  load generator busy {:.0} %, lost 0 of {} deliveries",
            total.utilisation() * 100.0,
            total.deliveries
        );
    }

    pub(crate) fn json(&self) -> Json {
        let floor = self.base();
        let server = |(index, &name): (usize, &&'static str)| {
            let rounds = self.rounds.iter().map(|costs| costs[index].nanos_each().into());
            Json::Object(vec![
                ("name", name.into()),
                ("nanos_each", self.nanos(index).into()),
                ("ratio_to_floor", self.ratio(index, floor).into()),
                ("nanos_each_by_round", Json::List(rounds.collect())),
            ])
        };
        let total = self.total();
        Json::Object(vec![
            ("burst", (self.burst as f64).into()),
            ("servers", Json::List(self.names.iter().enumerate().map(server).collect())),
            ("load_utilisation", total.utilisation().into()),
            ("deliveries", (total.deliveries as f64).into()),
            // A lost delivery ends the run with an error.
            ("lost", 0.0.into()),
        ])
    }
}

/// One round: several turns each, in changing order.
fn play(
    taking: &mut [&mut impl Plays],
    burst: usize,
    round: usize,
    times: impl Fn(&str) -> usize,
) -> Result<Vec<Cost>> {
    let mut costs = vec![Cost::default(); taking.len()];
    for slice in 0..SLICES {
        for index in order(taking.len(), round * SLICES + slice) {
            let contestant = &mut taking[index];
            let times = times(contestant.name()).div_ceil(SLICES);
            costs[index] += contestant.run(burst, times)?;
        }
    }
    Ok(costs)
}

/// There and back, each time beginning with another one.
fn order(count: usize, turn: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    order.rotate_left(turn / 2 % count);
    if turn % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(server_nanos: u64) -> Cost {
        Cost { server_nanos, load_nanos: 1, wall_nanos: 4, deliveries: 10 }
    }

    #[test]
    fn everyone_is_first_and_last_equally_often() {
        let orders: Vec<_> = (0..6).map(|turn| order(3, turn)).collect();
        for index in 0..3 {
            assert_eq!(orders.iter().filter(|order| order[0] == index).count(), 2);
            assert_eq!(orders.iter().filter(|order| order[2] == index).count(), 2);
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine became three times slower: that is nobody's fault.
        let rounds = vec![vec![cost(100), cost(110)], vec![cost(300), cost(330)]];
        let heat = Heat { burst: 1, names: vec![FLOOR, "weir"], rounds };
        let verdict = heat.judge("weir", FLOOR, 1.2).unwrap();
        assert_eq!(verdict.measured, Spread { min: 1.1, median: 1.1, max: 1.1 });
        assert!(!verdict.is_missed());
        assert_eq!(heat.nanos(0), Spread { min: 10.0, median: 20.0, max: 30.0 });
        assert_eq!(heat.total().utilisation(), 0.25);
    }

    #[test]
    fn who_did_not_take_part_is_not_judged() {
        let heat = Heat { burst: 1, names: vec![FLOOR], rounds: vec![vec![cost(1)]] };
        assert!(heat.judge("weir", FLOOR, 1.0).is_err());
    }
}
