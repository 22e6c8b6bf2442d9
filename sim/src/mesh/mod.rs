//! The mesh: many shards on a virtual clock, their turns mixed by a seed, under a checker.
//!
//! Hubs, registry and census are the production's. Rings, sockets, the engine and the clock are
//! models that a seed makes small, slow and late. Clients speak raw frames or `weir.probe.v1`; what
//! each of them hears is compared with what all of them know (`Record`), and at
//! calm moments with what each had to hear.

mod actions;
mod bounds;
mod chat;
mod chorus;
mod clerk;
mod client;
mod coverage;
mod door;
mod ears;
mod ending;
mod faults;
mod garbage;
mod judge;
mod mishaps;
mod passing;
mod recall;
mod record;
mod rings;
mod run;
mod setting;
mod shard;
mod tale;
mod tally;
mod told;
mod trace;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use chorus::FANOUT_MIN;
pub use coverage::Coverage;
use tale::Tale;
use world::World;

use crate::promise::Violation;
use crate::story::Pen;
use crate::worlds::{Ask, Failure};

/// A run in which every promise was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// Folds all that was sent and released: the same for the same seed, in any process.
    pub hash: u64,
    /// What was folded.
    pub events: u64,
    /// What clients and operators did.
    pub actions: u64,
    /// Virtual nanoseconds that passed, without those over which the clock jumped.
    pub nanos: u64,
    /// What really happened.
    pub coverage: Coverage,
}

/// Runs a seed, with what the thread's [`Scope`](gateway_faults::Scope) does to Weir's own code.
///
/// # Errors
/// The first promise that was broken. The same seed breaks it again.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_told(&Ask::seed(seed), &Pen::dry())
}

/// Runs a seed and writes its story, which changes nothing in it.
///
/// # Errors
/// As [`run`].
pub fn run_told(ask: &Ask, pen: &Pen) -> Result<Report, Failure> {
    // A hub that finds an invariant broken panics: that is a finding like any other, before any
    // client could have heard which promise it would have broken.
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(ask);
        world.ears.tale = Tale::new(pen.clone(), world.shards.len());
        let actions = world.run();
        (world.ears, actions)
    }));
    let (ears, actions) = ran.map_err(|panic| Failure {
        promise: None,
        what: format!("a panic: {}", message(&*panic)),
        hash: 0,
        lines: Vec::new(),
    })?;
    let hash = ears.trace.hash();
    match ears.broken {
        Some(Violation { promise, what }) => {
            Err(Failure { promise: Some(promise), what, hash, lines: Vec::new() })
        }
        None => Ok(Report {
            hash,
            events: ears.trace.events,
            actions,
            nanos: ears.now - world::BEGIN.0 - ears.jumped,
            coverage: ears.coverage,
        }),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
