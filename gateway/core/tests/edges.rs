//! A handler's connections on the edge of what is borne: many rooms at once, and losses.

mod nodes;
mod world;

use std::sync::Arc;

use gateway_core::event::{CloseReason, Event};
use gateway_core::handler::Callbacks;
use gateway_core::id::ShardId;
use gateway_core::route::{RouteConfig, Routes};
use nodes::Node;
use world::{close_code, text};

/// Two shards with a route whose clients join a room, and say something there.
fn node() -> Node {
    let callbacks = Callbacks::new().opened(|client| client.join("red").expect("a room")).message(
        |client, message| {
            let words = message.text().expect("text").to_owned();
            client.publish_text("red", words).expect("it is said");
        },
    );
    let routes = [RouteConfig::handled("/app", "app", callbacks)];
    let routes = Arc::new(Routes::new(&routes).expect("the routes make sense"));
    Node::new(2, |config| {
        config.routes = Arc::clone(&routes);
        config.limits.transit.messages_max = 2;
    })
}

#[test]
fn who_is_put_into_a_room_and_misses_some_of_it_on_its_way_is_closed_for_that() {
    let mut node = node();
    let author = node.connect(0, "/app");
    let member = node.connect(0, "/app");
    node.say(author, "one");
    node.settle();
    assert_eq!(node.heard(member), [text("one")]);
    node.event(member, |slot| Event::Move { slot, to: ShardId(1) });
    node.turn(0);
    assert_eq!(node.shard_of(member), 1);
    // More than is kept for who is between two shards.
    for number in 0..10 {
        node.say(author, &number.to_string());
        node.turn(0);
    }
    node.settle();
    let heard = node.heard(member);
    assert_eq!(heard.last().and_then(close_code), Some(1013), "{heard:?}");
    node.event(member, |slot| Event::Ended { slot });
    node.settle();
    assert_eq!(node.closed.values().next(), Some(&CloseReason::Gap));
}

#[test]
fn who_is_in_more_rooms_than_are_recovered_at_a_time_moves_on_and_misses_nothing() {
    const ROOMS: usize = 200;
    let callbacks = Callbacks::new().message(|client, message| {
        let words = message.text().expect("text");
        for room in 0..ROOMS {
            match words {
                "join" => client.join(room.to_string()).expect("a room"),
                _ => client.publish_text(room.to_string(), words).expect("it is said"),
            }
        }
    });
    let routes = [RouteConfig::handled("/app", "app", callbacks)];
    let routes = Arc::new(Routes::new(&routes).expect("the routes make sense"));
    let mut node = Node::new(3, |config| config.routes = Arc::clone(&routes));
    let (author, member) = (node.connect(0, "/app"), node.connect(1, "/app"));
    for client in [author, member] {
        node.say(client, "join");
        node.settle();
    }
    for round in 0..6_u16 {
        // On to the next shard before all is known that was said on the way to this one.
        node.event(member, |slot| Event::Move { slot, to: ShardId(round % 3) });
        node.say(author, &round.to_string());
        for turn in 0..usize::from(round) {
            node.turn(turn % 3);
        }
    }
    node.settle();
    let heard = node.heard(member);
    assert_eq!(heard.len(), 6 * ROOMS);
    for round in 0..6_u16 {
        let told = heard.iter().filter(|frame| **frame == text(&round.to_string()));
        assert_eq!(told.count(), ROOMS, "round {round}");
    }
    for client in [author, member] {
        node.event(client, |slot| Event::Ended { slot });
    }
    node.settle();
    node.assert_empty();
}
