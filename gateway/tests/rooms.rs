//! Clients that have a program put them into more rooms than they may be in.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use gateway_core::handler::Callbacks;
use gateway_core::hit::Hit;
use gateway_core::route::RouteConfig;
use support::{connect, next, node, say, sync};
use support_crowd::end;
use tokio_tungstenite::tungstenite::Message;

const ROOMS_MAX: usize = 8;
/// Rooms that each of them asks for, and asks for again.
const ASKED: usize = 100;
const GREEDY: usize = 40;

/// Joins as many rooms as a client says.
fn eager() -> RouteConfig {
    let callbacks = Callbacks::new().message(|client, message| {
        let count: usize = message.text().unwrap_or_default().parse().unwrap_or_default();
        let refused = (0..count).filter(|number| client.join(format!("room-{number}")).is_err());
        let refused = refused.count();
        client.send_text(refused.to_string()).expect("it is short");
    });
    RouteConfig::handled("/eager/{room}", "eager", callbacks)
}

#[tokio::test]
async fn rooms_beyond_the_bound_are_refused_and_counted_and_honest_clients_hear_all() {
    let node = node(|config| {
        config.shards = Some(2);
        config.limits.rooms_max = ROOMS_MAX;
        config.routes.push(eager());
    });
    let mut honest = Vec::new();
    for number in 0..20 {
        honest.push(connect(node.addr(), &format!("/ws/honest-{}", number / 2)).await);
    }
    let mut greedy = Vec::new();
    for _ in 0..GREEDY {
        greedy.push(connect(node.addr(), "/eager/x").await);
    }
    let refused = ASKED - ROOMS_MAX;
    for round in 0..2 {
        for client in &mut greedy {
            say(client, &ASKED.to_string()).await;
        }
        for pair in honest.chunks_mut(2) {
            let [one, other] = pair else { unreachable!("they come in pairs") };
            say(one, &format!("word {round}")).await;
            assert_eq!(next(other).await, Message::text(format!("word {round}")));
        }
        for client in &mut greedy {
            assert_eq!(next(client).await, Message::text(refused.to_string()));
            sync(client).await;
        }
    }
    drop((honest, greedy));
    let counters = end(node).await;
    assert_eq!(counters.hits_of(Hit::Rooms), (2 * GREEDY * refused) as u64);
}
