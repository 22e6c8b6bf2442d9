//! A node is over when nobody is served, and stays so.

use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::census::{Capacity, Census};
use crate::ending::Ending;
use crate::ids::ShardId;
use crate::rules::{Rules, Sound};
use crate::sync::{Arc, Ordering};

/// Each worker accepts somebody, drains, and lets go of who it serves; somebody looks on.
fn drain<R: Rules>(workers: u16) {
    let capacity = Capacity { total_max: 9, shard_max: 9 };
    let census = Census::<R>::under_rules(capacity, workers.into());
    let node = Arc::new((census, Ending::<R>::under_rules(workers.into())));
    let draining: Vec<_> = (0..workers)
        .map(|worker| {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                let (census, ending) = &*node;
                census.reserve(ShardId(worker)).unwrap();
                ending.has_drained();
                // Whoever is told that the node is over ends, this one among them.
                assert!(!ending.is_over(census), "it is over while somebody is served");
                census.release(ShardId(worker));
            })
        })
        .collect();
    let (census, ending) = &*node;
    if ending.is_over(census) {
        assert_eq!(census.live(), 0);
    }
    draining.into_iter().for_each(|worker| worker.join().unwrap());
    assert!(ending.is_over(census) && !ending.has_ended());
}

/// One worker serves somebody for ever; another, which serves nobody, looks on.
fn look_on<R: Rules>() {
    let census = Census::<R>::under_rules(Capacity { total_max: 9, shard_max: 9 }, 2);
    let node = Arc::new((census, Ending::<R>::under_rules(2)));
    let other = Arc::clone(&node);
    let serving = thread::spawn(move || {
        let (census, ending) = &*other;
        census.reserve(ShardId(0)).unwrap();
        ending.has_drained();
    });
    let (census, ending) = &*node;
    ending.has_drained();
    assert!(!ending.is_over(census), "it is over while somebody is served");
    serving.join().unwrap();
    assert!(!ending.is_over(census));
}

#[derive(Debug)]
struct DrainsRelaxed;

impl Rules for DrainsRelaxed {
    const DRAINED: Ordering = Ordering::Relaxed;
}

#[test]
fn a_node_is_not_over_while_somebody_is_served() {
    holds("ending, looking on", UNBOUNDED, 10, look_on::<Sound>);
}

#[test]
fn a_node_whose_workers_have_drained_is_over() {
    holds("ending, 2 workers", Some(3), 5_000, || drain::<Sound>(2));
}

#[test]
fn twin_a_relaxed_drain_ends_a_node_that_serves() {
    is_found_out(
        "ending, drained relaxed",
        Some(3),
        "somebody is served",
        look_on::<DrainsRelaxed>,
    );
}
