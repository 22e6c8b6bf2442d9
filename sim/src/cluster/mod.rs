//! The cluster: nodes of several shards as they are in production, and crowds of clients, over
//! turmoil's network, with crashes, partitions and whatever else can go wrong.
//!
//! Each node is a [`LocalNode`](gateway::local::LocalNode) on a host of its own: its workers are
//! tasks, its rings, doorbells, registry and census the real ones. Clients speak raw frames,
//! `weir.probe.v1` or chat, come back when they were lost, and check what they hear against a
//! `Record` that knows nothing of shards. Nodes know nothing of each other: there is no engine yet
//! over which they could meet.
//!
//! A seed is a plan: clients with their actions, and faults with their moments. Promises are looked
//! at with every step; then faults end, and within a stated virtual time everyone is connected,
//! heard and seen again; then all nodes drain.

mod connection;
mod coverage;
mod dial;
mod ears;
mod fault;
mod garbage;
mod host;
mod judge;
mod ledger;
mod nemesis;
mod plan;
mod record;
mod run;
mod session;
mod setting;
#[cfg(test)]
mod tests;
mod visitor;
mod words;
mod world;

pub use self::fault::Kind;

use self::ledger::Ledger;
use self::plan::{CLIENTS, Plan};
use self::run::Run;
use self::setting::Setting;
use self::world::World;
use crate::promise::Violation;
use crate::rng::Rng;
use crate::story::Pen;
use crate::worlds::{Ask, Failure, Report};

/// Runs a seed, and writes its story.
///
/// # Errors
/// The first promise that was broken, or what broke the run itself. The same seed breaks it again.
pub fn run(ask: &Ask, pen: &Pen) -> Result<Report, Failure> {
    let (setting, plan, mut rng) = drawn(ask);
    let ledger = Ledger::new(setting.clone(), pen.clone(), plan.clients.len());
    let world = World::new(setting, ledger, plan.clients.len());
    let mut run = Run::new(&world, &plan, rng.fork());
    let went = run.go();
    let nanos = run.nanos();
    drop(run);
    conclude(&world, went, plan.actions(), nanos)
}

/// The faults of a seed's plan, by the names that [`Less::without`](crate::worlds::Less::without)
/// knows them by.
#[must_use]
pub fn planned(ask: &Ask) -> Vec<String> {
    let (_, plan, _) = drawn(ask);
    plan.faults.iter().map(fault::Fault::name).collect()
}

fn drawn(ask: &Ask) -> (Setting, Plan, Rng) {
    let mut rng = Rng::new(ask.seed);
    let clients = CLIENTS.0 + rng.below(CLIENTS.1 - CLIENTS.0);
    let setting = Setting::new(ask.seed, &mut rng, clients);
    let plan = Plan::new(&setting, &mut rng, clients).cut(&ask.less);
    (setting, plan, rng)
}

fn conclude(
    world: &World,
    went: Result<(), String>,
    actions: u64,
    nanos: u64,
) -> Result<Report, Failure> {
    let mut ledger = world.ledger.borrow_mut();
    for node in &world.nodes {
        for trace in node.traces.borrow().iter() {
            ledger.fold(trace.hash(), trace.events());
        }
    }
    let (hash, events, lines) = (ledger.hash(), ledger.events(), ledger.lines());
    let (promise, what) = match (went, ledger.broken.take()) {
        (Err(what), _) => (None, what),
        (Ok(()), Some(Violation { promise, what })) => (Some(promise), what),
        (Ok(()), None) => {
            let counts = std::mem::take(&mut ledger.counts);
            return Ok(Report { hash, events, actions, nanos, counts });
        }
    };
    Err(Failure { promise, what, hash, lines })
}
