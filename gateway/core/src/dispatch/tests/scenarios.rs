//! Small scenarios, each in every order in which it can happen.
//!
//! Each says how many ways through it there are at least, so that none becomes trivial unseen.

use super::explore::explore;
use super::world::Act::{Abandon, Enter, Leave, Migrate, Move, Publish};
use super::world::{Act, Setup, World};
use crate::dispatch::Sequencing;
use crate::id::ShardId;
use crate::log::Retention;

const KEPT: Retention = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 60 };
/// Scenarios stay below this many states, or they take too long for every day.
const STATES_MAX: usize = 60_000;
const MILLION: u128 = 1_000_000;
const BILLION: u128 = 1_000 * MILLION;

/// Tries all orders of these scripts' acts and of everything that follows from them, after what
/// was `prepared` has come to rest. The ways from the first state to one at rest.
fn ways(setup: &Setup, prepared: &[Act], scripts: &[&[Act]]) -> u128 {
    explore(STATES_MAX, || {
        let mut world = World::after(setup.clone(), prepared);
        world.scripts = scripts.iter().map(|script| script.iter().copied().collect()).collect();
        world
    })
}

fn shards(shards: u16) -> Setup {
    Setup { shards, presence: true, ..Setup::default() }
}

/// The registry decides when it is asked, or when it answers.
fn early_and_late(setup: &Setup) -> [Setup; 2] {
    [false, true].map(|decides_late| Setup { decides_late, ..setup.clone() })
}

/// Rings that hold one envelope.
fn narrow(setup: Setup) -> Setup {
    Setup { capacity: 1, ..setup }
}

fn without_presence(setup: Setup) -> Setup {
    Setup { presence: false, ..setup }
}

#[test]
fn two_shards_claim_the_same_room_and_publish() {
    for setup in early_and_late(&shards(2)) {
        let scripts: [&[Act]; 2] = [&[Enter(0, 0), Publish(0, 0)], &[Enter(1, 0), Publish(1, 0)]];
        assert!(ways(&setup, &[], &scripts) > MILLION / 4);
    }
}

#[test]
fn the_registry_gives_a_room_to_some_other_shard() {
    for placed in (0..3).map(ShardId) {
        let setup = Setup { placed: Some(placed), decides_late: true, ..shards(3) };
        let scripts: [&[Act]; 2] = [&[Enter(0, 0), Publish(0, 0)], &[Enter(1, 0), Leave(1, 0)]];
        assert!(ways(&setup, &[], &scripts) > 60 * MILLION);
    }
}

#[test]
fn a_shard_attaches_detaches_and_attaches_again_while_the_home_publishes() {
    for setup in early_and_late(&Setup { capacity: 1, ..shards(2) }) {
        let scripts: [&[Act]; 2] = [&[Publish(0, 0)], &[Enter(1, 0), Leave(1, 0), Enter(1, 0)]];
        assert!(ways(&setup, &[Enter(0, 0)], &scripts) > 20 * MILLION);
    }
}

#[test]
fn a_home_retires_while_others_come_and_go() {
    for setup in early_and_late(&shards(2)) {
        let visit = [Enter(1, 0), Publish(1, 0), Leave(1, 0)];
        let scripts: [&[Act]; 2] = [&[Leave(0, 0), Enter(0, 0)], &visit];
        assert!(ways(&setup, &[Enter(0, 0)], &scripts) > 10 * BILLION);
    }
}

#[test]
fn a_home_moves_away_from_a_listener() {
    let setup = narrow(without_presence(shards(3)));
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &[Publish(0, 0)], &[Publish(2, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(2, 0)], &scripts) > MILLION * BILLION);
}

#[test]
fn a_home_moves_to_a_listener_that_publishes() {
    let setup = narrow(shards(2));
    let publishes = [Publish(1, 0), Publish(1, 0)];
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &[Publish(0, 0)], &publishes];
    assert!(ways(&setup, &[Enter(0, 0), Enter(1, 0)], &scripts) > 20_000 * BILLION);
}

#[test]
fn a_home_moves_to_a_listener_that_leaves_and_comes_again() {
    let setup = narrow(shards(2));
    let again = [Leave(1, 0), Enter(1, 0)];
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &again, &[Publish(0, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(1, 0)], &scripts) > 10_000 * BILLION);
}

#[test]
fn a_home_moves_while_its_own_members_leave_and_come_again() {
    let setup = narrow(shards(2));
    let again = [Leave(0, 0), Enter(0, 0)];
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &again, &[Publish(1, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(1, 0)], &scripts) > 100_000 * BILLION);
}

#[test]
fn a_home_moves_to_a_shard_that_is_attaching() {
    let setup = narrow(shards(2));
    let comes = [Enter(1, 0), Publish(1, 0)];
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &comes, &[Publish(0, 0)]];
    assert!(ways(&setup, &[Enter(0, 0)], &scripts) > MILLION * BILLION);
}

#[test]
fn a_listener_leaves_and_comes_again_while_its_home_moves() {
    let setup = narrow(without_presence(shards(3)));
    let prepared = [Enter(0, 0), Enter(2, 0)];
    let again = [Leave(2, 0), Enter(2, 0)];
    assert!(ways(&setup, &prepared, &[&[Migrate(0, 1, 0)], &again]) > 300 * BILLION);
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &[Leave(0, 0)], &[Publish(2, 0)]];
    assert!(ways(&setup, &prepared, &scripts) > 60_000 * BILLION);
}

#[test]
fn a_shard_comes_and_goes_while_the_home_moves_and_retires() {
    for setup in early_and_late(&narrow(without_presence(shards(3)))) {
        let visit = [Enter(2, 0), Leave(2, 0)];
        let scripts: [&[Act]; 2] = [&[Migrate(0, 1, 0), Leave(0, 0)], &visit];
        assert!(ways(&setup, &[Enter(0, 0)], &scripts) > 900 * BILLION);
    }
}

#[test]
fn a_member_moves_to_where_its_home_moves() {
    let setup = without_presence(Setup { history: KEPT, ..shards(3) });
    let scripts: [&[Act]; 2] = [&[Migrate(0, 1, 0), Publish(0, 0)], &[Move(2, 1, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(2, 0)], &scripts) > MILLION * BILLION);
}

#[test]
fn a_member_moves_while_its_home_moves_and_nothing_is_kept() {
    let setup = without_presence(shards(2));
    let prepared = [Enter(0, 0), Enter(1, 0)];
    for (from, to) in [(0, 1), (1, 0)] {
        let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &[Move(from, to, 0)], &[Publish(1, 0)]];
        assert!(ways(&setup, &prepared, &scripts) > 50 * BILLION);
    }
    let gives_up = [Move(1, 0, 0), Abandon(1, 0)];
    assert!(ways(&setup, &prepared, &[&[Migrate(0, 1, 0)], &gives_up]) > 3 * BILLION);
}

#[test]
fn the_registry_refuses_that_a_home_moves() {
    let setup = Setup { refuses_migration: true, ..shards(2) };
    let scripts: [&[Act]; 3] = [&[Migrate(0, 1, 0)], &[Publish(0, 0)], &[Publish(1, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(1, 0)], &scripts) > 1_000);
}

#[test]
fn a_home_moves_there_and_back_or_on() {
    let back: [&[Act]; 2] = [&[Migrate(0, 1, 0), Migrate(1, 0, 0)], &[Publish(1, 0)]];
    assert!(ways(&shards(2), &[Enter(0, 0), Enter(1, 0)], &back) > 250 * BILLION);
    let on: [&[Act]; 2] = [&[Migrate(2, 1, 0), Migrate(1, 0, 0)], &[Publish(2, 0)]];
    assert!(ways(&shards(3), &[Enter(2, 0)], &on) > 600 * BILLION);
    let setup = without_presence(shards(3));
    let on: [&[Act]; 2] = [&[Migrate(0, 1, 0), Migrate(1, 2, 0)], &[Publish(2, 0)]];
    assert!(ways(&setup, &[Enter(0, 0), Enter(2, 0)], &on) > 7 * BILLION * BILLION);
}

#[test]
fn an_engine_answers_in_any_order_while_the_home_moves() {
    for refuses_each in [0, 2] {
        let sequencing = Sequencing::Engine;
        let setup = without_presence(Setup { sequencing, refuses_each, ..shards(2) });
        let scripts: [&[Act]; 2] =
            [&[Publish(0, 0), Migrate(0, 1, 0)], &[Publish(1, 0), Publish(1, 0)]];
        assert!(ways(&setup, &[Enter(0, 0), Enter(1, 0)], &scripts) > 20_000 * BILLION);
    }
}

#[test]
fn a_shard_falls_behind_while_its_home_moves() {
    let transit = Retention { messages_max: 1, bytes_max: 1 << 20, age_secs: 100 };
    let setup = Setup { transit, delivery_messages_max: 1, ..shards(3) };
    let setup = narrow(without_presence(setup));
    let publishes = [Publish(2, 0), Publish(2, 0)];
    for to in [1, 2] {
        let scripts: [&[Act]; 2] = [&[Publish(0, 0), Migrate(0, to, 0)], &publishes];
        assert!(ways(&setup, &[Enter(0, 0), Enter(2, 0)], &scripts) > 500 * BILLION);
    }
}
