//! Memory: what is charged is what is kept, to whom it belongs, and who pays when it is too much.

mod world;

use gateway_core::event::Event;
use gateway_core::hub::MemberPolicy;
use world::{World, close_code, masked, request, small_outbox, text};

#[test]
fn what_ranges_cost_is_part_of_the_shards_budget() {
    const BUDGET: u64 = 1 << 20;
    let mut world = World::with_limits(|limits| limits.shard_outbox_bytes_max = BUDGET as usize);
    let [ann] = world.connect_all("/ws/lobby");
    let stuck: [_; 300] = world.connect_all("/ws/lobby");
    for &slot in &stuck {
        world.wire(slot).window = 0;
    }
    let kept = allocation_counter::measure(|| {
        for _ in 0..4_000 {
            world.say(ann, "");
            world.settle();
        }
    });
    assert!(world.hub.outbox_bytes() as u64 <= BUDGET);
    let kept = u64::try_from(kept.bytes_current).unwrap();
    assert!(kept < BUDGET + BUDGET / 4, "{kept} bytes kept");
}

#[test]
fn a_small_debt_does_not_pin_what_others_were_sent_in_its_turn() {
    let mut world = World::new();
    let [reader, tiny] = world.connect_all("/ws/simple");
    world.wire(tiny).window = 0;
    masked(0x82, &[1; 500_000]).chunks(100_000).for_each(|piece| world.raw(reader, piece));
    world.say(tiny, "x");
    world.settle();
    let owed = world.hub.echo_bytes();
    assert!((3..1_000).contains(&owed), "owes 3 bytes, keeps {owed}");
}

#[test]
fn echoes_have_a_budget_of_their_own_at_which_they_are_not_read_from() {
    let mut world = World::with_limits(|limits| {
        limits.shard_outbox_bytes_max = 100_000;
        limits.echo_outbox_bytes_max = 100_000;
    });
    let [ann, honest] = world.connect_all("/ws/lobby");
    world.wire(honest).window = 10;
    world.say_binary(ann, &[7; 5_000]);
    world.settle();
    let echoes: [_; 4] = world.connect_all("/ws/simple");
    for slot in echoes {
        world.wire(slot).window = 10;
        world.say_binary(slot, &[1; 60_000]);
        world.settle();
    }
    let [late] = world.connect_all("/ws/simple");
    world.say(late, "one more");
    world.settle();
    assert_eq!(world.heard(late), [text("one more")], "what was read is served");
    assert!(!world.wire(late).reads, "but no more is read");
    for slot in echoes {
        world.read_more(slot, usize::MAX / 2);
        assert_eq!(world.heard(slot).len(), 1, "nobody is closed");
    }
    assert!(world.wire(late).reads);
    world.read_more(honest, usize::MAX / 2);
    assert_eq!(world.heard(honest).iter().filter_map(close_code).next(), None);
    assert_eq!((world.hub.echo_bytes(), world.hub.outbox_bytes()), (0, 0));
}

#[test]
fn who_says_a_whole_message_is_not_closed_for_others_unfinished_ones() {
    let mut limits = small_outbox();
    limits.inbound_bytes_max = 100_000;
    let mut world = World::with(limits, MemberPolicy::Close);
    let [ann, one, two] = world.connect_all("/ws/lobby");
    let [bob] = world.connect_all("/ws/other");
    for slot in [one, two] {
        world.wire(slot).window = 0;
    }
    for _ in 0..200 {
        world.say(ann, "0123456789"); // until both are being closed with 1013
        world.settle();
    }
    for slot in [one, two] {
        world.raw(slot, &masked(0x02, &[1; 60_000]));
        world.settle();
    }
    world.say(bob, "whole");
    world.settle();
    assert_eq!(world.heard(bob), []);
    assert!(world.hub.is_live(bob));
}

#[test]
fn half_received_requests_are_part_of_the_budget_too() {
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = 100_000);
    let mut refused = 0;
    for _ in 0..50 {
        let slot = world.accept();
        world.raw(slot, &[b'x'; 8_000]);
        world.settle();
        refused += u32::from(world.wire(slot).got.starts_with(b"HTTP/1.1 503 "));
        assert!(world.hub.inbound_bytes() <= 100_000, "{}", world.hub.inbound_bytes());
    }
    assert_eq!(refused, 50 - 100_000 / 8_000);
    world.pass_secs(6);
    world.assert_empty();
}

#[test]
fn twenty_thousand_stuck_members_and_a_message_beyond_the_budget() {
    let mut world = World::with_limits(|limits| {
        limits.shard_outbox_bytes_max = 8 << 20;
        limits.connections_max = 30_000;
    });
    world.slice = 64;
    let ann = world.connect("/ws/lobby");
    let stuck: Vec<_> = (0..20_000).map(|_| world.connect("/ws/lobby")).collect();
    for &slot in &stuck {
        world.wire(slot).window = 0;
    }
    world.say_binary(ann, &vec![1; 9 << 20]);
    world.settle();
    assert!(world.hub.outbox_bytes() <= 8 << 20);
    assert!(world.hub.is_live(ann));
}

#[test]
fn echoes_together_keep_their_budget_however_many_they_are() {
    let mut world = World::with_limits(|limits| limits.echo_outbox_bytes_max = 100_000);
    let echoes: [_; 50] = world.connect_all("/ws/simple");
    for slot in echoes {
        world.wire(slot).window = 0;
        if world.wire(slot).reads {
            world.say_binary(slot, &[1; 60_000]);
        }
        world.settle();
    }
    assert!(world.hub.echo_bytes() <= 200_000, "{}", world.hub.echo_bytes());
    let late = world.connect("/ws/simple");
    assert!(!world.wire(late).reads, "nor is a newcomer");
}

#[test]
fn pongs_owed_are_within_the_shards_budget() {
    const BUDGET: usize = 40_000;
    let mut world = World::with_limits(|limits| limits.shard_outbox_bytes_max = BUDGET);
    let [ann] = world.connect_all("/ws/lobby");
    let members: [_; 60] = world.connect_all("/ws/lobby");
    for &slot in &members {
        world.wire(slot).window = 1;
    }
    world.say(ann, "0123456789");
    world.settle();
    for _ in 0..10 {
        for &slot in &members {
            world.raw(slot, &masked(0x89, &[7; 125]));
            world.read_more(slot, 1);
            assert!(world.hub.outbox_bytes() <= BUDGET, "{}", world.hub.outbox_bytes());
        }
    }
}

#[test]
fn a_tiny_debt_in_a_large_buffer_is_charged_as_what_it_is() {
    let mut world = World::with_limits(|limits| limits.shard_outbox_bytes_max = 100_000);
    let [ann, _bob] = world.connect_all("/ws/lobby");
    let [other, tiny] = world.connect_all("/ws/other");
    let large: Vec<u8> = (0..8).flat_map(|_| masked(0x82, &[1; 60_000])).collect();
    world.raw(ann, &large); // the lane's buffer grows and is kept for reuse
    world.settle();
    world.wire(tiny).window = 0;
    world.say(other, "x");
    world.settle();
    assert!(world.hub.outbox_bytes() < 2_000);
    world.read_more(tiny, usize::MAX / 2);
    assert_eq!(world.heard(tiny), [text("x")]);
}

#[test]
fn comings_and_goings_in_a_silent_room_keep_no_memory() {
    let mut world = World::new();
    let [_ann, bob] = world.connect_all("/ws/lobby");
    let kept = allocation_counter::measure(|| {
        for _ in 0..20_000 {
            world.end(bob);
            *world.wire(bob) = world::fresh_wire();
            world.hub.handle(world.now, Event::Accepted { slot: bob });
            world.raw(bob, &request("/ws/lobby"));
            world.settle();
        }
    });
    assert!(kept.bytes_current < 20_000, "{} bytes kept", kept.bytes_current);
}
