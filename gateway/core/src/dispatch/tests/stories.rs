//! What went wrong once, told step by step; each of these failed when the protocol was first tried.

use super::world::Act::{Abandon, Enter, Leave, Migrate, Move, Publish};
use super::world::Step::{Answer, Command, Delivery, Exchange, Place, Travel};
use super::world::{Setup, World};
use crate::dispatch::{self, Sequencing};
use crate::envelope::Term;
use crate::id::ShardId;
use crate::log::Retention;

fn shards(shards: u16) -> Setup {
    Setup { shards, ..Setup::default() }
}

/// Pins of all homes.
fn pins(world: &World) -> usize {
    let homes = world.shards.iter().flat_map(|dispatch| dispatch.homes.iter());
    homes.map(|(_, home)| home.pins.len()).sum()
}

fn come_to_rest(mut world: World) {
    world.settle();
    world.wind_up();
}

/// A shard that the registry gave a new room to did not know of it and sent everyone away for ever.
#[test]
fn a_room_that_is_given_to_another_shard_is_founded_there() {
    let setup = Setup { placed: Some(ShardId(1)), ..shards(2) };
    let mut world = World::after(setup, &[Enter(0, 0), Publish(0, 0)]);
    assert_eq!((world.shards[0].homes(), world.shards[1].homes()), (0, 1));
    assert_eq!(world.reference.offsets_of(ShardId(0)), [1]);
    world.wind_up();
}

/// Whoever asked for such a room may have gone when the answer comes, and it was never retired.
#[test]
fn a_room_that_nobody_waits_for_any_more_is_retired_wherever_it_is() {
    for placed in [0, 1] {
        let setup = Setup { placed: Some(ShardId(placed)), ..shards(2) };
        let mut world = World::after(setup, &[]);
        let room = world.rooms[0].clone();
        world.office.ask(0, dispatch::Inquiry::Claim { room });
        come_to_rest(world);
    }
}

/// The target of a move dropped what the old home had still sent it, which no log had any more:
/// its members heard of a gap, and its messages in there were never answered for.
#[test]
fn a_home_arrives_where_its_deliveries_are_still_under_way() {
    let mut world = World::after(shards(2), &[Enter(0, 0), Enter(1, 0)]);
    world.act(Publish(1, 0));
    world.run(&[Exchange(1), Command(1, 0), Exchange(0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0), Exchange(0), Command(0, 1)]);
    come_to_rest(world);
}

/// What the old home had still to answer was shipped too, and answered by both.
#[test]
fn a_refusal_that_waits_while_the_home_moves_is_told_once() {
    let setup = Setup { sequencing: Sequencing::Engine, refuses_each: 1, ..shards(3) };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(2, 0)]);
    world.act(Publish(2, 0));
    world.run(&[Exchange(2), Command(2, 0), Place(0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0)]);
    come_to_rest(world);
}

/// Shard 2 has messages under way that the old home tells it and the new one has forgotten.
fn forgotten_by_the_next_home() -> World {
    let transit = Retention { messages_max: 1, bytes_max: 1 << 20, age_secs: 100 };
    let setup = Setup { transit, capacity: 8, ..shards(3) };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(2, 0)]);
    (0..3).for_each(|_| world.act(Publish(2, 0)));
    world.run(&[Exchange(2), Command(2, 0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0), Exchange(0), Command(0, 1), Exchange(1)]);
    world
}

/// The new home answered for what it had trimmed although the old one had told it already.
#[test]
fn what_the_old_home_told_is_not_answered_for_by_the_next() {
    come_to_rest(forgotten_by_the_next_home());
}

/// A side that had gone and come again was answered for its predecessor's messages.
#[test]
fn a_new_side_is_not_answered_for_what_the_one_before_it_published() {
    let mut world = forgotten_by_the_next_home();
    world.run(&[Delivery(0, 2)]);
    world.act(Leave(2, 0));
    world.act(Enter(2, 0));
    world.run(&[Answer(2), Exchange(2), Command(2, 1), Exchange(1)]);
    come_to_rest(world);
}

/// The registry named a home that retired before its answer came, and a second passed until the
/// registry was asked again.
#[test]
fn who_enters_while_the_home_goes_keeps_it() {
    let mut world = World::after(shards(1), &[Enter(0, 0)]);
    world.act(Leave(0, 0));
    world.act(Enter(0, 0));
    world.run(&[Exchange(0), Answer(0)]);
    come_to_rest(world);
}

/// A late answer settled a side at a home that only forwarded, and vanished under it.
#[test]
fn a_late_answer_does_not_settle_a_side_where_the_home_has_left() {
    let setup = Setup { history: KEPT, ..shards(3) };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(2, 0), Leave(0, 0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0), Exchange(0)]);
    world.act(Enter(0, 0));
    let room = world.rooms[0].clone();
    let (home, term, now) = (ShardId(0), Term(1), world.now);
    let late = dispatch::Answer::Claimed { room, home, term, fresh: false };
    world.shards[0].answer(now, late);
    world.hear(0);
    come_to_rest(world);
}

/// Whoever attached to a home that was still on its way was refused, and asked again and again, at
/// full speed, through the rings that the shipment needed.
#[test]
fn who_attaches_before_the_home_has_come_waits_for_it() {
    let mut world = World::after(shards(3), &[Enter(0, 0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0)]);
    world.act(Enter(2, 0));
    world.run(&[Answer(2), Exchange(2), Command(2, 1), Answer(1)]);
    assert!(world.is_idle(1) && world.is_idle(2), "nothing is to be done until the home comes");
    world.run(&[Exchange(0), Command(0, 1), Exchange(1), Delivery(1, 2)]);
    assert_eq!(world.view(2, 0).expect("the room is heard").1.seated, 1);
    come_to_rest(world);
}

/// A home that moved on waited for ever for a shard that had never attached to it.
#[test]
fn a_home_moves_on_before_a_shard_has_attached_to_it() {
    let setup = Setup { capacity: 8, ..shards(3) };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(2, 0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0), Exchange(0), Command(0, 1), Delivery(0, 2), Exchange(2)]);
    // Shard 2 has left the old home; that it attaches to the next one is still under way.
    world.run(&[Command(2, 0), Exchange(0), Command(0, 1), Command(0, 1)]);
    world.act(Migrate(1, 0, 0));
    world.run(&[Answer(1), Exchange(1)]);
    come_to_rest(world);
}

/// Whoever waited for an answer, not for a ring, kept its shard turning.
#[test]
fn a_shard_whose_messages_wait_for_a_home_is_at_rest() {
    let mut world = World::after(shards(2), &[Enter(0, 0), Enter(1, 0)]);
    world.act(Migrate(0, 1, 0));
    world.act(Publish(0, 0));
    world.run(&[Exchange(0)]);
    assert!(world.is_idle(0), "the registry is to answer first");
    assert_eq!(world.shards[0].waiting(), 1);
    come_to_rest(world);
}

/// Counting what waits met a room that had gone since it had something to send.
#[test]
fn a_room_goes_while_it_has_something_to_send() {
    let setup = Setup { presence: true, ..shards(2) };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(1, 0)]);
    world.act(Leave(1, 0));
    assert_eq!(world.shards[1].waiting(), 0);
    come_to_rest(world);
}

const KEPT: Retention = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 1 };

/// A past that was too old and still kept for a pin was looked at again without end.
#[test]
fn a_past_that_is_kept_for_a_pin_keeps_no_shard_turning() {
    let setup = Setup { history: KEPT, ..shards(2) };
    let mut world = World::after(setup, &[Enter(0, 0)]);
    world.act(Move(0, 1, 0));
    world.act(Publish(0, 0));
    world.run(&[Exchange(0)]);
    world.now.0 += 100;
    world.run(&[Exchange(0)]);
    assert!(world.is_idle(0), "nothing is due");
    come_to_rest(world);
}

/// A pin that was given up while the home moved was asked for again of the next one.
#[test]
fn a_pin_that_was_given_up_is_not_asked_for_again() {
    let mut world = World::after(shards(2), &[Enter(0, 0), Enter(0, 0), Enter(1, 0)]);
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0)]);
    world.act(Move(0, 1, 0));
    world.act(Abandon(0, 0));
    world.settle();
    assert_eq!(pins(&world), 0);
    come_to_rest(world);
}

/// A pin that the old home had shipped stayed at the next one when the old one answered.
#[test]
fn a_pin_goes_whichever_home_answers() {
    let mut world = World::after(shards(3), &[Enter(0, 0), Enter(2, 0)]);
    world.act(Move(0, 2, 0));
    world.run(&[Travel(0), Travel(0), Exchange(2), Command(2, 0)]);
    world.act(Enter(0, 0));
    world.settle();
    assert_eq!(pins(&world), 0, "it arrived");
    world.act(Move(0, 2, 0));
    world.run(&[Travel(1), Travel(1), Exchange(2), Command(2, 0)]);
    assert_eq!(pins(&world), 1, "it has asked and not been answered");
    world.act(Migrate(0, 1, 0));
    world.run(&[Answer(0)]);
    world.settle();
    assert_eq!(pins(&world), 0);
    come_to_rest(world);
}
