//! Carries out what a plan has go wrong, from outside of all hosts, and ends it again.

use std::collections::BTreeMap;
use std::time::Duration;

use turmoil::Sim;

use super::connection::Stage;
use super::fault::{Fault, Kind};
use super::plan::Plan;
use super::setting::Role;
use super::world::{ClientOrder, NodeOrder, World};
use crate::rng::Rng;
use crate::story::{Band, Mark, MarkKind, Of};

/// What an undisturbed link takes at most; see [`Wires`](crate::wires::Wires).
const LATENCY_MAX: Duration = Duration::from_millis(10);
/// Of what waits on a link that reorders one in so many goes on with each step.
const REORDER: usize = 3;

pub(super) struct Nemesis {
    /// What is to come, the next one last.
    to_come: Vec<Fault>,
    /// By the moment of their end and their number: faults that last, with their bands.
    lasting: BTreeMap<(u64, usize), (Fault, usize)>,
    rng: Rng,
}

impl Nemesis {
    pub(super) fn new(plan: &Plan, rng: Rng) -> Self {
        let to_come = plan.faults.iter().rev().cloned().collect();
        Self { to_come, lasting: BTreeMap::new(), rng }
    }

    /// Does what is due by `millis`.
    pub(super) fn step(&mut self, sim: &mut Sim<'_>, world: &World, millis: u64) {
        while let Some(entry) = self.lasting.first_entry()
            && entry.key().0 <= millis
        {
            let (fault, band) = entry.remove();
            self.end(sim, world, &fault, band);
        }
        while self.to_come.last().is_some_and(|fault| fault.at_millis <= millis) {
            let fault = self.to_come.pop().expect("there is one");
            self.begin(sim, world, fault);
        }
        for (fault, _) in self.lasting.values() {
            if fault.kind == Kind::Reorder {
                let (host, node) = ends(fault);
                let addresses = (sim.lookup(host.as_str()), sim.lookup(node.as_str()));
                deliver_some(sim, addresses, &mut self.rng);
            }
        }
    }

    /// Ends all that goes wrong; nothing more will.
    pub(super) fn heal(&mut self, sim: &mut Sim<'_>, world: &World) {
        self.to_come.clear();
        for (fault, band) in std::mem::take(&mut self.lasting).into_values() {
            self.end(sim, world, &fault, band);
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, world: &World, fault: Fault) {
        match fault.kind {
            Kind::Partition
            | Kind::OneWay
            | Kind::Hold
            | Kind::Reorder
            | Kind::Latency
            | Kind::Loss
            | Kind::HalfOpen => {
                if world.fault_of_link(fault.host, fault.node).is_some() {
                    return;
                }
                cut(sim, world, &fault);
                self.last(world, fault);
            }
            Kind::Crash | Kind::PowerLoss => {
                if world.nodes[fault.node].node.borrow().is_none() {
                    return;
                }
                if fault.kind == Kind::PowerLoss {
                    self.darken(sim, world, &fault);
                }
                crash(sim, world, &fault);
                self.last(world, fault);
            }
            Kind::SlowReader | Kind::StuckReader | Kind::Garbage => {
                if is_open(world, |client, _| client == fault.client) {
                    world.clients[fault.client].post(ClientOrder::Fault(fault));
                }
            }
            Kind::Storm => storm(world, &fault),
            Kind::Drain
            | Kind::ShardAdded
            | Kind::ShardMoved
            | Kind::ShardDismissed
            | Kind::ClockJump => world.nodes[fault.node].orders.post(NodeOrder::Fault(fault)),
        }
    }

    fn last(&mut self, world: &World, fault: Fault) {
        let band = world.tell(|ledger| {
            let lanes = vec![ledger.lanes.nodes[fault.node]];
            let (from, text) = (ledger.now, || fault.to_string());
            ledger.pen.band(|| Band { lanes, from, until: None, text: text() })
        });
        let until = fault.at_millis + fault.lasts_millis;
        self.lasting.insert((until, fault.number), (fault, band));
    }

    /// Nobody hears of what happens to a node: all its links are cut, whatever else was with them.
    fn darken(&mut self, sim: &mut Sim<'_>, world: &World, fault: &Fault) {
        let of_node = |(_, (other, _)): &(&(u64, usize), &(Fault, usize))| {
            other.kind.is_of_link() && other.node == fault.node
        };
        let keys: Vec<_> = self.lasting.iter().filter(of_node).map(|(&key, _)| key).collect();
        for key in keys {
            let (other, band) = self.lasting.remove(&key).expect("it is there");
            self.end(sim, world, &other, band);
        }
        for host in 0..world.setting.client_hosts {
            let (host_name, node_name) = ends(&Fault { host, ..fault.clone() });
            sim.partition(host_name.as_str(), node_name.as_str());
            world.set_link(host, fault.node, Some(Kind::Partition));
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, world: &World, fault: &Fault, band: usize) {
        let hosts = if fault.kind == Kind::PowerLoss {
            0..world.setting.client_hosts
        } else if fault.kind.is_of_link() {
            fault.host..fault.host + 1
        } else {
            0..0
        };
        for host in hosts {
            mend(sim, &Fault { host, ..fault.clone() });
            world.set_link(host, fault.node, None);
        }
        if matches!(fault.kind, Kind::Crash | Kind::PowerLoss) {
            sim.bounce(Role::Node(fault.node).host().as_str());
        }
        world.tell(|ledger| {
            ledger.note(format!("fault {fault} ends"));
            ledger.pen.end(band, ledger.now);
        });
    }
}

/// The names of a link's hosts.
fn ends(fault: &Fault) -> (String, String) {
    (Role::Clients(fault.host).host(), Role::Node(fault.node).host())
}

/// Something comes between a client host and a node.
fn cut(sim: &mut Sim<'_>, world: &World, fault: &Fault) {
    let (host, node) = ends(fault);
    let (host, node) = (host.as_str(), node.as_str());
    match fault.kind {
        Kind::OneWay if fault.amount.is_multiple_of(2) => sim.partition_oneway(host, node),
        Kind::OneWay => sim.partition_oneway(node, host),
        Kind::Hold | Kind::Reorder => sim.hold(host, node),
        Kind::Latency => {
            let latency = Duration::from_millis(fault.amount);
            sim.set_link_max_message_latency(host, node, latency);
        }
        Kind::Loss => sim.set_link_fail_rate(host, node, fault.amount as f64 / 100.0),
        Kind::Partition
        | Kind::HalfOpen
        | Kind::Crash
        | Kind::PowerLoss
        | Kind::Drain
        | Kind::ShardAdded
        | Kind::ShardMoved
        | Kind::ShardDismissed
        | Kind::ClockJump
        | Kind::SlowReader
        | Kind::StuckReader
        | Kind::Garbage
        | Kind::Storm => sim.partition(host, node),
    }
    world.set_link(fault.host, fault.node, Some(fault.kind));
    let touched = world.tell(|ledger| {
        ledger.taint(|connection| {
            (connection.host, connection.place.node) == (fault.host, fault.node)
        })
    });
    if touched > 0 {
        world.struck(fault);
    }
}

/// The link is as it was.
fn mend(sim: &mut Sim<'_>, fault: &Fault) {
    let (host, node) = ends(fault);
    let (host, node) = (host.as_str(), node.as_str());
    match fault.kind {
        Kind::OneWay if fault.amount.is_multiple_of(2) => sim.repair_oneway(host, node),
        Kind::OneWay => sim.repair_oneway(node, host),
        Kind::Hold | Kind::Reorder => sim.release(host, node),
        Kind::Latency => sim.set_link_max_message_latency(host, node, LATENCY_MAX),
        Kind::Loss => {
            sim.set_link_fail_rate(host, node, 0.0);
            sim.repair(host, node);
        }
        Kind::Partition
        | Kind::HalfOpen
        | Kind::Crash
        | Kind::PowerLoss
        | Kind::Drain
        | Kind::ShardAdded
        | Kind::ShardMoved
        | Kind::ShardDismissed
        | Kind::ClockJump
        | Kind::SlowReader
        | Kind::StuckReader
        | Kind::Garbage
        | Kind::Storm => sim.repair(host, node),
    }
}

/// Some of what waits on a link goes on, and is ahead of what still waits.
fn deliver_some(sim: &Sim<'_>, ends: (std::net::IpAddr, std::net::IpAddr), rng: &mut Rng) {
    sim.links(|links| {
        for link in links {
            let (a, b) = link.pair();
            if (a, b) != ends && (b, a) != ends {
                continue;
            }
            link.for_each(|sent| {
                if rng.one_in(REORDER) {
                    sent.deliver();
                }
            });
        }
    });
}

/// A node's process is no more; whether its clients hear of it is its links' matter.
fn crash(sim: &mut Sim<'_>, world: &World, fault: &Fault) {
    world.struck(fault);
    world.tell(|ledger| {
        ledger.taint(|connection| connection.place.node == fault.node);
        let (lane, at) = (ledger.lanes.nodes[fault.node], ledger.now);
        let text = || fault.kind.name().to_owned();
        ledger.pen.mark(|| Mark {
            lane,
            at,
            kind: MarkKind::Fault,
            of: Of::default(),
            text: text(),
        });
    });
    *world.nodes[fault.node].node.borrow_mut() = None;
    sim.crash(Role::Node(fault.node).host().as_str());
}

/// Everybody of a node goes at once.
fn storm(world: &World, fault: &Fault) {
    let mut struck = false;
    for client in 0..world.clients.len() {
        if is_open(world, |of, node| of == client && node == fault.node) {
            world.clients[client].post(ClientOrder::Fault(fault.clone()));
            struck = true;
        }
    }
    if struck {
        world.struck(fault);
    }
}

/// Whether a connection is open that belongs to such a client and node.
fn is_open(world: &World, of: impl Fn(usize, usize) -> bool) -> bool {
    let ledger = world.ledger.borrow();
    ledger.connections.iter().any(|connection| {
        connection.stage == Stage::Open && of(connection.client, connection.place.node)
    })
}
