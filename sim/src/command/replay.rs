//! Seeds run in this process: a line for each, its story if it is wanted, and how fast they were.

use std::fs;
use std::io;

use sim::story::Story;
use sim::worlds::{Less, Ran};

use super::answer::{Broken, Numbers};
use super::clock::cpu_nanos;
use super::failure::{tell, tell_shrunk};
use super::flags::{Files, Runs};
use super::job::Job;
use super::report::grouped;
use super::sums::Sums;

/// Runs them in order, up to the first that breaks; that one, if there is one.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn run(runs: &Runs) -> io::Result<Option<(Job, Broken)>> {
    let Runs { quiet, files, .. } = runs;
    let mut sums = Sums::new();
    for job in runs.jobs() {
        let before = cpu_nanos();
        let Ran { result, story } = job.world.run(&job.ask(files.wanted()));
        let sum = sums.entry(job.world).or_default();
        sum.cpu_nanos += cpu_nanos() - before;
        let hash = result.as_ref().map_or_else(|broke| broke.hash, |report| report.hash);
        write(files, &job, hash, story.as_ref())?;
        match result {
            Ok(report) => {
                let numbers = Numbers::from(report);
                if !quiet {
                    println!("{}", line(&job, &numbers));
                }
                sum.runs += 1;
                sum.add(&numbers);
            }
            Err(failure) => return Ok(Some((job, failure.into()))),
        }
    }
    for (world, sum) in &sums {
        eprintln!(
            "{world}: {} runs, {} actions, {} per second on one core, {} x real time",
            grouped(sum.runs),
            grouped(sum.actions),
            grouped(sum.actions_per_sec() as u64),
            grouped(sum.times_real() as u64)
        );
    }
    Ok(None)
}

/// The line of a run: the same bytes in any process.
fn line(job: &Job, numbers: &Numbers) -> String {
    let Numbers { hash, events, actions, nanos, .. } = numbers;
    let secs = *nanos as f64 / 1e9;
    format!(
        "seed={} world={} hash={hash:016x} events={events} actions={actions} virtual={secs:.3}s",
        job.seed, job.world
    )
}

/// Tells of one that broke.
///
/// # Errors
/// If no process can be started to shrink it.
pub(crate) async fn give_up(job: &Job, broken: &Broken, files: &Files) -> io::Result<()> {
    // Who looks at one run, or has a small one already, wants to see that one.
    if files.wanted() || job.less != Less::default() {
        tell(job, broken);
        return Ok(());
    }
    tell_shrunk(job, broken).await
}

fn write(files: &Files, job: &Job, hash: u64, story: Option<&Story>) -> io::Result<()> {
    if !files.wanted() {
        return Ok(());
    }
    let told = || io::Error::other(format!("the world {} tells no stories", job.world));
    let story = story.ok_or_else(told)?;
    if let Some(path) = &files.trace {
        let (seed, world) = (job.seed, job.world);
        let head =
            format!(r#"{{"kind":"run","seed":{seed},"world":"{world}","hash":"{hash:016x}"}}"#);
        fs::write(path, format!("{head}\n{}", story.to_jsonl()))?;
    }
    if let Some(path) = &files.html {
        fs::write(path, story.to_html())?;
    }
    Ok(())
}
