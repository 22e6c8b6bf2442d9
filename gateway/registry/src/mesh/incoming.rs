//! One class of a worker's incoming rings, received from in turn.

use crate::bits::Bits;
use crate::ids::WorkerId;
use crate::ring::Receiver;
use crate::rules::Rules;

#[derive(Debug)]
pub(super) struct Incoming<T, R: Rules> {
    /// By sender; none from who never sent anything of this class.
    rings: Box<[Option<Receiver<T, R>>]>,
    /// Senders whose ring may hold something.
    expected: Bits,
    /// Who is received from first: the one behind the last.
    first: usize,
}

impl<T, R: Rules> Incoming<T, R> {
    pub(super) fn new(workers: usize) -> Self {
        let rings = (0..workers).map(|_| None).collect();
        Self { rings, expected: Bits::new(workers), first: 0 }
    }

    pub(super) fn connect(&mut self, from: WorkerId, ring: Receiver<T, R>) {
        let before = self.rings[from.index()].replace(ring);
        assert!(before.is_none(), "a sender opens one ring of each class");
    }

    /// These senders of a word of bits may have sent something.
    pub(super) fn expect(&mut self, word: usize, senders: u64) {
        self.expected.insert_word(word, senders);
    }

    /// Whether all that was sent before the last look has been received.
    pub(super) fn is_done(&self) -> bool {
        self.expected.is_empty()
    }

    /// Receives up to `max` items; returns how many, and in `heard` from whom.
    pub(super) fn receive(
        &mut self,
        max: usize,
        heard: &mut Bits,
        mut each: impl FnMut(WorkerId, T),
    ) -> usize {
        let mut left = max;
        while left > 0 {
            let Some(from) = self.expected.next(self.first) else {
                break;
            };
            let before = left;
            self.receive_from(from, &mut left, &mut each);
            if left < before {
                heard.insert(from);
            }
            self.first = (from + 1) % self.rings.len();
        }
        max - left
    }

    fn receive_from(&mut self, from: usize, left: &mut usize, each: &mut impl FnMut(WorkerId, T)) {
        let id = WorkerId(u16::try_from(from).expect("each worker has an id"));
        while *left > 0 {
            let Some(item) = self.rings[from].as_mut().and_then(Receiver::receive) else {
                self.expected.remove(from);
                return;
            };
            *left -= 1;
            each(id, item);
        }
    }
}
