//! Whether a campaign left something untried: a kind of fault, an outcome of a policy or a mark
//! that stayed at zero says that nothing is known about it.

use std::collections::BTreeMap;

use sim::counts::Group;
use sim::worlds::World;

use super::sums::{Sum, Sums};

/// Runs of a world from which on a kind of fault or an outcome at zero is judged: with fewer,
/// chance may have left it out. The rarest of them come in one run of ten, in the cluster of
/// thirty.
pub(crate) fn runs_judged_min(world: World) -> u64 {
    match world {
        World::Model | World::Turmoil => 100,
        World::Mesh => 200,
        World::Cluster => 300,
    }
}

/// The same for places in production code, the rarest of which is passed in one run of a hundred.
fn runs_of_places_min(world: World) -> u64 {
    match world {
        World::Mesh => 1_000,
        World::Model | World::Turmoil | World::Cluster => runs_judged_min(world),
    }
}

/// What may stay at zero in a world, and why.
const EXCEPTIONS: [Exception; 1] = [Exception {
    world: World::Mesh,
    group: Group::Outcome,
    name: "resets",
    because: "a room begins anew under a member only where it was alone and between two shards",
}];

/// A zero that says nothing.
struct Exception {
    world: World,
    group: Group,
    name: &'static str,
    /// Why it may not happen there in a campaign.
    because: &'static str,
}

/// What is to be said about a campaign's coverage.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Coverage {
    /// What should have happened and did not: a sentence for each.
    pub(crate) missing: Vec<String>,
    /// What was not judged, and why not.
    pub(crate) unjudged: Vec<String>,
}

/// Looks for zeros. Nothing is judged of runs from which something was left out.
pub(crate) fn judge(sums: &Sums, something_left_out: bool) -> Coverage {
    if something_left_out {
        let why = "coverage is not judged: the runs were asked to do less".to_owned();
        return Coverage { unjudged: vec![why], ..Coverage::default() };
    }
    let mut coverage = Coverage::default();
    for (world, sum) in sums {
        coverage.judge_world(*world, sum);
    }
    coverage.judge_code(sums);
    coverage
}

impl Coverage {
    fn judge_world(&mut self, world: World, sum: &Sum) {
        let (runs, min) = (sum.runs, runs_judged_min(world));
        if runs < min {
            let why = format!("coverage of {world} is not judged: {runs} of at least {min} runs");
            return self.unjudged.push(why);
        }
        for ((group, name), _) in sum.tally.iter().filter(|(_, count)| **count == 0) {
            let what = match group {
                Group::Fault => "no fault of the kind",
                Group::Outcome => "never the outcome",
                Group::Work | Group::Race | Group::Buggify | Group::Sometimes => continue,
            };
            match exception(world, *group, name) {
                Some(Exception { because, .. }) => {
                    self.unjudged.push(format!("`{name}` may stay at zero in {world}: {because}"))
                }
                None => self.missing.push(format!("{what} `{name}` in {runs} runs of {world}")),
            }
        }
    }

    /// Rare branches and marks stand in production code, not in a world: it is enough that one
    /// world comes by, but all of them must have had the chance.
    fn judge_code(&mut self, sums: &Sums) {
        let mut places = BTreeMap::<_, u64>::new();
        for ((group, name), count) in sums.values().flat_map(|sum| &sum.tally) {
            if matches!(group, Group::Buggify | Group::Sometimes) {
                *places.entry((*group, name)).or_default() += count;
            }
        }
        let never = places.iter().filter(|(_, count)| **count == 0).map(|((group, name), _)| {
            let what = if *group == Group::Buggify { "rare branch" } else { "mark" };
            format!("never the {what} `{name}`, in any world")
        });
        let had_its_chance =
            |world| sums.get(&world).is_some_and(|sum| sum.runs >= runs_of_places_min(world));
        if World::ALL.into_iter().all(had_its_chance) {
            self.missing.extend(never);
        } else {
            let told = |what| format!("not judged without enough runs of every world: {what}");
            self.unjudged.extend(never.map(told));
        }
    }
}

fn exception(world: World, group: Group, name: &str) -> Option<&'static Exception> {
    let is_this = |exception: &&Exception| {
        (exception.world, exception.group, exception.name) == (world, group, name)
    };
    EXCEPTIONS.iter().find(is_this)
}

#[cfg(test)]
mod tests {
    use super::super::sums::Sum;
    use super::*;

    fn sum(runs: u64, rows: &[(Group, &str, u64)]) -> Sum {
        let tally =
            rows.iter().map(|(group, name, n)| ((*group, (*name).to_owned()), *n)).collect();
        Sum { runs, tally, ..Sum::default() }
    }

    const ROWS: [(Group, &str, u64); 5] = [
        (Group::Work, "moves", 0),
        (Group::Fault, "partitions", 0),
        (Group::Fault, "crashes", 1),
        (Group::Outcome, "slow closes", 0),
        (Group::Race, "claims lost", 0),
    ];

    #[test]
    fn a_fault_and_an_outcome_at_zero_are_named() {
        let sums = Sums::from([(World::Mesh, sum(200, &ROWS))]);
        let Coverage { missing, unjudged } = judge(&sums, false);
        assert_eq!(
            missing,
            [
                "no fault of the kind `partitions` in 200 runs of mesh",
                "never the outcome `slow closes` in 200 runs of mesh"
            ]
        );
        assert!(unjudged.is_empty(), "{unjudged:?}");
    }

    #[test]
    fn too_few_runs_are_not_judged_and_say_so() {
        let sums = Sums::from([(World::Mesh, sum(199, &ROWS))]);
        let Coverage { missing, unjudged } = judge(&sums, false);
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(unjudged, ["coverage of mesh is not judged: 199 of at least 200 runs"]);
    }

    #[test]
    fn runs_that_do_less_are_not_judged() {
        let sums = Sums::from([(World::Mesh, sum(200, &ROWS))]);
        let Coverage { missing, unjudged } = judge(&sums, true);
        assert_eq!((missing.len(), unjudged.len()), (0, 1));
    }

    #[test]
    fn a_mark_has_to_be_passed_in_one_world_of_all() {
        let passed = sum(1_000, &[(Group::Sometimes, "gap told", 1)]);
        let not = sum(1_000, &[(Group::Sometimes, "gap told", 0)]);
        let worlds = |of: &dyn Fn(World) -> Sum| World::ALL.map(|world| (world, of(world))).into();
        let one = |world| if world == World::Mesh { passed.clone() } else { not.clone() };
        assert_eq!(judge(&worlds(&one), false), Coverage::default());
        let missing = judge(&worlds(&|_| not.clone()), false).missing;
        assert_eq!(missing, ["never the mark `gap told`, in any world"]);
        let alone = judge(&Sums::from([(World::Mesh, not)]), false);
        assert_eq!((alone.missing.len(), alone.unjudged.len()), (0, 1), "{alone:?}");
    }

    #[test]
    fn a_zero_that_may_be_one_says_why() {
        let resets = sum(1_000, &[(Group::Outcome, "resets", 0)]);
        let Coverage { missing, unjudged } =
            judge(&Sums::from([(World::Mesh, resets.clone())]), false);
        assert!(
            missing.is_empty() && unjudged[0].contains("a room begins anew under a member"),
            "{unjudged:?}"
        );
        let elsewhere = judge(&Sums::from([(World::Cluster, resets)]), false);
        assert_eq!(elsewhere.missing.len(), 1, "{elsewhere:?}");
    }
}
