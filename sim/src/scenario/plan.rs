//! What a run will do, drawn from its seed as plain data.

mod less;

use std::collections::BTreeSet;

use gateway_core::hub::MemberPolicy;
use gateway_core::limits::Limits;

pub(in crate::scenario) use self::less::KINDS;
use super::message::{Kind, Message};
use crate::rng::Rng;

/// One run: the same in every world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all of it follows from.
    pub seed: u64,
    /// The shard's bounds, often narrow.
    pub limits: Limits,
    /// What becomes of slow members.
    pub policy: MemberPolicy,
    /// Members per flush slice.
    pub slice: usize,
    /// Whether large payloads are kept in a store.
    pub stores: bool,
    /// Who takes part.
    pub clients: Vec<ClientPlan>,
    /// When the shard drains in the midst of it all; otherwise when everything is said.
    pub drains_at_millis: Option<u64>,
}

/// What one client does.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The path that it asks for, which names its room.
    pub path: String,
    /// When it connects.
    pub arrives_at_millis: u64,
    /// Bytes that it takes unread at first.
    pub window: usize,
    /// What it does then, in the order of time.
    pub steps: Vec<Step>,
}

impl ClientPlan {
    /// All that it says, in order.
    pub(super) fn says(&self) -> impl Iterator<Item = &Say> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Say(say) => Some(say),
            Action::Stall | Action::Narrow(_) | Action::Resume(_) | Action::Leave(_) => None,
        })
    }

    /// Whether it may take longer to read its last word than it has time, or its own last word
    /// longer to be read, behind long messages of which so few bytes are read at a time.
    #[must_use]
    pub(super) fn may_be_late(&self, read_bytes_max: usize) -> bool {
        let slow = |step: &Step| {
            matches!(step.action, Action::Stall | Action::Leave(Leave::Reset | Leave::HalfClose))
        };
        let said = |step: &Step| {
            let Action::Say(say) = &step.action else { return 0 };
            say.fragments.iter().sum()
        };
        let said: usize = self.steps.iter().map(said).sum();
        let is_heard_slowly = said / read_bytes_max > READS_BEFORE_LATE;
        self.window < WINDOW || is_heard_slowly || self.steps.iter().any(slow)
    }
}

/// Something to do at some time.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, at the earliest.
    pub at_millis: u64,
    /// What.
    pub action: Action,
}

/// What a client can do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Publishes a message.
    Say(Say),
    /// Stops reading.
    Stall,
    /// Takes at most this many bytes unread from now on.
    Narrow(usize),
    /// Reads again, with a window of this many bytes.
    Resume(usize),
    /// Goes away; the last step.
    Leave(Leave),
}

/// A message and how it is cut into frames.
#[derive(Clone, Debug)]
pub struct Say {
    /// What is said.
    pub message: Message,
    /// Bytes of each fragment; together they are the payload.
    pub fragments: Vec<usize>,
    /// Whether a ping goes out after each fragment.
    pub pings: bool,
}

/// How a client goes away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// With a close frame of this code; it reads to the end.
    Goodbye(u16),
    /// Ends its stream without a close frame; it reads to the end.
    HalfClose,
    /// Cuts the connection and reads nothing more.
    Reset,
}

const WINDOW: usize = 16 * 1024;
/// Reads of what one client says that fit into the shortest time to say goodbye.
const READS_BEFORE_LATE: usize = 100;
/// A stuck reader's window: less than a small frame, up to a few of them.
const TINY: [usize; 4] = [1, 7, 60, 300];

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let limits = limits(&mut rng);
        let policy = if rng.one_in(3) { MemberPolicy::Lossy } else { MemberPolicy::Close };
        let slice = 1 + rng.below(8);
        let stores = rng.one_in(2);
        let rooms = 1 + rng.below(3);
        let drains_at_millis = rng.one_in(6).then(|| 100 + rng.below(900) as u64);
        // In some runs nobody leaves, so that every message can be accounted for.
        let leaves = rng.one_in(2);
        let mut draft = Draft { rng, said: BTreeSet::new() };
        let clients = (0..3 + draft.rng.below(5)).map(|_| draft.client(rooms, leaves)).collect();
        let mut plan = Self { seed, limits, policy, slice, stores, clients, drains_at_millis };
        let stuck = draft.rng.below(plan.clients.len());
        if !draft.rng.one_in(5) {
            draft.make_stuck(&mut plan.clients[stuck]);
        }
        plan
    }
}

fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = pick(rng, &[2 << 10, 16 << 10, 1 << 20]);
    limits.shard_outbox_bytes_max = pick(rng, &[48 << 10, 256 << 20, 256 << 20]);
    limits.read_bytes_max = pick(rng, &[100, 4 << 10, 64 << 10]);
    limits.turn_bytes_max = pick(rng, &[1 << 10, 4 << 20]);
    limits.share_bytes_min = pick(rng, &[256, 4 << 10, 64 << 10]);
    limits.store_bytes_min = pick(rng, &[256, 4 << 10, 64 << 10]);
    limits.store_members_min = pick(rng, &[1, 2]);
    limits.cork_bytes_max = pick(rng, &[64, 16 << 10]);
    limits.close_secs = [1, 3][rng.below(2)];
    // Only what the plan says ends a connection.
    limits.ping_secs = 0;
    limits
}

fn pick(rng: &mut Rng, choices: &[usize]) -> usize {
    choices[rng.below(choices.len())]
}

struct Draft {
    rng: Rng,
    /// Every message of a run is unlike all others, so that a checker can name what it sees.
    said: BTreeSet<Message>,
}

impl Draft {
    fn client(&mut self, rooms: usize, may_leave: bool) -> ClientPlan {
        let path = match self.rng.below(rooms) {
            0 => "/".to_owned(),
            room => format!("/ws/room-{room}"),
        };
        // Most are there before anyone speaks; the others come into the midst of it.
        let latest = if self.rng.one_in(3) { 700 } else { 200 };
        let arrives_at_millis = 20 + self.rng.below(latest) as u64;
        let says = match self.rng.below(4) {
            0 => 1,
            1 => 30,
            _ => 2 + self.rng.below(8),
        };
        let mut steps: Vec<_> = (0..says).map(|_| self.say()).collect();
        steps.sort_by_key(|step| step.at_millis);
        if may_leave && self.rng.one_in(3) {
            let leave = match self.rng.below(4) {
                0 => Leave::Reset,
                1 => Leave::HalfClose,
                _ => Leave::Goodbye([1000, 1001, 3000][self.rng.below(3)]),
            };
            let at_millis = self.moment(300, 900);
            steps.retain(|step| step.at_millis <= at_millis);
            steps.push(Step { at_millis, action: Action::Leave(leave) });
        }
        let window = [600, WINDOW, WINDOW, 64 << 10][self.rng.below(4)];
        ClientPlan { path, arrives_at_millis, window, steps }
    }

    fn say(&mut self) -> Step {
        let at_millis = self.moment(230, 800);
        let message = self.message();
        let mut fragments = Vec::new();
        let mut left = message.payload.len();
        while left > 0 && self.rng.one_in(4) && fragments.len() < 5 {
            // An empty fragment is one too.
            let len = if self.rng.one_in(5) { 0 } else { self.rng.portion(left) };
            fragments.push(len);
            left -= len;
        }
        fragments.push(left);
        let pings = self.rng.one_in(2);
        Step { at_millis, action: Action::Say(Say { message, fragments, pings }) }
    }

    fn message(&mut self) -> Message {
        let kind = if self.rng.one_in(2) { Kind::Text } else { Kind::Binary };
        let mut len = match self.rng.below(8) {
            0 => [0, 1, 125, 126, 40 << 10][self.rng.below(5)],
            1 => self.rng.below(40 << 10),
            2 | 3 => self.rng.below(3000),
            _ => self.rng.below(125),
        };
        loop {
            let payload = self.payload(kind, len);
            let message = Message { kind, payload };
            if self.said.insert(message.clone()) {
                return message;
            }
            len += 1;
        }
    }

    /// Text is characters of one to four bytes, so that fragments and reads cut them.
    fn payload(&mut self, kind: Kind, len: usize) -> Vec<u8> {
        match kind {
            Kind::Binary => {
                let words = std::iter::repeat_with(|| self.rng.next_u64().to_le_bytes());
                words.flatten().take(len).collect()
            }
            Kind::Text => {
                let mut text = String::with_capacity(len);
                while text.len() < len {
                    let room = (len - text.len()).min(4);
                    let any = ["aZ09 ,.~", "éßñøÆюжд", "€→語字एよ☂✓", "😀🎲🦀🧭🎈🐌🛶🪁"];
                    let choices = any[self.rng.below(room)];
                    let nth = self.rng.below(8);
                    text.extend(choices.chars().nth(nth));
                }
                text.into_bytes()
            }
        }
    }

    fn make_stuck(&mut self, client: &mut ClientPlan) {
        let from = self.moment(230, 400);
        let narrows = from + 1 + self.rng.below(40) as u64;
        let until = match self.rng.below(5) {
            0 => from + 5000,
            _ => self.moment(850, 1500),
        };
        let tiny = pick(&mut self.rng, &TINY);
        let leaves = client.steps.pop_if(|step| matches!(step.action, Action::Leave(_)));
        client.steps.extend([
            Step { at_millis: from, action: Action::Stall },
            Step { at_millis: narrows, action: Action::Narrow(tiny) },
            Step { at_millis: until, action: Action::Resume(WINDOW) },
        ]);
        client.steps.sort_by_key(|step| step.at_millis);
        if let Some(mut leave) = leaves {
            leave.at_millis = until + 100;
            client.steps.push(leave);
        }
    }

    fn moment(&mut self, from: usize, to: usize) -> u64 {
        (from + self.rng.below(to - from)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(plans: &[Plan]) -> impl Iterator<Item = &Step> {
        plans.iter().flat_map(|plan| &plan.clients).flat_map(|client| &client.steps)
    }

    #[test]
    fn plans_are_well_formed() {
        let plans: Vec<_> = (0..50).map(Plan::new).collect();
        for client in plans.iter().flat_map(|plan| &plan.clients) {
            assert!(client.steps.is_sorted_by_key(|step| step.at_millis));
            let leaves = |step: &Step| matches!(step.action, Action::Leave(_));
            let first = client.steps.iter().position(leaves);
            assert!(first.is_none_or(|at| at + 1 == client.steps.len()), "leaving is the end");
        }
        for step in steps(&plans) {
            let Action::Say(say) = &step.action else { continue };
            assert_eq!(say.fragments.iter().sum::<usize>(), say.message.payload.len());
            if say.message.kind == Kind::Text {
                assert!(str::from_utf8(&say.message.payload).is_ok());
            }
        }
    }

    #[test]
    fn no_message_of_a_plan_equals_another() {
        for seed in 0..50 {
            let plan = [Plan::new(seed)];
            let says = steps(&plan).filter_map(|step| match &step.action {
                Action::Say(say) => Some(&say.message),
                Action::Stall | Action::Narrow(_) | Action::Resume(_) | Action::Leave(_) => None,
            });
            let all: Vec<_> = says.collect();
            assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "seed {seed}");
        }
    }
}
