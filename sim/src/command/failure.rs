//! A failure as it is told: shrunk first, then which promise broke, by what, and what is typed to
//! see it.

use std::io;

use sim::counts::Group;
use sim::worlds::Less;

use super::answer::{Broken, How};
use super::job::Job;
use super::pairs::Pairs;
use super::process::Launch;
use super::shrink::{Smallest, Trial, kinds, shrink};

/// Clean runs that are looked at for the kinds of faults of a world.
const CLEAN_TRIES_MAX: u64 = 5;

/// Shrinks a failure and tells of it.
///
/// # Errors
/// If a process cannot be started.
pub(crate) async fn tell_shrunk(job: &Job, broken: &Broken) -> io::Result<()> {
    // Each try of a run that hangs would take as long as a run may.
    if broken.how == How::Hung {
        tell(job, broken);
        return Ok(());
    }
    let mut again = Again { job, how: broken.how, pairs: Pairs::start(&Launch::this()?)? };
    let kinds = again.kinds().await?;
    let smallest = shrink(&mut again, job.less.clone(), &kinds).await;
    let Smallest { less, broken: smaller, tries } = smallest;
    let Some(smaller) = smaller else {
        tell(job, broken);
        println!("  not made smaller in {tries} tries");
        return Ok(());
    };
    let small = job.with(less);
    tell(&small, &smaller);
    println!("  shrunk in {tries} tries from: {}", job.command());
    if smaller.what != broken.what {
        println!("    which said: {}", broken.sentence());
    }
    Ok(())
}

/// Tells of a failure as it is.
pub(crate) fn tell(job: &Job, broken: &Broken) {
    println!("seed={} world={} hash={:016x} FAILED", job.seed, job.world, broken.hash);
    println!("  {}", broken.sentence());
    if !broken.lines.is_empty() {
        println!("  the last lines:");
    }
    broken.lines.iter().for_each(|line| println!("    {line}"));
    println!("  replay: {} --html failure.html", job.command());
}

/// A job once more, with less in it, by two processes.
struct Again<'a> {
    job: &'a Job,
    how: How,
    pairs: Pairs,
}

impl Trial for Again<'_> {
    async fn breaks(&mut self, less: &Less) -> Option<Broken> {
        self.pairs.ask(self.job.with(less.clone())).await;
        // Who cannot be asked any more breaks nothing: what was found until then is told.
        let told = self.pairs.told().await.ok()?;
        told.answer.err().filter(|broken| broken.how == self.how)
    }

    fn planned(&self, less: &Less) -> Vec<String> {
        self.job.world.planned(&self.job.with(less.clone()).ask(false))
    }
}

impl Again<'_> {
    /// The kinds of faults that the world knows and the rare branches that it makes common: each
    /// of its clean runs counts all of them.
    async fn kinds(&mut self) -> io::Result<Vec<String>> {
        for seed in 1..=CLEAN_TRIES_MAX {
            self.pairs.ask(Job::new(self.job.world, seed)).await;
            if let Ok(numbers) = self.pairs.told().await?.answer {
                let happens = |group| matches!(group, Group::Fault | Group::Buggify);
                let names = numbers.tally.keys().filter(|(group, _)| happens(*group));
                return Ok(kinds(names.map(|(_, name)| name.as_str())));
            }
        }
        Ok(Vec::new())
    }
}
