//! The command `sim`: one run, many, or a campaign by two processes.

mod answer;
mod campaign;
mod check;
mod child;
mod clock;
mod coverage;
mod failure;
mod flags;
mod job;
mod mutants;
mod pairs;
mod process;
mod replay;
mod report;
mod seeds;
mod shrink;
mod source;
mod sums;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::process::ExitCode;

use sim::worlds::Less;

use self::campaign::Campaign;
pub(crate) use self::flags::Flags;
use self::flags::{Explore, Order, Runs};
use self::source::{Fresh, Source};

/// Does what the flags ask for.
///
/// # Errors
/// If a process cannot be started, or a file neither read nor written.
pub(crate) fn carry_out(order: Order) -> io::Result<ExitCode> {
    match order {
        Order::Serve => child::serve().map(|()| ExitCode::SUCCESS),
        // Worlds have runtimes of their own, so that none of ours is around them.
        Order::Runs(runs) => match replay::run(&runs)? {
            None => Ok(ExitCode::SUCCESS),
            Some((job, broken)) => {
                block_on(replay::give_up(&job, &broken, &runs.files))?;
                Ok(ExitCode::FAILURE)
            }
        },
        Order::Twice(runs) => block_on(twice(runs).run()),
        Order::Explore(explore) => self::explore(explore),
        Order::Mutants { one, twins } => block_on(mutants::run(one, twins.as_deref())),
        Order::Check { first, worlds, quiet } => {
            let source = check::source(&worlds, first).map_err(io::Error::other)?;
            block_on(Campaign { source, lasts: None, less: false, quiet }.run())
        }
    }
}

fn block_on<T>(task: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}

fn explore(explore: Explore) -> io::Result<ExitCode> {
    let Explore { worlds, first, less, lasts, quiet } = explore;
    let first = first.unwrap_or_else(fresh_seed);
    println!("seeds from {first} on");
    let left_out = less != Less::default();
    let source = Source::Fresh(Fresh::new(&worlds, first, less));
    let code = block_on(Campaign { source, lasts: Some(lasts), less: left_out, quiet }.run());
    println!("the first seed was {first}");
    code
}

fn twice(runs: Runs) -> Campaign {
    let jobs: VecDeque<_> = runs.jobs().collect();
    let Runs { less, quiet, .. } = runs;
    Campaign { source: Source::Listed(jobs), lasts: None, less: less != Less::default(), quiet }
}

/// A seed that no run has had before, as good as certainly: half of a random word, far from those
/// that every test has, and still readable.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}
