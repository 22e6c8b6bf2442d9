//! A world of shards without sockets, by single steps: dispatchers, rings, registry and engine.
//!
//! Each [`Step`] is one thing that a scheduler may choose next. Between two steps every hub has
//! heard what its dispatcher told, and the reference has checked it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};

use super::hub::{Mover, View};
use super::office::Office;
use super::reference::Reference;
use crate::dispatch::home::Phase;
use crate::dispatch::{Config, Dispatch, RoomKey, Sequencing};
use crate::envelope::{Command, Delivery, Post, RoomName, RoomPolicy};
use crate::id::ShardId;
use crate::limits::Limits;
use crate::log::Retention;
use crate::route::Namespace;
use crate::time::Tick;

/// What a world is made with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) shards: u16,
    /// Envelopes that a ring holds, in each direction and of each class.
    pub(super) capacity: usize,
    pub(super) sequencing: Sequencing,
    /// What is kept of rooms in the namespace `WS`; the others keep nothing.
    pub(super) history: Retention,
    pub(super) presence: bool,
    pub(super) transit: Retention,
    pub(super) unanswered_max: u32,
    pub(super) delivery_messages_max: usize,
    /// Where the registry puts new homes; with whoever asks if nothing is said.
    pub(super) placed: Option<ShardId>,
    /// The registry decides when it answers, not when it is asked.
    pub(super) decides_late: bool,
    pub(super) refuses_migration: bool,
    /// Of how many messages the engine refuses one; 0 refuses none.
    pub(super) refuses_each: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            shards: 2,
            capacity: 2,
            sequencing: Sequencing::Local,
            history: Retention::default(),
            presence: false,
            transit: Retention { messages_max: 1000, bytes_max: 1 << 20, age_secs: 100 },
            unanswered_max: 1024,
            delivery_messages_max: 1024,
            placed: None,
            decides_late: false,
            refuses_migration: false,
            refuses_each: 0,
        }
    }
}

impl Setup {
    /// Whether nobody ever has to be told of a gap.
    pub(super) fn remembers(&self) -> bool {
        self.transit.messages_max >= 1000
    }
}

/// What somebody does on a shard, in room `r`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    Enter(u16, usize),
    Leave(u16, usize),
    Publish(u16, usize),
    /// The room's home is to move, as soon as it is here and can.
    Migrate(u16, u16, usize),
    /// A member goes to another shard, with a pin.
    Move(u16, u16, usize),
    /// A connection that was to go ends instead, as soon as its pin was asked for.
    Abandon(u16, usize),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Exchange(u16),
    /// The second one takes a command of the first one.
    Command(u16, u16),
    /// The second one takes a delivery of the first one.
    Delivery(u16, u16),
    /// The registry answers a shard's oldest question.
    Answer(u16),
    /// The engine answers its nth open question.
    Place(usize),
    /// The nth script goes on.
    Act(usize),
    /// The nth moving connection leaves, or arrives.
    Travel(usize),
}

type Ring<T> = BTreeMap<(u16, u16), VecDeque<T>>;

#[derive(Debug)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) now: Tick,
    pub(super) shards: Vec<Dispatch>,
    commands: Ring<Command>,
    deliveries: Ring<Delivery>,
    /// Commands and deliveries that a full ring gave back.
    pub(super) refused: u64,
    pub(super) office: Office,
    pub(super) rooms: Vec<RoomName>,
    pub(super) scripts: Vec<VecDeque<Act>>,
    pub(super) movers: Vec<Mover>,
    pub(super) views: Vec<BTreeMap<RoomKey, View>>,
    pub(super) reference: Reference,
}

impl World {
    pub(super) fn new(setup: Setup, scripts: &[&[Act]]) -> Self {
        let shards = (0..setup.shards).map(|me| dispatch(&setup, ShardId(me)));
        let room = |namespace, name: &str| RoomName { namespace, name: name.into() };
        Self {
            now: Tick(0),
            shards: shards.collect(),
            commands: Ring::new(),
            deliveries: Ring::new(),
            refused: 0,
            office: Office::new(&setup),
            rooms: vec![
                room(Namespace::WS, "a"),
                room(Namespace::ROOT, "b"),
                room(Namespace::WS, "c"),
            ],
            scripts: scripts.iter().map(|script| script.iter().copied().collect()).collect(),
            movers: Vec::new(),
            views: vec![BTreeMap::new(); usize::from(setup.shards)],
            reference: Reference::new(setup.remembers()),
            setup,
        }
    }

    /// All that may happen next, but for scripts.
    pub(super) fn enabled(&self) -> Vec<Step> {
        let shards = 0..self.setup.shards;
        let mut steps = Vec::new();
        steps.extend(shards.clone().map(Step::Exchange));
        steps.extend(self.commands.keys().map(|&(from, to)| Step::Command(from, to)));
        steps.extend(self.deliveries.keys().map(|&(from, to)| Step::Delivery(from, to)));
        steps.extend(shards.map(Step::Answer));
        steps.extend((0..self.office.tickets()).map(Step::Place));
        steps.extend((0..self.movers.len()).map(Step::Travel));
        steps.retain(|&step| self.is_enabled(step));
        steps
    }

    fn is_enabled(&self, step: Step) -> bool {
        match step {
            Step::Exchange(at) => !self.is_idle(at),
            Step::Command(from, to) => !self.commands[&(from, to)].is_empty(),
            Step::Delivery(from, to) => !self.deliveries[&(from, to)].is_empty(),
            Step::Answer(at) => self.office.is_asked(at),
            Step::Place(nth) => nth < self.office.tickets(),
            Step::Travel(nth) => self.movers[nth].may_travel(),
            Step::Act(nth) => self.scripts[nth].front().is_some_and(|&act| self.is_possible(act)),
        }
    }

    /// All that may happen next.
    pub(super) fn enabled_with_scripts(&self) -> Vec<Step> {
        let mut steps = self.enabled();
        let scripts = (0..self.scripts.len()).map(Step::Act);
        steps.extend(scripts.filter(|&step| self.is_enabled(step)));
        steps
    }

    pub(super) fn is_possible(&self, act: Act) -> bool {
        let view = |at, room| self.view(at, room).map(|(key, view)| (key, view.clone()));
        match act {
            Act::Enter(..) => true,
            Act::Leave(at, room) => {
                let waits = view(at, room).is_some_and(|(_, view)| view.waiting > 0);
                waits || self.settled(at, room) > 0
            }
            Act::Publish(at, room) => view(at, room).is_some_and(|(key, view)| {
                view.seated > 0 && !self.shards[usize::from(at)].is_stalled(key)
            }),
            Act::Move(at, _, room) => self.settled(at, room) > 0,
            Act::Migrate(at, _, room) => self.movable(at, room).is_some(),
            Act::Abandon(at, room) => self.movers.iter().any(|mover| mover.is_leaving(at, room)),
        }
    }

    /// A world in which this has been done, each after the other.
    pub(super) fn after(setup: Setup, acts: &[Act]) -> Self {
        let mut world = Self::new(setup, &[]);
        for &act in acts {
            world.act(act);
            world.settle();
        }
        world
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        steps.iter().for_each(|&step| self.take(step));
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Exchange(at) => self.exchange(at),
            Step::Command(from, to) => {
                let ring = self.commands.get_mut(&(from, to)).expect("there is a ring");
                let command = ring.pop_front().expect("there is a command");
                self.shards[usize::from(to)].command(self.now, command);
                self.hear(to);
            }
            Step::Delivery(from, to) => {
                let ring = self.deliveries.get_mut(&(from, to)).expect("there is a ring");
                let delivery = ring.pop_front().expect("there is a delivery");
                self.shards[usize::from(to)].deliver(self.now, delivery);
                self.hear(to);
            }
            Step::Answer(at) => {
                if let Some(answer) = self.office.answer(at) {
                    self.shards[usize::from(at)].answer(self.now, answer);
                    self.hear(at);
                }
            }
            Step::Place(nth) => {
                let (at, answer) = self.office.place(nth);
                self.shards[usize::from(at)].answer(self.now, answer);
                self.hear(at);
            }
            Step::Act(nth) => {
                let act = self.scripts[nth].pop_front().expect("the script goes on");
                self.act(act);
            }
            Step::Travel(nth) => self.travel(nth),
        }
        self.check();
    }

    fn exchange(&mut self, at: u16) {
        let dispatch = &mut self.shards[usize::from(at)];
        let mut rings = Rings {
            me: at,
            capacity: self.setup.capacity,
            commands: &mut self.commands,
            deliveries: &mut self.deliveries,
            refused: &mut self.refused,
        };
        let done = dispatch.exchange(self.now, &mut rings);
        assert_eq!(done, self.is_idle(at), "exchange says whether all was sent");
        self.hear(at);
    }

    /// Whether an exchange would do nothing.
    pub(super) fn is_idle(&self, at: u16) -> bool {
        let dispatch = &self.shards[usize::from(at)];
        dispatch.busy_sides.is_empty()
            && dispatch.busy_homes.is_empty()
            && dispatch.outgoing.is_empty()
            && dispatch.strays.is_empty()
            && dispatch.next_expiry() > self.now
    }

    pub(super) fn view(&self, at: u16, room: usize) -> Option<(RoomKey, &View)> {
        let mut views = self.views[usize::from(at)].iter();
        views.find(|(_, view)| view.room == room).map(|(&key, view)| (key, view))
    }

    /// The home of a room, if it is here and may move.
    pub(super) fn movable(&self, at: u16, room: usize) -> Option<u32> {
        let dispatch = &self.shards[usize::from(at)];
        let name = &self.rooms[room];
        let homes = dispatch.movable_homes();
        homes.into_iter().find(|&home| dispatch.homes[home as usize].room == *name)
    }

    /// Takes whatever comes first until nothing is left to happen but what scripts say.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            // Turning, so that nobody is passed over for ever.
            let steps = self.enabled();
            if steps.is_empty() {
                return;
            }
            for step in steps {
                if self.is_enabled(step) {
                    self.take(step);
                }
            }
        }
        panic!("the world does not come to rest");
    }

    /// What holds at every step.
    fn check(&self) {
        let homes = self.shards.iter().flat_map(|dispatch| dispatch.homes.iter());
        let (mut open, mut terms) = (BTreeSet::new(), BTreeSet::new());
        for (_, home) in homes {
            assert!(terms.insert(home.term), "a term is one home's alone");
            if !matches!(home.phase, Phase::Forwarding { .. }) {
                assert!(open.insert(&home.room), "{:?} has two homes", home.room);
            }
        }
    }

    /// A hash of all that matters for what may happen from now on.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut text = String::with_capacity(1 << 14);
        for dispatch in &self.shards {
            let Dispatch { sides, homes, outgoing, awaiting, strays, .. } = dispatch;
            let busy = (&dispatch.busy_sides, &dispatch.busy_homes);
            let counts = (dispatch.id, dispatch.pin);
            write!(text, "{:?}", (sides, homes, outgoing, awaiting, strays, busy, counts))
                .expect("it fits");
        }
        let rings = (&self.commands, &self.deliveries);
        let hubs = (&self.views, &self.movers, &self.scripts);
        write!(text, "{:?}", (rings, hubs, &self.office, &self.reference)).expect("it fits");
        hash_but_for_serials(&text)
    }
}

/// Numbers of attachments only tell them apart: each counts as the nth that is met.
fn hash_but_for_serials(text: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    let mut serials = Vec::new();
    let mut parts = text.split("serial: ");
    hash.write(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (serial, rest) = part.split_at(end);
        let nth = serials.iter().position(|&known| known == serial).unwrap_or_else(|| {
            serials.push(serial);
            serials.len() - 1
        });
        hash.write_usize(nth);
        hash.write(rest.as_bytes());
    }
    hash.finish()
}

fn dispatch(setup: &Setup, me: ShardId) -> Dispatch {
    let mut dispatch = Dispatch::new(config(setup, me));
    // So that no two attachments of the world have the same number.
    dispatch.serial = u32::from(me.0) << 24;
    dispatch
}

fn config(setup: &Setup, me: ShardId) -> Config {
    let presence = setup.presence;
    let nothing = RoomPolicy { history: Retention::default(), presence };
    Config {
        me,
        seed: 7,
        sequencing: setup.sequencing,
        policies: vec![nothing, RoomPolicy { history: setup.history.clone(), presence }],
        limits: Limits {
            transit: setup.transit.clone(),
            pin_secs: if setup.remembers() { 1000 } else { 2 },
            unanswered_max: setup.unanswered_max,
            delivery_messages_max: setup.delivery_messages_max,
            ..Limits::default()
        },
    }
}

struct Rings<'a> {
    me: u16,
    capacity: usize,
    commands: &'a mut Ring<Command>,
    deliveries: &'a mut Ring<Delivery>,
    refused: &'a mut u64,
}

fn send<T>(ring: &mut VecDeque<T>, capacity: usize, refused: &mut u64, sent: T) -> Result<(), T> {
    if ring.len() >= capacity {
        *refused += 1;
        return Err(sent);
    }
    ring.push_back(sent);
    Ok(())
}

impl Post for Rings<'_> {
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        let ring = self.commands.entry((self.me, to.0)).or_default();
        send(ring, self.capacity, self.refused, command)
    }

    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        let ring = self.deliveries.entry((self.me, to.0)).or_default();
        send(ring, self.capacity, self.refused, delivery)
    }
}
