//! A node's host: starts its process, has it do what it is told, and starts it anew when it ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use gateway::server::Removal;
use tokio::time::{advance, sleep, timeout};

use super::fault::{Fault, Kind};
use super::judge::{Ended, Look};
use super::world::{Node, NodeOrder, NodeState, PORT, World};
use crate::promise::Promise;
use crate::simnet::SharedPort;
use crate::story::{Mark, MarkKind, Of};
use crate::traced::{TraceOptions, Traced};

/// Between attempts to listen: the process before may not have ended altogether.
const REBIND: Duration = Duration::from_millis(5);

/// Runs a node's processes, one after the other.
pub(super) async fn serve(world: Rc<World>, number: usize) -> turmoil::Result {
    loop {
        let state = &world.nodes[number];
        state.incarnation.set(state.incarnation.get() + 1);
        state.strangers.set(0);
        let node = start(&world, number).await?;
        *state.node.borrow_mut() = Some(node.clone());
        tell(&world, number, MarkKind::Opened, "serves");
        let pause = obey(&world, number, &node).await;
        end(&world, number, node).await?;
        match pause {
            Some(pause) => sleep(pause).await,
            None => {
                state.ended.set(true);
                // As a kernel would, the host still delivers what the process wrote.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn start(world: &Rc<World>, number: usize) -> turmoil::Result<Node> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let port = loop {
        match SharedPort::bind(&world.wires, address).await {
            Ok(port) => break port,
            Err(_) => sleep(REBIND).await,
        }
    };
    let incarnation = world.nodes[number].incarnation.get();
    let mut config = world.setting.node_config(number, incarnation);
    config.workers = config.workers.min(config.shards);
    let world = Rc::clone(world);
    Ok(Node::spawn(config, move |_| {
        let (net, trace) = Traced::new(port.net()?, TraceOptions::default());
        world.nodes[number].traces.borrow_mut().push(trace);
        Ok(net)
    })?)
}

/// Has a node do what it is told until it is to end; when it is to come again.
async fn obey(world: &World, number: usize, node: &Node) -> Option<Duration> {
    loop {
        let fault = match world.nodes[number].orders.next().await {
            NodeOrder::Fault(fault) => fault,
            NodeOrder::End => return None,
        };
        let struck = match fault.kind {
            Kind::ShardAdded => node.add_shard().await.is_ok(),
            Kind::ShardMoved => remove(node, &fault, Removal::Move),
            Kind::ShardDismissed => remove(node, &fault, Removal::Dismiss),
            Kind::ClockJump => jump(world, number, &fault).await,
            Kind::Drain => {
                world.struck(&fault);
                return Some(Duration::from_millis(50 * (1 + fault.amount)));
            }
            Kind::Partition
            | Kind::OneWay
            | Kind::Hold
            | Kind::Reorder
            | Kind::Latency
            | Kind::Loss
            | Kind::HalfOpen
            | Kind::Crash
            | Kind::PowerLoss
            | Kind::SlowReader
            | Kind::StuckReader
            | Kind::Garbage
            | Kind::Storm => false,
        };
        if struck {
            world.struck(&fault);
            tell(world, number, MarkKind::Fault, fault.kind.name());
        }
    }
}

fn remove(node: &Node, fault: &Fault, removal: Removal) -> bool {
    let serving = node.serving();
    let shard = serving[fault.amount as usize % serving.len()];
    serving.len() > 1 && node.remove_shard(shard, removal).is_ok()
}

/// The host's clock jumps ahead, and all who are connected may be taken for silent.
async fn jump(world: &World, number: usize, fault: &Fault) -> bool {
    let ahead = Duration::from_secs(fault.amount);
    world.tell(|ledger| {
        ledger.taint(|connection| connection.place.node == number);
        ledger.ahead[number] += ahead.as_nanos() as u64;
    });
    advance(ahead).await;
    true
}

/// Drains a node, within the time it has, and looks at what it counted.
async fn end(world: &World, number: usize, node: Node) -> turmoil::Result {
    let state = &world.nodes[number];
    let incarnation = state.incarnation.get();
    tell(world, number, MarkKind::Note, "drains");
    node.drain();
    let deadline = Duration::from_secs(world.setting.drain_secs());
    let Ok(joined) = timeout(deadline, node.join()).await else {
        let what = format!("node {number}.{incarnation} has not drained in {deadline:?}");
        world.tell(|ledger| {
            let lane = ledger.lanes.nodes[number];
            ledger.complain(Promise::Farewell, what, Some(lane));
        });
        return std::future::pending().await;
    };
    let left =
        looks(&node).map(|look| u64::from(look.live) + look.outbox_bytes + look.inbound_bytes);
    let (left, strangers) = (left.sum(), state.strangers.get());
    let ended = Ended { counters: joined?, left, strangers };
    *state.node.borrow_mut() = None;
    drop(node);
    // What was said last is still under way.
    sleep(Duration::from_millis(500)).await;
    world.tell(|ledger| {
        ledger.check_ended(number, incarnation, &ended);
        ledger.check_farewell(number, incarnation);
    });
    tell(world, number, MarkKind::Closed, "has ended");
    Ok(())
}

fn looks(node: &Node) -> impl Iterator<Item = Look> {
    node.census().shards().map(|cell| Look {
        live: cell.live(),
        outbox_bytes: cell.outbox_bytes(),
        inbound_bytes: cell.inbound_bytes(),
        waiting: cell.commands_waiting(),
    })
}

impl NodeState {
    /// What its shards hold now; nothing while it does not serve.
    pub(super) fn looks(&self) -> Vec<Look> {
        self.node.borrow().as_ref().map(|node| looks(node).collect()).unwrap_or_default()
    }

    /// Connections that it has now.
    pub(super) fn live(&self) -> u64 {
        self.node.borrow().as_ref().map_or(0, |node| node.census().live())
    }
}

fn tell(world: &World, number: usize, kind: MarkKind, what: &str) {
    let incarnation = world.nodes[number].incarnation.get();
    world.tell(|ledger| {
        ledger.note(format!("node {number}.{incarnation} {what}"));
        let (lane, at) = (ledger.lanes.nodes[number], ledger.now);
        let text = || format!("process {incarnation} {what}");
        ledger.pen.mark(|| Mark { lane, at, kind, of: Of::default(), text: text() });
    });
}
