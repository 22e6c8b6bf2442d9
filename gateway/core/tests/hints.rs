//! Who is sent away hears when to come back, and no two hundred hear the same.

mod world;

use std::sync::Arc;

use gateway_core::close::CloseCode;
use gateway_core::event::Event;
use gateway_core::hint::reconnect_millis;
use gateway_core::hub::MemberPolicy;
use gateway_core::order::{Order, To};
use gateway_core::slot::Slot;
use world::{World, close_code, masked, request, small_outbox};

/// The code and the reason that a client was closed with.
fn farewell(world: &mut World, slot: Slot) -> (u16, String) {
    let heard = world.heard(slot);
    let last = heard.last().expect("it was told something");
    let reason = String::from_utf8(last.payload[2..].to_vec()).expect("a reason is text");
    (close_code(last).expect("it was closed"), reason)
}

/// How many of these numbers from 1 to `end` fall into each tenth of that.
fn spread(numbers: &[u32], end: u32) -> [usize; 10] {
    let mut tenths = [0; 10];
    for &number in numbers {
        assert!((1..=end).contains(&number), "{number}");
        tenths[((number - 1) * 10 / end) as usize] += 1;
    }
    tenths
}

#[test]
fn a_thousand_refused_clients_come_back_over_ten_seconds() {
    let mut world = World::with_limits(|limits| {
        limits.connections_max = 1;
        limits.refusals_max = 1_000;
    });
    world.connect("/ws/lobby");
    let mut secs = Vec::new();
    for _ in 0..1_000 {
        let slot = world.accept();
        world.raw(slot, &request("/ws/lobby"));
        world.settle();
        let got = String::from_utf8_lossy(&world.wire(slot).got).into_owned();
        let (_, rest) = got.split_once("\r\nRetry-After: ").expect("it says when");
        secs.push(rest.split_once("\r\n").expect("a line").0.parse().expect("a number"));
    }
    let tenths = spread(&secs, 10);
    assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
}

#[test]
fn a_thousand_drained_members_come_back_over_ten_seconds() {
    let mut world = World::new();
    world.slice = 64;
    let crowd: Vec<_> = (0..1_000).map(|_| world.connect("/ws/lobby")).collect();
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    world.pass_secs(5);
    let mut millis: Vec<_> = crowd
        .iter()
        .map(|&slot| {
            let (code, reason) = farewell(&mut world, slot);
            assert!(code == 1001 && reason.starts_with("going away; "), "{reason}");
            reconnect_millis(&reason).expect("it says when")
        })
        .collect();
    let tenths = spread(&millis, 10_000);
    assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
    millis.sort_unstable();
    millis.dedup();
    assert!(millis.len() > 900, "{} are different", millis.len());
}

#[test]
fn a_bound_on_the_hint_is_kept() {
    let mut world = World::with_limits(|limits| limits.retry_secs_max = 2);
    let crowd: [_; 50] = world.connect_all("/ws/lobby");
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    world.settle();
    let millis = crowd.map(|slot| reconnect_millis(&farewell(&mut world, slot).1));
    assert!(millis.iter().all(|millis| millis.is_some_and(|it| (1..=2_000).contains(&it))));
}

#[test]
fn a_slow_member_hears_when_to_come_back() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 0;
    for _ in 0..100 {
        world.say(ann, "some words that nobody takes");
        world.settle();
    }
    world.read_more(slow, usize::MAX / 2);
    let (code, reason) = farewell(&mut world, slow);
    assert!(code == 1013 && reason.starts_with("slow; "), "{reason}");
    assert!(reconnect_millis(&reason).is_some(), "{reason}");
}

#[test]
fn who_fills_memory_hears_when_to_come_back() {
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = 1_000);
    let [ann] = world.connect_all("/ws/lobby");
    world.raw(ann, &masked(0x02, &[1; 2_000]));
    world.settle();
    let (code, reason) = farewell(&mut world, ann);
    assert!(code == 1013 && reconnect_millis(&reason).is_some(), "{reason}");
}

#[test]
fn what_the_program_says_is_kept_and_has_a_hint_if_its_code_asks_to_come_back() {
    let long = "x".repeat(123);
    for (code, text, hinted) in [
        (CloseCode::RESTART, "new version", true),
        (CloseCode::TRY_LATER, "", true),
        (CloseCode::RESTART, &*long, true),
        (CloseCode::AWAY, "we move", false),
        (CloseCode::POLICY, "be nice", false),
    ] {
        let mut world = World::new();
        let ann = world.connect("/ws/lobby");
        let now = world.now;
        let close = Order::Close(To::Everyone, code, Arc::from(text));
        world.hub.handle(now, Event::Order(close));
        world.settle();
        let (told, reason) = farewell(&mut world, ann);
        assert_eq!((told, reconnect_millis(&reason).is_some()), (code.to_u16(), hinted));
        assert!(reason.len() <= 123 && reason.starts_with(&text[..text.len().min(80)]), "{reason}");
    }
}

#[test]
fn a_peers_own_code_is_answered_without_a_hint() {
    for code in [1001_u16, 1012, 1013] {
        let mut world = World::new();
        let ann = world.connect("/ws/lobby");
        world.raw(ann, &masked(0x88, &code.to_be_bytes()));
        world.settle();
        assert_eq!(farewell(&mut world, ann), (code, String::new()));
    }
}
