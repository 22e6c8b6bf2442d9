//! Rooms: who hears what, in which order, and in how many sends.

mod world;

use gateway_core::event::Event;
use gateway_core::hub::Flush;
use world::{World, binary, masked, request, text};

#[test]
fn others_hear_and_the_sender_does_not() {
    let mut world = World::new();
    let [ann, bob, eve] = world.connect_all("/ws/lobby");
    world.say(ann, "hello");
    world.say_binary(bob, b"\x00\xff");
    world.settle();
    assert_eq!(world.heard(ann), [binary(b"\x00\xff")]);
    assert_eq!(world.heard(bob), [text("hello")]);
    assert_eq!(world.heard(eve), [text("hello"), binary(b"\x00\xff")]);
}

#[test]
fn rooms_are_apart_and_the_root_is_a_room_of_its_own() {
    let mut world = World::new();
    let [lobby, lobby2] = world.connect_all("/ws/lobby");
    let [attic] = world.connect_all("/ws/attic");
    let [root, root2] = world.connect_all("/");
    world.say(lobby, "in the lobby");
    world.say(root, "at the root");
    world.settle();
    assert_eq!(world.heard(lobby2), [text("in the lobby")]);
    assert_eq!(world.heard(root2), [text("at the root")]);
    assert_eq!(world.heard(attic), []);
}

#[test]
fn a_burst_is_one_send_per_member() {
    let mut world = World::new();
    let [ann, bob, eve] = world.connect_all("/ws/lobby");
    let sends = (world.wire(bob).sends, world.wire(eve).sends);
    let burst: Vec<u8> = (0..16).flat_map(|n| masked(0x81, format!("{n}").as_bytes())).collect();
    world.raw(ann, &burst);
    world.settle();
    let expected: Vec<_> = (0..16).map(|n| text(&n.to_string())).collect();
    for (slot, before) in [(bob, sends.0), (eve, sends.1)] {
        assert_eq!(world.heard(slot), expected);
        assert_eq!(world.wire(slot).sends, before + 1);
    }
    assert_eq!(world.heard(ann), []);
}

#[test]
fn members_who_talk_at_once_each_miss_only_themselves_in_one_order() {
    let mut world = World::new();
    let slots: [_; 5] = world.connect_all("/ws/lobby");
    for round in 0..4 {
        for (n, &slot) in slots.iter().enumerate() {
            world.say(slot, &format!("{round}:{n}"));
        }
    }
    world.settle();
    for (n, &slot) in slots.iter().enumerate() {
        let sends = world.wire(slot).sends;
        let others = (0..4).flat_map(|round| (0..5).map(move |m| (round, m)));
        let others = others.filter(|&(_, m)| m != n).map(|(r, m)| text(&format!("{r}:{m}")));
        assert_eq!(world.heard(slot), others.collect::<Vec<_>>());
        assert_eq!(sends, 2, "the response, and all ranges in one send");
    }
}

#[test]
fn a_newcomer_hears_nothing_said_before_its_response() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.say(ann, "before");
    let eve = world.accept();
    world.raw(eve, &request("/ws/lobby"));
    world.say(ann, "after");
    world.settle();
    let got = std::mem::take(&mut world.wire(eve).got);
    let end = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(world::frames(&got[end..]), (vec![text("after")], 0));
    assert_eq!(world.heard(bob), [text("before"), text("after")]);
}

#[test]
fn whoever_comes_to_a_room_that_is_heard_is_read_from_all_the_time() {
    let mut world = World::new();
    world.connect("/ws/lobby");
    let slot = world.accept();
    world.raw(slot, &request("/ws/lobby"));
    while world.flush_once() == Flush::More {}
    assert!(world.wire(slot).got.starts_with(b"HTTP/1.1 101 "));
    // To have the kernel look away and look again would be two system calls.
    assert!(world.hub.poll_effect().is_none());
}

#[test]
fn frames_may_follow_the_request_in_the_same_bytes() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    let bob = world.accept();
    let mut bytes = request("/ws/lobby");
    bytes.extend(masked(0x81, b"eager"));
    let (first, second) = bytes.split_at(bytes.len() - 40);
    world.raw(bob, first);
    world.raw(bob, second);
    world.settle();
    assert_eq!(world.heard(ann), [text("eager")]);
}

#[test]
fn what_comes_between_slices_is_said_in_the_next_round() {
    let mut world = World::new();
    let slots: [_; 10] = world.connect_all("/ws/lobby");
    world.say(slots[0], "one");
    assert_eq!(world.flush_once(), Flush::More, "three of ten");
    world.say(slots[9], "two");
    world.hub.handle(world.now, Event::Broken { slot: slots[1] });
    world.hub.handle(world.now, Event::Broken { slot: slots[8] });
    let [late] = world.connect_all("/ws/lobby");
    for (n, &slot) in slots.iter().enumerate() {
        let heard = world.heard(slot);
        match n {
            0 => assert_eq!(heard, [text("two")]),
            1 => assert_eq!(heard, [text("one")], "it left after it was sent to"),
            8 => assert_eq!(heard, [], "it left before"),
            9 => assert_eq!(heard, [text("one")]),
            _ => assert_eq!(heard, [text("one"), text("two")], "{n}"),
        }
    }
    assert_eq!(world.heard(late), []);
}

#[test]
fn a_response_comes_before_the_rooms_words_between_slices_too() {
    let mut world = World::new();
    let long: [_; 6] = world.connect_all("/ws/long");
    let [ann, _bob] = world.connect_all("/ws/lobby");
    let late = world.accept();
    world.say(long[0], "a flight of two slices");
    world.say(ann, "queued");
    assert_eq!(world.flush_once(), Flush::More);
    world.raw(late, &request("/ws/lobby"));
    world.say(ann, "after");
    world.settle();
    let got = std::mem::take(&mut world.wire(late).got);
    let end = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(got.starts_with(b"HTTP/1.1 101 "));
    assert_eq!(world::frames(&got[end..]), (vec![text("after")], 0));
}

#[test]
fn a_slot_used_again_within_a_turn_hears_what_is_its_own() {
    let mut world = World::new();
    let [ann, bob, _eve] = world.connect_all("/ws/lobby");
    world.say(bob, "one");
    world.hub.handle(world.now, Event::Broken { slot: bob });
    world.effects();
    *world.wire(bob) = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: bob });
    world.raw(bob, &request("/ws/lobby"));
    world.say(ann, "two");
    world.settle();
    assert!(world.wire(bob).got.ends_with(b"\r\n\r\n\x81\x03two"));
    assert_eq!(world.hub.counters().deliveries, 2 + 2, "one to two, two to two");
}

#[test]
fn large_payloads_arrive_whole_among_small_ones() {
    let mut world = World::new();
    let [ann, bob, eve] = world.connect_all("/ws/lobby");
    let large: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    world.say(ann, "small");
    // Received in pieces, so that it is assembled and shared instead of appended.
    let frame = masked(0x82, &large);
    frame.chunks(10_000).for_each(|piece| world.raw(ann, piece));
    world.say(bob, "mine");
    world.say(ann, "small again");
    world.settle();
    let from_ann = [text("small"), binary(&large), text("small again")];
    assert_eq!(world.heard(bob), from_ann);
    let everything = [text("small"), binary(&large), text("mine"), text("small again")];
    assert_eq!(world.heard(eve), everything);
    assert_eq!(world.hub.inbound_bytes(), 0);
    assert_eq!(world.hub.chunks(), 0);
}

#[test]
fn nobody_else_in_the_room_is_not_an_error() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    world.say(ann, "anyone?");
    world.settle();
    assert_eq!(world.heard(ann), []);
    assert_eq!(world.hub.counters().messages, 1);
}

#[test]
fn rooms_go_with_their_last_member() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    assert_eq!(world.hub.rooms(), 1);
    world.say(ann, "last words");
    world.end(ann);
    assert_eq!(world.heard(bob), [text("last words")]);
    world.end(bob);
    world.assert_empty();
}

#[test]
fn an_echo_comes_back_as_it_was_and_to_nobody_else() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/simple");
    world.raw(ann, &masked(0x01, b"in "));
    world.raw(ann, &masked(0x89, b"ping"));
    world.raw(ann, &masked(0x80, b"pieces"));
    world.say_binary(ann, b"");
    world.settle();
    let pong = world::Frame { opcode: 10, payload: b"ping".to_vec() };
    assert_eq!(world.heard(ann), [pong, text("in pieces"), binary(b"")]);
    assert_eq!(world.heard(bob), []);
}
