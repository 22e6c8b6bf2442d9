//! Many shards are one gateway: rooms span them, small rooms gather on one, and shards come and go.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
mod support_crowd;

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use gateway::config::Config;
use gateway::server::{AddError, RemoveError, Server};
use gateway_core::event::CloseReason;
use gateway_core::id::ShardId;
use support::{Socket, connect, in_time, next, node, say, upgrade};
use support_crowd::{Crowd, Room, Speech, end, gather, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

const SHARDS: usize = 4;

fn shards(change: impl FnOnce(&mut Config)) -> Server {
    node(|config| {
        config.shards = Some(SHARDS);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        config.workers = Some(cores.clamp(2, SHARDS));
        change(config);
    })
}

fn rooms(count: usize, members: usize) -> impl Iterator<Item = Room> {
    (0..count).map(move |n| Room::new(format!("/ws/{members}-{n}"), members))
}

/// Sums of what the shards say: rooms that have members there, and homes.
fn sums(node: &Server) -> (u64, u64) {
    let cells = node.census().shards();
    cells.fold((0, 0), |sums, cell| (sums.0 + cell.rooms(), sums.1 + cell.homes()))
}

async fn leave(node: &Server, sockets: Vec<Socket>) {
    drop(sockets);
    until("everyone has left", || node.census().live() == 0 && sums(node) == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_thousand_in_rooms_of_all_sizes_hear_everything_once_and_in_one_order() {
    let node = shards(|_| ());
    let mut all = vec![Room::new("/".to_owned(), 20)];
    all.extend(rooms(1, 800).chain(rooms(1, 300)).chain(rooms(4, 50)).chain(rooms(175, 2)));
    (3..=8).for_each(|members| all.extend(rooms(10, members)));
    assert_eq!(all.iter().map(|room| room.members).sum::<usize>(), 2_000);

    let sockets = gather(node.addr(), &all).await;
    let census = node.census();
    assert_eq!(census.live(), 2_000);
    assert!((0..SHARDS).all(|shard| census.shard(shard).live() > 0), "every shard serves some");
    until("each room has one home", || sums(&node).1 == all.len() as u64).await;

    let told = Crowd::start(&all, sockets, &Speech::Messages(5)).end().await;
    let stats = node.stats();
    until("who looks on sees all messages", || stats().counters().messages == told.messages).await;
    leave(&node, told.sockets).await;
    let counters = end(node).await;
    assert_eq!(stats().counters().deliveries, told.deliveries, "also when all is over");
    assert_eq!((counters.opened, counters.accepted), (2_000, 2_000));
    assert_eq!(counters.messages, told.messages);
    assert_eq!(counters.deliveries, told.deliveries);
    assert_eq!((counters.gaps, counters.dropped), (0, 0));
}

/// Elsewhere newcomers are not spread evenly, and nobody moves to a shard beyond its share.
#[cfg(all(target_os = "linux", not(weir_portable)))]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pairs_gather_on_the_shard_that_is_their_rooms_home() {
    let node = shards(|_| ());
    let pairs: Vec<_> = rooms(200, 2).collect();
    let sockets = gather(node.addr(), &pairs).await;
    // A room counts on each shard where it has members: only its home is left.
    until("both of each pair are at its home", || sums(&node) == (200, 200)).await;
    let told = Crowd::start(&pairs, sockets, &Speech::Messages(10)).end().await;
    leave(&node, told.sockets).await;
    let counters = end(node).await;
    assert!(counters.moved_in > 0, "not all pairs met on one shard by chance");
    assert!(counters.moved_in <= 200, "the first of a pair has no reason to move");
    assert_eq!(counters.deliveries, told.deliveries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rings_of_two_envelopes_carry_everything_too_within_a_worker_and_between_them() {
    for workers in [1, 2, 4] {
        let node = shards(|config| {
            config.workers = Some(workers);
            (config.ring, config.batch) = (2, 1);
        });
        let all: Vec<_> = rooms(2, 60).chain(rooms(20, 2)).chain(rooms(10, 5)).collect();
        let sockets = gather(node.addr(), &all).await;
        let told = Crowd::start(&all, sockets, &Speech::Messages(50)).end().await;
        leave(&node, told.sockets).await;
        let counters = end(node).await;
        assert_eq!((counters.messages, counters.gaps), (told.messages, 0));
        assert_eq!(counters.deliveries, told.deliveries);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn shards_come_and_go_while_messages_flow() {
    let node = shards(|_| ());
    let all: Vec<_> =
        rooms(1, 60).chain(rooms(30, 2)).chain(rooms(8, 5)).chain(rooms(4, 12)).collect();
    let sockets = gather(node.addr(), &all).await;
    let people = sockets.iter().map(Vec::len).sum::<usize>() as u64;
    let stop = Arc::new(AtomicBool::new(false));
    let speech = Speech::Until(Arc::clone(&stop), Duration::from_millis(2));
    let crowd = Crowd::start(&all, sockets, &speech);

    for old in 0..SHARDS as u16 {
        node.remove_shard(ShardId(old)).unwrap();
        if old % 2 == 1 {
            // Also while it is being removed.
            assert_eq!(node.add_shard().unwrap(), ShardId(SHARDS as u16 + old));
        }
        until("the shard is gone", || !node.shards().contains(&ShardId(old))).await;
        if old % 2 == 0 {
            assert_eq!(node.add_shard().unwrap(), ShardId(SHARDS as u16 + old));
        }
        assert_eq!(node.serving().len(), SHARDS);
        assert_eq!(node.census().live(), people);
    }
    stop.store(true, Ordering::Relaxed);
    let told = crowd.end().await;
    let cells = (0..SHARDS).map(|shard| node.census().shard(shard).live());
    assert_eq!(cells.sum::<u32>(), 0, "nobody is left on the shards that were removed");
    leave(&node, told.sockets).await;
    let counters = end(node).await;
    assert_eq!((counters.accepted, counters.opened), (people, people));
    assert_eq!(counters.messages, told.messages);
    assert_eq!(counters.deliveries, told.deliveries);
    assert_eq!(counters.gaps, 0);
    assert!(counters.moved_out >= people, "everyone moved at least once");
}

/// Those who wanted a room asked for it so often, while its home was on its way, that the rings had
/// no place for the home.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn shards_leave_through_rings_of_two_while_people_come_and_go() {
    const RESIDENTS: usize = 600;
    const VISITORS: usize = 16;
    const REMOVALS: usize = 16;
    let node = shards(|config| {
        (config.workers, config.ring, config.batch) = (Some(2), 2, 1);
    });
    let all: Vec<_> = rooms(RESIDENTS, 1).chain(rooms(20, 2)).collect();
    let sockets = gather(node.addr(), &all).await;
    let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let visitors = (0..VISITORS)
        .map(|n| tokio::spawn(visit(node.addr(), n, Arc::clone(&stop), Arc::clone(&visits))));
    let visitors: Vec<_> = visitors.collect();
    for _ in 0..REMOVALS {
        let first = node.serving()[0];
        node.add_shard().unwrap();
        node.remove_shard(first).unwrap();
        // Also while some come and go.
        let before = visits.load(Ordering::Relaxed);
        let more = || visits.load(Ordering::Relaxed) >= before + 3 * VISITORS as u64;
        until("some came and went", more).await;
    }
    until("all that were removed are gone", || node.shards() == node.serving()).await;
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        in_time("a visitor", visitor).await.unwrap();
    }
    let told = Crowd::start(&all, sockets, &Speech::Messages(5)).end().await;
    leave(&node, told.sockets).await;
    assert_eq!(end(node).await.gaps, 0);
}

/// Enters residents' rooms and leaves them; who is at the door of a shard that goes may be reset.
async fn visit(addr: SocketAddr, visitor: usize, stop: Arc<AtomicBool>, visits: Arc<AtomicU64>) {
    for n in visitor.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Ok(stream) = TcpStream::connect(addr).await else { continue };
        let url = format!("ws://{addr}/ws/1-{}", n * 37 % 600);
        let upgrade = tokio_tungstenite::client_async(url, stream);
        let visit = in_time("an answer", upgrade).await;
        visits.fetch_add(visit.is_ok().into(), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rooms_touched_by_a_shard_beyond_its_share_begin_on_others() {
    const ROOMS: usize = 150;
    let node = node(|config| config.shards = Some(1));
    let earlier: Vec<_> = (0..400).map(|n| Room::new(format!("/ws/first-{n}"), 2)).collect();
    let earlier = gather(node.addr(), &earlier).await;
    let mut waiting = Vec::new();
    for _ in 0..ROOMS {
        waiting.push(TcpStream::connect(node.addr()).await.unwrap());
    }
    until("the first shard has them all", || node.census().live() == (800 + ROOMS) as u64).await;
    let second = node.add_shard().unwrap();
    let pairs: Vec<_> = rooms(ROOMS, 2).collect();
    let mut sockets = Vec::new();
    for (stream, pair) in waiting.into_iter().zip(&pairs) {
        sockets.push(vec![upgrade(stream, &pair.path).await]);
    }
    let homes = |shard: usize| node.census().shard(shard).homes();
    until("each room has a home", || homes(0) + homes(1) == (400 + ROOMS) as u64).await;
    assert!(homes(second.index()) > 0, "the name decides, and not always for the first");
    for (sockets, pair) in sockets.iter_mut().zip(&pairs) {
        sockets.push(connect(node.addr(), &pair.path).await);
    }
    let told = Crowd::start(&pairs, sockets, &Speech::Messages(5)).end().await;
    drop(earlier);
    leave(&node, told.sockets).await;
    assert_eq!(end(node).await.deliveries, told.deliveries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_shards_removed_at_once_and_a_drain_in_between_say_goodbye_to_everyone() {
    let node = shards(|_| ());
    let all: Vec<_> = rooms(1, 100).chain(rooms(20, 2)).collect();
    let mut sockets: Vec<_> = gather(node.addr(), &all).await.into_iter().flatten().collect();
    sockets.push(connect(node.addr(), "/ws/simple").await);
    node.remove_shard(ShardId(0)).unwrap();
    node.remove_shard(ShardId(2)).unwrap();
    assert!(!node.serving().contains(&ShardId(0)));
    node.drain();
    let people = sockets.len() as u64;
    for mut socket in sockets {
        let Message::Close(Some(close)) = next(&mut socket).await else { panic!("goodbye") };
        assert_eq!(u16::from(close.code), 1001);
        assert!(in_time("the end", socket.next()).await.is_none_or(|end| end.is_err()));
    }
    assert!(matches!(node.add_shard(), Err(AddError::Draining)));
    assert_eq!(node.remove_shard(ShardId(1)), Err(RemoveError::Draining));
    let counters = end(node).await;
    assert_eq!(counters.closed[CloseReason::Drained.index()], people);
}

#[tokio::test]
async fn what_cannot_be_removed_or_added_is_said() {
    let node = node(|config| config.shards = Some(1));
    assert_eq!(node.remove_shard(ShardId(0)), Err(RemoveError::Last(ShardId(0))));
    let second = node.add_shard().unwrap();
    node.remove_shard(ShardId(0)).unwrap();
    let error = node.remove_shard(ShardId(0)).unwrap_err();
    assert_eq!(error.to_string(), "shard 0 does not serve; those that do are 1");
    until("the first is gone", || node.shards() == [second]).await;
    let mut ann = connect(node.addr(), "/ws/lobby").await;
    let mut bob = connect(node.addr(), "/ws/lobby").await;
    say(&mut ann, "here").await;
    assert_eq!(next(&mut bob).await, Message::text("here"));

    let mut last = second;
    let error = loop {
        match node.add_shard() {
            Ok(shard) => {
                assert_eq!(shard.0, last.0 + 1, "no id is used twice");
                node.remove_shard(shard).unwrap();
                last = shard;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "all 65 ids for shards were used since the start; restart with more --shards"
    );
    drop((ann, bob));
    end(node).await;
}

const MEMBERS: usize = 10;
const CALLERS: usize = 60;
const EXTRA_SLOTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_too_many_hears_503_and_beyond_the_extra_slots_is_reset() {
    let node = node(|config| {
        (config.shards, config.max_connections) = (Some(2), Some(MEMBERS as u32));
        config.limits.refusals_max = EXTRA_SLOTS as u32;
    });
    let rooms: Vec<_> = rooms(1, MEMBERS).collect();
    let sockets = gather(node.addr(), &rooms).await;
    let (tell, mut resets) = unbounded_channel();
    let mut waiting = Vec::new();
    for _ in 0..CALLERS {
        waiting.push(tokio::spawn(call(node.addr(), tell.clone())));
    }
    // Each shard keeps as many as it has extra slots, of the thirty or so that it accepts.
    for _ in 0..CALLERS - 2 * EXTRA_SLOTS {
        let error = in_time("a reset", resets.recv()).await.unwrap();
        assert_eq!(error, io::ErrorKind::ConnectionReset);
    }
    assert_eq!(node.census().live(), MEMBERS as u64, "who is refused has no place");
    ASK.store(true, Ordering::Relaxed);
    let mut refused = 0;
    for caller in waiting {
        let answer = in_time("a caller", caller).await.unwrap();
        if let Some(answer) = answer {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            refused += 1;
        }
    }
    assert_eq!(refused, 2 * EXTRA_SLOTS);

    let told = Crowd::start(&rooms, sockets, &Speech::Messages(3)).end().await;
    leave(&node, told.sockets).await;
    // There is room again.
    drop(connect(node.addr(), "/ws/lobby").await);
    let counters = end(node).await;
    let closed = |reason: CloseReason| counters.closed[reason.index()];
    assert_eq!(closed(CloseReason::Overloaded), (CALLERS - refused) as u64);
    assert_eq!(closed(CloseReason::Answered(503)), refused as u64);
}

/// Whether callers ask; until then they are silent and keep the slots that they have.
static ASK: AtomicBool = AtomicBool::new(false);

/// The answer, or nothing if the connection was reset, which is told at once.
async fn call(addr: SocketAddr, tell: UnboundedSender<io::ErrorKind>) -> Option<String> {
    let mut stream = match TcpStream::connect(addr).await {
        Ok(stream) => stream,
        Err(error) => {
            tell.send(error.kind()).unwrap();
            return None;
        }
    };
    let mut byte = [0];
    loop {
        let silence = tokio::time::timeout(Duration::from_millis(20), stream.peek(&mut byte)).await;
        if let Ok(Err(error)) = silence {
            tell.send(error.kind()).unwrap();
            return None;
        }
        if ASK.load(Ordering::Relaxed) {
            break;
        }
    }
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}
