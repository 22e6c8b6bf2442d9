//! A plan in the model world: turns and clients by hand, with a clock of numbers.

use std::sync::Arc;
use std::task::{Context, Waker};

use gateway::others::Alone;
use gateway::turn::Turn;
use gateway_core::hub::{Config, Hub};
use gateway_core::time::Now;

use super::actor::Actor;
use super::outcome::{Outcome, Rest};
use super::plan::Plan;
use super::tale::Tale;
use crate::extents::Extents;
use crate::model::{Clients, ModelNet};
use crate::promise::Promise;
use crate::rng::Rng;
use crate::traced::{Trace, TraceOptions, Traced};

const NANOS_PER_MILLI: u64 = 1_000_000;
/// Far more than any plan takes: a run that needs them all hangs.
const ROUNDS_MAX: u64 = 2_000_000;

/// Runs a plan to its end.
///
/// # Errors
/// If the run comes to no end: somebody waits for what never comes, or is left behind a drain.
pub(super) fn run(
    plan: &Plan,
    options: TraceOptions,
    tale: &Tale,
) -> Result<Outcome, (Promise, String, Trace)> {
    let (mut world, trace) = World::new(plan, options, tale.clone());
    for _ in 0..ROUNDS_MAX {
        let moves = world.round() || world.skip();
        if world.draining && world.turn.hub().live() == 0 {
            return Ok(world.finish(trace));
        }
        if !moves {
            break;
        }
    }
    let (live, millis) = (world.turn.hub().live(), world.now.0 / NANOS_PER_MILLI);
    let promise = if world.draining { Promise::Farewell } else { Promise::Alive };
    Err((promise, format!("no end after {millis} ms: {live} connections live"), trace))
}

struct World {
    turn: Turn<Traced<ModelNet>>,
    clients: Clients,
    actors: Vec<Actor>,
    tale: Tale,
    extents: Extents,
    now: Now,
    rng: Rng,
    drains_at: Option<Now>,
    draining: bool,
    actions: u64,
}

impl World {
    fn new(plan: &Plan, options: TraceOptions, tale: Tale) -> (Self, Trace) {
        let mut rng = Rng::new(!plan.seed);
        let net = ModelNet::new(rng.next_u64());
        let (clients, extents) = (net.clients(), net.extents());
        let (net, trace) = Traced::new(net, options);
        let turn = Turn::new(net, Hub::new(config(plan, &extents)), plan.slice);
        let plans = plan.clients.iter().enumerate();
        let actors = plans
            .map(|(index, client)| Actor::new(client, rng.fork(), tale.client(index, client)))
            .collect();
        let drains_at = plan.drains_at_millis.map(|millis| Now(millis * NANOS_PER_MILLI));
        let (now, draining, actions) = (Now(0), false, 0);
        let world =
            Self { turn, clients, actors, tale, extents, now, rng, drains_at, draining, actions };
        (world, trace)
    }

    /// Everyone acts once, in any order, and the shard takes some turns; whether anything moved.
    fn round(&mut self) -> bool {
        self.tale.set_now(self.now.0);
        if self.drains_at.is_some_and(|at| at <= self.now) {
            self.drain();
        }
        let mut order: Vec<_> = (0..self.actors.len()).collect();
        self.rng.shuffle(&mut order);
        let mut moved = false;
        for index in order {
            let millis = self.now.0 / NANOS_PER_MILLI;
            if self.actors[index].act(millis, self.draining, &self.clients) {
                self.actions += 1;
                moved = true;
            }
        }
        for _ in 0..1 + self.rng.below(3) {
            moved |= self.turn();
        }
        self.now.0 += self.rng.below(2_000_000) as u64;
        moved
    }

    fn turn(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let polled = self.turn.poll(cx, self.now, &mut Alone::default());
        self.actions += u64::from(polled.is_ready());
        polled.is_ready()
    }

    /// Nothing moves: on to the next moment at which something will; `false` if there is none.
    fn skip(&mut self) -> bool {
        let draining = self.draining;
        let steps = self.actors.iter().filter_map(|actor| actor.next_at_millis(draining));
        let steps = steps.map(|millis| Now(millis * NANOS_PER_MILLI));
        let moments = steps.chain(self.turn.hub().poll_timeout()).chain(self.drains_at);
        match moments.min() {
            Some(next) => {
                self.now = self.now.max(next);
                true
            }
            None if self.draining => false,
            None => {
                self.drain();
                true
            }
        }
    }

    fn drain(&mut self) {
        self.drains_at = None;
        if !self.draining {
            self.draining = true;
            self.tale.drains();
            self.turn.drain(self.now, &mut Alone::default());
        }
    }

    /// Whoever did not read until now reads what is left.
    fn finish(self, trace: Trace) -> Outcome {
        let Self { turn, clients, actors, extents, actions, now, .. } = self;
        let hub = turn.hub();
        let rest = Rest {
            live: hub.live(),
            rooms: hub.rooms() as u64,
            outbox_bytes: hub.outbox_bytes() as u64,
            inbound_bytes: hub.inbound_bytes() as u64,
            extents: extents.len(),
            counters: hub.counters().clone(),
        };
        let heard = actors.into_iter().map(|actor| actor.finish(&clients)).collect();
        Outcome { heard, rest, trace, actions, nanos: now.0 }
    }
}

/// What the plan's hub is made with.
pub(super) fn config(plan: &Plan, extents: &Extents) -> Config {
    Config {
        limits: plan.limits.clone(),
        member_policy: plan.policy,
        seed: plan.seed,
        store: plan.stores.then(|| Arc::new(extents.clone()) as Arc<_>),
        ..Config::default()
    }
}
