//! What handlers, orders, middleware and engines may do that the hub has to bear.

mod nodes;
mod world;

use std::sync::Arc;

use gateway_core::close::CloseCode;
use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{RoomName, Term};
use gateway_core::event::{Effect, Event};
use gateway_core::frame::Kind;
use gateway_core::handler::{Callbacks, Client, Refused};
use gateway_core::hub::{Config, Flush, Hub, Sequencing};
use gateway_core::id::ShardId;
use gateway_core::middleware::{Context, Message, Middleware, Next, Verdict};
use gateway_core::order::{Content, Order, To};
use gateway_core::position::Offset;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use nodes::Node;
use world::{Frame, TOKEN, Wires, World, binary, close_code, fresh_wire, masked, request, text};

/// Does what a line says: `join a`, `leave a`, `say a WORDS` in a room.
fn obey(client: &mut Client<'_>, message: Message<'_>) {
    let line = message.text().unwrap_or_default().to_owned();
    let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match (verb, rest.split_once(' ')) {
        ("join", _) => client.join(rest).expect("a room"),
        ("leave", _) => client.leave(rest),
        ("say", Some((room, words))) => client.publish_text(room, words).expect("it is said"),
        _ => panic!("{line} is nothing to be done"),
    }
}

fn with_app() -> Vec<RouteConfig> {
    let mut routes = Routes::builtin();
    routes.push(RouteConfig::handled("/app", "app", Callbacks::new().message(obey)));
    routes
}

fn room(hub: &Hub, namespace: &str, name: &str) -> RoomName {
    let namespace = hub.routes().namespace(namespace).expect("a route opens it");
    RoomName { namespace, name: name.into() }
}

fn node(shards: u16) -> Node {
    let routes = Arc::new(Routes::new(&with_app()).expect("the routes make sense"));
    Node::new(shards, |config| {
        config.routes = Arc::clone(&routes);
        config.limits.small_room_members_max = 0;
    })
}

#[test]
fn a_member_that_is_closed_hears_first_what_its_other_rooms_said_until_then() {
    for own_speaks in [true, false] {
        let mut world = World::new();
        let [ann, bob] = world.connect_all("/ws/lobby");
        let cat = world.connect("/ws/cellar");
        let cellar = room(&world.hub, "ws", "cellar");
        let ann_id = world.hub.connection(ann).expect("it is there");
        let join = Order::Join(To::Connection(ann_id), cellar);
        world.hub.handle(world.now, Event::Order(join));
        world.settle();
        if own_speaks {
            world.say(bob, "from the lobby");
        }
        world.say(cat, "from the cellar");
        let code = CloseCode::from_u16(4000).expect("it is free to use");
        let close = Order::Close(To::Connection(ann_id), code, "enough".into());
        world.hub.handle(world.now, Event::Order(close));
        world.settle();
        let heard = world.heard(ann);
        assert!(heard.contains(&text("from the cellar")), "own room speaks: {own_speaks}");
        assert_eq!(heard.last().and_then(close_code), Some(4000));
    }
}

/// A hub alone whose messages an engine places, with two members of a room.
fn engine() -> (Hub, Wires) {
    let config = Config { sequencing: Sequencing::Engine, ..Config::default() };
    let (mut hub, mut wires) = (Hub::new(config), Wires::default());
    for slot in [Slot(0), Slot(1)] {
        wires.0.push(fresh_wire());
        hub.handle(Now(0), Event::Accepted { slot });
        hub.handle(Now(0), Event::Received { slot, bytes: &mut request("/ws/lobby") });
    }
    settle(&mut hub, &mut wires);
    (hub, wires)
}

/// Flushes to the end; what the engine is asked is returned.
fn settle(hub: &mut Hub, wires: &mut Wires) -> Vec<(Term, u64)> {
    while hub.flush(Now(0), 3, wires) == Flush::More {}
    let mut asked = Vec::new();
    while let Some(effect) = hub.poll_effect() {
        if let Effect::Inquire(Inquiry::Sequence { term, ticket, .. }) = effect {
            asked.push((term, ticket));
        }
    }
    asked
}

#[test]
fn a_place_that_another_one_has_passed_is_a_refusal() {
    let (mut hub, mut wires) = engine();
    for said in ["one", "two", "three"] {
        let mut bytes = masked(0x81, said.as_bytes());
        hub.handle(Now(0), Event::Received { slot: Slot(0), bytes: &mut bytes });
    }
    let asked = settle(&mut hub, &mut wires);
    assert_eq!(asked.len(), 3);
    // The third one passes over the second one's predecessor, which will never be.
    let places = [(5, 6), (3, 4), (0, 5)];
    for ((term, ticket), (prev, offset)) in asked.into_iter().zip(places) {
        let place = Some((Offset(prev), Offset(offset)));
        hub.handle(Now(0), Event::Answer(Answer::Sequenced { term, ticket, place }));
    }
    settle(&mut hub, &mut wires);
    assert_eq!(hub.underway_bytes(), 0, "each message was said or refused");
    for slot in [Slot(0), Slot(1)] {
        hub.handle(Now(0), Event::Ended { slot });
    }
    settle(&mut hub, &mut wires);
    assert_eq!((hub.live(), hub.rooms(), hub.homes()), (0, 0, 0));
}

#[test]
fn echoes_that_do_not_read_keep_no_more_than_their_budget_of_what_a_program_sends() {
    const BOUND: usize = 1 << 20;
    let mut world = World::with_limits(|limits| {
        limits.outbox_bytes_max = 64 << 10;
        limits.shard_outbox_bytes_max = BOUND;
        limits.echo_outbox_bytes_max = BOUND;
    });
    let echo = world.connect("/ws/simple");
    world.wire(echo).window = 0;
    for _ in 0..200 {
        let order = Order::Send(To::Everyone, Content::binary(vec![7; 32 << 10]));
        world.hub.handle(world.now, Event::Order(order));
        world.settle();
    }
    let kept = world.hub.outbox_bytes() + world.hub.echo_bytes();
    assert!(kept <= 2 * BOUND, "{kept} bytes are kept for one echo");
}

#[test]
fn what_a_silent_echo_owes_does_not_close_members_that_read() {
    let mut world = World::with_limits(|limits| {
        limits.outbox_bytes_max = 256 << 10;
        limits.shard_outbox_bytes_max = 1 << 20;
    });
    let (echo, member) = (world.connect("/ws/simple"), world.connect("/ws/lobby"));
    world.wire(echo).window = 0;
    for _ in 0..100 {
        let order = Order::Send(To::Everyone, Content::binary(vec![7; 16 << 10]));
        world.hub.handle(world.now, Event::Order(order));
        // The member is a little behind, and takes all in the end.
        world.wire(member).window = 100;
        world.settle();
        world.read_more(member, usize::MAX);
    }
    assert!(world.hub.is_live(member), "{:?}", world.wire(member).released);
    assert_eq!(world.heard(member).len(), 100);
}

fn chatter(world: &mut World, room: &str, name: &str) -> Slot {
    let slot = world.accept();
    let path = format!("/ws/chat/{room}?name={name}&access_token={TOKEN}");
    world.raw(slot, &request(&path));
    world.settle();
    world.wire(slot).got.clear();
    slot
}

#[test]
fn who_left_a_room_is_not_told_to_the_room_that_comes_after_it() {
    let mut world = World::new();
    let [ann, bob] = ["ann", "bob"].map(|name| chatter(&mut world, "old", name));
    world.end(ann);
    world.end(bob);
    // Within the same quarter of a second another room begins, and many come.
    let crowd: Vec<_> = (0..300).map(|n| chatter(&mut world, "new", &format!("n{n}"))).collect();
    world.pass_secs(1);
    for frame in world.heard(crowd[0]) {
        let told = String::from_utf8(frame.payload).expect("text is UTF-8");
        assert!(!told.contains("\"ann\"") && !told.contains("\"bob\""), "{told}");
    }
}

#[test]
fn who_waits_for_a_room_while_it_moves_reads_it_as_all_others() {
    let mut node = node(3);
    let mut request = request(&format!("/ws/chat/lobby?name=ann&access_token={TOKEN}"));
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Sec-WebSocket-Protocol: weir.chat.v1\r\n\r\n");
    // Shard 1 knows the room already.
    let author = node.connect(1, "/ws/cellar");
    let ann = node.knock_with(0, &request);
    node.settle();
    node.take(ann);
    let hub = &node.shards[0].hub;
    let (id, cellar) =
        (hub.connection(node.slot_of(ann)).expect("here"), room(hub, "ws", "cellar"));
    let join = Order::Join(To::Connection(id), cellar);
    node.shards[0].hub.handle(node.now, Event::Order(join));
    // It goes before the room is heard where it is.
    node.event(ann, |slot| Event::Move { slot, to: ShardId(1) });
    node.settle();
    assert_eq!(node.shard_of(ann), 1);
    node.say(author, "hi");
    node.settle();
    let heard: Vec<_> = node.heard(ann).into_iter().map(|Frame { payload, .. }| payload).collect();
    let heard: Vec<_> = heard.into_iter().map(|it| String::from_utf8(it).expect("text")).collect();
    assert_eq!(heard, [r#"{"type":"message","from":"","text":"hi"}"#]);
}

#[test]
fn who_publishes_to_a_room_it_is_not_in_is_read_again_when_that_is_under_way() {
    let mut node = node(2);
    let (first, member) = (node.connect(0, "/app"), node.connect(1, "/app"));
    for client in [first, member] {
        node.say(client, "join red");
        node.settle();
    }
    // The home stays on shard 0, where nobody is in the room any more.
    node.say(first, "leave red");
    node.settle();
    node.mute = true;
    node.shards[0].hub.handle(node.now, Event::Migrate { to: ShardId(1), homes_max: 9 });
    node.settle();
    let term = node.silent.pop().expect("the registry was asked");
    node.say(first, "say red one");
    node.settle();
    node.say(first, "say red two");
    node.settle();
    assert!(!node.wire(first).reads, "it waits");
    let answer = Answer::Migrated { term, next: None };
    node.shards[0].hub.handle(node.now, Event::Answer(answer));
    node.settle();
    assert_eq!(node.heard(member), [text("one"), text("two")]);
    assert!(node.wire(first).reads, "nothing is to be waited for any more");
}

#[test]
fn who_comes_and_goes_while_a_room_is_not_heard_costs_no_more_each_time() {
    let routes = Arc::new(Routes::new(&with_app()).expect("the routes make sense"));
    let mut hub = Hub::new(Config { routes, shard: Some(ShardId(0)), ..Config::default() });
    let slot = Slot(0);
    hub.handle(Now(0), Event::Accepted { slot });
    hub.handle(Now(0), Event::Received { slot, bytes: &mut request("/app") });
    let mut lines = masked(0x81, b"join red");
    lines.extend(masked(0x81, b"leave red"));
    // Nobody says where the room's home is.
    let kept = allocation_counter::measure(|| {
        for _ in 0..20_000 {
            hub.handle(Now(0), Event::Received { slot, bytes: &mut lines.clone() });
        }
    });
    assert!(kept.bytes_current < 64 << 10, "{} bytes are kept", kept.bytes_current);
}

/// Turns each text into a binary message of the same bytes.
#[derive(Clone, Debug)]
struct AsBinary;

impl Middleware for AsBinary {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        next.run(context, Message { kind: Kind::Binary, bytes: message.bytes })
    }
}

#[test]
fn a_layer_may_change_the_kind_of_a_message_alone() {
    let routes: Vec<_> = Routes::builtin().into_iter().map(|it| it.with(AsBinary)).collect();
    let mut world = World::serving(&routes);
    let [ann, bob] = world.connect_all("/ws/lobby");
    world.say(ann, "hi");
    world.settle();
    assert_eq!(world.heard(bob), [binary(b"hi")]);
}

#[test]
fn who_leaves_a_room_may_join_another_in_the_same_callback() {
    let callbacks = Callbacks::new().message(|client, message| match message.text() {
        Some("in") => client.join("red").expect("there is a place"),
        Some("again") => assert_eq!(client.join("red"), Ok(()), "it is in there"),
        _ => {
            assert_eq!(client.join("blue"), Err(Refused::TooManyRooms));
            client.leave("red");
            assert_eq!(client.join("blue"), Ok(()), "it has left one");
        }
    });
    let routes = Arc::new(
        Routes::new(&[RouteConfig::handled("/", "app", callbacks)]).expect("the routes make sense"),
    );
    let mut world = World::new();
    let mut config = Config { routes, ..Config::default() };
    config.limits.rooms_max = 1;
    world.hub = Hub::new(config);
    let [ann, bob] = world.connect_all("/");
    for (client, line) in [(ann, "in"), (ann, "again"), (bob, "in"), (bob, "change")] {
        world.say(client, line);
        world.settle();
    }
    assert_eq!(world.hub.counters().panics, 0, "no assertion of the callback failed");
}

/// Answers each message with 64 MiB.
#[derive(Clone, Debug)]
struct Grows;

impl Middleware for Grows {
    fn handle(&mut self, _: &mut Context<'_>, _: Message<'_>, _: Next<'_, '_>) -> Verdict {
        // Pages that nobody writes to cost no memory.
        Verdict::InsteadBinary(vec![0; 64 << 20])
    }
}

#[test]
fn what_layers_make_of_messages_is_bounded_as_messages_are() {
    let routes: Vec<_> = Routes::builtin().into_iter().map(|it| it.with(Grows)).collect();
    let mut world = World::serving(&routes);
    let echo = world.connect("/ws/simple");
    world.wire(echo).window = 0;
    let bytes: Vec<_> = (0..65).flat_map(|_| masked(0x81, b"")).collect();
    world.raw(echo, &bytes);
    world.settle();
    assert!(world.hub.is_live(echo) || world.wire(echo).released.is_some());
}
