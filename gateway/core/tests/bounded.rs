//! What one turn, one move or one slow member may cost: faults that were found, and stay away.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod nodes;
mod world;

use gateway_core::dispatch::Answer;
use gateway_core::event::Event;
#[cfg(feature = "probe")]
use gateway_core::hub::{Config, Hub, MemberPolicy};
use gateway_core::id::ShardId;
#[cfg(feature = "probe")]
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use nodes::Node;
#[cfg(feature = "probe")]
use world::frames;
use world::{World, masked, request};

fn tick(node: &mut Node, secs: f64) {
    node.now = Now(node.now.0 + (secs * 1e9) as u64);
    let now = node.now;
    for shard in &mut node.shards {
        shard.hub.handle(now, Event::Tick);
    }
    node.settle();
}

/// A request for the lobby by `weir.probe.v1`, with this query.
#[cfg(feature = "probe")]
fn probing(query: &str) -> Vec<u8> {
    let mut asks = request(&format!("/ws/lobby{query}"));
    asks.truncate(asks.len() - 2);
    asks.extend_from_slice(b"Sec-WebSocket-Protocol: weir.probe.v1\r\n\r\n");
    asks
}

/// The epoch of the lobby, which a new member is told.
#[cfg(feature = "probe")]
fn epoch_told(world: &mut World, listener: Slot) -> u64 {
    use gateway_core::probe::ToClient;
    world.raw(listener, &probing(""));
    world.settle();
    let got = std::mem::take(&mut world.wire(listener).got);
    let end = gateway_core::handshake::head_end(&got, 0).expect("it is answered");
    let (told, _) = frames(&got[end..]);
    match ToClient::decode(&told[0].payload) {
        Ok(ToClient::Subscribed { position, .. }) => position.epoch.0,
        other => panic!("it is told where it is first, not {other:?}"),
    }
}

/// who is moved after its ping is closed with "no pong" at once.
#[test]
fn a_pinged_connection_that_moves_keeps_its_time_to_answer() {
    let mut node = Node::spread(2);
    let client = node.connect(0, "/ws/lobby");
    // A shard that missed the end of the upgrade's time by so much would think itself late.
    tick(&mut node, 5.5);
    tick(&mut node, 20.0);
    let heard = node.heard(client);
    assert_eq!(heard[0].opcode, 9, "pinged");
    node.event(client, |slot| Event::Move { slot, to: ShardId(1) });
    node.settle();
    assert_eq!(node.shard_of(client), 1);
    tick(&mut node, 0.3);
    assert_eq!(node.heard(client), [], "it has 8 seconds to answer, of which 0.3 are gone");
}

/// a member that is leaving when its room speaks and the node drains is never read from again.
#[test]
fn a_leaving_member_that_is_closed_is_heard_saying_goodbye() {
    let mut node = Node::spread(2);
    let home = node.connect(0, "/ws/lobby");
    let client = node.connect(1, "/ws/lobby");
    let (slot, now) = (node.slot_of(client), node.now);
    node.say(home, "hi");
    node.turn(0);
    node.event(client, |slot| Event::Move { slot, to: ShardId(0) });
    // A message and the drain come in one turn: the lane has something to say.
    node.take_letters(ShardId(1));
    node.shards[1].hub.handle(now, Event::Drain);
    node.settle();
    let heard = node.heard(client);
    assert_eq!((heard.len(), node.shard_of(client)), (2, 1), "the message and 1001");
    assert!(node.shards[1].hub.is_live(slot));
    assert!(node.shards[1].hub.may_read(slot), "its goodbye is never read");
}

/// a stalled member whose room goes is never read from again.
#[test]
fn a_stalled_member_that_is_closed_is_heard_saying_goodbye() {
    let mut node = Node::spread(2);
    let client = node.connect(0, "/ws/lobby");
    let now = node.now;
    node.mute = true;
    node.shards[0].hub.handle(now, Event::Migrate { to: ShardId(1), homes_max: 1 });
    node.pass(0);
    let slot = node.slot_of(client);
    node.say(client, "waits for the sealed home");
    node.pass(0);
    assert!(!node.shards[0].hub.may_read(slot), "stalled");
    node.shards[0].hub.handle(now, Event::Drain);
    while node.pass(0) {}
    assert!(node.shards[0].hub.is_live(slot));
    let before = node.shards[0].hub.may_read(slot);
    // The registry does not agree to the move: what waited is sequenced, and the room goes.
    let term = node.silent[0];
    let answer = Answer::Migrated { term, next: None };
    node.shards[0].hub.handle(now, Event::Answer(answer));
    while node.pass(0) {}
    assert_eq!(node.shards[0].hub.rooms(), 0);
    let after = node.shards[0].hub.may_read(slot);
    assert_eq!((before, after), (true, true), "even one that was not read from says goodbye");
}

/// the same without any connection, only a home that others hear.
#[test]
fn an_evacuation_without_connections_whose_homes_are_refused_rests() {
    let mut node = Node::spread(2);
    let member = node.connect(0, "/ws/lobby");
    let _other = node.connect(1, "/ws/lobby");
    node.event(member, |slot| Event::Ended { slot });
    node.settle();
    node.no_migrations = true;
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Evacuate { to: vec![ShardId(1)] });
    let passes = (0..1_000).take_while(|_| node.pass(0)).count();
    assert!(passes < 1_000, "a turn that never ends: asked {} times", node.asked);
}

/// a refused client holds its extra slot for `close_secs`, not for `refusal_secs`.
#[test]
fn a_refused_client_holds_its_extra_slot_for_a_second() {
    let mut world = World::with_limits(|limits| limits.connections_max = 1);
    world.connect("/ws/lobby");
    let refused = world.accept();
    world.raw(refused, &request("/ws/lobby"));
    world.settle();
    assert!(world.wire(refused).got.starts_with(b"HTTP/1.1 503"));
    world.pass_secs(2);
    assert!(world.wire(refused).released.is_some(), "`refusal_secs` is 1");
}

/// in a lossy hub direct bytes know no bound per member.
#[cfg(feature = "probe")]
#[test]
fn a_lossy_member_owes_no_more_than_its_bound() {
    use gateway_core::probe::ToServer;
    let mut world = World::with(world::small_outbox(), MemberPolicy::Lossy);
    let other = world.connect("/ws/lobby");
    let slot = world.accept();
    world.raw(slot, &probing(""));
    world.settle();
    let _ = other;
    world.wire(slot).window = 0;
    for id in 0..2_000 {
        let mut bytes = Vec::new();
        ToServer::Publish { id, kind: gateway_core::frame::Kind::Binary, payload: b"x" }
            .encode(&mut bytes);
        world.raw(slot, &masked(0x82, &bytes));
        world.settle();
    }
    let owed = world.hub.outbox_bytes();
    assert!(owed < 20_000, "one member with a bound of 1,000 owes {owed}");
}

/// what recoveries say in a turn is bounded by nothing, and beyond 4 GiB panics.
#[cfg(feature = "probe")]
#[test]
fn many_recoveries_in_one_turn_are_survived() {
    use gateway_core::envelope::RoomPolicy;
    use gateway_core::log::Retention;
    let history = Retention { messages_max: 100, bytes_max: 80 << 20, age_secs: 600 };
    let kept = RoomPolicy { history, presence: false };
    let hub =
        Hub::new(Config { rooms: vec![kept.clone(), kept.clone(), kept], ..Config::default() });
    let mut world = World::new();
    (world.hub, world.slice) = (hub, 64);
    let author = world.connect("/ws/lobby");
    let listener = world.accept();
    let epoch = epoch_told(&mut world, listener);
    world.end(listener);
    // Two shared messages of 30 MiB, each in two pieces.
    for _ in 0..2 {
        let bytes = masked(0x82, &vec![7; 30 << 20]);
        let half = bytes.len() / 2;
        world.raw(author, &bytes[..half]);
        world.raw(author, &bytes[half..]);
        world.settle();
    }
    for _ in 0..80 {
        let slot = world.accept();
        world.wire(slot).window = 0;
        world.raw(slot, &probing(&format!("?epoch={epoch}&offset=0")));
    }
    world.settle();
}

/// the same in a release, with default limits: 1,100 raw members move while somebody says
/// one message of nearly 4 MiB.
#[test]
fn many_movers_that_missed_a_large_message_are_survived() {
    let mut node = Node::spread(2);
    node.rings_hold(2048); // 1,024 is the default of `--ring`.
    let author = node.connect(1, "/ws/lobby");
    let movers: Vec<_> = (0..1_100).map(|_| node.knock(0, "/ws/lobby")).collect();
    node.settle();
    for &mover in &movers {
        node.take(mover);
        node.window(mover, 0);
        node.event(mover, |slot| Event::Move { slot, to: ShardId(1) });
    }
    node.turn(0); // Asks for pins.
    node.turn(1); // Answers.
    let words = masked(0x82, &vec![7; 4_100_000]);
    let (first, second) = words.split_at(2_000_000);
    node.raw(author, first);
    node.raw(author, second);
    // Nobody there has heard it yet; everyone goes, and catches up at the home.
    node.turn(0);
    node.settle();
}

/// members that say they are ahead cost sixteen bytes for each message of a turn.
#[cfg(feature = "probe")]
#[test]
fn members_that_are_ahead_cost_no_memory_for_each_message() {
    let mut world = World::new();
    let author = world.connect("/ws/lobby");
    let listener = world.accept();
    let epoch = epoch_told(&mut world, listener);
    for _ in 0..500 {
        let slot = world.accept();
        world.raw(slot, &probing(&format!("?epoch={epoch}&offset=99999999")));
    }
    world.settle();
    let words = masked(0x82, b"x").repeat(10_000);
    let used = allocation_counter::measure(|| world.raw(author, &words));
    assert!(
        used.bytes_max < 8 << 20,
        "{} KiB of messages cost {} MiB",
        words.len() >> 10,
        used.bytes_max >> 20
    );
}

/// of the same movers with small messages, each gets a copy of its own of what it missed.
#[test]
fn catching_up_is_bounded_by_some_budget() {
    let mut node = Node::new(2, |config| {
        config.limits.small_room_members_max = 0;
        config.limits.shard_outbox_bytes_max = 8 << 20;
    });
    node.rings_hold(2048);
    let author = node.connect(1, "/ws/lobby");
    let movers: Vec<_> = (0..100).map(|_| node.knock(0, "/ws/lobby")).collect();
    node.settle();
    for &mover in &movers {
        node.take(mover);
        node.window(mover, 0);
        node.event(mover, |slot| Event::Move { slot, to: ShardId(1) });
    }
    node.turn(0);
    node.turn(1);
    // Within `turn_bytes_max` and `transit`.
    let words = masked(0x82, &[7; 1_000]).repeat(2_000);
    node.raw(author, &words);
    let used = allocation_counter::measure(|| {
        node.turn(0);
    });
    assert!(used.bytes_max < 100 << 20, "100 movers take {} MiB", used.bytes_max >> 20);
}
