//! Which runs a campaign makes: those of a list, or fresh seeds, shared out over the worlds by
//! time.

use std::collections::{BTreeMap, VecDeque};

use sim::worlds::{Less, World};

use super::job::Job;
use super::sums::Sums;

/// Where the next job comes from.
pub(crate) enum Source {
    /// These, then no more.
    Listed(VecDeque<Job>),
    /// Seeds counted up from the first in each world, for as long as there is time.
    Fresh(Fresh),
}

/// Fresh seeds for each of some worlds.
pub(crate) struct Fresh {
    /// The next seed of each.
    next: BTreeMap<World, u64>,
    less: Less,
}

/// A world's share of the processor time of a campaign, in percent of the shares of all worlds
/// that take part. Most goes where most of Weir runs at once.
pub(crate) fn share(world: World) -> u64 {
    match world {
        World::Model => 5,
        World::Turmoil => 15,
        World::Mesh => 40,
        World::Cluster => 40,
    }
}

/// What a run is taken to cost as long as none of its world has ended.
const CPU_NANOS_UNKNOWN: u64 = 20_000_000;

impl Source {
    /// The next job, given what was done and what is under way; `None` if there is no more.
    pub(crate) fn next<'a>(
        &mut self,
        done: &Sums,
        under_way: impl Iterator<Item = &'a Job>,
    ) -> Option<Job> {
        match self {
            Self::Listed(jobs) => jobs.pop_front(),
            Self::Fresh(fresh) => Some(fresh.next(done, under_way)),
        }
    }
}

impl Fresh {
    pub(crate) fn new(worlds: &[World], first: u64, less: Less) -> Self {
        Self { next: worlds.iter().map(|world| (*world, first)).collect(), less }
    }

    /// A seed for the world that has had least of its share.
    fn next<'a>(&mut self, done: &Sums, under_way: impl Iterator<Item = &'a Job>) -> Job {
        let mut waiting = BTreeMap::<_, u64>::new();
        under_way.for_each(|job| *waiting.entry(job.world).or_default() += 1);
        let cost = |world: World| {
            let (runs, cpu) = done.get(&world).map_or((0, 0), |sum| (sum.runs, sum.cpu_nanos));
            let each = cpu.checked_div(runs).unwrap_or(CPU_NANOS_UNKNOWN);
            (cpu + each * waiting.get(&world).copied().unwrap_or(0)) / share(world)
        };
        let (&world, seed) =
            self.next.iter_mut().min_by_key(|(world, _)| cost(**world)).expect("there is a world");
        let job = Job::new(world, *seed).with(self.less.clone());
        *seed = seed.wrapping_add(1);
        job
    }
}

#[cfg(test)]
mod tests {
    use super::super::sums::Sum;
    use super::*;

    #[test]
    fn each_world_gets_its_share_of_the_time() {
        let mut fresh = Fresh::new(&World::ALL, 100, Less::default());
        let mut done = Sums::new();
        for _ in 0..3_000 {
            let job = fresh.next(&done, std::iter::empty());
            let sum: &mut Sum = done.entry(job.world).or_default();
            assert_eq!(job.seed, 100 + sum.runs, "seeds are counted up in each world");
            sum.runs += 1;
            // A run of one world costs many of another's.
            sum.cpu_nanos += match job.world {
                World::Model => 1_000,
                World::Turmoil => 90_000,
                World::Mesh => 20_000,
                World::Cluster => 300_000,
            };
        }
        let whole: u64 = done.values().map(|sum| sum.cpu_nanos).sum();
        let shares: u64 = World::ALL.into_iter().map(share).sum();
        for (world, sum) in &done {
            let due = whole * share(*world) / shares;
            assert!(sum.cpu_nanos.abs_diff(due) * 20 < whole, "{world}: {sum:?} of {whole}");
        }
    }

    #[test]
    fn what_is_under_way_counts_as_good_as_done() {
        let mut fresh = Fresh::new(&World::ALL, 1, Less::default());
        let mut under_way = Vec::new();
        for _ in 0..World::ALL.len() {
            let job = fresh.next(&Sums::new(), under_way.iter());
            under_way.push(job);
        }
        let worlds: Vec<_> = under_way.iter().map(|job| job.world).collect();
        assert!(World::ALL.iter().all(|world| worlds.contains(world)), "{worlds:?}");
    }

    #[test]
    fn a_list_ends() {
        let jobs = VecDeque::from([Job::new(World::Mesh, 5)]);
        let mut source = Source::Listed(jobs);
        let next = |source: &mut Source| source.next(&Sums::new(), std::iter::empty());
        assert_eq!(next(&mut source), Some(Job::new(World::Mesh, 5)));
        assert_eq!(next(&mut source), None);
    }
}
