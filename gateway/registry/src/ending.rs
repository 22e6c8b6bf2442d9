//! When a node that drains is over.

use std::marker::PhantomData;

use crate::census::Census;
use crate::rules::{Rules, Sound};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Which of a node's workers accept nobody any more, and whether one has ended.
#[derive(Debug)]
pub struct Ending<R: Rules = Sound> {
    workers: usize,
    /// Workers that have told everyone to go, and accept nobody any more: each adds itself once.
    drained: AtomicUsize,
    /// A worker has ended, so that nobody waits for what only it could bring about.
    ended: AtomicBool,
    rules: PhantomData<R>,
}

impl Ending {
    /// Of a node with so many workers, which all serve.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::under_rules(workers)
    }
}

impl<R: Rules> Ending<R> {
    pub(crate) fn under_rules(workers: usize) -> Self {
        let (drained, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { workers, drained, ended, rules: PhantomData }
    }

    /// A worker accepts nobody from now on; to be said once by each.
    pub fn has_drained(&self) {
        self.drained.fetch_add(1, R::DRAINED);
    }

    /// A worker ends, however it does.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether a worker has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether nobody is served, anywhere, nor will be.
    #[must_use]
    pub fn is_over(&self, census: &Census<R>) -> bool {
        // Who drained accepted nobody afterwards, so that what the census says then only falls.
        let drained = self.drained.load(Ordering::Acquire) == self.workers;
        drained && census.live() == 0 || self.has_ended()
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;
    use crate::census::Capacity;
    use crate::ids::ShardId;

    #[test]
    fn a_node_is_over_when_all_accept_nobody_and_nobody_is_left_or_a_worker_has_ended() {
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 1);
        census.reserve(ShardId(0)).unwrap();
        let ending = Ending::new(2);
        ending.has_drained();
        ending.has_drained();
        assert!(!ending.is_over(&census), "somebody is left");
        census.release(ShardId(0));
        assert!(ending.is_over(&census) && !ending.has_ended());
        let ending = Ending::new(2);
        ending.has_drained();
        assert!(!ending.is_over(&census), "the other worker may still accept");
        ending.end();
        assert!(ending.is_over(&census) && ending.has_ended());
    }
}
