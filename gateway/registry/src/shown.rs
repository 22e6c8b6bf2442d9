//! What holds now, such as a table that changes seldom, and each shard's sight of it.

use std::marker::PhantomData;
use std::mem;

use crate::rules::{Rules, Sound};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// What holds now. Shown by whoever changes it, seen by all shards, which wait for nobody as long
/// as nothing changes.
#[derive(Debug)]
pub struct Shown<T, R: Rules = Sound> {
    /// How many there were before the one in `current`. Changed while that is locked; loaded by
    /// watches at each look, without a lock.
    number: AtomicU64,
    /// Locked to put an `Arc` in or to clone it, and for nothing that takes longer.
    current: Mutex<Arc<T>>,
    rules: PhantomData<R>,
}

/// One shard's sight: what it saw last.
#[derive(Debug)]
pub struct Watch<T, R: Rules = Sound> {
    shown: Arc<Shown<T, R>>,
    number: u64,
    seen: Arc<T>,
}

impl<T> Shown<T> {
    /// This is shown first.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self::under_rules(first)
    }
}

impl<T: Default> Default for Shown<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T, R: Rules> Shown<T, R> {
    pub(crate) fn under_rules(first: T) -> Self {
        let current = Mutex::new(Arc::new(first));
        Self { number: AtomicU64::new(0), current, rules: PhantomData }
    }

    /// Shows another one from now on.
    pub fn show(&self, next: T) {
        let next = Arc::new(next);
        if !R::SHOWN_WITH_ITS_NUMBER {
            self.number.fetch_add(1, Ordering::Release);
        }
        let before = {
            let mut current = lock(&self.current);
            if R::SHOWN_WITH_ITS_NUMBER {
                // Whoever sees the number finds this one or a later one.
                self.number.fetch_add(1, Ordering::Release);
            }
            mem::replace(&mut *current, next)
        };
        // Freed by whoever saw it last, and by nobody who holds the lock.
        drop(before);
    }

    fn current(&self) -> (u64, Arc<T>) {
        let current = lock(&self.current);
        (self.number.load(Ordering::Relaxed), Arc::clone(&current))
    }
}

impl<T, R: Rules> Watch<T, R> {
    /// Sees what is shown now.
    #[must_use]
    pub fn new(shown: Arc<Shown<T, R>>) -> Self {
        let (number, seen) = shown.current();
        Self { shown, number, seen }
    }

    /// What holds now: a whole one, and never one older than before.
    pub fn look(&mut self) -> &T {
        if self.shown.number.load(Ordering::Acquire) != self.number {
            (self.number, self.seen) = self.shown.current();
        }
        &self.seen
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_watch_sees_what_was_shown_last_and_frees_what_was_shown_before() {
        let first = Arc::new(1);
        let shown = Arc::new(Shown::new(Arc::clone(&first)));
        let mut watches = [(); 2].map(|()| Watch::new(Arc::clone(&shown)));
        assert_eq!(**watches[0].look(), 1);
        shown.show(Arc::new(2));
        shown.show(Arc::new(3));
        assert_eq!(Arc::strong_count(&first), 2, "a watch has not looked yet");
        assert_eq!(watches.each_mut().map(|watch| **watch.look()), [3, 3]);
        assert_eq!(Arc::strong_count(&first), 1);
    }
}
