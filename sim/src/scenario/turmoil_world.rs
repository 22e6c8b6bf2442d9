//! A plan in turmoil: the real shard task on one simulated host, real clients on the others.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway::shard::{self, DrainSignal};
use gateway::turn::Turn;
use gateway_core::hub::Hub;
use gateway_registry::census::{Capacity, Census};
use tokio::time::sleep;

use super::model_world::config;
use super::outcome::{Heard, Outcome, Rest};
use super::plan::Plan;
use super::tale::Tale;
use super::visitor::Visitor;
use crate::rng::Rng;
use crate::simnet::SimNet;
use crate::traced::{Trace, TraceOptions, Traced};
use crate::wires::{WireOptions, Wires};

const SERVER: &str = "server";
const PORT: u16 = 9000;
/// Time for what is under way when the last client does the last of its steps.
const SETTLE_MILLIS: u64 = 400;
/// Far more than any plan takes.
const SIMULATED_MAX: Duration = Duration::from_mins(2);

/// Runs a plan to its end.
///
/// # Errors
/// If the run comes to no end in simulated time, or a host fails.
pub(super) fn run(
    plan: &Plan,
    options: TraceOptions,
    tale: &Tale,
) -> Result<Outcome, (String, Option<Trace>)> {
    let plan = Rc::new(plan.clone());
    let wires = Wires::new(WireOptions::new(plan.seed));
    let mut sim = wires.options().simulation().simulation_duration(SIMULATED_MAX).build();
    let stage = Rc::new(Stage::new(&plan));
    sim.client(
        SERVER,
        serve(Rc::clone(&plan), wires.clone(), Rc::clone(&stage), options, tale.clone()),
    );
    let mut rng = Rng::new(!plan.seed);
    for (index, client) in plan.clients.iter().enumerate() {
        let (client, wires, stage) = (client.clone(), wires.clone(), Rc::clone(&stage));
        let (rng, voice) = (rng.fork(), tale.client(index, &client));
        sim.client(format!("client-{index}"), async move {
            let server = SocketAddr::from((turmoil::lookup(SERVER), PORT));
            let mut heard = Heard::default();
            let visitor = Visitor::new(&client, &mut heard, voice);
            let acted = visitor.visit(&wires, server, rng).await;
            stage.done(index, heard, acted);
            Ok(())
        });
    }
    let ran = sim.run();
    let nanos = u64::try_from(sim.elapsed().as_nanos()).unwrap_or(u64::MAX);
    drop(sim);
    stage.outcome(nanos, ran.err().map(|error| error.to_string()))
}

/// What the hosts of one run share.
struct Stage {
    heard: RefCell<Vec<Heard>>,
    /// Steps that clients took.
    actions: Cell<u64>,
    /// Clients that are not done.
    visiting: Cell<usize>,
    trace: RefCell<Option<Trace>>,
    rest: RefCell<Option<Rest>>,
}

impl Stage {
    fn new(plan: &Plan) -> Self {
        Self {
            heard: RefCell::new(vec![Heard::default(); plan.clients.len()]),
            actions: Cell::new(0),
            visiting: Cell::new(plan.clients.len()),
            trace: RefCell::default(),
            rest: RefCell::default(),
        }
    }

    fn done(&self, index: usize, heard: Heard, acted: u64) {
        self.actions.set(self.actions.get() + acted);
        self.heard.borrow_mut()[index] = heard;
        self.visiting.set(self.visiting.get() - 1);
    }

    fn outcome(
        &self,
        nanos: u64,
        error: Option<String>,
    ) -> Result<Outcome, (String, Option<Trace>)> {
        let trace = self.trace.borrow().clone();
        match (error, trace, self.rest.take()) {
            (None, Some(trace), Some(rest)) => {
                let (heard, actions) = (self.heard.take(), self.actions.get());
                Ok(Outcome { heard, rest, trace, actions, nanos })
            }
            (error, trace, _) => {
                Err((error.unwrap_or_else(|| "the server did not serve".to_owned()), trace))
            }
        }
    }
}

async fn serve(
    plan: Rc<Plan>,
    wires: Wires,
    stage: Rc<Stage>,
    options: TraceOptions,
    tale: Tale,
) -> turmoil::Result {
    let net = SimNet::bind(&wires, SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await?;
    let extents = net.extents();
    let (net, trace) = Traced::new(net, options);
    *stage.trace.borrow_mut() = Some(trace);
    let turn = Turn::new(net, Hub::new(config(&plan, &extents)), plan.slice);
    let signal = DrainSignal::default();
    tokio::task::spawn_local(drain(plan, signal.clone(), tale));
    let capacity = Capacity { total_max: u64::MAX, shard_max: u32::MAX };
    let census = Arc::new(Census::new(capacity, 1));
    let counters = shard::run(turn, signal, Arc::clone(&census)).await?;
    let cell = census.shard(0);
    *stage.rest.borrow_mut() = Some(Rest {
        live: cell.live(),
        rooms: cell.rooms(),
        outbox_bytes: cell.outbox_bytes(),
        inbound_bytes: cell.inbound_bytes(),
        extents: extents.len(),
        counters,
    });
    // As a kernel would, the host still delivers what the shard wrote.
    while stage.visiting.get() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Gives the signal when the plan says so, or when everyone has done its part.
async fn drain(plan: Rc<Plan>, signal: DrainSignal, tale: Tale) {
    let parts = plan
        .clients
        .iter()
        .map(|client| client.steps.last().map_or(client.arrives_at_millis, |step| step.at_millis));
    let done_at = parts.max().unwrap_or(0) + SETTLE_MILLIS;
    let millis = plan.drains_at_millis.unwrap_or(done_at);
    sleep(Duration::from_millis(millis)).await;
    tale.set_now(millis * 1_000_000);
    tale.drains();
    signal.give();
}
