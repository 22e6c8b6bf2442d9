//! What an attack has done to honest clients and to the gateway, and whether that is allowed.

use super::honest::Latency;
use super::outcome::{Outcome, Seen};

/// How many times the quiet phase's p99 the attacked phase's may be.
pub(super) const P99_RATIO_MAX: f64 = 2.0;
/// Below this the ratio means nothing: it is what one time slice of another thread makes, on a
/// machine whose cores are shared by the gateway, the honest clients and the attackers.
pub(super) const P99_FLOOR_MICROS: u32 = 500;
/// How far resident memory may be from where it was, as a part of that.
pub(super) const RESIDENT_PART_MAX: f64 = 0.10;
/// The same in bytes, where ten per cent are less: a few pooled buffers.
pub(super) const RESIDENT_BYTES_MAX: u64 = 2 << 20;

/// One attack, measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Bounds that the attack must hit.
    pub(super) limits: Vec<Limit>,
    /// Outcomes that an attacker may have. The first must have come.
    pub(super) expected: Vec<Outcome>,
    pub(super) seen: Seen,
    /// Messages that honest clients have heard, each counted for each of them.
    pub(super) heard: u64,
    /// Messages that honest clients have not heard.
    pub(super) lost: u64,
    /// What else went wrong for them.
    pub(super) wrongs: Vec<String>,
    pub(super) quiet: Latency,
    pub(super) attacked: Latency,
    /// Bytes of memory that the gateway had for itself before.
    pub(super) before: u64,
    /// After the attack had ended and everything had settled.
    pub(super) after: u64,
    /// The most while it went on.
    pub(super) peak: u64,
    /// What the peak may be beyond what was before, if the attack is against memory.
    pub(super) growth_max: Option<u64>,
}

/// A bound, by its name in `weir_limit_hits_total`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    /// Hits that were counted meanwhile; none if the gateway does not count it at all.
    pub(super) hits: Option<u64>,
    /// Hits that there must have been.
    pub(super) due: u64,
}

impl Row {
    /// How many times the quiet p99 the attacked one is.
    pub(super) fn ratio(&self) -> f64 {
        f64::from(self.attacked.p99_micros) / f64::from(self.quiet.p99_micros.max(1))
    }

    /// Whether latency makes the row red: other programs on this machine may have done that, and
    /// whoever plays it again will see.
    pub(super) fn is_late(&self) -> bool {
        self.latency().is_some()
    }

    /// Everything that is not allowed; nothing if the row is green.
    pub(super) fn reds(&self) -> Vec<String> {
        self.latency().into_iter().chain(self.reds_but_latency()).collect()
    }

    /// The same without what noise may have done.
    pub(super) fn reds_but_latency(&self) -> Vec<String> {
        let mut reds = Vec::new();
        if self.lost > 0 {
            reds.push(format!("{} honest messages were lost", self.lost));
        }
        reds.extend(self.wrongs.iter().cloned());
        reds.extend(self.memory());
        reds.extend(self.limits.iter().filter_map(Limit::red));
        reds.extend(self.outcomes());
        reds.extend(self.seen.wrongs.iter().cloned());
        reds
    }

    fn latency(&self) -> Option<String> {
        if self.quiet.count == 0 || self.attacked.count == 0 {
            return Some("no honest message was measured".to_owned());
        }
        let slow = self.attacked.p99_micros > P99_FLOOR_MICROS && self.ratio() > P99_RATIO_MAX;
        let [quiet, attacked] = [self.quiet, self.attacked].map(|latency| latency.p99_micros);
        slow.then(|| format!("honest p99 rose from {quiet} to {attacked} µs"))
    }

    fn memory(&self) -> Option<String> {
        let allowed = allowed_resident(self.before);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        if self.after > allowed {
            let (before, after) = (mib(self.before), mib(self.after));
            return Some(format!("{after:.1} MiB are resident afterwards, {before:.1} before"));
        }
        let growth = self.peak.saturating_sub(self.before);
        let (grown, allowed) = (mib(growth), mib(self.growth_max.filter(|max| growth > *max)?));
        Some(format!("memory grew by {grown:.1} MiB meanwhile, {allowed:.1} are allowed"))
    }

    fn outcomes(&self) -> Option<String> {
        let first = *self.expected.first()?;
        let other = self.seen.outcomes.keys().find(|seen| !self.expected.contains(seen));
        match other {
            Some(other) => Some(format!("{} attempts ended with {other}", self.seen.count(*other))),
            None if self.seen.count(first) == 0 => Some(format!("no attempt ended with {first}")),
            None => None,
        }
    }
}

impl Limit {
    fn red(&self) -> Option<String> {
        let name = self.name;
        let Some(hits) = self.hits else { return Some(format!("no counter is called {name}")) };
        let due = self.due.max(1);
        (hits < due).then(|| format!("{name} was counted {hits} times, {due} are due"))
    }
}

/// What may be resident afterwards if this was before.
pub(super) fn allowed_resident(before: u64) -> u64 {
    before + RESIDENT_BYTES_MAX.max((before as f64 * RESIDENT_PART_MAX) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn latency(p99_micros: u32) -> Latency {
        Latency { count: 1000, p50_micros: 50, p99_micros }
    }

    /// A row with nothing to complain of.
    fn green() -> Row {
        let mut seen = Seen::default();
        seen.add(Outcome::Closed(1002));
        Row {
            name: "an attack",
            limits: vec![Limit { name: "protocol", hits: Some(1), due: 1 }],
            expected: vec![Outcome::Closed(1002), Outcome::Cut],
            seen,
            quiet: latency(800),
            attacked: latency(900),
            before: 30 * MIB,
            after: 31 * MIB,
            peak: 90 * MIB,
            ..Row::default()
        }
    }

    /// The only thing that is wrong with a green row after this change.
    #[track_caller]
    fn red(change: impl FnOnce(&mut Row)) -> String {
        let mut row = green();
        change(&mut row);
        let reds = row.reds();
        assert_eq!(reds.len(), 1, "{reds:?}");
        reds.into_iter().next().unwrap()
    }

    #[test]
    fn a_row_without_complaint_is_green() {
        assert_eq!(green().reds(), [""; 0]);
    }

    #[test]
    fn a_lost_message_or_a_closed_client_is_red() {
        assert_eq!(red(|row| row.lost = 1), "1 honest messages were lost");
        let closed = "an honest client was closed".to_owned();
        assert_eq!(red(|row| row.wrongs.push(closed.clone())), closed);
    }

    #[test]
    fn twice_the_latency_is_allowed_and_more_is_red() {
        let with = |quiet, attacked| {
            let row = Row { quiet: latency(quiet), attacked: latency(attacked), ..green() };
            row.reds().len()
        };
        assert_eq!(with(800, 1600), 0);
        assert_eq!(with(800, 1601), 1);
        assert_eq!(with(100, P99_FLOOR_MICROS), 0, "below the floor the ratio means nothing");
        assert_eq!(with(100, P99_FLOOR_MICROS + 1), 1);
    }

    #[test]
    fn a_row_that_is_red_for_its_latency_is_known() {
        assert!(Row { attacked: latency(5_000), ..green() }.is_late());
        assert!(!green().is_late() && !Row { lost: 1, ..green() }.is_late());
    }

    #[test]
    fn what_was_not_measured_is_red() {
        assert_eq!(red(|row| row.attacked.count = 0), "no honest message was measured");
        assert_eq!(red(|row| row.quiet.count = 0), "no honest message was measured");
    }

    #[test]
    fn memory_comes_back_within_a_tenth_or_two_mebibytes() {
        let with = |before, after| Row { before, after, ..green() }.reds().len();
        assert_eq!(with(100 * MIB, 110 * MIB), 0);
        assert_eq!(with(100 * MIB, 110 * MIB + 1), 1);
        assert_eq!(with(5 * MIB, 7 * MIB), 0);
        assert_eq!(with(5 * MIB, 7 * MIB + 1), 1);
    }

    #[test]
    fn memory_beyond_an_attacks_budget_is_red_though_it_comes_back() {
        assert!(red(|row| row.growth_max = Some(59 * MIB)).contains("60.0 MiB"));
        assert_eq!(Row { growth_max: Some(60 * MIB), ..green() }.reds(), [""; 0]);
    }

    #[test]
    fn a_bound_that_is_not_counted_as_often_as_it_was_hit_is_red() {
        assert!(red(|row| row.limits[0].hits = Some(0)).contains("counted 0 times"));
        assert!(red(|row| row.limits[0].due = 2).contains("2 are due"));
        assert!(red(|row| row.limits[0].hits = None).contains("no counter is called protocol"));
    }

    #[test]
    fn an_outcome_that_nobody_expected_is_red_and_so_is_none_at_all() {
        assert_eq!(red(|row| row.seen.add(Outcome::Served)), "1 attempts ended with served");
        assert_eq!(red(|row| row.seen.outcomes.clear()), "no attempt ended with 1002");
        assert_eq!(red(|row| row.seen.wrong("a canary sings".to_owned())), "a canary sings");
    }
}
