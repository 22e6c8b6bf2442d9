//! A run: disturbed first, then calm, then over. Safety is looked at with every step; when faults
//! have ended, everything has to be well again in time.

use std::rc::Rc;
use std::time::Duration;

use turmoil::Sim;

use super::connection::Stage;
use super::host;
use super::nemesis::Nemesis;
use super::plan::{ClientPlan, Plan};
use super::setting::Role;
use super::visitor;
use super::world::{ClientOrder, NodeOrder, World};
use crate::promise::Promise;
use crate::rng::Rng;

/// A step of the world.
const TICK: Duration = Duration::from_millis(5);
/// Virtual seconds in which everyone is connected again when faults have ended, and no node counts
/// anyone who is gone: silence is noticed by then on either side, and back-offs have passed.
const RETURN_SECS: u64 = 25;
/// Virtual seconds in which everyone hears what is said then, and who is there.
const HEAR_SECS: u64 = 5;
/// Longer than any run.
const SIMULATED_MAX: Duration = Duration::from_mins(10);

pub(super) struct Run<'a> {
    sim: Sim<'a>,
    world: Rc<World>,
    nemesis: Nemesis,
    calm_at_millis: u64,
    steps: u64,
}

impl Run<'_> {
    pub(super) fn new(world: &Rc<World>, plan: &Plan, rng: Rng) -> Self {
        let mut builder = world.setting.wire_options().simulation();
        let mut sim = builder.tick_duration(TICK).simulation_duration(SIMULATED_MAX).build();
        for role in world.setting.hosts.clone() {
            let world = Rc::clone(world);
            match role {
                Role::Node(number) => {
                    sim.host(role.host(), move || host::serve(Rc::clone(&world), number));
                }
                Role::Clients(number) => {
                    let clients = (0..).zip(plan.clients.clone());
                    let clients: Vec<_> = clients.filter(|(_, plan)| plan.host == number).collect();
                    sim.host(role.host(), move || crowd(Rc::clone(&world), clients.clone()));
                }
            }
        }
        let nemesis = Nemesis::new(plan, rng);
        let calm_at_millis = plan.calm_at_millis;
        Self { sim, world: Rc::clone(world), nemesis, calm_at_millis, steps: 0 }
    }

    /// Goes to the end, or to the first promise that is broken.
    ///
    /// # Errors
    /// If a host failed.
    pub(super) fn go(&mut self) -> Result<(), String> {
        let stages = [
            Self::be_disturbed,
            Self::come_back,
            Self::hear_each_other,
            Self::see_each_other,
            Self::say_goodbye,
        ];
        for stage in stages {
            stage(self)?;
            if self.is_broken() {
                return Ok(());
            }
        }
        self.world.tell(|ledger| ledger.check_past());
        Ok(())
    }

    fn be_disturbed(&mut self) -> Result<(), String> {
        while self.millis() < self.calm_at_millis && !self.is_broken() {
            self.nemesis.step(&mut self.sim, &self.world, self.steps * TICK.as_millis() as u64);
            self.step()?;
        }
        self.nemesis.heal(&mut self.sim, &self.world);
        self.world.tell(|ledger| ledger.note("all is well from here on".to_owned()));
        Ok(())
    }

    fn come_back(&mut self) -> Result<(), String> {
        // A connection that a fault has ended may not know it yet.
        self.world.clients.iter().for_each(|client| client.post(ClientOrder::Prove));
        let calm = self.nanos();
        self.wait(RETURN_SECS, Promise::Alive, |world| away(world, calm))
    }

    fn hear_each_other(&mut self) -> Result<(), String> {
        let first = self.world.ledger.borrow().record.messages.len();
        self.world.clients.iter().for_each(|client| client.post(ClientOrder::Speak));
        self.wait(HEAR_SECS, Promise::Alive, |world| unheard(world, first))
    }

    fn see_each_other(&mut self) -> Result<(), String> {
        self.world.clients.iter().for_each(|client| client.post(ClientOrder::Ask));
        self.wait(HEAR_SECS, Promise::Alive, |world| {
            let ledger = world.ledger.borrow();
            // A lossy member may have missed who came and went.
            let lie = ledger.false_presence().filter(|_| !ledger.setting.is_lossy());
            lie.map(|(id, what)| format!("connection {id}: {what}"))
        })
    }

    fn say_goodbye(&mut self) -> Result<(), String> {
        self.world.end();
        self.world.nodes.iter().for_each(|node| node.orders.post(NodeOrder::End));
        self.wait(self.world.setting.drain_secs() + 2, Promise::Farewell, |world| {
            let serving = world.nodes.iter().position(|node| !node.ended.get());
            let serving = serving.map(|node| format!("node {node} has not ended"));
            serving.or_else(|| {
                let ledger = world.ledger.borrow();
                let mut all = ledger.connections.iter();
                let open = all.position(|connection| connection.stage != Stage::Over);
                open.map(|id| format!("connection {id} is open although all nodes have ended"))
            })
        })
    }

    /// Steps until nothing is amiss any more, which is to be within some virtual seconds.
    fn wait(
        &mut self,
        secs: u64,
        promise: Promise,
        amiss: impl Fn(&World) -> Option<String>,
    ) -> Result<(), String> {
        let until = self.millis() + secs * 1_000;
        while !self.is_broken() {
            self.step()?;
            let Some(what) = amiss(&self.world) else { return Ok(()) };
            if self.millis() > until {
                let what = format!("{what}, {secs} s after it was to be well");
                self.world.tell(|ledger| ledger.complain(promise, what, None));
            }
        }
        Ok(())
    }

    /// All hosts do what they do in a tick; then all that holds at every step is looked at.
    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        self.steps += 1;
        let nanos = self.steps * TICK.as_nanos() as u64;
        self.world.tell(|ledger| {
            ledger.now = nanos;
            ledger.check_due();
        });
        for (number, node) in self.world.nodes.iter().enumerate() {
            let looks = node.looks();
            self.world.tell(|ledger| ledger.check_bounds(number, &looks));
        }
        Ok(())
    }

    fn millis(&self) -> u64 {
        self.steps * TICK.as_millis() as u64
    }

    /// Virtual time that passed, in nanoseconds.
    pub(super) fn nanos(&self) -> u64 {
        self.steps * TICK.as_nanos() as u64
    }

    fn is_broken(&self) -> bool {
        self.world.ledger.borrow().broken.is_some()
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // A node's sockets are made by a closure that knows the world.
        for node in &self.world.nodes {
            let node = node.node.borrow_mut().take();
            drop(node);
        }
    }
}

/// The clients of a host, each a task.
async fn crowd(world: Rc<World>, clients: Vec<(usize, ClientPlan)>) -> turmoil::Result {
    for (index, plan) in clients {
        tokio::task::spawn_local(visitor::live(Rc::clone(&world), index, plan));
    }
    std::future::pending().await
}

/// A client that is not connected since then, or a node that counts somebody who is not there.
fn away(world: &World, calm: u64) -> Option<String> {
    let ledger = world.ledger.borrow();
    let mut open = vec![0_u64; world.nodes.len()];
    let mut here = vec![false; world.clients.len()];
    for connection in &ledger.connections {
        if connection.stage == Stage::Open {
            here[connection.client] |= connection.proved || connection.opened_at >= calm;
            let current = world.nodes[connection.place.node].incarnation.get();
            open[connection.place.node] += u64::from(connection.place.incarnation == current);
        }
    }
    if let Some(client) = here.iter().position(|here| !here) {
        return Some(format!("client {client} is not connected"));
    }
    let live = world.nodes.iter().map(super::world::NodeState::live);
    let mut pairs = live.zip(open).enumerate();
    let wrong = pairs.find(|(_, (live, open))| live != open);
    wrong.map(|(node, (live, open))| format!("node {node} counts {live}, {open} are there"))
}

/// A message said since then that a member has not heard.
fn unheard(world: &World, first: usize) -> Option<String> {
    let ledger = world.ledger.borrow();
    let all = ledger.record.messages.len();
    let open = ledger.connections.iter().filter(|connection| connection.stage == Stage::Open);
    if all < first + open.count().min(world.clients.len()) {
        return Some("somebody did not speak".to_owned());
    }
    if ledger.setting.is_lossy() {
        return None;
    }
    let members = (0..).zip(&ledger.connections).filter(|(_, member)| member.is_healthy());
    let mut pairs = members.flat_map(|(id, member)| (first..all).map(move |n| (id, member, n)));
    let deaf = pairs.find(|&(_, member, number)| {
        let said = &ledger.record.messages[number];
        said.place == member.place
            && member.opened_at < said.said_at
            && !ledger.has(member, number as u32)
    });
    deaf.map(|(id, _, number): (u32, _, _)| {
        format!("connection {id} has not heard message {number}")
    })
}
