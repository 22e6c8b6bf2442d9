//! Many runs, each by two processes, until there are no more or time is up: their sums, their
//! failures, and what they left untried.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use sim::worlds::World;
use tokio::select;
use tokio::time::{Instant, sleep_until};

use super::answer::{Broken, How};
use super::coverage::judge;
use super::failure::{tell, tell_shrunk};
use super::job::Job;
use super::pairs::{Pairs, Told};
use super::process::Launch;
use super::report::{grouped, report};
use super::source::Source;
use super::sums::Sums;

/// Jobs that both processes have been asked and have not both answered: enough that neither waits
/// for the other's short runs.
const AHEAD_MAX: usize = 6;
/// How often a long campaign says that it is alive.
const WORD_EVERY: Duration = Duration::from_secs(30);
/// Failures of one kind in one world that are told in full; of further ones only the seed is.
const TOLD_MAX: usize = 1;

/// What a campaign is to do.
pub(crate) struct Campaign {
    pub(crate) source: Source,
    /// For how long; for as long as the source has jobs, if nothing is said.
    pub(crate) lasts: Option<Duration>,
    /// Something is left out of its runs, so that they cover less.
    pub(crate) less: bool,
    /// Only failures and a line at the end are told.
    pub(crate) quiet: bool,
}

/// Why no more jobs are given out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// There are none, or there is no time for more.
    Done,
    /// Someone asked for it.
    Interrupted,
}

struct Progress {
    began: Instant,
    last_word: Instant,
    sums: Sums,
    failures: Vec<(Job, Broken)>,
}

impl Campaign {
    /// Runs it and tells what came of it; a failure if anything broke or was left untried.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub(crate) async fn run(self) -> io::Result<ExitCode> {
        let Self { mut source, lasts, less, quiet } = self;
        let began = Instant::now();
        let mut progress =
            Progress { began, last_word: began, sums: Sums::new(), failures: Vec::new() };
        let end = progress.carry_out(&mut source, lasts.map(|lasts| began + lasts)).await?;
        if end == End::Interrupted {
            println!("interrupted: this is what was done until then");
        }
        progress.tell_failures(end).await?;
        Ok(progress.conclude(less, quiet))
    }
}

impl Progress {
    async fn carry_out(&mut self, source: &mut Source, until: Option<Instant>) -> io::Result<End> {
        let mut pairs = Pairs::start(&Launch::this()?)?;
        // Far away is as good as never.
        let far = self.began + Duration::from_hours(24 * 365);
        let time_up = sleep_until(until.unwrap_or(far));
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(time_up, interrupt);
        let (mut done, mut end) = (false, End::Done);
        loop {
            while !done && pairs.waiting().len() < AHEAD_MAX {
                match source.next(&self.sums, pairs.waiting()) {
                    Some(job) => pairs.ask(job).await,
                    None => done = true,
                }
            }
            if pairs.waiting().len() == 0 {
                return Ok(end);
            }
            select! {
                biased;
                _ = &mut interrupt, if end == End::Done => (done, end) = (true, End::Interrupted),
                () = &mut time_up, if !done => done = true,
                told = pairs.told() => self.hear(told?),
            }
        }
    }

    fn hear(&mut self, told: Told) {
        let Told { job, cpu_nanos, answer } = told;
        let sum = self.sums.entry(job.world).or_default();
        sum.runs += 1;
        sum.cpu_nanos += cpu_nanos / 2;
        match answer {
            Ok(numbers) => sum.add(&numbers),
            Err(broken) => {
                sum.broken += 1;
                println!("seed={} world={} FAILED: {}", job.seed, job.world, broken.sentence());
                self.failures.push((job, broken));
            }
        }
        if self.last_word.elapsed() >= WORD_EVERY {
            self.last_word = Instant::now();
            let runs: u64 = self.sums.values().map(|sum| sum.runs).sum();
            let secs = self.began.elapsed().as_secs();
            eprintln!("{} runs after {secs} s, {} failed", grouped(runs), self.failures.len());
        }
    }

    /// The first of each kind in full, shrunk; of the others which seeds they are. Who does not
    /// want to wait for that any longer hears all of them as they are.
    async fn tell_failures(&self, end: End) -> io::Result<()> {
        let mut told = BTreeMap::<(World, How), usize>::new();
        let mut waits = end == End::Done;
        for (job, broken) in &self.failures {
            let count = told.entry((job.world, broken.how)).or_default();
            *count += 1;
            if *count > TOLD_MAX {
                tell(job, &Broken { lines: Vec::new(), ..broken.clone() });
                continue;
            }
            if waits {
                select! {
                    biased;
                    _ = tokio::signal::ctrl_c() => waits = false,
                    shrunk = tell_shrunk(job, broken) => shrunk?,
                }
            }
            if !waits {
                tell(job, broken);
            }
        }
        Ok(())
    }

    fn conclude(self, less: bool, quiet: bool) -> ExitCode {
        let text = report(&self.sums, self.began.elapsed());
        let last = text.lines().last().unwrap_or_default();
        print!("{}", if quiet { format!("{last}\n") } else { text.clone() });
        let coverage = judge(&self.sums, less);
        coverage.unjudged.iter().for_each(|line| println!("{line}"));
        coverage.missing.iter().for_each(|line| println!("LEFT UNTRIED: {line}"));
        if self.failures.is_empty() && coverage.missing.is_empty() {
            println!("every run kept every promise, twice, with equal hashes");
            return ExitCode::SUCCESS;
        }
        ExitCode::FAILURE
    }
}
