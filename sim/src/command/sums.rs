//! The numbers of many runs, world by world.

use std::collections::BTreeMap;

use sim::worlds::World;

use super::answer::{Numbers, Tally};

/// What a campaign has done so far.
pub(crate) type Sums = BTreeMap<World, Sum>;

/// What it has done in one world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// Runs, each of them counted once however many processes made it.
    pub(crate) runs: u64,
    /// Runs that broke, among them.
    pub(crate) broken: u64,
    pub(crate) events: u64,
    pub(crate) actions: u64,
    /// Virtual time.
    pub(crate) nanos: u64,
    /// Processor time of one process.
    pub(crate) cpu_nanos: u64,
    pub(crate) tally: Tally,
}

impl Sum {
    pub(crate) fn add(&mut self, numbers: &Numbers) {
        self.events += numbers.events;
        self.actions += numbers.actions;
        self.nanos += numbers.nanos;
        for (of, count) in &numbers.tally {
            match self.tally.get_mut(of) {
                Some(sum) => *sum += count,
                None => _ = self.tally.insert(of.clone(), *count),
            }
        }
    }

    /// Client actions for each second of a core.
    pub(crate) fn actions_per_sec(&self) -> f64 {
        self.actions as f64 / self.cpu_secs()
    }

    /// Virtual seconds for each second of a core.
    pub(crate) fn times_real(&self) -> f64 {
        self.nanos as f64 / 1e9 / self.cpu_secs()
    }

    pub(crate) fn cpu_secs(&self) -> f64 {
        self.cpu_nanos as f64 / 1e9
    }
}
