//! What a change must pass: every seed that ever failed, and a fixed number of fresh ones.

use std::collections::VecDeque;

use sim::worlds::World;

use super::job::Job;
use super::seeds::kept;
use super::source::Source;

/// Fresh seeds of each world: more than a minute of two cores in a debug build. Where that is not
/// enough for a world's coverage to be judged, its tests judge it over seeds that are always the
/// same.
fn budget(world: World) -> u64 {
    match world {
        World::Model => 150,
        World::Turmoil => 100,
        World::Mesh => 300,
        World::Cluster => 60,
    }
}

/// The seeds that failed once in these worlds, then fresh ones from the first on.
///
/// # Errors
/// If `sim/seeds.txt` cannot be read.
pub(crate) fn source(worlds: &[World], first: u64) -> Result<Source, String> {
    let kept = kept()?.into_iter().map(|kept| kept.job);
    let mut jobs: VecDeque<_> = kept.filter(|job| worlds.contains(&job.world)).collect();
    for &world in worlds {
        jobs.extend((0..budget(world)).map(|nth| Job::new(world, first.wrapping_add(nth))));
    }
    Ok(Source::Listed(jobs))
}

#[cfg(test)]
mod tests {
    use super::super::coverage::runs_judged_min;
    use super::super::sums::Sums;
    use super::*;

    #[test]
    fn worlds_of_short_runs_have_enough_seeds_for_their_coverage_to_be_judged() {
        for world in [World::Model, World::Turmoil, World::Mesh] {
            let mut source = source(&[world], 1_000).expect("the file is well formed");
            let next = || source.next(&Sums::new(), std::iter::empty());
            let jobs: Vec<_> = std::iter::from_fn(next).collect();
            assert!(jobs.iter().all(|job| job.world == world));
            let fresh = jobs.iter().filter(|job| job.seed >= 1_000 && job.seed < 1_000 + 1_000);
            assert!(fresh.count() as u64 >= runs_judged_min(world), "{world}");
        }
    }
}
