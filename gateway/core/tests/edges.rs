//! What a handler's connections hear of losses.

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
    let callbacks = Callbacks::new()
        .opened(|client| client.join("red").expect("a room"))
        .message(|client, message| {
            let words = message.text().expect("text").to_owned();
            client.publish_text("red", words).expect("it is said");
        });
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
