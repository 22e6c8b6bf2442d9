//! Members who do not read: what they owe, what it may cost, and how they go.

mod world;

use gateway_core::event::CloseReason;
use gateway_core::hub::MemberPolicy;
use gateway_core::limits::Limits;
use gateway_core::route::Routes;
use gateway_core::slot::Slot;
use world::{Frame, World, binary, close_code, masked, small_outbox, text};

#[test]
fn a_slow_member_finds_whole_frames_and_then_1013() {
    for window in 0..60 {
        let mut world = World::with(small_outbox(), MemberPolicy::Close);
        let [ann, bob, stuck] = world.connect_all("/ws/lobby");
        world.wire(stuck).window = window;
        for n in 0..100 {
            world.say(ann, &format!("message {n:10}"));
            world.settle();
        }
        assert_eq!(world.heard(bob).len(), 100, "nobody else is held up");
        world.read_more(stuck, usize::MAX / 2);
        let mut heard = world.heard(stuck);
        assert_eq!(world.wire(stuck).got, b"", "no half frame is left");
        assert_eq!(close_code(&heard.pop().unwrap()), Some(1013), "window {window}");
        for (n, frame) in heard.iter().enumerate() {
            assert_eq!(*frame, text(&format!("message {n:10}")));
        }
        let kept = usize::div_ceil(window, 20);
        assert_eq!(heard.len(), kept, "the half-sent frame is completed, window {window}");
        world.raw(stuck, &masked(0x88, &1013_u16.to_be_bytes()));
        world.settle();
        assert_eq!(world.wire(stuck).released, Some(CloseReason::Slow));
        assert_eq!(world.hub.chunks(), 0);
    }
}

#[test]
fn an_empty_outbox_takes_one_message_of_any_size_and_what_fits_after_it() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann, stuck] = world.connect_all("/ws/lobby");
    world.wire(stuck).window = 10;
    world.say_binary(ann, &[7; 500_000]);
    world.settle();
    assert!(world.hub.is_live(stuck));
    world.read_more(stuck, usize::MAX / 2);
    assert_eq!(world.heard(stuck), [binary(&[7; 500_000])]);
    world.wire(stuck).window = 10;
    world.say_binary(ann, &[7; 500_000]);
    world.settle();
    world.say_binary(ann, b"small");
    world.settle();
    assert!(world.wire(stuck).writes, "it owes");
    world.read_more(stuck, usize::MAX / 2);
    assert_eq!(world.heard(stuck), [binary(&[7; 500_000]), binary(b"small")]);
    world.wire(stuck).window = 10;
    world.say_binary(ann, &[7; 500_000]);
    world.say_binary(ann, &[8; 1_000]);
    world.settle();
    world.read_more(stuck, usize::MAX / 2);
    let heard = world.heard(stuck);
    assert_eq!(heard[0], binary(&[7; 500_000]), "half sent, so completed");
    assert_eq!(close_code(&heard[1]), Some(1013));
}

#[test]
fn a_slow_member_that_never_reads_is_cut_after_close_secs() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann, stuck] = world.connect_all("/ws/lobby");
    world.wire(stuck).window = 0;
    for _ in 0..200 {
        world.say(ann, "0123456789");
        world.settle();
    }
    assert!(world.hub.is_live(stuck));
    world.pass_secs(4);
    assert!(world.hub.is_live(stuck));
    world.pass_secs(2);
    assert_eq!(world.wire(stuck).released, Some(CloseReason::Slow));
    assert_eq!(world.hub.counters().cut, 1);
    assert_eq!((world.hub.chunks(), world.hub.outbox_bytes()), (0, 0));
}

#[test]
fn a_member_that_catches_up_in_time_misses_nothing() {
    let mut world = World::new();
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 7;
    for n in 0..500 {
        world.say(ann, &format!("{n}"));
        world.settle();
        world.read_more(slow, n % 5);
    }
    while world.wire(slow).writes {
        world.read_more(slow, 11);
    }
    let expected: Vec<_> = (0..500).map(|n| text(&n.to_string())).collect();
    assert_eq!(world.heard(slow), expected);
    assert_eq!(world.hub.chunks(), 0);
}

#[test]
fn a_lossy_member_misses_whole_frames_and_stays() {
    let mut world = World::with(small_outbox(), MemberPolicy::Lossy);
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 33;
    for n in 0..200 {
        world.say(ann, &format!("message {n:10}"));
        world.settle();
    }
    world.read_more(slow, usize::MAX / 2);
    let heard = world.heard(slow);
    assert_eq!(world.wire(slow).got, b"");
    assert!(heard.len() > 10 && heard.len() < 100, "{}", heard.len());
    for (n, frame) in heard.iter().enumerate() {
        assert_eq!(*frame, text(&format!("message {n:10}")), "the oldest are kept, in order");
    }
    let counters = world.hub.counters();
    assert_eq!(counters.dropped, 200 - heard.len() as u64);
    assert_eq!(counters.deliveries, heard.len() as u64);
    world.say(ann, "after");
    world.settle();
    assert_eq!(world.heard(slow), [text("after")]);
}

#[test]
fn the_shards_budget_holds_by_closing_who_owes_most() {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 1 << 20;
    limits.shard_outbox_bytes_max = 64 << 10;
    let budget = limits.shard_outbox_bytes_max;
    let mut world = World::with(limits, MemberPolicy::Close);
    let [ann, much, little, reader] = world.connect_all("/ws/lobby");
    world.wire(much).window = 0;
    world.wire(little).window = 20_000;
    for n in 0..30 {
        world.say_binary(ann, &[n; 4_000]);
        world.settle();
        assert!(world.hub.outbox_bytes() <= budget, "{}", world.hub.outbox_bytes());
    }
    assert_eq!(world.heard(reader).len(), 30);
    world.read_more(much, usize::MAX / 2);
    assert_eq!(close_code(&world.heard(much)[0]), Some(1013));
    assert!(world.wire(little).released.is_none(), "who owed less was not first");
}

#[test]
fn closing_members_whose_half_frames_fill_the_budget_are_cut() {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 1_000;
    limits.shard_outbox_bytes_max = 100 << 10;
    let budget = limits.shard_outbox_bytes_max;
    let mut world = World::with(limits, MemberPolicy::Close);
    for n in 0..6 {
        let [author, stuck] = world.connect_all(&format!("/ws/room-{n}"));
        world.wire(stuck).window = 5;
        for _ in 0..2 {
            world.say_binary(author, &[n; 40_000]);
            world.settle();
            assert!(world.hub.outbox_bytes() <= budget, "{}", world.hub.outbox_bytes());
        }
        assert!(world.hub.is_live(author));
    }
    let counters = world.hub.counters();
    assert_eq!(counters.closed[CloseReason::Slow.index()], 4, "two half frames fit");
    assert_eq!(counters.cut, 4);
}

#[test]
fn an_echo_is_never_closed_for_slowness_but_not_read_from() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann] = world.connect_all("/ws/simple");
    world.wire(ann).window = 100;
    for n in 0..50 {
        world.say_binary(ann, &[n; 100]);
    }
    world.settle();
    assert!(!world.wire(ann).reads, "what it has not taken back, it may not add to");
    world.read_more(ann, 1_000);
    assert!(!world.wire(ann).reads);
    world.read_more(ann, usize::MAX / 2);
    assert!(world.wire(ann).reads);
    let expected: Vec<_> = (0..50).map(|n| binary(&[n; 100])).collect();
    assert_eq!(world.heard(ann), expected);
}

#[test]
fn pings_without_reading_owe_the_latest_pong_only() {
    let mut world = World::with_limits(|limits| limits.controls_per_sec = 0);
    let [ann, flooder] = world.connect_all("/ws/lobby");
    world.wire(flooder).window = 0;
    world.say(ann, "blocks");
    world.settle();
    for n in 0..10_000_u32 {
        world.raw(flooder, &masked(0x89, &n.to_be_bytes()));
        world.settle();
    }
    assert!(world.hub.outbox_bytes() < 1_000, "{}", world.hub.outbox_bytes());
    world.read_more(flooder, usize::MAX / 2);
    let latest = Frame { opcode: 10, payload: 9_999_u32.to_be_bytes().to_vec() };
    assert_eq!(world.heard(flooder), [latest, text("blocks")], "as soon as it may be sent");
}

#[test]
fn stuck_members_share_what_they_owe() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    let stuck: [_; 200] = world.connect_all("/ws/lobby");
    for &slot in &stuck {
        world.wire(slot).window = 3;
    }
    for _ in 0..10 {
        world.say_binary(ann, &[1; 10_000]);
        world.settle();
    }
    let kept = world.hub.outbox_bytes();
    assert!((100_000..250_000).contains(&kept), "each chunk once, not 200 times: {kept}");
}

#[test]
fn tiny_messages_to_a_stuck_member_are_charged_what_they_cost() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann, stuck] = world.connect_all("/ws/lobby");
    world.wire(stuck).window = 0;
    let mut turns = 0;
    while world.hub.counters().closed_total() == 0 && turns < 2_000 {
        world.say(ann, "");
        world.settle();
        turns += 1;
        if world.hub.outbox_bytes() == 0 {
            break;
        }
        world.read_more(stuck, 0);
    }
    world.read_more(stuck, usize::MAX / 2);
    let heard = world.heard(stuck);
    assert_eq!(heard.last().and_then(close_code), Some(1013), "2 bytes each, yet bounded");
}

/// A world whose rooms under `/ws/` have this policy, an author, and one that does not read.
fn stuck_under(policy: MemberPolicy) -> (World, Slot, Slot) {
    let mut routes = Routes::builtin();
    routes[1].member_policy = Some(policy);
    let mut world = World::serving(&routes);
    let [author, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 0;
    (world, author, slow)
}

fn say_many(world: &mut World, author: Slot, range: std::ops::Range<usize>) {
    for n in range {
        world.say(author, &format!("{n:060}"));
        world.settle();
    }
}

/// Numbers of the messages heard, in order, and what else was.
fn numbers(heard: &[Frame]) -> (Vec<usize>, Vec<String>) {
    let words = heard.iter().map(|frame| String::from_utf8(frame.payload.clone()).expect("text"));
    let (numbers, others): (Vec<_>, Vec<_>) = words.partition(|word| word.len() == 60);
    (numbers.iter().map(|word| word.parse().expect("a number")).collect(), others)
}

#[test]
fn a_member_is_told_how_many_it_missed_and_hears_what_follows() {
    let (mut world, author, slow) = stuck_under(MemberPolicy::Gap);
    say_many(&mut world, author, 0..500);
    assert!(world.hub.outbox_bytes() < 4_000, "{}", world.hub.outbox_bytes());
    world.read_more(slow, usize::MAX / 2);
    say_many(&mut world, author, 500..502);
    let (heard, told) = numbers(&world.heard(slow));
    let first = heard.len() - 2;
    assert_eq!(heard, (0..first).chain(500..502).collect::<Vec<_>>());
    assert_eq!(told, [format!(r#"{{"type":"gap","missed":{}}}"#, 500 - first)]);
    assert_eq!(world.hub.counters().dropped, (500 - first) as u64);
}

/// At its bound it was told of each message.
#[test]
fn a_member_that_reads_a_little_is_told_of_one_gap_when_half_is_taken() {
    let (mut world, author, slow) = stuck_under(MemberPolicy::Gap);
    say_many(&mut world, author, 0..100);
    for n in 0..10 {
        world.read_more(slow, 30);
        say_many(&mut world, author, 100 + n..101 + n);
    }
    let (before, told) = numbers(&world.heard(slow));
    assert!(told.is_empty(), "not yet");
    world.read_more(slow, 600);
    say_many(&mut world, author, 110..111);
    world.read_more(slow, usize::MAX / 2);
    let (heard, told) = numbers(&world.heard(slow));
    let missed = 111 - before.len() - heard.len();
    assert_eq!(told, [format!(r#"{{"type":"gap","missed":{missed}}}"#)]);
    assert_eq!(heard.last(), Some(&110), "what came after the gap was told");
}

#[test]
fn a_member_gets_the_newest_of_what_it_missed() {
    let (mut world, author, slow) = stuck_under(MemberPolicy::Latest);
    say_many(&mut world, author, 0..500);
    world.read_more(slow, usize::MAX / 2);
    say_many(&mut world, author, 500..502);
    let (heard, told) = numbers(&world.heard(slow));
    let first = heard.len() - 3;
    assert_eq!(heard, (0..first).chain(499..502).collect::<Vec<_>>());
    assert!(told.is_empty());
    world.end(slow);
    world.end(author);
    world.assert_empty();
}

#[test]
fn who_missed_something_and_goes_leaves_nothing_behind() {
    for policy in [MemberPolicy::Gap, MemberPolicy::Latest] {
        let (mut world, author, slow) = stuck_under(policy);
        say_many(&mut world, author, 0..100);
        world.end(slow);
        world.pass_secs(30);
        world.end(author);
        world.assert_empty();
    }
}
