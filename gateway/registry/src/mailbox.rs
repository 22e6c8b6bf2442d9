//! A bounded mailbox: anybody posts, one consumer takes and never waits.

use std::collections::VecDeque;

use gateway_faults::buggify;

use crate::doorbell::Doorbell;
use crate::padded::Padded;
use crate::rules::{Rules, Sound};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering, lock, try_lock};

/// Where those who are not workers leave items for a shard: library handles, admin, engines.
///
/// Posting locks, and may wait for others who post. The consumer only tries to lock: while
/// somebody posts it takes nothing, and is rung for afterwards. Items of one poster stay in
/// order. What is left is dropped with the mailbox.
#[derive(Debug)]
pub struct Mailbox<T, R: Rules = Sound> {
    queue: Mutex<VecDeque<T>>,
    /// Items in the queue. Written by who holds the lock; the consumer reads it without, so that
    /// an empty mailbox costs it one load.
    waiting: Padded<AtomicUsize>,
    capacity: usize,
    doorbell: Arc<Doorbell<R>>,
}

impl<T> Mailbox<T> {
    /// An empty mailbox for `capacity` items, whose consumer is woken by this doorbell. Memory
    /// for items grows with what ever waited together, and is kept.
    ///
    /// # Panics
    /// If the capacity is 0.
    #[must_use]
    pub fn new(capacity: usize, doorbell: Arc<Doorbell>) -> Self {
        Self::under_rules(capacity, doorbell)
    }
}

impl<T, R: Rules> Mailbox<T, R> {
    pub(crate) fn under_rules(capacity: usize, doorbell: Arc<Doorbell<R>>) -> Self {
        assert!(capacity > 0, "a mailbox holds at least one item");
        let queue = Mutex::new(VecDeque::new());
        Self { queue, waiting: Padded(AtomicUsize::new(0)), capacity, doorbell }
    }

    /// Posts an item and rings.
    ///
    /// # Errors
    /// If the mailbox is full the item comes back.
    pub fn post(&self, item: T) -> Result<(), T> {
        let mut queue = lock(&self.queue);
        let posted = self.push(&mut queue, item);
        if !R::POST_UNLOCKS_FIRST {
            self.doorbell.ring();
            return posted;
        }
        drop(queue);
        // Also if it was full: the consumer may have come while we held the lock, taken nothing,
        // and rely on us.
        if posted.is_ok() || R::REFUSED_RINGS {
            self.doorbell.ring();
        }
        posted
    }

    fn push(&self, queue: &mut VecDeque<T>, item: T) -> Result<(), T> {
        let few = !queue.is_empty() && buggify!(MailboxFull);
        if self.len() == self.capacity || few {
            return Err(item);
        }
        queue.push_back(item);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The oldest item, for the one consumer. None also while somebody posts, who then rings.
    pub fn take(&self) -> Option<T> {
        let mut item = None;
        self.drain(1, |taken| item = Some(taken));
        item
    }

    /// Moves up to `max` of the oldest items to the end of `out`, for the one consumer; returns
    /// how many. None also while somebody posts, who then rings.
    pub fn drain_into(&self, out: &mut Vec<T>, max: usize) -> usize {
        self.drain(max, |item| out.push(item))
    }

    /// Items that wait. Without the lock, true for some moment since the consumer was last awake.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nothing waits, as [`len`](Self::len).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn drain(&self, max: usize, each: impl FnMut(T)) -> usize {
        // Who posted before the doorbell rang is seen here: `awake` came in between.
        if self.is_empty() {
            return 0;
        }
        let Some(mut queue) = try_lock(&self.queue) else {
            return 0;
        };
        let count = max.min(queue.len());
        queue.drain(..count).for_each(each);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        count
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use std::task::Waker;
    use std::thread;

    use super::*;

    fn mailbox<T>(capacity: usize) -> Mailbox<T> {
        Mailbox::new(capacity, Arc::new(Doorbell::new()))
    }

    #[test]
    fn a_full_mailbox_gives_the_item_back() {
        let mailbox = mailbox(2);
        assert_eq!([1, 2, 3].map(|n| mailbox.post(n)), [Ok(()), Ok(()), Err(3)]);
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.post(3), Ok(()));
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some(2), Some(3), None]);
        assert!(mailbox.is_empty());
    }

    #[test]
    fn no_more_is_drained_than_asked_for() {
        let mailbox = mailbox(9);
        (0..5).for_each(|n| mailbox.post(n).unwrap());
        let mut out = vec![9];
        assert_eq!((mailbox.drain_into(&mut out, 3), mailbox.len()), (3, 2));
        assert_eq!((mailbox.drain_into(&mut out, 3), mailbox.len()), (2, 0));
        assert_eq!(mailbox.drain_into(&mut out, 3), 0);
        assert_eq!(out, [9, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_post_rings_also_if_it_is_refused() {
        let doorbell = Arc::new(Doorbell::new());
        let mailbox = Mailbox::new(1, Arc::clone(&doorbell));
        for expected in [Ok(()), Err(7)] {
            doorbell.awake();
            assert_eq!(mailbox.post(7), expected);
            assert!(!doorbell.sleep(Waker::noop()));
        }
    }

    #[test]
    fn the_consumer_does_not_wait_for_who_posts() {
        let mailbox = mailbox(1);
        mailbox.post(1).unwrap();
        let posting = lock(&mailbox.queue);
        assert_eq!(mailbox.take(), None);
        drop(posting);
        assert_eq!(mailbox.take(), Some(1));
    }

    #[test]
    fn items_of_each_poster_arrive_once_and_in_order() {
        const ITEMS: u32 = 20_000;
        let mailbox = Arc::new(mailbox(8));
        let posters: Vec<_> = (0..3)
            .map(|poster| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    for number in 0..ITEMS {
                        while mailbox.post((poster, number)).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; 3];
        let mut taken = Vec::new();
        while next != [ITEMS; 3] {
            if mailbox.drain_into(&mut taken, 5) == 0 {
                thread::yield_now();
            }
            for (poster, number) in taken.drain(..) {
                assert_eq!(number, next[poster]);
                next[poster] += 1;
            }
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert_eq!(mailbox.take(), None);
    }
}
