//! How often what happened in a run, so that a campaign shows what it tried, and fails if it left
//! something untried.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// What kind of thing is counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Group {
    /// What clients did and heard.
    Work,
    /// What was done to them and to the nodes.
    Fault,
    /// What a policy decided.
    Outcome,
    /// Events that crossed between shards.
    Race,
    /// Rare branches that the simulation made common.
    Buggify,
    /// Marks in production code that a campaign must pass.
    Sometimes,
}

impl Group {
    /// All of them, in the order in which reports print them.
    pub const ALL: [Self; 6] =
        [Self::Work, Self::Fault, Self::Outcome, Self::Race, Self::Buggify, Self::Sometimes];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work => "work",
            Self::Fault => "faults",
            Self::Outcome => "outcomes",
            Self::Race => "races",
            Self::Buggify => "buggify",
            Self::Sometimes => "sometimes",
        })
    }
}

/// Counts by group and name. A name with a zero is known and has not happened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts(BTreeMap<(Group, &'static str), u64>);

impl Counts {
    /// Counts `times` more of something; zero makes it known.
    pub fn add(&mut self, group: Group, name: &'static str, times: u64) {
        *self.0.entry((group, name)).or_default() += times;
    }

    /// How often it happened.
    #[must_use]
    pub fn of(&self, group: Group, name: &'static str) -> u64 {
        self.0.get(&(group, name)).copied().unwrap_or(0)
    }

    /// Everything of a group, by name.
    pub fn group(&self, group: Group) -> impl Iterator<Item = (&'static str, u64)> {
        let all = self.0.range((group, "")..);
        let of_it = all.take_while(move |((of, _), _)| *of == group);
        of_it.map(|((_, name), count)| (*name, *count))
    }

    /// Everything, group by group.
    pub fn rows(&self) -> impl Iterator<Item = (Group, &'static str, u64)> {
        self.0.iter().map(|((group, name), count)| (*group, *name, *count))
    }

    /// What never happened.
    pub fn missing(&self) -> impl Iterator<Item = (Group, &'static str)> {
        self.rows().filter(|&(_, _, count)| count == 0).map(|(group, name, _)| (group, name))
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        other.rows().for_each(|(group, name, count)| self.add(group, name, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_known_by_name() {
        let mut counts = Counts::default();
        counts.add(Group::Fault, "partitions", 0);
        counts.add(Group::Fault, "crashes", 2);
        counts.add(Group::Race, "claims lost", 1);
        assert_eq!(counts.missing().collect::<Vec<_>>(), [(Group::Fault, "partitions")]);
        let mut more = Counts::default();
        more.add(Group::Fault, "partitions", 3);
        counts += &more;
        assert_eq!(counts.missing().count(), 0);
        let faults: Vec<_> = counts.group(Group::Fault).collect();
        assert_eq!(faults, [("crashes", 2), ("partitions", 3)]);
    }
}
