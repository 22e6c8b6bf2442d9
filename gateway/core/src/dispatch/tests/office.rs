//! The registry and the engine of a world, each answering when the scheduler lets it.

use std::collections::{BTreeMap, VecDeque};

use super::world::Setup;
use crate::dispatch::{Answer, Inquiry};
use crate::envelope::{RoomName, Term};
use crate::id::ShardId;
use crate::position::Offset;

/// A question that a shard asked, or its answer if that is already decided.
#[derive(Debug)]
enum Open {
    Undecided(Inquiry),
    Decided(Answer),
}

#[derive(Debug)]
struct Ticket {
    shard: u16,
    term: Term,
    ticket: u64,
    place: Option<(Offset, Offset)>,
}

#[derive(Debug)]
pub(super) struct Office {
    pub(super) homes: BTreeMap<RoomName, (ShardId, Term)>,
    terms: u64,
    rooms: BTreeMap<Term, RoomName>,
    questions: Vec<VecDeque<Open>>,
    tickets: Vec<Ticket>,
    /// The last offset that the engine gave in each room.
    last: BTreeMap<RoomName, Offset>,
    asked: u64,
    placed: Option<ShardId>,
    decides_late: bool,
    pub(super) refuses_migration: bool,
    refuses_each: u64,
    /// Migrations that were agreed to.
    pub(super) migrations: u64,
}

impl Office {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            homes: BTreeMap::new(),
            terms: 0,
            rooms: BTreeMap::new(),
            questions: (0..setup.shards).map(|_| VecDeque::new()).collect(),
            tickets: Vec::new(),
            last: BTreeMap::new(),
            asked: 0,
            placed: setup.placed,
            decides_late: setup.decides_late,
            refuses_migration: setup.refuses_migration,
            refuses_each: setup.refuses_each,
            migrations: 0,
        }
    }

    pub(super) fn ask(&mut self, shard: u16, inquiry: Inquiry) {
        if let Inquiry::Sequence { term, ticket, .. } = inquiry {
            let place = self.sequence(term);
            return self.tickets.push(Ticket { shard, term, ticket, place });
        }
        let open = if self.decides_late {
            Open::Undecided(inquiry)
        } else {
            match self.decide(ShardId(shard), inquiry) {
                Some(answer) => Open::Decided(answer),
                None => return,
            }
        };
        self.questions[usize::from(shard)].push_back(open);
    }

    pub(super) fn is_asked(&self, shard: u16) -> bool {
        !self.questions[usize::from(shard)].is_empty()
    }

    pub(super) fn tickets(&self) -> usize {
        self.tickets.len()
    }

    /// Answers the oldest question, if it wants an answer.
    pub(super) fn answer(&mut self, shard: u16) -> Option<Answer> {
        match self.questions[usize::from(shard)].pop_front()? {
            Open::Undecided(inquiry) => self.decide(ShardId(shard), inquiry),
            Open::Decided(answer) => Some(answer),
        }
    }

    pub(super) fn place(&mut self, nth: usize) -> (u16, Answer) {
        let Ticket { shard, term, ticket, place } = self.tickets.remove(nth);
        (shard, Answer::Sequenced { term, ticket, place })
    }

    fn decide(&mut self, shard: ShardId, inquiry: Inquiry) -> Option<Answer> {
        match inquiry {
            Inquiry::Claim { room } => {
                let known = self.homes.get(&room).copied();
                let fresh = known.is_none();
                let (home, term) = known.unwrap_or_else(|| self.found(&room, shard));
                Some(Answer::Claimed { room, home, term, fresh })
            }
            Inquiry::Retire { room, term } => {
                if self.homes.get(&room) == Some(&(shard, term)) {
                    self.homes.remove(&room);
                }
                None
            }
            Inquiry::Migrate { room, term, to } => {
                let agreed =
                    !self.refuses_migration && self.homes.get(&room) == Some(&(shard, term));
                let next = agreed.then(|| self.next_term(&room));
                if let Some(next) = next {
                    self.migrations += 1;
                    self.homes.insert(room, (to, next));
                }
                Some(Answer::Migrated { term, next })
            }
            Inquiry::Confirm { room, term } => {
                let here = self.homes.get(&room) == Some(&(shard, term));
                Some(Answer::Confirmed { term, here })
            }
            Inquiry::Sequence { .. } => unreachable!("the engine is asked for places"),
        }
    }

    fn found(&mut self, room: &RoomName, toucher: ShardId) -> (ShardId, Term) {
        let home = (self.placed.unwrap_or(toucher), self.next_term(room));
        self.homes.insert(room.clone(), home);
        self.last.insert(room.clone(), Offset::START);
        home
    }

    fn next_term(&mut self, room: &RoomName) -> Term {
        self.terms += 1;
        self.rooms.insert(Term(self.terms), room.clone());
        Term(self.terms)
    }

    /// A place in the order of asking; the second of every two leaves a hole before it.
    fn sequence(&mut self, term: Term) -> Option<(Offset, Offset)> {
        self.asked += 1;
        if self.refuses_each > 0 && self.asked.is_multiple_of(self.refuses_each) {
            return None;
        }
        let last = self.last.get_mut(&self.rooms[&term]).expect("the room has a home");
        let prev = *last;
        *last = Offset(prev.0 + 1 + self.asked % 2);
        Some((prev, *last))
    }
}
