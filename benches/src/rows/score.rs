//! What a row came to: who took how much, and whether the goals are met.

use std::fmt;

use anyhow::Result;

use super::table::{Row, SHARDS_GOAL};
use crate::contest::{FLOOR, Heat};
use crate::cost::Cost;
use crate::json::Json;
use crate::report::Part;
use crate::stats::Standing;
use crate::unit::Unit;
use crate::verdict::Verdict;

/// What is measured and what it is compared to: Weir, and the bare server's ways to send.
const OURS: [&str; 7] = [FLOOR, "loop", "io_uring", "memfd", "weir", "weir-2", "weir-4"];

/// What the bare server may take for what the bare loop takes.
const LOOP_GOAL: f64 = 1.03;
/// What Weir may take for what the cheapest peer takes.
const PEER_GOAL: f64 = 1.0;

/// A row that was measured, or could not be.
pub(crate) struct Score {
    pub(crate) row: &'static Row,
    pub(crate) unit: &'static str,
    pub(crate) standings: Vec<Standing>,
    /// Who did not take part, or not to the end, and why.
    pub(crate) missing: Vec<(&'static str, String)>,
    pub(crate) verdicts: Vec<Verdict>,
    /// What all of them took, where there was something to count.
    pub(crate) total: Option<(Unit, Cost)>,
    /// Why there is no result.
    pub(crate) failure: Option<String>,
    numbers: Json,
}

impl Score {
    /// Judges a heat.
    ///
    /// # Errors
    /// If Weir or the floor is not in it.
    pub(crate) fn of(
        row: &'static Row,
        unit: &'static str,
        heat: &Heat,
        skipped: &[(&'static str, String)],
    ) -> Result<Self> {
        let mut verdicts = Vec::new();
        let mut judge = |above: &str, below: &str, goal| -> Result<()> {
            let what = format!("{}: {above} / {below}", row.title);
            verdicts.push(Verdict { what, ..heat.judge(above, below, goal)? });
            Ok(())
        };
        if let Some(goal) = row.goal {
            judge("weir", FLOOR, goal)?;
        }
        for name in heat.names() {
            match *name {
                "weir-2" | "weir-4" => judge(name, "weir", SHARDS_GOAL)?,
                "loop" => judge(FLOOR, "loop", LOOP_GOAL)?,
                _ => {}
            }
        }
        if let Some(peer) = cheapest_peer(&heat.standings()) {
            judge("weir", peer, PEER_GOAL)?;
        }
        let missing = skipped.iter().chain(&heat.fallen).cloned().collect();
        Ok(Self {
            row,
            unit,
            standings: heat.standings(),
            missing,
            verdicts,
            total: Some((heat.unit(), heat.total())),
            failure: None,
            numbers: heat.json(),
        })
    }

    /// A row about which nothing but the numbers themselves is known.
    pub(crate) fn plain(
        row: &'static Row,
        unit: &'static str,
        standings: Vec<Standing>,
        missing: Vec<(&'static str, String)>,
    ) -> Self {
        let weir = standings.iter().find(|standing| standing.name == "weir");
        let goal = weir.zip(row.goal).map(|(weir, goal)| Verdict {
            what: row.title.to_owned(),
            measured: weir.each,
            goal,
            digits: 0,
        });
        let peer = standings.iter().find(|it| Some(it.name) == cheapest_peer(&standings));
        let beside = weir.zip(peer).map(|(weir, peer)| Verdict {
            what: format!("{}: weir, beside {}", row.title, peer.name),
            measured: weir.each,
            goal: peer.each.median,
            digits: 0,
        });
        let verdicts = goal.into_iter().chain(beside).collect();
        let numbers = Json::Object(Vec::new());
        Self { row, unit, standings, missing, verdicts, total: None, failure: None, numbers }
    }

    /// A row that ended with an error: of Weir, of the floor or of the machine.
    pub(crate) fn failed(row: &'static Row, unit: &'static str, why: &str) -> Self {
        // What a server said is printed already, and long.
        let why = why.split_once("; it said: ").map_or(why, |(why, _)| why);
        let failure = Some(why.to_owned());
        let (standings, missing, verdicts) = (Vec::new(), Vec::new(), Vec::new());
        let numbers = Json::Object(Vec::new());
        Self { row, unit, standings, missing, verdicts, total: None, failure, numbers }
    }

    /// What the page shows of it.
    pub(crate) fn part(&self) -> Part {
        let mut notes: Vec<_> = self
            .missing
            .iter()
            .map(|(name, why)| format!("{name} did not finish: {why}"))
            .collect();
        notes.extend(put_off(&self.standings));
        notes.extend(self.failure.iter().map(|why| format!("no result: {why}")));
        if let Some((unit, total)) = self.total {
            notes.push(format!(
                "Load generator busy {:.0} %; of {} {} {} lost, {}.",
                total.utilisation() * 100.0,
                total.done + total.lost,
                unit.many(),
                total.lost,
                unit.promise()
            ));
        }
        Part::Bars {
            title: self.row.title.to_owned(),
            unit: self.unit,
            bars: self.standings.clone(),
            notes,
        }
    }

    /// With what was judged of it.
    pub(crate) fn json(self, verdicts: &[Verdict]) -> Json {
        let standing = |it: &Standing| {
            Json::Object(vec![
                ("name", it.name.into()),
                ("each", it.each.into()),
                ("ratio_to_floor", it.ratio.into()),
                ("softirq_share", it.softirq_share.into()),
            ])
        };
        let missing = |(name, why): &(&'static str, String)| {
            Json::Object(vec![("name", (*name).into()), ("why", why.as_str().into())])
        };
        Json::Object(vec![
            ("name", self.row.name.into()),
            ("title", self.row.title.into()),
            ("unit", self.unit.into()),
            ("standings", Json::List(self.standings.iter().map(standing).collect())),
            ("missing", Json::List(self.missing.iter().map(missing).collect())),
            ("verdicts", Json::List(verdicts.iter().map(Verdict::json).collect())),
            ("failure", self.failure.unwrap_or_default().into()),
            ("heat", self.numbers),
        ])
    }
}

/// How much of everyone's time the kernel put off, if that is known.
fn put_off(standings: &[Standing]) -> Option<String> {
    let share = |it: &Standing| Some(format!("{} {:.1} %", it.name, it.softirq_share? * 100.0));
    let shares: Vec<_> = standings.iter().filter_map(share).collect();
    let known = !shares.is_empty();
    known.then(|| format!("Of that in ksoftirqd: {}.", shares.join(", ")))
}

/// The peer that takes least.
fn cheapest_peer(standings: &[Standing]) -> Option<&'static str> {
    let peers = standings.iter().filter(|standing| !OURS.contains(&standing.name));
    let cheapest = peers.min_by(|one, other| one.ratio.median.total_cmp(&other.ratio.median));
    cheapest.map(|peer| peer.name)
}

/// The table's lines.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.failure {
            return writeln!(f, "{:<62} FAILED: {why}", self.row.title);
        }
        for verdict in &self.verdicts {
            let Verdict { what, measured, goal, digits } = verdict;
            let (measured, word) = (format!("{measured:.digits$}"), verdict.word());
            writeln!(f, "{what:<62} {goal:>8.digits$} {measured:>24}  {word}")?;
        }
        let weir = self.standings.iter().find(|standing| standing.name == "weir");
        if let (None, Some(weir)) = (self.row.goal, weir) {
            let (what, ratio) = (format!("{}: weir / floor", self.row.title), weir.ratio);
            let ratio = format!("{ratio:.3}");
            writeln!(f, "{what:<62} {:>8} {ratio:>24}", "-")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Spread;

    fn standing(name: &'static str, median: f64) -> Standing {
        let spread = Spread { min: median, median, max: median };
        Standing { name, each: spread, ratio: spread, softirq_share: None }
    }

    #[test]
    fn weir_is_judged_beside_the_cheapest_of_its_peers() {
        let ours = [standing("floor", 1.0), standing("weir", 0.9)];
        assert_eq!(cheapest_peer(&ours), None);
        let all = [&ours[..], &[standing("dear", 3.0), standing("cheap", 1.5)]].concat();
        assert_eq!(cheapest_peer(&all), Some("cheap"));
    }

    #[test]
    fn what_the_kernel_put_off_is_noted_where_it_is_known() {
        let known = Standing { softirq_share: Some(0.0213), ..standing("weir", 0.9) };
        let note = put_off(&[standing("floor", 1.0), known]).unwrap();
        assert_eq!(note, "Of that in ksoftirqd: weir 2.1 %.");
        assert_eq!(put_off(&[standing("floor", 1.0)]), None);
    }
}
