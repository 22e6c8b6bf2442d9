//! What is said to a room waits a moment for more, so that its members get it in one send: what
//! waits, for how long, and what does not.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod nodes;
mod world;

use gateway_core::envelope::RoomName;
use gateway_core::event::Event;
use gateway_core::hub::{COALESCE_MICROS_MAX, Config, Hub, MemberPolicy};
use gateway_core::id::ShardId;
use gateway_core::limits::Limits;
use gateway_core::order::{Content, Order, To};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use nodes::Node;
use world::{Frame, World, close_code, masked, request, text};

const MICROS: u32 = 200;
const WINDOW_NANOS: u64 = 200_000;

fn coalescing(limits: Limits, member_policy: MemberPolicy) -> World {
    let mut world = World::new();
    let coalesce_micros = MICROS;
    world.hub = Hub::new(Config { limits, member_policy, coalesce_micros, ..Config::default() });
    world
}

fn world() -> World {
    coalescing(Limits::default(), MemberPolicy::Close)
}

/// Ann has said one thing in the lobby, which opened a window, and everyone has heard it.
fn opened<const N: usize>(world: &mut World) -> [Slot; N] {
    let slots = world.connect_all("/ws/lobby");
    world.say(slots[0], "first");
    world.settle();
    for &slot in &slots[1..] {
        assert_eq!(world.heard(slot), [text("first")]);
        world.wire(slot).sends = 0;
    }
    slots
}

fn pass(world: &mut World, nanos: u64) {
    world.now = Now(world.now.0 + nanos);
}

/// The time comes that the hub waits for, which is within a window.
fn meet_deadline(world: &mut World) {
    let due = world.hub.poll_timeout().unwrap();
    assert!(due.since(world.now) <= WINDOW_NANOS, "somebody waits until {due:?}");
    world.now = due;
    world.hub.handle(world.now, Event::Tick);
    world.settle();
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Frame> {
    range.map(|n| text(&n.to_string())).collect()
}

#[test]
fn the_first_words_leave_at_once_and_what_follows_leaves_together() {
    let mut world = world();
    let [ann, bob, eve] = opened(&mut world);
    for n in 0..16 {
        pass(&mut world, 10_000);
        world.say(ann, &n.to_string());
        world.settle();
        assert_eq!(world.heard(bob), [], "it waits for more");
    }
    assert!(world.hub.has_words_waiting());
    meet_deadline(&mut world);
    for slot in [bob, eve] {
        assert_eq!(world.heard(slot), numbers(0..16), "all of it, in the order it was said");
        assert_eq!(world.wire(slot).sends, 1);
    }
    assert_eq!(world.heard(ann), []);
    assert!(!world.hub.has_words_waiting());
    assert_eq!(world.hub.counters().coalesced, 1);
    assert_eq!(world.hub.counters().deliveries, 34);
}

#[test]
fn after_a_pause_the_first_words_leave_at_once_again() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    pass(&mut world, WINDOW_NANOS);
    for n in 0..3 {
        world.say(ann, &n.to_string());
        world.settle();
        assert_eq!(world.heard(bob), numbers(n..n + 1), "nothing was said for a window");
        pass(&mut world, WINDOW_NANOS);
    }
    assert_eq!(world.hub.counters().coalesced, 0);
}

#[test]
fn what_was_collected_opens_the_next_window() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    world.say(ann, "0");
    world.settle();
    meet_deadline(&mut world);
    assert_eq!(world.heard(bob), numbers(0..1));
    world.say(ann, "1");
    world.settle();
    assert_eq!(world.heard(bob), [], "the room speaks steadily");
    meet_deadline(&mut world);
    assert_eq!(world.heard(bob), numbers(1..2));
    assert_eq!(world.hub.counters().coalesced, 2);
}

#[test]
fn nothing_waits_unless_that_was_asked_for() {
    let mut world = World::new();
    let [ann, bob] = world.connect_all("/ws/lobby");
    for n in 0..3 {
        world.say(ann, &n.to_string());
        world.settle();
        assert_eq!(world.heard(bob), numbers(n..n + 1));
    }
    assert_eq!(world.hub.counters().coalesced, 0);
}

#[test]
fn each_misses_its_own_words_alone_of_what_was_collected() {
    let mut world = world();
    let [ann, bob, eve] = opened(&mut world);
    for (n, slot) in [ann, bob, eve, ann, bob].into_iter().enumerate() {
        world.say(slot, &n.to_string());
        world.settle();
    }
    meet_deadline(&mut world);
    let of = |ns: &[u32]| ns.iter().map(|n| text(&n.to_string())).collect::<Vec<_>>();
    assert_eq!(world.heard(ann), of(&[1, 2, 4]));
    assert_eq!(world.heard(bob), of(&[0, 2, 3]));
    assert_eq!(world.heard(eve), of(&[0, 1, 3, 4]));
    assert_eq!(world.wire(bob).sends, 1);
}

#[test]
fn echoes_pongs_and_responses_wait_for_nobody() {
    let mut world = world();
    let [echo] = world.connect_all("/ws/simple");
    let [ann, bob] = opened(&mut world);
    world.say(ann, "later");
    world.say(echo, "at once");
    world.raw(bob, &masked(0x89, b"ping"));
    world.settle();
    assert_eq!(world.heard(echo), [text("at once")]);
    assert_eq!(world.heard(bob), [Frame { opcode: 10, payload: b"ping".to_vec() }]);
    let [eve] = world.connect_all("/ws/lobby");
    meet_deadline(&mut world);
    assert_eq!(world.heard(bob), [text("later")]);
    assert_eq!(world.heard(eve), [], "it was said before she came");
}

#[test]
fn another_room_has_a_window_of_its_own() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    let [tom, kim] = world.connect_all("/ws/attic");
    world.say(ann, "later");
    world.say(tom, "at once");
    world.settle();
    assert_eq!(world.heard(kim), [text("at once")]);
    assert_eq!(world.heard(bob), []);
}

#[test]
fn sixty_four_kibibytes_wait_for_nothing() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    let words = "x".repeat(16 << 10);
    for _ in 0..3 {
        world.say(ann, &words);
        world.settle();
        assert_eq!(world.heard(bob), []);
    }
    world.say(ann, &words);
    world.settle();
    assert_eq!(world.heard(bob), vec![text(&words); 4]);
    assert!(!world.hub.has_words_waiting());
    world.say(ann, "more");
    world.settle();
    assert_eq!(world.heard(bob), [], "the window is still open");
}

#[test]
fn all_rooms_together_keep_no_more_waiting_than_a_turn_reads() {
    let mut limits = Limits::default();
    limits.turn_bytes_max = 1_000;
    let mut world = coalescing(limits, MemberPolicy::Close);
    let rooms = [0, 1, 2].map(|room| {
        let path = format!("/ws/{room}");
        let members: [Slot; 2] = world.connect_all(&path);
        world.say(members[0], "first");
        world.settle();
        world.heard(members[1]);
        members
    });
    for [ann, _] in rooms {
        world.say(ann, &"x".repeat(400));
        world.settle();
    }
    let heard = rooms.map(|[_, bob]| world.heard(bob).len());
    assert_eq!(heard, [0, 0, 1], "the third room's would be more than 1,000 bytes");
}

#[test]
fn who_says_goodbye_hears_what_waited_before_its_last_word() {
    let mut world = world();
    let [ann, bob, eve] = opened(&mut world);
    world.say(ann, "before");
    world.settle();
    world.raw(bob, &masked(0x88, &1000u16.to_be_bytes()));
    world.say(ann, "after");
    world.settle();
    let heard = world.heard(bob);
    assert_eq!(heard[0], text("before"));
    assert_eq!(close_code(&heard[1]), Some(1000));
    assert_eq!(heard.len(), 2);
    assert_eq!(world.heard(eve), [text("before"), text("after")], "it left for everyone");
    world.end(ann);
    world.end(eve);
    world.pass_secs(10);
    world.assert_empty();
}

#[test]
fn who_stops_sending_hears_what_waited() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    world.say(ann, "before");
    world.settle();
    world.end(bob);
    assert_eq!(world.heard(bob), [text("before")]);
}

#[test]
fn the_words_of_one_who_has_gone_are_heard() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    world.say(ann, "last words");
    world.settle();
    world.hub.handle(world.now, Event::Broken { slot: ann });
    world.settle();
    assert_eq!(world.heard(bob), []);
    meet_deadline(&mut world);
    assert_eq!(world.heard(bob), [text("last words")]);
}

#[test]
fn a_room_that_all_have_left_is_forgotten_when_its_window_ends() {
    let mut world = world();
    let slots: [_; 2] = opened(&mut world);
    world.say(slots[0], "to nobody");
    world.settle();
    for slot in slots {
        world.hub.handle(world.now, Event::Broken { slot });
    }
    world.settle();
    world.pass_secs(1);
    world.assert_empty();
    assert!(!world.hub.has_words_waiting());
}

#[test]
fn a_drain_lets_go_of_what_waits_and_nothing_waits_from_then_on() {
    let mut world = world();
    let slots: [_; 300] = opened(&mut world);
    let (ann, last) = (slots[0], slots[299]);
    world.say(ann, "before");
    world.settle();
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    let heard = world.heard(slots[1]);
    assert_eq!(heard[0], text("before"));
    assert_eq!(close_code(&heard[1]), Some(1001));
    assert_eq!(world.heard(last), [text("before")], "who is told later has heard it too");
    world.say(slots[298], "meanwhile");
    world.settle();
    assert_eq!(world.heard(last), [text("meanwhile")]);
}

#[test]
fn a_room_in_which_somebody_owes_does_not_wait() {
    let mut world = coalescing(Limits::default(), MemberPolicy::Lossy);
    let [ann, bob, eve] = opened(&mut world);
    world.wire(eve).window = 0;
    pass(&mut world, WINDOW_NANOS);
    world.say(ann, "0");
    world.settle();
    for n in 1..3 {
        world.say(ann, &n.to_string());
        world.settle();
    }
    assert_eq!(world.heard(bob), numbers(0..3), "each was sent when it was said");
    world.read_more(eve, 1_000);
    assert_eq!(world.heard(eve), numbers(0..3));
    world.say(ann, "3");
    world.settle();
    assert_eq!(world.heard(bob), [], "nobody owes any more");
    world.wire(eve).window = 0;
    meet_deadline(&mut world);
    world.hub.handle(world.now, Event::Broken { slot: eve });
    world.settle();
    world.heard(bob);
    world.say(ann, "4");
    world.settle();
    assert_eq!(world.heard(bob), [], "who owed has gone");
}

#[test]
fn a_newcomer_hears_only_what_is_said_after_it_came() {
    let mut world = world();
    let [ann, bob] = opened(&mut world);
    world.say(ann, "before");
    world.settle();
    let [eve] = world.connect_all("/ws/lobby");
    world.say(ann, "after");
    world.settle();
    meet_deadline(&mut world);
    assert_eq!(world.heard(bob), [text("before"), text("after")]);
    assert_eq!(world.heard(eve), [text("after")]);
}

#[test]
fn who_is_taken_out_of_a_room_hears_what_waited_there_once() {
    let mut node = node(1);
    let namespace = node.shards[0].hub.routes().namespace("ws").unwrap();
    let lobby = RoomName { namespace, name: "lobby".into() };
    let (ann, bob) = (node.connect(0, "/ws/lobby"), node.connect(0, "/ws/lobby"));
    let eve = node.connect(0, "/ws/attic");
    let order = |node: &mut Node, order: Order| {
        node.shards[0].hub.handle(node.now, Event::Order(order));
        node.settle();
    };
    let hers = To::Connection(node.shards[0].hub.connection(node.slot_of(eve)).unwrap());
    order(&mut node, Order::Join(hers.clone(), lobby.clone()));
    node.say(ann, "first");
    node.settle();
    for said in ["second", "third"] {
        node.say(ann, said);
        node.settle();
    }
    assert_eq!(node.heard(eve), [text("first")]);
    order(&mut node, Order::Leave(hers.clone(), lobby.clone()));
    assert_eq!(node.heard(eve), [text("second"), text("third")]);
    order(&mut node, Order::Join(hers, lobby));
    node.now = Now(node.now.0 + WINDOW_NANOS);
    node.settle();
    assert_eq!(node.heard(eve), [], "what was said before is not said again");
    assert_eq!(node.heard(bob), ["first", "second", "third"].map(text));
}

/// Shards that coalesce, where nobody follows a room to its home.
fn node(shards: u16) -> Node {
    Node::new(shards, |config| {
        config.limits.small_room_members_max = 0;
        config.coalesce_micros = MICROS;
    })
}

#[test]
fn who_moves_in_the_window_hears_everything_once() {
    let mut node = node(2);
    let ann = node.connect(0, "/ws/lobby");
    let (bob, eve) = (node.connect(0, "/ws/lobby"), node.connect(1, "/ws/lobby"));
    for said in ["first", "second"] {
        node.say(ann, said);
        node.settle();
    }
    assert_eq!(node.heard(bob), [text("first")]);
    node.event(bob, |slot| Event::Move { slot, to: ShardId(1) });
    node.say(ann, "third");
    node.settle();
    assert_eq!(node.shard_of(bob), 1);
    node.now = Now(node.now.0 + WINDOW_NANOS);
    node.settle();
    node.say(ann, "fourth");
    node.settle();
    node.now = Now(node.now.0 + WINDOW_NANOS);
    node.settle();
    assert_eq!(node.heard(bob), ["second", "third", "fourth"].map(text));
    assert_eq!(node.heard(eve), ["first", "second", "third", "fourth"].map(text));
}

/// Seed 15000138 of the mesh: the second one went while the words that the first one had hurried
/// were still to be said.
#[test]
fn all_who_move_in_the_same_window_hear_everything_once() {
    let mut node = node(2);
    let ann = node.connect(0, "/ws/lobby");
    let members = [0, 1, 2].map(|_| node.connect(0, "/ws/lobby"));
    for said in ["first", "second"] {
        node.say(ann, said);
        node.settle();
    }
    for member in members {
        node.event(member, |slot| Event::Move { slot, to: ShardId(1) });
    }
    node.settle();
    for member in members {
        assert_eq!(node.shard_of(member), 1);
        assert_eq!(node.heard(member), ["first", "second"].map(text));
    }
}

#[test]
fn a_shard_that_is_emptied_has_nothing_wait() {
    let mut node = node(2);
    let (ann, bob) = (node.connect(0, "/ws/lobby"), node.connect(0, "/ws/lobby"));
    for said in ["first", "second"] {
        node.say(ann, said);
        node.settle();
    }
    node.shards[0].hub.handle(node.now, Event::Evacuate { to: vec![ShardId(1)] });
    node.settle();
    assert_eq!(node.heard(bob), [text("first"), text("second")]);
    assert_eq!((node.shard_of(ann), node.shard_of(bob)), (1, 1));
    assert!(!node.shards[0].hub.has_words_waiting());
}

#[test]
#[should_panic(expected = "coalesce_micros is at most 10000")]
fn a_longer_window_is_refused() {
    let coalesce_micros = COALESCE_MICROS_MAX + 1;
    drop(Hub::new(Config { coalesce_micros, ..Config::default() }));
}

#[test]
fn a_response_comes_before_what_the_room_says_although_that_waits() {
    let mut world = world();
    let [ann, _] = opened(&mut world);
    let eve = world.accept();
    world.raw(eve, &request("/ws/lobby"));
    world.say(ann, "after");
    world.settle();
    let got = std::mem::take(&mut world.wire(eve).got);
    assert!(got.starts_with(b"HTTP/1.1 101 ") && got.ends_with(b"\r\n\r\n"));
    meet_deadline(&mut world);
    assert_eq!(world.heard(eve), [text("after")]);
}

/// One who came within the window has nothing to be sent when it leaves; who leaves after it, and
/// after more was said, still hears all that waited.
#[test]
fn who_leaves_after_one_who_missed_all_that_waited_hears_the_rest() {
    let mut node = node(1);
    let namespace = node.shards[0].hub.routes().namespace("ws").unwrap();
    let lobby = RoomName { namespace, name: "lobby".into() };
    let ann = node.connect(0, "/ws/lobby");
    let (eve, gus) = (node.connect(0, "/ws/attic"), node.connect(0, "/ws/attic"));
    let order = |node: &mut Node, order: Order| {
        node.shards[0].hub.handle(node.now, Event::Order(order));
        node.settle();
    };
    let [hers, his] = [eve, gus]
        .map(|it| To::Connection(node.shards[0].hub.connection(node.slot_of(it)).unwrap()));
    order(&mut node, Order::Join(hers.clone(), lobby.clone()));
    for said in ["first", "second"] {
        node.say(ann, said);
        node.settle();
    }
    order(&mut node, Order::Join(his.clone(), lobby.clone()));
    order(&mut node, Order::Leave(his, lobby.clone()));
    node.say(ann, "third");
    node.settle();
    order(&mut node, Order::Leave(hers, lobby));
    assert_eq!(node.heard(eve), ["first", "second", "third"].map(text));
    assert_eq!(node.heard(gus), []);
}

#[test]
fn who_leaves_never_hears_what_another_was_sent_alone() {
    let mut node = node(1);
    let namespace = node.shards[0].hub.routes().namespace("ws").unwrap();
    let lobby = RoomName { namespace, name: "lobby".into() };
    let ann = node.connect(0, "/ws/lobby");
    let [eve, gus, dan] = [0; 3].map(|_| node.connect(0, "/ws/attic"));
    let only = |node: &mut Node, order: Order| {
        node.shards[0].hub.handle(node.now, Event::Order(order));
    };
    let [hers, his, dans] = [eve, gus, dan]
        .map(|it| To::Connection(node.shards[0].hub.connection(node.slot_of(it)).unwrap()));
    only(&mut node, Order::Join(hers.clone(), lobby.clone()));
    node.settle();
    for said in ["first", "second"] {
        node.say(ann, said);
        node.settle();
    }
    only(&mut node, Order::Join(his.clone(), lobby.clone()));
    only(&mut node, Order::Leave(his, lobby.clone()));
    node.settle();
    node.say(ann, "third");
    node.settle();
    let secret = Content::text("47110");
    only(&mut node, Order::Send(dans, secret));
    only(&mut node, Order::Leave(hers, lobby));
    node.settle();
    assert_eq!(node.heard(eve), ["first", "second", "third"].map(text));
}
