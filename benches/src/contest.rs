//! Rounds in which servers take turns, so that what disturbs the machine disturbs all of them.

use anyhow::{Context, Result};

use crate::contestant::Plays;
use crate::cost::Cost;
use crate::json::Json;
use crate::stats::{Spread, Standing};
use crate::unit::Unit;
use crate::verdict::Verdict;

/// Turns that each server has in a round: so many that a disturbance seldom meets only one, and
/// so few that each turn sends far more than it takes to warm the caches.
const SLICES: usize = 10;

/// What the others are compared to where it takes part; else it is the first of them.
pub(crate) const FLOOR: &str = "floor";

/// Whose failure ends a heat: a loss of Weir's is no result, and without a floor there is none.
/// Anyone else falls out.
const NEEDED: [&str; 6] = [FLOOR, "loop", "weir", "weir-2", "weir-4", "shards"];

/// Most time that a contestant's turn should take: it bounds how long a heat lasts, however slow
/// somebody is.
const TURN_WALL_NANOS: u64 = 300_000_000;

/// All rounds with one size of burst.
pub(crate) struct Heat {
    unit: Unit,
    burst: usize,
    names: Vec<&'static str>,
    /// By round, then as `names`.
    rounds: Vec<Vec<Cost>>,
    /// Who fell out, and why.
    pub(crate) fallen: Vec<(&'static str, String)>,
}

/// Who takes part, and how it goes.
struct Entrant<'a, P> {
    contestant: &'a mut P,
    /// How often it sends in a turn.
    times: usize,
    costs: Vec<Cost>,
    fault: Option<String>,
}

impl Heat {
    /// Lets the contestants take turns, each at most `times(name)` times a round; the first,
    /// uncounted round warms everyone up, and one more exchange shows what was sent twice.
    ///
    /// # Errors
    /// If a server that is needed fails or loses something.
    pub(crate) fn hold(
        unit: Unit,
        contestants: &mut [impl Plays],
        burst: usize,
        rounds: usize,
        times: impl Fn(&str) -> usize,
    ) -> Result<Self> {
        let entrant = |contestant| Entrant { contestant, times: 0, costs: vec![], fault: None };
        let mut field: Vec<_> = contestants
            .iter_mut()
            .filter(|contestant| times(contestant.name()) > 0)
            .map(entrant)
            .collect();
        for entrant in &mut field {
            let times = times(entrant.contestant.name()).div_ceil(SLICES);
            if let Some(cost) = entrant.run(burst, times)? {
                entrant.times = turn_times(times, cost.wall_nanos);
            }
        }
        for round in 0..rounds {
            play(&mut field, burst, round)?;
            println!(
                "round {:>2}/{rounds}, {}",
                round + 1,
                Self::of(unit, burst, &field).line(round)
            );
        }
        for entrant in &mut field {
            entrant.run(burst, 1)?;
        }
        Ok(Self::of(unit, burst, &field))
    }

    /// What is known of those who have not fallen.
    fn of<P: Plays>(unit: Unit, burst: usize, field: &[Entrant<'_, P>]) -> Self {
        let name = |entrant: &Entrant<'_, P>| entrant.contestant.name();
        let still: Vec<_> = field.iter().filter(|entrant| entrant.fault.is_none()).collect();
        let rounds = still.iter().map(|entrant| entrant.costs.len()).min().unwrap_or(0);
        let round = |round: usize| still.iter().map(|entrant| entrant.costs[round]).collect();
        let fallen = field.iter().filter_map(|it| Some((name(it), it.fault.clone()?))).collect();
        Self {
            unit,
            burst,
            names: still.iter().map(|entrant| name(entrant)).collect(),
            rounds: (0..rounds).map(round).collect(),
            fallen,
        }
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

    /// The name of whom the others are compared to.
    pub(crate) fn base_name(&self) -> &'static str {
        self.names[self.base()]
    }

    /// Those who took part to the end.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    fn index(&self, name: &str) -> Result<usize> {
        let index = self.names.iter().position(|&found| found == name);
        index.with_context(|| format!("{name} did not take part"))
    }

    /// What is counted.
    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// CPU time for one of what is counted, over the rounds.
    fn nanos(&self, index: usize) -> Spread {
        Spread::of(self.rounds.iter().map(|costs| costs[index].nanos_each()))
    }

    /// What `above` took for what `below` took, within each round.
    fn ratio(&self, above: usize, below: usize) -> Spread {
        let ratio = |costs: &Vec<Cost>| costs[above].nanos_each() / costs[below].nanos_each();
        Spread::of(self.rounds.iter().map(ratio))
    }

    /// What everyone took, and how that compares, in the order of the field.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let base = self.base();
        let standing = |(index, &name): (usize, &&'static str)| Standing {
            name,
            each: self.nanos(index),
            ratio: self.ratio(index, base),
            softirq_share: self.total_of(index).softirq_share(),
        };
        self.names.iter().enumerate().map(standing).collect()
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

    /// Who lost something, and how much.
    fn losses(&self) -> Vec<(&'static str, u64)> {
        let lost = |index: usize| self.rounds.iter().map(|costs| costs[index].lost).sum();
        let each = self.names.iter().enumerate().map(|(index, &name)| (name, lost(index)));
        each.filter(|&(_, lost)| lost > 0).collect()
    }

    /// What one of them took in all rounds.
    fn total_of(&self, index: usize) -> Cost {
        self.rounds.iter().map(|costs| costs[index]).sum()
    }

    /// What everyone took together.
    pub(crate) fn total(&self) -> Cost {
        self.rounds.iter().flatten().copied().sum()
    }

    /// Prints medians and spreads.
    pub(crate) fn print(&self) {
        let (title, cost, rounds) = (self.title(), self.unit.cost(), self.rounds.len());
        println!("{title}, {cost}, median (least..most) of {rounds} rounds:");
        let base = self.base_name();
        for Standing { name, each, ratio, softirq_share } in self.standings() {
            let [each, ratio] = [format!("{each:.1}"), format!("{ratio:.3}")];
            let softirq = softirq_share.map(|it| format!(", {:.1} % in ksoftirqd", it * 100.0));
            let softirq = softirq.unwrap_or_default();
            println!("  {name:<18} {each:>26} ns {ratio:>24} of {base}{softirq}");
        }
        for (name, why) in &self.fallen {
            println!("  {name:<18} fell out: {why}");
        }
        let total = self.total();
        println!(
            "  load generator busy {:.0} %, lost {} of {} {}, {}",
            total.utilisation() * 100.0,
            total.lost,
            total.done + total.lost,
            self.unit.many(),
            self.unit.promise()
        );
        for (name, lost) in self.losses() {
            println!("  {name} lost {lost}");
        }
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
                ("softirq_share", self.total_of(index).softirq_share().into()),
            ])
        };
        let fallen = |(name, why): &(&'static str, String)| {
            Json::Object(vec![("name", (*name).into()), ("why", why.as_str().into())])
        };
        let total = self.total();
        let mut fields = vec![
            ("unit", self.unit.one().into()),
            ("burst", (self.burst as f64).into()),
            ("servers", Json::List(self.names.iter().enumerate().map(server).collect())),
            ("fallen", Json::List(self.fallen.iter().map(fallen).collect())),
            ("load_utilisation", total.utilisation().into()),
            (self.unit.many(), (total.done as f64).into()),
            ("lost", (total.lost as f64).into()),
        ];
        if self.unit != Unit::Connection {
            // Who gets a message twice or out of order falls out.
            fields.extend([("reordered", 0.0.into()), ("duplicated", 0.0.into())]);
        }
        Json::Object(fields)
    }
}

impl<P: Plays> Entrant<'_, P> {
    /// What it cost; nothing if it has fallen out.
    ///
    /// # Errors
    /// If it fails and is needed.
    fn run(&mut self, burst: usize, times: usize) -> Result<Option<Cost>> {
        if self.fault.is_some() {
            return Ok(None);
        }
        match self.contestant.run(burst, times) {
            Ok(cost) => Ok(Some(cost)),
            Err(error) if NEEDED.contains(&self.contestant.name()) => Err(error),
            Err(error) => {
                println!("  {} fell out: {error:#}", self.contestant.name());
                self.fault = Some(format!("{error:#}"));
                Ok(None)
            }
        }
    }
}

/// One round: several turns each, in changing order.
fn play<P: Plays>(field: &mut [Entrant<'_, P>], burst: usize, round: usize) -> Result<()> {
    let mut costs = vec![Cost::default(); field.len()];
    for slice in 0..SLICES {
        for index in order(field.len(), round * SLICES + slice) {
            let entrant = &mut field[index];
            if let Some(cost) = entrant.run(burst, entrant.times)? {
                costs[index] += cost;
            }
        }
    }
    for (entrant, cost) in field.iter_mut().zip(costs) {
        entrant.costs.push(cost);
    }
    Ok(())
}

/// How often somebody sends in a turn who took so long for `tried` times.
fn turn_times(tried: usize, wall_nanos: u64) -> usize {
    let fitting = TURN_WALL_NANOS.saturating_mul(tried as u64) / wall_nanos.max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, tried)
}

/// There and back, each time beginning with another one.
pub(crate) fn order(count: usize, turn: usize) -> Vec<usize> {
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
        Cost {
            server_nanos,
            softirq_nanos: Some(server_nanos / 5),
            load_nanos: 1,
            wall_nanos: 4,
            done: 10,
            lost: 0,
        }
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
        let heat = Heat {
            unit: Unit::Delivery,
            burst: 1,
            names: vec![FLOOR, "weir"],
            rounds,
            fallen: vec![],
        };
        let verdict = heat.judge("weir", FLOOR, 1.2).unwrap();
        assert_eq!(verdict.measured, Spread { min: 1.1, median: 1.1, max: 1.1 });
        assert!(!verdict.is_missed());
        assert_eq!(heat.nanos(0), Spread { min: 10.0, median: 20.0, max: 30.0 });
        assert_eq!(heat.total().utilisation(), 0.25);
    }

    #[test]
    fn what_the_kernel_put_off_is_told_of_each_by_itself() {
        let open = Cost { softirq_nanos: Some(0), ..cost(100) };
        let rounds = vec![vec![open, cost(100)], vec![open, cost(300)]];
        let heat = Heat {
            unit: Unit::Delivery,
            burst: 1,
            names: vec![FLOOR, "peer"],
            rounds,
            fallen: vec![],
        };
        let shares: Vec<_> = heat.standings().iter().map(|it| it.softirq_share).collect();
        assert_eq!(shares, [Some(0.0), Some(0.2)]);
        assert!(heat.json().to_string().contains("\"softirq_share\":0.2"));
    }

    #[test]
    fn who_lost_something_is_named() {
        let rounds = vec![vec![cost(1), Cost { lost: 2, ..cost(1) }]; 3];
        let heat = Heat {
            unit: Unit::Delivery,
            burst: 1,
            names: vec![FLOOR, "peer"],
            rounds,
            fallen: vec![],
        };
        assert_eq!(heat.losses(), [("peer", 6)]);
    }

    #[test]
    fn what_is_counted_has_the_name_of_the_row() {
        let told = |unit| {
            let rounds = vec![vec![cost(1)]];
            Heat { unit, burst: 1, names: vec![FLOOR], rounds, fallen: vec![] }.json().to_string()
        };
        assert!(told(Unit::Delivery).contains("\"deliveries\":10,\"lost\":0,\"reordered\":0"));
        assert!(told(Unit::Echo).contains("\"echoes\":10,"));
        let connections = told(Unit::Connection);
        assert!(connections.contains("\"connections\":10,\"lost\":0}"), "{connections}");
    }

    #[test]
    fn who_did_not_take_part_is_not_judged() {
        let rounds = vec![vec![cost(1)]];
        let heat =
            Heat { unit: Unit::Delivery, burst: 1, names: vec![FLOOR], rounds, fallen: vec![] };
        assert!(heat.judge("weir", FLOOR, 1.0).is_err());
    }

    /// Plays without a server, until it has played often enough to fail.
    struct Scripted {
        name: &'static str,
        plays_left: usize,
    }

    impl Plays for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn run(&mut self, _burst: usize, _times: usize) -> Result<Cost> {
            self.plays_left = self.plays_left.checked_sub(1).context("lost 1 of 10 deliveries")?;
            Ok(cost(100))
        }
    }

    fn scripted(name: &'static str, plays_left: usize) -> Scripted {
        Scripted { name, plays_left }
    }

    #[test]
    fn a_peer_that_loses_something_falls_out_and_the_others_go_on() {
        let mut field = [scripted(FLOOR, 100), scripted("peer", 15), scripted("weir", 100)];
        let heat = Heat::hold(Unit::Delivery, &mut field, 1, 2, |_| 10).unwrap();
        assert_eq!(heat.names(), [FLOOR, "weir"]);
        assert_eq!(heat.fallen, [("peer", "lost 1 of 10 deliveries".to_owned())]);
        assert_eq!(heat.standings().len(), 2);
        assert_eq!(heat.rounds.len(), 2);
    }

    #[test]
    fn a_failing_floor_or_weir_ends_the_heat() {
        for failing in [FLOOR, "weir"] {
            let plays = |name| scripted(name, if name == failing { 15 } else { 100 });
            let mut field = [plays(FLOOR), plays("weir")];
            assert!(Heat::hold(Unit::Delivery, &mut field, 1, 2, |_| 10).is_err(), "{failing}");
        }
    }

    #[test]
    fn whoever_is_slow_sends_less_in_a_turn() {
        assert_eq!(turn_times(20, TURN_WALL_NANOS / 2), 20);
        assert_eq!(turn_times(20, TURN_WALL_NANOS * 4), 5);
        assert_eq!(turn_times(2, TURN_WALL_NANOS * 100), 1);
    }
}
