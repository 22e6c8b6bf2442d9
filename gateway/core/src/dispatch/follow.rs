//! A side follows its room's home: it is claimed, attached to, caught up with, and may move.

use gateway_faults::{self as faults, Mutant, sometimes};

use super::home::Phase;
use super::side::{Side, State};
use super::{Dispatch, Inquiry, RoomKey, Told};
use crate::envelope::{Attach, Command, Expected, Link, RoomName, Shipment, Term};
use crate::id::ShardId;
use crate::message::Batch;
use crate::position::Position;

impl Dispatch {
    pub(super) fn claimed(&mut self, room: &RoomName, home: ShardId, term: Term, fresh: bool) {
        let key = self.claiming(room);
        if fresh && home != self.config.me {
            self.found_at(room, home, term, key.is_some());
        }
        let Some(key) = key else {
            if fresh && home == self.config.me {
                self.found_for_others(room, term);
            }
            return;
        };
        if home != self.config.me {
            return self.attach(key, home, term);
        }
        match self.home(term) {
            Some(index) => match self.homes[index as usize].phase {
                Phase::Forwarding { to, term } => self.attach(key, to, term),
                Phase::Open | Phase::Sealed { .. } => self.settle_here(key, index),
            },
            None if fresh => {
                let index = self.found(room.clone(), term);
                self.settle_here(key, index);
                self.attach_awaiting(term, index);
            }
            // The home is on its way here: its shipment finds the side. Homes that leave here
            // take the sides with them that still ask for their home.
            None => {}
        }
    }

    /// Nobody here waits for the new room any more: without others that do it need not be.
    fn found_for_others(&mut self, room: &RoomName, term: Term) {
        if self.awaiting.contains_key(&term) {
            let index = self.found(room.clone(), term);
            self.attach_awaiting(term, index);
        } else {
            self.ask(Inquiry::Retire { room: room.clone(), term });
        }
    }

    /// The registry gave a new room to another shard, which does not know: an empty home is
    /// shipped there, as if it had been here. It waits for this shard, if that will attach.
    fn found_at(&mut self, room: &RoomName, to: ShardId, term: Term, attaches: bool) {
        let from = self.config.me;
        let position = self.first_position(term);
        let expected = Expected {
            shard: from,
            sent: position.offset,
            roster: Vec::new(),
            answers: Vec::new(),
        };
        let shipment = Shipment {
            from,
            room: room.clone(),
            term,
            position,
            log: Batch::default(),
            base: position.offset,
            ages: Vec::new(),
            shards: if attaches { vec![expected] } else { Vec::new() },
            pins: Vec::new(),
        };
        self.queue(to, Command::Ship(Box::new(shipment)));
        self.queue(to, Command::Fence { from, term });
    }

    pub(super) fn attach(&mut self, key: RoomKey, home: ShardId, term: Term) {
        self.serial += 1;
        let side = &mut self.sides[key.index()];
        side.serial = self.serial;
        side.state = State::Attaching { home, term };
        side.changes.clear();
        let attach = Attach {
            from: self.config.me,
            link: Link { room: key.0, serial: side.serial },
            room: side.room.clone(),
            term,
            since: side.since(),
            roster: side.roster.keys().cloned().collect(),
        };
        self.queue(home, Command::Attach(Box::new(attach)));
    }

    pub(super) fn attached(
        &mut self,
        room: RoomKey,
        term: Term,
        position: Position,
        population: u32,
    ) {
        let side = &mut self.sides[room.index()];
        let State::Attaching { home, .. } = side.state else {
            panic!("only who asked is attached");
        };
        side.state = State::Live { home, term };
        side.population = population;
        self.set_position(room, position);
        self.told.push_back(Told::Ready { room });
        self.ask_all(room);
        self.mark_side(room);
    }

    /// The side's home is on this shard, at `index`.
    pub(super) fn settle_here(&mut self, room: RoomKey, index: u32) {
        self.sides[room.index()].state = State::Here { home: index };
        self.take_answers(room, index);
        self.catch_up(room, index);
        self.join_roster_here(room, index);
        self.homes[index as usize].side = Some(room);
        // Only now, so that nobody is said to have gone and come.
        self.dismiss(self.config.me, index);
        self.told.push_back(Told::Ready { room });
        self.ask_all(room);
        self.mark_side(room);
        self.mark_home(index);
        self.close_if_empty(room);
    }

    /// What was lost of this shard's own messages while the home here waited for the side.
    fn take_answers(&mut self, room: RoomKey, index: u32) {
        let me = self.config.me;
        let home = &mut self.homes[index as usize];
        let Some(expected) = home.shards.iter_mut().find(|listener| listener.shard == me) else {
            return;
        };
        let since = self.sides[room.index()].since();
        let answers = expected.answers_after(since.filter(|since| since.epoch == home.epoch));
        for (id, offset) in answers {
            self.told.push_back(Told::Answered { room, id, offset });
            self.answered(room, 1);
        }
    }

    /// Tells the members here what the home has said since they were told last.
    fn catch_up(&mut self, room: RoomKey, index: u32) {
        loop {
            let (side, home) = (&self.sides[room.index()], &self.homes[index as usize]);
            let position = home.position();
            let since = side.position;
            if !side.heard || since.epoch != position.epoch {
                return self.set_position(room, position);
            }
            assert!(since.offset <= position.offset, "a home is never behind who hears it");
            if since.offset == position.offset {
                return;
            }
            if !home.reaches(since.offset) {
                let position = Position { offset: home.base(), ..position };
                self.sides[room.index()].position = position;
                let missed = position.offset.0 - since.offset.0;
                self.told.push_back(Told::Gap { room, position, missed });
                continue;
            }
            let batch = self.copy_since(index, since.offset);
            self.said(room, batch, None);
        }
    }

    fn set_position(&mut self, room: RoomKey, position: Position) {
        let side = &mut self.sides[room.index()];
        let reset = side.heard && side.position.epoch != position.epoch;
        side.position = position;
        side.heard = true;
        if reset {
            self.told.push_back(Told::Reset { room, position });
        }
    }

    pub(super) fn claim_again(&mut self, room: RoomKey) {
        let side = &mut self.sides[room.index()];
        sometimes!(NotHome);
        side.state = State::Claiming;
        let room = side.room.clone();
        self.ask(Inquiry::Claim { room });
    }

    /// The old home's last word: the new one goes on from here.
    pub(super) fn switch(&mut self, room: RoomKey, to: ShardId, term: Term) {
        let side = &mut self.sides[room.index()];
        let State::Live { home, term: old } = side.state else {
            panic!("only who is attached hears that the home moved");
        };
        side.switching = true;
        let from = self.config.me;
        if !faults::is(Mutant::FenceUnsaid) {
            self.queue(home, Command::Fence { from, term: old });
        }
        if to != self.config.me {
            return self.attach(room, to, term);
        }
        match self.home(term) {
            Some(index) => self.settle_here(room, index),
            // The shipment is on its way and finds the side.
            None => self.sides[room.index()].state = State::Claiming,
        }
    }
}

impl Side {
    /// Up to where members here were told, if they were told anything.
    fn since(&self) -> Option<Position> {
        self.heard.then_some(self.position)
    }
}
