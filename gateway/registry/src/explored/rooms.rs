//! A room has one home, and each home a term of its own.

use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::ids::ShardId;
use crate::rooms::RoomRegistry;
use crate::rules::{Rules, Sound};
use crate::sync::Arc;

const ROOM: &[u8] = b"a";
const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);
const THIRD: ShardId = ShardId(2);

fn registry<R: Rules>(shards: usize) -> Arc<RoomRegistry<R>> {
    let registry = RoomRegistry::under_rules(7, 1, shards);
    [FIRST, SECOND, THIRD].into_iter().take(shards).for_each(|shard| registry.serve(shard));
    Arc::new(registry)
}

/// All shards touch a room at once.
fn claim_together(shards: usize) {
    let registry = registry::<Sound>(shards);
    let claiming: Vec<_> = [SECOND, THIRD]
        .into_iter()
        .take(shards - 1)
        .map(|shard| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || registry.claim(0, ROOM, shard))
        })
        .collect();
    let mut claims = vec![registry.claim(0, ROOM, FIRST)];
    claims.extend(claiming.into_iter().map(|claiming| claiming.join().unwrap()));
    assert!(claims.iter().all(|claim| (claim.home, claim.term) == (claims[0].home, 1)));
    assert_eq!(claims.iter().filter(|claim| claim.fresh).count(), 1);
    assert_eq!((registry.rooms(), registry.homes(claims[0].home)), (1, 1));
}

/// Two end a room that both knew, and one of them opens it again.
fn retire_late<R: Rules>() {
    let registry = registry::<R>(2);
    let old = registry.claim(0, ROOM, FIRST);
    let other = Arc::clone(&registry);
    let late = thread::spawn(move || other.retire(0, ROOM, old.home, old.term));
    let early = registry.retire(0, ROOM, old.home, old.term);
    let new = registry.claim(0, ROOM, SECOND);
    let late = late.join().unwrap();
    assert_eq!(registry.find(0, ROOM), Some((new.home, new.term)), "the new room is gone");
    assert!(early != late, "a term ends once");
    assert!(new.fresh && new.term == 2);
    assert_eq!(registry.rooms(), 1);
}

/// One room migrates to two shards, while its home would retire it.
fn migrate_twice<R: Rules>() {
    let registry = registry::<R>(3);
    let old = registry.claim(0, ROOM, FIRST);
    let migrating = [SECOND, THIRD].map(|to| {
        let registry = Arc::clone(&registry);
        thread::spawn(move || {
            registry.migrate(0, ROOM, old.home, old.term, to).map(|term| (to, term))
        })
    });
    let retired = registry.retire(0, ROOM, old.home, old.term);
    let migrated = migrating.map(|migrating| migrating.join().unwrap());
    let homes: Vec<_> = migrated.into_iter().flatten().collect();
    assert_eq!(homes.len() + usize::from(retired), 1, "a term ends once");
    assert_eq!(registry.find(0, ROOM), homes.first().copied());
    let counts = [FIRST, SECOND, THIRD].map(|shard| registry.homes(shard));
    assert_eq!((counts[0], counts.iter().sum::<u64>()), (0, registry.rooms()));
}

/// A shard withdraws while it touches a room, and while another room migrates to it.
fn withdraw_meanwhile<R: Rules>() {
    let registry = registry::<R>(2);
    let away = registry.claim(0, b"b", SECOND);
    let other = Arc::clone(&registry);
    let touching = thread::spawn(move || other.claim(0, ROOM, FIRST));
    let other = Arc::clone(&registry);
    let migrating = thread::spawn(move || other.migrate(0, b"b", SECOND, away.term, FIRST));
    registry.withdraw(FIRST);
    let homes = registry.homes(FIRST);
    let fresh = touching.join().unwrap();
    let migrated = migrating.join().unwrap();
    assert_eq!(registry.homes(FIRST), homes, "it became home after it had withdrawn");
    assert_eq!(homes, u64::from(fresh.home == FIRST) + u64::from(migrated.is_some()));
}

#[derive(Debug)]
struct RetiresBlindly;

impl Rules for RetiresBlindly {
    const RETIRE_COMPARES: bool = false;
}

#[derive(Debug)]
struct MigratesBlindly;

impl Rules for MigratesBlindly {
    const MIGRATE_COMPARES: bool = false;
}

#[derive(Debug)]
struct WithdrawsAtOnce;

impl Rules for WithdrawsAtOnce {
    const WITHDRAW_WAITS: bool = false;
}

#[test]
fn two_claims_agree() {
    holds("rooms, 2 claims", UNBOUNDED, 4, || claim_together(2));
}

#[test]
fn three_claims_agree() {
    holds("rooms, 3 claims", Some(3), 150, || claim_together(3));
}

#[test]
fn who_retires_late_does_not_end_the_next_term() {
    holds("rooms, late retirement", UNBOUNDED, 9, retire_late::<Sound>);
}

#[test]
fn a_term_ends_once() {
    holds("rooms, 2 migrations", Some(3), 150, migrate_twice::<Sound>);
}

#[test]
fn who_has_withdrawn_becomes_home_no_more() {
    holds("rooms, withdrawal", Some(3), 400, withdraw_meanwhile::<Sound>);
}

#[test]
fn twin_retiring_blindly_ends_the_next_term() {
    is_found_out(
        "rooms, blind retirement",
        Some(3),
        "the new room is gone",
        retire_late::<RetiresBlindly>,
    );
}

#[test]
fn twin_migrating_blindly_makes_two_homes() {
    is_found_out(
        "rooms, blind migration",
        Some(3),
        "a term ends once",
        migrate_twice::<MigratesBlindly>,
    );
}

#[test]
fn twin_withdrawing_at_once_is_overtaken() {
    let complaint = "it became home after it had withdrawn";
    is_found_out(
        "rooms, hasty withdrawal",
        Some(3),
        complaint,
        withdraw_meanwhile::<WithdrawsAtOnce>,
    );
}
