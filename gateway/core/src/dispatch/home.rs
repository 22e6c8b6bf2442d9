//! A home: where one room's messages get their offsets, and the shards that hear them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;

use gateway_faults::{buggify, sometimes};
use siphasher::sip::SipHasher13;
use slab::Slab;

use super::{Dispatch, Inquiry, RoomKey};
use crate::envelope::{Change, Command, Face, Link, Pin, RoomName, Term};
use crate::id::ShardId;
use crate::log::{Log, Retention};
use crate::message::{Batch, Meta, Words};
use crate::position::{Epoch, Offset, Position};
use crate::time::Tick;

use super::side::{Recovery, State};

/// Homes whose past is looked at in one turn because of its age.
const EXPIRIES_MAX: usize = 1024;

/// Whether the home sequences.
#[derive(Debug)]
pub(super) enum Phase {
    Open,
    /// It is about to move: what is published waits in order.
    Sealed {
        to: ShardId,
        /// The registry was asked.
        asked: bool,
        held: Vec<Arc<Batch>>,
    },
    /// It has moved: what still comes is forwarded.
    Forwarding {
        to: ShardId,
        term: Term,
    },
}

#[derive(Debug)]
pub(super) struct Home {
    pub(super) room: RoomName,
    pub(super) term: Term,
    pub(super) epoch: Epoch,
    /// The last offset given.
    pub(super) head: Offset,
    pub(super) phase: Phase,
    /// There while something may be asked for: a namespace's history, attached shards, pins.
    pub(super) log: Option<Box<Log>>,
    /// Whether the namespace keeps a history.
    pub(super) keeps: bool,
    /// The room's side on this shard.
    pub(super) side: Option<RoomKey>,
    /// Shards that hear the room, in no order.
    pub(super) shards: Vec<Listener>,
    /// Who forwards commands for an earlier term to this one.
    pub(super) forwarder: Option<ShardId>,
    pub(super) pins: Vec<Held>,
    /// Members that show themselves, by how many shards have them.
    pub(super) roster: BTreeMap<Face, u32>,
    /// Messages that the engine has not answered for, by ticket.
    pub(super) unsequenced: BTreeMap<u64, Arc<Batch>>,
    /// Messages that the engine has placed before their predecessor, by that.
    pub(super) early: BTreeMap<Offset, (Offset, Arc<Batch>)>,
    pub(super) busy: bool,
    /// Its entry among the expiries.
    pub(super) expiry: Tick,
}

/// A pin, and from where on the past is kept for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) pin: Pin,
    pub(super) offset: Offset,
    pub(super) until: Tick,
}

/// A shard that hears the room: served like a member that may be slow.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) shard: ShardId,
    /// Its attachment; nothing until it has attached to this home, which a home that has moved
    /// here waits for.
    pub(super) link: Option<Link>,
    /// Up to where it was told.
    pub(super) sent: Offset,
    /// It still has to hear that it is attached.
    pub(super) greet: bool,
    /// Its messages that were sequenced in what it will not be told.
    pub(super) answers: Vec<(u64, Offset)>,
    pub(super) asks: VecDeque<Asked>,
    /// Its members that show themselves.
    pub(super) roster: BTreeSet<Face>,
    /// Who came and went since it was last told; if there is `roster_whole` to tell, that instead.
    pub(super) changes: Vec<Change>,
    pub(super) roster_whole: bool,
    /// It was told that the home has moved.
    pub(super) dismissed: bool,
}

/// What a shard is to be answered once it was told everything before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Recover(Recovery),
    Pin(Pin),
}

impl Home {
    pub(super) fn new(room: RoomName, term: Term, position: Position, keeps: bool) -> Self {
        Self {
            room,
            term,
            epoch: position.epoch,
            head: position.offset,
            phase: Phase::Open,
            log: None,
            keeps,
            side: None,
            shards: Vec::new(),
            forwarder: None,
            pins: Vec::new(),
            roster: BTreeMap::new(),
            unsequenced: BTreeMap::new(),
            early: BTreeMap::new(),
            busy: false,
            expiry: Tick::NEVER,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn has_moved(&self) -> bool {
        matches!(self.phase, Phase::Forwarding { .. })
    }

    /// The next message's predecessor and offset, if messages get any here now.
    #[inline]
    pub(super) fn number(&mut self) -> Option<(Offset, Offset)> {
        if !self.is_open() {
            return None;
        }
        let prev = self.head;
        self.head = prev.next();
        Some((prev, self.head))
    }

    /// Remembers a message for those who may ask; whether anyone may.
    #[inline]
    pub(super) fn record(&mut self, now: Tick, meta: &Meta, words: Words<'_>) -> bool {
        if let Some(log) = &mut self.log {
            log.push(now, meta, words);
            return true;
        }
        if !self.keeps {
            return false;
        }
        let mut log = Box::new(Log::new(meta.prev));
        log.push(now, meta, words);
        self.log = Some(log);
        true
    }

    /// Remembers from now on.
    pub(super) fn observe(&mut self) {
        if self.log.is_none() {
            self.log = Some(Box::new(Log::new(self.head)));
        }
    }

    /// Whether everything after `since` is remembered.
    pub(super) fn reaches(&self, since: Offset) -> bool {
        since >= self.head || self.log.as_ref().is_some_and(|log| log.reaches(since))
    }

    /// After which offset everything is remembered.
    pub(super) fn base(&self) -> Offset {
        self.log.as_ref().map_or(self.head, |log| log.base())
    }

    /// Up to where every shard and every pin was told.
    fn unsent(&self) -> Offset {
        let shards = self.shards.iter().map(|listener| listener.sent);
        let pins = self.pins.iter().map(|held| held.offset);
        shards.chain(pins).min().unwrap_or(self.head).min(self.head)
    }

    /// Forgets what need not be remembered.
    pub(super) fn trim(&mut self, now: Tick, history: &Retention, transit: &Retention) {
        let pins = self.pins.len();
        self.pins.retain(|held| held.until > now);
        sometimes!(PinExpired, self.pins.len() < pins);
        let unsent = self.unsent();
        let (needed, epoch_open) = (self.is_needed(), self.is_open());
        let Some(log) = &mut self.log else { return };
        let shards = &mut self.shards;
        log.trim(now, history, unsent, transit, |lost| {
            let publisher = shards.iter_mut().find(|listener| listener.shard == lost.origin);
            if let Some(listener) = publisher.filter(|_| lost.id > 0)
                && lost.offset > listener.sent
            {
                sometimes!(AnsweredInGap);
                listener.answers.push((lost.id, lost.offset));
            }
        });
        if log.is_empty() && !needed && epoch_open {
            self.log = None;
        }
    }

    /// When something of it gets too old.
    fn next_expiry(&self, now: Tick, history: &Retention, transit: &Retention) -> Tick {
        if self.has_moved() {
            // It forgets nothing until it goes.
            return Tick::NEVER;
        }
        let kept = |kept| self.log.as_ref().map_or(Tick::NEVER, |log| log.next_expiry(kept));
        let mut next = kept(history);
        if next <= now {
            // It is too old, and still there for those who have not heard it.
            next = kept(transit);
        }
        let pins = self.pins.iter().map(|held| held.until).min();
        next.min(pins.unwrap_or(Tick::NEVER))
    }

    /// Whether someone may ask for what comes next.
    fn is_needed(&self) -> bool {
        !self.shards.is_empty() || !self.pins.is_empty()
    }

    /// Whether messages have no place yet.
    pub(super) fn awaits_engine(&self) -> bool {
        !self.unsequenced.is_empty() || !self.early.is_empty()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        self.is_open()
            && self.side.is_none()
            && !self.is_needed()
            && self.forwarder.is_none()
            && !self.awaits_engine()
            && self.log.as_ref().is_none_or(|log| log.is_empty())
    }
}

impl Listener {
    pub(super) fn new(shard: ShardId, sent: Offset) -> Self {
        Self {
            shard,
            link: None,
            sent,
            greet: false,
            answers: Vec::new(),
            asks: VecDeque::new(),
            roster: BTreeSet::new(),
            changes: Vec::new(),
            roster_whole: false,
            dismissed: false,
        }
    }

    /// Takes out the answers to what the shard was not told. If it has not heard the epoch, it has
    /// nothing under way, and they were for a side that is gone.
    pub(super) fn answers_after(&mut self, since: Option<Position>) -> Vec<(u64, Offset)> {
        let mut answers = std::mem::take(&mut self.answers);
        // What was refused has no offset, and is told nowhere else.
        let open = |offset, since: Position| offset == Offset::START || offset > since.offset;
        answers.retain(|&(_, offset)| since.is_some_and(|since| open(offset, since)));
        answers
    }
}

impl Dispatch {
    /// Founds a home for a room that has none.
    pub(super) fn found(&mut self, room: RoomName, term: Term) -> u32 {
        let position = self.first_position(term);
        let keeps = self.policy(&room).history.keeps();
        self.house(Home::new(room, term, position, keeps))
    }

    pub(super) fn first_position(&self, term: Term) -> Position {
        Position { epoch: epoch(self.config.seed, term), offset: Offset::START }
    }

    pub(super) fn house(&mut self, home: Home) -> u32 {
        let term = home.term;
        let index = u32::try_from(self.homes.insert(home)).expect("fewer rooms than memory");
        self.terms.insert(term, index);
        index
    }

    /// What comes to this shard as a home.
    pub(crate) fn command(&mut self, now: Tick, command: Command) {
        self.now = now;
        match command {
            Command::Attach(attach) => self.attach_shard(*attach),
            Command::Detach { from, term, link } => self.detach_shard(from, term, link),
            Command::Publish { term, batch } => {
                let home = self.home(term).expect("who publishes has attached and not detached");
                self.submit(home, batch);
            }
            Command::Recover { from, term, ask, since, pin } => {
                self.ask_listener(from, term, Asked::Recover(Recovery { ask, since, pin }));
            }
            Command::Pin { from, term, pin } => self.pin_for(from, term, pin),
            Command::Unpin { term, pin } => self.unpin_for(term, pin),
            Command::Presence { from, term, changes, whole } => {
                self.presence_of(from, term, &changes, whole);
            }
            Command::Fence { from, term } => self.fence(from, term),
            Command::Ship(shipment) => self.receive_shipment(*shipment),
        }
    }

    pub(super) fn home(&self, term: Term) -> Option<u32> {
        self.terms.get(&term).copied()
    }

    /// Looks at the pasts that have grown old, and at pins nobody came back for.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        // A crowd of rooms that grew old at once holds up no turn: the rest is as due in the next.
        for _ in 0..if buggify!(ExpiriesMany) { 1 } else { EXPIRIES_MAX } {
            let Some(&(tick, index)) = self.expiries.first().filter(|(tick, _)| *tick <= now)
            else {
                return;
            };
            self.expiries.remove(&(tick, index));
            let home = &mut self.homes[index as usize];
            home.expiry = Tick::NEVER;
            self.mark_home(index);
        }
    }

    /// Sees to it that the home is looked at again when something of it gets too old.
    pub(super) fn schedule(&mut self, index: u32) {
        let history = &self.policy(&self.homes[index as usize].room).history;
        let home = &mut self.homes[index as usize];
        let next = home.next_expiry(self.now, history, &self.config.limits.transit);
        if next != home.expiry {
            self.expiries.remove(&(home.expiry, index));
            home.expiry = next;
            if next != Tick::NEVER {
                self.expiries.insert((next, index));
            }
        }
    }

    /// Removes a home that nothing would be lost with.
    pub(super) fn retire_if_empty(&mut self, index: u32) -> bool {
        let home = &self.homes[index as usize];
        if !home.is_empty() {
            return false;
        }
        let (room, term) = (home.room.clone(), home.term);
        if let Some(key) = self.claiming(&room) {
            sometimes!(RetireOvertaken);
            // It asked while the home was here, and would be told so when it is gone.
            self.settle_here(key, index);
            return false;
        }
        self.remove_home(index);
        self.ask(Inquiry::Retire { room, term });
        true
    }

    /// The room's side here, if it asks for its home.
    pub(super) fn claiming(&self, room: &RoomName) -> Option<RoomKey> {
        let key = self.names.get(room.namespace, &room.name)?;
        (self.sides[key.index()].state == State::Claiming).then_some(key)
    }

    pub(super) fn remove_home(&mut self, index: u32) {
        let home = self.homes.remove(index as usize);
        self.terms.remove(&home.term);
        self.expiries.remove(&(home.expiry, index));
        if self.homes.is_empty() {
            // What a crowd of rooms has taken is given back when they are gone.
            self.homes = Slab::new();
        }
    }
}

/// An epoch that no other home of the node has, and that tells clients nothing of the seed, which
/// keys the hash of their rooms' names too.
fn epoch(seed: u64, term: Term) -> Epoch {
    let mut hasher = SipHasher13::new_with_keys(!seed, seed);
    hasher.write_u64(term.0);
    Epoch(hasher.finish())
}
