//! The scenario: one plan per seed, run in either world and checked against a reference.
//!
//! A [`Plan`] says who joins, speaks, stalls and leaves when. A world carries it out over the
//! production turn. The [`Reference`] reads what passed the seam without knowing the hub, and
//! [`check()`] compares it with what clients heard.

mod actor;
pub mod check;
mod frames;
pub(crate) mod mask;
pub mod message;
mod model_world;
pub mod outcome;
pub mod plan;
pub mod reference;
mod turmoil_world;
mod visitor;

use std::fmt;
use std::ops::AddAssign;

use self::check::{Sums, check};
use self::outcome::{Heard, Outcome};
use self::plan::{Action, Plan};
use self::reference::Reference;
use crate::story::Pen;
use crate::traced::{Trace, TraceOptions};

/// Where a plan is carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum World {
    /// Plain vectors, turns by hand and a clock of numbers.
    Model,
    /// turmoil's hosts and tasks, with the shard's real driver.
    Turmoil,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Turmoil => "turmoil",
        })
    }
}

/// A run in which every promise was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// The trace's hash: the same for the same seed, in any process.
    pub hash: u64,
    /// Events that passed the seam.
    pub events: u64,
    /// What clients did and turns, in the model world; 0 in turmoil, where tasks do it.
    pub actions: u64,
    /// What really happened.
    pub coverage: Coverage,
}

/// What happened in one run, or over a campaign of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    /// Messages heard.
    pub deliveries: u64,
    /// Sends of which a part was taken.
    pub short_writes: u64,
    /// Sends of which nothing was taken.
    pub blocked_sends: u64,
    /// Messages that took more than one read.
    pub split_messages: u64,
    /// Clients that heard 1013.
    pub slow_closes: u64,
    /// Messages that lossy members missed.
    pub lossy_drops: u64,
    /// Ranges of stored extents that were sent.
    pub stored_parts: u64,
    /// Members that stopped reading and whose window then was full.
    pub stuck_readers: u64,
    /// Connections cut at the deadline.
    pub cuts: u64,
}

impl Coverage {
    /// Every number with its name.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 9] {
        [
            ("deliveries", self.deliveries),
            ("short writes", self.short_writes),
            ("blocked sends", self.blocked_sends),
            ("split messages", self.split_messages),
            ("closes with 1013", self.slow_closes),
            ("lossy drops", self.lossy_drops),
            ("stored parts", self.stored_parts),
            ("stuck readers", self.stuck_readers),
            ("cuts", self.cuts),
        ]
    }
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.short_writes += other.short_writes;
        self.blocked_sends += other.blocked_sends;
        self.split_messages += other.split_messages;
        self.slow_closes += other.slow_closes;
        self.lossy_drops += other.lossy_drops;
        self.stored_parts += other.stored_parts;
        self.stuck_readers += other.stuck_readers;
        self.cuts += other.cuts;
    }
}

/// A run that broke a promise, or came to no end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What broke.
    pub what: String,
    /// The last events that passed the seam.
    pub lines: Vec<String>,
}

const OPTIONS: TraceOptions = TraceOptions { lines_max: 40, keep_facts: true };

/// Carries out the plan of a seed and checks what came of it.
///
/// # Errors
/// If a promise was broken. The same seed breaks it again.
pub fn run(seed: u64, world: World) -> Result<Report, Failure> {
    run_told(seed, world, &Pen::dry())
}

/// Carries out the plan of a seed and writes its story, which changes nothing in it.
///
/// # Errors
/// As [`run`].
pub fn run_told(seed: u64, world: World, pen: &Pen) -> Result<Report, Failure> {
    let plan = Plan::new(seed);
    let ran = match world {
        World::Model => {
            model_world::run(&plan, OPTIONS).map_err(|(what, trace)| (what, Some(trace)))
        }
        World::Turmoil => turmoil_world::run(&plan, OPTIONS),
    };
    let outcome = ran.map_err(|(what, trace)| failure(what, trace.as_ref()))?;
    let judged = judge(&plan, &outcome);
    judged.map_err(|what| failure(what, Some(&outcome.trace)))
}

fn failure(what: String, trace: Option<&Trace>) -> Failure {
    Failure { what, lines: trace.map(Trace::lines).unwrap_or_default() }
}

fn judge(plan: &Plan, outcome: &Outcome) -> Result<Report, String> {
    let reference = Reference::of(&outcome.trace.facts())?;
    let sums = check(plan, &reference, &outcome.heard, &outcome.rest);
    let sums = sums.map_err(|violation| violation.to_string())?;
    Ok(Report {
        hash: outcome.trace.hash(),
        events: outcome.trace.events(),
        actions: outcome.actions,
        coverage: coverage(plan, outcome, &reference, sums),
    })
}

fn coverage(plan: &Plan, outcome: &Outcome, reference: &Reference, sums: Sums) -> Coverage {
    let tally = outcome.trace.tally();
    let blocked = |heard: &Heard| {
        let member = heard.address.and_then(|address| reference.members.get(&address));
        member.is_some_and(|member| member.blocked)
    };
    let stuck = plan.clients.iter().zip(&outcome.heard).filter(|(client, heard)| {
        client.steps.iter().any(|step| matches!(step.action, Action::Stall)) && blocked(heard)
    });
    Coverage {
        deliveries: sums.deliveries,
        short_writes: tally.short_sends,
        blocked_sends: tally.blocked_sends,
        split_messages: reference.split_messages,
        slow_closes: sums.slow,
        lossy_drops: sums.dropped,
        stored_parts: tally.stored_parts,
        stuck_readers: stuck.count() as u64,
        cuts: outcome.rest.counters.cut,
    }
}
