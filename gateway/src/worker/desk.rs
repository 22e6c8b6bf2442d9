//! One shard's place at its worker's link: its letters are sent in its name.

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Post, RoomName, Term};
use gateway_core::id::ShardId;
use gateway_core::time::Tick;
use gateway_registry::rooms::Claim;

use super::link::Link;
use super::orders::Departed;
use crate::node::registered;
use crate::others::{Arrival, Found, Moved, Newcomer, Others, Passed};

/// What a shard sees of the others, during its turn.
pub(super) struct Desk<'a, S> {
    pub(super) me: ShardId,
    pub(super) link: &'a mut Link<S>,
    /// Whether its connections go wherever they may.
    pub(super) leaving: bool,
    pub(super) now: Tick,
    pub(super) departed: &'a mut Departed,
}

impl<S> Post for Desk<'_, S> {
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        self.link.command(to, command)
    }

    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        self.link.deliver(to, delivery)
    }
}

impl<S> Others<S> for Desk<'_, S> {
    fn find_place(&mut self, newcomer: &Newcomer) -> Found {
        self.link.node.find_place(self.me, newcomer)
    }

    fn send_on(&mut self, newcomer: &Newcomer) -> Option<ShardId> {
        self.link.node.send_on(self.me, newcomer)
    }

    fn pass(&mut self, to: ShardId, passed: Passed<S>) {
        self.link.pass(to, passed);
    }

    fn release(&mut self) {
        self.link.node.census.release(registered(self.me));
    }

    fn inquire(&mut self, inquiry: Inquiry) -> Option<Answer> {
        match inquiry {
            Inquiry::Claim { room } => Some(self.claim(room)),
            Inquiry::Retire { room, term } => {
                let (namespace, name) = parts(&room);
                let rooms = &self.link.node.rooms;
                rooms.retire(namespace, name, registered(self.me), term.0);
                None
            }
            Inquiry::Migrate { room, term, to } => {
                let (namespace, name) = parts(&room);
                let (me, to) = (registered(self.me), registered(to));
                let next = self.link.node.rooms.migrate(namespace, name, me, term.0, to);
                Some(Answer::Migrated { term, next: next.map(Term) })
            }
            Inquiry::Confirm { room, term } => {
                let (namespace, name) = parts(&room);
                let home = self.link.node.rooms.find(namespace, name);
                let here = home == Some((registered(self.me), term.0));
                Some(Answer::Confirmed { term, here })
            }
            Inquiry::Sequence { .. } => {
                unreachable!("without a sequencer homes give their messages' offsets themselves")
            }
        }
    }

    fn make_way(&mut self, to: ShardId) -> bool {
        self.link.node.make_way(self.me, to, self.leaving)
    }

    fn ship(&mut self, to: ShardId, moved: Moved<S>) {
        if moved.frozen.is_open() {
            self.departed.note(self.now, moved.frozen.connection(), to);
        }
        self.link.ship(to, moved);
    }

    fn give_up(&mut self, to: ShardId) {
        self.link.node.census.release(registered(to));
        self.link.node.arrived(to);
    }

    fn look_around(&mut self) {
        self.link.look_around();
    }

    fn next_arrival(&mut self) -> Option<Arrival<S>> {
        self.link.next(self.me)
    }
}

impl<S> Desk<'_, S> {
    fn claim(&mut self, room: RoomName) -> Answer {
        let (namespace, name) = parts(&room);
        let claim = self.link.node.rooms.claim(namespace, name, registered(self.me));
        let Claim { home, term, fresh } = claim;
        let (home, term) = (ShardId(home.0), Term(term));
        Answer::Claimed { room, home, term, fresh }
    }
}

fn parts(room: &RoomName) -> (u16, &[u8]) {
    let namespace = u16::try_from(room.namespace.index()).expect("there are few namespaces");
    (namespace, room.name.as_bytes())
}
