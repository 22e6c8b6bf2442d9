//! The worlds by their names, and what all of them are asked and answer: a seed is run, perhaps
//! with less in it; what came of it is a hash and counts, or a broken promise.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use gateway_faults::{Mutant, Point, Scope};

use crate::counts::{Counts, Group};
use crate::promise::Promise;
use crate::story::{Pen, Story};
use crate::{cluster, mesh, scenario};

/// A world.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum World {
    /// One shard over plain vectors, turns by hand.
    Model,
    /// One shard with its real driver, over turmoil's network.
    Turmoil,
    /// Many shards on a virtual clock, their turns mixed.
    Mesh,
    /// Nodes of many shards with their real drivers, over turmoil's network.
    Cluster,
}

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// What all of it follows from.
    pub seed: u64,
    /// The deliberate fault that Weir has in it, if any.
    pub mutant: Option<Mutant>,
    /// What is left out of it.
    pub less: Less,
    /// Whether its story is wanted.
    pub story: bool,
}

impl Ask {
    /// All that a seed is.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// What is left out of a seed's run, so that a failure is told by less.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Less {
    /// Clients there are, at most.
    pub clients_max: Option<u64>,
    /// Actions that are taken, at most.
    pub actions_max: Option<u64>,
    /// Faults that do not happen, by the name of their kind; worlds whose runs are planned also
    /// know single ones. Rare branches that are not made common are named here too.
    pub without: BTreeSet<String>,
}

impl Less {
    /// Whether faults of this kind happen.
    #[must_use]
    pub fn has(&self, kind: &str) -> bool {
        !self.without.contains(kind)
    }

    /// The flags that ask for it, each with a space before it.
    #[must_use]
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(max) = self.clients_max {
            flags += &format!(" --clients {max}");
        }
        if let Some(max) = self.actions_max {
            flags += &format!(" --actions {max}");
        }
        if !self.without.is_empty() {
            let kinds: Vec<_> = self.without.iter().map(String::as_str).collect();
            flags += &format!(" --without {}", kinds.join(","));
        }
        flags
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// Its numbers, or what broke.
    pub result: Result<Report, Failure>,
    /// Its story, if it was asked for.
    pub story: Option<Story>,
}

/// A run in which every promise was kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The same for the same run, in any process.
    pub hash: u64,
    /// What was folded into it.
    pub events: u64,
    /// What clients and operators did.
    pub actions: u64,
    /// Virtual time that passed, in nanoseconds, without that over which clocks jumped.
    pub nanos: u64,
    /// What happened how often.
    pub counts: Counts,
}

/// A run that broke a promise, or came to no end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which promise; none if the run itself broke.
    pub promise: Option<Promise>,
    /// By what.
    pub what: String,
    /// The hash up to there.
    pub hash: u64,
    /// The last events.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.promise {
            Some(promise) => write!(f, "promise {promise}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl World {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Model, Self::Turmoil, Self::Mesh, Self::Cluster];

    /// Its name, as flags and reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Turmoil => "turmoil",
            Self::Mesh => "mesh",
            Self::Cluster => "cluster",
        }
    }

    /// Runs a seed.
    #[must_use]
    pub fn run(self, ask: &Ask) -> Ran {
        let (scope, pen) = (scope(ask), self.pen(ask));
        let run = || match self {
            Self::Model => scenario(scenario::World::Model, ask, &pen),
            Self::Turmoil => scenario(scenario::World::Turmoil, ask, &pen),
            Self::Mesh => mesh(ask, &pen),
            Self::Cluster => cluster::run(ask, &pen),
        };
        // Who finds an invariant of its own broken panics: that is a finding like any other.
        let ran = catch_unwind(AssertUnwindSafe(run));
        let mut result = ran.unwrap_or_else(|panic| Err(broken(&*panic)));
        if let Ok(report) = &mut result {
            self.count(&scope, &mut report.counts);
        }
        let mut story = pen.story();
        if let (Some(story), Err(failure)) = (&mut story, &result) {
            story.fail(failure.promise, &failure.what);
        }
        Ran { result, story }
    }

    /// Adds what happened in Weir's own code, as far as this world has it.
    fn count(self, scope: &Scope, counts: &mut Counts) {
        let workers = self == Self::Cluster;
        let happened = scope.take_counts();
        let points = happened.points().filter(|(point, _)| workers || !point.is_of_workers());
        points.for_each(|(point, times)| counts.add(Group::Buggify, point.name(), times));
        let marks = happened.marks().filter(|(mark, _)| workers || !mark.is_of_workers());
        marks.for_each(|(mark, times)| counts.add(Group::Sometimes, mark.name(), times));
    }

    /// Single faults of a run that is planned before it is made, by the names that
    /// [`Less::without`] knows them by; none in worlds whose faults come as they go.
    #[must_use]
    pub fn planned(self, ask: &Ask) -> Vec<String> {
        match self {
            Self::Model | Self::Turmoil | Self::Mesh => Vec::new(),
            Self::Cluster => cluster::planned(ask),
        }
    }

    /// Writes the story, if it is asked for.
    fn pen(self, ask: &Ask) -> Pen {
        if !ask.story {
            return Pen::dry();
        }
        let mutant = ask.mutant.map(Mutant::name);
        let fault = mutant.map(|name| format!(", with the deliberate fault {name}"));
        let title = format!("Weir in the world {self}, seed {}", ask.seed);
        let flag = mutant.map(|name| format!(" --mutant {name}")).unwrap_or_default();
        let replay =
            format!("cargo xtask sim --seed {} --world {self}{}{flag}", ask.seed, ask.less.flags());
        Pen::new(title + &fault.unwrap_or_default()).with_replay(replay)
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for World {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|world| world.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no world is called {name}: write one of {names}")
        })
    }
}

/// A run that ended in a panic.
fn broken(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let what = format!("a panic: {}", text.unwrap_or("without a word"));
    Failure { promise: None, what, hash: 0, lines: Vec::new() }
}

/// What the run does to Weir's own code.
fn scope(ask: &Ask) -> Scope {
    let left_out = |point: &Point| !ask.less.has(point.name());
    let without = Point::ALL.into_iter().filter(left_out);
    without.fold(Scope::new(ask.mutant, ask.seed), |scope, point| scope.with(point, 0))
}

fn scenario(world: scenario::World, ask: &Ask, pen: &Pen) -> Result<Report, Failure> {
    match scenario::run_told(ask.seed, world, &ask.less, pen) {
        Ok(scenario::Report { hash, events, actions, nanos, coverage }) => {
            Ok(Report { hash, events, actions, nanos, counts: coverage.counts() })
        }
        Err(scenario::Failure { promise, what, hash, lines }) => {
            Err(Failure { promise, what, hash, lines })
        }
    }
}

fn mesh(ask: &Ask, pen: &Pen) -> Result<Report, Failure> {
    let mesh::Report { hash, events, actions, nanos, coverage } = mesh::run_told(ask, pen)?;
    let mut counts = Counts::default();
    coverage.rows().for_each(|(group, name, count)| counts.add(group, name, count));
    Ok(Report { hash, events, actions, nanos, counts })
}
