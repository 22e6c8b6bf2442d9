//! Who answers what shards ask: the real registry, and a model of an engine that sequences.

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{RoomName, Term};
use gateway_core::id::ShardId;
use gateway_core::position::Offset;
use gateway_core::route::Namespace;
use gateway_registry::ids;
use gateway_registry::rooms::RoomRegistry;

use super::setting::{SHARDS_MAX, Setting};
use crate::rng::Rng;

pub(super) struct Clerk {
    pub(super) registry: RoomRegistry,
    /// Answers on their way to each shard, and the step at which they arrive.
    pending: Vec<Vec<(u64, Answer)>>,
    /// The last offset that the engine gave, by term.
    engine: Vec<u64>,
    rng: Rng,
    delay: usize,
    refuse: usize,
    pub(super) migrations: u64,
    /// Homes that were asked for where they had not come yet.
    pub(super) awaited: u64,
    pub(super) early: u64,
    pub(super) refusals: u64,
    /// A home retired or migrated that the registry does not know.
    pub(super) unknown: bool,
}

fn namespace(room: &RoomName) -> u16 {
    u16::from(room.namespace == Namespace::WS)
}

pub(super) fn registered(shard: usize) -> ids::ShardId {
    ids::ShardId(shard as u16)
}

impl Clerk {
    pub(super) fn new(setting: &Setting, seed: u64, rng: Rng) -> Self {
        Self {
            registry: RoomRegistry::new(seed, 4, SHARDS_MAX),
            pending: (0..SHARDS_MAX).map(|_| Vec::new()).collect(),
            engine: Vec::new(),
            rng,
            delay: setting.pace.delay,
            refuse: setting.faults.refuse,
            migrations: 0,
            awaited: 0,
            early: 0,
            refusals: 0,
            unknown: false,
        }
    }

    /// The registry acts at once; its answer, if there is one, arrives at once or later.
    pub(super) fn ask(&mut self, from: usize, step: u64, inquiry: Inquiry) -> Option<Answer> {
        let engine = matches!(inquiry, Inquiry::Sequence { .. });
        let answer = self.answer(from, inquiry)?;
        // An engine is never there within the turn.
        if !engine && (self.delay == 0 || self.rng.one_in(3)) {
            return Some(answer);
        }
        let due = step + 1 + self.rng.below(self.delay.max(8)) as u64;
        self.pending[from].push((due, answer));
        None
    }

    fn answer(&mut self, from: usize, inquiry: Inquiry) -> Option<Answer> {
        match inquiry {
            Inquiry::Claim { room } => {
                let name = room.name.as_bytes();
                let claim = self.registry.claim(namespace(&room), name, registered(from));
                let (home, term) = (ShardId(claim.home.0), Term(claim.term));
                Some(Answer::Claimed { room, home, term, fresh: claim.fresh })
            }
            Inquiry::Retire { room, term } => {
                let (name, home) = (room.name.as_bytes(), registered(from));
                self.unknown |= !self.registry.retire(namespace(&room), name, home, term.0);
                None
            }
            Inquiry::Migrate { room, term, to } => {
                let (name, from) = (room.name.as_bytes(), registered(from));
                self.unknown |= self.registry.find(namespace(&room), name) != Some((from, term.0));
                let to = registered(to.index());
                let next = self.registry.migrate(namespace(&room), name, from, term.0, to);
                if let Some(next) = next {
                    self.migrations += 1;
                    *self.last(next) = *self.last(term.0);
                }
                Some(Answer::Migrated { term, next: next.map(Term) })
            }
            Inquiry::Confirm { room, term } => {
                let home = self.registry.find(namespace(&room), room.name.as_bytes());
                let here = home == Some((registered(from), term.0));
                self.awaited += u64::from(here);
                Some(Answer::Confirmed { term, here })
            }
            Inquiry::Sequence { term, ticket, .. } => {
                if self.refuse > 0 && self.rng.one_in(self.refuse) {
                    self.refusals += 1;
                    return Some(Answer::Sequenced { term, ticket, place: None });
                }
                let hole = if self.rng.one_in(4) { self.rng.below(3) as u64 } else { 0 };
                let last = self.last(term.0);
                let prev = *last;
                *last = prev + 1 + hole;
                let place = Some((Offset(prev), Offset(*last)));
                Some(Answer::Sequenced { term, ticket, place })
            }
        }
    }

    /// The last offset that the engine gave in a room that has a home, whoever has heard of it.
    pub(super) fn engine_head(&mut self, room: u16, path: &str) -> Option<u64> {
        let name = path.strip_prefix("/ws/").unwrap_or_default();
        let (_, term) = self.registry.find(u16::from(room != 0), name.as_bytes())?;
        Some(*self.last(term)).filter(|&last| last > 0)
    }

    fn last(&mut self, term: u64) -> &mut u64 {
        let index = term as usize;
        if self.engine.len() <= index {
            self.engine.resize(index + 1, 0);
        }
        &mut self.engine[index]
    }

    /// The next answer that has arrived at a shard, in any order.
    pub(super) fn next(&mut self, shard: usize, step: u64, calm: bool) -> Option<Answer> {
        let pending = &mut self.pending[shard];
        let due = |&(due, _): &(u64, Answer)| calm || due <= step;
        let arrived = pending.iter().filter(|answer| due(answer)).count();
        if arrived == 0 {
            return None;
        }
        let nth = self.rng.below(arrived);
        let at = (0..pending.len()).filter(|&at| due(&pending[at])).nth(nth)?;
        let (_, answer) = pending.remove(at);
        let is_sequence = |answer: &Answer| matches!(answer, Answer::Sequenced { .. });
        let overtakes = pending[..at].iter().any(|(_, earlier)| is_sequence(earlier));
        self.early += u64::from(is_sequence(&answer) && overtakes);
        Some(answer)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.iter().all(Vec::is_empty)
    }

    pub(super) fn awaits(&self, shard: usize) -> bool {
        !self.pending[shard].is_empty()
    }
}
