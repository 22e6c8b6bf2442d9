//! Buffers for batches: bounded, reused when all shards that shared one have dropped it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Batch;

/// Batches remembered for reuse.
const BATCHES_MAX: usize = 64;
/// Looked at before a new one is made: the oldest ones are the likeliest to be free.
const LOOKS_MAX: usize = 4;
/// A batch that has grown beyond this is not kept.
const BYTES_KEPT_MAX: usize = 256 << 10;

/// A shard's own batches. Its thread made them, so they lie on its node.
#[derive(Debug, Default)]
pub(super) struct Pool {
    lent: VecDeque<Arc<Batch>>,
    hits: u64,
    misses: u64,
}

impl Pool {
    /// An empty batch that nobody else holds.
    pub(super) fn take(&mut self) -> Arc<Batch> {
        for _ in 0..self.lent.len().min(LOOKS_MAX) {
            let Some(mut batch) = self.lent.pop_front() else { break };
            if let Some(own) = Arc::get_mut(&mut batch) {
                own.clear();
                self.hits += 1;
                return batch;
            }
            self.lent.push_back(batch);
        }
        self.misses += 1;
        Arc::default()
    }

    /// Remembers a batch that is about to be sent.
    pub(super) fn lend(&mut self, batch: &Arc<Batch>) {
        if self.lent.len() < BATCHES_MAX && batch.memory() <= BYTES_KEPT_MAX {
            self.lent.push_back(Arc::clone(batch));
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_used_again_when_nobody_else_holds_it() {
        let mut pool = Pool::default();
        let first = pool.take();
        pool.lend(&first);
        let held = pool.take();
        assert_eq!(pool.counts(), (0, 2), "the first one is still held");
        drop(first);
        let again = pool.take();
        assert_eq!(pool.counts(), (1, 2));
        assert!(again.is_empty() && held.is_empty());
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut pool = Pool::default();
        let lent: Vec<_> = (0..BATCHES_MAX + 9).map(|_| pool.take()).collect();
        lent.iter().for_each(|batch| pool.lend(batch));
        assert_eq!(pool.lent.len(), BATCHES_MAX);
    }
}
