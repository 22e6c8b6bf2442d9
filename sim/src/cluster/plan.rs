//! A run as data: who comes when and does what, and what goes wrong. All of it follows from the
//! seed before anything runs, so that a failure can be told by less.

use super::fault::{Fault, Kind};
use super::setting::{Family, Setting, pick};
use crate::rng::Rng;
use crate::worlds::Less;

/// Clients that a plan has at least and, exclusively, at most.
pub(super) const CLIENTS: (usize, usize) = (12, 40);
/// Milliseconds in which clients come.
const ARRIVALS_MILLIS: usize = 1_500;
/// Nothing goes wrong before.
const FIRST_FAULT_MILLIS: u64 = 800;

/// How a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speech {
    /// Messages as they are.
    Raw,
    /// `weir.probe.v1`.
    Probe,
    /// Lines in a chat.
    Line,
    /// `weir.chat.v1`.
    Chat,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leave {
    /// With a close frame.
    Goodbye,
    /// It ends its stream.
    HalfClose,
    /// It is gone.
    Reset,
}

/// Something that a client does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// It says something of so many bytes, in one frame or several.
    Say { bytes: usize, text: bool, frames: usize },
    /// It says so many short messages at once.
    Burst { messages: usize },
    /// It asks who is there.
    Ask,
    /// It wants another name where people chat; elsewhere it says something.
    Rename,
    /// It leaves, and comes back later, with another token where one is asked for.
    Away { how: Leave, millis: u64, good_token: bool },
    /// It leaves for another room and node.
    Visit { node: usize, room: usize },
}

/// An action and its moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) at_millis: u64,
    pub(super) action: Action,
}

/// One client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ClientPlan {
    /// Which of the client hosts it is on.
    pub(super) host: usize,
    pub(super) speech: Speech,
    /// A name that others may have too: who has the same does not hear it.
    pub(super) name: Option<u32>,
    pub(super) node: usize,
    pub(super) room: usize,
    pub(super) arrives_at_millis: u64,
    pub(super) steps: Vec<Step>,
    /// What its own choices follow from.
    pub(super) seed: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clients: Vec<ClientPlan>,
    /// In the order of their moments.
    pub(super) faults: Vec<Fault>,
    /// When faults and actions end.
    pub(super) calm_at_millis: u64,
}

impl Plan {
    pub(super) fn new(setting: &Setting, rng: &mut Rng, clients: usize) -> Self {
        let calm_at_millis = 10_000 + rng.below(16_000) as u64;
        let pause = *pick(rng, &[150, 400, 900]);
        let people: Vec<_> =
            (0..clients).map(|_| client(setting, rng, calm_at_millis, pause)).collect();
        let faults = faults(setting, rng, clients, calm_at_millis);
        Self { clients: people, faults, calm_at_millis }
    }

    /// With less in it.
    pub(super) fn cut(mut self, less: &Less) -> Self {
        let to_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(max) = less.clients_max {
            self.clients.truncate(to_usize(max).max(1));
        }
        if let Some(max) = less.actions_max {
            let steps = self.clients.iter().flat_map(|client| &client.steps);
            let mut moments: Vec<_> = steps.map(|step| step.at_millis).collect();
            moments.sort_unstable();
            if let Some(&last) = moments.get(to_usize(max)) {
                let keep = |client: &mut ClientPlan| {
                    client.steps.retain(|step| step.at_millis < last);
                };
                self.clients.iter_mut().for_each(keep);
            }
        }
        let clients = self.clients.len();
        self.faults.retain(|fault| {
            let there = !fault.kind.is_of_client() || fault.client < clients;
            there && less.has(fault.kind.name()) && less.has(&fault.name())
        });
        self
    }

    /// Actions in it.
    pub(super) fn actions(&self) -> u64 {
        self.clients.iter().map(|client| client.steps.len() as u64).sum()
    }
}

fn client(setting: &Setting, rng: &mut Rng, until: u64, pause: usize) -> ClientPlan {
    let room = any_room(setting, rng);
    let chats = setting.rooms[room] == Family::Chat;
    let speech = match (chats, rng.below(4)) {
        (true, 0 | 1) => Speech::Line,
        (true, _) => Speech::Chat,
        (false, 0) => Speech::Raw,
        (false, _) => Speech::Probe,
    };
    let arrives_at_millis = 10 + rng.below(ARRIVALS_MILLIS) as u64;
    let mut at_millis = arrives_at_millis;
    let mut steps = Vec::new();
    loop {
        at_millis += 20 + rng.below(2 * pause) as u64;
        if at_millis >= until {
            break;
        }
        let action = action(setting, rng, chats);
        steps.push(Step { at_millis, action });
    }
    ClientPlan {
        host: rng.below(setting.client_hosts),
        speech,
        name: (speech == Speech::Probe && rng.one_in(4)).then(|| 1 + rng.below(3) as u32),
        node: rng.below(setting.nodes),
        room,
        arrives_at_millis,
        steps,
        seed: rng.next_u64(),
    }
}

/// Half of all meet in the first rooms.
fn any_room(setting: &Setting, rng: &mut Rng) -> usize {
    let among = if rng.one_in(2) { setting.rooms.len().min(3) } else { setting.rooms.len() };
    rng.below(among)
}

fn action(setting: &Setting, rng: &mut Rng, chats: bool) -> Action {
    match rng.below(40) {
        0 => Action::Away {
            how: *pick(rng, &[Leave::Goodbye, Leave::HalfClose, Leave::Reset]),
            millis: 10 + rng.below(1_500) as u64,
            good_token: !rng.one_in(3),
        },
        1 => {
            let same = |&room: &usize| (setting.rooms[room] == Family::Chat) == chats;
            let rooms: Vec<_> = (0..setting.rooms.len()).filter(same).collect();
            Action::Visit { node: rng.below(setting.nodes), room: *pick(rng, &rooms) }
        }
        2 | 3 => Action::Ask,
        4 => Action::Rename,
        5 | 6 => {
            let most = *pick(rng, &[4, 40]);
            Action::Burst { messages: 2 + rng.below(most) }
        }
        _ => {
            let bytes = match rng.below(40) {
                0 => rng.below(6_000),
                1..6 => rng.below(600),
                _ => rng.below(60),
            };
            let frames = if rng.one_in(12) { 2 + rng.below(3) } else { 1 };
            Action::Say { bytes, text: chats || rng.one_in(2), frames }
        }
    }
}

/// Each seed has its own kinds, and its own rate of each.
fn faults(setting: &Setting, rng: &mut Rng, clients: usize, until: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let eager = *pick(rng, &[2, 3, 6]);
    for kind in Kind::ALL {
        if !rng.one_in(eager) {
            continue;
        }
        for _ in 0..1 + rng.below(4) {
            faults.push(fault(kind, setting, rng, clients, until));
        }
    }
    faults.sort_by_key(|fault| fault.at_millis);
    faults.iter_mut().enumerate().for_each(|(number, fault)| fault.number = number);
    faults
}

fn fault(kind: Kind, setting: &Setting, rng: &mut Rng, clients: usize, until: u64) -> Fault {
    let window = (until - FIRST_FAULT_MILLIS) as usize;
    let at_millis = FIRST_FAULT_MILLIS + rng.below(window) as u64;
    let lasts_millis = match kind {
        Kind::Crash | Kind::PowerLoss => 100 + rng.below(3_000),
        Kind::HalfOpen => window,
        Kind::StuckReader | Kind::SlowReader => 200 + rng.below(8_000),
        Kind::Reorder => 50 + rng.below(400),
        Kind::Partition
        | Kind::OneWay
        | Kind::Hold
        | Kind::Latency
        | Kind::Loss
        | Kind::Drain
        | Kind::ShardAdded
        | Kind::ShardMoved
        | Kind::ShardDismissed
        | Kind::ClockJump
        | Kind::Garbage
        | Kind::Storm => 100 + rng.below(5_000),
    };
    let amount = match kind {
        Kind::Latency => 30 + rng.below(170),
        Kind::ClockJump => 1 + rng.below(40),
        Kind::StuckReader | Kind::SlowReader => 1 + rng.below(400),
        Kind::Loss => 1 + rng.below(10),
        Kind::Partition
        | Kind::OneWay
        | Kind::Hold
        | Kind::Reorder
        | Kind::HalfOpen
        | Kind::Crash
        | Kind::PowerLoss
        | Kind::Drain
        | Kind::ShardAdded
        | Kind::ShardMoved
        | Kind::ShardDismissed
        | Kind::Garbage
        | Kind::Storm => rng.below(4),
    };
    Fault {
        number: 0,
        kind,
        at_millis,
        lasts_millis: (lasts_millis as u64).min(until - at_millis),
        node: rng.below(setting.nodes),
        host: rng.below(setting.client_hosts),
        client: rng.below(clients),
        amount: amount as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let setting = Setting::new(seed, &mut rng, 20);
        Plan::new(&setting, &mut rng, 20)
    }

    #[test]
    fn a_plan_that_is_cut_is_the_rest_of_the_whole_one() {
        let whole = plan(3);
        let crashes =
            |plan: &Plan| plan.faults.iter().filter(|fault| fault.kind == Kind::Crash).count();
        let seed = (0..100).find(|&seed| crashes(&plan(seed)) > 0).expect("some seed has crashes");
        let less = Less { without: BTreeSet::from(["crash".to_owned()]), ..Less::default() };
        assert_eq!(crashes(&plan(seed).cut(&less)), 0);

        let less = Less { clients_max: Some(5), actions_max: Some(30), ..Less::default() };
        let cut = whole.clone().cut(&less);
        assert_eq!(cut.clients.len(), 5);
        for (cut, whole) in cut.clients.iter().zip(&whole.clients) {
            assert!(whole.steps.starts_with(&cut.steps));
        }
        // Of all clients' first thirty these are the first five clients'.
        assert!(cut.actions() <= 30);
        assert!(cut.faults.iter().all(|fault| !fault.kind.is_of_client() || fault.client < 5));
    }

    #[test]
    fn a_single_fault_is_left_out_by_its_name() {
        let seed = (0..100).find(|&seed| plan(seed).faults.len() > 3).expect("some are harsh");
        let whole = plan(seed);
        let less = Less { without: BTreeSet::from(["f2".to_owned()]), ..Less::default() };
        let cut = plan(seed).cut(&less);
        assert_eq!(cut.faults.len(), whole.faults.len() - 1);
        assert!(cut.faults.iter().all(|fault| fault.number != 2));
    }

    #[test]
    fn seeds_differ_in_what_goes_wrong_and_all_of_it_goes_wrong_somewhere() {
        let kinds =
            |seed| plan(seed).faults.iter().map(|fault| fault.kind).collect::<BTreeSet<_>>();
        let all: BTreeSet<_> = (0..50).flat_map(kinds).collect();
        assert_eq!(all.len(), Kind::ALL.len());
        assert!((0..50).any(|seed| kinds(seed).len() < Kind::ALL.len() / 2));
    }
}
