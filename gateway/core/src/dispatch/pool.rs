//! Buffers for batches: bounded, reused when all shards that shared one have dropped it.

use std::collections::VecDeque;
use std::sync::Arc;

use gateway_faults::buggify;

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
        let looks = if buggify!(PoolMiss) { 0 } else { self.lent.len().min(LOOKS_MAX) };
        for _ in 0..looks {
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

    /// Remembers a batch that is about to be sent, unless it keeps more than its own buffers: what
    /// is shared in it goes with the last who hears it.
    pub(super) fn lend(&mut self, batch: &Arc<Batch>) {
        let small = batch.memory() <= BYTES_KEPT_MAX && !batch.shares();
        if small && self.lent.len() < BATCHES_MAX {
            self.lent.push_back(Arc::clone(batch));
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::body::{Body, Store};
    use crate::frame::{Kind, Opcode};
    use crate::id::{Author, ShardId};
    use crate::message::{Meta, Words};
    use crate::position::Offset;
    use crate::transmit::StoredId;

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
    fn a_batch_that_waits_for_reuse_keeps_no_large_payload() {
        #[derive(Default)]
        struct Counts(AtomicUsize);
        impl Store for Counts {
            fn read(&self, _: StoredId, _: std::ops::Range<u64>) -> Option<Vec<u8>> {
                None
            }

            fn put(&self, _: &[u8], payload: &[u8]) -> Option<StoredId> {
                self.0.fetch_add(payload.len(), Ordering::Relaxed);
                Some(StoredId(0))
            }
            fn free(&self, _: StoredId) {
                self.0.fetch_sub(1 << 20, Ordering::Relaxed);
            }
        }
        let counts = Arc::new(Counts::default());
        let store: Arc<dyn Store> = Arc::clone(&counts) as Arc<dyn Store>;
        let mut pool = Pool::default();
        // 64 rooms' deliveries that are under way at once, and then heard by all.
        let under_way: Vec<_> = (0..BATCHES_MAX)
            .map(|_| {
                let mut batch = pool.take();
                let body = Body::stored(Opcode::Binary, &vec![7; 1 << 20], &store);
                let body = body.expect("there is room");
                let (prev, offset) = (Offset(0), Offset(1));
                let (author, origin) = (Author::NOBODY, ShardId(0));
                let meta = Meta { prev, offset, author, origin, id: 0, kind: Kind::Binary };
                Arc::get_mut(&mut batch).expect("unshared").push(meta, Words::Body(&body));
                pool.lend(&batch);
                batch
            })
            .collect();
        drop(under_way);
        let kept = counts.0.load(Ordering::Relaxed);
        assert!(kept <= BYTES_KEPT_MAX, "{kept} bytes of payloads that everybody has heard");
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut pool = Pool::default();
        let lent: Vec<_> = (0..BATCHES_MAX + 9).map(|_| pool.take()).collect();
        lent.iter().for_each(|batch| pool.lend(batch));
        assert_eq!(pool.lent.len(), BATCHES_MAX);
    }
}
