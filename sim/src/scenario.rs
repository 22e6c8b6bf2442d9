//! The scenario: one plan per seed, run in either world and checked against a reference.
//!
//! A [`Plan`] says who joins, speaks, stalls and leaves when. A world carries it out over the
//! production turn. The [`Reference`] reads what passed the seam without knowing the hub, and
//! [`check()`] compares it with what clients heard.

mod actor;
pub mod check;
pub(crate) mod frames;
pub(crate) mod mask;
pub mod message;
mod model_world;
pub mod outcome;
pub mod plan;
pub mod reference;
mod tale;
mod turmoil_world;
mod visitor;

use std::fmt;
use std::ops::AddAssign;

use self::check::{Sums, check};
use self::outcome::{Heard, Outcome};
use self::plan::{Action, KINDS, Leave, Plan};
use self::reference::Reference;
use self::tale::Tale;
use crate::counts::{Counts, Group};
use crate::promise::Promise;
use crate::story::Pen;
use crate::traced::{Trace, TraceOptions};
use crate::worlds::Less;

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
    /// What clients did; in the model world also the turns.
    pub actions: u64,
    /// Virtual time that passed, in nanoseconds.
    pub nanos: u64,
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
    /// Clients that cut their connection.
    pub left_cut: u64,
    /// Clients that ended only what they send.
    pub half_closed: u64,
    /// Drains in the midst of it all.
    pub early_drains: u64,
}

impl Coverage {
    /// Every number with its name.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 12] {
        [
            ("deliveries", self.deliveries),
            ("short writes", self.short_writes),
            ("blocked sends", self.blocked_sends),
            ("split messages", self.split_messages),
            ("closes with 1013", self.slow_closes),
            ("lossy drops", self.lossy_drops),
            ("stored parts", self.stored_parts),
            ("stalls", self.stuck_readers),
            ("cuts at the deadline", self.cuts),
            ("cuts", self.left_cut),
            ("half-closes", self.half_closed),
            ("early-drains", self.early_drains),
        ]
    }

    /// The same by what kind of thing it is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (name, count) in self.rows() {
            let group = match name {
                name if KINDS.contains(&name) => Group::Fault,
                "closes with 1013" | "lossy drops" | "cuts at the deadline" => Group::Outcome,
                _ => Group::Work,
            };
            counts.add(group, name, count);
        }
        counts
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
        self.left_cut += other.left_cut;
        self.half_closed += other.half_closed;
        self.early_drains += other.early_drains;
    }
}

/// A run that broke a promise, or came to no end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which promise; none if a host failed, or what was read made no sense.
    pub promise: Option<Promise>,
    /// What broke.
    pub what: String,
    /// The trace's hash up to there.
    pub hash: u64,
    /// The last events that passed the seam.
    pub lines: Vec<String>,
}

const OPTIONS: TraceOptions = TraceOptions { lines_max: 40, keep_facts: true };

/// Carries out the plan of a seed and checks what came of it.
///
/// # Errors
/// If a promise was broken. The same seed breaks it again.
pub fn run(seed: u64, world: World) -> Result<Report, Failure> {
    run_told(seed, world, &Less::default(), &Pen::dry())
}

/// Carries out what is left of a seed's plan and writes its story, which changes nothing in it.
///
/// # Errors
/// As [`run`].
pub fn run_told(seed: u64, world: World, less: &Less, pen: &Pen) -> Result<Report, Failure> {
    let plan = Plan::new(seed).with(less);
    let tale = Tale::new(&plan, pen);
    let ran = match world {
        World::Model => model_world::run(&plan, OPTIONS, &tale)
            .map_err(|(promise, what, trace)| failure(Some(promise), what, Some(&trace))),
        World::Turmoil => turmoil_world::run(&plan, OPTIONS, &tale)
            .map_err(|(what, trace)| failure(None, what, trace.as_ref())),
    };
    let outcome = ran?;
    let judged = judge(&plan, &outcome);
    judged.map_err(|(promise, what)| {
        tale.fail(&what, &outcome.heard);
        failure(promise, what, Some(&outcome.trace))
    })
}

fn failure(promise: Option<Promise>, what: String, trace: Option<&Trace>) -> Failure {
    let hash = trace.map(Trace::hash).unwrap_or_default();
    Failure { promise, what, hash, lines: trace.map(Trace::lines).unwrap_or_default() }
}

fn judge(plan: &Plan, outcome: &Outcome) -> Result<Report, (Option<Promise>, String)> {
    let reference = Reference::of(&outcome.trace.facts()).map_err(|what| (None, what))?;
    let sums = check(plan, &reference, &outcome.heard, &outcome.rest);
    let sums = sums.map_err(|broken| (Some(broken.rule.promise()), broken.to_string()))?;
    Ok(Report {
        hash: outcome.trace.hash(),
        events: outcome.trace.events(),
        actions: outcome.actions,
        nanos: outcome.nanos,
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
    let leave = |how: Leave| {
        let leaves = |heard: &Heard| heard.left == Some(how);
        outcome.heard.iter().filter(|heard| leaves(heard)).count() as u64
    };
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
        left_cut: leave(Leave::Reset),
        half_closed: leave(Leave::HalfClose),
        early_drains: u64::from(plan.drains_at_millis.is_some()),
    }
}
