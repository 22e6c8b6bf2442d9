//! Many posters, and one consumer that sleeps.

use shuttle::sync::Arc;
use shuttle::thread;

use super::{Sleeper, holds, is_found_out, twin};
use crate::doorbell::Doorbell;
use crate::mailbox::Mailbox;
use crate::rules::{Rules, Sound};

/// Each poster posts its items in order; if it `insists`, each until the mailbox takes it. The
/// consumer takes until it has `wanted`.
fn post_and_take<R: Rules>(posters: usize, items: u32, capacity: usize, wanted: usize) {
    let insists = wanted == posters * items as usize;
    let doorbell = Arc::new(Doorbell::<R>::under_rules());
    let mailbox = Arc::new(Mailbox::under_rules(capacity, Arc::clone(&doorbell)));
    let posting: Vec<_> = (0..posters)
        .map(|poster| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for number in 0..items {
                    while mailbox.post((poster, number)).is_err() && insists {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let sleeper = Sleeper::new();
    let mut taken = Vec::new();
    loop {
        doorbell.awake();
        let took = mailbox.drain_into(&mut taken, 3);
        if taken.len() >= wanted {
            break;
        }
        if took == 0 && doorbell.sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
    posting.into_iter().for_each(|poster| poster.join().unwrap());
    for poster in 0..posters {
        let numbers: Vec<_> = taken.iter().filter(|it| it.0 == poster).map(|it| it.1).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "repeated or reordered: {numbers:?}");
        assert!(!insists || numbers.len() == items as usize, "lost: {numbers:?}");
    }
}

twin!(RingsWithTheLock: POST_UNLOCKS_FIRST = false);
twin!(RefusedDoesNotRing: REFUSED_RINGS = false);
twin!(SleepsByLoadAndStore: SLEEP_READS_AND_WRITES = false);

pub(super) fn twin_that_rings_with_the_lock() {
    post_and_take::<RingsWithTheLock>(6, 2, 12, 12);
}

#[test]
fn six_posters_lose_nothing_in_a_small_mailbox() {
    holds("mailbox, 6 posters", 1_000, || post_and_take::<Sound>(6, 3, 4, 18));
}

#[test]
fn six_posters_that_are_refused_wake_nonetheless() {
    holds("mailbox, 6 posters refused", 2_000, || post_and_take::<Sound>(6, 1, 1, 1));
}

#[test]
fn twin_a_ring_with_the_lock_is_in_vain() {
    is_found_out("mailbox, rings with the lock", "deadlock", twin_that_rings_with_the_lock);
}

#[test]
fn twin_a_silent_refusal_hides_an_item() {
    is_found_out("mailbox, refused in silence", "deadlock", || {
        post_and_take::<RefusedDoesNotRing>(6, 1, 1, 1);
    });
}

#[test]
fn twin_sleep_by_load_and_store_loses_a_ring() {
    is_found_out("mailbox, load and store", "deadlock", || {
        post_and_take::<SleepsByLoadAndStore>(6, 2, 12, 12);
    });
}
