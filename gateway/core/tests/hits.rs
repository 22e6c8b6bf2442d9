//! Each bound that a client runs into is counted once, by its name, and no other is.

mod elsewhere;
mod world;

use std::sync::Arc;

use elsewhere::{NOW, Shard};
use gateway_core::envelope::RoomName;
use gateway_core::event::Event;
use gateway_core::handler::Callbacks;
use gateway_core::hit::Hit;
use gateway_core::hub::{Config, Hub, MemberPolicy};
use gateway_core::limits::Limits;
use gateway_core::middleware::RateLimit;
use gateway_core::order::{Order, To};
use gateway_core::route::{RouteConfig, Routes};
use world::{TOKEN, World, close_code, masked, request, small_outbox};

/// The bounds that were hit, by name, and how often.
fn hits(hub: &Hub) -> Vec<(&'static str, u64)> {
    let counts = Hit::NAMES.into_iter().zip(hub.counters().hits);
    counts.filter(|&(_, count)| count > 0).collect()
}

/// A request for `path` with more headers.
fn with(path: &str, headers: &str) -> Vec<u8> {
    let mut head = request(path);
    head.truncate(head.len() - 2);
    [&head, headers.as_bytes(), b"\r\n"].concat()
}

#[test]
fn a_request_that_is_refused_is_counted_by_why() {
    let many = "X: y\r\n".repeat(70);
    let long = format!("X: {}\r\n", "y".repeat(9_000));
    let foreign = format!("Authorization: Bearer {TOKEN}\r\nOrigin: https://evil.example\r\n");
    let cases = [
        (with("/ws/lobby", &long), 431, "handshake_bytes"),
        (with("/ws/lobby", &many), 431, "handshake_headers"),
        (b"nonsense\r\n\r\n".to_vec(), 400, "handshake_invalid"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 405, "handshake_invalid"),
        (b"GET /ws/lobby HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 426, "handshake_invalid"),
        (with("/ws/chat/lobby", &foreign), 403, "origin"),
        (request("/ws/chat/lobby"), 401, "token"),
        (with("/ws/chat/lobby", "Authorization: Bearer x\r\n"), 401, "token"),
        (request("/nothing/here"), 404, "room_name"),
        (request("/ws/%0d%0a"), 400, "room_name"),
        (request(&format!("/ws/{}", "r".repeat(256))), 400, "room_name"),
    ];
    for (bytes, status, name) in cases {
        let mut world = World::new();
        let slot = world.accept();
        world.raw(slot, &bytes);
        world.settle();
        let got = String::from_utf8_lossy(&world.wire(slot).got).into_owned();
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {got}");
        assert_eq!(hits(&world.hub), [(name, 1)], "{status}");
    }
}

#[test]
fn who_is_served_hits_nothing() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    let page = world.accept();
    world.raw(page, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for second in 0..60 {
        world.say(ann, "hello");
        world.raw(bob, &masked(0x89, b"ping"));
        world.pass_secs(1);
        world.settle();
        if second == 3 {
            world.end(page);
        }
    }
    world.raw(ann, &masked(0x88, b"\x03\xe8"));
    world.settle();
    assert_eq!(hits(&world.hub), []);
}

#[test]
fn what_breaks_a_rule_of_messages_is_counted_by_which() {
    let cases: [(&[u8], u16, &str); 6] = [
        (&masked(0xC1, b"x"), 1002, "protocol"),
        (b"\x81\x01x", 1002, "protocol"),
        (&masked(0x89, &[b'x'; 126]), 1002, "protocol"),
        (&masked(0x81, b"\xff"), 1007, "utf8"),
        (&masked(0x88, b"\x03\xe8\xff"), 1007, "utf8"),
        (&masked(0x82, &[0; 1_001])[..8], 1009, "message_bytes"),
    ];
    for (bytes, code, name) in cases {
        let mut world = World::with_limits(|limits| limits.message_bytes_max = 1_000);
        let [ann] = world.connect_all("/ws/lobby");
        world.raw(ann, bytes);
        world.settle();
        assert_eq!(world.heard(ann).iter().filter_map(close_code).collect::<Vec<_>>(), [code]);
        world.raw(ann, bytes);
        world.settle();
        assert_eq!(hits(&world.hub), [(name, 1)], "what comes after it is not looked at");
    }
}

#[test]
fn memory_for_what_is_unfinished_is_counted_before_and_after_the_upgrade() {
    let mut world = World::with_limits(|limits| limits.inbound_bytes_max = 10_000);
    let [ann] = world.connect_all("/ws/lobby");
    let [late, later] = [world.accept(), world.accept()];
    world.raw(late, &[b'x'; 8_000]);
    world.settle();
    world.raw(later, &[b'x'; 8_000]);
    world.settle();
    assert!(world.wire(later).got.starts_with(b"HTTP/1.1 503 "));
    assert_eq!(hits(&world.hub), [("inbound_bytes", 1)]);
    world.raw(ann, &masked(0x02, &[1; 8_000]));
    world.settle();
    assert_eq!(world.heard(ann).iter().filter_map(close_code).collect::<Vec<_>>(), [1013]);
    assert_eq!(hits(&world.hub), [("inbound_bytes", 2)]);
}

#[test]
fn deadlines_are_counted_when_they_have_passed() {
    let mut world = World::new();
    let slow = world.accept();
    world.raw(slow, b"GET");
    world.pass_secs(6);
    assert_eq!(hits(&world.hub), [("handshake_secs", 1)]);

    let mut world = World::new();
    world.ponders = true;
    let asked = world.accept();
    world.raw(asked, &with("/ws/chat/lobby", &format!("Authorization: Bearer {TOKEN}\r\n")));
    world.settle();
    world.pass_secs(6);
    assert_eq!(hits(&world.hub), [("handshake_secs", 1)], "nobody said whether it may come in");

    let mut world = World::new();
    world.connect("/ws/lobby");
    world.pass_secs(25 + 8 + 1);
    assert_eq!(hits(&world.hub), [("pong_secs", 1)]);
    world.pass_secs(6);
    assert_eq!(hits(&world.hub), [("close_secs", 1), ("pong_secs", 1)]);
    assert_eq!(world.hub.counters().cut, 1);
}

#[test]
fn a_full_node_counts_whom_it_refuses_and_whom_it_cannot_even_tell() {
    let mut world = World::with_limits(|limits| {
        limits.connections_max = 1;
        limits.refusals_max = 2;
    });
    world.connect("/ws/lobby");
    let refused = [world.accept(), world.accept()];
    world.raw(refused[0], &request("/ws/lobby"));
    world.settle();
    assert_eq!(hits(&world.hub), [("connections", 2)]);
    world.accept();
    world.settle();
    assert_eq!(hits(&world.hub), [("connections", 2), ("refusals", 1)]);
    // The one that said nothing is cut, and was counted.
    world.pass_secs(2);
    let counts = [Hit::Connections, Hit::Refusals, Hit::HandshakeSecs];
    assert_eq!(counts.map(|hit| world.hub.counters().hits_of(hit)), [2, 1, 0]);
}

#[test]
fn a_node_that_goes_away_is_no_bound() {
    let mut world = World::new();
    let now = world.now;
    world.hub.handle(now, Event::Drain);
    let late = world.accept();
    world.raw(late, &request("/ws/lobby"));
    world.settle();
    assert!(world.wire(late).got.starts_with(b"HTTP/1.1 503 "));
    assert_eq!(hits(&world.hub), []);
}

#[test]
fn a_member_that_owes_too_much_is_counted_once() {
    let mut world = World::with(small_outbox(), MemberPolicy::Close);
    let [ann, slow] = world.connect_all("/ws/lobby");
    world.wire(slow).window = 0;
    for _ in 0..100 {
        world.say(ann, "some words that nobody takes");
        world.settle();
    }
    assert_eq!(hits(&world.hub), [("outbox_bytes", 1)]);
}

#[test]
fn a_shard_whose_members_owe_too_much_counts_each_that_pays_for_it() {
    let mut world = World::with_limits(|limits| limits.shard_outbox_bytes_max = 100_000);
    let mut slow_ones = Vec::new();
    for path in ["/ws/a", "/ws/b", "/ws/c"] {
        let [ann, slow] = world.connect_all(path);
        slow_ones.push(slow);
        world.wire(slow).window = 10;
        for _ in 0..6 {
            world.say_binary(ann, &[7; 10_000]);
            world.settle();
        }
    }
    let counted = hits(&world.hub);
    let told = slow_ones.iter().filter(|&&slow| {
        world.read_more(slow, usize::MAX / 2);
        world.heard(slow).iter().any(|frame| close_code(frame) == Some(1013))
    });
    let paid = told.count() as u64 + world.hub.counters().cut;
    assert!(paid > 0);
    assert_eq!(counted, [("shard_outbox_bytes", paid)]);
}

#[test]
fn echoes_that_are_not_read_from_are_counted_when_that_begins() {
    let mut world = World::with_limits(|limits| limits.echo_outbox_bytes_max = 100_000);
    let echoes: [_; 3] = world.connect_all("/ws/simple");
    for round in 1..=2 {
        for slot in echoes {
            world.wire(slot).window = 10;
            world.say_binary(slot, &[1; 60_000]);
            world.settle();
        }
        assert_eq!(hits(&world.hub), [("echo_outbox_bytes", round)]);
        echoes.iter().for_each(|&slot| world.read_more(slot, usize::MAX / 2));
    }
}

#[test]
fn a_route_whose_rate_is_passed_is_counted() {
    let route = RouteConfig {
        path: "/few".to_owned(),
        namespace: Some("few".to_owned()),
        ..RouteConfig::default()
    };
    let rate = RateLimit::new(1, 1, 0).expect("it is a rate");
    let mut world = World::serving(&[route.with(rate)]);
    let [ann] = world.connect_all("/few");
    (0..5).for_each(|_| world.say(ann, "hi"));
    world.settle();
    assert_eq!(hits(&world.hub), [("message_rate", 1)]);
}

#[test]
fn a_room_beyond_those_it_may_be_in_is_counted_for_each_try() {
    let mut world = World::with_limits(|limits| limits.rooms_max = 2);
    let ann = world.connect("/ws/lobby");
    let namespace = Routes::default().namespace("ws").expect("it is built in");
    for name in ["a", "b", "b", "c", "d"] {
        let to = To::Connection(world.hub.connection(ann).expect("it is there"));
        let room = RoomName { namespace, name: Arc::from(name) };
        let now = world.now;
        world.hub.handle(now, Event::Order(Order::Join(to, room)));
    }
    world.settle();
    assert_eq!(hits(&world.hub), [("rooms", 2)]);
}

#[test]
fn rooms_that_a_handler_asks_for_beyond_them_are_counted_too() {
    let asks = Callbacks::new().message(|client, message| {
        for name in message.text().unwrap_or_default().split(' ') {
            // What it is refused is what is counted.
            _ = client.join(name);
        }
    });
    let mut routes = Routes::builtin();
    routes.push(RouteConfig::handled("/app/{room}", "app", asks));
    let routes = Arc::new(Routes::new(&routes).expect("the table makes sense"));
    let mut limits = Limits::default();
    limits.rooms_max = 2;
    let mut world = World::new();
    world.hub = Hub::new(Config { routes, limits, ..Config::default() });
    let ann = world.connect("/app/x");
    world.say(ann, "a b b c d");
    world.say(ann, "a c");
    world.settle();
    assert_eq!(hits(&world.hub), [("rooms", 3)]);
}

#[test]
fn homes_that_do_not_keep_up_are_counted_by_newcomer() {
    let mut shard = Shard::with(|config| config.limits.commands_waiting_max = 0);
    shard.homes.refuse = true;
    shard.knock("/ws/a");
    assert_eq!(hits(&shard.hub), []);
    let late = shard.knock("/ws/b");
    assert!(shard.wires.0[late.index()].got.starts_with(b"HTTP/1.1 503 "));
    assert_eq!(hits(&shard.hub), [("commands_waiting", 1)]);
    shard.hub.handle(NOW, Event::Broken { slot: late });
}

#[test]
fn shards_add_up_what_they_counted() {
    let mut world = World::with(Limits::default(), MemberPolicy::Close);
    let ann = world.connect("/ws/lobby");
    world.raw(ann, b"\x81\x01x");
    let mut sum = world.hub.counters().clone();
    sum.merge(&world.hub.counters().clone());
    assert_eq!(sum.hits_of(Hit::Protocol), 2);
    assert_eq!(sum.hits.iter().sum::<u64>(), 2);
}
