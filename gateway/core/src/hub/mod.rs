//! The hub: a shard's connections and rooms, as one state machine over events and time.
//!
//! [`handle`](Hub::handle) takes what happened and remembers what is to be said;
//! [`flush`](Hub::flush) says it, resumably; [`poll_effect`](Hub::poll_effect) tells the driver
//! what to do with sockets. A driver takes in new connections only when a flush is done.

mod arriving;
mod chatting;
mod closing;
mod conn;
mod conns;
mod controls;
mod deflation;
mod edge;
mod flush;
mod gathering;
mod hear;
mod inflation;
mod join;
mod moving;
mod offer;
mod orders;
mod overdue;
mod owing;
mod places;
#[cfg(feature = "probe")]
mod probing;
#[cfg(not(feature = "probe"))]
mod raw_only;
mod receive;
mod rounds;
mod speak;
mod waiting;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use gateway_faults::{self as faults, Mutant};

use crate::body::Store;
use crate::chunk::Span;
use crate::chunks::{Account, Chunks};
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::dispatch::{self, Dispatch, RoomKey};
use crate::envelope::{Pin, Post, RoomPolicy};
use crate::event::{CloseReason, Effect, Event};
use crate::handshake::Page;
use crate::hint::Hints;
use crate::id::{Author, ShardId};
use crate::lane::Skip;
use crate::lanes::Lanes;
use crate::limits::Limits;
use crate::middleware::Rate;
use crate::outbox::Outboxes;
use crate::route::{Kind, Route, Routes};
use crate::slot::Slot;
use crate::time::{Now, Tick};
use crate::transmit::Part;

#[cfg(feature = "probe")]
use probing as adapter;
#[cfg(not(feature = "probe"))]
use raw_only as adapter;

use chatting::News;
use closing::Drain;
use conn::{Conn, Role, Stage};
use conns::Conns;
use deflation::Deflation;
use edge::{Edges, Gone};
use gathering::Gathering;
use inflation::{Inflating, Inflation};
use moving::Evacuation;
use places::Extra;
use rounds::{Pending, Round};
use waiting::Slowed;

pub use crate::dispatch::Sequencing;
pub use flush::Flush;
pub use gathering::COALESCE_MICROS_MAX;
pub(crate) use gathering::GATHERED_BYTES_MAX;
pub(crate) use places::Known;

/// What becomes of a member that does not read as fast as its room speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MemberPolicy {
    /// It is closed with 1013: the half-sent frame is completed, later ones are dropped.
    #[default]
    Close,
    /// Whole frames that do not fit are dropped and counted; it stays.
    Lossy,
    /// As lossy, but from the first one that does not fit everything is dropped until half of what
    /// it may owe is taken; then it is told how many messages it missed, as a text frame
    /// `{"type":"gap","missed":n}`.
    Gap,
    /// As gap, but then it is sent the newest of the messages that it missed, and not told more.
    Latest,
}

/// What a plain `GET /` answers unless there is another page: what this is, and how to use it.
const PAGE: Page = Page {
    media_type: "text/plain; charset=utf-8",
    body: "\
Weir is a WebSocket gateway, and it is running.

  /            everyone connected here hears what the others say
  /ws/{room}   the same, per room
  /ws/chat/{room}   the same with a token, and you hear yourself
  /ws/simple   what you send comes back

Try it from two terminals:  npx wscat -c ws://<this address>/ws/lobby
",
};

impl Default for Page {
    fn default() -> Self {
        PAGE
    }
}

/// What a hub is made with.
#[derive(Clone, Default)]
pub struct Config {
    /// What a plain `GET /` answers.
    pub page: Page,
    /// The bounds.
    pub limits: Limits,
    /// What is served, and to whom.
    pub routes: Arc<Routes>,
    /// What becomes of slow members of rooms whose route does not say so itself.
    pub member_policy: MemberPolicy,
    /// Keys the hash of room names and the epochs of rooms: random in production, fixed in
    /// simulation, the same for all shards of a node.
    pub seed: u64,
    /// Where payloads of at least `store_bytes_min` are kept, if not on the heap.
    pub store: Option<Arc<dyn Store>>,
    /// Which shard it is, or nothing for a hub that is alone: it is the home of all its rooms and
    /// asks nobody.
    pub shard: Option<ShardId>,
    /// Who gives messages their offsets.
    pub sequencing: Sequencing,
    /// What is kept of rooms, by [`Namespace`](crate::route::Namespace); of those beyond the end
    /// nothing is.
    pub rooms: Vec<RoomPolicy>,
    /// Microseconds that what is said to a room may wait for more, 0 to [`COALESCE_MICROS_MAX`];
    /// what comes after a longer pause leaves at once. 0, the default, has nothing wait.
    pub coalesce_micros: u32,
}

/// A shard's connections and rooms.
pub struct Hub {
    config: Config,
    conns: Conns,
    deadlines: Deadlines,
    /// Until when what is half received is to be complete, or later.
    messages_due: Deadlines,
    /// How many control frames each may send.
    control_rate: Option<Rate>,
    hints: Hints,
    dispatch: Dispatch,
    lanes: Lanes,
    chunks: Chunks,
    /// Connections that wait for their room.
    joining: BTreeMap<RoomKey, Vec<Who>>,
    /// Recoveries under way, and who waits for one of them to end.
    recoveries: usize,
    askers: VecDeque<(Who, RoomKey)>,
    /// Connections that have just joined, whose first messages may wait.
    seated: VecDeque<Who>,
    /// Connections that are not read from because their room's messages wait.
    stalled: BTreeMap<RoomKey, Vec<Who>>,
    /// Connections that are leaving for another shard.
    leaving: Vec<Who>,
    /// Those of them whose room's past was asked to be kept.
    pins: BTreeMap<Pin, Who>,
    /// Where everything here is to go, if the shard is to be empty.
    evacuating: Option<Evacuation>,
    /// Who is not found by the slot it was born in: those from elsewhere, and those with names.
    authors: BTreeMap<Author, Vec<Slot>>,
    /// How members that chat are called.
    names: BTreeMap<Slot, Arc<str>>,
    /// What members of rooms have not been told of who is there, and when they are.
    news: BTreeMap<RoomKey, News>,
    news_due: VecDeque<(Tick, RoomKey)>,
    /// By route: payload bytes of a message.
    message_bytes_max: Vec<usize>,
    /// By route: what is asked about messages, if anything.
    edges: Edges,
    /// What deflates and inflates, and what those have cost whose messages were inflated.
    deflation: Deflation,
    inflating: Inflating,
    inflations: BTreeMap<Slot, Inflation>,
    /// What few connections have.
    extras: BTreeMap<Slot, Extra>,
    users: BTreeMap<Arc<str>, Vec<Slot>>,
    /// Connections that are read from more slowly, and when the next of them is read again.
    slowed: BTreeMap<Slot, Slowed>,
    slowed_until: Tick,
    /// Connections that have gone and whose handlers are to be told.
    gone: VecDeque<Gone>,
    /// Bytes that handlers have said since the last round began.
    handler_bytes: usize,
    /// Messages on their way to a home, by their number.
    unanswered: BTreeMap<u64, Unanswered>,
    /// What they cost, and who is not read from until that is less.
    underway_bytes: usize,
    congested: Vec<Who>,
    /// Counts the terms of a hub that is alone.
    terms: u64,
    /// What has been said since the round began.
    pending: Pending,
    /// What is said later, with more.
    gathering: Gathering,
    /// What the flush is saying.
    round: Round,
    /// Who owes to rooms, by how much they owed when they were last ranked.
    debts: BTreeSet<(usize, Reverse<Slot>)>,
    /// No echo is read from until echoes owe less.
    echoes_paused: bool,
    effects: VecDeque<Effect>,
    counters: Counters,
    /// Connections in slots, and how many of them are only here to hear 503.
    live: u32,
    refused: u32,
    /// Bytes of messages that are unfinished, or being inflated.
    inbound: usize,
    drain: Option<Drain>,
    /// Until when peers have time, since this shard was late itself.
    late_until: Tick,
    scratch: Scratch,
}

/// A connection, as long as it is in its slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Who {
    slot: Slot,
    generation: u32,
}

/// Whose message it is, and by which number it knows it.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    /// Nobody, if the program said it.
    who: Option<Who>,
    publish: Option<u64>,
    bytes: usize,
}

/// Memory that is used again instead of being allocated.
#[derive(Debug, Default)]
struct Scratch {
    cork: Vec<u8>,
    json: Vec<u8>,
    spans: Vec<Span>,
    parts: Vec<Part<'static>>,
    outboxes: Outboxes,
    skips: Vec<Vec<Skip>>,
    due: Vec<Slot>,
    broken: Vec<Slot>,
}

/// What is kept of rooms. Where people chat, they hear who is there.
fn policies(config: &Config) -> Vec<RoomPolicy> {
    let mut policies = config.rooms.clone();
    let chats = config.routes.iter().filter(|route| route.kind == Kind::Chat);
    for namespace in chats.filter_map(|route| route.namespace) {
        if policies.len() <= namespace.index() {
            policies.resize(namespace.index() + 1, RoomPolicy::default());
        }
        policies[namespace.index()].presence = true;
    }
    policies
}

/// Payload bytes of a message, by route: no more than the node allows.
fn message_bytes_max(config: &Config) -> Vec<usize> {
    let limit = config.limits.message_bytes_max;
    config.routes.iter().map(|route| route.message_bytes_max.min(limit)).collect()
}

impl Hub {
    /// An empty hub.
    ///
    /// # Panics
    /// If the bounds make no sense together, which [`Limits::check`] tells beforehand, or
    /// `coalesce_micros` is beyond its own.
    #[must_use]
    pub fn new(config: Config) -> Self {
        if let Err(why) = config.limits.check() {
            panic!("limits: {why}");
        }
        Self {
            conns: Conns::new(),
            deadlines: Deadlines::new(),
            messages_due: Deadlines::new(),
            control_rate: controls::rate(&config.limits),
            hints: Hints::new(
                config.seed,
                config.shard.unwrap_or_default(),
                config.limits.retry_secs_max,
            ),
            dispatch: Dispatch::new(dispatch::Config {
                me: config.shard.unwrap_or_default(),
                seed: config.seed,
                sequencing: config.sequencing,
                policies: policies(&config),
                limits: config.limits.clone(),
            }),
            lanes: Lanes::default(),
            joining: BTreeMap::new(),
            recoveries: 0,
            askers: VecDeque::new(),
            seated: VecDeque::new(),
            stalled: BTreeMap::new(),
            leaving: Vec::new(),
            pins: BTreeMap::new(),
            evacuating: None,
            authors: BTreeMap::new(),
            names: BTreeMap::new(),
            news: BTreeMap::new(),
            news_due: VecDeque::new(),
            message_bytes_max: message_bytes_max(&config),
            edges: edge::edges(config.routes.iter(), config.shard.unwrap_or_default()),
            deflation: Deflation::new(&config.limits),
            inflating: Inflating::default(),
            inflations: BTreeMap::new(),
            extras: BTreeMap::new(),
            users: BTreeMap::new(),
            slowed: BTreeMap::new(),
            slowed_until: Tick::NEVER,
            gone: VecDeque::new(),
            handler_bytes: 0,
            unanswered: BTreeMap::new(),
            underway_bytes: 0,
            congested: Vec::new(),
            terms: 0,
            chunks: Chunks::new(config.limits.turn_bytes_max),
            pending: Pending::default(),
            gathering: Gathering::new(config.coalesce_micros),
            round: Round::default(),
            debts: BTreeSet::new(),
            echoes_paused: false,
            effects: VecDeque::new(),
            counters: Counters::default(),
            live: 0,
            refused: 0,
            inbound: 0,
            drain: None,
            late_until: Tick(0),
            scratch: Scratch::default(),
            config,
        }
    }

    /// Takes in one event. What follows from it waits for [`flush`](Self::flush) and
    /// [`poll_effect`](Self::poll_effect).
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Accepted { slot } => self.accept(now, slot, None),
            Event::Refused { slot, full } => self.turn_away(now, slot, full),
            Event::Received { slot, bytes } => self.receive(now, slot, bytes),
            Event::Ended { slot } => self.handle_ended(now, slot),
            Event::Broken { slot } => self.release(slot, CloseReason::Reset),
            Event::Writable { slot } => {
                if self.conn(slot).is_some_and(Conn::owes) {
                    self.pending.retries.push(slot);
                }
            }
            Event::Tick => self.handle_tick(now),
            Event::Drain => self.handle_drain(now),
            Event::Answer(answer) => self.dispatch.answer(now.tick(), answer),
            Event::Authenticated { ticket, granted } => self.authenticated(now, ticket, granted),
            Event::Order(order) => self.carry_out(now, order),
            Event::Command(command) => self.dispatch.command(now.tick(), command),
            Event::Delivery(delivery) => self.dispatch.deliver(now.tick(), delivery),
            Event::Thawed { slot, frozen } => self.thaw(now, slot, *frozen),
            Event::Move { slot, to } => self.start_leaving(slot, to),
            Event::Migrate { to, homes_max } => self.migrate(to, homes_max),
            Event::Evacuate { to } => self.evacuate(to),
            Event::Dismiss { to } => self.dismiss(now, to),
        }
        self.hear(now);
    }

    /// Sends what is for other shards, as far as their rings take it. Whether all of it was sent.
    ///
    /// A driver calls it in each turn after the events and before the flush.
    pub fn exchange(&mut self, now: Now, post: &mut impl Post) -> bool {
        self.prepare_departures(now);
        let done = self.dispatch.exchange(now.tick(), post);
        self.hear(now);
        done
    }

    /// The next thing for the driver to do, in order; `None` when there is nothing.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to say [`Event::Tick`], at the latest; `None` while no deadline is set.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Now> {
        let next = self.dispatch.next_expiry().min(self.conns.looks_at());
        let next = next.min(self.evacuation_resumes()).min(self.news_due());
        let next = next.min(self.drain_resumes()).min(self.slowed_until);
        let next = next.min(self.inflating.resumes()).min(self.chunks.looks_at());
        let next = next.start().min(self.deadlines.next()).min(self.messages_due.next());
        let next = next.min(self.gathering.next());
        (next != Tick::NEVER.start()).then_some(next)
    }

    /// Whether the node goes: nobody is let in any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Which shard it is; the first one if it is alone.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.config.shard.unwrap_or_default()
    }

    /// Whether the slot holds a connection.
    #[must_use]
    pub fn is_live(&self, slot: Slot) -> bool {
        self.conn(slot).is_some()
    }

    /// Whether the slot holds a connection that is read from now. One whose room's messages wait
    /// for a ring is not, from this moment on.
    #[must_use]
    pub fn may_read(&mut self, slot: Slot) -> bool {
        let Some(conn) = self.conn(slot).filter(|conn| conn.reads) else { return false };
        if conn.stage == Stage::Closing {
            return true;
        }
        if faults::is(Mutant::SlowHoldsAll) && !self.debts.is_empty() {
            return false;
        }
        let full = self.underway_bytes > self.config.limits.underway_bytes_max;
        let lane = match conn.role {
            Role::Member { lane, .. } => lane,
            Role::Handled if full => {
                self.congest(slot);
                return false;
            }
            Role::Handled | Role::Waiting { .. } | Role::Echo | Role::Nothing => return true,
        };
        let room = self.lanes.lane(lane).room;
        if self.dispatch.is_stalled(room) {
            self.stall(slot, room);
            return false;
        }
        if full && self.dispatch.publishes_later(room) {
            self.congest(slot);
            return false;
        }
        true
    }

    /// Bytes charged for messages on their way to homes.
    #[must_use]
    pub fn underway_bytes(&self) -> usize {
        self.underway_bytes
    }

    /// Connections in slots, refused ones included.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Rooms that have members here, or are still owed something.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.dispatch.rooms()
    }

    /// Rooms whose home is here, those that have just moved away included.
    #[must_use]
    pub fn homes(&self) -> usize {
        self.dispatch.homes()
    }

    /// Messages of this shard that wait for a ring.
    #[must_use]
    pub fn commands_waiting(&self) -> usize {
        self.dispatch.waiting()
    }

    /// Buffers for other shards: used again, and made because there was none.
    #[must_use]
    pub fn pool_counts(&self) -> (u64, u64) {
        self.dispatch.pool_counts()
    }

    /// Whether nothing is here any more. What was said last may still have to be
    /// [exchanged](Self::exchange).
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.live == 0 && self.dispatch.rooms() == 0 && self.dispatch.is_homeless()
    }

    /// Bytes of memory kept for members that owe, each shared chunk once.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.chunks.charged(Account::Rooms)
    }

    /// The same for echoes.
    #[must_use]
    pub fn echo_bytes(&self) -> usize {
        self.chunks.charged(Account::Echoes)
    }

    /// Chunks kept because somebody owes from them.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of memory kept for unfinished requests and messages.
    #[must_use]
    pub fn inbound_bytes(&self) -> usize {
        self.inbound
    }

    /// What has been counted since the hub was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The bounds it keeps.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// What it serves.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.config.routes
    }

    fn who(&self, slot: Slot) -> Who {
        Who { slot, generation: self.conns[slot.index()].generation }
    }

    /// The connection, if it is still in its slot.
    fn present(&self, who: Who) -> Option<&Conn> {
        self.conn(who.slot).filter(|conn| conn.generation == who.generation)
    }

    /// The connection in a slot that is in use.
    fn conn(&self, slot: Slot) -> Option<&Conn> {
        self.conns.get(slot.index()).filter(|conn| conn.stage != Stage::Free)
    }

    /// By which rules the connection came.
    #[inline]
    fn route(&self, slot: Slot) -> &Route {
        self.config.routes.get(self.conns[slot.index()].route)
    }
}
