//! A home moves to another shard: seal, ship, forward, fence.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::home::{Held, Home, Listener, Phase};
use super::{Dispatch, Inquiry};
use crate::envelope::{Command, Expected, Shipment, Term};
use crate::id::ShardId;
use crate::log::Log;
use crate::message::Batch;
use crate::position::Offset;
use crate::time::Tick;

impl Dispatch {
    /// Starts to move a room's home away; whether it can now. While an earlier move to here is not
    /// over, it cannot.
    pub(crate) fn migrate(&mut self, home: u32, to: ShardId) -> bool {
        assert_ne!(to, self.config.me, "a home moves to another shard");
        let Some(record) = self.homes.get_mut(home as usize) else { return false };
        if !record.is_movable() {
            return false;
        }
        record.phase = Phase::Sealed { to, asked: false, held: Vec::new() };
        self.go_on_sealing(home);
        true
    }

    /// The homes that could move, in order.
    pub(crate) fn movable_homes(&self) -> Vec<u32> {
        let movable = self.homes.iter().filter(|(_, home)| home.is_movable());
        movable.map(|(index, _)| index as u32).collect()
    }

    /// The first home that could move, from an index on.
    pub(crate) fn next_movable(&self, from: usize) -> Option<u32> {
        let homes = from..self.homes.capacity();
        let mut homes = homes.filter_map(|index| self.homes.get(index).map(|home| (index, home)));
        homes.find(|(_, home)| home.is_movable()).map(|(index, _)| index as u32)
    }

    /// Asks the registry once the engine has answered for everything.
    pub(super) fn go_on_sealing(&mut self, index: u32) {
        let home = &mut self.homes[index as usize];
        let waits = home.awaits_engine();
        let Phase::Sealed { to, asked, .. } = &mut home.phase else { return };
        if *asked || waits {
            return;
        }
        *asked = true;
        let (room, term, to) = (home.room.clone(), home.term, *to);
        self.ask(Inquiry::Migrate { room, term, to });
    }

    pub(super) fn migrated(&mut self, term: Term, next: Option<Term>) {
        let index = self.home(term).expect("a sealed home waits for its answer");
        let phase = std::mem::replace(&mut self.homes[index as usize].phase, Phase::Open);
        let Phase::Sealed { to, held, .. } = phase else {
            panic!("only a sealed home asked to move");
        };
        sometimes!(MigrationRefused, next.is_none());
        if let Some(next) = next {
            self.ship(index, to, next);
        } else if let Some(room) = self.homes[index as usize].side {
            self.mark_side(room);
        }
        if faults::is(Mutant::HeldTwice) {
            held.iter().for_each(|batch| self.submit(index, Arc::clone(batch)));
        }
        held.into_iter().for_each(|batch| self.submit(index, batch));
        self.mark_home(index);
    }

    fn ship(&mut self, index: u32, to: ShardId, term: Term) {
        let me = self.config.me;
        let home = &mut self.homes[index as usize];
        let mut shards: Vec<Expected> = home.shards.iter_mut().map(Listener::expected).collect();
        // Who has not attached here never does, and has nothing to say to this home.
        home.shards.retain(|listener| listener.link.is_some());
        let side = home.side.take();
        let follows = side.or_else(|| self.claiming(&self.homes[index as usize].room));
        let home = &mut self.homes[index as usize];
        if let Some(room) = side {
            let roster = self.sides[room.index()].roster.keys().cloned().collect();
            shards.push(Expected { shard: me, sent: home.head, roster, answers: Vec::new() });
        }
        let (log, ages, base) = home.unload(self.now);
        let shipment = Shipment {
            from: me,
            room: home.room.clone(),
            term,
            position: home.position(),
            log,
            base,
            ages,
            shards,
            pins: home.pins.drain(..).map(|held| (held.pin, held.offset)).collect(),
        };
        home.phase = Phase::Forwarding { to, term };
        let roster = home.roster.keys().cloned().collect();
        self.queue(to, Command::Ship(Box::new(shipment)));
        if let Some(room) = side {
            self.sides[room.index()].switching = true;
            self.sides[room.index()].present = roster;
        }
        if let Some(room) = follows {
            self.attach(room, to, term);
        }
    }

    pub(super) fn receive_shipment(&mut self, shipment: Shipment) {
        let Shipment { from, room, term, position, log, base, ages, shards, pins } = shipment;
        let keeps = self.policy(&room).history.keeps();
        let mut home = Home::new(room.clone(), term, position, keeps);
        home.forwarder = Some(from);
        home.log = Some(Box::new(load(self.now, base, &log, &ages)));
        let until = self.now.after_secs(self.config.limits.pin_secs.max(1));
        let pins = pins.into_iter().map(|(pin, offset)| Held { pin, offset, until });
        home.pins = pins.collect();
        let index = self.house(home);
        for expected in shards {
            self.expect(index, expected);
        }
        // A side that hears the old home goes on with that until its last word.
        if let Some(key) = self.claiming(&room) {
            self.settle_here(key, index);
        }
        self.attach_awaiting(term, index);
        self.mark_home(index);
    }

    /// A shard that will attach, or this one, whose side will settle: until then its past is kept.
    fn expect(&mut self, index: u32, expected: Expected) {
        let home = &mut self.homes[index as usize];
        let mut listener = Listener::new(expected.shard, expected.sent);
        listener.answers = expected.answers;
        home.shards.push(listener);
        let at = home.shards.len() - 1;
        self.roster_of(index, at, &expected.roster);
    }

    /// Nothing more comes for this term from that shard.
    pub(super) fn fence(&mut self, from: ShardId, term: Term) {
        let Some(index) = self.home(term) else { return };
        let home = &mut self.homes[index as usize];
        if home.has_moved() {
            self.dismiss(from, index);
        } else if home.forwarder == Some(from) {
            home.forwarder = None;
            self.mark_home(index);
        }
    }

    /// Removes a home that has moved, once every shard has heard so and said that it has.
    pub(super) fn end_forwarding(&mut self, index: u32) -> bool {
        let home = &self.homes[index as usize];
        let Phase::Forwarding { to, term } = home.phase else { return false };
        if !home.shards.is_empty() {
            return false;
        }
        self.remove_home(index);
        let from = self.config.me;
        self.queue(to, Command::Fence { from, term });
        true
    }
}

impl Listener {
    /// What the next home is to know of a shard.
    fn expected(&mut self) -> Expected {
        // Whoever has attached here is answered from here.
        let answers = match self.link {
            Some(_) => Vec::new(),
            None => std::mem::take(&mut self.answers),
        };
        let roster = self.roster.iter().cloned().collect();
        Expected { shard: self.shard, sent: self.sent, roster, answers }
    }
}

impl Home {
    /// It sequences, and nothing is on its way to it from where it was before.
    fn is_movable(&self) -> bool {
        self.is_open() && self.forwarder.is_none()
    }

    /// A copy of what is remembered: this home still tells it to those who have not heard it.
    fn unload(&self, now: Tick) -> (Batch, Vec<u32>, Offset) {
        let (mut batch, mut ages) = (Batch::default(), Vec::new());
        let Some(log) = &self.log else { return (batch, ages, self.head) };
        for record in log.records(log.base()) {
            batch.push(record.meta, record.words);
            ages.push(now.0.saturating_sub(record.tick.0));
        }
        (batch, ages, log.base())
    }
}

fn load(now: Tick, base: Offset, batch: &Batch, ages: &[u32]) -> Log {
    let mut log = Log::new(base);
    for ((meta, words), &age) in batch.iter().zip(ages) {
        log.push(Tick(now.0.saturating_sub(age)), &meta, words);
    }
    log
}
