//! What is left when a crowd has gone: little memory, and nobody who is taken for somebody else.

mod world;

use gateway_core::event::{CloseReason, Event};
use gateway_core::hub::Flush;
use gateway_core::slot::Slot;
use world::{TOKEN, World, fresh_wire, masked, request, text};

const CROWD: usize = 2_000;

/// A free slot is given out again.
fn reaccept(world: &mut World, slot: Slot) {
    *world.wire(slot) = fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot });
}

fn asks(path: &str) -> Vec<u8> {
    let mut asks = request(path);
    asks.truncate(asks.len() - 2);
    [&asks[..], format!("Authorization: Bearer {TOKEN}\r\n\r\n").as_bytes()].concat()
}

#[test]
fn slots_at_the_end_are_given_back_within_seconds_though_nothing_happens() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let stays = world.connect("/ws/lobby");
    let crowd: Vec<_> = (0..CROWD).map(|n| world.connect(&format!("/ws/{n}"))).collect();
    assert_eq!(world.hub.slots(), CROWD + 1);
    crowd.into_iter().for_each(|slot| world.end(slot));
    assert!(world.hub.poll_timeout().is_some(), "somebody is to look");
    world.pass_secs(5);
    assert_eq!(world.hub.slots(), 1);
    world.pass_secs(20);
    assert_eq!(world.hub.poll_timeout(), None, "then nobody looks any more");
    world.end(stays);
    world.assert_empty();
}

#[test]
fn a_late_answer_meets_nobody_in_a_slot_that_was_made_anew() {
    let mut world = World::new();
    world.ponders = true;
    let slot = world.accept();
    world.raw(slot, &asks("/ws/chat/lobby"));
    world.settle();
    let late = std::mem::take(&mut world.asked);
    assert_eq!(late.len(), 1);
    world.end(slot);
    world.hub.handle(world.now, Event::Tick);
    assert_eq!(world.hub.slots(), 0);
    // Another asks the same, and is not answered by what the first one was to hear.
    reaccept(&mut world, slot);
    world.raw(slot, &asks("/ws/chat/lobby"));
    world.settle();
    let own = std::mem::replace(&mut world.asked, late);
    world.decide();
    assert!(world.wire(slot).got.is_empty());
    world.asked = own;
    world.decide();
    assert!(world.wire(slot).got.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn nobody_skips_what_somebody_before_him_in_his_slot_said() {
    let mut world = World::new();
    let hears = world.connect("/ws/lobby");
    let speaks = world.connect("/ws/lobby");
    world.end(speaks);
    world.hub.handle(world.now, Event::Tick);
    assert_eq!(world.hub.slots(), 1);
    reaccept(&mut world, speaks);
    world.raw(speaks, &request("/ws/lobby"));
    world.settle();
    world.wire(speaks).got.clear();
    world.say(hears, "welcome");
    world.settle();
    assert_eq!(world.heard(speaks), [text("welcome")]);
}

#[test]
fn what_is_still_to_be_said_or_done_keeps_its_slot() {
    let mut world = World::new();
    let slot = world.connect("/ws/simple");
    // An echo for one who has gone before it is said.
    world.raw(slot, &masked(0x81, b"still there?"));
    world.hub.handle(world.now, Event::Broken { slot });
    world.hub.handle(world.now, Event::Tick);
    assert_eq!(world.hub.slots(), 1, "the flush will look there");
    while world.flush_once() == Flush::More {}
    world.hub.handle(world.now, Event::Tick);
    assert_eq!(world.hub.slots(), 1, "the driver does not know yet");
    world.effects();
    assert_eq!(world.wire(slot).released, Some(CloseReason::Reset));
    world.hub.handle(world.now, Event::Tick);
    assert_eq!(world.hub.slots(), 0);
}

#[test]
fn a_drain_tells_everyone_who_is_there_while_slots_are_given_back() {
    let mut world = World::new();
    let crowd: Vec<_> = (0..CROWD).map(|_| world.connect("/ws/simple")).collect();
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    // Those at the end go by themselves while others are told.
    for &slot in &crowd[CROWD / 2..] {
        if world.wire(slot).released.is_none() {
            world.end(slot);
        }
    }
    world.pass_secs(60);
    for &slot in &crowd[..CROWD / 2] {
        let heard = world.heard(slot);
        assert_eq!(heard.last().map(|frame| frame.opcode), Some(8), "{slot}");
    }
    world.assert_empty();
}
