//! Messages that never end, or of which nothing comes, and pings without end: who says them is
//! closed in time, and who is only slow is not.

mod world;

use gateway_core::event::{CloseReason, Effect, Event};
use gateway_core::hit::Hit;
use gateway_core::hub::Flush;
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use world::{World, close_code, frames, masked, text};

/// A fragment of a text that does not end with it.
fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first & 0x7f, payload)
}

/// The reason of the close frame with this code that the client got, if it is one.
fn told(world: &mut World, slot: Slot, code: u16) -> Option<String> {
    let heard = world.heard(slot);
    let close = heard.iter().find(|frame| frame.opcode == 8)?;
    assert_eq!(close_code(close), Some(code));
    Some(String::from_utf8_lossy(&close.payload[2..]).into_owned())
}

fn hits(world: &World, hit: Hit) -> u64 {
    world.hub.counters().hits_of(hit)
}

/// A second in which the client says this, and answers our pings.
fn second(world: &mut World, slot: Slot, bytes: &[u8]) {
    if !bytes.is_empty() {
        world.raw(slot, bytes);
    }
    world.settle();
    world.pass_secs(1);
    let pings = frames(&world.wire(slot).got).0.iter().filter(|frame| frame.opcode == 9).count();
    (0..pings).for_each(|_| world.raw(slot, &masked(0x8a, b"")));
}

/// Seconds until the client was told that its message took too long, if it was within `secs`.
fn overdue(
    world: &mut World,
    slot: Slot,
    secs: usize,
    say: impl Fn(usize) -> Vec<u8>,
) -> Option<usize> {
    let late = (1..=secs).find(|&at| {
        second(world, slot, &say(at));
        hits(world, Hit::MessageSecs) > 0
    })?;
    assert_eq!(told(world, slot, 1008).as_deref(), Some("message took too long"));
    Some(late)
}

#[test]
fn a_header_and_then_silence_ends_after_half_a_minute() {
    for header in [&b"\x82\xfe\x10\x00\x01\x02\x03\x04"[..], b"\x82\xfe", b"\x82", b"\x89\x84\x01"]
    {
        let mut world = World::with_limits(|limits| limits.ping_secs = 0);
        let [ann] = world.connect_all("/ws/lobby");
        world.raw(ann, header);
        world.pass_secs(29);
        assert_eq!(world.heard(ann), [], "{header:?}");
        world.pass_secs(2);
        assert_eq!(told(&mut world, ann, 1008).as_deref(), Some("message took too long"));
        assert_eq!(hits(&world, Hit::MessageSecs), 1);
        world.end(ann);
        assert_eq!(world.wire(ann).released.map(CloseReason::name), Some("protocol"));
        world.assert_empty();
    }
}

#[test]
fn drops_pings_and_fragments_between_do_not_put_the_end_off() {
    let drip = |at: usize| if at == 1 { masked(0x82, &[7; 125])[..6].to_vec() } else { vec![7] };
    let fragments = |at: usize| fragment(if at == 1 { 0x01 } else { 0x00 }, b"x");
    let pinged = move |at: usize| [fragments(at), masked(0x89, b"still here")].concat();
    let said: [&dyn Fn(usize) -> Vec<u8>; 3] = [&drip, &fragments, &pinged];
    for say in said {
        let mut world = World::new();
        let [ann] = world.connect_all("/ws/lobby");
        let late = overdue(&mut world, ann, 60, say);
        assert!(matches!(late, Some(30 | 31)), "{late:?}");
    }
}

#[test]
fn each_message_has_a_time_of_its_own() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let [ann, bob] = world.connect_all("/ws/lobby");
    // Ten messages of twenty seconds each; the end of one comes with the beginning of the next.
    for round in 0..10 {
        let mut bytes = if round == 0 { Vec::new() } else { masked(0x80, b"b") };
        bytes.extend(fragment(0x01, b"a"));
        second(&mut world, ann, &bytes);
        (1..20).for_each(|_| second(&mut world, ann, b""));
    }
    assert_eq!(hits(&world, Hit::MessageSecs), 0);
    let heard: Vec<_> = world.heard(bob).into_iter().filter(|frame| frame.opcode == 1).collect();
    assert_eq!(heard, vec![text("ab"); 9]);
    assert!(overdue(&mut world, ann, 20, |_| Vec::new()).is_some(), "the last one never ends");
}

#[test]
fn a_slow_upload_is_allowed_by_more_seconds_and_turned_off_by_none() {
    for secs in [120, 0] {
        let mut world = World::with_limits(|limits| {
            limits.message_secs = secs;
            limits.ping_secs = 0;
        });
        let [ann, bob] = world.connect_all("/ws/lobby");
        let upload = masked(0x82, &[7; 100_000]);
        for piece in upload.chunks(1_000) {
            second(&mut world, ann, piece);
        }
        let heard = world.heard(bob);
        assert!(heard.iter().any(|frame| frame.payload.len() == 100_000), "{secs}");
        assert_eq!(hits(&world, Hit::MessageSecs), 0);
    }
}

#[test]
fn time_in_which_it_is_not_read_from_does_not_count() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/simple");
    world.wire(ann).window = 0;
    let mut bytes = masked(0x82, &[7; 1_000]);
    bytes.extend(&masked(0x82, &[8; 1_000])[..500]);
    world.raw(ann, &bytes);
    world.settle();
    assert!(!world.wire(ann).reads, "an echo takes back what it said first");
    world.pass_secs(100);
    assert!(world.hub.is_live(ann) && hits(&world, Hit::MessageSecs) == 0);
    world.read_more(ann, usize::MAX / 2);
    assert!(world.wire(ann).reads);
    world.raw(ann, &masked(0x82, &[8; 1_000])[500..600]);
    world.pass_secs(20);
    assert_eq!(hits(&world, Hit::MessageSecs), 0, "its time began with what came then");
    assert!(overdue(&mut world, ann, 12, |_| Vec::new()).is_some());
}

/// What had come while the shard did not turn was read when its sender was closed already.
#[test]
fn a_shard_that_was_late_reads_the_end_of_a_message_before_it_judges() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let [ann, bob, cat] = world.connect_all("/ws/lobby");
    [ann, bob].into_iter().for_each(|slot| world.raw(slot, &fragment(0x01, b"on ti")));
    world.settle();
    // The machine is suspended for a minute; the tick comes before what is to be read.
    world.now.0 += 60_000_000_000;
    let now = world.now;
    world.hub.handle(now, Event::Tick);
    world.raw(ann, &masked(0x80, b"me"));
    world.settle();
    assert_eq!(world.heard(cat), [text("on time")]);
    world.pass_secs(3);
    assert_eq!(told(&mut world, ann, 1008), None);
    assert_eq!(told(&mut world, bob, 1008).as_deref(), Some("message took too long"));
    assert_eq!(hits(&world, Hit::MessageSecs), 1);
}

#[test]
fn who_takes_the_slot_of_one_that_was_late_has_its_own_time() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let [ann] = world.connect_all("/ws/lobby");
    world.raw(ann, b"\x82");
    world.pass_secs(20);
    world.end(ann);
    world.wires.0[ann.index()] = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: ann });
    world.raw(ann, &world::request("/ws/lobby"));
    world.settle();
    world.wire(ann).got.clear();
    world.raw(ann, b"\x82");
    world.pass_secs(20);
    assert_eq!(world.heard(ann), []);
    world.pass_secs(11);
    assert!(told(&mut world, ann, 1008).is_some());
}

/// The new shard's clock may stand anywhere.
#[test]
fn a_message_that_moves_begins_anew() {
    let mut world = World::with_limits(|limits| limits.ping_secs = 0);
    let [ann] = world.connect_all("/ws/simple");
    world.raw(ann, b"\x82\x85\x01");
    world.pass_secs(20);
    let now = world.now;
    world.hub.handle(now, Event::Move { slot: ann, to: ShardId(1) });
    while world.flush_once() == Flush::More {}
    let mut effects = std::iter::from_fn(|| world.hub.poll_effect());
    let shipped = effects.find_map(|effect| {
        if let Effect::Ship { frozen, .. } = effect { Some(frozen) } else { None }
    });
    let frozen = shipped.expect("it leaves");
    let mut other = World::with_limits(|limits| limits.ping_secs = 0);
    other.now.0 /= 10;
    other.wires.0.push(world::fresh_wire());
    let now = other.now;
    other.hub.handle(now, Event::Thawed { slot: Slot(0), frozen });
    other.settle();
    other.raw(Slot(0), b"\x02\x03\x04");
    other.pass_secs(29);
    assert_eq!(other.heard(Slot(0)), []);
    other.pass_secs(2);
    assert!(told(&mut other, Slot(0), 1008).is_some());
}

#[test]
fn pings_beyond_a_burst_and_a_rate_are_too_many() {
    for control in [0x89, 0x8a] {
        let mut world = World::new();
        let [ann, bob] = world.connect_all("/ws/lobby");
        let hundred: Vec<u8> = (0..100).flat_map(|_| masked(control, b"x")).collect();
        world.raw(ann, &hundred);
        world.settle();
        world.pass_secs(1);
        (0..10).for_each(|_| world.raw(ann, &masked(control, b"x")));
        world.settle();
        assert_eq!(hits(&world, Hit::ControlRate), 0, "{control}");
        world.say(ann, "and a message");
        world.raw(ann, &hundred);
        world.settle();
        assert_eq!(told(&mut world, ann, 1008).as_deref(), Some("too many control frames"));
        assert_eq!(hits(&world, Hit::ControlRate), 1, "once");
        assert_eq!(world.heard(bob), [text("and a message")]);
    }
}

#[test]
fn who_pings_each_second_or_answers_us_is_never_too_much() {
    let mut world = World::new();
    let [pings, answers] = world.connect_all("/ws/lobby");
    for _ in 0..600 {
        second(&mut world, pings, &masked(0x89, b"are you there?"));
        world.heard(pings);
        second(&mut world, answers, b"");
        world.heard(answers);
    }
    assert_eq!(hits(&world, Hit::ControlRate), 0);
    assert!(world.hub.is_live(pings) && world.hub.is_live(answers));
}

#[test]
fn who_comes_after_a_flood_may_ping() {
    let mut world = World::new();
    let [ann] = world.connect_all("/ws/lobby");
    (0..101).for_each(|_| world.raw(ann, &masked(0x89, b"")));
    world.settle();
    world.end(ann);
    world.wires.0[ann.index()] = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: ann });
    world.raw(ann, &world::request("/ws/lobby"));
    (0..100).for_each(|_| world.raw(ann, &masked(0x89, b"")));
    world.settle();
    assert_eq!(hits(&world, Hit::ControlRate), 1);
}

#[test]
fn no_rate_bounds_nothing() {
    let mut world = World::with_limits(|limits| limits.controls_per_sec = 0);
    let [ann] = world.connect_all("/ws/lobby");
    (0..10_000).for_each(|_| world.raw(ann, &masked(0x8a, b"")));
    world.settle();
    assert!(world.hub.is_live(ann) && hits(&world, Hit::ControlRate) == 0);
}

#[test]
fn a_thousand_empty_fragments_are_a_message_and_one_more_is_a_flood() {
    let flood = |count: usize| -> Vec<u8> {
        let rest = (1..count).flat_map(|_| fragment(0x00, b""));
        fragment(0x01, b"").into_iter().chain(rest).collect()
    };
    for chunk in [1, 7, usize::MAX] {
        let mut world = World::new();
        let [ann, bob] = world.connect_all("/ws/lobby");
        let whole = [flood(1_000), masked(0x80, b"")].concat();
        whole.chunks(chunk.min(whole.len())).for_each(|piece| world.raw(ann, piece));
        world.settle();
        assert_eq!(world.heard(bob), [text("")], "{chunk}");
        let flooded = [flood(1_001), masked(0x80, b"")].concat();
        flooded.chunks(chunk.min(flooded.len())).for_each(|piece| world.raw(ann, piece));
        world.settle();
        assert_eq!(told(&mut world, ann, 1008).as_deref(), Some("too many empty fragments"));
        assert_eq!((hits(&world, Hit::FrameRate), world.heard(bob)), (1, vec![]), "{chunk}");
    }
}

#[test]
fn a_message_of_many_small_fragments_is_none() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.raw(ann, &fragment(0x01, b"x"));
    (0..65_536).for_each(|_| world.raw(ann, &fragment(0x00, &[b'x'; 64])));
    world.raw(ann, &masked(0x80, b"x"));
    world.settle();
    assert_eq!(world.heard(bob).first().map(|frame| frame.payload.len()), Some(65_536 * 64 + 2));
    assert_eq!(hits(&world, Hit::FrameRate), 0);
}
