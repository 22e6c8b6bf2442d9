//! A program that uses the gateway: its own routes, and a hand on connections, users and rooms.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use futures_util::SinkExt;
use gateway::auth::{self, Auth, Decision, Grant};
use gateway::config::Config;
use gateway::handle::{ConnectionId, Content, Handle, ORDER_BYTES_MAX, OrderError, To};
use gateway::sequencer::{self, Offset, Placed, Sequencer};
use gateway::server::Server;
use gateway_core::close::CloseCode;
use gateway_core::event::CloseReason;
use gateway_core::handler::{Callbacks, Client};
use gateway_core::log::Retention;
use gateway_core::middleware::{Context, Message as Said, Middleware, Next, Verdict};
use gateway_core::route::{RouteConfig, Routes};
use support::{PATIENCE, Socket, connect, in_time, join, next, node, say, sync, upgrade};
use support_crowd::{end, until};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A node of several shards, with these routes beside those that are built in.
fn shards(routes: Vec<RouteConfig>, change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        config.shards = Some(3);
        config.routes.extend(routes);
        change(config);
    })
}

/// A route whose clients are told their names, by which a program knows them.
fn named() -> RouteConfig {
    let callbacks = Callbacks::new().opened(|client| {
        let id = client.id();
        IDS.lock().unwrap().insert(client.room().to_owned(), id);
        client.send_text("hello").unwrap();
    });
    RouteConfig::handled("/app/{room}", "app", callbacks)
}

/// Connections of all tests by what they are called, which is another in each of them.
static IDS: Mutex<BTreeMap<String, ConnectionId>> = Mutex::new(BTreeMap::new());

async fn named_client(node: &Server, name: &str) -> (Socket, ConnectionId) {
    let mut socket = connect(node.addr(), &format!("/app/{name}")).await;
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    (socket, IDS.lock().unwrap()[name])
}

/// On a thread that may wait.
async fn rooms(handle: &Handle, id: ConnectionId) -> Option<Vec<String>> {
    let handle = handle.clone();
    let asked = tokio::task::spawn_blocking(move || handle.rooms(id).unwrap());
    let rooms = asked.await.unwrap()?;
    Some(rooms.into_iter().map(|room| room.name.to_string()).collect())
}

#[tokio::test]
async fn a_handle_reaches_connections_wherever_they_are() {
    let node = shards(vec![named()], |_| ());
    let handle = node.handle();
    let mut clients = Vec::new();
    for number in 0..12 {
        clients.push(named_client(&node, &format!("reached-{number}")).await);
    }
    for (number, (_, id)) in clients.iter().enumerate() {
        handle.send_text(To::Connection(*id), format!("you are {number}")).unwrap();
        handle.send_binary(To::Connection(*id), vec![number as u8]).unwrap();
    }
    handle.broadcast("all of you").unwrap();
    for (number, (socket, _)) in clients.iter_mut().enumerate() {
        assert_eq!(next(socket).await, Message::text(format!("you are {number}")));
        assert_eq!(next(socket).await, Message::binary(vec![number as u8]));
        assert_eq!(next(socket).await, Message::text("all of you"));
    }
    let (mut socket, id) = clients.pop().unwrap();
    handle.close(To::Connection(id), CloseCode::from_u16(4002).unwrap(), "enough").unwrap();
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("a close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4002, "enough"));
    drop((socket, clients));
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Told(CloseCode::NORMAL).index()], 1);
}

#[tokio::test]
async fn a_program_makes_rooms_of_whomever_it_wants() {
    let node = shards(vec![named()], |_| ());
    let handle = node.handle();
    let mut clients = Vec::new();
    for number in 0..9 {
        clients.push(named_client(&node, &format!("roomed-{number}")).await);
    }
    let (red, blue) = (handle.room("app", "red").unwrap(), handle.room("app", "blue").unwrap());
    for (_, id) in &clients {
        handle.join(To::Connection(*id), &red).unwrap();
        handle.join(To::Connection(*id), &blue).unwrap();
    }
    for (_, id) in &clients {
        assert_eq!(rooms(&handle, *id).await.unwrap(), ["red", "blue"]);
    }
    // Who is on the way into a room hears it from when it is there.
    until("all are there", || {
        let mut cells = node.census().shards();
        cells.all(|cell| cell.rooms() == if cell.live() > 0 { 2 } else { 0 })
    })
    .await;
    for (socket, _) in &mut clients {
        sync(socket).await;
    }
    for number in 0..50 {
        handle.publish(&red, Content::text(format!("red {number}"))).unwrap();
        handle.publish(&blue, Content::text(format!("blue {number}"))).unwrap();
    }
    for (socket, _) in &mut clients {
        let mut heard = BTreeMap::<_, Vec<_>>::new();
        for _ in 0..100 {
            let text = next(socket).await.into_text().unwrap();
            let (room, number) = text.split_once(' ').unwrap();
            heard.entry(room.to_owned()).or_default().push(number.parse::<u32>().unwrap());
        }
        assert_eq!(heard["red"], (0..50).collect::<Vec<_>>());
        assert_eq!(heard["blue"], (0..50).collect::<Vec<_>>());
    }
    handle.leave(To::Everyone, &red).unwrap();
    assert_eq!(rooms(&handle, clients[0].1).await.unwrap(), ["blue"]);
    let gone = clients.pop().unwrap();
    drop(gone.0);
    until("it has gone", || node.census().live() == 8).await;
    assert_eq!(rooms(&handle, gone.1).await, None);
    drop(clients);
    assert_eq!(end(node).await.gaps, 0);
}

#[tokio::test]
async fn who_has_moved_because_its_shard_went_is_still_reached() {
    let node = shards(vec![named()], |_| ());
    let handle = node.handle();
    let mut clients = Vec::new();
    for number in 0..30 {
        clients.push(named_client(&node, &format!("moved-{number}")).await);
    }
    for shard in [0, 1] {
        node.remove_shard(gateway_core::id::ShardId(shard)).unwrap();
        // Orders come before, while and after everyone moves.
        for round in 0..20 {
            for (_, id) in &clients {
                handle.send_text(To::Connection(*id), format!("{shard} {round}")).unwrap();
            }
            until("there is room for more", || handle.waiting().0 < 3_000).await;
        }
        until("the shard is gone", || node.shards().len() == 2 - usize::from(shard)).await;
    }
    for (_, id) in &clients {
        handle.send_text(To::Connection(*id), "last").unwrap();
    }
    for (socket, _) in &mut clients {
        for shard in [0, 1] {
            for round in 0..20 {
                let told = next(socket).await;
                assert_eq!(told, Message::text(format!("{shard} {round}")));
            }
        }
        assert_eq!(next(socket).await, Message::text("last"));
    }
    until("nothing waits", || handle.waiting() == (0, 0)).await;
    drop(clients);
    end(node).await;
}

#[tokio::test]
async fn orders_that_make_no_sense_are_told_why() {
    let node = shards(vec![named()], |config| config.limits.message_bytes_max = 1000);
    let handle = node.handle();
    let no_namespace = OrderError::NoNamespace("nowhere".to_owned());
    assert_eq!(handle.room("nowhere", "a"), Err(no_namespace));
    assert!(matches!(handle.room("app", ""), Err(OrderError::RoomName { .. })));
    assert!(handle.room("root", "").is_ok(), "the one room of /");
    let long = "x".repeat(256);
    assert!(matches!(handle.room("app", &long), Err(OrderError::RoomName { .. })));
    let long = handle.send_binary(To::Everyone, vec![0; 1001]);
    assert_eq!(long, Err(OrderError::TooLong { bytes: 1001, bytes_max: 1000 }));
    let code = handle.close(To::Everyone, CloseCode::ABNORMAL, "");
    assert_eq!(code, Err(OrderError::CloseCode(CloseCode::ABNORMAL)));
    let room = handle.room("root", "").unwrap();
    let content = Content { kind: gateway_core::frame::Kind::Text, bytes: vec![0xff].into() };
    assert_eq!(handle.publish(&room, content), Err(OrderError::NotUtf8));
    end(node).await;
    assert_eq!(handle.broadcast("anyone?"), Err(OrderError::Ended));
    assert_eq!(handle.rooms(ConnectionId::default()), Err(OrderError::Ended));
}

#[tokio::test]
async fn orders_beyond_the_bound_are_refused_and_those_before_it_done() {
    let (entered, inside) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    let (entered, told) = (Mutex::new(entered), Mutex::new(told));
    let callbacks = Callbacks::new().message(move |_, _| {
        entered.lock().unwrap().send(()).unwrap();
        told.lock().unwrap().recv().unwrap();
    });
    let stop = RouteConfig::handled("/stop", "stop", callbacks);
    let node = shards(vec![stop], |config| {
        (config.shards, config.workers) = (Some(1), Some(1));
        config.limits.outbox_bytes_max = 2 * ORDER_BYTES_MAX;
    });
    let handle = node.handle();
    let mut listener = connect(node.addr(), "/").await;
    let mut stopper = connect(node.addr(), "/stop").await;
    say(&mut stopper, "stop").await;
    let entered = move || inside.recv_timeout(PATIENCE).expect("it is called");
    tokio::task::spawn_blocking(entered).await.unwrap();
    // The worker does nothing now.
    let mut given = 0;
    let refused = loop {
        match handle.send_binary(To::Everyone, vec![0; 16 << 10]) {
            Ok(()) => given += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((refused, given), (OrderError::Full, ORDER_BYTES_MAX / (16 << 10)));
    go_on.send(()).unwrap();
    for _ in 0..given {
        assert_eq!(next(&mut listener).await.into_data().len(), 16 << 10);
    }
    drop((listener, stopper));
    assert_eq!(end(node).await.orders, given as u64);
}

#[tokio::test]
async fn on_a_workers_thread_nobody_waits_for_a_shard() {
    let handle = Arc::new(Mutex::new(None::<Handle>));
    let inner = Arc::clone(&handle);
    let callbacks = Callbacks::new().message(move |client: &mut Client<'_>, _| {
        let asked = inner.lock().unwrap().as_ref().unwrap().rooms(client.id());
        client.send_text(format!("{asked:?}")).unwrap();
    });
    let node = shards(vec![RouteConfig::handled("/ask", "ask", callbacks)], |_| ());
    *handle.lock().unwrap() = Some(node.handle());
    let mut socket = connect(node.addr(), "/ask").await;
    say(&mut socket, "?").await;
    assert_eq!(next(&mut socket).await, Message::text("Err(OnWorker)"));
    drop(socket);
    end(node).await;
}

/// Knows people by their tokens, at once or later; panics at one.
#[derive(Debug, Default)]
struct People {
    later: Mutex<Vec<(auth::Ticket, String)>>,
}

impl Auth for People {
    fn decide(&self, ask: &auth::Ask<'_>) -> Decision {
        let token = ask.token.expose();
        match token.split_once('-') {
            Some(("now", user)) => Decision::Granted(Grant { user: Some(user.into()) }),
            Some(("later", user)) => {
                self.later.lock().unwrap().push((ask.ticket, user.to_owned()));
                Decision::Later
            }
            Some(("panic", _)) => panic!("as it was told to"),
            _ => Decision::Refused,
        }
    }
}

async fn chat(addr: SocketAddr, token: &str) -> Result<Socket, u16> {
    let mut request = format!("ws://{addr}/ws/chat/lobby").into_client_request().unwrap();
    let token = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("Authorization", token);
    let stream = TcpStream::connect(addr).await.unwrap();
    match in_time("an answer", tokio_tungstenite::client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn who_is_let_in_is_decided_now_or_later_and_users_are_reached() {
    let people = Arc::new(People::default());
    let auth = Arc::clone(&people);
    let node = shards(vec![], |config| {
        config.auth = Some(auth);
    });
    let (handle, addr) = (node.handle(), node.addr());
    let mut ann = chat(addr, "now-ann").await.unwrap();
    assert_eq!(chat(addr, "wrong").await.err(), Some(401));
    assert_eq!(chat(addr, "panic-").await.err(), Some(401));
    let later: Vec<_> = ["later-bob", "later-eve", "later-bob"]
        .into_iter()
        .map(|token| tokio::spawn(chat(addr, token)))
        .collect();
    until("all three wait", || people.later.lock().unwrap().len() == 3).await;
    for (ticket, user) in people.later.lock().unwrap().drain(..) {
        let decision = match user.as_str() {
            "bob" => Decision::Granted(Grant { user: Some("bob".into()) }),
            _ => Decision::Refused,
        };
        handle.decide(ticket, decision).unwrap();
        // Twice is once.
        handle.decide(ticket, Decision::Granted(Grant::default())).unwrap();
    }
    let mut bobs = Vec::new();
    for asked in later {
        match in_time("a decision", asked).await.unwrap() {
            Ok(socket) => bobs.push(socket),
            Err(status) => assert_eq!(status, 401),
        }
    }
    assert_eq!(bobs.len(), 2);
    handle.send_text(To::User("bob".into()), "bobs only").unwrap();
    handle.broadcast("everyone").unwrap();
    let told = async |socket: &mut Socket, wanted: &str| loop {
        let text = next(socket).await.into_text().unwrap();
        // Lists of who is there come when they come.
        if !text.starts_with('{') {
            assert_eq!(text.as_str(), wanted);
            return;
        }
        assert!(!text.contains("guest"), "people are called what they are: {text}");
    };
    for bob in &mut bobs {
        told(bob, "bobs only").await;
        told(bob, "everyone").await;
    }
    told(&mut ann, "everyone").await;
    drop((ann, bobs));
    end(node).await;
}

/// An engine that answers some messages at once and others later, the latest first, with holes.
#[derive(Debug, Default)]
struct Engine {
    rooms: Mutex<BTreeMap<String, u64>>,
    later: Mutex<Vec<(sequencer::Ticket, Placed)>>,
    asked: AtomicU64,
}

impl Sequencer for Engine {
    fn sequence(&self, ask: &sequencer::Ask<'_>) -> Placed {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked % 10 == 9 {
            return Placed::Refused;
        }
        let mut rooms = self.rooms.lock().unwrap();
        let last = rooms.entry(ask.room.name.to_string()).or_default();
        let prev = Offset(*last);
        *last += 1 + asked % 3;
        let placed = Placed::At { prev, offset: Offset(*last) };
        if asked.is_multiple_of(4) {
            return placed;
        }
        self.later.lock().unwrap().push((ask.ticket, placed));
        Placed::Later
    }
}

#[tokio::test]
async fn an_engine_gives_places_late_and_out_of_order_and_the_room_hears_one_order() {
    let engine = Arc::new(Engine::default());
    let sequencer = Arc::clone(&engine);
    let node = shards(vec![], |config| {
        config.sequencer = Some(sequencer);
        let history = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 60 };
        let name = "ws".to_owned();
        config.namespaces.push(gateway::config::NamespaceConfig {
            name,
            history,
            ..gateway::config::NamespaceConfig::default()
        });
    });
    let handle = node.handle();
    let mut author = connect(node.addr(), "/ws/lobby").await;
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(connect(node.addr(), "/ws/lobby").await);
    }
    for number in 0..100 {
        say(&mut author, &number.to_string()).await;
    }
    let answer = || {
        let mut later = take(&engine.later);
        later.reverse();
        for (ticket, placed) in later {
            handle.place(ticket, placed).unwrap();
            handle.place(ticket, Placed::Refused).unwrap();
        }
    };
    until("all were asked for and answered", || {
        answer();
        engine.asked.load(Ordering::Relaxed) == 100 && engine.later.lock().unwrap().is_empty()
    })
    .await;
    let mut orders = Vec::new();
    for socket in &mut members {
        let mut heard = Vec::new();
        for _ in 0..90 {
            heard.push(next(socket).await.into_text().unwrap().parse::<u32>().unwrap());
        }
        orders.push(heard);
    }
    assert!(orders.iter().all(|order| *order == orders[0]), "one order for all");
    let wanted: Vec<u32> = (0..100).filter(|number| number % 10 != 9).collect();
    assert_eq!(orders[0], wanted, "as they were said, but for those that were refused");
    drop((author, members));
    end(node).await;
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap())
}

/// One type, and one line below: all that a layer of one's own costs.
#[derive(Clone, Debug)]
struct Loud;

impl Middleware for Loud {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Said<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        let Some(text) = message.text() else { return next.run(context, message) };
        next.run(context, Said::of_text(&text.to_uppercase()))
    }
}

#[tokio::test]
async fn a_layer_of_ones_own_is_one_type_and_one_line() {
    let node = node(|config| {
        config.routes = Routes::builtin().into_iter().map(|route| route.with(Loud)).collect();
    });
    let mut echo = connect(node.addr(), "/ws/simple").await;
    say(&mut echo, "quiet").await;
    assert_eq!(next(&mut echo).await, Message::text("QUIET"));
    drop(echo);
    end(node).await;
}

#[tokio::test]
async fn a_panic_in_a_handler_closes_one_connection_and_the_node_serves_on() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callbacks = Callbacks::new()
        .opened(|client| client.join("all").unwrap())
        .message(|client, message| {
            assert_ne!(message.text(), Some("panic"), "as it was told to");
            client.publish_text("all", message.text().unwrap()).unwrap();
        })
        .closed(move |client, reason| {
            tell.lock().unwrap().send((client.id(), reason)).unwrap();
        });
    let node = shards(vec![RouteConfig::handled("/app", "app", callbacks)], |_| ());
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(node.addr(), "/app").await);
    }
    let mut member = connect(node.addr(), "/ws/lobby").await;
    let mut other = connect(node.addr(), "/ws/lobby").await;
    for (number, socket) in clients.iter_mut().enumerate() {
        sync(socket).await;
        if number % 2 == 0 {
            say(socket, "panic").await;
            let Message::Close(Some(frame)) = next(socket).await else { panic!("closed") };
            assert_eq!(u16::from(frame.code), 1011);
            socket.flush().await.ok();
        }
    }
    say(&mut clients[1], "still here").await;
    for (number, socket) in clients.iter_mut().enumerate().skip(2) {
        if number % 2 == 1 {
            assert_eq!(next(socket).await, Message::text("still here"), "client {number}");
        }
    }
    say(&mut member, "hello").await;
    assert_eq!(next(&mut other).await, Message::text("hello"));
    drop((clients, member, other));
    let counters = end(node).await;
    assert_eq!((counters.panics, counters.closed[CloseReason::Panic.index()]), (10, 10));
    let closed: Vec<_> = told.iter().collect();
    let mut ids: Vec<_> = closed.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((closed.len(), ids.len()), (20, 20), "each is closed once");
    let panics = closed.iter().filter(|(_, reason)| *reason == CloseReason::Panic);
    assert_eq!(panics.count(), 10);
}

#[tokio::test]
async fn a_node_starts_on_a_port_of_the_systems_and_stops_when_it_is_told() {
    let node = Server::start(&{
        let mut config = Config::default();
        config.addr.set_port(0);
        config
    })
    .unwrap();
    assert_ne!(node.addr().port(), 0);
    let stream = TcpStream::connect(node.addr()).await.unwrap();
    let mut socket = upgrade(stream, "/").await;
    node.drain();
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("a close frame") };
    assert_eq!(u16::from(frame.code), 1001);
    drop(socket);
    join(node).await;
}
