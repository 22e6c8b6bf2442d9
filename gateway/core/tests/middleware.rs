//! What is done around messages: verdicts, panics, floods, and what they cost.

mod world;

use gateway_core::close::CloseCode;
use gateway_core::event::{CloseReason, Event};
use gateway_core::hub::{Config, Hub};
use gateway_core::id::ShardId;
use gateway_core::limits::Limits;
use gateway_core::middleware::{Context, Layer, Message, Middleware, Next, RateLimit, Verdict};
use gateway_core::order::ConnectionId;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;
use std::sync::{Arc, Mutex};
use world::{World, binary, close_code, masked, text};

/// Does what a message says, or lets it pass.
#[derive(Clone, Copy, Debug)]
struct Obedient;

impl Middleware for Obedient {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        match message.text() {
            Some("drop") => Verdict::Drop,
            Some("answer") => Verdict::Answer(format!("{} in {}", context.route, context.room)),
            Some("close") => Verdict::Close(told(), "told to".into()),
            Some("close badly") => Verdict::Close(CloseCode::ABNORMAL, "".into()),
            Some("panic") => panic!("told to"),
            Some("loud") => next.run(context, Message::of_text("LOUD")),
            Some("grow") => Verdict::Instead("x".repeat(5_000)),
            Some("rename") => Verdict::Rename("me".to_owned()),
            Some("who") => Verdict::Who,
            None => Verdict::InsteadBinary(message.bytes.iter().rev().copied().collect()),
            Some(_) => next.run(context, message),
        }
    }
}

/// The code that a program closes with.
fn told() -> CloseCode {
    CloseCode::from_u16(4001).expect("it is free to use")
}

/// The routes that are built in, with a layer around each.
fn around(layer: impl Layer + Clone + 'static) -> World {
    let routes: Vec<_> = Routes::builtin().into_iter().map(|it| it.with(layer.clone())).collect();
    World::serving(&routes)
}

fn pair(world: &mut World) -> [Slot; 2] {
    world.connect_all("/ws/lobby")
}

#[test]
fn a_verdict_is_done_and_others_hear_only_what_is_served() {
    let mut world = around(Obedient);
    let [ann, bob] = pair(&mut world);
    for line in ["one", "drop", "answer", "loud", "rename", "who", "two"] {
        world.say(ann, line);
    }
    world.say_binary(ann, b"abc");
    world.settle();
    assert_eq!(world.heard(bob), [text("one"), text("LOUD"), text("two"), binary(b"cba")]);
    assert_eq!(world.heard(ann), [text("/ws/{room} in lobby")]);
}

#[test]
fn echoes_have_middleware_too() {
    let mut world = around(Obedient);
    let echo = world.connect("/ws/simple");
    for line in ["one", "drop", "loud"] {
        world.say(echo, line);
    }
    world.settle();
    assert_eq!(world.heard(echo), [text("one"), text("LOUD")]);
}

#[test]
fn who_is_closed_says_nothing_more_and_may_say_goodbye() {
    for (line, told, reason) in [
        ("close", 4001, CloseReason::Told(told())),
        ("close badly", 1011, CloseReason::Told(CloseCode::INTERNAL)),
        ("panic", 1011, CloseReason::Panic),
    ] {
        let mut world = around(Obedient);
        let [ann, bob] = pair(&mut world);
        let mut bytes = masked(0x81, b"before");
        bytes.extend(masked(0x81, line.as_bytes()));
        bytes.extend(masked(0x81, b"after"));
        bytes.extend(masked(0x88, &1000_u16.to_be_bytes()));
        world.raw(ann, &bytes);
        world.settle();
        assert_eq!(world.heard(bob), [text("before")], "{line}");
        assert_eq!(world.heard(ann).last().and_then(close_code), Some(told), "{line}");
        world.end(ann);
        assert_eq!(world.wire(ann).released, Some(reason), "{line}");
        world.say(bob, "still here");
        world.end(bob);
        world.assert_empty();
    }
}

#[test]
fn what_a_layer_makes_of_a_message_is_bounded_like_one() {
    let mut world = around(Obedient);
    let mut limits = world.hub.limits().clone();
    limits.message_bytes_max = 4_999;
    let routes: Vec<_> = Routes::builtin().into_iter().map(|it| it.with(Obedient)).collect();
    let routes = Arc::new(Routes::new(&routes).expect("the routes make sense"));
    world.hub = Hub::new(Config { routes, limits, ..Config::default() });
    let [ann, bob] = pair(&mut world);
    world.say(ann, "grow");
    world.settle();
    assert_eq!(world.heard(ann).last().and_then(close_code), Some(1011));
    assert_eq!(world.heard(bob), []);
}

#[test]
fn a_flood_is_read_more_slowly_and_loses_nothing() {
    let mut world = around(RateLimit::new(4, 8, 60).unwrap());
    let [ann, bob] = pair(&mut world);
    for number in 0..8 {
        world.say(ann, &number.to_string());
    }
    world.settle();
    assert!(world.wire(ann).reads, "a burst is free");
    (8..12).for_each(|number| world.say(ann, &number.to_string()));
    world.settle();
    assert!(!world.wire(ann).reads);
    let heard = world.heard(bob);
    assert_eq!(heard, (0..12).map(|number| text(&number.to_string())).collect::<Vec<_>>());
    assert_eq!(world.hub.counters().slowed, 1);
    world.pass_secs(2);
    assert!(world.wire(ann).reads, "four of four a second are repaid");
    world.say(ann, "again");
    world.settle();
    assert_eq!(world.heard(bob), [text("again")]);
}

#[test]
fn who_floods_on_is_closed_and_what_came_before_was_heard() {
    let mut world = around(RateLimit::new(10, 10, 2).unwrap());
    let [ann, bob] = pair(&mut world);
    let mut bytes = Vec::new();
    (0..1000).for_each(|_| bytes.extend(masked(0x81, b"spam")));
    world.raw(ann, &bytes);
    world.settle();
    assert_eq!(world.heard(bob).len(), 30, "ten at once, and two seconds' worth");
    assert_eq!(world.heard(ann).last().and_then(close_code), Some(1008));
    world.end(ann);
    assert_eq!(world.wire(ann).released, Some(CloseReason::Flood));
    world.say(bob, "quiet");
    world.settle();
    world.end(bob);
    world.pass_secs(10);
    world.assert_empty();
}

#[test]
fn who_is_slowed_still_hears_its_room_and_is_drained() {
    let mut world = around(RateLimit::new(1, 1, 60).unwrap());
    let [ann, bob] = pair(&mut world);
    (0..30).for_each(|_| world.say(ann, "spam"));
    world.say(bob, "listen");
    world.settle();
    assert!(!world.wire(ann).reads);
    assert_eq!(world.heard(ann), [text("listen")]);
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    assert!(world.wire(ann).reads, "its goodbye is waited for");
    assert_eq!(world.heard(ann).last().and_then(close_code), Some(1001));
    world.raw(ann, &masked(0x88, &1001_u16.to_be_bytes()));
    world.settle();
    assert_eq!(world.wire(ann).released, Some(CloseReason::Drained));
}

/// When echoes were paused, whoever lingered though it had been slowed was not heard ending.
#[test]
fn who_is_slowed_and_lingers_is_heard_ending_while_echoes_are_paused() {
    let limiter = RateLimit::new(1, 1, 60).unwrap();
    let routes: Vec<_> = Routes::builtin().into_iter().map(|it| it.with(limiter.clone())).collect();
    let mut limits = Limits::default();
    limits.echo_outbox_bytes_max = 10_000;
    let mut world = World::new();
    let routes = Arc::new(Routes::new(&routes).expect("the routes make sense"));
    world.hub = Hub::new(Config { routes, limits, ..Config::default() });
    let [hasty, greedy] = world.connect_all("/ws/simple");
    world.raw(hasty, &[masked(0x81, b"spam").repeat(9), masked(0x83, b"?")].concat());
    world.settle();
    assert_eq!(world.heard(hasty).last().and_then(close_code), Some(1002));
    assert!(world.wire(hasty).shut && world.wire(hasty).reads, "its end is waited for");
    world.wire(greedy).window = 10;
    world.say_binary(greedy, &[7; 20_000]);
    world.settle();
    assert!(world.wire(hasty).reads, "it is no echo any more");
    world.end(hasty);
    assert!(world.wire(hasty).released.is_some());
}

/// Notes who is forgotten.
#[derive(Clone, Debug, Default)]
struct Forgets(Arc<Mutex<Vec<ConnectionId>>>);

impl Middleware for Forgets {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        next.run(context, message)
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.0.lock().expect("nobody panicked").push(connection);
    }
}

#[test]
fn who_has_gone_is_forgotten_once() {
    let forgets = Forgets::default();
    let mut world = around(forgets.clone());
    let [ann, bob] = pair(&mut world);
    let id = world.hub.connection(ann).unwrap();
    world.end(ann);
    assert_eq!(*forgets.0.lock().unwrap(), [id]);
    let id = world.hub.connection(bob).unwrap();
    world.hub.handle(world.now, Event::Broken { slot: bob });
    world.settle();
    assert_eq!(forgets.0.lock().unwrap()[1..], [id]);
}

/// Tells on which shard it was made.
#[derive(Debug)]
struct PerShard;

impl Layer for PerShard {
    fn layer(&self, shard: ShardId) -> Box<dyn Middleware> {
        struct Says(ShardId);
        impl Middleware for Says {
            fn handle(&mut self, _: &mut Context<'_>, _: Message<'_>, _: Next<'_, '_>) -> Verdict {
                Verdict::Answer(self.0.to_string())
            }
        }
        Box::new(Says(shard))
    }
}

#[test]
fn each_shard_has_a_layer_of_its_own() {
    let mut world = World::serving(&[RouteConfig {
        path: "/".to_owned(),
        namespace: Some("root".to_owned()),
        ..RouteConfig::default()
    }
    .with(PerShard)]);
    let slot = world.connect("/");
    world.say(slot, "who?");
    world.settle();
    assert_eq!(world.heard(slot), [text("0")]);
}
