//! The hub: a shard's connections and rooms, as one state machine over events and time.
//!
//! [`handle`](Hub::handle) takes what happened and remembers what is to be said;
//! [`flush`](Hub::flush) says it, resumably; [`poll_effect`](Hub::poll_effect) tells the driver
//! what to do with sockets. A driver takes in new connections only when a flush is done.

mod closing;
mod conn;
mod flush;
mod offer;
mod owing;
mod receive;
mod rounds;

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::body::Store;
use crate::chunk::Span;
use crate::chunks::{Account, Chunks};
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::event::{CloseReason, Effect, Event};
use crate::lane::Skip;
use crate::limits::Limits;
use crate::rooms::Rooms;
use crate::slot::Slot;
use crate::time::{Now, Tick};

use conn::{Conn, Role, Stage};
use rounds::{Pending, Round};

pub use flush::Flush;

/// What becomes of a member that does not read as fast as its room speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MemberPolicy {
    /// It is closed with 1013: the half-sent frame is completed, later ones are dropped.
    #[default]
    Close,
    /// Whole frames that do not fit are dropped and counted; it stays.
    Lossy,
}

/// What a hub is made with.
#[derive(Clone, Default)]
pub struct Config {
    /// The bounds.
    pub limits: Limits,
    /// What becomes of slow members of rooms.
    pub member_policy: MemberPolicy,
    /// Keys the hash of room names: random in production, fixed in simulation.
    pub hash_seed: u64,
    /// Where payloads of at least `share_bytes_min` are kept, if not on the heap.
    pub store: Option<Arc<dyn Store>>,
}

/// A shard's connections and rooms.
pub struct Hub {
    config: Config,
    conns: Vec<Conn>,
    deadlines: Deadlines,
    rooms: Rooms,
    chunks: Chunks,
    /// What has been said since the round began.
    pending: Pending,
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
    /// Bytes of unfinished messages.
    inbound: usize,
    draining: bool,
    scratch: Scratch,
}

/// Memory that is used again instead of being allocated.
#[derive(Debug, Default)]
struct Scratch {
    cork: Vec<u8>,
    spans: Vec<Span>,
    skips: Vec<Vec<Skip>>,
    due: Vec<Slot>,
    broken: Vec<Slot>,
}

impl Hub {
    /// An empty hub.
    ///
    /// # Panics
    /// If the bounds make no sense together, which [`Limits::check`] tells beforehand.
    #[must_use]
    pub fn new(config: Config) -> Self {
        if let Err(why) = config.limits.check() {
            panic!("limits: {why}");
        }
        Self {
            conns: Vec::new(),
            deadlines: Deadlines::new(),
            rooms: Rooms::new(config.hash_seed),
            chunks: Chunks::new(config.limits.turn_bytes_max),
            pending: Pending::default(),
            round: Round::default(),
            debts: BTreeSet::new(),
            echoes_paused: false,
            effects: VecDeque::new(),
            counters: Counters::default(),
            live: 0,
            refused: 0,
            inbound: 0,
            draining: false,
            scratch: Scratch::default(),
            config,
        }
    }

    /// Takes in one event. What follows from it waits for [`flush`](Self::flush) and
    /// [`poll_effect`](Self::poll_effect).
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Accepted { slot } => self.accept(now, slot),
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
        }
    }

    /// The next thing for the driver to do, in order; `None` when there is nothing.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to say [`Event::Tick`], at the latest; `None` while no deadline is set.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Now> {
        let next = self.deadlines.next();
        (next != Tick::NEVER).then(|| next.start())
    }

    /// Whether the slot holds a connection.
    #[must_use]
    pub fn is_live(&self, slot: Slot) -> bool {
        self.conn(slot).is_some()
    }

    /// Whether the slot holds a connection that is read from now.
    #[must_use]
    pub fn reads(&self, slot: Slot) -> bool {
        self.conn(slot).is_some_and(|conn| conn.reads)
    }

    /// Connections in slots, refused ones included.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Rooms that have members.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
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

    fn accept(&mut self, now: Now, slot: Slot) {
        let limits = &self.config.limits;
        while self.conns.len() <= slot.index() {
            self.conns.push(Conn::free(0));
        }
        assert_eq!(self.conns[slot.index()].stage, Stage::Free, "an accepted slot was free");
        self.counters.accepted += 1;
        let refused = self.draining || self.live - self.refused >= limits.connections_max;
        if refused && self.refused >= limits.refusals_max {
            let reason = CloseReason::Overloaded;
            self.counters.closed[reason.index()] += 1;
            return self.effects.push_back(Effect::Release { slot, reason });
        }
        self.deadlines.set(slot, now.tick().after_secs(limits.handshake_secs));
        let conn = &mut self.conns[slot.index()];
        conn.stage = Stage::Upgrading;
        conn.refused = refused;
        self.live += 1;
        self.refused += u32::from(refused);
    }

    /// The connection in a slot that is in use.
    fn conn(&self, slot: Slot) -> Option<&Conn> {
        self.conns.get(slot.index()).filter(|conn| conn.stage != Stage::Free)
    }

    /// Tells the driver if the readiness that matters has changed.
    fn update_interest(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let owes = conn.owes();
        // An echo is never closed for slowness: what it has not taken back, it may not add to.
        let open_echo = conn.echoes && conn.stage == Stage::Open;
        let full = open_echo && (owes || self.echoes_paused);
        let (read, write) = (!conn.ended && !full, owes);
        if (read, write) != (conn.reads, conn.writes) {
            (conn.reads, conn.writes) = (read, write);
            self.effects.push_back(Effect::Interest { slot, read, write });
        }
    }
}
