//! People who chat: what they are told of each other, and what they may type.

mod nodes;
mod world;

use gateway_core::event::Event;
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use nodes::{Client, Node};
use world::{Frame, TOKEN, World, masked, text};

/// An upgrade request to a chat room, for lines or for JSON.
fn request(name: &str, json: bool) -> Vec<u8> {
    let mut request = world::request(&format!("/ws/chat/lobby?name={name}&access_token={TOKEN}"));
    if json {
        request.truncate(request.len() - 2);
        request.extend_from_slice(b"Sec-WebSocket-Protocol: weir.chat.v1\r\n\r\n");
    }
    request
}

fn chatter(world: &mut World, name: &str, json: bool) -> Slot {
    let slot = world.accept();
    world.raw(slot, &request(name, json));
    world.settle();
    let got = std::mem::take(&mut world.wire(slot).got);
    let got = String::from_utf8(got).expect("a response is text");
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    assert_eq!(got.contains("Sec-WebSocket-Protocol: weir.chat.v1\r\n"), json);
    slot
}

fn says(from: &str, words: &str) -> Frame {
    text(&format!(r#"{{"type":"message","from":"{from}","text":"{words}"}}"#))
}

fn list(names: &[&str]) -> Frame {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    text(&format!(r#"{{"type":"userlist","users":[{}]}}"#, names.join(",")))
}

#[test]
fn lines_and_json_are_the_same_room() {
    let mut world = World::new();
    let (ann, bob) = (chatter(&mut world, "ann", false), chatter(&mut world, "bob", true));
    world.say(ann, "hello \"you\"");
    world.settle();
    assert_eq!(world.heard(ann), [text("hello \"you\"")], "as it was said, to its sender too");
    assert_eq!(world.heard(bob), [says("ann", "hello \\\"you\\\"")]);
    world.say(bob, "hi");
    world.settle();
    assert_eq!((world.heard(ann), world.heard(bob)), (vec![text("hi")], vec![says("bob", "hi")]));
}

#[test]
fn everyone_is_told_who_is_there_of_all_who_came_at_once() {
    let mut world = World::new();
    let bob = chatter(&mut world, "bob", true);
    let ann = chatter(&mut world, "ann", false);
    assert!(world.heard(ann).is_empty(), "not at once");
    world.pass_secs(1);
    for member in [ann, bob] {
        assert_eq!(world.heard(member), [list(&["ann", "bob"])]);
    }
    world.pass_secs(1);
    assert!(world.heard(ann).is_empty(), "nothing is new");
    world.end(bob);
    world.pass_secs(1);
    assert_eq!(world.heard(ann), [list(&["ann"])]);
    world.end(ann);
    world.pass_secs(1);
    world.assert_empty();
}

#[test]
fn a_thousand_who_come_at_once_are_counted_and_not_listed_to_each() {
    let mut world = World::new();
    let crowd: Vec<_> = (0..1_000).map(|n| chatter(&mut world, &format!("n{n}"), true)).collect();
    world.pass_secs(1);
    let heard = world.heard(crowd[0]);
    let [news] = &heard[..] else { panic!("{} lists", heard.len()) };
    let news = String::from_utf8(news.payload.clone()).expect("JSON is text");
    assert!(news.starts_with(r#"{"type":"userlist","count":1000,"joined":["n0","n1","#), "{news}");
    assert!(news.len() < 3_000, "{} bytes", news.len());
    world.end(crowd[1]);
    world.pass_secs(1);
    let left = r#"{"type":"userlist","count":999,"joined":[],"left":["n1"]}"#;
    assert_eq!(world.heard(crowd[0]), [text(left)]);
}

#[test]
fn who_gives_no_name_is_a_guest_and_bad_names_are_refused() {
    let mut world = World::new();
    let (one, _two) = (chatter(&mut world, "", true), chatter(&mut world, "", true));
    world.pass_secs(1);
    assert_eq!(world.heard(one), [list(&["guest-0-0", "guest-0-1"])]);
    let slot = world.accept();
    world.raw(slot, &request("%2fann", true));
    world.settle();
    let got = String::from_utf8_lossy(&world.wire(slot).got).into_owned();
    assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("slash"), "{got}");
}

#[test]
fn commands_do_what_they_say() {
    let mut world = World::new();
    let (ann, bob) = (chatter(&mut world, "ann", false), chatter(&mut world, "bob", true));
    world.pass_secs(1);
    for member in [ann, bob] {
        world.heard(member);
    }
    for (line, to_ann, to_bob) in [
        ("/me waves", "* ann waves", r#"{"type":"action","from":"ann","text":"waves"}"#),
        (
            "/shrug so",
            "so ¯\\_(ツ)_/¯",
            r#"{"type":"message","from":"ann","text":"so ¯\\_(ツ)_/¯"}"#,
        ),
        ("//me", "/me", r#"{"type":"message","from":"ann","text":"/me"}"#),
    ] {
        world.say(ann, line);
        world.settle();
        assert_eq!(world.heard(ann), [text(to_ann)], "{line}");
        assert_eq!(world.heard(bob), [text(to_bob)], "{line}");
    }
    for (line, told) in [
        ("/who", "2 here: ann, bob"),
        ("/dance", "/dance is no command; /help lists them"),
        ("/nick ann", "that is your name already"),
        ("/nick", "a name has at least one letter; /nick NAME"),
    ] {
        world.say(ann, line);
        world.settle();
        assert_eq!(world.heard(ann), [text(told)], "to whoever asked");
        assert!(world.heard(bob).is_empty(), "and to nobody else");
    }
    world.say(bob, "/help");
    world.settle();
    let help = world.heard(bob);
    assert!(help[0].payload.starts_with(br#"{"type":"notice","text":"/me TEXT"#));
    world.say_binary(ann, b"\xff");
    world.settle();
    assert_eq!(world.heard(ann), [text("only text is spoken here")]);
    assert!(world.heard(bob).is_empty(), "it is not in the room");
}

#[test]
fn another_name_is_told_to_everyone() {
    let mut world = World::new();
    let (ann, bob) = (chatter(&mut world, "ann", true), chatter(&mut world, "bob", true));
    world.pass_secs(1);
    for member in [ann, bob] {
        world.heard(member);
    }
    world.say(ann, "/nick eve");
    world.settle();
    world.say(ann, "hi");
    world.pass_secs(1);
    let heard = world.heard(bob);
    assert_eq!(heard[1..], [says("eve", "hi"), list(&["bob", "eve"])]);
    world.end(ann);
    world.end(bob);
    world.pass_secs(1);
    world.assert_empty();
}

/// Each of a flood of questions was answered with a list of everyone.
#[test]
fn a_flood_of_questions_is_not_answered_without_end() {
    let mut world = World::new();
    let name = |n: usize| format!("{n:032}");
    let crowd: Vec<_> = (0..200).map(|n| chatter(&mut world, &name(n), true)).collect();
    let flood = masked(0x81, b"/who").repeat(10_000);
    world.raw(crowd[0], &flood);
    world.settle();
    let answers = world.heard(crowd[0]);
    let bytes = answers.iter().map(|frame| frame.payload.len()).sum::<usize>();
    assert!((4 << 20..5 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(world.hub.counters().dropped as usize + answers.len(), 10_000);
    world.say(crowd[0], "/who");
    world.settle();
    assert_eq!(world.heard(crowd[0]).len(), 1, "in the next turn it is answered again");
}

fn enter(node: &mut Node, shard: usize, name: &str) -> Client {
    let client = node.knock_with(shard, &request(name, true));
    node.settle();
    assert!(node.take(client).starts_with(b"HTTP/1.1 101 "));
    client
}

fn tick(node: &mut Node) {
    node.now = Now(node.now.0 + 1_000_000_000);
    let now = node.now;
    node.shards.iter_mut().for_each(|shard| shard.hub.handle(now, Event::Tick));
    node.settle();
}

#[test]
fn people_on_other_shards_have_names_too_wherever_they_go() {
    let mut node = Node::spread(3);
    let people = ["ann", "bob", "cat"];
    let [ann, bob, cat] = [0, 1, 2].map(|shard| enter(&mut node, shard, people[shard]));
    tick(&mut node);
    for client in [ann, bob, cat] {
        assert_eq!(node.heard(client).last(), Some(&list(&people)));
    }
    node.event(bob, |slot| Event::Move { slot, to: ShardId(2) });
    node.settle();
    tick(&mut node);
    node.say(bob, "moved");
    node.settle();
    for client in [ann, bob, cat] {
        assert!(node.heard(client).contains(&says("bob", "moved")), "{client:?}");
    }
    node.say(cat, "bye");
    node.event(cat, |slot| Event::Ended { slot });
    node.settle();
    assert_eq!(node.heard(ann), [says("cat", "bye")], "who has gone is known by its last words");
    tick(&mut node);
    assert_eq!(node.heard(bob).last(), Some(&list(&["ann", "bob"])));
    for client in [ann, bob] {
        node.event(client, |slot| Event::Ended { slot });
    }
    node.settle();
    node.assert_empty();
}

#[test]
fn a_long_line_is_refused_where_people_type() {
    let mut world = World::new();
    let ann = chatter(&mut world, "ann", true);
    world.raw(ann, &masked(0x81, &vec![b'x'; (64 << 10) + 1]));
    world.settle();
    assert_eq!(world.heard(ann).iter().filter_map(world::close_code).collect::<Vec<_>>(), [1009]);
}
