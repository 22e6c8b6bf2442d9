//! A whole node on one simulated host: two workers with two shards each, and clients that hear
//! each other whatever becomes of their shards.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::config::Strategy;
use gateway::local::{LocalConfig, LocalNode};
use gateway::server::Removal;
use gateway_core::counters::Counters;
use gateway_core::id::ShardId;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::*;
use crate::rng::Rng;
use crate::scenario::mask::Remasked;
use crate::traced::{Trace, TraceOptions, Traced};
use crate::wires::WireOptions;

type Node = LocalNode<Traced<SimNet>>;

/// More than rooms have whose members all move to one shard.
const CLIENTS: usize = 12;
const LINES: usize = 4;
const PORT: u16 = 9000;

/// What is known of a run when it is over.
#[derive(Default)]
struct Run {
    /// By client.
    heard: Vec<Heard>,
    /// By shard.
    traces: Vec<Trace>,
    counters: Counters,
    /// By shard: its connections before shard 1 was removed.
    connections: Vec<u32>,
    /// Who was there when it had gone.
    present: Vec<ShardId>,
    /// Connections and places that were left at the end.
    left: u64,
}

/// What a client heard, how it was closed, and how many seconds after it began that was.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Heard {
    lines: Vec<String>,
    close: Option<u16>,
    closed_at_secs: u64,
}

impl Run {
    fn hash(&self) -> u64 {
        let fold = |hash: u64, trace: &Trace| hash.rotate_left(7) ^ trace.hash();
        self.traces.iter().fold(0, fold)
    }
}

/// Clients come until one second, speak until five, and hear 1001 at six.
fn run(seed: u64, removal: Removal) -> Run {
    let options = WireOptions::new(seed);
    let wires = Wires::new(options);
    let mut sim = options.simulation().simulation_duration(Duration::from_mins(1)).build();
    let kept = Rc::new(RefCell::new(Run::default()));
    kept.borrow_mut().heard.resize(CLIENTS, Heard::default());
    let visiting = Rc::new(Cell::new(CLIENTS));
    sim.client("node", serve(wires.clone(), removal, Rc::clone(&kept), Rc::clone(&visiting)));
    for index in 0..CLIENTS {
        let (wires, kept, visiting) = (wires.clone(), Rc::clone(&kept), Rc::clone(&visiting));
        sim.client(format!("client-{index}"), async move {
            let heard = visit(&wires, index, Rng::new(seed ^ (index as u64) << 32)).await;
            kept.borrow_mut().heard[index] = heard;
            visiting.set(visiting.get() - 1);
            Ok(())
        });
    }
    sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    drop(sim);
    kept.take()
}

/// Starts a node of four shards over one address.
async fn start(wires: &Wires, kept: &Rc<RefCell<Run>>) -> io::Result<Node> {
    let port = SharedPort::bind(wires, SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await?;
    let mut config = LocalConfig::default();
    config.hub.seed = wires.options().seed;
    config.balance.strategy = Strategy::RoundRobin;
    let kept = Rc::clone(kept);
    LocalNode::spawn(config, move |_| {
        let (net, trace) = Traced::new(port.net()?, TraceOptions::default());
        kept.borrow_mut().traces.push(trace);
        Ok(net)
    })
}

async fn serve(
    wires: Wires,
    removal: Removal,
    kept: Rc<RefCell<Run>>,
    visiting: Rc<Cell<usize>>,
) -> turmoil::Result {
    let node = start(&wires, &kept).await?;
    let began = Instant::now();
    sleep_until(began + Duration::from_secs(2)).await;
    assert_eq!(node.census().live(), CLIENTS as u64, "everyone is there");
    kept.borrow_mut().connections = node.list().iter().map(|shard| shard.connections).collect();
    node.remove_shard(ShardId(1), removal)?;
    assert_eq!(node.add_shard().await?, ShardId(4));
    sleep_until(began + Duration::from_secs(6)).await;
    kept.borrow_mut().present = node.shards();
    node.drain();
    assert!(node.add_shard().await.is_err(), "nobody comes any more");
    let counters = node.join().await?;
    assert_eq!(node.stats().counters(), counters, "shards say what they counted before they end");
    kept.borrow_mut().counters = counters;
    kept.borrow_mut().left = node.census().live();
    // As a kernel would, the host still delivers what the shards wrote.
    while visiting.get() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// One client, from its connection to the end of it.
async fn visit(wires: &Wires, index: usize, mut rng: Rng) -> Heard {
    let began = Instant::now();
    let at = |millis: usize| began + Duration::from_millis(millis as u64);
    sleep_until(at(10 + rng.below(900))).await;
    let server = SocketAddr::from((turmoil::lookup("node"), PORT));
    let stream = wires.connect(server, at(9000)).await.expect("the node listens");
    let mut request = "ws://weir.test/ws/room".into_client_request().expect("it is an address");
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    request.headers_mut().insert("Sec-WebSocket-Key", key);
    let stream = Remasked::new(stream, rng.fork());
    let (mut socket, _) = client_async(request, stream).await.expect("the node lets it in");
    let mut moments: Vec<_> = (0..LINES).map(|_| 1200 + rng.below(3500)).collect();
    moments.sort_unstable();
    let (mut heard, mut said) = (Heard::default(), 0);
    loop {
        let next = at(moments.get(said).copied().unwrap_or(60_000));
        tokio::select! {
            biased;
            () = sleep_until(next) => {
                let line = Message::text(format!("{index} says {said}"));
                // Whether it still can shows in what others hear.
                let _ = socket.send(line).await;
                said += 1;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => heard.lines.push(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    heard.close = frame.map(|frame| frame.code.into());
                    heard.closed_at_secs = began.elapsed().as_secs();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return heard,
            },
        }
    }
}

/// Whether two clients heard those lines in the same order that both heard.
fn agree(one: &[String], other: &[String]) -> bool {
    let both: BTreeSet<_> = one.iter().filter(|line| other.contains(line)).collect();
    let common = |heard: &[String]| {
        heard.iter().filter(|line| both.contains(line)).cloned().collect::<Vec<_>>()
    };
    common(one) == common(other)
}

#[test]
fn members_hear_each_other_while_their_shards_come_and_go() {
    for seed in 0..3 {
        let run = run(seed, Removal::Move);
        assert!(run.connections.iter().all(|&count| count > 0), "seed {seed}: all shards serve");
        assert_eq!(run.present, [0, 2, 3, 4].map(ShardId), "seed {seed}: one ended, one came");
        for (index, Heard { lines, close, closed_at_secs }) in run.heard.iter().enumerate() {
            assert_eq!(lines.len(), (CLIENTS - 1) * LINES, "seed {seed}, client {index}");
            assert_eq!((*close, *closed_at_secs), (Some(1001), 6), "seed {seed}, client {index}");
            assert!(agree(lines, &run.heard[0].lines), "seed {seed}: one order for all");
        }
        let counted = &run.counters;
        assert_eq!(counted.opened, CLIENTS as u64, "seed {seed}");
        assert_eq!(counted.messages, (CLIENTS * LINES) as u64, "seed {seed}");
        assert!(counted.passed > 0 && counted.moved_in > 0, "seed {seed}: {counted:?}");
        assert_eq!(counted.moved_in, counted.moved_out, "seed {seed}");
        assert_eq!(counted.accepted, counted.closed_total(), "seed {seed}");
        assert_eq!(run.left, 0, "seed {seed}");
    }
}

#[test]
fn a_dismissed_shard_tells_its_members_and_the_others_go_on() {
    let run = run(7, Removal::Dismiss);
    assert!(run.heard.iter().all(|heard| heard.close == Some(1001)), "{:?}", run.heard);
    let early = run.heard.iter().filter(|heard| heard.closed_at_secs < 6).count();
    assert!(early > 0, "it had somebody");
    assert_eq!(early, run.connections[1] as usize, "those of one shard");
    assert_eq!(run.counters.accepted, run.counters.closed_total());
}

#[test]
fn a_node_of_many_tasks_repeats_its_run() {
    let hashes: BTreeSet<u64> = (0..2)
        .map(|seed| {
            let (first, again) = (run(seed, Removal::Move), run(seed, Removal::Move));
            assert_eq!(first.hash(), again.hash(), "seed {seed}");
            assert_eq!(first.heard, again.heard, "seed {seed}");
            first.hash()
        })
        .collect();
    assert_eq!(hashes.len(), 2, "every seed is a schedule of its own");
}
