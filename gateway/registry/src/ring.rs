//! A bounded ring between one sender and one receiver.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use gateway_faults::{ENABLED, buggify};

use crate::padded::Padded;
use crate::rules::{Rules, Sound};
use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// A ring for `capacity` items. Items arrive in the order in which they were sent.
///
/// Slots are rounded up to a power of two; the bound is not. When both ends are gone, what was
/// not received is dropped.
///
/// # Panics
/// If the capacity is 0, or more than half of the address space can count.
#[must_use]
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    starting_at(0, capacity)
}

/// The end that sends. It may move between threads.
#[derive(Debug)]
pub struct Sender<T, R: Rules = Sound> {
    shared: Arc<Shared<T, R>>,
    /// Items sent so far; `Shared::tail` follows it.
    tail: usize,
    /// What was last seen of `Shared::head`: there is at least as much room as it says.
    head_seen: usize,
}

/// The end that receives. It may move between threads.
#[derive(Debug)]
pub struct Receiver<T, R: Rules = Sound> {
    shared: Arc<Shared<T, R>>,
    /// Items received so far; `Shared::head` follows it.
    head: usize,
    /// What was last seen of `Shared::tail`: there are at least as many items as it says.
    tail_seen: usize,
}

/// What shows from outside how much waits in a ring. It keeps neither the ring nor its items.
#[cfg(not(weir_loom))]
#[derive(Debug)]
pub(crate) struct Gauge<T, R: Rules>(std::sync::Weak<Shared<T, R>>);

#[cfg(not(weir_loom))]
impl<T, R: Rules> Gauge<T, R> {
    /// Items not yet received, at some moment of this call; none when both ends are gone.
    pub(crate) fn len(&self) -> usize {
        let Some(shared) = self.0.upgrade() else { return 0 };
        // The head first: what is then seen of the tail is no older, hence not behind it. But it
        // may be newer by any number of rounds.
        let head = shared.head.load(Ordering::Acquire);
        shared.tail.load(Ordering::Acquire).wrapping_sub(head).min(shared.capacity)
    }
}

/// What both ends see.
///
/// Counts run on and wrap around; a count's low bits are its slot. Always
/// `head <= tail <= head + capacity`. The slots from `head` to `tail` hold items and belong to
/// the receiver, the others are empty and belong to the sender: an end gives slots away by
/// storing its count with `Release`, and gets to know its own by loading the other's with
/// `Acquire`.
#[derive(Debug)]
struct Shared<T, R> {
    /// Items received so far. The receiver writes, the sender reads when it sees no room.
    head: Padded<AtomicUsize>,
    /// Items sent so far. The sender writes, the receiver reads when it sees no items.
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    capacity: usize,
    rules: PhantomData<R>,
}

// SAFETY: a slot is reached by the end it belongs to only, which `head` and `tail` decide; so an
// item is never reached by two threads at once, and moving it between threads needs `T: Send`.
unsafe impl<T: Send, R: Rules> Sync for Shared<T, R> {}

/// A ring under given rules, whose counts begin anywhere.
pub(crate) fn starting_at<T, R: Rules>(
    count: usize,
    capacity: usize,
) -> (Sender<T, R>, Receiver<T, R>) {
    assert!(capacity > 0, "a ring holds at least one item");
    assert!(capacity <= usize::MAX / 2, "counts of a ring must not lap each other");
    let slots = capacity.next_power_of_two();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(count)),
        tail: Padded(AtomicUsize::new(count)),
        slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        capacity,
        rules: PhantomData,
    });
    let receiver = Receiver { shared: Arc::clone(&shared), head: count, tail_seen: count };
    (Sender { shared, tail: count, head_seen: count }, receiver)
}

impl<T, R: Rules> Sender<T, R> {
    /// Sends an item.
    ///
    /// # Errors
    /// If the ring is full the item comes back.
    pub fn send(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            self.head_seen = self.shared.head.load(Ordering::Acquire);
            if self.is_full() {
                return Err(item);
            }
        }
        // Not an empty one: who was refused waits until something was received.
        if ENABLED && !self.is_empty() && buggify!(RingFull) {
            return Err(item);
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: the ring is not full, so this slot is the sender's, and `&mut self` makes
            // us the only sender. It is empty: whatever it held was received before the head
            // that was loaded with `Acquire` passed it.
            unsafe { slot.write(MaybeUninit::new(item)) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.store(self.tail, R::TAIL);
        Ok(())
    }

    /// Places for items, at this moment; the receiver can only add to them.
    #[must_use]
    pub fn free(&self) -> usize {
        self.shared.capacity - self.len()
    }

    /// Items not yet received, at this moment; the receiver can only take from them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Acquire))
    }

    /// Whether everything sent has been received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_full(&self) -> bool {
        self.tail.wrapping_sub(self.head_seen) == self.shared.capacity
    }
}

impl<T, R: Rules> Receiver<T, R> {
    /// What shows from outside how much waits.
    #[cfg(not(weir_loom))]
    pub(crate) fn gauge(&self) -> Gauge<T, R> {
        Gauge(Arc::downgrade(&self.shared))
    }

    /// The oldest item that was sent and not yet received.
    pub fn receive(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let item = self.shared.slot(self.head).with_mut(|slot| {
            // SAFETY: the slot is below the tail that was loaded with `Acquire`, so its item was
            // written before, and `&mut self` makes us the only receiver. The head then passes
            // it, so that it is not read again.
            unsafe { slot.read().assume_init() }
        });
        self.head = self.head.wrapping_add(1);
        self.shared.head.store(self.head, R::HEAD);
        Some(item)
    }

    /// Places for items, at this moment; the sender can only take from them.
    #[must_use]
    pub fn free(&self) -> usize {
        self.shared.capacity - self.len()
    }

    /// Items that can be received, at this moment; the sender can only add to them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether there is nothing to receive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, R> Shared<T, R> {
    fn slot(&self, count: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[count & (self.slots.len() - 1)]
    }
}

impl<T, R> Drop for Shared<T, R> {
    fn drop(&mut self) {
        // Both ends are gone, and the last one's `Arc` saw all that they did.
        let mut head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: slots from head to tail hold items, and nobody else is left to reach
                // them.
                unsafe { slot.read().assume_init() };
            });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_full_ring_gives_the_item_back() {
        let (mut sender, mut receiver) = ring(3);
        assert_eq!((1..=4).map(|n| sender.send(n)).collect::<Vec<_>>()[3], Err(4));
        assert_eq!((sender.free(), sender.len(), receiver.free(), receiver.len()), (0, 3, 0, 3));
        assert_eq!(receiver.receive(), Some(1));
        assert_eq!(sender.send(4), Ok(()));
        let rest: Vec<_> = std::iter::from_fn(|| receiver.receive()).collect();
        assert_eq!(rest, [2, 3, 4]);
        assert!(sender.is_empty() && receiver.is_empty());
    }

    #[test]
    fn counts_wrap_around() {
        for capacity in [1, 2, 3, 5] {
            let (mut sender, mut receiver) = starting_at::<_, Sound>(usize::MAX - 2, capacity);
            for round in 0..4 {
                (0..capacity).for_each(|n| sender.send(round * 10 + n).unwrap());
                assert_eq!(sender.send(99), Err(99));
                (0..capacity).for_each(|n| assert_eq!(receiver.receive(), Some(round * 10 + n)));
                assert_eq!(receiver.receive(), None);
            }
        }
    }

    #[test]
    fn what_was_not_received_is_dropped_once() {
        let item = Arc::new(());
        for sender_goes_first in [true, false] {
            let (mut sender, mut receiver) = ring(4);
            (0..4).for_each(|_| sender.send(Arc::clone(&item)).unwrap());
            assert!(receiver.receive().is_some());
            assert!(sender.send(Arc::clone(&item)).is_ok());
            assert_eq!(Arc::strong_count(&item), 5);
            if sender_goes_first {
                drop(sender);
                assert_eq!(receiver.receive().map(|item| Arc::strong_count(&item)), Some(5));
            } else {
                drop(receiver);
                assert_eq!(sender.send(Arc::clone(&item)).map_err(drop), Err(()));
            }
        }
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn items_without_size_are_counted() {
        let (mut sender, mut receiver) = ring(2);
        assert_eq!([sender.send(()), sender.send(()), sender.send(())], [Ok(()), Ok(()), Err(())]);
        let received = [receiver.receive(), receiver.receive(), receiver.receive()];
        assert_eq!(received, [Some(()), Some(()), None]);
    }

    #[test]
    #[should_panic(expected = "a ring holds at least one item")]
    fn a_ring_without_a_place_is_refused() {
        let _ = ring::<u8>(0);
    }

    #[test]
    fn a_hundred_thousand_items_pass_a_ring_of_two_between_threads() {
        const ITEMS: u64 = 100_000;
        let (mut sender, mut receiver) = ring(2);
        let sending = thread::spawn(move || {
            for number in 0..ITEMS {
                // Boxed, so that a slot read twice or never shows as a double free or a leak.
                let mut item = Box::new(number);
                while let Err(back) = sender.send(item) {
                    item = back;
                    thread::yield_now();
                }
            }
        });
        for number in 0..ITEMS {
            let item = loop {
                match receiver.receive() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(*item, number);
        }
        assert_eq!(receiver.receive(), None);
        sending.join().unwrap();
    }
}
