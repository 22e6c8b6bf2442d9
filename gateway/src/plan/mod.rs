//! Which worker runs on which core, and which shards it turns: a function of machine and request.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

pub mod cgroup;
mod log;
mod seats;
pub mod topology;

#[cfg(test)]
mod tests;

pub use cgroup::Quota;
pub use topology::{Core, Machine, Node};

/// The most shards a node has, and so the most workers: connection ids keep ten bits for the
/// shard, and beyond a thousand listeners on a port the kernel's choice among them gets slow.
pub const SHARDS_MAX: usize = 1024;

/// What an operator asks for, and what the cgroup allows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// Shards, 1 to [`SHARDS_MAX`]. Default: one per physical core that the quota allows.
    pub shards: Option<usize>,
    /// Workers, 1 to as many as shards. Default: one per shard, but no more than physical cores
    /// that the quota allows.
    pub workers: Option<usize>,
    /// Which NUMA nodes are used, and whether they matter.
    pub numa: Numa,
    /// CPU time that the cgroup grants; none is no bound.
    pub quota: Option<Quota>,
}

/// What `--numa` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Numa {
    /// Workers are spread over all nodes in proportion to their cores, shards grouped by node.
    #[default]
    Auto,
    /// Nodes are ignored: cores are taken in the order of their CPU numbers.
    Off,
    /// As `Auto`, over these nodes only, by the numbers that the system gives them.
    Nodes(BTreeSet<usize>),
}

/// Who works where: node by node, each worker with a run of shards. Every shard has one worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Workers, those of one NUMA node behind each other, and shards ascending with them.
    pub workers: Vec<Worker>,
    /// Where the number of shards came from.
    pub shards_from: Source,
    /// Where the number of workers came from.
    pub workers_from: Source,
    /// Physical cores that were there to choose from.
    pub cores: usize,
    /// The quota that was taken into account.
    pub quota: Option<Quota>,
    /// What the operator should know; obeyed all the same.
    pub notes: Vec<Note>,
}

/// One worker of a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Worker {
    /// The CPU it is pinned to; none if the system may move it.
    pub cpu: Option<usize>,
    /// The NUMA node of that CPU, by the system's number.
    pub node: usize,
    /// The shards it turns; never empty. Counts differ by at most one between any two workers.
    pub shards: Range<u16>,
}

/// Where a worker is pinned to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The CPU, by the system's number.
    pub cpu: usize,
    /// That CPU's NUMA node, by the system's number.
    pub node: usize,
}

/// Where a number came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The operator's flag.
    Flag,
    /// One per physical core.
    Cores,
    /// The whole CPUs in the quota, which are fewer than the cores.
    Quota,
    /// One per shard.
    Shards,
    /// [`SHARDS_MAX`]: there are more cores.
    Bound,
}

/// What is obeyed but costs something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// Some workers share a core: more were asked for than there are cores.
    CoresShared {
        /// Workers of the plan.
        workers: usize,
        /// Cores to choose from.
        cores: usize,
    },
    /// Some workers share a CPU: more were asked for than there are CPUs.
    CpusShared {
        /// Workers of the plan.
        workers: usize,
        /// CPUs to choose from, SMT siblings counted.
        cpus: usize,
    },
    /// Busy workers will be paused by the kernel: they can use more than the quota grants.
    QuotaExceeded {
        /// Workers of the plan.
        workers: usize,
        /// What the cgroup grants.
        quota: Quota,
    },
}

/// Why there is no plan.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PlanError {
    /// The number of shards is out of bounds.
    #[error("--shards {0}: give 1 to {SHARDS_MAX}, or leave it out for one per physical core")]
    Shards(usize),
    /// The number of workers is out of bounds.
    #[error("--workers {0}: give 1 to {SHARDS_MAX}, or leave it out for one per physical core")]
    Workers(usize),
    /// Workers would be left without a shard.
    #[error(
        "--workers {workers}: more than shards ({shards}, by {shards_from}), and a worker without \
         one has nothing to do; give --shards {workers} or more, or --workers {shards} or fewer"
    )]
    IdleWorkers {
        /// Workers asked for.
        workers: usize,
        /// Shards, asked for or by default.
        shards: usize,
        /// Where that number came from.
        shards_from: Source,
    },
    /// A node was named that is not there, or has no core in the process's affinity mask.
    #[error(
        "--numa: node {node} has no core that this process may use; nodes that have one: {}",
        list(.existing)
    )]
    UnknownNode {
        /// The node that was named.
        node: usize,
        /// Those that could be.
        existing: Vec<usize>,
    },
    /// The machine given has no core at all.
    #[error("there is no core that this process may use")]
    NoCore,
}

/// `--numa` was given something else.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("give auto, off, or the numbers of NUMA nodes, such as 0,2")]
pub struct NumaError;

/// Plans a node.
///
/// Workers are spread over NUMA nodes in proportion to their cores. Each takes a core of its own;
/// when there are none left their SMT siblings, and when there are no CPUs left the same again.
/// Shards are dealt to workers in runs whose lengths differ by at most one.
///
/// # Errors
/// If a number is out of bounds, a worker would have no shard, or a node named has no core.
pub fn plan(machine: &Machine, request: &Request) -> Result<Plan, PlanError> {
    request.check()?;
    let groups = seats::groups(machine, &request.numa)?;
    let cores = groups.iter().map(seats::Group::cores).sum();
    let cpus = groups.iter().map(seats::Group::cpus).sum();
    let (shards, shards_from) = shards(request, cores);
    let (workers, workers_from) = workers(request, shards, cores);
    if workers > shards {
        return Err(PlanError::IdleWorkers { workers, shards, shards_from });
    }
    let seats = seats::take(&groups, workers);
    let planned = seats.into_iter().enumerate().map(|(index, seat)| Worker {
        cpu: Some(seat.cpu),
        node: seat.node,
        shards: shards_of(index, workers, shards),
    });
    Ok(Plan {
        workers: planned.collect(),
        shards_from,
        workers_from,
        cores,
        quota: request.quota,
        notes: notes(workers, cores, cpus, request.quota),
    })
}

impl Request {
    /// Checks what can be checked without a machine.
    ///
    /// # Errors
    /// If a number is out of bounds, or more workers than shards are asked for.
    pub fn check(&self) -> Result<(), PlanError> {
        if let Some(shards) = self.shards.filter(|shards| !(1..=SHARDS_MAX).contains(shards)) {
            return Err(PlanError::Shards(shards));
        }
        if let Some(workers) = self.workers.filter(|workers| !(1..=SHARDS_MAX).contains(workers)) {
            return Err(PlanError::Workers(workers));
        }
        if let (Some(workers), Some(shards)) = (self.workers, self.shards)
            && workers > shards
        {
            return Err(PlanError::IdleWorkers { workers, shards, shards_from: Source::Flag });
        }
        Ok(())
    }
}

impl Worker {
    /// Where it is to be pinned to, unless the system may move it.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.cpu.map(|cpu| Place { cpu, node: self.node })
    }
}

impl Plan {
    /// Shards of the node.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.workers.last().map_or(0, |last| usize::from(last.shards.end))
    }

    /// The index of the worker that turns `shard`.
    ///
    /// # Panics
    /// If the plan has no such shard.
    #[must_use]
    pub fn worker_of(&self, shard: u16) -> usize {
        assert!(usize::from(shard) < self.shards(), "the plan has no shard {shard}");
        self.workers.partition_point(|worker| worker.shards.end <= shard)
    }

    /// The same plan, but the system may move the workers.
    #[must_use]
    pub fn unpinned(mut self) -> Self {
        self.workers.iter_mut().for_each(|worker| worker.cpu = None);
        self
    }
}

fn shards(request: &Request, cores: usize) -> (usize, Source) {
    match request.shards {
        Some(shards) => (shards, Source::Flag),
        None if SHARDS_MAX < allowed(request, cores).0 => (SHARDS_MAX, Source::Bound),
        None => allowed(request, cores),
    }
}

fn workers(request: &Request, shards: usize, cores: usize) -> (usize, Source) {
    match request.workers {
        Some(workers) => (workers, Source::Flag),
        None if shards < allowed(request, cores).0 => (shards, Source::Shards),
        None => allowed(request, cores),
    }
}

/// Cores, or the whole CPUs of the quota if they are fewer.
fn allowed(request: &Request, cores: usize) -> (usize, Source) {
    match request.quota.map(Quota::whole_cpus) {
        Some(cpus) if cpus < cores => (cpus, Source::Quota),
        _ => (cores, Source::Cores),
    }
}

/// Worker `index`'s run of shards. Longer runs are strewn between shorter ones, so that the nodes
/// differ little too.
fn shards_of(index: usize, workers: usize, shards: usize) -> Range<u16> {
    let border = |index: usize| {
        u16::try_from(index * shards / workers).expect("SHARDS_MAX is far below 65,536")
    };
    border(index)..border(index + 1)
}

fn notes(workers: usize, cores: usize, cpus: usize, quota: Option<Quota>) -> Vec<Note> {
    let mut notes = Vec::new();
    if workers > cpus {
        notes.push(Note::CpusShared { workers, cpus });
    } else if workers > cores {
        notes.push(Note::CoresShared { workers, cores });
    }
    if let Some(quota) = quota.filter(|quota| quota.is_exceeded_by(workers)) {
        notes.push(Note::QuotaExceeded { workers, quota });
    }
    notes
}

impl FromStr for Numa {
    type Err = NumaError;

    fn from_str(text: &str) -> Result<Self, NumaError> {
        match text {
            "auto" | "-1" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            nodes => {
                let nodes = nodes.split(',').map(|node| node.parse().map_err(|_| NumaError));
                Ok(Self::Nodes(nodes.collect::<Result<_, _>>()?))
            }
        }
    }
}

impl fmt::Display for Numa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Nodes(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                f.write_str(&nodes.join(","))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Cores => "cores",
            Self::Quota => "quota",
            Self::Shards => "shards",
            Self::Bound => "bound",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoresShared { workers, cores } => write!(
                f,
                "{workers} workers on {}: some run on SMT siblings and slow each other down; \
                 --workers {cores} gives each a core of its own",
                count(*cores, "physical core")
            ),
            Self::CpusShared { workers, cpus } => write!(
                f,
                "{workers} workers on {}: some take turns on one CPU; --workers {cpus} gives each \
                 its own",
                count(*cpus, "CPU")
            ),
            Self::QuotaExceeded { workers, quota } => write!(
                f,
                "{} can use more than the cgroup's quota of {quota} CPUs: when busy, the kernel \
                 pauses the whole node until the next period; raise the quota or lower --workers",
                count(*workers, "worker")
            ),
        }
    }
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn list(nodes: &[usize]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
