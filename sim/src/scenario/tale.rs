//! What a plan's run tells of itself: who said and heard what, in words. Nothing depends on it.
//!
//! Clients tell what they do and hear when they do; what their shard read when, only it knows.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::message::Message;
use super::outcome::Heard;
use super::plan::{Action, ClientPlan, Leave, Plan};
use crate::story::{Arrow, Band, Lane, Mark, MarkKind, Of, Pen, Story};

/// The story of a plan's run, if it is written.
#[derive(Clone, Debug)]
pub(super) struct Tale(Rc<Telling>);

#[derive(Debug)]
struct Telling {
    pen: Pen,
    shard: Lane,
    clients: Vec<Lane>,
    /// Numbers of all that is said.
    messages: BTreeMap<Message, u64>,
    /// Virtual nanoseconds.
    now: Cell<u64>,
}

impl Tale {
    pub(super) fn new(plan: &Plan, pen: &Pen) -> Self {
        let pen = pen.clone();
        let shard = pen.lane("shards", || "the shard".to_owned());
        let lane = |number| pen.lane("clients", || format!("client {number}"));
        let clients = (0..plan.clients.len()).map(lane).collect();
        let mut messages = BTreeMap::new();
        if pen.writes() {
            let said = plan.clients.iter().flat_map(ClientPlan::says);
            messages.extend(said.zip(1..).map(|(say, number)| (say.message.clone(), number)));
        }
        Self(Rc::new(Telling { pen, shard, clients, messages, now: Cell::new(0) }))
    }

    /// What happens from now on happens at this time.
    pub(super) fn set_now(&self, nanos: u64) {
        self.0.now.set(nanos);
    }

    /// One client's voice.
    pub(super) fn client(&self, index: usize, plan: &ClientPlan) -> Voice {
        let lane = self.0.clients[index];
        let of = Of {
            room: Some(plan.path.clone()),
            connection: Some(index as u64),
            messages: Vec::new(),
        };
        Voice { tale: self.clone(), lane, of, stalls: None }
    }

    /// The shard tells everyone to go.
    pub(super) fn drains(&self) {
        let Telling { pen, shard: lane, now, .. } = &*self.0;
        let (at, kind, text) = (now.get(), MarkKind::Fault, "drains: everyone is to go".to_owned());
        pen.mark(|| Mark { lane: *lane, at, kind, of: Of::default(), text });
    }

    /// A promise was broken by what the words say: to the client whose address they name, at the
    /// message that they name.
    pub(super) fn fail(&self, what: &str, heard: &[Heard]) {
        let Telling { pen, shard, clients, messages, .. } = &*self.0;
        let Some(story) = pen.story() else { return };
        let named = |heard: &Heard| {
            let address = heard.address.map(|address| address.to_string());
            address.filter(|address| what.contains(address.as_str())).map(|address| address.len())
        };
        // One address may begin as another one does.
        let victim = (0..heard.len()).filter_map(|at| Some((named(&heard[at])?, at))).max();
        let (lane, connection) = match victim {
            Some((_, index)) => (clients[index], Some(index as u64)),
            None => (*shard, None),
        };
        let said = messages.iter().find(|(message, _)| what.contains(&format!("{message:?}")));
        let messages: Vec<_> = said.map(|(_, &number)| number).into_iter().collect();
        let at = moment(&story, lane, &messages);
        let of = Of { room: None, connection, messages };
        pen.broke(|| Mark { lane, at, kind: MarkKind::Broken, of, text: what.to_owned() });
    }
}

/// When a lane last heard one of these messages; else the end.
fn moment(story: &Story, lane: Lane, messages: &[u64]) -> u64 {
    let hears = |arrow: &&Arrow| {
        arrow.to == lane && arrow.of.messages.iter().any(|message| messages.contains(message))
    };
    story.arrows.iter().filter(hears).map(|arrow| arrow.heard).max().unwrap_or_else(|| story.end())
}

/// Tells what one client does and hears.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    tale: Tale,
    lane: Lane,
    of: Of,
    /// The stretch in which it reads nothing.
    stalls: Option<usize>,
}

impl Voice {
    pub(super) fn set_now(&self, nanos: u64) {
        self.tale.set_now(nanos);
    }

    pub(super) fn connects(&self) {
        let to = self.tale.0.shard;
        self.arrow(self.lane, to, None, || "asks to join the room".to_owned());
    }

    /// It was answered.
    pub(super) fn answered(&self, status: Option<u16>) {
        match status {
            Some(101) => self.mark(MarkKind::Opened, || "is let in".to_owned()),
            Some(status) => self.mark(MarkKind::Closed, || format!("is refused: {status}")),
            None => self.mark(MarkKind::Closed, || "is not answered".to_owned()),
        }
    }

    /// It does what its plan says.
    pub(super) fn does(&mut self, action: &Action) {
        let Telling { pen, shard, now, .. } = &*self.tale.0;
        let (lane, now) = (self.lane, now.get());
        match action {
            Action::Say(say) => {
                self.carry(lane, *shard, &say.message, "publishes");
            }
            Action::Stall => {
                let text = || "reads nothing".to_owned();
                let band = || Band { lanes: vec![lane], from: now, until: None, text: text() };
                self.stalls = Some(pen.band(band));
            }
            Action::Narrow(bytes) => {
                self.mark(MarkKind::Fault, || format!("takes only {bytes} bytes unread"));
            }
            Action::Resume(_) => {
                if let Some(stalls) = self.stalls.take() {
                    pen.end(stalls, now);
                }
            }
            Action::Leave(Leave::Goodbye(code)) => {
                self.mark(MarkKind::Note, || format!("says goodbye with {code}"));
            }
            Action::Leave(Leave::HalfClose) => {
                self.mark(MarkKind::Note, || "ends its stream".to_owned());
            }
            Action::Leave(Leave::Reset) => {
                self.mark(MarkKind::Fault, || "cuts its connection".to_owned());
            }
        }
    }

    pub(super) fn hears(&self, message: &Message) {
        let from = self.tale.0.shard;
        self.carry(from, self.lane, message, "hears");
    }

    /// Its connection is over; with what close code, if it heard one.
    pub(super) fn ends(&self, close: Option<u16>) {
        let heard = || close.map_or_else(String::new, |code| format!(", it heard {code}"));
        self.mark(MarkKind::Closed, || format!("its connection ends{}", heard()));
    }

    fn carry(&self, from: Lane, to: Lane, message: &Message, verb: &str) {
        let number = self.tale.0.messages.get(message).copied();
        let Message { kind, payload } = message;
        let len = payload.len();
        self.arrow(from, to, number, || match number {
            Some(number) => format!("{verb} message {number}, {kind:?} of {len} bytes"),
            None => format!("{verb} what nobody said, {message:?}"),
        });
    }

    fn arrow(&self, from: Lane, to: Lane, message: Option<u64>, text: impl FnOnce() -> String) {
        let Telling { pen, now, .. } = &*self.tale.0;
        let (sent, heard) = (now.get(), now.get());
        let of = || Of { messages: message.into_iter().collect(), ..self.of.clone() };
        pen.arrow(|| Arrow { from, sent, to, heard, of: of(), text: text() });
    }

    fn mark(&self, kind: MarkKind, text: impl FnOnce() -> String) {
        let Telling { pen, now, .. } = &*self.tale.0;
        let (lane, at) = (self.lane, now.get());
        pen.mark(|| Mark { lane, at, kind, of: self.of.clone(), text: text() });
    }
}
