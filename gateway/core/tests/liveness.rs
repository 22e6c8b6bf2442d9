//! Signs of life: who is asked, who need not be, and who is slow but alive.

mod world;

use gateway_core::event::Event;
use gateway_core::hub::MemberPolicy;
use world::{World, close_code, masked, request, small_outbox};

const PING: u8 = 9;
const PONG: u8 = 10;

#[test]
fn a_lossy_member_that_reads_slowly_is_asked_and_not_closed() {
    let mut world = World::with(small_outbox(), MemberPolicy::Lossy);
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 0;
    for _ in 0..160 {
        for _ in 0..20 {
            world.say(ann, "message of some length or so");
            world.settle();
        }
        world.pass_secs(1);
        world.read_more(slow, 300);
        for frame in world.heard(slow) {
            assert_eq!(close_code(&frame), None);
            if frame.opcode == PING {
                world.raw(slow, &masked(0x8a, b""));
            }
        }
    }
    assert!(world.hub.is_live(slow));
}

#[test]
fn pongs_are_neither_dropped_nor_counted_as_messages() {
    let mut world = World::with(small_outbox(), MemberPolicy::Lossy);
    let [ann] = world.connect_all("/ws/lobby");
    world.wire(ann).window = 0;
    let pings: Vec<u8> = (0..10).flat_map(|_| masked(0x89, &[7; 100])).collect();
    world.raw(ann, &pings);
    world.settle();
    let counters = world.hub.counters();
    assert_eq!((counters.dropped, counters.deliveries), (0, 0));
    world.read_more(ann, usize::MAX / 2);
    assert_eq!(world.heard(ann).len(), 10);
}

/// It was owed whatever it asked for.
#[test]
fn pongs_beyond_what_a_lossy_member_may_owe_close_it() {
    let mut limits = small_outbox();
    limits.controls_per_sec = 0;
    let mut world = World::with(limits, MemberPolicy::Lossy);
    let [ann] = world.connect_all("/ws/lobby");
    world.wire(ann).window = 0;
    let pings: Vec<u8> = (0..1_000).flat_map(|_| masked(0x89, &[7; 100])).collect();
    world.raw(ann, &pings);
    world.settle();
    assert!(world.hub.outbox_bytes() < 10_000, "{}", world.hub.outbox_bytes());
    world.read_more(ann, usize::MAX / 2);
    assert_eq!(world.heard(ann).last().and_then(close_code), Some(1013));
}

#[test]
fn an_echo_is_never_closed_for_slowness_however_long_it_takes() {
    let mut world = World::new();
    let [ann, idle] = world.connect_all("/ws/simple");
    for slot in [ann, idle] {
        world.wire(slot).window = 0;
        world.say_binary(slot, &[7; 10_000]);
    }
    world.settle();
    for _ in 0..60 {
        world.pass_secs(1);
        world.read_more(ann, 100);
    }
    for slot in [ann, idle] {
        world.read_more(slot, usize::MAX / 2);
        let heard = world.heard(slot);
        assert_eq!(heard.iter().filter_map(close_code).next(), None);
        assert_eq!(heard[0].payload.len(), 10_000);
    }
}

#[test]
fn taking_a_large_message_slowly_is_a_sign_of_life() {
    let mut world = World::new();
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 10;
    world.say_binary(ann, &[7; 100_000]);
    world.settle();
    for _ in 0..60 {
        world.pass_secs(1);
        world.read_more(slow, 1_000);
        world.raw(ann, &masked(0x8a, b""));
    }
    world.read_more(slow, usize::MAX / 2);
    assert_eq!(world.heard(slow).iter().filter_map(close_code).next(), None);
}

#[test]
fn an_answer_counts_however_long_pong_secs_is() {
    let mut world = World::with_limits(|limits| {
        limits.ping_secs = 5;
        limits.pong_secs = 10;
    });
    let [ann] = world.connect_all("/ws/lobby");
    let mut pings = 0;
    for _ in 0..60 {
        world.pass_secs(1);
        for frame in world.heard(ann) {
            assert_eq!(frame.opcode, PING);
            pings += 1;
            world.raw(ann, &masked(0x8a, b""));
            world.settle();
        }
    }
    assert!(pings >= 5, "{pings}");
}

/// Whoever had answered while the shard did not turn was closed before its answer was read.
#[test]
fn a_shard_that_was_late_reads_before_it_judges() {
    let mut world = World::with_limits(|limits| {
        limits.ping_secs = 5;
        limits.pong_secs = 4;
    });
    let [ann, gone] = world.connect_all("/ws/lobby");
    world.pass_secs(6);
    world.settle();
    assert_eq!(world.heard(ann).last().map(|frame| frame.opcode), Some(PING));
    let asking = world.accept();
    world.raw(asking, b"GET /ws/lobby HTTP/1.1\r\n");

    // The machine is suspended for an hour. What came meanwhile is read behind the tick.
    world.now.0 += 3_600_000_000_000;
    let now = world.now;
    world.hub.handle(now, Event::Tick);
    world.raw(ann, &masked(0x8a, b""));
    let request = request("/ws/lobby");
    let behind = request.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    world.raw(asking, &request[behind..]);
    world.settle();
    assert!(world.wire(asking).got.starts_with(b"HTTP/1.1 101 "));
    world.pass_secs(3);
    assert_eq!(world.heard(ann).iter().filter_map(close_code).next(), None);
    let closed: Vec<_> = world.heard(gone).iter().filter_map(close_code).collect();
    assert_eq!(closed, [1008], "who has said nothing has a second more, and no other");
}

#[test]
fn a_pong_does_not_wait_until_everything_else_was_read() {
    let mut world = World::new();
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 4;
    for _ in 0..3 {
        world.say(ann, "0123456789");
        world.settle();
    }
    world.raw(slow, &masked(0x89, b"hi"));
    world.settle();
    let mut heard = Vec::new();
    for _ in 0..5 {
        world.say(ann, "0123456789");
        world.settle();
        world.read_more(slow, 12);
        heard.extend(world.heard(slow));
    }
    let at = heard.iter().position(|frame| frame.opcode == PONG);
    assert_eq!(at, Some(1), "behind the frame that was half sent");
}

#[test]
fn an_echo_taken_back_slowly_survives_its_goodbye() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/simple");
    world.wire(ann).window = 0;
    let mut bytes = masked(0x82, &[1; 10_000]);
    bytes.extend(masked(0x88, b"\x03\xe8"));
    world.raw(ann, &bytes);
    world.settle();
    for _ in 0..12 {
        world.pass_secs(1);
        world.read_more(ann, 1_000);
    }
    let heard = world.heard(ann);
    assert_eq!(heard[0].payload.len(), 10_000);
    assert_eq!(close_code(&heard[1]), Some(1000));
}

#[test]
fn an_echo_that_is_not_read_from_is_not_asked_for_a_pong() {
    let mut world = World::with_limits(|limits| limits.echo_outbox_bytes_max = 10_000);
    let [stuck, late] = world.connect_all("/ws/simple");
    world.wire(stuck).window = 0;
    world.say_binary(stuck, &[1; 60_000]);
    world.settle();
    assert!(!world.wire(late).reads);
    world.pass_secs(60);
    assert_eq!(world.heard(late), []);
    assert!(world.hub.is_live(late));
}

#[test]
fn a_pong_does_not_overtake_the_response() {
    let mut world = World::new();
    let late = world.accept();
    world.wire(late).window = 0;
    world.raw(late, &request("/ws/lobby"));
    world.settle();
    world.raw(late, &masked(0x89, b"p"));
    world.read_more(late, usize::MAX / 2);
    let got = &world.wire(late).got;
    assert!(got.starts_with(b"HTTP/1.1 101 ") && got.ends_with(b"\r\n\r\n\x8a\x01p"));
}
