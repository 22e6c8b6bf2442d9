//! Many shards whose connections come, move and go within few places.

use std::sync::atomic::Ordering;

use shuttle::sync::Arc;
use shuttle::sync::atomic::AtomicU64;
use shuttle::thread;

use super::{holds, is_found_out, twin};
use crate::census::{Capacity, Census, Mirror};
use crate::ids::ShardId;
use crate::rules::{Rules, Sound};

const SHARDS: u16 = 3;
const CAPACITY: Capacity = Capacity { total_max: 4, shard_max: 2 };

/// A cell for each shard and one for all together.
#[derive(Clone)]
struct Cells(Arc<Vec<AtomicU64>>);

impl Mirror for Cells {
    fn shards(&self) -> usize {
        self.0.len() - 1
    }

    fn shard(&self, index: usize) -> &AtomicU64 {
        &self.0[index]
    }

    fn total(&self) -> &AtomicU64 {
        &self.0[self.shards()]
    }
}

fn assert_within<R: Rules>(census: &Census<R>) {
    assert!(census.live() <= CAPACITY.total_max, "the node's limit is exceeded");
    let within = |shard| census.live_on(ShardId(shard)) <= CAPACITY.shard_max;
    assert!((0..SHARDS).all(within), "a shard's limit is exceeded");
}

/// A connection comes to each shard in turn, moves to the next one if it may, and goes; the last
/// one stays if it `stays`. Returns where.
fn come_and_go<R: Rules>(census: &Census<R>, first: u16, rounds: u16) -> Option<ShardId> {
    let mut at = None;
    for round in first..first + rounds {
        let (here, next) = (ShardId(round % SHARDS), ShardId((round + 1) % SHARDS));
        if let Some(at) = at.take() {
            census.release(at);
        }
        if census.reserve(here).is_ok() {
            at = Some(if census.moved(here, next).is_ok() { next } else { here });
        }
        assert_within(census);
    }
    at
}

fn churn<R: Rules>(threads: u16, rounds: u16) {
    let mirror = Cells(Arc::new((0..=SHARDS).map(|_| AtomicU64::new(0)).collect()));
    let census = Census::<R>::under_rules(CAPACITY, SHARDS.into()).mirrored(mirror.clone());
    let census = Arc::new(census);
    let churning: Vec<_> = (0..threads)
        .map(|first| {
            let census = Arc::clone(&census);
            thread::spawn(move || come_and_go(&census, first, rounds))
        })
        .collect();
    let left: Vec<_> = churning.into_iter().filter_map(|it| it.join().unwrap()).collect();
    let mut expected: Vec<_> =
        (0..SHARDS).map(|id| left.iter().filter(|at| at.0 == id).count() as u64).collect();
    let live = |id| u64::from(census.live_on(ShardId(id)));
    assert_eq!((0..SHARDS).map(live).collect::<Vec<_>>(), expected, "a place is lost");
    assert_eq!(census.live(), left.len() as u64);
    expected.push(census.live());
    let shown: Vec<_> = mirror.0.iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
    assert_eq!(shown, expected, "the mirror stays behind");
}

twin!(ChecksThenAdds: RESERVE_COMPARES = false);
twin!(MirrorsOnce: MIRROR_LOOKS_AGAIN = false);

#[test]
fn eight_threads_stay_within_every_limit() {
    holds("census, 8 threads", 1_000, || churn::<Sound>(8, 4));
}

#[test]
fn twin_check_then_add_exceeds_the_limit() {
    is_found_out("census, check then add", "limit is exceeded", || churn::<ChecksThenAdds>(8, 4));
}

#[test]
fn twin_mirrored_once_stays_behind() {
    is_found_out("census, mirrored once", "the mirror stays behind", || churn::<MirrorsOnce>(8, 2));
}
