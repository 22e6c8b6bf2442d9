//! No more waits than may, and of an item's copies one is carried out.

use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::load::{Bounds, Load};
use crate::rules::{Rules, Sound};
use crate::sync::Arc;

/// Two items of so many bytes come at once. Ten bytes may wait.
fn weigh_together<R: Rules>(items_max: usize, bytes: [usize; 2]) {
    let load = Arc::new(Load::<R>::under_rules(Bounds { items_max, bytes_max: 10 }));
    let weighing = bytes.map(|bytes| {
        let load = Arc::clone(&load);
        thread::spawn(move || Load::weigh(&load, bytes))
    });
    let weights = weighing.map(|weighing| weighing.join().unwrap());
    let fitting: usize =
        weights.iter().zip(bytes).filter_map(|(it, n)| it.as_ref().map(|_| n)).sum();
    let items = weights.iter().flatten().count();
    assert!(items <= items_max && (fitting <= 10 || items == 1), "more waits than may");
    assert_eq!(load.waiting(), (items, fitting));
    drop(weights);
    assert_eq!(load.waiting(), (0, 0));
}

/// One is done while another comes; whoever fits alone finds room afterwards.
fn make_room() {
    let load = Arc::new(Load::<Sound>::under_rules(Bounds { items_max: 1, bytes_max: 10 }));
    let first = Load::weigh(&load, 99).expect("nothing waits");
    let other = Arc::clone(&load);
    let weighing = thread::spawn(move || Load::weigh(&other, 10).is_some());
    drop(first);
    // Gone again, if it came in.
    let came = weighing.join().unwrap();
    assert_eq!(load.waiting(), (0, 0), "came in: {came}");
    assert!(Load::weigh(&load, 10).is_some());
}

/// Two workers have a copy each of one item.
fn begin_together<R: Rules>() {
    let load = Arc::new(Load::<R>::under_rules(Bounds { items_max: 1, bytes_max: 1 }));
    let weight = Arc::new(Load::weigh(&load, 1).expect("nothing waits"));
    let copies = [(); 2].map(|()| Arc::clone(&weight));
    let doing = copies.map(|copy| thread::spawn(move || copy.begin()));
    let done = doing.map(|doing| doing.join().unwrap());
    assert!(done[0] != done[1], "both were carried out, or none: {done:?}");
    assert_eq!(load.waiting(), (1, 1));
    drop(weight);
    assert_eq!(load.waiting(), (0, 0));
}

#[derive(Debug)]
struct ComparesFirst;

impl Rules for ComparesFirst {
    const WEIGHT_ADDS_FIRST: bool = false;
}

#[derive(Debug)]
struct BeginsByLoadAndStore;

impl Rules for BeginsByLoadAndStore {
    const BEGIN_READS_AND_WRITES: bool = false;
}

#[test]
fn two_items_share_the_bytes() {
    holds("load, bytes", UNBOUNDED, 100, || weigh_together::<Sound>(2, [6, 5]));
}

#[test]
fn two_items_find_one_place() {
    holds("load, items", UNBOUNDED, 100, || weigh_together::<Sound>(1, [1, 1]));
}

#[test]
fn a_large_one_goes_alone() {
    holds("load, large", UNBOUNDED, 100, || weigh_together::<Sound>(2, [99, 1]));
}

#[test]
fn what_is_done_makes_room() {
    holds("load, making room", UNBOUNDED, 100, make_room);
}

#[test]
fn one_of_two_copies_is_carried_out() {
    holds("load, copies", UNBOUNDED, 20, begin_together::<Sound>);
}

#[test]
fn twin_comparing_first_lets_two_in() {
    is_found_out("load, compares first", Some(3), "more waits than may", || {
        weigh_together::<ComparesFirst>(1, [1, 1]);
    });
}

#[test]
fn twin_beginning_by_load_and_store_does_both() {
    is_found_out(
        "load, load and store",
        Some(3),
        "both were carried out",
        begin_together::<BeginsByLoadAndStore>,
    );
}
