//! The seeded generator behind every choice that a simulated run makes.

/// `SplitMix64`: one word of state, and good streams even from seeds 0, 1, 2 …
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole stream follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator with a stream of its own, which later draws from this one do not touch.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to `bound - 1`.
    ///
    /// # Panics
    /// If `bound` is 0: there is nothing to choose from.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a choice needs at least one possibility");
        // The bias of a remainder is far below what a schedule could show.
        (self.next_u64() % bound as u64) as usize
    }

    /// Whether something that happens once in `times` happens now.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// How much of `max` is taken: often all, often a single one, else anything between, since
    /// errors live at the edges.
    ///
    /// # Panics
    /// If `max` is 0.
    pub fn portion(&mut self, max: usize) -> usize {
        assert!(max > 0, "a portion of nothing is no portion");
        match self.below(4) {
            0 => 1,
            1 => max,
            _ => 1 + self.below(max),
        }
    }

    /// Puts `items` into any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_its_stream() {
        // The first outputs of SplitMix64 for seed 0, from its authors' reference code.
        let mut rng = Rng::new(0);
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(rng.next_u64(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn a_fork_leaves_its_parent_alone() {
        let mut parent = Rng::new(7);
        let mut twin = Rng::new(7);
        let mut child = parent.fork();
        let _ = twin.fork();
        child.next_u64();
        assert_eq!(parent.next_u64(), twin.next_u64());
    }

    #[test]
    fn portions_reach_both_edges_and_stay_within() {
        let mut rng = Rng::new(1);
        let seen: BTreeSet<usize> = (0..1000).map(|_| rng.portion(10)).collect();
        assert_eq!(seen, (1..=10).collect());
    }

    #[test]
    fn shuffling_reaches_every_order() {
        let mut rng = Rng::new(1);
        let orders: BTreeSet<[u8; 4]> = (0..1000)
            .map(|_| {
                let mut items = [1, 2, 3, 4];
                rng.shuffle(&mut items);
                items
            })
            .collect();
        assert_eq!(orders.len(), 24);
    }
}
