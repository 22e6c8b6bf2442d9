//! Clients in rooms that note what they hear, and what they must have heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use gateway::server::Server;
use gateway_core::counters::Counters;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Socket, connect, in_time, join};

/// Who said it, by number within the room, and which of theirs it is.
pub(crate) type Said = (usize, u64);

/// A room with as many clients as it shall have, of whom the first speak.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) path: String,
    pub(crate) members: usize,
    pub(crate) authors: usize,
}

impl Room {
    /// At least one member only listens, except in a pair.
    pub(crate) fn new(path: String, members: usize) -> Self {
        let authors = if members == 2 { 2 } else { 3.min(members - 1) };
        Self { path, members, authors }
    }
}

/// How long authors speak.
#[derive(Clone)]
pub(crate) enum Speech {
    /// So many messages each, as fast as they can.
    Messages(u64),
    /// One after the other, at this distance, until told to stop.
    Until(Arc<AtomicBool>, Duration),
}

/// A crowd that speaks and listens.
pub(crate) struct Crowd {
    rooms: Vec<Room>,
    /// By room and member.
    listeners: Vec<Vec<Listener>>,
    /// By room and author.
    authors: Vec<Vec<Author>>,
    totals: watch::Sender<Option<Vec<Vec<u64>>>>,
}

type Half = SplitStream<Socket>;
type Sink = SplitSink<Socket, Message>;
type Listener = JoinHandle<(Vec<Said>, Half)>;
type Author = JoinHandle<(u64, Sink)>;

/// What a crowd said and how often it must have been heard, and its open connections.
pub(crate) struct Told {
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) sockets: Vec<Socket>,
}

/// Everyone of these rooms, mixed, so that rooms spread over the shards.
pub(crate) async fn gather(addr: SocketAddr, rooms: &[Room]) -> Vec<Vec<Socket>> {
    let most = rooms.iter().map(|room| room.members).max().unwrap_or(0);
    let mut sockets: Vec<Vec<_>> = rooms.iter().map(|_| Vec::new()).collect();
    for member in 0..most {
        for (room, sockets) in rooms.iter().zip(&mut sockets) {
            if member < room.members {
                sockets.push(connect(addr, &room.path).await);
            }
        }
    }
    sockets
}

impl Crowd {
    /// Everyone listens, and all authors of all rooms speak at once.
    pub(crate) fn start(rooms: &[Room], sockets: Vec<Vec<Socket>>, speech: &Speech) -> Self {
        let (totals, told) = watch::channel(None);
        let (mut listeners, mut authors) = (Vec::new(), Vec::new());
        for (index, (room, sockets)) in rooms.iter().zip(sockets).enumerate() {
            let (mut hear, mut speak) = (Vec::new(), Vec::new());
            for (member, socket) in sockets.into_iter().enumerate() {
                let (sink, stream) = socket.split();
                hear.push(tokio::spawn(listen(stream, index, member, told.clone())));
                let speech =
                    if member < room.authors { speech.clone() } else { Speech::Messages(0) };
                speak.push(tokio::spawn(talk(sink, member, speech)));
            }
            listeners.push(hear);
            authors.push(speak);
        }
        Self { rooms: rooms.to_vec(), listeners, authors, totals }
    }

    /// Waits until all was said and heard: by each member all that others said, once, in the
    /// order in which everyone in its room heard it.
    pub(crate) async fn end(self) -> Told {
        let (mut sinks, mut totals) = (Vec::new(), Vec::new());
        for authors in self.authors {
            let mut counts = Vec::new();
            for author in authors {
                let (count, sink) = ended(author).await;
                counts.push(count);
                sinks.push(sink);
            }
            totals.push(counts);
        }
        let messages = totals.iter().flatten().sum();
        self.totals.send_replace(Some(totals.clone()));
        let (mut deliveries, mut sockets) = (0, Vec::new());
        let mut sinks = sinks.into_iter();
        for ((room, listeners), counts) in self.rooms.iter().zip(self.listeners).zip(totals) {
            let mut heard = Vec::new();
            for listener in listeners {
                let (order, stream) = ended(listener).await;
                deliveries += order.len() as u64;
                heard.push(order);
                let sink = sinks.next().expect("as many sinks as streams");
                sockets.push(sink.reunite(stream).expect("two halves of one socket"));
            }
            check(room, &counts, &heard);
        }
        Told { messages, deliveries, sockets }
    }
}

async fn ended<T>(task: JoinHandle<T>) -> T {
    in_time("a task", task).await.unwrap()
}

async fn talk(mut sink: Sink, author: usize, speech: Speech) -> (u64, Sink) {
    let mut count = 0;
    loop {
        match &speech {
            Speech::Messages(messages) if count == *messages => return (count, sink),
            Speech::Until(stop, _) if stop.load(Ordering::Relaxed) => return (count, sink),
            Speech::Messages(_) => {}
            Speech::Until(_, distance) => tokio::time::sleep(*distance).await,
        }
        sink.send(Message::text(format!("{author} {count}"))).await.expect("it is open");
        count += 1;
    }
}

/// Notes what a member hears until it has heard all that the others said.
async fn listen(
    mut stream: Half,
    room: usize,
    me: usize,
    mut told: watch::Receiver<Option<Vec<Vec<u64>>>>,
) -> (Vec<Said>, Half) {
    let mut heard = Vec::new();
    let mut expected: Option<usize> = None;
    while expected.is_none_or(|expected| heard.len() < expected) {
        tokio::select! {
            biased;
            message = stream.next() => {
                match message.expect("not the end").expect("no error") {
                    Message::Text(text) => heard.push(read(&text)),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                        panic!("unexpected {other:?}")
                    }
                }
            }
            changed = told.changed(), if expected.is_none() => {
                changed.expect("totals are told before the end");
                let totals = told.borrow_and_update();
                let counts = &totals.as_ref().expect("they were told")[room];
                let others = counts.iter().enumerate().filter(|&(author, _)| author != me);
                expected = Some(others.map(|(_, &count)| count as usize).sum());
            }
        }
    }
    (heard, stream)
}

fn read(text: &str) -> Said {
    let (author, number) = text.split_once(' ').expect("two numbers");
    (author.parse().unwrap(), number.parse().unwrap())
}

/// All that the others said, once, in each author's order, and in one order for everyone.
fn check(room: &Room, counts: &[u64], heard: &[Vec<Said>]) {
    let path = &room.path;
    let fullest = heard.iter().max_by_key(|order| order.len()).expect("a room has members");
    for (me, order) in heard.iter().enumerate() {
        let mut numbers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for &(author, number) in order {
            numbers.entry(author).or_default().push(number);
        }
        assert!(!numbers.contains_key(&me), "{path}: {me} hears itself");
        for (author, &count) in counts.iter().enumerate().filter(|&(author, _)| author != me) {
            let all: Vec<_> = (0..count).collect();
            let got = numbers.remove(&author).unwrap_or_default();
            assert_eq!(got, all, "{path}: {me} hears {author} once and in order");
        }
        if room.authors < room.members {
            let same: Vec<_> = fullest.iter().filter(|said| said.0 != me).copied().collect();
            assert!(*order == same, "{path}: one order for everyone, but not for {me}");
        }
    }
}

/// Waits until something is true of the node.
pub(crate) async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, wait).await;
}

/// Drains a node whose clients are gone; what it counted must add up, and nothing be left.
pub(crate) async fn end(node: Server) -> Counters {
    let census = node.census_handle();
    node.drain();
    let counters = join(node).await;
    assert_eq!(counters.accepted, counters.closed_total(), "each connection ends once");
    assert_eq!(counters.moved_in, counters.moved_out, "who moves arrives");
    assert_eq!(census.live(), 0);
    for cell in census.shards() {
        assert_eq!((cell.live(), cell.outbox_bytes(), cell.inbound_bytes()), (0, 0, 0));
    }
    counters
}
