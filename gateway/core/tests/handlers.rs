//! Routes that a program serves by callbacks, and what it orders from outside.

mod nodes;
mod world;

use std::sync::{Arc, Mutex};

use gateway_core::close::CloseCode;
use gateway_core::envelope::RoomName;
use gateway_core::event::{CloseReason, Event};
use gateway_core::handler::{Callbacks, Client, Refused};
use gateway_core::hub::{Config, Hub, MemberPolicy};
use gateway_core::id::ShardId;
use gateway_core::middleware::Message;
use gateway_core::order::{ConnectionId, Content, Order, To};
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;
use nodes::Node;
use world::{World, binary, close_code, masked, text};

/// What callbacks were called with.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, note: impl Into<String>) {
        self.0.lock().expect("nobody panicked").push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panicked"))
    }
}

/// Does what a line says: `join a`, `leave a`, `say a WORDS` in a room, `back WORDS`, `close`,
/// `panic`, `rooms`.
fn obey(client: &mut Client<'_>, message: Message<'_>) {
    let line = message.text().unwrap_or_default().to_owned();
    let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match (verb, rest.split_once(' ')) {
        ("join", _) => client.join(rest).expect("a room"),
        ("leave", _) => client.leave(rest),
        ("say", Some((room, words))) => client.publish_text(room, words).expect("it is said"),
        ("back", _) => client.send_text(rest).expect("it is said"),
        ("rooms", _) => {
            let rooms = client.rooms().join(",");
            client.send_text(rooms).expect("it is said");
        }
        ("close", _) => {
            client.send_text("bye").expect("it is said");
            client.close(CloseCode::from_u16(4000).expect("it is free to use"), "as you wish");
            client.send_text("never said").expect("it is said");
            client.publish_text("lobby", "it has gone").expect("it is said");
        }
        ("panic", _) => {
            client.send_text("never said").expect("it is said");
            panic!("as it was told to");
        }
        _ => panic!("{line} is nothing to be done"),
    }
}

/// A route `/app/{room}` whose clients do what they are told.
fn app(notes: &Notes) -> RouteConfig {
    let (opened, closed) = (notes.clone(), notes.clone());
    let callbacks = Callbacks::new()
        .opened(move |client| opened.note(format!("opened {}", client.room())))
        .message(obey)
        .closed(move |client, reason| closed.note(format!("{} {}", reason.name(), client.room())));
    RouteConfig::handled("/app/{room}", "app", callbacks)
}

fn routes(notes: &Notes) -> Vec<RouteConfig> {
    let mut routes = Routes::builtin();
    routes.push(app(notes));
    routes
}

fn world(notes: &Notes) -> World {
    World::serving(&routes(notes))
}

fn id(hub: &Hub, slot: Slot) -> ConnectionId {
    hub.connection(slot).expect("it is there")
}

fn room(hub: &Hub, namespace: &str, name: &str) -> RoomName {
    let namespace = hub.routes().namespace(namespace).expect("a route opens it");
    RoomName { namespace, name: name.into() }
}

fn tell(world: &mut World, slot: Slot, line: &str) {
    world.say(slot, line);
    world.settle();
}

#[test]
fn each_connection_is_opened_once_and_closed_once() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let (a, b) = (world.connect("/app/a"), world.connect("/app/b"));
    assert_eq!(notes.take(), ["opened a", "opened b"]);
    world.end(a);
    world.hub.handle(world.now, Event::Broken { slot: b });
    world.settle();
    world.pass_secs(60);
    assert_eq!(notes.take(), ["ended a", "reset b"]);
    world.assert_empty();
}

#[test]
fn who_is_never_opened_is_never_closed() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let slot = world.accept();
    world.raw(slot, b"GET /app/a HTTP/1.1\r\n\r\n");
    world.settle();
    world.end(slot);
    let ann = world.connect("/ws/lobby");
    world.end(ann);
    assert_eq!(notes.take(), [""; 0]);
}

#[test]
fn a_program_puts_connections_into_rooms() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let [a, b] = world.connect_all("/app/x");
    tell(&mut world, a, "join red");
    tell(&mut world, a, "join blue");
    tell(&mut world, a, "join red");
    tell(&mut world, b, "join red");
    tell(&mut world, a, "rooms");
    assert_eq!(world.heard(a), [text("red,blue")], "each once");
    tell(&mut world, a, "say red one");
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec![text("one")]));
    tell(&mut world, b, "say blue two");
    assert_eq!((world.heard(a), world.heard(b)), (vec![text("two")], vec![]), "from outside");
    tell(&mut world, a, "leave red");
    tell(&mut world, b, "say red three");
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec![]));
    world.end(a);
    world.end(b);
    world.assert_empty();
}

#[test]
fn rooms_of_a_namespace_are_the_same_by_every_door() {
    let notes = Notes::default();
    let mut routes = Routes::builtin();
    routes.push(RouteConfig { namespace: Some("ws".to_owned()), ..app(&notes) });
    let mut world = World::serving(&routes);
    let (member, guest) = (world.connect("/ws/lobby"), world.connect("/app/x"));
    tell(&mut world, guest, "join lobby");
    tell(&mut world, member, "hello");
    assert_eq!(world.heard(guest), [text("hello")]);
    tell(&mut world, guest, "say lobby hi");
    assert_eq!((world.heard(member), world.heard(guest)), (vec![text("hi")], vec![]));
}

#[test]
fn a_panic_costs_one_connection_and_nothing_that_was_accepted() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let [a, b] = world.connect_all("/app/x");
    tell(&mut world, b, "join lobby");
    world.say(a, "say lobby before");
    world.say(a, "panic");
    world.say(a, "say lobby after");
    world.settle();
    assert_eq!(world.heard(b), [text("before")]);
    let last = world.heard(a).pop().expect("a last word");
    assert_eq!(close_code(&last), Some(1011));
    assert_eq!(world.hub.counters().panics, 1);
    world.raw(a, &masked(0x88, &1011_u16.to_be_bytes()));
    world.end(a);
    assert_eq!(world.wire(a).released, Some(CloseReason::Panic));
    assert_eq!(notes.take(), ["opened x", "opened x", "panic x"]);
    tell(&mut world, b, "back still here");
    assert_eq!(world.heard(b), [text("still here")]);
}

#[test]
fn panics_at_the_door_and_at_the_end_harm_nobody_else() {
    let callbacks = Callbacks::new()
        .opened(|client| assert!(client.room() != "in", "not in"))
        .message(|client, _| client.send_text("here").unwrap())
        .closed(|client, _| assert!(client.room() != "out", "not out"));
    let mut world = World::serving(&[RouteConfig::handled("/{room}", "app", callbacks)]);
    let bad = world.accept();
    world.raw(bad, &world::request("/in"));
    world.settle();
    let got = &mut world.wire(bad).got;
    let head = got.windows(4).position(|four| four == b"\r\n\r\n").expect("it is answered");
    assert!(got.starts_with(b"HTTP/1.1 101 "));
    got.drain(..head + 4);
    let last = world.heard(bad).pop().expect("a last word");
    assert_eq!(close_code(&last), Some(1011));
    let (out, other) = (world.connect("/out"), world.connect("/other"));
    world.end(out);
    assert_eq!(world.wire(out).released, Some(CloseReason::Ended));
    assert_eq!(world.hub.counters().panics, 2);
    tell(&mut world, other, "?");
    assert_eq!(world.heard(other), [text("here")]);
}

#[test]
fn a_handler_closes_after_all_it_said_and_hears_the_goodbye() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let [a, b] = world.connect_all("/app/x");
    tell(&mut world, b, "join lobby");
    let mut bytes = masked(0x81, b"close");
    bytes.extend(masked(0x81, b"say lobby not heard any more"));
    bytes.extend(masked(0x88, &4000_u16.to_be_bytes()));
    world.raw(a, &bytes);
    world.settle();
    let heard = world.heard(a);
    assert_eq!((&heard[0], heard.len()), (&text("bye"), 2));
    assert_eq!(close_code(&heard[1]), Some(4000));
    assert_eq!(&heard[1].payload[2..], b"as you wish");
    assert_eq!(world.heard(b), [text("it has gone")]);
    let code = CloseCode::from_u16(4000).unwrap();
    assert_eq!(world.wire(a).released, Some(CloseReason::Told(code)));
}

#[test]
fn what_is_said_when_one_has_gone_is_heard_by_those_who_stay() {
    let callbacks = Callbacks::new()
        .opened(|client| client.join("all").unwrap())
        .closed(|client, _| client.publish_text("all", format!("{} left", client.room())).unwrap());
    let mut world = World::serving(&[RouteConfig::handled("/{room}", "app", callbacks)]);
    let (ann, bob) = (world.connect("/ann"), world.connect("/bob"));
    world.end(ann);
    assert_eq!(world.heard(bob), [text("ann left")]);
    world.end(bob);
    world.assert_empty();
}

#[test]
fn bounds_are_told_to_the_handler() {
    let notes = Notes::default();
    let seen = notes.clone();
    let callbacks = Callbacks::new().message(move |client, _| {
        let long = "x".repeat(client.room().len() * 2_000);
        seen.note(format!("{:?}", client.send_text(long)));
        seen.note(format!("{:?}", client.join("")));
        seen.note(format!("{:?}", client.join("r".repeat(300))));
        let joined = (0..9).map(|room| client.join(room.to_string()));
        let refused: Vec<_> = joined.filter_map(Result::err).collect();
        seen.note(format!("{refused:?}"));
        while client.publish_text("anywhere", "words").is_ok() {}
        while client.send_binary(*b"").is_ok() {}
        seen.note(format!("{:?}", client.send_binary(*b"")));
    });
    let routes = Routes::new(&[RouteConfig::handled("/{room}", "app", callbacks)]).unwrap();
    let mut world = World::with_limits(|_| {});
    let mut limits = world.hub.limits().clone();
    (limits.message_bytes_max, limits.rooms_max) = (4_000, 7);
    limits.handler_bytes_max = 10_000;
    world.hub = Hub::new(Config { routes: Arc::new(routes), limits, ..Config::default() });
    let slot = world.connect("/four");
    tell(&mut world, slot, "go");
    let (name, rooms) = (Err::<(), _>(Refused::RoomName), vec![Refused::TooManyRooms; 2]);
    assert_eq!(
        notes.take(),
        [
            format!("{:?}", Err::<(), _>(Refused::TooLong)),
            format!("{name:?}"),
            format!("{name:?}"),
            format!("{rooms:?}"),
            format!("{:?}", Err::<(), _>(Refused::Full)),
        ]
    );
    tell(&mut world, slot, "again");
    assert!(notes.take().contains(&format!("{rooms:?}")), "it is in seven of them");
    world.end(slot);
    world.assert_empty();
}

#[test]
fn who_owes_hears_all_of_its_rooms_in_order() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let [a, b] = world.connect_all("/app/x");
    ["join red", "join blue"].into_iter().for_each(|line| tell(&mut world, b, line));
    world.wire(b).window = 3;
    for line in ["say red one", "say blue two", "say red six", "say blue ten"] {
        tell(&mut world, a, line);
    }
    assert_eq!(world.heard(b), []);
    world.read_more(b, usize::MAX);
    assert_eq!(world.heard(b), [text("one"), text("two"), text("six"), text("ten")]);
    world.wire(b).window = 0;
    let long = "w".repeat(700);
    for _ in 0..3 {
        tell(&mut world, a, &format!("say red {long}"));
        tell(&mut world, a, &format!("say blue {long}"));
    }
    world.read_more(b, usize::MAX);
    let last = world.heard(b).pop().expect("a last word");
    assert_eq!(close_code(&last), Some(1013), "it is slow like any member");
}

#[test]
fn a_slot_that_is_used_again_is_in_no_room_of_the_one_before() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let [a, b, c] = world.connect_all("/app/x");
    for slot in [a, b, c] {
        tell(&mut world, slot, "join red");
        tell(&mut world, slot, "join blue");
    }
    world.hub.handle(world.now, Event::Broken { slot: a });
    world.settle();
    world.wires.0[a.index()] = world::fresh_wire();
    world.hub.handle(world.now, Event::Accepted { slot: a });
    world.raw(a, &world::request("/app/x"));
    world.settle();
    world.wire(a).got.clear();
    tell(&mut world, b, "say red one");
    assert_eq!((world.heard(a), world.heard(c)), (vec![], vec![text("one")]));
    tell(&mut world, a, "rooms");
    assert_eq!(world.heard(a), [text("")]);
}

#[test]
fn orders_reach_one_connection_one_user_and_everyone() {
    let mut world = World::new();
    let mut chatter = |user: &str| {
        let slot = world.accept();
        world.ponders = true;
        world.raw(slot, &world::request("/ws/chat/lobby?access_token=any"));
        world.settle();
        let (ticket, _) = world.asked.pop().expect("it shows a token");
        let user = Some(user.into());
        let granted = Some(gateway_core::event::Grant { user });
        world.hub.handle(world.now, Event::Authenticated { ticket, granted });
        world.settle();
        world.wire(slot).got.clear();
        slot
    };
    let (ann, phone, bob) = (chatter("ann"), chatter("ann"), chatter("bob"));
    let (echo, raw) = (world.connect("/ws/simple"), world.connect("/"));
    let all = [ann, phone, bob, echo, raw];
    let reached = |world: &mut World, to: To| {
        world.hub.handle(world.now, Event::Order(Order::Send(to, Content::text("psst"))));
        world.settle();
        let heard = all.map(|slot| world.heard(slot) == [text("psst")]);
        all.iter().for_each(|&slot| assert_eq!(world.heard(slot), []));
        heard
    };
    let one = To::Connection(id(&world.hub, phone));
    assert_eq!(reached(&mut world, one), [false, true, false, false, false]);
    let user = To::User("ann".into());
    assert_eq!(reached(&mut world, user), [true, true, false, false, false]);
    assert_eq!(reached(&mut world, To::Everyone), [true, true, true, false, true], "no echo");
    assert_eq!(reached(&mut world, To::User("nobody".into())), [false; 5]);
    assert_eq!(reached(&mut world, To::Connection(ConnectionId::default())), [false; 5]);
    let close = Order::Close(To::User("ann".into()), CloseCode::POLICY, "out".into());
    world.hub.handle(world.now, Event::Order(close));
    world.settle();
    let closed = all.map(|slot| world.heard(slot).last().and_then(close_code));
    assert_eq!(closed, [Some(1008), Some(1008), None, None, None]);
}

#[test]
fn orders_put_members_into_more_rooms_and_rooms_hear_the_program() {
    let notes = Notes::default();
    let mut world = world(&notes);
    let (ann, app) = (world.connect("/ws/lobby"), world.connect("/app/x"));
    let echo = world.connect("/ws/simple");
    let news = room(&world.hub, "ws", "news");
    let order = |world: &mut World, order: Order| {
        world.hub.handle(world.now, Event::Order(order));
        world.settle();
    };
    order(&mut world, Order::Join(To::Everyone, news.clone()));
    order(&mut world, Order::Publish(news.clone(), Content::binary(&b"\x01"[..])));
    assert_eq!(world.heard(ann), [binary(b"\x01")]);
    assert_eq!((world.heard(app), world.heard(echo)), (vec![binary(b"\x01")], vec![]));
    let rooms = world.hub.rooms_of(id(&world.hub, ann)).expect("it is here");
    assert_eq!(rooms.iter().map(|room| &*room.name).collect::<Vec<_>>(), ["lobby", "news"]);
    let to_ann = To::Connection(id(&world.hub, ann));
    order(&mut world, Order::Leave(to_ann, news.clone()));
    order(&mut world, Order::Publish(news.clone(), Content::text("late")));
    assert_eq!((world.heard(ann), world.heard(app)), (vec![], vec![text("late")]));
    let lobby = room(&world.hub, "ws", "lobby");
    order(&mut world, Order::Leave(To::Everyone, lobby.clone()));
    order(&mut world, Order::Publish(lobby, Content::text("yours")));
    assert_eq!(world.heard(ann), [text("yours")], "the room of its own path stays");
    for slot in [ann, app, echo] {
        world.end(slot);
    }
    order(&mut world, Order::Publish(news, Content::text("to nobody")));
    world.assert_empty();
}

#[test]
fn a_large_message_to_everyone_is_kept_once() {
    let mut world = World::new();
    let members: [Slot; 8] = world.connect_all("/ws/lobby");
    for slot in members {
        world.wire(slot).window = 0;
    }
    let large = Content::binary(vec![7; 800 << 10]);
    world.hub.handle(world.now, Event::Order(Order::Send(To::Everyone, large)));
    world.settle();
    let kept = world.hub.outbox_bytes();
    assert!(kept < 900 << 10, "{kept} bytes are kept of 800 KiB to eight");
    for slot in members {
        world.read_more(slot, usize::MAX);
        assert_eq!(world.heard(slot), [binary(&[7; 800 << 10])]);
    }
}

/// Three shards that nobody leaves by itself, with the route of [`app`].
fn node(notes: &Notes) -> Node {
    let routes = Arc::new(Routes::new(&routes(notes)).expect("the routes make sense"));
    Node::new(3, |config| {
        config.routes = Arc::clone(&routes);
        config.limits.small_room_members_max = 0;
        config.member_policy = MemberPolicy::Close;
    })
}

#[test]
fn who_moves_takes_its_rooms_along_and_misses_nothing() {
    for window in [usize::MAX, 0] {
        let notes = Notes::default();
        let mut node = node(&notes);
        let (a, b) = (node.connect(0, "/app/a"), node.connect(1, "/app/b"));
        for room in ["red", "blue", "green"] {
            node.say(a, &format!("join {room}"));
            node.say(b, &format!("join {room}"));
            node.settle();
        }
        node.window(b, window);
        for number in 0..40 {
            let room = ["red", "blue", "green"][number % 3];
            node.say(a, &format!("say {room} {number}"));
            if number % 5 == 0 {
                let to = ShardId(((number / 5) % 3) as u16);
                node.event(b, |slot| Event::Move { slot, to });
            }
            // Some is under way in each of the moves.
            node.turn(number % 3);
        }
        node.settle();
        node.window(b, usize::MAX);
        node.settle();
        let heard: Vec<_> = node.heard(b).into_iter().map(|frame| frame.payload).collect();
        for room in 0..3_usize {
            let told = heard.iter().map(|payload| std::str::from_utf8(payload).unwrap());
            let told: Vec<usize> = told.map(|text| text.parse().unwrap()).collect();
            let told: Vec<_> = told.into_iter().filter(|number| number % 3 == room).collect();
            let said: Vec<_> = (0..40).filter(|number| number % 3 == room).collect();
            assert_eq!(told, said, "room {room}, window {window}");
        }
        node.say(b, "rooms");
        node.settle();
        assert_eq!(node.heard(b), [text("red,blue,green")]);
        for client in [a, b] {
            node.event(client, |slot| Event::Ended { slot });
        }
        node.settle();
        assert_eq!(notes.take(), ["opened a", "opened b", "ended a", "ended b"], "once each");
        node.assert_empty();
    }
}

#[test]
fn a_shard_is_left_by_all_who_are_in_many_rooms() {
    let notes = Notes::default();
    let mut node = node(&notes);
    let clients: Vec<_> = (0..30).map(|_| node.connect(0, "/app/x")).collect();
    for (number, &client) in clients.iter().enumerate() {
        for room in 0..number % 4 {
            node.say(client, &format!("join {room}"));
        }
    }
    node.settle();
    let to = vec![ShardId(1), ShardId(2)];
    node.shards[0].hub.handle(node.now, Event::Evacuate { to });
    let author = node.connect(1, "/app/y");
    for _ in 0..20 {
        node.say(author, "say 0 on");
        node.settle();
        node.now.0 += 250_000_000;
        node.shards[0].hub.handle(node.now, Event::Tick);
    }
    assert!(node.shards[0].hub.is_vacant());
    for (number, &client) in clients.iter().enumerate() {
        let expected = if number % 4 > 0 { 20 } else { 0 };
        assert_eq!(node.heard(client).len(), expected, "client {number}");
    }
}

#[test]
fn orders_find_who_has_moved() {
    let notes = Notes::default();
    let mut node = node(&notes);
    let client = node.connect(0, "/app/x");
    let id = node.shards[0].hub.connection(node.slot_of(client)).unwrap();
    node.event(client, |slot| Event::Move { slot, to: ShardId(2) });
    node.settle();
    assert_eq!([0, 1, 2].map(|shard| node.shards[shard].hub.knows(id)), [false, false, true]);
    for shard in 0..3 {
        let order = Order::Send(To::Connection(id), Content::text("psst"));
        node.shards[shard].hub.handle(node.now, Event::Order(order));
    }
    node.settle();
    assert_eq!(node.heard(client), [text("psst")]);
}
