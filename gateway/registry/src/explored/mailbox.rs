//! Mailboxes lose no item and no wake-up, though their consumer never waits for a lock. More than
//! two posters are a matter of `shuffled`: three have millions of interleavings.

use loom::thread;

use super::{Sleeper, UNBOUNDED, holds, is_found_out};
use crate::doorbell::Doorbell;
use crate::mailbox::Mailbox;
use crate::rules::{Rules, Sound};
use crate::sync::Arc;

/// Each poster posts one item; the consumer sleeps until it has `wanted`, then counts the rest.
fn post_and_take<R: Rules>(posters: u32, capacity: usize, wanted: usize) {
    let doorbell = Arc::new(Doorbell::<R>::under_rules());
    let mailbox = Arc::new(Mailbox::under_rules(capacity, Arc::clone(&doorbell)));
    let posting: Vec<_> = (0..posters)
        .map(|poster| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.post(Box::new(poster)).is_ok())
        })
        .collect();
    let sleeper = Sleeper::new();
    let mut taken = Vec::new();
    loop {
        doorbell.awake();
        mailbox.drain_into(&mut taken, capacity);
        if taken.len() >= wanted {
            break;
        }
        if doorbell.sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
    let accepted: Vec<_> = posting.into_iter().map(|poster| poster.join().unwrap()).collect();
    mailbox.drain_into(&mut taken, capacity);
    taken.sort_unstable();
    let expected = (0..).zip(accepted).filter(|(_, accepted)| *accepted);
    assert_eq!(taken, expected.map(|(poster, _)| Box::new(poster)).collect::<Vec<_>>());
}

#[derive(Debug)]
struct RingsWithTheLock;

impl Rules for RingsWithTheLock {
    const POST_UNLOCKS_FIRST: bool = false;
}

#[derive(Debug)]
struct RefusedDoesNotRing;

impl Rules for RefusedDoesNotRing {
    const REFUSED_RINGS: bool = false;
}

#[test]
fn one_item_arrives() {
    holds("mailbox, 1 poster", UNBOUNDED, 100, || post_and_take::<Sound>(1, 1, 1));
}

#[test]
fn items_of_two_posters_arrive() {
    holds("mailbox, 2 posters", Some(3), 10_000, || post_and_take::<Sound>(2, 2, 2));
}

#[test]
fn a_full_mailbox_refuses_and_wakes_nonetheless() {
    holds("mailbox, full", Some(3), 5_000, || post_and_take::<Sound>(2, 1, 1));
}

#[test]
fn twin_a_ring_with_the_lock_is_in_vain() {
    is_found_out("mailbox, rings with the lock", Some(3), "deadlock", || {
        post_and_take::<RingsWithTheLock>(1, 1, 1);
    });
}

#[test]
fn twin_a_silent_refusal_hides_an_item() {
    is_found_out("mailbox, refused in silence", Some(3), "deadlock", || {
        post_and_take::<RefusedDoesNotRing>(2, 1, 1);
    });
}
