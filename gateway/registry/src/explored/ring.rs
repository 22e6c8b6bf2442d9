//! Rings lose, repeat and reorder nothing, and free what is left once.

use loom::sync::Arc;
use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::ring::{Receiver, Sender, starting_at};
use crate::rules::{Rules, Sound};
use crate::sync::Ordering;

/// Boxed numbers pass from a thread to this one.
fn pass<R: Rules>(capacity: usize, items: u32) {
    let (sender, mut receiver) = starting_at::<_, R>(usize::MAX, capacity);
    let sending = thread::spawn(move || send(sender, items));
    (0..items).for_each(|number| assert_eq!(*receive(&mut receiver), number));
    assert!(receiver.receive().is_none());
    sending.join().unwrap();
}

fn send<R: Rules>(mut sender: Sender<Box<u32>, R>, items: u32) {
    for number in 0..items {
        let mut item = Box::new(number);
        while let Err(back) = sender.send(item) {
            item = back;
            thread::yield_now();
        }
    }
}

fn receive<R: Rules>(receiver: &mut Receiver<Box<u32>, R>) -> Box<u32> {
    loop {
        match receiver.receive() {
            Some(item) => return item,
            None => thread::yield_now(),
        }
    }
}

/// Loom counts the references: one too many is a leak, one too few a double drop.
fn drop_both_ends<R: Rules>() {
    let item = Arc::new(());
    let (mut sender, mut receiver) = starting_at::<_, R>(0, 2);
    let another = Arc::clone(&item);
    let sending = thread::spawn(move || {
        (0..2).for_each(|_| sender.send(Arc::clone(&another)).unwrap());
    });
    drop(receiver.receive());
    drop(receiver);
    sending.join().unwrap();
    assert_eq!(Arc::strong_count(&item), 1);
}

#[derive(Debug)]
struct TailIsRelaxed;

impl Rules for TailIsRelaxed {
    const TAIL: Ordering = Ordering::Relaxed;
}

#[derive(Debug)]
struct HeadIsRelaxed;

impl Rules for HeadIsRelaxed {
    const HEAD: Ordering = Ordering::Relaxed;
}

#[test]
fn the_smallest_ring_passes_everything() {
    holds("ring of 1, 2 items", UNBOUNDED, 300, || pass::<Sound>(1, 2));
}

#[test]
fn a_ring_that_fills_passes_everything() {
    holds("ring of 2, 3 items", Some(4), 2_000, || pass::<Sound>(2, 3));
}

#[test]
fn what_is_left_is_dropped_once() {
    holds("ring of 2, dropped", UNBOUNDED, 50, drop_both_ends::<Sound>);
}

#[test]
fn twin_a_relaxed_tail_shows_garbage() {
    is_found_out("ring, tail relaxed", Some(3), "Causality violation", || {
        pass::<TailIsRelaxed>(1, 2);
    });
}

#[test]
fn twin_a_relaxed_head_lets_items_be_overwritten() {
    is_found_out("ring, head relaxed", Some(3), "Causality violation", || {
        pass::<HeadIsRelaxed>(1, 2);
    });
}
