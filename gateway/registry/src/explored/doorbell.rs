//! Doorbells lose no wake-up.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::{Sleeper, UNBOUNDED, holds, is_found_out};
use crate::doorbell::Doorbell;
use crate::rules::{Rules, Sound};
use crate::sync::Arc;

/// Each ringer leaves a mark and rings; the worker sleeps whenever it misses some.
fn wait_for_all<R: Rules>(ringers: usize) {
    let doorbell = Arc::new(Doorbell::<R>::under_rules());
    // Relaxed: whether a mark is seen in time is the doorbell's matter.
    let marks: Vec<_> = (0..ringers).map(|_| Arc::new(AtomicU32::new(0))).collect();
    let ringing: Vec<_> = marks
        .iter()
        .map(|mark| {
            let (doorbell, mark) = (Arc::clone(&doorbell), Arc::clone(mark));
            thread::spawn(move || {
                mark.store(1, Ordering::Relaxed);
                doorbell.ring();
            })
        })
        .collect();
    let sleeper = Sleeper::new();
    loop {
        doorbell.awake();
        if marks.iter().all(|mark| mark.load(Ordering::Relaxed) == 1) {
            break;
        }
        if doorbell.sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
    ringing.into_iter().for_each(|ringer| ringer.join().unwrap());
}

#[derive(Debug)]
struct SleepsByLoadAndStore;

impl Rules for SleepsByLoadAndStore {
    const SLEEP_READS_AND_WRITES: bool = false;
}

#[derive(Debug)]
struct RingIsRelaxed;

impl Rules for RingIsRelaxed {
    const RING: Ordering = Ordering::Relaxed;
}

#[test]
fn one_ring_ends_the_sleep() {
    holds("doorbell, 1 ringer", UNBOUNDED, 50, || wait_for_all::<Sound>(1));
}

#[test]
fn the_last_of_two_rings_is_heard() {
    holds("doorbell, 2 ringers", Some(4), 20_000, || wait_for_all::<Sound>(2));
}

#[test]
fn twin_sleep_by_load_and_store_loses_a_ring() {
    is_found_out("doorbell, load and store", Some(3), "deadlock", || {
        wait_for_all::<SleepsByLoadAndStore>(1);
    });
}

#[test]
fn twin_a_relaxed_ring_wakes_too_early() {
    is_found_out("doorbell, ring relaxed", Some(3), "deadlock", || {
        wait_for_all::<RingIsRelaxed>(1);
    });
}
