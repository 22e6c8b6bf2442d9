//! A plan as the log tells it: where its numbers came from, a line per worker, warnings.

use tracing::{field, info, warn};

use super::{Plan, Worker};

impl Plan {
    /// Logs the plan once: numbers and workers at info, notes as warnings.
    pub fn log(&self) {
        let mut nodes: Vec<_> = self.workers.iter().map(|worker| worker.node).collect();
        nodes.dedup();
        info!(
            shards = self.shards(),
            shards_from = %self.shards_from,
            workers = self.workers.len(),
            workers_from = %self.workers_from,
            cores = self.cores,
            ?nodes,
            quota_cpus = self.quota.map(field::display),
            "planned"
        );
        for (index, worker) in self.workers.iter().enumerate() {
            let Worker { cpu, node, shards } = worker;
            info!(worker = index, cpu, node, ?shards, "worker");
        }
        for note in &self.notes {
            warn!("{note}");
        }
    }
}
