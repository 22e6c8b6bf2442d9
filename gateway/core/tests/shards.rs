//! Rooms across shards: what members hear wherever they are, and wherever they go.

mod nodes;
mod world;

use gateway_core::event::Event;
use gateway_core::id::ShardId;
use nodes::{Client, Node};
use world::{masked, text};

fn everyone_leaves(node: &mut Node, clients: &[Client]) {
    for &client in clients {
        node.event(client, |slot| Event::Ended { slot });
    }
    node.settle();
    node.assert_empty();
}

#[test]
fn a_message_reaches_members_of_every_shard_and_not_its_author() {
    let mut node = Node::spread(3);
    let members: Vec<_> = (0..6).map(|n| node.connect(n % 3, "/ws/lobby")).collect();
    let other = node.connect(1, "/ws/other");
    for (n, &author) in members.iter().enumerate() {
        node.say(author, &format!("from {n}"));
        node.settle();
        for &member in &members {
            let expected = if member == author { vec![] } else { vec![text(&format!("from {n}"))] };
            assert_eq!(node.heard(member), expected, "{member:?}");
        }
    }
    assert_eq!(node.heard(other), []);
    everyone_leaves(&mut node, &[&members[..], &[other]].concat());
}

#[test]
fn members_of_all_shards_hear_one_order() {
    let mut node = Node::spread(3);
    let members: Vec<_> = (0..3).map(|n| node.connect(n, "/ws/lobby")).collect();
    let listener = node.connect(2, "/ws/lobby");
    for n in 0..20 {
        for &author in &members {
            node.say(author, &format!("{n} by {}", author.0));
            if n % 3 == author.0 {
                node.turn(author.0);
            }
        }
    }
    node.settle();
    let all = node.heard(listener);
    assert_eq!(all.len(), 60);
    for &member in &members {
        let mine = format!(" by {}", member.0);
        let others = all.iter().filter(|frame| !frame.payload.ends_with(mine.as_bytes()));
        assert_eq!(node.heard(member), others.cloned().collect::<Vec<_>>());
    }
}

#[test]
fn who_has_seen_the_response_hears_what_is_said_from_then_on() {
    let mut node = Node::spread(2);
    let author = node.connect(0, "/ws/lobby");
    let newcomer = node.knock(1, "/ws/lobby");
    node.turn(1);
    assert_eq!(node.take(newcomer), b"", "the room is not heard there yet");
    node.settle();
    assert!(node.take(newcomer).starts_with(b"HTTP/1.1 101 "));
    node.say(author, "welcome");
    node.settle();
    assert_eq!(node.heard(newcomer), [text("welcome")]);
}

#[test]
fn words_that_follow_the_request_wait_for_the_room() {
    let mut node = Node::spread(2);
    let listener = node.connect(0, "/ws/lobby");
    let hasty = node.knock(1, "/ws/lobby");
    node.raw(hasty, &masked(0x81, b"first")[..3]);
    node.raw(hasty, &masked(0x81, b"first")[3..]);
    node.say(hasty, "second");
    node.settle();
    assert_eq!(node.heard(listener), [text("first"), text("second")]);
}

#[test]
fn a_pair_meets_on_the_shard_of_its_home() {
    let mut node = Node::new(2, |_| {});
    let ann = node.connect(0, "/ws/pair");
    let bob = node.connect(1, "/ws/pair");
    assert_eq!((node.shard_of(ann), node.shard_of(bob)), (0, 0));
    assert_eq!(node.shards[1].hub.rooms(), 0, "nothing is left where it came");
    node.say(ann, "hi");
    node.settle();
    assert_eq!(node.heard(bob), [text("hi")]);
    everyone_leaves(&mut node, &[ann, bob]);
}

#[test]
fn only_a_small_room_is_followed_to_its_home() {
    let mut node = Node::new(2, |_| {});
    let first = node.connect(0, "/ws/lobby");
    let others: Vec<_> = (0..20).map(|_| node.connect(1, "/ws/lobby")).collect();
    let there = others.iter().filter(|&&client| node.shard_of(client) == 0).count();
    assert_eq!(there, 7, "with the first one it is eight");
    node.say(first, "hi");
    node.settle();
    assert!(others.iter().all(|&client| node.heard(client) == [text("hi")]));
}

#[test]
fn a_crowd_that_waits_for_a_small_room_does_not_follow_as_one() {
    let mut node = Node::new(2, |_| {});
    node.connect(0, "/ws/lobby");
    let crowd: Vec<_> = (0..50).map(|_| node.knock(1, "/ws/lobby")).collect();
    node.settle();
    assert_eq!(crowd.iter().filter(|&&client| node.shard_of(client) == 0).count(), 7);
}

#[test]
fn a_member_that_moves_hears_all_once_and_in_order() {
    let mut node = Node::spread(3);
    let author = node.connect(0, "/ws/lobby");
    let mover = node.connect(1, "/ws/lobby");
    for n in 0..60 {
        node.say(author, &format!("{n}"));
        if n % 7 == 0 {
            let to = ShardId((n / 7 % 3) as u16);
            if node.shard_of(mover) != to.index() {
                node.event(mover, |slot| Event::Move { slot, to });
            }
        }
        // Not to the end: the move meets messages on their way.
        node.turn(n % 3);
    }
    node.settle();
    let expected: Vec<_> = (0..60).map(|n| text(&format!("{n}"))).collect();
    assert_eq!(node.heard(mover), expected);
    let moved = node.shards.iter().map(|shard| shard.hub.counters().moved_in);
    assert!(moved.sum::<u64>() >= 3);
    everyone_leaves(&mut node, &[author, mover]);
}

#[test]
fn a_member_moves_in_the_middle_of_what_it_says_and_of_what_it_hears() {
    let mut node = Node::spread(2);
    let (ann, bob) = (node.connect(0, "/ws/lobby"), node.connect(1, "/ws/lobby"));
    node.window(bob, 4);
    node.say(ann, "a long way to go");
    node.say(ann, "and on");
    node.settle();
    let words = masked(0x81, b"half of it");
    node.raw(bob, &words[..9]);
    node.event(bob, |slot| Event::Move { slot, to: ShardId(0) });
    node.settle();
    assert_eq!(node.shard_of(bob), 0);
    node.raw(bob, &words[9..]);
    node.window(bob, usize::MAX);
    node.settle();
    assert_eq!(node.heard(bob), [text("a long way to go"), text("and on")]);
    assert_eq!(node.heard(ann), [text("half of it")]);
    everyone_leaves(&mut node, &[ann, bob]);
}

#[test]
fn an_author_that_moved_still_does_not_hear_itself() {
    let mut node = Node::spread(2);
    let (ann, bob) = (node.connect(0, "/ws/lobby"), node.connect(1, "/ws/lobby"));
    node.say(bob, "before");
    node.event(bob, |slot| Event::Move { slot, to: ShardId(0) });
    node.settle();
    node.say(bob, "after");
    node.settle();
    assert_eq!(node.heard(ann), [text("before"), text("after")]);
    assert_eq!(node.heard(bob), []);
}

#[test]
fn an_echo_moves_with_what_it_is_owed() {
    let mut node = Node::spread(2);
    let echo = node.connect(0, "/ws/simple");
    node.window(echo, 3);
    node.say(echo, "come back");
    node.settle();
    node.event(echo, |slot| Event::Move { slot, to: ShardId(1) });
    node.settle();
    assert_eq!(node.shard_of(echo), 1);
    node.window(echo, usize::MAX);
    node.settle();
    node.say(echo, "again");
    node.settle();
    assert_eq!(node.heard(echo), [text("come back"), text("again")]);
    everyone_leaves(&mut node, &[echo]);
}

#[test]
fn a_home_moves_while_everyone_speaks() {
    let mut node = Node::spread(3);
    let members: Vec<_> = (0..3).map(|n| node.connect(n, "/ws/lobby")).collect();
    let listener = node.connect(2, "/ws/lobby");
    let now = node.now;
    for n in 0..90 {
        for &author in &members {
            node.say(author, &format!("{n} by {}", author.0));
        }
        if n % 10 == 0 {
            let to = ShardId((n / 10 % 3) as u16);
            for shard in (0..3).filter(|&shard| shard != to.index()) {
                node.shards[shard].hub.handle(now, Event::Migrate { to, homes_max: 9 });
            }
        }
        node.turn(n % 3);
    }
    node.settle();
    let all = node.heard(listener);
    assert_eq!(all.len(), 270);
    for &member in &members {
        let mine = format!(" by {}", member.0);
        let of = |frame: &&world::Frame| frame.payload.ends_with(mine.as_bytes());
        let said: Vec<_> = all.iter().filter(of).cloned().collect();
        let expected: Vec<_> = (0..90).map(|n| text(&format!("{n} by {}", member.0))).collect();
        assert_eq!(said, expected, "each author's words stay in order");
        let others = all.iter().filter(|frame| !of(frame));
        assert_eq!(node.heard(member), others.cloned().collect::<Vec<_>>());
    }
    everyone_leaves(&mut node, &[&members[..], &[listener]].concat());
}

#[test]
fn a_shard_that_is_evacuated_is_vacant_and_nobody_notices() {
    let mut node = Node::spread(3);
    let members: Vec<_> = (0..6).map(|n| node.connect(n % 3, "/ws/lobby")).collect();
    let echo = node.connect(0, "/ws/simple");
    let others: Vec<_> = (0..4).map(|n| node.connect(0, &format!("/ws/{n}"))).collect();
    let now = node.now;
    let to = vec![ShardId(1), ShardId(2)];
    node.shards[0].hub.handle(now, Event::Evacuate { to });
    for n in 0..10 {
        node.say(members[1], &format!("{n}"));
        node.turn(n % 3);
    }
    node.settle();
    let hub = &node.shards[0].hub;
    assert!(hub.is_vacant(), "{} {} {}", hub.live(), hub.rooms(), hub.homes());
    let expected: Vec<_> = (0..10).map(|n| text(&format!("{n}"))).collect();
    for &member in members.iter().filter(|&&member| member != members[1]) {
        assert_eq!(node.heard(member), expected);
    }
    assert_eq!(node.closed.len(), 0);
    everyone_leaves(&mut node, &[&members[..], &others[..], &[echo]].concat());
}

#[test]
fn a_shard_without_members_of_a_room_hears_nothing_of_it() {
    let mut node = Node::spread(2);
    let (ann, bob) = (node.connect(0, "/ws/lobby"), node.connect(1, "/ws/lobby"));
    node.event(bob, |slot| Event::Ended { slot });
    node.settle();
    assert_eq!(node.shards[1].hub.rooms(), 0);
    let again = node.connect(1, "/ws/lobby");
    node.say(ann, "hi");
    node.settle();
    assert_eq!(node.heard(again), [text("hi")]);
    everyone_leaves(&mut node, &[ann, again]);
}

#[test]
fn an_evacuation_that_finds_no_place_is_tried_again_later_and_not_in_every_turn() {
    let mut node = Node::spread(2);
    let member = node.connect(0, "/ws/lobby");
    node.refuses = true;
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Evacuate { to: vec![ShardId(1)] });
    node.settle();
    assert_eq!((node.shard_of(member), node.refusals), (0, 1));
    node.refuses = false;
    node.settle();
    assert_eq!(node.shard_of(member), 0, "it rests");
    node.now = node.shards[0].hub.poll_timeout().expect("it wakes by itself");
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Tick);
    node.settle();
    assert_eq!(node.shard_of(member), 1);
    assert!(node.shards[0].hub.is_vacant());
    everyone_leaves(&mut node, &[member]);
}

/// Everyone stopped being read from at once, and was looked at in every turn until all had gone.
#[test]
fn a_crowd_is_evacuated_bit_by_bit() {
    const CROWD: usize = 1_000;
    let mut node = Node::spread(2);
    let members = (0..CROWD).map(|n| node.connect(0, &format!("/ws/{n}")));
    let members: Vec<_> = members.collect();
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Evacuate { to: vec![ShardId(1)] });
    node.turn(0);
    let reads = members.iter().filter(|&&member| node.wire(member).reads).count();
    assert!(reads >= CROWD / 2, "only {reads} are still read from");
    node.settle();
    assert!(node.shards[0].hub.is_vacant(), "in one round");
    assert_eq!(node.shards[1].hub.homes(), CROWD);
    everyone_leaves(&mut node, &members);
}

#[test]
fn a_shard_that_is_dismissed_tells_its_own_to_go_and_its_rooms_go_on_elsewhere() {
    let mut node = Node::spread(2);
    let (member, echo) = (node.connect(0, "/ws/lobby"), node.connect(0, "/ws/simple"));
    let other = node.connect(1, "/ws/lobby");
    let late = node.knock_with(0, b"GET /ws/lobby HTTP/1.1\r\n");
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Dismiss { to: vec![ShardId(1)] });
    node.settle();
    for told in [member, echo] {
        let heard = node.heard(told);
        let close = heard.last().expect("it is told to go");
        assert_eq!(world::close_code(close), Some(1001));
        assert!(close.payload[2..].starts_with(b"drained on request"));
        node.raw(told, &masked(0x88, &1001_u16.to_be_bytes()));
    }
    let refused = String::from_utf8(node.take(late)).expect("text");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "));
    node.event(late, |slot| Event::Ended { slot });
    node.settle();
    assert!(node.shards[0].hub.is_vacant(), "its homes are elsewhere");
    node.say(other, "still here");
    node.settle();
    assert_eq!(node.shards[1].hub.homes(), 1);
    everyone_leaves(&mut node, &[other]);
}

#[test]
fn who_comes_to_a_dismissed_shard_later_is_told_too() {
    let mut node = Node::spread(3);
    let first = node.connect(0, "/ws/simple");
    let second = node.connect(1, "/ws/simple");
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Dismiss { to: vec![ShardId(2)] });
    node.event(second, |slot| Event::Move { slot, to: ShardId(0) });
    node.settle();
    assert_eq!((node.shard_of(first), node.shard_of(second)), (0, 0));
    node.now = node.shards[0].hub.poll_timeout().expect("it wakes by itself");
    let now = node.now;
    node.shards[0].hub.handle(now, Event::Tick);
    node.settle();
    let heard = [first, second].map(|client| node.heard(client));
    assert!(heard.iter().all(|frames| frames.last().and_then(world::close_code) == Some(1001)));
}

/// What was published by who left before it came back was remembered for ever.
#[test]
fn messages_of_those_who_have_gone_are_forgotten() {
    let mut node = Node::spread(2);
    let listener = node.connect(0, "/ws/lobby");
    for ending in [&[][..], &masked(0x88, &[])] {
        let hasty = node.connect(1, "/ws/lobby");
        let words = [&masked(0x81, b"bye"), ending].concat();
        node.raw(hasty, &words);
        assert!(node.shards[1].hub.underway_bytes() > 0);
        node.event(hasty, |slot| Event::Ended { slot });
        node.settle();
        assert_eq!(node.shards[1].hub.underway_bytes(), 0);
    }
    assert_eq!(node.heard(listener), [text("bye"), text("bye")]);
    everyone_leaves(&mut node, &[listener]);
}

#[test]
fn an_echo_that_arrives_during_a_drain_hears_so() {
    let mut node = Node::spread(2);
    let echo = node.connect(0, "/ws/simple");
    node.event(echo, |slot| Event::Move { slot, to: ShardId(1) });
    let now = node.now;
    node.shards[1].hub.handle(now, Event::Drain);
    node.settle();
    assert_eq!(node.shard_of(echo), 1);
    let close = node.heard(echo);
    assert_eq!(close.iter().map(world::close_code).collect::<Vec<_>>(), [Some(1001)]);
}
