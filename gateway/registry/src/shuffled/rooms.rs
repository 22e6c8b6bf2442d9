//! Four shards claim, retire and migrate the same rooms, while one of them comes and goes.

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::thread;

use super::{holds, is_found_out, twin};
use crate::ids::ShardId;
use crate::rooms::{Claim, RoomRegistry};
use crate::rules::{Rules, Sound};

const SHARDS: u16 = 4;
const ROOMS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// Terms that one shard began and ended.
#[derive(Default)]
struct Terms {
    begun: Vec<u64>,
    ended: Vec<u64>,
}

/// A shard touches rooms and now and then ends or ships what it knows, be that true or late.
fn live_in<R: Rules>(registry: &RoomRegistry<R>, me: ShardId, steps: u32) -> Terms {
    let mut random = thread_rng();
    let mut terms = Terms::default();
    for _ in 0..steps {
        let room = ROOMS[random.gen_range(0..ROOMS.len())];
        let Claim { home, term, fresh } = registry.claim(0, room, me);
        terms.begun.extend(fresh.then_some(term));
        let to = ShardId(random.gen_range(0..SHARDS));
        if random.gen_bool(0.5) {
            let ended = registry.retire(0, room, home, term);
            terms.ended.extend(ended.then_some(term));
        } else if let Some(next) = registry.migrate(0, room, home, term, to) {
            terms.ended.push(term);
            terms.begun.push(next);
        }
    }
    terms
}

/// What must be true of all terms once everyone is done.
fn assert_told_apart<R: Rules>(registry: &RoomRegistry<R>, all: Vec<Terms>) {
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for terms in all {
        begun.extend(terms.begun);
        ended.extend(terms.ended);
    }
    let found = ROOMS.iter().filter_map(|room| registry.find(0, room));
    let live: Vec<_> = found.map(|(_, term)| term).collect();
    ended.extend(&live);
    begun.sort_unstable();
    ended.sort_unstable();
    assert!(begun.is_sorted_by(|a, b| a < b), "two homes have one term: {begun:?}");
    assert_eq!(ended, begun, "a term ends once");
    let homes: u64 = (0..SHARDS).map(|shard| registry.homes(ShardId(shard))).sum();
    assert_eq!((homes, registry.rooms()), (live.len() as u64, live.len() as u64));
}

fn live_together<R: Rules>(steps: u32) {
    let registry = Arc::new(RoomRegistry::<R>::under_rules(7, 2, SHARDS.into()));
    (0..SHARDS).for_each(|shard| registry.serve(ShardId(shard)));
    let living: Vec<_> = (0..SHARDS)
        .map(|shard| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || live_in(&registry, ShardId(shard), steps))
        })
        .collect();
    // One comes and goes. While it is away the others' rooms have homes elsewhere.
    let last = ShardId(SHARDS - 1);
    registry.withdraw(last);
    let homes = registry.homes(last);
    thread::yield_now();
    assert!(registry.homes(last) <= homes, "it became home after it had withdrawn");
    registry.serve(last);
    let terms = living.into_iter().map(|shard| shard.join().unwrap()).collect();
    assert_told_apart(&registry, terms);
}

twin!(RetiresBlindly: RETIRE_COMPARES = false);
twin!(MigratesBlindly: MIGRATE_COMPARES = false);
twin!(WithdrawsAtOnce: WITHDRAW_WAITS = false);

#[test]
fn every_term_of_four_shards_ends_once() {
    holds("rooms, 4 shards", 1_500, || live_together::<Sound>(5));
}

#[test]
fn twin_retiring_blindly_ends_a_term_twice() {
    is_found_out("rooms, blind retirement", "a term ends once", || {
        live_together::<RetiresBlindly>(5);
    });
}

#[test]
fn twin_migrating_blindly_ends_a_term_twice() {
    is_found_out("rooms, blind migration", "a term ends once", || {
        live_together::<MigratesBlindly>(5);
    });
}

#[test]
fn twin_withdrawing_at_once_is_overtaken() {
    is_found_out("rooms, hasty withdrawal", "after it had withdrawn", || {
        live_together::<WithdrawsAtOnce>(5);
    });
}
