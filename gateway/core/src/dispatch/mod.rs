//! The dispatcher: the rooms this shard hears, the rooms it is home of, and the words in between.
//!
//! It is a state machine of its own beneath the hub and knows no connection, only how many members
//! a room has here. `exchange` empties it into the rings;
//! `poll` tells the hub what its members hear, in order.
//!
//! A room's *home* (`home.rs`) sequences its messages and serves the shards attached to it from its
//! log. A room's *side* on each shard (`side.rs`) forwards what is published here and keeps the
//! position up to which its members were told. The home's own side is attached without rings.

mod attach;
mod follow;
mod forward;
mod home;
mod migrate;
mod names;
mod pool;
mod presence;
mod sequence;
mod serve;
mod side;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

use crate::envelope::{Attach, Change, Command, Delivery, Pin, Post, RoomName, RoomPolicy, Term};
use crate::id::ShardId;
use crate::limits::Limits;
use crate::message::Batch;
use crate::position::{Offset, Position};
use crate::thrift::Thrift;
use crate::time::Tick;

use home::Home;
use names::Names;
use pool::Pool;
use side::Side;

/// Names a room of this shard as long as it has members here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct RoomKey(pub(crate) u32);

impl RoomKey {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who gives messages their offsets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sequencing {
    /// The home itself, within the turn.
    #[default]
    Local,
    /// An engine: an effect asks it, an event brings its answer, late, in any order, with holes.
    Engine,
}

/// What a dispatcher is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) me: ShardId,
    pub(crate) seed: u64,
    pub(crate) sequencing: Sequencing,
    /// By namespace; a namespace beyond the end has the default, which keeps nothing.
    pub(crate) policies: Vec<RoomPolicy>,
    pub(crate) limits: Limits,
}

/// What became of a message that somebody here published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Published {
    /// It is sequenced, and to be told to the members here at once.
    Said { prev: Offset, position: Position },
    /// It is under way; what is told of it later carries this number.
    Waits { id: u64 },
}

/// Something for the hub, in the order in which members are to hear of it.
#[derive(Debug)]
pub(crate) enum Told {
    /// Who waits to join may: the room is heard from its position on.
    Ready { room: RoomKey },
    /// Messages for the members here. With `numbered` their offsets count on from it, whatever
    /// they say themselves.
    Said { room: RoomKey, batch: Arc<Batch>, numbered: Option<Offset> },
    /// What was said up to the room's new position is lost for members here: so many messages, or
    /// fewer if an engine left holes.
    Gap { room: RoomKey, position: Position, missed: u64 },
    /// The room begins anew, in another epoch.
    Reset { room: RoomKey, position: Position },
    /// A message published here was sequenced within a gap; or refused, without an offset.
    Answered { room: RoomKey, id: u64, offset: Offset },
    /// What came after a position, up to `at`, where the room was then. What is told behind it may
    /// have taken the room further since.
    Recovered { room: RoomKey, ask: u64, batch: Arc<Batch>, complete: bool, at: Position },
    /// The room's past is kept for this pin.
    Pinned { pin: Pin },
    /// A member came or went.
    Present { room: RoomKey, change: Change },
    /// What waited is under way: publishers may go on.
    Flowing { room: RoomKey },
    /// A question to the registry or the engine.
    Inquiry(Inquiry),
}

/// What a shard asks of the registry and of the engine. Each claim, migration and
/// confirmation is answered once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inquiry {
    /// Who is the home of this room? Whoever asks first may become it.
    Claim {
        /// Which room.
        room: RoomName,
    },
    /// This home is no more. Needs no answer.
    Retire {
        /// Of which room.
        room: RoomName,
        /// Its term.
        term: Term,
    },
    /// The home wants to move.
    Migrate {
        /// Of which room.
        room: RoomName,
        /// Its term until now.
        term: Term,
        /// To which shard.
        to: ShardId,
    },
    /// A shard attaches to a home that is not here: is it to be here, or was it?
    Confirm {
        /// Of which room.
        room: RoomName,
        /// The home's term.
        term: Term,
    },
    /// The engine is to give this message an offset.
    Sequence {
        /// Of which room.
        room: RoomName,
        /// Of which home.
        term: Term,
        /// Comes back with the answer.
        ticket: u64,
    },
}

/// What the registry and the engine answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Inquiry::Claim`].
    Claimed {
        /// Which room.
        room: RoomName,
        /// Its home.
        home: ShardId,
        /// The home's term.
        term: Term,
        /// Whether it became the home by this claim.
        fresh: bool,
    },
    /// To [`Inquiry::Migrate`].
    Migrated {
        /// The home's term until now.
        term: Term,
        /// The next home's, or `None` if the registry did not agree.
        next: Option<Term>,
    },
    /// To [`Inquiry::Confirm`].
    Confirmed {
        /// The home's term.
        term: Term,
        /// Whether the room's home is this shard, under this term.
        here: bool,
    },
    /// To [`Inquiry::Sequence`]: the message's place, in any order.
    Sequenced {
        /// Of which home.
        term: Term,
        /// Which message.
        ticket: u64,
        /// Its predecessor and its offset, or `None` if the engine refused it.
        place: Option<(Offset, Offset)>,
    },
}

/// One shard's part of all rooms.
#[derive(Debug)]
pub(crate) struct Dispatch {
    config: Config,
    names: Names,
    sides: Slab<Side>,
    sides_thrift: Thrift,
    homes: Slab<Home>,
    homes_thrift: Thrift,
    terms: BTreeMap<Term, u32>,
    /// Counts attachments, messages that wait for their answer, and pins.
    serial: u32,
    id: u64,
    pin: u64,
    /// Sides and homes that have something to send, each once.
    busy_sides: Vec<RoomKey>,
    busy_homes: Vec<u32>,
    /// Commands that are sent in order, before any publish to the same shard.
    outgoing: BTreeMap<ShardId, VecDeque<Command>>,
    /// Attachments that have come before the shipment of their home, by its term.
    awaiting: BTreeMap<Term, Vec<Attach>>,
    /// Deliveries that belong to no attachment.
    strays: VecDeque<(ShardId, Delivery)>,
    /// Shards that took no more deliveries in this exchange: nothing is copied for them again.
    full: BTreeSet<ShardId>,
    /// What was copied for such a shard last, of which home, and from where on.
    refused: BTreeMap<ShardId, (Term, Offset, Arc<Batch>)>,
    told: VecDeque<Told>,
    /// When each home with a past has to look at it, at the latest.
    expiries: BTreeSet<(Tick, u32)>,
    /// Messages that no home has been given yet.
    unsent: usize,
    pool: Pool,
    /// The tick of the latest call.
    now: Tick,
}

impl Dispatch {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            names: Names::new(config.seed),
            sides: Slab::new(),
            sides_thrift: Thrift::default(),
            homes: Slab::new(),
            homes_thrift: Thrift::default(),
            terms: BTreeMap::new(),
            serial: 0,
            id: 0,
            pin: 0,
            busy_sides: Vec::new(),
            busy_homes: Vec::new(),
            outgoing: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            strays: VecDeque::new(),
            full: BTreeSet::new(),
            refused: BTreeMap::new(),
            told: VecDeque::new(),
            expiries: BTreeSet::new(),
            unsent: 0,
            pool: Pool::default(),
            now: Tick(0),
            config,
        }
    }

    /// Whether there is anything for the hub.
    #[inline]
    pub(crate) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// The next thing for the hub.
    #[inline]
    pub(crate) fn poll(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Sends what is to be sent, as far as the rings take it. Whether all of it was.
    pub(crate) fn exchange(&mut self, now: Tick, post: &mut impl Post) -> bool {
        self.now = now;
        self.expire();
        // Homes leave before their shards are told where they have gone.
        self.send_outgoing(post);
        self.flush_sides(post);
        self.serve_homes(post);
        self.send_outgoing(post);
        self.send_strays(post);
        self.outgoing.is_empty()
            && self.strays.is_empty()
            && self.busy_sides.is_empty()
            && self.busy_homes.is_empty()
    }

    /// What the registry or the engine says.
    pub(crate) fn answer(&mut self, now: Tick, answer: Answer) {
        self.now = now;
        match answer {
            Answer::Claimed { room, home, term, fresh } => {
                self.claimed(&room, home, term, fresh);
            }
            Answer::Migrated { term, next } => self.migrated(term, next),
            Answer::Confirmed { term, here } => self.confirmed(term, here),
            Answer::Sequenced { term, ticket, place } => {
                self.sequenced(term, ticket, place);
            }
        }
    }

    /// Homes here, those that only forward included.
    pub(crate) fn homes(&self) -> usize {
        self.homes.len()
    }

    /// Commands that wait for rings.
    pub(crate) fn backlog(&self) -> usize {
        self.outgoing.values().map(VecDeque::len).sum()
    }

    /// Whether no room has its home here, or is awaited.
    pub(crate) fn is_homeless(&self) -> bool {
        self.homes.is_empty() && self.awaiting.is_empty()
    }

    /// Rooms that have members here, or are still owed something.
    pub(crate) fn rooms(&self) -> usize {
        self.sides.len()
    }

    /// Messages published here and not yet under way.
    pub(crate) fn waiting(&self) -> usize {
        self.unsent
    }

    /// Buffers used again, and buffers made because there was none.
    pub(crate) fn pool_counts(&self) -> (u64, u64) {
        self.pool.counts()
    }

    /// Gives back what a crowd of rooms took that has gone.
    pub(crate) fn trim(&mut self, now: Tick) {
        self.sides_thrift.trim(now, &mut self.sides);
        self.homes_thrift.trim(now, &mut self.homes);
    }

    /// When something is to be looked at although nothing happens.
    pub(crate) fn next_expiry(&self) -> Tick {
        self.expiries.first().map_or(Tick::NEVER, |&(tick, _)| tick)
    }

    fn policy(&self, room: &RoomName) -> RoomPolicy {
        self.config.policies.get(room.namespace.index()).cloned().unwrap_or_default()
    }

    fn presence(&self, room: &RoomName) -> bool {
        self.config.policies.get(room.namespace.index()).is_some_and(|policy| policy.presence)
    }

    fn queue(&mut self, to: ShardId, command: Command) {
        assert_ne!(to, self.config.me, "a shard sends itself nothing");
        self.outgoing.entry(to).or_default().push_back(command);
    }

    fn send_outgoing(&mut self, post: &mut impl Post) {
        self.outgoing.retain(|&to, commands| {
            while let Some(command) = commands.pop_front() {
                if let Err(command) = post.command(to, command) {
                    commands.push_front(command);
                    break;
                }
            }
            !commands.is_empty()
        });
    }

    fn send_strays(&mut self, post: &mut impl Post) {
        for _ in 0..self.strays.len() {
            let Some((to, stray)) = self.strays.pop_front() else { return };
            if let Err(stray) = post.deliver(to, stray) {
                self.strays.push_back((to, stray));
            }
        }
    }

    fn mark_side(&mut self, room: RoomKey) {
        let side = &mut self.sides[room.index()];
        if !std::mem::replace(&mut side.busy, true) {
            self.busy_sides.push(room);
        }
    }

    fn mark_home(&mut self, index: u32) {
        let home = &mut self.homes[index as usize];
        if !std::mem::replace(&mut home.busy, true) {
            self.busy_homes.push(index);
        }
    }

    fn ask(&mut self, inquiry: Inquiry) {
        self.told.push_back(Told::Inquiry(inquiry));
    }
}
