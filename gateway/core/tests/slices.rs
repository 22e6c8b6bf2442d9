//! Long messages are inflated in slices: what others have of it, and what may come between.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod deflating;
mod nodes;
mod world;

use std::sync::Arc;

use flate2::{Compress, Compression as Level};
use gateway_core::close::CloseCode;
use gateway_core::deflate::Compression;
use gateway_core::event::{CloseReason, Event};
use gateway_core::handler::Callbacks;
use gateway_core::hit::Hit;
use gateway_core::hub::{Config, Hub};
use gateway_core::id::ShardId;
use gateway_core::limits::Limits;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;

use deflating::*;
use nodes::Node;
use world::{World, binary, masked, text};

/// Bytes that came of which one slice is inflated, and of which a call inflates no more than two.
const CAME_BYTES: usize = 32 << 10;

/// The next turn, if there is anything to do now.
fn turn(world: &mut World) -> bool {
    let due = world.hub.poll_timeout().is_some_and(|at| at <= world.now);
    if due {
        world.hub.handle(world.now, Event::Tick);
        world.settle();
    }
    due
}

/// Turns until nothing is left to do now.
fn turns(world: &mut World) -> usize {
    let turns = (0..10_000).find(|_| !turn(world));
    turns.expect("what is in work comes to an end")
}

/// A message of so many pairs of blocks that have codes and nothing else, 23 bytes each pair.
fn empty_blocks(pairs: usize) -> Vec<u8> {
    // RFC 1951 §3.2.7, the lowest bit first: a block that is not the last, with codes of its own;
    // 257 literals, one distance, 18 lengths of codes, of which 18 has 1 bit, 0 and 1 have 2; twice
    // 18, so that 256 literals have no code, a 1 for the end of the block and a 0; and that end.
    let lengths = |at| match at {
        2 => 1,
        3 | 17 => 2,
        _ => 0,
    };
    let lengths: Vec<_> = (0..18).map(|at| (lengths(at), 3)).collect();
    let fields = [&[(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)], &lengths[..]].concat();
    let rest = [(0, 1), (138 - 11, 7), (0, 1), (118 - 11, 7), (0b11, 2), (0b01, 2), (0, 1)];
    let block: Vec<(u32, u32)> = [fields, rest.to_vec()].concat();
    let bits = block.repeat(2).into_iter();
    let bits: Vec<_> =
        bits.flat_map(|(value, len)| (0..len).map(move |at| value >> at & 1)).collect();
    let byte = |bits: &[u32]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8);
    let pair: Vec<u8> = bits.chunks(8).map(byte).collect();
    assert_eq!(pair.len(), 23);
    [&pair.repeat(pairs)[..], &[0]].concat()
}

/// Characters of which a deflated message has six bits each.
fn letters(len: usize) -> Vec<u8> {
    let mut seed = 7_u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'0' + (seed >> 58) as u8
    };
    (0..len).map(|_| letter()).collect()
}

#[test]
fn a_message_of_empty_blocks_takes_many_turns_in_each_of_which_neighbours_are_served() {
    let mut world = World::new();
    let slow = join(&mut world, "/ws/simple", OFFER).0;
    let plain = world.connect("/ws/simple");
    let deflates = join(&mut world, "/ws/simple", OFFER).0;
    let message = empty_blocks(20_000);
    world.raw(slow, &masked(0xc2, &message));
    world.settle();
    let mut turns = 0;
    loop {
        world.say(plain, "plain");
        world.raw(deflates, &masked(0xc1, &deflated(b"deflated")));
        world.settle();
        assert_eq!(world.heard(plain), [text("plain")]);
        assert_eq!(world.heard(deflates), [text("deflated")]);
        if !turn(&mut world) {
            break;
        }
        turns += 1;
    }
    // The first slice was had at once.
    assert_eq!(turns, message.len().div_ceil(CAME_BYTES) - 1);
    assert_eq!(world.heard(slow), [binary(b"")]);
    assert_eq!(world.hub.inbound_bytes(), 0);
}

#[test]
fn messages_of_one_call_have_no_more_than_two_slices_together() {
    let mut world = World::new();
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    // Each fits into a slice.
    let message = empty_blocks(1000);
    world.raw(echo, &masked(0xc2, &message).repeat(10));
    world.settle();
    let mut heard = vec![world.heard(echo).len()];
    while turn(&mut world) {
        heard.push(world.heard(echo).len());
    }
    assert_eq!(heard.iter().sum::<usize>(), 10);
    assert!(heard.iter().all(|&heard| heard * message.len() < 2 * CAME_BYTES), "{heard:?}");
    assert_eq!(heard.len(), 10, "a call each: {heard:?}");
}

#[test]
fn whatever_comes_in_slices_is_heard_as_it_was_said_however_it_is_cut() {
    let mut world = World::with_limits(|limits| limits.deflate_bytes_per_sec = 0);
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    let characters = "a \u{f6} \u{20ac} \u{1f600}".repeat(40_000).into_bytes();
    for (round, message) in
        [letters(300_000), vec![0; 3 << 20], characters, letters(70_000).repeat(9)]
            .iter()
            .enumerate()
    {
        for cut in [1009, 70_001, usize::MAX] {
            let first = if round == 1 { 0x42 } else { 0x41 };
            let deflated = deflated(message);
            let (one, two) = deflated.split_at(deflated.len() / 3);
            let frames = [masked(first, one), masked(0x89, b"?"), masked(0x80, two)].concat();
            let behind = [masked(0x89, b"!"), masked(0xc1, &self::deflated(b"next"))].concat();
            for piece in [frames, behind].concat().chunks(cut) {
                world.raw(echo, piece);
                world.settle();
                while !world.wire(echo).reads && turn(&mut world) {}
            }
            turns(&mut world);
            let heard = frames_of(&mut world, echo);
            let firsts: Vec<_> = heard.iter().map(|(first, _)| *first).collect();
            assert_eq!(firsts, [0x8a, first & 0x0f | 0x80, 0x8a, 0x81], "{round} {cut}");
            assert!(heard[1].1 == *message, "{round} {cut}");
            assert_eq!((&heard[0].1[..], &heard[2].1[..]), (&b"?"[..], &b"!"[..]));
            assert_eq!(heard[3].1, b"next");
            assert_eq!(world.hub.inbound_bytes(), 0);
        }
        // So that its rate allows the next ones.
        world.pass_secs(10);
    }
}

fn frames_of(world: &mut World, slot: Slot) -> Vec<(u8, Vec<u8>)> {
    frames(&std::mem::take(&mut world.wire(slot).got))
}

#[test]
fn bad_text_is_told_in_the_slice_in_which_it_is_bad() {
    let good = letters(400_000);
    let mut world = World::new();
    for at in [100, 90_000, 200_000, 399_999] {
        let echo = join(&mut world, "/ws/simple", OFFER).0;
        let mut bad = good.clone();
        bad[at] = 0xff;
        world.raw(echo, &masked(0xc1, &deflated(&bad)));
        world.settle();
        let turns = turns(&mut world);
        assert_eq!(closed_with(&mut world, echo), Some(1007), "{at}");
        let expected = at * 6 / 8 / CAME_BYTES;
        assert!(turns.abs_diff(expected) <= 1, "{at}: {turns} turns, not {expected}");
        assert_eq!(world.hub.inbound_bytes(), 0);
    }
    // The beginning of a character, and then nothing.
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    say(&mut world, echo, 0xc1, &deflated(&[&good[..], b"\xe2\x82"].concat()));
    turns(&mut world);
    assert_eq!(closed_with(&mut world, echo), Some(1007));
}

#[test]
fn what_is_no_stream_is_told_in_the_slice_in_which_it_is_none() {
    let mut world = World::new();
    let good = [&deflated(&letters(50_000))[..], b"\x00\x00\xff\xff"].concat();
    for pieces in 0..5 {
        let echo = join(&mut world, "/ws/simple", OFFER).0;
        let bad = [&good.repeat(pieces)[..], &[0xff; 100_000]].concat();
        say(&mut world, echo, 0xc2, &bad);
        let turns = turns(&mut world);
        assert_eq!(closed_with(&mut world, echo), Some(1007), "{pieces}");
        assert_eq!(turns, good.len() * pieces / CAME_BYTES, "{pieces}");
        assert_eq!(world.hub.inbound_bytes(), 0);
    }
}

#[test]
fn a_bomb_is_refused_in_the_slice_in_which_it_passes_the_limit() {
    let bomb = deflated(&vec![0; 64 << 20]);
    let mut before = 0;
    for limit in [1 << 20, 4 << 20, 8 << 20, 16 << 20] {
        let mut world = World::with_limits(|limits| limits.message_bytes_max = limit);
        let echo = join(&mut world, "/ws/simple", OFFER).0;
        world.raw(echo, &masked(0xc2, &bomb));
        world.settle();
        let mut turns = 0;
        while turn(&mut world) {
            turns += 1;
            let held = world.hub.inbound_bytes();
            assert!(held <= bomb.len() + limit + (48 << 10), "{held} bytes for {limit}");
        }
        assert_eq!(closed_with(&mut world, echo), Some(1009), "{limit}");
        assert_eq!(world.hub.inbound_bytes(), 0);
        // A call inflates less than 1 MiB, and at least a slice.
        assert!((limit >> 20..=limit >> 18).contains(&turns), "{limit}: {turns} turns");
        assert!(turns >= before);
        before = turns;
    }
    assert!(before >= 4);
}

#[test]
fn of_those_in_the_middle_who_has_made_least_goes_first() {
    let mut world = World::new();
    let [greedy, honest] = [(); 2].map(|()| join(&mut world, "/ws/simple", OFFER).0);
    say(&mut world, greedy, 0xc2, &empty_blocks(60_000));
    for _ in 0..5 {
        assert!(turn(&mut world));
    }
    let message = letters(130_000);
    say(&mut world, honest, 0xc1, &deflated(&message));
    assert_eq!(heard(&mut world, honest), [], "it takes more than a slice");
    for _ in 0..3 {
        assert!(turn(&mut world));
    }
    assert_eq!(heard(&mut world, honest), [(false, message)]);
    assert_eq!(heard(&mut world, greedy), [], "whose message is in work");
    turns(&mut world);
    assert_eq!(heard(&mut world, greedy), [(false, vec![])]);
    assert_eq!(world.hub.inbound_bytes(), 0);
}

#[test]
fn those_who_make_as_much_as_each_other_have_slices_by_turns() {
    let mut world = World::new();
    let message = empty_blocks(10_000);
    let slots = [(); 3].map(|()| join(&mut world, "/ws/simple", OFFER).0);
    for slot in slots {
        say(&mut world, slot, 0xc2, &message);
    }
    let mut ended = Vec::new();
    let mut turns = 0;
    while turn(&mut world) {
        turns += 1;
        let told = slots.map(|slot| world.heard(slot).len());
        ended.extend((0..told.iter().sum()).map(|_| turns));
    }
    let slices = message.len().div_ceil(CAME_BYTES) - 1;
    // The last ones are short, and may share a turn.
    assert!((3 * slices - 2..=3 * slices).contains(&turns), "{turns} turns");
    assert_eq!(ended.len(), 3);
    assert!(ended[0] + 2 >= turns, "none before the others are nearly done: {ended:?}");
}

#[test]
fn messages_in_work_count_as_what_is_unfinished() {
    let message = empty_blocks(10_000);
    let bound = message.len() + (100 << 10);
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = bound);
    let [first, second] = [(); 2].map(|()| join(&mut world, "/ws/simple", OFFER).0);
    say(&mut world, first, 0xc2, &message);
    assert!(world.hub.inbound_bytes() >= message.len() + (47 << 10));
    say(&mut world, second, 0xc2, &message);
    assert_eq!(closed_with(&mut world, second), Some(1013), "who sent more pays");
    assert!(world.hub.inbound_bytes() <= bound);
    turns(&mut world);
    assert_eq!(world.heard(first), [binary(b"")]);
    assert_eq!(world.hub.inbound_bytes(), 0);
}

#[test]
fn whoever_goes_while_its_message_is_in_work_leaves_nothing() {
    let message = masked(0xc2, &empty_blocks(10_000));
    for slices in 0..4 {
        let mut world = World::new();
        let [broken, ended] = [(); 2].map(|()| join(&mut world, "/ws/simple", OFFER).0);
        for slot in [broken, ended] {
            world.raw(slot, &message);
        }
        world.settle();
        (0..slices).for_each(|_| assert!(turn(&mut world)));
        world.hub.handle(world.now, Event::Broken { slot: broken });
        world.settle();
        assert_eq!(world.wire(broken).released, Some(CloseReason::Reset));
        world.end(ended);
        assert_eq!(world.wire(ended).released, Some(CloseReason::Ended));
        world.assert_empty();
        assert!(turns(&mut world) <= 1, "nobody has a turn any more");
    }
}

#[test]
fn a_drain_says_goodbye_to_whose_message_is_in_work_and_hears_its_goodbye_behind_it() {
    let mut world = World::new();
    let slots = [(); 2].map(|()| join(&mut world, "/ws/simple", OFFER).0);
    let goodbye = masked(0x88, &1000u16.to_be_bytes());
    let message = masked(0xc2, &empty_blocks(10_000));
    world.raw(slots[0], &[&message[..], &goodbye].concat());
    world.raw(slots[1], &message);
    world.settle();
    assert!(turn(&mut world));
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    assert_eq!(world.wire(slots[0]).released, Some(CloseReason::Drained));
    assert_eq!(closed_with(&mut world, slots[1]), Some(1001));
    assert_eq!(world.hub.inbound_bytes(), 0, "its message is not of interest any more");
    assert!(world.wire(slots[1]).reads);
    world.raw(slots[1], &goodbye);
    world.settle();
    world.assert_empty();
}

#[test]
fn who_takes_nothing_back_has_no_other_slice_until_it_does() {
    let mut world = World::with_limits(|limits| limits.deflate_bytes_per_sec = 0);
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    world.wire(echo).window = 10;
    let long = deflated(&letters(200_000));
    world.raw(echo, &[masked(0xc1, &deflated(&words(500))), masked(0xc1, &long)].concat());
    world.settle();
    assert_eq!(turns(&mut world), 1, "it is not looked at again and again");
    assert!(world.hub.inbound_bytes() >= long.len());
    world.read_more(echo, usize::MAX);
    turns(&mut world);
    assert_eq!(heard(&mut world, echo), [(false, words(500)), (false, letters(200_000))]);
}

/// A world in which `/app` is served by a handler, and so much is inflated in a turn.
fn handled(callbacks: Callbacks, inflated_turn_bytes_max: usize) -> World {
    let app = RouteConfig::handled("/app", "app", callbacks);
    let app = RouteConfig { compression: Compression::Shared, ..app };
    let mut limits = Limits::default();
    limits.inflated_turn_bytes_max = inflated_turn_bytes_max;
    let mut world = World::new();
    let routes = Arc::new(Routes::new(&[app]).unwrap());
    world.hub = Hub::new(Config { routes, limits, ..Config::default() });
    world
}

#[test]
fn who_is_closed_for_a_long_message_is_heard_saying_goodbye_behind_it() {
    let closes = Callbacks::new().message(|client, _| client.close(CloseCode::NORMAL, "enough"));
    let mut world = handled(closes, 1);
    for short in [false, true] {
        let client = join(&mut world, "/app", OFFER).0;
        let message = if short { words(10) } else { letters(200_000) };
        let message = masked(0xc1, &deflated(&message));
        let goodbye = masked(0x88, &1000_u16.to_be_bytes());
        world.raw(client, &[&message, &message[..], &masked(0x89, b"?"), &goodbye].concat());
        world.settle();
        turns(&mut world);
        assert_eq!(frames_of(&mut world, client), [(0x88, b"\x03\xe8enough".to_vec())]);
        assert!(world.wire(client).released.is_some(), "both have said goodbye");
        assert_eq!(world.hub.counters().messages, if short { 2 } else { 1 });
    }
    world.assert_empty();
}

/// A turn was once counted as begun only when something was said.
#[test]
fn turns_in_which_nothing_is_said_allow_as_much_as_others() {
    let mut world = handled(Callbacks::new().message(|_, _| {}), 100_000);
    let client = join(&mut world, "/app", OFFER).0;
    for _ in 0..20 {
        say(&mut world, client, 0xc1, &deflated(&words(10_000)));
        assert!(world.wire(client).reads);
    }
    let counters = world.hub.counters();
    assert_eq!((counters.messages, counters.hits[Hit::InflateRate.index()]), (20, 0));
}

#[test]
fn a_message_in_work_goes_along_and_is_begun_anew() {
    let routes = || Arc::new(Routes::new(&takeover()).unwrap());
    let mut node = Node::new(2, |config| config.routes = routes());
    let client = node.knock_with(0, &offering("/echo", OFFER));
    node.settle();
    node.take(client);
    let mut state = Compress::new(Level::default(), false);
    let turn = |node: &mut Node| {
        let shard = node.shard_of(client);
        let now = node.now;
        let due = node.shards[shard].hub.poll_timeout().is_some_and(|at| at <= now);
        if due {
            node.shards[shard].hub.handle(now, Event::Tick);
            node.settle();
        }
        due
    };
    for (round, slices) in [0, 1, 2, 5].into_iter().enumerate() {
        let message = letters(250_000 + round);
        let bytes = [
            masked(0xc1, &deflated_by(&mut state, &message)),
            masked(0x89, b"behind"),
            masked(0xc1, &deflated_by(&mut state, &words(900))),
        ];
        node.raw(client, &bytes.concat());
        node.settle();
        for _ in 0..slices {
            assert!(turn(&mut node), "it is in work");
        }
        let from = node.shard_of(client);
        let to = ShardId(1 - from as u16);
        node.event(client, |slot| Event::Move { slot, to });
        node.settle();
        assert_eq!(node.shard_of(client), to.index());
        assert_eq!(node.shards[from].hub.inbound_bytes(), 0);
        while turn(&mut node) {}
        let heard = frames(&node.take(client));
        assert_eq!(heard.len(), 3, "{round}");
        assert!(heard[0] == (0x81, message), "{round}");
        assert_eq!(heard[1..], [(0x8a, b"behind".to_vec()), (0x81, words(900))]);
        assert_eq!(node.shards[to.index()].hub.inbound_bytes(), 0);
    }
}

#[test]
fn a_member_of_a_room_moves_in_the_middle_and_its_room_hears_it_once() {
    let mut node = Node::spread(3);
    let hears = node.connect(0, "/ws/a");
    let client = node.knock_with(1, &offering("/ws/a", OFFER));
    node.settle();
    node.take(client);
    let message = letters(300_000);
    node.raw(client, &masked(0xc1, &deflated(&message)));
    node.settle();
    node.event(client, |slot| Event::Move { slot, to: ShardId(2) });
    node.settle();
    assert_eq!(node.shard_of(client), 2);
    let now = node.now;
    for _ in 0..50 {
        node.shards[2].hub.handle(now, Event::Tick);
        node.settle();
    }
    let heard = node.heard(hears);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].payload == message);
    node.say(client, "and then");
    node.settle();
    assert_eq!(node.heard(hears), [text("and then")]);
}
