//! The census exceeds no limit and counts right, and its mirror converges.

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::census::{Capacity, Census, Mirror};
use crate::ids::ShardId;
use crate::rules::{Rules, Sound};
use crate::sync::Arc;

const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);

fn census<R: Rules>(total_max: u64, shard_max: u32) -> Arc<Census<R>> {
    Arc::new(Census::under_rules(Capacity { total_max, shard_max }, 2))
}

fn assert_within<R: Rules>(census: &Census<R>) {
    let Capacity { total_max, shard_max } = census.capacity();
    assert!(census.live() <= total_max, "the node's limit is exceeded");
    let within = [FIRST, SECOND].map(|shard| census.live_on(shard) <= shard_max);
    assert_eq!(within, [true; 2], "a shard's limit is exceeded");
}

/// Two want the last place, while a third looks.
fn reserve_the_last<R: Rules>(total_max: u64, shards: [ShardId; 2]) {
    let census = census::<R>(total_max, 1);
    let reserving = shards.map(|shard| {
        let census = Arc::clone(&census);
        thread::spawn(move || census.reserve(shard).is_ok())
    });
    assert_within(&census);
    let got = reserving.map(|reserving| reserving.join().unwrap());
    assert!(got[0] != got[1], "one place goes to one of two, not to {got:?}");
    assert_eq!(census.live(), 1);
    let held = [FIRST, SECOND].map(|shard| u64::from(census.live_on(shard)));
    assert_eq!(held.iter().sum::<u64>(), 1);
    assert_within(&census);
}

/// A connection moves to a place that somebody else wants too; the node stays full.
fn move_to_the_last() {
    let census = census::<Sound>(2, 1);
    census.reserve(FIRST).unwrap();
    let other = Arc::clone(&census);
    let reserving = thread::spawn(move || other.reserve(SECOND).is_ok());
    let moved = census.moved(FIRST, SECOND).is_ok();
    assert_within(&census);
    assert!(reserving.join().unwrap() != moved, "one place goes to one of two");
    assert_eq!(census.live(), if moved { 1 } else { 2 });
    assert_eq!(census.live_on(FIRST), u32::from(!moved));
    assert_eq!(census.live_on(SECOND), 1);
}

/// Cells of two shards and of both together.
#[derive(Clone)]
struct Cells(std::sync::Arc<[AtomicU64; 3]>);

impl Mirror for Cells {
    fn shards(&self) -> usize {
        2
    }

    fn shard(&self, index: usize) -> &AtomicU64 {
        &self.0[index]
    }

    fn total(&self) -> &AtomicU64 {
        &self.0[2]
    }
}

/// One comes, another goes.
fn mirror_both<R: Rules>() {
    let mirror = Cells(std::sync::Arc::new([0; 3].map(AtomicU64::new)));
    let capacity = Capacity { total_max: 9, shard_max: 9 };
    let census = Census::<R>::under_rules(capacity, 2).mirrored(mirror.clone());
    let census = Arc::new(census);
    census.reserve(FIRST).unwrap();
    let other = Arc::clone(&census);
    let reserving = thread::spawn(move || {
        other.reserve(FIRST).unwrap();
        other.reserve(FIRST).unwrap();
    });
    census.release(FIRST);
    reserving.join().unwrap();
    assert_eq!(census.live_on(FIRST), 2);
    let shown = [0, 2].map(|cell: usize| mirror.0[cell].load(Ordering::Relaxed));
    assert_eq!(shown, [2, 2], "the mirror stays behind");
}

/// A connection moves to where another one comes and goes, in a full node.
fn mirror_moves<R: Rules>() {
    let mirror = Cells(std::sync::Arc::new([0; 3].map(AtomicU64::new)));
    let capacity = Capacity { total_max: 2, shard_max: 1 };
    let census = Arc::new(Census::<R>::under_rules(capacity, 2).mirrored(mirror.clone()));
    census.reserve(FIRST).unwrap();
    let other = Arc::clone(&census);
    let coming = thread::spawn(move || {
        let came = other.reserve(SECOND).is_ok();
        if came {
            other.release(SECOND);
        }
        came
    });
    let moved = census.moved(FIRST, SECOND).is_ok();
    assert_within(&census);
    let came = coming.join().unwrap();
    assert!(moved || came, "the place went to nobody");
    let expected = if moved { [0, 1, 1] } else { [1, 0, 1] };
    let held = [FIRST, SECOND].map(|shard| u64::from(census.live_on(shard)));
    assert_eq!([held[0], held[1], census.live()], expected);
    let shown = [0, 1, 2].map(|cell: usize| mirror.0[cell].load(Ordering::Relaxed));
    assert_eq!(shown, expected, "the mirror stays behind");
}

#[derive(Debug)]
struct ChecksThenAdds;

impl Rules for ChecksThenAdds {
    const RESERVE_COMPARES: bool = false;
}

#[derive(Debug)]
struct MirrorsOnce;

impl Rules for MirrorsOnce {
    const MIRROR_LOOKS_AGAIN: bool = false;
}

#[test]
fn the_last_place_of_the_node_goes_to_one() {
    holds("census, node", UNBOUNDED, 80, || reserve_the_last::<Sound>(1, [FIRST, SECOND]));
}

#[test]
fn the_last_place_of_a_shard_goes_to_one() {
    holds("census, shard", UNBOUNDED, 400, || reserve_the_last::<Sound>(2, [FIRST, FIRST]));
}

#[test]
fn a_move_competes_with_a_newcomer() {
    holds("census, move", UNBOUNDED, 40, move_to_the_last);
}

#[test]
fn a_mirror_converges() {
    holds("census, mirror", UNBOUNDED, 5_000, mirror_both::<Sound>);
}

#[test]
fn a_mirror_follows_moves_and_places_given_back() {
    holds("census, mirrored move", UNBOUNDED, 100, mirror_moves::<Sound>);
}

#[test]
fn twin_check_then_add_exceeds_the_limit() {
    is_found_out("census, check then add", Some(3), "one place goes to one of two", || {
        reserve_the_last::<ChecksThenAdds>(1, [FIRST, SECOND]);
    });
}

#[test]
fn twin_mirrored_once_stays_behind() {
    is_found_out(
        "census, mirrored once",
        Some(3),
        "the mirror stays behind",
        mirror_both::<MirrorsOnce>,
    );
}

#[test]
fn twin_mirrored_once_stays_behind_a_move() {
    is_found_out(
        "census, move mirrored once",
        Some(3),
        "the mirror stays behind",
        mirror_moves::<MirrorsOnce>,
    );
}
