//! A set of workers, one bit each.

/// Workers from 0 up to a fixed number.
#[derive(Debug)]
pub(crate) struct Bits(Box<[u64]>);

/// Words that hold a bit for each of so many workers.
pub(crate) fn words(workers: usize) -> usize {
    workers.div_ceil(64)
}

/// Which word a worker's bit is in, and the word with only this bit.
pub(crate) fn place(worker: usize) -> (usize, u64) {
    (worker / 64, 1 << (worker % 64))
}

impl Bits {
    pub(crate) fn new(workers: usize) -> Self {
        Self(vec![0; words(workers)].into())
    }

    pub(crate) fn insert(&mut self, worker: usize) {
        let (word, bit) = place(worker);
        self.0[word] |= bit;
    }

    pub(crate) fn insert_word(&mut self, word: usize, bits: u64) {
        self.0[word] |= bits;
    }

    pub(crate) fn remove(&mut self, worker: usize) {
        let (word, bit) = place(worker);
        self.0[word] &= !bit;
    }

    /// Removes all of a word and returns them.
    pub(crate) fn take_word(&mut self, word: usize) -> u64 {
        std::mem::take(&mut self.0[word])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The first at `from` or above; if there is none, the first of all.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        let (word, bit) = place(from);
        let above = self.0.get(word).map_or(0, |bits| bits & !(bit - 1));
        first(word, above).or_else(|| self.first_from(word + 1)).or_else(|| self.first_from(0))
    }

    fn first_from(&self, word: usize) -> Option<usize> {
        (word..self.0.len()).find_map(|word| first(word, self.0[word]))
    }
}

fn first(word: usize, bits: u64) -> Option<usize> {
    (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
}

/// The workers of one word, in order.
pub(crate) fn each_of(word: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let found = first(word, bits)?;
        bits &= bits - 1;
        Some(found)
    })
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn next_goes_around() {
        let mut bits = Bits::new(130);
        [3, 63, 64, 129].into_iter().for_each(|worker| bits.insert(worker));
        let next: Vec<_> = [0, 4, 64, 65, 129, 130, 192].map(|from| bits.next(from)).into();
        assert_eq!(next, [3, 63, 64, 129, 129, 3, 3].map(Some));
        bits.remove(129);
        assert_eq!(bits.next(65), Some(3));
    }

    #[test]
    fn words_are_taken_whole() {
        let mut bits = Bits::new(65);
        bits.insert_word(0, 0b101);
        bits.insert(64);
        assert_eq!(each_of(0, bits.take_word(0)).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(each_of(1, bits.take_word(1)).collect::<Vec<_>>(), [64]);
        assert!(bits.is_empty());
        assert_eq!(bits.next(0), None);
    }
}
