//! What becomes of an attacker's connection, and of an attack.

use std::collections::BTreeMap;
use std::fmt;

/// How one attempt ended for who made it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Outcome {
    /// An HTTP answer other than 101.
    Status(u16),
    /// A close frame with this code; 1005 stands for one without.
    Closed(u16),
    /// The connection ended, or was reset, without a word.
    Cut,
    /// It is served like anybody.
    Served,
    /// It is kept waiting: not read from, or not accepted.
    Waits,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) | Self::Closed(code) => code.fmt(f),
            Self::Cut => f.write_str("cut"),
            Self::Served => f.write_str("served"),
            Self::Waits => f.write_str("waits"),
        }
    }
}

/// What an attack saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How often each outcome came.
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    /// How often each limit must have been counted for it, at least.
    pub(super) due: BTreeMap<&'static str, u64>,
    /// What should not have been: each makes the row red.
    pub(super) wrongs: Vec<String>,
    /// What is worth telling: numbers that the attack has found.
    pub(super) notes: Vec<String>,
}

/// Wrongs that are kept; one is enough to make a row red.
const WRONGS_MAX: usize = 8;

impl Seen {
    /// One attempt more.
    pub(super) fn add(&mut self, outcome: Outcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// A limit that must have been counted once more.
    pub(super) fn owe(&mut self, limit: &'static str) {
        *self.due.entry(limit).or_default() += 1;
    }

    /// One attempt more, which should have ended otherwise if it is not `wanted`.
    pub(super) fn check(&mut self, what: &str, found: Outcome, wanted: Outcome) {
        self.add(found);
        if found != wanted {
            self.wrong(format!("{what}: {found}, not {wanted}"));
        }
    }

    /// Something that should not have been.
    pub(super) fn wrong(&mut self, what: String) {
        if self.wrongs.len() < WRONGS_MAX && !self.wrongs.contains(&what) {
            self.wrongs.push(what);
        }
    }

    /// Attempts that ended like this.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// What another part of the attack saw, too.
    pub(super) fn merge(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        for (limit, count) in other.due {
            *self.due.entry(limit).or_default() += count;
        }
        other.wrongs.into_iter().for_each(|what| self.wrong(what));
        self.notes.extend(other.notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_have_ended_otherwise_is_told_once() {
        let mut seen = Seen::default();
        for _ in 0..3 {
            seen.check("a frame", Outcome::Served, Outcome::Closed(1002));
        }
        seen.check("a frame", Outcome::Closed(1002), Outcome::Closed(1002));
        assert_eq!(seen.wrongs, ["a frame: served, not 1002"]);
        assert_eq!((seen.count(Outcome::Served), seen.count(Outcome::Closed(1002))), (3, 1));
    }

    #[test]
    fn parts_of_an_attack_add_up() {
        let part = || {
            let mut seen = Seen::default();
            seen.add(Outcome::Cut);
            seen.owe("origin");
            seen
        };
        let mut all = part();
        all.merge(part());
        assert_eq!((all.count(Outcome::Cut), all.due["origin"]), (2, 2));
    }
}
