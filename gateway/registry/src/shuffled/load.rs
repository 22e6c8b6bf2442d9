//! Many who have something done within small bounds.

use std::sync::atomic::Ordering;

use shuttle::sync::Arc;
use shuttle::sync::atomic::AtomicU64;
use shuttle::thread;

use super::{holds, is_found_out, twin};
use crate::load::{Bounds, Load};
use crate::rules::{Rules, Sound};

const BOUNDS: Bounds = Bounds { items_max: 3, bytes_max: 10 };

/// Each weighs items of several sizes. What they hold is counted apart from the load: items in the
/// upper half of a word, so that both are counted at once.
fn weigh<R: Rules>(threads: u64) {
    let load = Arc::new(Load::<R>::under_rules(BOUNDS));
    let held = Arc::new(AtomicU64::new(0));
    let weighing: Vec<_> = (1..=threads)
        .map(|first| {
            let (load, held) = (Arc::clone(&load), Arc::clone(&held));
            thread::spawn(move || [first, 3, 11].into_iter().for_each(|it| hold(&load, &held, it)))
        })
        .collect();
    weighing.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(load.waiting(), (0, 0));
}

fn hold<R: Rules>(load: &Arc<Load<R>>, held: &AtomicU64, bytes: u64) {
    let Some(weight) = Load::weigh(load, bytes as usize) else { return };
    let one = 1 << 32 | bytes;
    let all = held.fetch_add(one, Ordering::Relaxed) + one;
    let (items, bytes) = (all >> 32, all & u64::from(u32::MAX));
    assert!(items <= 3 && (bytes <= 10 || items == 1), "more waits than may: {items}, {bytes}");
    held.fetch_sub(one, Ordering::Relaxed);
    drop(weight);
}

twin!(ComparesFirst: WEIGHT_ADDS_FIRST = false);

#[test]
fn six_threads_stay_within_both_bounds() {
    holds("load, 6 threads", 1_500, || weigh::<Sound>(6));
}

#[test]
fn twin_comparing_first_lets_too_much_in() {
    is_found_out("load, compares first", "more waits than may", || weigh::<ComparesFirst>(6));
}
