//! A node on one thread over real sockets: shards come and go, a program has its hand on it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::handle::{Content, Handle, OrderError};
use gateway::local::{LocalConfig, LocalNode};
use gateway::net::TokioNet;
use gateway::server::{AddError, Removal, RemoveError};
use gateway_core::envelope::RoomName;
use gateway_core::id::ShardId;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

/// Longer than anything takes on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs on one thread, whose runtime the node's workers share with the test.
fn on_one_thread(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let story = async { timeout(PATIENCE, story).await.expect("it ends") };
    LocalSet::new().block_on(&runtime, story);
}

/// Two workers with a shard each; all shards share one listener.
fn start() -> (LocalNode<TokioNet>, SocketAddr) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut config = LocalConfig::default();
    config.shards = 2;
    config.shards_max = 3;
    let node = LocalNode::spawn(config, move |_| TokioNet::new(listener.try_clone()?)).unwrap();
    (node, addr)
}

async fn connect(addr: SocketAddr) -> Socket {
    let stream = TcpStream::connect(addr).await.unwrap();
    client_async(format!("ws://{addr}/ws/lobby"), stream).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    socket.next().await.expect("it is open").unwrap()
}

/// Waits for what was said, whatever it was asked in between.
async fn hears(socket: &mut Socket, said: &str) {
    let asked = Message::text(ASKED);
    let heard = loop {
        let heard = next(socket).await;
        if heard != asked {
            break heard;
        }
    };
    assert_eq!(heard, Message::text(said));
}

/// What members are asked until they answer for themselves.
const ASKED: &str = "are you there?";

/// Waits until the client is a member of its room, wherever that has its home.
async fn joined(handle: &Handle, lobby: &RoomName, socket: &mut Socket) {
    loop {
        handle.publish(lobby, Content::text(ASKED)).unwrap();
        if timeout(Duration::from_millis(50), next(socket)).await.is_ok() {
            return;
        }
    }
}

/// Reads to the end: how it was closed.
async fn goodbye(socket: &mut Socket) -> Option<u16> {
    let mut code = None;
    while let Some(message) = socket.next().await {
        if let Ok(Message::Close(frame)) = message {
            code = frame.map(|frame| frame.code.into());
        }
    }
    code
}

#[test]
fn clients_hear_each_other_and_the_program_until_the_node_drains() {
    on_one_thread(async {
        let (node, addr) = start();
        let (mut ann, mut bob) = (connect(addr).await, connect(addr).await);
        let handle = node.handle();
        let lobby = handle.room("ws", "lobby").unwrap();
        joined(&handle, &lobby, &mut ann).await;
        joined(&handle, &lobby, &mut bob).await;
        ann.send(Message::text("hello")).await.unwrap();
        hears(&mut bob, "hello").await;
        handle.publish(&lobby, Content::text("everybody")).unwrap();
        hears(&mut ann, "everybody").await;
        hears(&mut bob, "everybody").await;

        node.drain();
        let both = async { [goodbye(&mut ann).await, goodbye(&mut bob).await] };
        let (counters, codes) = tokio::join!(node.join(), both);
        assert_eq!(codes, [Some(1001); 2]);
        let counters = counters.unwrap();
        assert_eq!((counters.opened, counters.closed_total()), (2, 2));
        assert_eq!((counters.messages, node.census().live()), (1, 0));
        assert_eq!(node.stats().counters(), counters, "shards have said all that they counted");
        assert_eq!(handle.publish(&lobby, Content::text("late")), Err(OrderError::Ended));
    });
}

#[test]
fn shards_come_and_go_and_clients_notice_nothing() {
    on_one_thread(async {
        let (node, addr) = start();
        let mut clients = [connect(addr).await, connect(addr).await, connect(addr).await];
        let handle = node.handle();
        let lobby = handle.room("ws", "lobby").unwrap();
        for client in &mut clients {
            joined(&handle, &lobby, client).await;
        }
        assert_eq!(node.add_shard().await.unwrap(), ShardId(2));
        assert!(matches!(node.add_shard().await, Err(AddError::NoIds(3))));
        for shard in [0, 1].map(ShardId) {
            node.remove_shard(shard, Removal::Move).unwrap();
            while node.shards().contains(&shard) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!((node.serving(), node.census().live()), (vec![ShardId(2)], 3));
        let last = node.remove_shard(ShardId(2), Removal::Move);
        assert_eq!(last, Err(RemoveError::Last(ShardId(2))));
        let [ann, bob, cat] = &mut clients;
        ann.send(Message::text("still here")).await.unwrap();
        hears(bob, "still here").await;
        hears(cat, "still here").await;

        node.drain();
        assert!(matches!(node.add_shard().await, Err(AddError::Draining)));
        let all = async { [goodbye(ann).await, goodbye(bob).await, goodbye(cat).await] };
        let (counters, codes) = tokio::join!(node.join(), all);
        assert_eq!(codes, [Some(1001); 3]);
        let counters = counters.unwrap();
        assert_eq!((counters.opened, counters.moved_in), (3, counters.moved_out));
        assert!(counters.moved_in >= 3, "everyone has moved");
    });
}

#[test]
fn a_node_without_sockets_does_not_start_and_one_whose_shard_has_none_goes_on() {
    on_one_thread(async {
        let refused = || io::Error::from(io::ErrorKind::AddrInUse);
        let none = LocalNode::<TokioNet>::spawn(LocalConfig::default(), move |_| Err(refused()));
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let node = LocalNode::spawn(LocalConfig::default(), move |shard| match shard {
            ShardId(0..4) => TokioNet::new(listener.try_clone()?),
            _ => Err(refused()),
        });
        let node = node.unwrap();
        assert!(matches!(node.add_shard().await, Err(AddError::System(_))));
        assert_eq!(node.serving(), [0, 1, 2, 3].map(ShardId));
        node.drain();
        assert_eq!(node.join().await.unwrap().accepted, 0);
    });
}
