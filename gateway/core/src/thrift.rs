//! Slabs that give back what a crowd has taken, while a few are still there.

use slab::Slab;

use crate::time::Tick;

/// Entries that are kept whatever there was: some tens of KiB.
const KEPT: usize = 256;

/// Seconds between two tries, of which each looks at all places: a million take milliseconds.
const REST_SECS: u32 = 1;

/// When a slab is next made smaller. Keys stay, so that only what lies behind the last entry goes.
#[derive(Debug)]
pub(crate) struct Thrift {
    rests: Tick,
    /// Entries that were there at the last try: it is not tried again for the same.
    tried: usize,
}

impl Default for Thrift {
    fn default() -> Self {
        Self { rests: Tick(0), tried: usize::MAX }
    }
}

impl Thrift {
    /// Looks after the slab; to be called now and then.
    pub(crate) fn trim<T>(&mut self, now: Tick, slab: &mut Slab<T>) {
        let (len, capacity) = (slab.len(), slab.capacity());
        if capacity <= KEPT || len > capacity / 8 || len == self.tried || now < self.rests {
            return;
        }
        self.tried = len;
        self.rests = now.after_secs(REST_SECS);
        slab.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slab of so many, of which those are removed that are not kept.
    fn left(count: usize, keeps: impl Fn(usize) -> bool) -> Slab<usize> {
        let mut slab = Slab::new();
        (0..count).for_each(|entry| assert_eq!(slab.insert(entry), entry));
        slab.retain(|key, _| keeps(key));
        slab
    }

    #[test]
    fn a_few_who_came_first_do_not_keep_what_a_crowd_behind_them_took() {
        let mut slab = left(100_000, |key| key < 50);
        Thrift::default().trim(Tick(9), &mut slab);
        assert!(slab.capacity() <= KEPT, "{}", slab.capacity());
        assert!((0..50).all(|key| slab[key] == key), "keys stay");
    }

    #[test]
    fn what_many_use_is_left_alone() {
        let mut slab = left(10_000, |key| key < 3000);
        let before = slab.capacity();
        Thrift::default().trim(Tick(9), &mut slab);
        assert_eq!(slab.capacity(), before);
    }

    #[test]
    fn one_at_the_end_is_not_looked_at_again_and_again() {
        let (mut slab, mut thrift) = (left(10_000, |key| key >= 9_998), Thrift::default());
        thrift.trim(Tick(9), &mut slab);
        assert!(slab.capacity() >= 10_000);
        slab.remove(9_999);
        thrift.trim(Tick(9), &mut slab);
        assert_eq!(thrift.tried, 2, "not twice in a second");
        thrift.trim(Tick(9).after_secs(REST_SECS), &mut slab);
        assert_eq!(thrift.tried, 1);
        let rests = thrift.rests;
        thrift.trim(rests, &mut slab);
        assert_eq!(thrift.rests, rests, "nor for the same");
    }
}
