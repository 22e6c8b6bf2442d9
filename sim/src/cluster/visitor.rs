//! A client's life: it comes, does what its plan says, and comes back when it was lost, to the same
//! node or another, with its position.

use std::rc::Rc;
use std::time::Duration;

use gateway_core::position::Position;
use tokio::time::{Instant, sleep, sleep_until};

use super::coverage::work;
use super::dial::{Socket, Wish};
use super::fault::{Fault, Kind};
use super::garbage;
use super::plan::{Action, ClientPlan, Leave, Speech};
use super::session::{Line, Session};
use super::world::{ClientOrder, World};
use crate::counts::Group;
use crate::rng::Rng;

/// How long who was lost waits at first and at most, each time twice as long.
const BACK_OFF: (u64, u64) = (60, 1_500);

/// Later than any run ends.
const LATER_MILLIS: u64 = 10_000_000;
/// Bytes of each of many messages that are said at once.
const BURST_BYTES: usize = 24;

/// What makes a client leave the connection that it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// It was lost, and comes back.
    Return,
    /// All come back at once.
    AtOnce,
    /// It wants to be away for so long.
    After(Duration),
}

pub(super) struct Visitor {
    world: Rc<World>,
    index: usize,
    plan: ClientPlan,
    began: Instant,
    rng: Rng,
    /// Steps that it has taken, or missed.
    step: usize,
    node: usize,
    room: usize,
    /// Where it was last, and in which room.
    seen: Option<(usize, Position)>,
    nick: String,
    renames: u32,
    good_token: bool,
    failures: u32,
}

/// Lives as `plan` says, on the current host.
pub(super) async fn live(world: Rc<World>, index: usize, plan: ClientPlan) {
    let began = Instant::now();
    sleep_until(began + Duration::from_millis(plan.arrives_at_millis)).await;
    let visitor = Visitor {
        world,
        index,
        began,
        rng: Rng::new(plan.seed),
        step: 0,
        node: plan.node,
        room: plan.room,
        seen: None,
        nick: format!("c{index}"),
        renames: 0,
        good_token: true,
        failures: 0,
        plan,
    };
    visitor.go().await;
}

impl Visitor {
    async fn go(mut self) {
        while !self.world.is_over() {
            let pause = match self.come().await {
                Some((id, socket)) => {
                    self.failures = 0;
                    self.stay(id, socket).await
                }
                None => {
                    self.failures += 1;
                    self.look_elsewhere();
                    Next::Return
                }
            };
            let pause = match pause {
                Next::Return => self.back_off(),
                Next::AtOnce => Duration::ZERO,
                Next::After(pause) => pause,
            };
            sleep(pause).await;
            self.world.tell(|ledger| ledger.count(Group::Work, work::RETURNS));
        }
    }

    async fn come(&mut self) -> Option<(u32, Socket)> {
        let since = self.seen.filter(|(room, _)| *room == self.room).map(|(_, position)| position);
        let wish = Wish {
            client: self.index,
            host: self.plan.host,
            speech: self.plan.speech,
            name: self.plan.name,
            node: self.node,
            room: self.room,
            since,
            nick: self.nick.clone(),
            good_token: std::mem::replace(&mut self.good_token, true),
        };
        wish.fulfil(&self.world, &mut self.rng).await
    }

    /// Where a client that was not let in tries next.
    fn look_elsewhere(&mut self) {
        if !self.rng.one_in(3) {
            self.node = self.rng.below(self.world.setting.nodes);
        }
    }

    fn back_off(&mut self) -> Duration {
        let (least, most) = BACK_OFF;
        let millis = (least << self.failures.min(5)).min(most);
        Duration::from_millis(millis / 2 + self.rng.below(millis as usize) as u64)
    }

    /// Uses a connection until it is over.
    async fn stay(&mut self, id: u32, socket: Socket) -> Next {
        let world = Rc::clone(&self.world);
        let mut session = Session::new(&world, id, socket);
        self.miss_steps();
        let mut next = Next::Return;
        let why = loop {
            // What was ordered comes first, then what is due: no moment passes unused.
            let line = tokio::select! {
                biased;
                order = world.clients[self.index].next() => {
                    self.obey(&mut session, order, &mut next).await
                }
                () = sleep_until(self.next_step(&session)) => {
                    self.act(&mut session, &mut next)
                }
                () = sleep_until(session.deadline()) => session.tick(),
                line = session.go_on() => line,
            };
            if let Line::Over(why) = line {
                break why;
            }
        };
        let at = world.tell(|ledger| {
            if why == "nothing was heard" {
                ledger.count(Group::Outcome, super::coverage::outcome::GAVE_UP);
            }
            ledger.over(id, why);
            ledger.connections[id as usize].position()
        });
        let room = world.ledger.borrow().connections[id as usize].place.room;
        self.seen = at.map(|at| (room, at)).or(self.seen);
        next
    }

    async fn obey(
        &mut self,
        session: &mut Session<'_>,
        order: ClientOrder,
        next: &mut Next,
    ) -> Line {
        match order {
            ClientOrder::Speak if !session.is_leaving() => session.say(20, self.speaks_text(), 1),
            ClientOrder::Ask => session.ask(),
            ClientOrder::Prove => session.prove(),
            ClientOrder::Speak => {}
            ClientOrder::Fault(fault) => {
                if fault.kind == Kind::Storm {
                    *next = Next::AtOnce;
                }
                self.harm_nobody_else(&fault);
                return session.suffer(&fault).await;
            }
        }
        Line::Open
    }

    /// Some of what is no frame comes as no request, on a connection of nobody's.
    fn harm_nobody_else(&mut self, fault: &Fault) {
        if fault.kind == Kind::Garbage {
            let (world, node, rng) = (Rc::clone(&self.world), self.node, self.rng.fork());
            tokio::task::spawn_local(garbage::visit(world, node, rng));
        }
    }

    fn speaks_text(&self) -> bool {
        matches!(self.plan.speech, Speech::Line | Speech::Chat) || self.index.is_multiple_of(2)
    }

    fn at(&self, millis: u64) -> Instant {
        self.began + Duration::from_millis(millis)
    }

    /// What was to be done while it was away is not done; where it was to go it goes.
    fn miss_steps(&mut self) {
        let now = Instant::now();
        while let Some(step) = self.plan.steps.get(self.step)
            && self.at(step.at_millis) <= now
        {
            self.step += 1;
        }
    }

    fn next_step(&self, session: &Session<'_>) -> Instant {
        let step = self.plan.steps.get(self.step).filter(|_| !session.is_leaving());
        self.at(step.map_or(LATER_MILLIS, |step| step.at_millis))
    }

    fn act(&mut self, session: &mut Session<'_>, next: &mut Next) -> Line {
        let action = self.plan.steps[self.step].action.clone();
        self.step += 1;
        match action {
            Action::Say { bytes, text, frames } => session.say(bytes, text, frames),
            Action::Burst { messages } => {
                (0..messages).for_each(|_| session.say(BURST_BYTES, self.speaks_text(), 1));
            }
            Action::Ask => session.ask(),
            Action::Rename if matches!(self.plan.speech, Speech::Line | Speech::Chat) => {
                self.renames += 1;
                self.nick = format!("c{}n{}", self.index, self.renames);
                session.rename(&self.nick);
                self.world.tell(|ledger| ledger.count(Group::Work, work::RENAMES));
            }
            Action::Rename => session.say(5, self.speaks_text(), 1),
            Action::Away { how, millis, good_token } => {
                self.good_token = good_token;
                *next = Next::After(Duration::from_millis(millis));
                return session.leave(how);
            }
            Action::Visit { node, room } => {
                (self.node, self.room) = (node, room);
                *next = Next::After(Duration::ZERO);
                return session.leave(Leave::Goodbye);
            }
        }
        Line::Open
    }
}
