//! A room's side on one shard: where its home is, and up to where the members here were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};
use slab::Slab;

use super::{Dispatch, Inquiry, Published, RoomKey, Sequencing, Told};
use crate::envelope::{Change, Command, Delivery, Face, Link, Pin, RoomName, Term};
use crate::frame::Kind;
use crate::id::{Author, ShardId};
use crate::message::{Batch, Meta, Words};
use crate::position::{Epoch, Offset, Position};
use crate::route::Namespace;
use crate::time::Tick;

/// How far a side has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The registry was asked who the home is.
    Claiming,
    /// The home was asked for the room.
    Attaching { home: ShardId, term: Term },
    /// The home delivers.
    Live { home: ShardId, term: Term },
    /// The home is on this shard.
    Here { home: u32 },
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) room: RoomName,
    pub(super) state: State,
    /// Names the present attachment; deliveries of any other one are dropped.
    pub(super) serial: u32,
    /// Up to where members here were told, if anything was ever `heard`.
    pub(super) position: Position,
    pub(super) heard: bool,
    pub(super) members: u32,
    /// Members on the home's shard when this one attached.
    pub(super) population: u32,
    /// Messages under way to the home.
    pub(super) unanswered: u32,
    /// Messages that the ring has not taken yet.
    pub(super) waiting: Option<Arc<Batch>>,
    pub(super) busy: bool,
    pub(super) stalled: bool,
    /// The home has moved: until all that went to the old one is answered nothing goes to the
    /// new one, or a publisher's messages could overtake each other.
    pub(super) switching: bool,
    /// Questions not answered yet, to be asked again of the next home.
    pub(super) asks: Vec<Recovery>,
    pub(super) pins: Vec<Pin>,
    /// Members here that show themselves, by how many connections they have.
    pub(super) roster: BTreeMap<Face, u32>,
    /// All members that show themselves, as the home has told.
    pub(super) present: BTreeSet<Face>,
    /// What the home has not been told of the roster.
    pub(super) changes: Vec<Change>,
}

/// A question for what came after a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) ask: u64,
    pub(super) since: Position,
    pub(super) pin: Option<Pin>,
}

impl Dispatch {
    /// One more member of a room; whether it may join at once, or has to wait for
    /// [`Told::Ready`].
    pub(crate) fn enter(&mut self, namespace: Namespace, name: &str) -> (RoomKey, bool) {
        if let Some(room) = self.names.get(namespace, name) {
            let side = &mut self.sides[room.index()];
            side.members += 1;
            return (room, matches!(side.state, State::Live { .. } | State::Here { .. }));
        }
        let room = RoomName { namespace, name: name.into() };
        let side = Side::new(room.clone());
        let index = self.sides.insert(side);
        let key = RoomKey(u32::try_from(index).expect("fewer rooms than connections"));
        self.names.insert(&room, key);
        self.ask(Inquiry::Claim { room });
        (key, false)
    }

    /// One member less. The room goes with its last one, as soon as nothing is owed to it.
    pub(crate) fn leave(&mut self, room: RoomKey) {
        let side = &mut self.sides[room.index()];
        side.members = side.members.checked_sub(1).expect("who leaves had entered");
        self.close_if_empty(room);
    }

    /// The room of this name, if anyone here is in it.
    pub(crate) fn find(&self, namespace: Namespace, name: &str) -> Option<RoomKey> {
        self.names.get(namespace, name)
    }

    /// Where members here are.
    pub(crate) fn position(&self, room: RoomKey) -> Position {
        self.sides[room.index()].position
    }

    /// The epoch of the room, as long as it is known here.
    pub(crate) fn epoch(&self, room: RoomKey) -> Option<Epoch> {
        self.sides.get(room.index()).map(|side| side.position.epoch)
    }

    /// The room's home, if it is another shard, and how many members that one has itself.
    pub(crate) fn elsewhere(&self, room: RoomKey) -> Option<(ShardId, u32)> {
        // Everyone who waited may have gone, and the room with them.
        let side = self.sides.get(room.index())?;
        match side.state {
            State::Live { home, .. } => Some((home, side.population)),
            State::Claiming | State::Attaching { .. } | State::Here { .. } => None,
        }
    }

    /// Members here, those that wait to join included.
    pub(crate) fn population(&self, room: RoomKey) -> u32 {
        self.sides[room.index()].members
    }

    pub(crate) fn name(&self, room: RoomKey) -> &RoomName {
        &self.sides[room.index()].room
    }

    /// Whether messages of this room wait for a ring: then its publishers are not read from.
    #[inline]
    pub(crate) fn is_stalled(&self, room: RoomKey) -> bool {
        self.sides[room.index()].stalled
    }

    /// Whether what is published here is numbered in another turn, elsewhere or by an engine.
    #[inline]
    pub(crate) fn publishes_later(&self, room: RoomKey) -> bool {
        let here = matches!(self.sides[room.index()].state, State::Here { .. });
        !here || self.config.sequencing == Sequencing::Engine
    }

    /// Publishes a message. What the home sequences in this turn is told here at once.
    pub(crate) fn publish(
        &mut self,
        now: Tick,
        room: RoomKey,
        author: Author,
        kind: Kind,
        words: Words<'_>,
    ) -> Published {
        let side = &mut self.sides[room.index()];
        if let State::Here { home } = side.state
            && self.config.sequencing == Sequencing::Local
            && side.unanswered == 0
            && side.waiting.is_none()
            && let Some((prev, offset)) = self.homes[home as usize].number()
        {
            side.position.offset = offset;
            let position = side.position;
            let origin = self.config.me;
            let meta = Meta { prev, offset, author, origin, id: 0, kind };
            if self.homes[home as usize].record(now, &meta, words) {
                self.mark_home(home);
            }
            let wrong = u64::from(faults::is(Mutant::WrongPrev));
            return Published::Said { prev: Offset(prev.0.saturating_sub(wrong)), position };
        }
        if faults::is(Mutant::WrongShard) && matches!(side.state, State::Live { .. }) {
            let (prev, epoch) = (side.position.offset, side.position.epoch);
            return Published::Said { prev, position: Position { epoch, offset: prev.next() } };
        }
        self.id += 1;
        let (prev, offset, origin, id) = (Offset::START, Offset::START, self.config.me, self.id);
        self.unsent += 1;
        let batch = side.waiting.get_or_insert_with(|| self.pool.take());
        let batch = Arc::get_mut(batch).expect("what waits is not shared yet");
        batch.push(Meta { prev, offset, author, origin, id, kind }, words);
        self.mark_side(room);
        Published::Waits { id }
    }

    /// Asks for what came after `since`; [`Told::Recovered`] brings it, with the same `ask`.
    /// Releases the pin.
    pub(crate) fn recover(&mut self, room: RoomKey, ask: u64, since: Position, pin: Option<Pin>) {
        self.sides[room.index()].asks.push(Recovery { ask, since, pin });
        self.ask_home(room, self.sides[room.index()].asks.len() - 1);
    }

    /// Keeps the room's past from now on, for a connection that is about to leave this shard.
    /// [`Told::Pinned`] says that it is kept.
    pub(crate) fn pin(&mut self, now: Tick, room: RoomKey) -> Pin {
        self.now = now;
        self.pin += 1;
        let pin = Pin(u64::from(self.config.me.0) << 48 | self.pin);
        let side = &mut self.sides[room.index()];
        match side.state {
            State::Here { home } => {
                self.pin_here(home, pin);
                self.told.push_back(Told::Pinned { pin });
            }
            State::Live { home, term } => {
                side.pins.push(pin);
                let from = self.config.me;
                self.queue(home, Command::Pin { from, term, pin });
            }
            State::Claiming | State::Attaching { .. } => side.pins.push(pin),
        }
        pin
    }

    /// The connection that the pin was for has ended.
    pub(crate) fn unpin(&mut self, room: RoomKey, pin: Pin) {
        let side = &mut self.sides[room.index()];
        // It is not asked for again of the next home.
        side.pins.retain(|&asked| asked != pin);
        match side.state {
            State::Here { home } => self.unpin_here(home, pin),
            State::Live { home, term } => self.queue(home, Command::Unpin { term, pin }),
            // It will be released by its age.
            State::Claiming | State::Attaching { .. } => {}
        }
        self.close_if_empty(room);
    }

    /// What a home says to this shard.
    pub(crate) fn deliver(&mut self, now: Tick, delivery: Delivery) {
        self.now = now;
        let link = delivery.link();
        let room = RoomKey(link.room);
        let stale = faults::is(Mutant::StaleLink);
        let is_current = |side: &Side| side.serial == link.serial || stale;
        if !self.sides.get(room.index()).is_some_and(is_current) {
            sometimes!(LateDelivery);
            // Of an attachment that has ended.
            return;
        }
        match delivery {
            Delivery::Attached { term, position, population, .. } => {
                self.attached(room, term, position, population);
            }
            Delivery::NotHome { .. } => self.claim_again(room),
            Delivery::Said { batch, .. } => self.said(room, batch, None),
            Delivery::Gap { position, .. } => {
                let before = std::mem::replace(&mut self.sides[room.index()].position, position);
                let missed = position.offset.0 - before.offset.0;
                self.told.push_back(Told::Gap { room, position, missed });
            }
            Delivery::Answers { answers, .. } => {
                for (id, offset) in answers {
                    self.told.push_back(Told::Answered { room, id, offset });
                    self.answered(room, 1);
                }
            }
            Delivery::Recovered { ask, batch, complete, .. } => {
                self.sides[room.index()].asks.retain(|asked| asked.ask != ask);
                let at = self.sides[room.index()].position;
                self.told.push_back(Told::Recovered { room, ask, batch, complete, at });
            }
            Delivery::Pinned { pin, .. } => {
                self.sides[room.index()].pins.retain(|&asked| asked != pin);
                self.told.push_back(Told::Pinned { pin });
            }
            Delivery::Presence { changes, whole, .. } => self.presence_told(room, changes, whole),
            Delivery::Moved { to, term, .. } => self.switch(room, to, term),
        }
        self.close_if_empty(room);
    }

    /// Asks the home again what it has not answered.
    pub(super) fn ask_all(&mut self, room: RoomKey) {
        for index in (0..self.sides[room.index()].asks.len()).rev() {
            self.ask_home(room, index);
        }
        for pin in std::mem::take(&mut self.sides[room.index()].pins) {
            self.pin_again(room, pin);
        }
    }

    fn ask_home(&mut self, room: RoomKey, index: usize) {
        let side = &mut self.sides[room.index()];
        let Recovery { ask, since, pin } = side.asks[index];
        match side.state {
            State::Here { home } => {
                side.asks.swap_remove(index);
                self.recover_here(room, home, Recovery { ask, since, pin });
            }
            State::Live { home, term } => {
                let from = self.config.me;
                self.queue(home, Command::Recover { from, term, ask, since, pin });
            }
            State::Claiming | State::Attaching { .. } => {}
        }
    }

    fn pin_again(&mut self, room: RoomKey, pin: Pin) {
        match self.sides[room.index()].state {
            State::Here { home } => {
                self.pin_here(home, pin);
                self.told.push_back(Told::Pinned { pin });
            }
            State::Live { home, term } => {
                self.sides[room.index()].pins.push(pin);
                let from = self.config.me;
                self.queue(home, Command::Pin { from, term, pin });
            }
            State::Claiming | State::Attaching { .. } => {
                unreachable!("asked again when the home is known")
            }
        }
    }

    /// Removes a side that has no members and is owed nothing.
    pub(super) fn close_if_empty(&mut self, room: RoomKey) {
        let Some(side) = self.sides.get(room.index()) else { return };
        let owed = side.unanswered > 0
            || side.waiting.is_some()
            || !side.asks.is_empty()
            || !side.pins.is_empty();
        if side.members > 0 || owed {
            return;
        }
        match side.state {
            State::Claiming | State::Attaching { .. } => return,
            State::Live { home, term } => {
                let link = Link { room: room.0, serial: side.serial };
                let from = self.config.me;
                self.queue(home, Command::Detach { from, term, link });
            }
            State::Here { home } => {
                self.homes[home as usize].side = None;
                self.leave_roster_here(room, home);
                self.mark_home(home);
            }
        }
        let side = self.sides.remove(room.index());
        self.names.remove(&side.room);
        if self.sides.is_empty() {
            self.sides = Slab::new();
        }
    }
}

impl Side {
    fn new(room: RoomName) -> Self {
        Self {
            room,
            state: State::Claiming,
            serial: 0,
            position: Position::default(),
            heard: false,
            members: 1,
            population: 0,
            unanswered: 0,
            waiting: None,
            busy: false,
            stalled: false,
            switching: false,
            asks: Vec::new(),
            pins: Vec::new(),
            roster: BTreeMap::new(),
            present: BTreeSet::new(),
            changes: Vec::new(),
        }
    }
}

impl Delivery {
    /// The attachment it belongs to.
    pub(crate) fn link(&self) -> Link {
        match self {
            Self::Attached { link, .. }
            | Self::NotHome { link }
            | Self::Said { link, .. }
            | Self::Gap { link, .. }
            | Self::Answers { link, .. }
            | Self::Recovered { link, .. }
            | Self::Pinned { link, .. }
            | Self::Presence { link, .. }
            | Self::Moved { link, .. } => *link,
        }
    }
}
