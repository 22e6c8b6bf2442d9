//! The process that makes runs for another one: a job on each line that comes in, an answer on
//! each line that goes out.

use std::io::{self, BufRead, Write};
use std::panic;

use super::answer::{Answer, written};
use super::clock::cpu_nanos;
use super::job::Job;

/// Answers until nobody asks any more.
///
/// # Errors
/// If what is asked is no job, or nobody hears the answers.
pub(crate) fn serve() -> io::Result<()> {
    // A panic in Weir is a finding, and is told as one.
    panic::set_hook(Box::new(|_| {}));
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let job: Job = line?.parse().map_err(io::Error::other)?;
        let before = cpu_nanos();
        let answer = run(&job);
        writeln!(answers, "{}", written(cpu_nanos() - before, &answer))?;
        answers.flush()?;
    }
    Ok(())
}

/// Makes a run.
pub(crate) fn run(job: &Job) -> Answer {
    job.world.run(&job.ask(false)).result.map(Into::into).map_err(Into::into)
}
