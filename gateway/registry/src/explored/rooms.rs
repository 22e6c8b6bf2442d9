//! A room has one home, and each home a term of its own.

use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::ids::ShardId;
use crate::rooms::RoomRegistry;
use crate::rules::{Rules, Sound};
use crate::sync::{Arc, Mutex, lock};

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

/// What a room's home knows of it.
struct Known {
    /// None once it has ended.
    term: Option<u64>,
    members: u32,
}

/// The last member leaves a room, whose home ends it, and says so twice, while another shard
/// joins: it is taken in under the term that it was told, or claims anew where that is over.
fn join_while_the_last_leaves<R: Rules>() {
    let registry = registry::<R>(2);
    let old = registry.claim(0, ROOM, FIRST);
    let home = Arc::new(Mutex::new(Known { term: Some(old.term), members: 1 }));
    let (other, leaver) = (Arc::clone(&registry), Arc::clone(&home));
    let leaving = thread::spawn(move || {
        let mut known = lock(&leaver);
        known.members -= 1;
        let ends = known.members == 0;
        known.term = known.term.filter(|_| !ends);
        drop(known);
        if ends {
            assert!(other.retire(0, ROOM, old.home, old.term), "it ended under its own term");
            other.retire(0, ROOM, old.home, old.term);
        }
    });
    let joined = loop {
        let claim = registry.claim(0, ROOM, SECOND);
        let mut known = lock(&home);
        if !claim.fresh && known.term == Some(claim.term) {
            known.members += 1;
        } else if !claim.fresh {
            drop(known);
            thread::yield_now();
            continue;
        }
        break claim;
    };
    leaving.join().unwrap();
    let found = registry.find(0, ROOM);
    assert_eq!(found, Some((joined.home, joined.term)), "the new room is gone");
    assert_eq!(joined.fresh, lock(&home).term.is_none());
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
fn who_joins_while_the_last_leaves_is_in_the_room_that_stays() {
    holds("rooms, joining and leaving", UNBOUNDED, 20, join_while_the_last_leaves::<Sound>);
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
fn twin_retiring_blindly_ends_a_room_that_was_joined_anew() {
    is_found_out(
        "rooms, blind retirement after a join",
        Some(3),
        "the new room is gone",
        join_while_the_last_leaves::<RetiresBlindly>,
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
