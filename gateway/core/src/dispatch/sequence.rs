//! Messages get their offsets: from the home at once, or from an engine later.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::home::{Home, Phase};
use super::{Dispatch, Inquiry, Sequencing};
use crate::envelope::{Command, Term};
use crate::message::{Batch, Meta};
use crate::position::Offset;

impl Dispatch {
    /// Takes in messages published for a home, from whichever shard.
    pub(super) fn submit(&mut self, index: u32, batch: Arc<Batch>) {
        match &mut self.homes[index as usize].phase {
            Phase::Open => match self.config.sequencing {
                Sequencing::Local => self.number_batch(index, batch),
                Sequencing::Engine => self.ask_engine(index, &batch),
            },
            Phase::Sealed { .. } if faults::is(Mutant::LostInMigration) => {}
            Phase::Sealed { held, .. } => {
                sometimes!(HeldWhileSealed);
                held.push(batch);
            }
            Phase::Forwarding { to, term } => {
                sometimes!(Forwarded);
                let (to, term) = (*to, *term);
                self.queue(to, Command::Publish { term, batch });
            }
        }
    }

    fn number_batch(&mut self, index: u32, batch: Arc<Batch>) {
        let home = &mut self.homes[index as usize];
        let first = home.head;
        for (meta, words) in batch.iter() {
            let (prev, offset) = home.number().expect("an open home numbers");
            home.record(self.now, &Meta { prev, offset, ..meta }, words);
        }
        let side = home.side;
        self.mark_home(index);
        if let Some(room) = side {
            self.said(room, batch, Some(first));
            self.close_if_empty(room);
        }
    }

    fn ask_engine(&mut self, index: u32, batch: &Batch) {
        let Home { term, ref room, .. } = self.homes[index as usize];
        let room = room.clone();
        for (meta, words) in batch.iter() {
            self.id += 1;
            let ticket = self.id;
            let mut one = self.pool.take();
            Arc::get_mut(&mut one).expect("a batch from the pool is unshared").push(meta, words);
            self.homes[index as usize].unsequenced.insert(ticket, one);
            let room = room.clone();
            self.ask(Inquiry::Sequence { room, term, ticket });
        }
    }

    /// The engine's answer. What it places before its predecessor is there waits for that. A place
    /// that cannot be is a refusal: an engine's mistake costs a message, not the node.
    pub(super) fn sequenced(&mut self, term: Term, ticket: u64, place: Option<(Offset, Offset)>) {
        let Some(index) = self.home(term) else { return };
        let home = &mut self.homes[index as usize];
        // Else it was answered.
        let Some(one) = home.unsequenced.remove(&ticket) else { return };
        let possible = |&(prev, offset): &(Offset, Offset)| {
            prev >= home.head && offset > prev && !home.early.contains_key(&prev)
        };
        let Some((prev, offset)) = place.filter(possible) else {
            return self.refused(index, &one);
        };
        sometimes!(EngineEarly, prev > home.head);
        home.early.insert(prev, (offset, one));
        while let Some((offset, one)) = self.homes[index as usize].next_sequenced() {
            self.place(index, offset, &one);
        }
        while let Some(passed) = self.homes[index as usize].next_passed() {
            self.refused(index, &passed);
        }
        self.go_on_sealing(index);
    }

    fn place(&mut self, index: u32, offset: Offset, one: &Batch) {
        let home = &mut self.homes[index as usize];
        let mut placed = self.pool.take();
        let own = Arc::get_mut(&mut placed).expect("a batch from the pool is unshared");
        let (meta, words) = one.iter().next().expect("one message has one entry");
        let meta = Meta { prev: home.head, offset, ..meta };
        home.record(self.now, &meta, words);
        own.push(meta, words);
        home.head = offset;
        let side = home.side;
        self.mark_home(index);
        if let Some(room) = side {
            self.said(room, placed, None);
            self.close_if_empty(room);
        }
    }

    /// The engine refused a message: its publisher is told, nobody else.
    fn refused(&mut self, index: u32, one: &Batch) {
        let home = &mut self.homes[index as usize];
        let meta = one.first().expect("one message has one entry");
        let listener = home.shards.iter_mut().find(|listener| listener.shard == meta.origin);
        if let Some(listener) = listener {
            listener.answers.push((meta.id, Offset::START));
            self.mark_home(index);
        } else if let Some(room) = home.side.filter(|_| meta.origin == self.config.me) {
            let (id, offset) = (meta.id, Offset::START);
            self.told.push_back(super::Told::Answered { room, id, offset });
            self.answered(room, 1);
            self.close_if_empty(room);
        }
        self.go_on_sealing(index);
    }
}

impl Home {
    /// A message whose predecessor will never be, since others have passed its place.
    fn next_passed(&mut self) -> Option<Arc<Batch>> {
        let first = self.early.first_entry().filter(|first| *first.key() < self.head)?;
        Some(first.remove().1)
    }

    /// The message that follows the head, if the engine has placed it.
    fn next_sequenced(&mut self) -> Option<(Offset, Arc<Batch>)> {
        self.early.remove(&self.head)
    }
}
