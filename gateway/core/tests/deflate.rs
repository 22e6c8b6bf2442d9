//! permessage-deflate, RFC 7692: what is agreed on, what members hear, and what it may cost.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod deflating;
mod nodes;
mod world;

use flate2::{Compress, Compression as Level};
use gateway_core::deflate::Compression;
use gateway_core::event::Event;
use gateway_core::id::ShardId;
use gateway_core::middleware::{Context, Message, Middleware, Next, Verdict};
use gateway_core::route::RouteConfig;

use deflating::*;
use nodes::Node;
use world::{TOKEN, World, masked, request};

#[test]
fn what_is_agreed_on_is_answered_and_nothing_where_nothing_is() {
    let mut world = World::new();
    let shared = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(join(&mut world, "/ws/a", OFFER).1.as_deref(), Some(shared));
    let narrow = format!("{shared}; server_max_window_bits=10");
    assert_eq!(join(&mut world, "/ws/simple", NARROW).1, Some(narrow));
    for offer in ["permessage-bzip2", "permessage-deflate; server_max_window_bits=7"] {
        assert_eq!(join(&mut world, "/ws/simple", offer).1, None);
    }
    let slot = world.accept();
    world.raw(slot, &offering("/ws/simple", "permessage-deflate; ="));
    world.settle();
    assert!(world.wire(slot).got.starts_with(b"HTTP/1.1 400 "));
}

#[test]
fn an_echo_hears_what_it_deflated_and_is_answered_alike_where_that_pays() {
    let mut world = World::new();
    for offer in [OFFER, NARROW] {
        let (echo, _) = join(&mut world, "/ws/simple", offer);
        let long = words(5000);
        say(&mut world, echo, 0xc1, &deflated(&long));
        say(&mut world, echo, 0xc2, &deflated(b"short"));
        say(&mut world, echo, 0x82, &long);
        say(&mut world, echo, 0xc1, &deflated(b""));
        let expected =
            [(true, long.clone()), (false, b"short".to_vec()), (true, long), (false, vec![])];
        assert_eq!(heard(&mut world, echo), expected, "{offer}");
    }
    let echo = world.connect("/ws/simple");
    say(&mut world, echo, 0x82, &words(5000));
    assert_eq!(heard(&mut world, echo), [(false, words(5000))], "who did not ask");
}

#[test]
fn a_deflated_message_may_come_in_fragments_cut_anywhere_with_pings_between() {
    let mut world = World::new();
    let (echo, _) = join(&mut world, "/ws/simple", OFFER);
    let deflated = deflated(&words(900));
    for cut in 0..=deflated.len() {
        let (one, two) = deflated.split_at(cut);
        let bytes = [masked(0x41, one), masked(0x89, b"?"), masked(0x80, two)].concat();
        for piece in bytes.chunks(7) {
            world.raw(echo, piece);
        }
        world.settle();
        let expected = [(false, b"?".to_vec()), (false, words(900))];
        assert_eq!(heard(&mut world, echo), expected, "{cut}");
    }
}

#[test]
fn members_who_read_it_get_one_deflated_message_and_others_get_it_plain() {
    let mut world = World::new();
    let author = world.connect("/ws/a");
    let plain = world.connect("/ws/a");
    let wide = [(); 2].map(|()| join(&mut world, "/ws/a", OFFER).0);
    let narrow = [(); 2].map(|()| join(&mut world, "/ws/a", NARROW).0);
    let message = words(3000);
    say(&mut world, author, 0x81, &message);
    assert_eq!(heard(&mut world, plain), [(false, message.clone())]);
    for pair in [wide, narrow] {
        let got = pair.map(|slot| world.wire(slot).got.clone());
        assert_eq!(got[0], got[1], "one message is made for all of them");
        for slot in pair {
            assert_eq!(heard(&mut world, slot), [(true, message.clone())]);
        }
    }
    // One of them says something, and does not hear itself.
    say(&mut world, wide[0], 0xc1, &deflated(&message));
    assert_eq!(heard(&mut world, wide[0]), []);
    assert_eq!(heard(&mut world, wide[1]), [(true, message.clone())]);
    assert_eq!(heard(&mut world, author), [(false, message)]);
    say(&mut world, author, 0x81, &words(1023));
    assert_eq!(heard(&mut world, wide[1]), [(false, words(1023))], "short ones are not worth it");
}

#[test]
fn what_cannot_be_inflated_is_told_by_1007_and_what_inflates_too_far_by_1009() {
    let mut limits = World::with_limits(|limits| limits.message_bytes_max = 10_000);
    let mut bad = |first, payload: &[u8]| {
        let (slot, _) = join(&mut limits, "/ws/simple", OFFER);
        say(&mut limits, slot, first, payload);
        closed_with(&mut limits, slot)
    };
    assert_eq!(bad(0xc2, b"\xff\xff"), Some(1007));
    assert_eq!(bad(0xc2, &deflated(&words(500))[..20]), Some(1007));
    assert_eq!(bad(0xc1, &deflated(b"\xc0\xaf")), Some(1007));
    assert_eq!(bad(0xc2, &deflated(b"\xc0\xaf")), None, "binary may be anything");
    assert_eq!(bad(0xc2, &deflated(&words(10_001))), Some(1009));
    assert_eq!(bad(0xc2, &deflated(&vec![0; 64 << 20])), Some(1009));
    // RFC 7692 §6.1.
    assert_eq!(bad(0xc9, b""), Some(1002));
    assert_eq!(bad(0xc0, b""), Some(1002));
    assert_eq!(bad(0xa1, b""), Some(1002));
    let plain = limits.connect("/ws/simple");
    say(&mut limits, plain, 0xc1, &deflated(b"hello"));
    assert_eq!(closed_with(&mut limits, plain), Some(1002), "nothing was agreed on");
}

#[test]
fn messages_refer_back_where_that_is_allowed_and_asked_for() {
    let mut world = World::serving(&takeover());
    let (echo, answer) = join(&mut world, "/echo", OFFER);
    assert_eq!(answer.as_deref(), Some("permessage-deflate; server_no_context_takeover"));
    let mut state = Compress::new(Level::default(), false);
    for round in 0..5 {
        let message = words(900 + round);
        let deflated = deflated_by(&mut state, &message);
        assert!(round == 0 || deflated.len() < 16, "it refers back");
        say(&mut world, echo, 0xc1, &deflated);
        assert_eq!(heard(&mut world, echo), [(false, message)]);
    }
    let alone = "permessage-deflate; client_no_context_takeover";
    let (echo, answer) = join(&mut world, "/echo", alone);
    assert!(answer.unwrap().ends_with("; client_no_context_takeover"));
    let mut state = Compress::new(Level::default(), false);
    for _ in 0..2 {
        say(&mut world, echo, 0xc1, &deflated_by(&mut state, &words(900)));
    }
    assert_eq!(closed_with(&mut world, echo), Some(1007), "it said that it would not");
    assert_eq!(join(&mut world, "/room", OFFER).1, None, "where compression is off");
}

#[test]
fn windows_are_kept_for_as_many_as_the_bound_allows() {
    let mut world = World::serving(&takeover());
    let mut limits = world.hub.limits().clone();
    limits.windows_bytes_max = 2 * (32 << 10) + 1;
    let routes = std::sync::Arc::new(gateway_core::route::Routes::new(&takeover()).unwrap());
    let config = gateway_core::hub::Config { limits, routes, ..Default::default() };
    world.hub = gateway_core::hub::Hub::new(config);
    let keeps = |world: &mut World| {
        let (slot, answer) = join(world, "/echo", OFFER);
        (slot, !answer.unwrap().contains("client_no_context_takeover"))
    };
    let (first, kept) = keeps(&mut world);
    assert!(kept && keeps(&mut world).1);
    assert!(!keeps(&mut world).1, "the third is told that its messages must not refer back");
    world.hub.handle(world.now, Event::Broken { slot: first });
    world.settle();
    assert!(keeps(&mut world).1, "when one has gone there is room again");
}

#[test]
fn who_makes_much_of_little_is_read_from_more_slowly_and_loses_nothing() {
    let mut world = World::with_limits(|limits| limits.inflated_bytes_per_sec = 100_000);
    let author = join(&mut world, "/ws/a", OFFER).0;
    let other = world.connect("/ws/a");
    let honest = join(&mut world, "/ws/b", OFFER).0;
    let hears = world.connect("/ws/b");
    let message = words(60_000);
    let bytes = masked(0xc1, &deflated(&message)).repeat(20);
    world.raw(author, &bytes);
    world.settle();
    // A second's worth at once, and the one that goes beyond.
    assert_eq!(world.heard(other).len(), 2);
    assert!(!world.wire(author).reads);
    assert!(world.hub.inbound_bytes() > 0, "the rest waits");
    say(&mut world, honest, 0xc1, &deflated(&words(2000)));
    assert_eq!(world.heard(hears).len(), 1, "others do not wait for it");
    world.pass_secs(5);
    let later = world.heard(other).len();
    assert!((8..=10).contains(&later), "five seconds allow 500,000 bytes more: {later}");
    world.pass_secs(10);
    assert_eq!(2 + later + world.heard(other).len(), 20, "nothing is lost");
    assert!(world.wire(author).reads);
    assert_eq!(world.hub.inbound_bytes(), 0);
}

#[test]
fn a_turn_inflates_no_more_than_its_bound_whoever_sends_it() {
    let mut world = World::with_limits(|limits| limits.inflated_turn_bytes_max = 100_000);
    let authors = [(); 10].map(|()| join(&mut world, "/ws/a", OFFER).0);
    let hears = world.connect("/ws/a");
    let frame = masked(0xc1, &deflated(&words(20_000)));
    for author in authors {
        world.raw(author, &frame);
    }
    world.settle();
    assert_eq!(world.heard(hears).len(), 4, "up to the one that reaches the bound");
    world.pass_secs(1);
    assert_eq!(world.heard(hears).len(), 6, "the others in later turns");
}

#[test]
fn a_shard_deflates_no_more_than_its_rate_and_says_the_rest_plain() {
    let mut world = World::with_limits(|limits| limits.deflate_bytes_per_sec = 10_000);
    let author = world.connect("/ws/a");
    let member = join(&mut world, "/ws/a", OFFER).0;
    (0..50).for_each(|_| say(&mut world, author, 0x82, &words(1100)));
    let deflated = |world: &mut World| {
        let heard = heard(world, member);
        assert!(heard.iter().all(|(_, message)| *message == words(1100)));
        (heard.len(), heard.iter().filter(|(deflated, _)| *deflated).count())
    };
    assert_eq!(deflated(&mut world), (50, 10), "a second's worth");
    world.pass_secs(1);
    (0..50).for_each(|_| say(&mut world, author, 0x82, &words(1100)));
    assert_eq!(deflated(&mut world), (50, 9), "what a second more allows");
}

#[test]
fn a_slow_member_misses_whole_deflated_frames() {
    let mut world = World::with(world::small_outbox(), gateway_core::hub::MemberPolicy::Gap);
    let author = world.connect("/ws/a");
    let member = join(&mut world, "/ws/a", OFFER).0;
    world.wire(member).window = 3;
    for _ in 0..100 {
        say(&mut world, author, 0x81, &words(5000));
    }
    world.read_more(member, usize::MAX);
    let heard = heard(&mut world, member);
    let told = heard.iter().filter(|(deflated, _)| *deflated).count();
    assert!(told > 1 && told < 100);
    assert!(heard.iter().all(|(deflated, message)| !deflated || *message == words(5000)));
    let missed = format!("{{\"type\":\"gap\",\"missed\":{}}}", 100 - told);
    assert_eq!(heard.last(), Some(&(false, missed.into_bytes())));
}

#[test]
fn chats_are_deflated_as_they_are_read() {
    let mut world = World::new();
    let path = format!("/ws/chat/a?access_token={TOKEN}");
    let chat = "weir.chat.v1\r\nSec-WebSocket-Extensions: permessage-deflate";
    let slot = world.accept();
    let mut head = request(&path);
    head.truncate(head.len() - 2);
    head.extend(format!("Sec-WebSocket-Protocol: {chat}\r\n\r\n").bytes());
    world.raw(slot, &head);
    world.settle();
    world.pass_secs(1);
    world.wire(slot).got.clear();
    let line = join(&mut world, &path, OFFER).0;
    world.pass_secs(1);
    for member in [slot, line] {
        world.wire(member).got.clear();
    }
    say(&mut world, line, 0xc1, &deflated(&words(2000)));
    assert_eq!(heard(&mut world, line), [(true, words(2000))]);
    let told = heard(&mut world, slot);
    let [(true, json)] = &told[..] else { panic!("{told:?}") };
    let json = String::from_utf8(json.clone()).unwrap();
    assert!(json.starts_with("{\"type\":\"message\"") && json.contains("so it goes"), "{json}");
}

#[test]
fn a_connection_takes_its_agreement_and_its_window_along() {
    let routes = || std::sync::Arc::new(gateway_core::route::Routes::new(&takeover()).unwrap());
    let mut node = Node::new(2, |config| config.routes = routes());
    let client = node.knock_with(0, &offering("/echo", OFFER));
    node.settle();
    assert!(node.take(client).starts_with(b"HTTP/1.1 101 "));
    let mut state = Compress::new(Level::default(), false);
    for round in 0..4 {
        let deflated = deflated_by(&mut state, &words(900));
        node.raw(client, &masked(0xc1, &deflated));
        node.settle();
        let got = node.take(client);
        assert_eq!(frames(&got), [(0x81, words(900))], "{round}");
        let to = ShardId((round + 1) % 2);
        node.event(client, |slot| Event::Move { slot, to });
        node.settle();
        assert_eq!(node.shard_of(client), to.index());
    }
    // Half a message goes along too.
    let deflated = deflated_by(&mut state, &words(700));
    let frame = masked(0xc1, &deflated);
    node.raw(client, &frame[..frame.len() - 1]);
    node.event(client, |slot| Event::Move { slot, to: ShardId(1) });
    node.settle();
    node.raw(client, &frame[frame.len() - 1..]);
    node.settle();
    assert_eq!(frames(&node.take(client)), [(0x81, words(700))]);
}

#[test]
fn shards_that_hear_a_room_share_what_one_of_them_deflated() {
    // So little may be deflated that a shard can do so twice.
    let mut node = Node::new(4, |config| {
        config.limits.small_room_members_max = 0;
        config.limits.deflate_bytes_per_sec = 2000;
    });
    let author = node.connect(0, "/ws/a");
    let members: Vec<_> = (1..4)
        .map(|shard| {
            let member = node.knock_with(shard, &offering("/ws/a", OFFER));
            node.settle();
            node.take(member);
            member
        })
        .collect();
    let mut deflated = Vec::new();
    for _ in 0..6 {
        node.raw(author, &masked(0x81, &words(1900)));
        node.settle();
        let got: Vec<_> = members.iter().map(|&member| node.take(member)).collect();
        let got: Vec<_> = got.iter().map(|got| frames(got).remove(0)).collect();
        deflated.push(got.iter().filter(|(first, _)| first & 0x40 != 0).count());
        let mut bytes = got.iter().filter(|(first, _)| first & 0x40 != 0).map(|(_, bytes)| bytes);
        let first = bytes.next();
        assert!(bytes.all(|other| Some(other) == first), "the same bytes");
    }
    // Each shard's rate allows it to make two, in turn: those after it need not.
    assert_eq!(deflated, [3, 3, 2, 2, 1, 1]);
}

#[test]
fn what_waits_is_not_understood_while_its_sender_takes_nothing_back() {
    let mut world = World::with_limits(|limits| {
        limits.inflated_turn_bytes_max = 1;
        limits.deflate_bytes_per_sec = 0;
    });
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    world.wire(echo).window = 0;
    world.raw(echo, &masked(0xc2, &deflated(&words(5000))).repeat(40));
    world.settle();
    world.pass_secs(20);
    assert!(world.hub.echo_bytes() < 10_000, "{} bytes", world.hub.echo_bytes());
    let waiting = world.hub.inbound_bytes();
    assert!(waiting > 0);
    world.read_more(echo, usize::MAX);
    world.pass_secs(20);
    assert_eq!(heard(&mut world, echo).len(), 40, "nothing is lost");
    assert_eq!(world.hub.inbound_bytes(), 0);
    assert!(world.wire(echo).reads);
}

#[test]
fn a_goodbye_is_understood_behind_what_came_before_it_and_had_to_wait() {
    let mut world = World::with_limits(|limits| limits.inflated_turn_bytes_max = 1);
    let echo = join(&mut world, "/ws/simple", OFFER).0;
    let message = masked(0xc1, &deflated(&words(900)));
    let (begun, rest) = message.split_at(message.len() - 9);
    world.raw(echo, &[&message[..], begun].concat());
    world.settle();
    world.hub.handle(world.now, Event::Drain);
    world.settle();
    world.raw(echo, &[rest, &masked(0x88, &1001u16.to_be_bytes())].concat());
    world.settle();
    let released = world.wire(echo).released;
    assert_eq!(released, Some(gateway_core::event::CloseReason::Drained), "both said goodbye");
    world.assert_empty();
}

#[test]
fn who_makes_nothing_of_much_costs_what_it_said() {
    let mut world = World::with_limits(|limits| limits.inflated_bytes_per_sec = 10_000);
    let author = join(&mut world, "/ws/a", OFFER).0;
    // Last blocks without a byte, each of which begins a stream anew.
    let nothing = [&[3, 0].repeat(2000)[..], &[0]].concat();
    world.raw(author, &masked(0xc2, &nothing).repeat(20));
    world.settle();
    assert!(!world.wire(author).reads);
    assert!(world.hub.inbound_bytes() > 0, "the rest waits");
}

#[test]
fn windows_stay_where_their_memory_was_counted() {
    let rooms = || {
        let [_, room] = takeover();
        let room = RouteConfig { compression: Compression::Takeover, ..room };
        std::sync::Arc::new(gateway_core::route::Routes::new(&[room]).unwrap())
    };
    let mut node = Node::new(2, |config| {
        config.routes = rooms();
        config.limits.windows_bytes_max = 32 << 10;
    });
    let home = node.connect(0, "/a");
    let mut keep = 0;
    for _ in 0..4 {
        let client = node.knock_with(1, &offering("/a", OFFER));
        node.settle();
        let answer = String::from_utf8(node.take(client)).unwrap();
        keep += usize::from(!answer.contains("client_no_context_takeover"));
    }
    assert_eq!((node.shard_of(home), keep), (0, 1), "as many as the shard may keep");
}

#[test]
fn who_makes_little_of_what_it_says_does_not_wait_behind_those_who_make_much() {
    let mut world = World::with_limits(|limits| {
        limits.inflated_bytes_per_sec = 10_000;
        limits.inflated_turn_bytes_max = 10_000;
    });
    let greedy = [(); 20].map(|()| join(&mut world, "/ws/a", OFFER).0);
    let honest = join(&mut world, "/ws/simple", OFFER).0;
    let bytes = masked(0xc1, &deflated(&words(20_000))).repeat(50);
    for author in greedy {
        world.raw(author, &bytes);
        world.settle();
    }
    world.pass_secs(2);
    // A turn in which somebody else makes as much as all may.
    let last = join(&mut world, "/ws/a", OFFER).0;
    world.raw(last, &bytes);
    world.raw(honest, &masked(0xc1, &deflated(&words(2000))));
    world.settle();
    assert_eq!(heard(&mut world, honest), []);
    world.pass_secs(1);
    assert_eq!(heard(&mut world, honest), [(true, words(2000))]);
}

/// Has everyone wait a little after each message.
#[derive(Clone, Copy, Debug)]
struct Slower;

impl Middleware for Slower {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        context.read_again_at(context.now);
        next.run(context, message)
    }
}

#[test]
fn a_layer_that_slows_a_client_a_little_does_not_let_it_make_more() {
    let routes = gateway_core::route::Routes::builtin().into_iter();
    let routes: Vec<_> = routes.map(|route| route.with(Slower)).collect();
    let mut world = World::serving(&routes);
    let mut limits = gateway_core::limits::Limits::default();
    limits.inflated_bytes_per_sec = 10_000;
    let routes = std::sync::Arc::new(gateway_core::route::Routes::new(&routes).unwrap());
    let config = gateway_core::hub::Config { limits, routes, ..Default::default() };
    world.hub = gateway_core::hub::Hub::new(config);
    let author = join(&mut world, "/ws/a", OFFER).0;
    let hears = world.connect("/ws/a");
    world.raw(author, &masked(0xc1, &deflated(&words(20_000))).repeat(20));
    world.settle();
    world.pass_secs(6);
    let heard = world.heard(hears).len();
    assert!((3..=5).contains(&heard), "seven seconds allow 70,000 bytes: {heard} messages");
}
