//! What the room registry promises, on one thread and on several.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use super::*;

const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);

fn registry(serving: u16) -> RoomRegistry {
    let registry = RoomRegistry::new(7, 16, 8);
    (0..serving).for_each(|shard| registry.serve(ShardId(shard)));
    registry
}

fn name(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

#[test]
fn who_touches_a_room_first_is_its_home() {
    let registry = registry(2);
    let claim = registry.claim(0, b"a", SECOND);
    assert_eq!(claim, Claim { home: SECOND, term: 1, fresh: true });
    assert_eq!(registry.claim(0, b"a", FIRST), Claim { fresh: false, ..claim });
    assert_eq!(registry.find(0, b"a"), Some((SECOND, 1)));
    assert_eq!((registry.homes(FIRST), registry.homes(SECOND), registry.rooms()), (0, 1, 1));
}

#[test]
fn namespaces_and_names_are_told_apart() {
    let registry = registry(1);
    let rooms: [(u16, &[u8]); 4] = [(0, b""), (0, b"\0"), (1, b""), (256, b"")];
    for (place, (namespace, name)) in rooms.into_iter().enumerate() {
        assert_eq!(registry.claim(namespace, name, FIRST).term, place as u64 + 1);
    }
    assert_eq!(registry.find(256, b"\0"), None);
}

#[test]
fn a_term_is_never_given_twice() {
    let registry = registry(2);
    assert_eq!(registry.claim(0, b"a", FIRST).term, 1);
    assert!(registry.retire(0, b"a", FIRST, 1));
    assert_eq!(registry.find(0, b"a"), None);
    assert_eq!(registry.claim(0, b"a", FIRST), Claim { home: FIRST, term: 2, fresh: true });
    assert_eq!(registry.migrate(0, b"a", FIRST, 2, SECOND), Some(3));
    assert_eq!(registry.claim(0, b"b", FIRST).term, 4);
}

#[test]
fn only_the_home_under_its_term_retires_a_room() {
    let registry = registry(2);
    registry.claim(0, b"a", FIRST);
    assert!(!registry.retire(0, b"b", FIRST, 1));
    assert!(!registry.retire(0, b"a", SECOND, 1));
    assert!(!registry.retire(0, b"a", FIRST, 2));
    assert_eq!(registry.rooms(), 1);
    assert!(registry.retire(0, b"a", FIRST, 1));
    assert_eq!((registry.rooms(), registry.homes(FIRST)), (0, 0));
}

#[test]
fn a_room_migrates_once_for_each_term() {
    let registry = registry(2);
    registry.claim(0, b"a", FIRST);
    assert_eq!(registry.migrate(0, b"b", FIRST, 1, SECOND), None);
    assert_eq!(registry.migrate(0, b"a", SECOND, 1, FIRST), None);
    assert_eq!(registry.migrate(0, b"a", FIRST, 1, SECOND), Some(2));
    assert_eq!(registry.migrate(0, b"a", FIRST, 1, SECOND), None);
    assert_eq!(registry.find(0, b"a"), Some((SECOND, 2)));
    assert_eq!((registry.homes(FIRST), registry.homes(SECOND)), (0, 1));
}

#[test]
fn a_withdrawn_shard_keeps_its_rooms_and_gets_no_more() {
    let registry = registry(2);
    registry.claim(0, b"a", FIRST);
    registry.claim(0, b"b", SECOND);
    registry.withdraw(FIRST);
    assert_eq!(registry.claim(0, b"a", SECOND).home, FIRST);
    assert_eq!(registry.claim(0, b"c", FIRST).home, SECOND);
    assert_eq!(registry.migrate(0, b"b", SECOND, 2, FIRST), None);
    assert_eq!(registry.migrate(0, b"a", FIRST, 1, SECOND), Some(4));
    assert_eq!(registry.homes(FIRST), 0);
    registry.serve(FIRST);
    assert_eq!(registry.claim(0, b"d", FIRST).home, FIRST);
}

#[test]
fn without_serving_shards_the_toucher_is_home() {
    let registry = registry(0);
    assert_eq!(registry.claim(0, b"a", SECOND), Claim { home: SECOND, term: 1, fresh: true });
}

#[test]
fn one_client_that_joins_ten_thousand_rooms_does_not_own_them_all() {
    let registry = registry(4);
    (0..10_000).for_each(|room| {
        let homes = registry.homes(FIRST);
        let within = 8 * homes * 4 <= 9 * registry.rooms() + 8 * 64 * 4;
        let claim = registry.claim(0, &name(room), FIRST);
        assert!(!within || claim.home == FIRST, "within its share the toucher is home");
    });
    let homes: Vec<_> = (0..4).map(|shard| registry.homes(ShardId(shard))).collect();
    assert_eq!(homes.iter().sum::<u64>(), 10_000);
    assert!(homes.iter().all(|homes| (2_200..2_900).contains(homes)), "{homes:?}");
}

#[test]
fn beyond_its_share_names_decide_and_a_new_shard_takes_only_what_it_wins() {
    let drawn = |serving| {
        let registry = registry(serving);
        (0..1_000).map(|room| registry.choose(0, &name(room), ShardId(7))).collect::<Vec<_>>()
    };
    let (three, four) = (drawn(3), drawn(4));
    assert!(three.iter().zip(&four).all(|(old, new)| new == old || *new == ShardId(3)));
    let taken = four.iter().filter(|home| **home == ShardId(3)).count();
    assert!((150..350).contains(&taken), "a quarter of 1,000, not {taken}");
}

#[test]
fn a_seed_decides_where_names_go() {
    let homes = |seed| {
        let registry = RoomRegistry::new(seed, 1, 3);
        [FIRST, SECOND].into_iter().for_each(|shard| registry.serve(shard));
        (0..64).map(|room| registry.claim(0, &name(room), ShardId(2)).home).collect::<Vec<_>>()
    };
    assert_eq!(homes(1), homes(1));
    assert_ne!(homes(1), homes(2));
}

#[test]
fn retired_rooms_leave_nothing_behind() {
    let registry = registry(2);
    let capacity = || registry.stripes.iter().map(|stripe| lock(stripe).capacity()).sum::<usize>();
    let claims: Vec<_> = (0..100_000).map(|room| registry.claim(0, &name(room), FIRST)).collect();
    assert!(capacity() >= 100_000);
    for (room, claim) in (0..).zip(claims) {
        assert!(registry.retire(0, &name(room), claim.home, claim.term));
    }
    assert_eq!((registry.rooms(), registry.homes(FIRST), registry.homes(SECOND)), (0, 0, 0));
    assert!(capacity() <= 16 * SPARE, "{} entries in 16 stripes", capacity());
}

#[test]
fn stripes_are_used_evenly() {
    let registry = registry(2);
    (0..16_000).for_each(|room| assert!(registry.claim(0, &name(room), FIRST).fresh));
    let mut sizes = registry.stripes.iter().map(|stripe| lock(stripe).len());
    assert!(sizes.all(|size| (850..1_150).contains(&size)));
}

#[test]
fn threads_agree_on_homes_and_share_no_term() {
    let registry = Arc::new(registry(4));
    let threads: Vec<_> = (0..4)
        .map(|shard| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || come_and_go(&registry, ShardId(shard)))
        })
        .collect();
    let terms: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(terms.iter().collect::<BTreeSet<_>>().len(), terms.len(), "each term once");
    let left: u64 = (0..4).map(|shard| registry.homes(ShardId(shard))).sum();
    assert_eq!((registry.rooms(), left), (0, 0));
}

/// Claims and retires 16 rooms again and again; returns the terms that it retired.
fn come_and_go(registry: &RoomRegistry, shard: ShardId) -> Vec<u64> {
    let mut retired = Vec::new();
    for round in 0..20_000 {
        let room = name(round % 16);
        let claim = registry.claim(0, &room, shard);
        if registry.retire(0, &room, claim.home, claim.term) {
            retired.push(claim.term);
        }
    }
    retired
}
