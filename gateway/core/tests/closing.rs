//! How connections end: last words, deadlines, and exactly one reason each.

mod world;

use gateway_core::close::CloseCode;
use gateway_core::event::{CloseReason, Event, Full};
use gateway_core::slot::Slot;
use world::{World, close_code, frames, masked, request, text};

const PING: u8 = 9;

#[test]
fn a_peers_close_is_answered_with_its_code() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    world.raw(ann, &masked(0x88, b"\x0f\xa0bye")); // 4000
    world.settle();
    assert_eq!(world.heard(ann).iter().map(close_code).collect::<Vec<_>>(), [Some(4000)]);
    let reason = world.wire(ann).released;
    assert!(matches!(reason, Some(CloseReason::Peer(Some(_)))), "at once: {reason:?}");
    world.assert_empty();
}

fn crowd(count: usize) -> (World, Vec<Slot>) {
    let mut world = World::new();
    world.slice = 64;
    let crowd = (0..count).map(|_| world.connect("/ws/lobby")).collect();
    (world, crowd)
}

fn told(world: &mut World, crowd: &[Slot]) -> usize {
    let codes = crowd.iter().filter(|&&slot| {
        let heard = world.heard(slot);
        assert!(heard.iter().filter_map(close_code).all(|code| code == 1001));
        heard.iter().any(|frame| close_code(frame).is_some())
    });
    codes.count()
}

#[test]
fn a_drain_tells_few_at_once_and_many_at_an_even_pace() {
    let (mut world, few) = crowd(200);
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    assert_eq!(told(&mut world, &few), 200);

    let (mut world, many) = crowd(8_400);
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    // Of ten seconds five are for the last ones to answer.
    let mut by_second = vec![told(&mut world, &many)];
    for _ in 0..5 {
        world.pass_secs(1);
        by_second.push(told(&mut world, &many));
    }
    assert_eq!(by_second, [400, 1_600, 1_600, 1_600, 1_600, 1_600]);
}

#[test]
fn who_is_still_there_when_a_drain_ends_is_cut_and_counted() {
    let (mut world, crowd) = crowd(3_000);
    for (n, &slot) in crowd.iter().enumerate() {
        world.wire(slot).window = if n < 100 { 0 } else { usize::MAX };
    }
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    for _ in 0..10 {
        world.pass_secs(1);
        for &slot in &crowd[100..] {
            if world.heard(slot).iter().any(|frame| close_code(frame) == Some(1001)) {
                world.raw(slot, &masked(0x88, b"\x03\xe9"));
            }
        }
        world.settle();
    }
    assert_eq!(world.hub.counters().cut, 100, "and nobody else");
    world.assert_empty();
}

#[test]
fn while_a_drain_goes_on_rooms_still_speak_and_nobody_comes_in() {
    let (mut world, crowd) = crowd(1_000);
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    let (first, last) = (crowd[998], crowd[999]);
    world.say(first, "still here");
    world.settle();
    assert_eq!(world.heard(last), [text("still here")]);
    let late = world.accept();
    world.raw(late, &request("/ws/lobby"));
    world.settle();
    assert!(world.wire(late).got.starts_with(b"HTTP/1.1 503 "));
}

/// A shard that was late itself cut whom it had not told yet.
#[test]
fn a_late_shard_still_says_its_last_word() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.now.0 += 60_000_000_000;
    let now = world.now;
    world.hub.handle(now, Event::Tick);
    world.settle();
    assert_eq!(world.heard(ann).iter().map(close_code).collect::<Vec<_>>(), [Some(1001)]);
    assert_eq!(world.hub.counters().cut, 0);
    world.pass_secs(60);
    assert_eq!(world.hub.counters().cut, 1, "it has not answered");
    world.assert_empty();
}

#[test]
fn what_breaks_the_protocol_is_told_why_and_heard_no_more() {
    let cases: [(&[u8], u16); 4] = [
        (b"\x81\x05hello", 1002),                            // not masked
        (&masked(0x83, b"x"), 1002),                         // reserved opcode
        (&masked(0x81, b"\xff"), 1007),                      // not UTF-8
        (b"\x82\xff\x00\x00\x00\x00\xff\xff\xff\xff", 1009), // 4 GiB declared
    ];
    for (bytes, code) in cases {
        let mut world = World::new();
        let [ann, bob] = world.connect_all("/ws/lobby");
        let mut bytes = bytes.to_vec();
        bytes.extend([0; 4]);
        world.raw(ann, &bytes);
        world.raw(ann, &masked(0x81, b"more"));
        world.settle();
        assert_eq!(world.heard(ann).iter().map(close_code).collect::<Vec<_>>(), [Some(code)]);
        assert!(world.wire(ann).shut);
        world.raw(ann, &masked(0x81, b"and more"));
        world.settle();
        assert_eq!(world.heard(bob), []);
        world.pass_secs(6);
        let reason = world.wire(ann).released;
        assert!(matches!(reason, Some(CloseReason::Protocol(_))), "{reason:?}");
        world.end(bob);
        world.assert_empty();
    }
}

#[test]
fn silence_is_asked_with_a_ping_and_any_answer_will_do() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.pass_secs(24);
    assert_eq!(world.heard(ann), []);
    world.say(bob, "not silent");
    world.settle();
    world.heard(ann);
    world.pass_secs(2);
    assert_eq!(world.heard(ann)[0].opcode, PING);
    assert_eq!(world.heard(bob), [], "who spoke is not asked");
    world.raw(ann, &masked(0x8a, b""));
    world.pass_secs(20);
    assert!(world.hub.is_live(ann));
    assert_eq!(world.heard(ann), []);
    world.pass_secs(6);
    assert_eq!(world.heard(ann)[0].opcode, PING, "asked again after another silence");
}

#[test]
fn no_answer_to_a_ping_closes() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    world.pass_secs(33);
    assert_eq!(world.heard(ann).len(), 1, "only the ping");
    world.pass_secs(2);
    assert_eq!(close_code(&world.heard(ann)[0]), Some(1008));
    world.pass_secs(6);
    assert_eq!(world.wire(ann).released, Some(CloseReason::NoPong));
    world.assert_empty();
}

#[test]
fn pings_can_be_turned_off() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let [ann] = world.connect_all("/ws/lobby");
    world.pass_secs(10_000);
    assert_eq!(world.heard(ann), []);
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn a_drain_says_1001_after_what_was_said_before() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    let half = world.accept();
    world.say(ann, "before");
    world.settle();
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    let heard = world.heard(bob);
    assert_eq!(heard[0], text("before"));
    assert_eq!(close_code(&heard[1]), Some(1001));
    assert!(world.wire(half).got.starts_with(b"HTTP/1.1 503 "));
    let late = world.accept();
    world.raw(late, &request("/ws/lobby"));
    world.settle();
    assert!(world.wire(late).got.starts_with(b"HTTP/1.1 503 "), "nobody new is let in");
    world.raw(bob, &masked(0x88, &1001_u16.to_be_bytes()));
    world.settle();
    assert_eq!(world.wire(bob).released, Some(CloseReason::Drained));
    world.pass_secs(6);
    assert_eq!(world.hub.live(), 0, "who does not answer is cut");
    world.assert_empty();
}

#[test]
fn what_was_said_before_a_drain_in_the_same_turn_is_heard_before_1001() {
    let mut world = World::new();
    let slots: [_; 6] = world.connect_all("/ws/lobby");
    world.say(slots[0], "before");
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    for slot in &slots[1..] {
        let heard = world.heard(*slot);
        assert_eq!(heard[0], text("before"));
        assert_eq!(close_code(&heard[1]), Some(1001));
    }
    assert_eq!(world.heard(slots[0]).iter().map(close_code).collect::<Vec<_>>(), [Some(1001)]);
    assert_eq!(world.hub.counters().deliveries, 5);
}

#[test]
fn a_drain_reaches_members_that_owe_after_what_they_owe() {
    let mut world = World::new();
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 4;
    world.say(ann, "owed");
    world.settle();
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    world.read_more(slow, 1_000);
    let heard = world.heard(slow);
    assert_eq!(heard[0], text("owed"));
    assert_eq!(close_code(&heard[1]), Some(1001));
}

#[test]
fn a_request_that_never_ends_is_cut() {
    let mut world = World::new();
    let slow = world.accept();
    for byte in &request("/ws/lobby")[..20] {
        world.raw(slow, &[*byte]);
    }
    world.pass_secs(6);
    assert_eq!(world.wire(slow).released, Some(CloseReason::HandshakeTimeout));
    world.assert_empty();
}

#[test]
fn refused_requests_hear_why_and_are_half_closed() {
    let mut long = request("/ws/lobby");
    long.splice(4..4, vec![b'/'; 10_000]);
    let mut old = String::from_utf8(request("/ws/lobby")).unwrap();
    old = old.replace("Version: 13", "Version: 8");
    let cases = [
        (request("/nothing/here"), 404),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 405),
        (b"GET /ws/lobby HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 426),
        (b"nonsense\r\n\r\n".to_vec(), 400),
        (old.into_bytes(), 426),
        (long, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 200),
    ];
    for (bytes, status) in cases {
        let mut world = World::new();
        let slot = world.accept();
        world.raw(slot, &bytes);
        world.settle();
        let got = String::from_utf8(world.wire(slot).got.clone()).unwrap();
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {got}");
        let body = got.split_once("\r\n\r\n").expect("a head").1;
        assert!(body.len() > 10, "it says why: {got}");
        assert!(got.contains(&format!("Content-Length: {}\r\n", body.len())), "{got}");
        assert!(world.wire(slot).shut);
        world.end(slot);
        assert_eq!(world.wire(slot).released, Some(CloseReason::Answered(status)));
        world.assert_empty();
    }
}

#[test]
fn connections_beyond_the_limit_hear_503_and_beyond_that_are_cut() {
    let mut world = World::with_limits(|limits| {
        limits.connections_max = 2;
        limits.refusals_max = 1;
    });
    let [ann, bob] = world.connect_all("/ws/lobby");
    let refused = world.accept();
    world.raw(refused, &request("/ws/lobby"));
    world.settle();
    let got = String::from_utf8(world.wire(refused).got.clone()).unwrap();
    assert!(got.starts_with("HTTP/1.1 503 ") && got.contains("Retry-After: "), "{got}");
    let cut = world.accept();
    world.settle();
    assert_eq!(world.wire(cut).released, Some(CloseReason::Overloaded));
    world.end(refused);
    world.end(bob);
    world.connect("/ws/lobby");
    assert!(world.hub.is_live(ann));
}

#[test]
fn who_is_turned_away_for_its_source_hears_429_as_newcomer_and_before_its_request_is_whole() {
    let mut world = World::with_limits(|limits| limits.refusals_max = 3);
    let request = request("/ws/lobby");
    let [begun, served] = [world.accept(), world.connect("/ws/lobby")];
    world.raw(begun, &request[..20]);
    let newcomer = world.accept_refused(Full::Source);
    let late = world.accept();
    // Only the first word counts, and none for who was answered.
    for (slot, full) in [(begun, Full::Source), (late, Full::Source), (begun, Full::Node)] {
        world.hub.handle(world.now, Event::Refused { slot, full });
    }
    world.hub.handle(world.now, Event::Refused { slot: served, full: Full::Source });
    for (slot, rest) in [(begun, &request[20..]), (newcomer, &request), (late, &request)] {
        world.raw(slot, rest);
        world.settle();
        let got = String::from_utf8(world.wire(slot).got.clone()).unwrap();
        assert!(got.starts_with("HTTP/1.1 429 ") && got.contains("Retry-After: "), "{got}");
    }
    let cut = world.accept();
    world.hub.handle(world.now, Event::Refused { slot: cut, full: Full::Source });
    world.settle();
    assert_eq!(world.wire(cut).released, Some(CloseReason::Overloaded));
    for slot in [begun, newcomer, late] {
        world.end(slot);
        assert_eq!(world.wire(slot).released, Some(CloseReason::Answered(429)));
    }
    world.say(served, "still here");
    world.settle();
    world.end(served);
    world.assert_empty();
}

#[test]
fn who_is_turned_away_has_the_time_of_a_refusal() {
    let mut world = World::with_limits(|limits| {
        (limits.handshake_secs, limits.refusal_secs) = (20, 2);
    });
    let slot = world.accept();
    world.pass_secs(1);
    world.hub.handle(world.now, Event::Refused { slot, full: Full::Source });
    world.pass_secs(3);
    assert_eq!(world.wire(slot).released, Some(CloseReason::HandshakeTimeout));
    world.assert_empty();
}

#[test]
fn a_half_closing_client_still_gets_its_echoes() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/simple");
    world.wire(ann).window = 4;
    world.say(ann, "echo me");
    world.hub.handle(world.now, Event::Ended { slot: ann });
    world.settle();
    assert!(!world.wire(ann).reads, "an ended stream is not polled for reading");
    world.read_more(ann, 100);
    assert_eq!(world.heard(ann), [text("echo me")]);
    assert_eq!(world.wire(ann).released, Some(CloseReason::Ended));
    world.assert_empty();
}

#[test]
fn a_broken_member_is_released_and_the_others_served() {
    let mut world = World::new();
    let [ann, broken, bob] = world.connect_all("/ws/lobby");
    world.wire(broken).broken = true;
    world.say(ann, "still here");
    world.settle();
    assert_eq!(world.wire(broken).released, Some(CloseReason::Reset));
    assert_eq!(world.heard(bob), [text("still here")]);
}

#[test]
fn unfinished_messages_have_a_budget() {
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = 100_000);
    let [ann, bob] = world.connect_all("/ws/lobby");
    for slot in [ann, bob] {
        world.raw(slot, &masked(0x02, &[1; 60_000]));
        world.settle();
    }
    assert!(world.hub.is_live(ann));
    assert_eq!(world.heard(ann), [], "who came first goes on");
    assert_eq!(close_code(&world.heard(bob)[0]), Some(CloseCode::TRY_LATER.to_u16()));
    assert!(world.hub.inbound_bytes() <= 100_000);
}

#[test]
fn closing_peers_do_not_escape_the_budget_for_unfinished_messages() {
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = 100_000);
    let slots: [_; 5] = world.connect_all("/ws/lobby");
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    for slot in slots {
        world.raw(slot, &masked(0x02, &[1; 60_000]));
        world.settle();
        assert!(world.hub.inbound_bytes() <= 100_000, "{}", world.hub.inbound_bytes());
    }
    world.pass_secs(6);
    world.assert_empty();
}

#[test]
fn a_slot_used_again_hears_its_own_response() {
    let mut world = World::new();
    let slot = world.accept();
    world.raw(slot, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    world.hub.handle(world.now, Event::Broken { slot });
    world.effects();
    *world.wire(slot) = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot });
    world.raw(slot, &request("/ws/lobby"));
    world.settle();
    assert!(world.wire(slot).got.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn a_slot_used_again_hears_nothing_meant_for_its_predecessor() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/simple");
    world.say(ann, "never comes back");
    world.hub.handle(world.now, Event::Broken { slot: ann });
    world.effects();
    *world.wire(ann) = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: ann });
    world.settle();
    assert_eq!(world.wire(ann).got, b"");
}

#[test]
fn who_takes_the_slot_of_one_that_left_hears_the_room() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.raw(bob, &masked(0x88, b"\x03\xe8"));
    world.settle();
    assert!(world.wire(bob).released.is_some());
    *world.wire(bob) = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: bob });
    world.raw(bob, &request("/ws/lobby"));
    world.settle();
    world.wire(bob).got.clear();
    world.say(ann, "hello");
    world.say(bob, "me too");
    world.settle();
    assert_eq!(world.heard(bob), [text("hello")]);
}

#[test]
fn who_is_released_while_hushed_does_not_hush_its_successor() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.say(ann, "before");
    world.raw(bob, &masked(0x88, b"\x03\xe8")); // hears "before", then its close frame
    world.hub.handle(world.now, Event::Broken { slot: bob });
    world.effects();
    *world.wire(bob) = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: bob });
    world.raw(bob, &request("/ws/lobby"));
    world.say(ann, "after");
    world.settle();
    assert!(world.wire(bob).got.ends_with(b"\r\n\r\n\x81\x05after"));
}

#[test]
fn an_echo_that_was_not_read_from_is_heard_saying_goodbye() {
    let mut world = World::with_limits(|limits| limits.echo_outbox_bytes_max = 10_000);
    let [stuck, late] = world.connect_all("/ws/simple");
    world.wire(stuck).window = 0;
    world.say_binary(stuck, &[1; 60_000]);
    world.settle();
    assert!(!world.wire(late).reads);
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    assert_eq!(world.heard(late).iter().map(close_code).collect::<Vec<_>>(), [Some(1001)]);
    assert!(world.wire(late).reads);
    world.raw(late, &masked(0x88, &1001_u16.to_be_bytes()));
    world.settle();
    assert_eq!(world.wire(late).released, Some(CloseReason::Drained));
}

#[test]
fn a_slow_member_whose_response_is_unsent_gets_it_before_1013() {
    let mut world = World::with_limits(|limits| limits.outbox_bytes_max = 1_000);
    let [ann] = world.connect_all("/ws/lobby");
    let late = world.accept();
    world.wire(late).window = 0;
    world.raw(late, &request("/ws/lobby"));
    world.settle();
    for _ in 0..100 {
        world.say(ann, "0123456789012345678901234567890");
        world.settle();
    }
    world.read_more(late, usize::MAX / 2);
    let got = &world.wire(late).got;
    let at = got.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a response");
    assert!(got.starts_with(b"HTTP/1.1 101 "));
    let (last, rest) = frames(&got[at + 4..]);
    assert_eq!((last.iter().map(close_code).collect::<Vec<_>>(), rest), (vec![Some(1013)], 0));
    assert!(last[0].payload[2..].starts_with(b"slow; reconnect after "));
}
