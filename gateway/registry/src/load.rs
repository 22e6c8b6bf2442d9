//! What waits to be done, and how much more may wait.

use std::marker::PhantomData;

use crate::rules::{Rules, Sound};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering};

/// Everything that waits, within bounds that are never exceeded.
#[derive(Debug)]
pub struct Load<R: Rules = Sound> {
    bounds: Bounds,
    items: AtomicUsize,
    bytes: AtomicUsize,
    rules: PhantomData<R>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Items.
    pub items_max: usize,
    /// Bytes in them; one that has more waits if it is alone.
    pub bytes_max: usize,
}

/// One item's share of a load, which is given back when this is dropped.
#[derive(Debug)]
pub struct Weight<R: Rules = Sound> {
    load: Arc<Load<R>>,
    bytes: usize,
    /// Whether one of the item's copies is carried out, of which only one may be.
    begun: AtomicBool,
}

impl Load {
    /// Nothing, and what may become of it.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self::under_rules(bounds)
    }
}

impl<R: Rules> Load<R> {
    pub(crate) fn under_rules(bounds: Bounds) -> Self {
        let (items, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { bounds, items, bytes, rules: PhantomData }
    }

    /// Makes room for an item of so many bytes; none if too much waits. Of several that come at
    /// once all may be refused although there is room for one.
    #[must_use]
    pub fn weigh(load: &Arc<Self>, bytes: usize) -> Option<Weight<R>> {
        let Bounds { items_max, bytes_max } = load.bounds;
        let fits = |items: usize, waiting: usize| {
            items < items_max && (waiting == 0 || waiting.saturating_add(bytes) <= bytes_max)
        };
        if !R::WEIGHT_ADDS_FIRST && !fits(load.waiting().0, load.waiting().1) {
            return None;
        }
        let items = load.items.fetch_add(1, Ordering::Relaxed);
        let waiting = load.bytes.fetch_add(bytes, Ordering::Relaxed);
        // It is given back at once if it does not fit.
        let weight = Weight { load: Arc::clone(load), bytes, begun: AtomicBool::new(false) };
        (!R::WEIGHT_ADDS_FIRST || fits(items, waiting)).then_some(weight)
    }

    /// Items that wait, and bytes in them.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.items.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

impl<R: Rules> Weight<R> {
    /// Whether nobody has begun to carry out another copy, as this one is now.
    #[must_use = "of all copies one is carried out"]
    pub fn begin(&self) -> bool {
        if R::BEGIN_READS_AND_WRITES {
            return !self.begun.swap(true, Ordering::Relaxed);
        }
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        !begun
    }
}

impl<R: Rules> Drop for Weight<R> {
    fn drop(&mut self) {
        self.load.items.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;

    fn load(items_max: usize, bytes_max: usize) -> Arc<Load> {
        Arc::new(Load::new(Bounds { items_max, bytes_max }))
    }

    #[test]
    fn what_waits_is_bounded_by_items_and_by_bytes() {
        let load = load(3, 10);
        let weigh = |bytes| Load::weigh(&load, bytes);
        let first = weigh(6).expect("there is room");
        assert!(weigh(5).is_none());
        let rest = [weigh(4), weigh(0)].map(Option::unwrap);
        assert!(weigh(0).is_none(), "there are three");
        assert_eq!(load.waiting(), (3, 10));
        drop(first);
        assert!(weigh(6).is_some());
        drop(rest);
        assert_eq!(load.waiting(), (0, 0));
    }

    #[test]
    fn what_is_larger_than_all_that_may_wait_goes_alone() {
        let load = load(3, 10);
        let large = Load::weigh(&load, 99).expect("nothing waits");
        assert!(Load::weigh(&load, 1).is_none() && Load::weigh(&load, usize::MAX).is_none());
        drop(large);
        assert_eq!(load.waiting(), (0, 0));
    }

    #[test]
    fn one_copy_begins() {
        let weight = Load::weigh(&load(1, 1), 1).expect("there is room");
        assert_eq!([weight.begin(), weight.begin()], [true, false]);
    }
}
