//! Shards attach to a home, ask it, and detach.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::home::{Asked, Held, Listener, Phase};
use super::side::Recovery;
use super::{Dispatch, Inquiry, RoomKey, Told};
use crate::envelope::{Attach, Command, Delivery, Link, Pin, Term};
use crate::id::ShardId;
use crate::message::{Batch, ENTRY_COST_BYTES};
use crate::position::Offset;

impl Dispatch {
    pub(super) fn attach_shard(&mut self, attach: Attach) {
        match self.home(attach.term) {
            None => self.await_home(attach),
            Some(home) if self.homes[home as usize].has_moved() => self.refuse(&attach),
            Some(home) => self.attach_to(home, attach),
        }
    }

    fn refuse(&mut self, attach: &Attach) {
        self.strays.push_back((attach.from, Delivery::NotHome { link: attach.link }));
    }

    /// The home was here, or is on its way: the registry knows. Until then it is not refused, or
    /// whoever attaches would ask again and again until the shipment has come.
    fn await_home(&mut self, attach: Attach) {
        sometimes!(HomeAwaited);
        let term = attach.term;
        let awaiting = self.awaiting.entry(term).or_default();
        let room = awaiting.is_empty().then(|| attach.room.clone());
        awaiting.push(attach);
        if let Some(room) = room {
            self.ask(Inquiry::Confirm { room, term });
        }
    }

    /// A home that the registry says is here, and that had not come when it was asked, will come:
    /// what goes is struck off there before anything else is asked. One that is not will never be.
    pub(super) fn confirmed(&mut self, term: Term, here: bool) {
        if !here {
            let awaiting = self.awaiting.remove(&term).unwrap_or_default();
            awaiting.iter().for_each(|attach| self.refuse(attach));
        }
    }

    /// A home has come for which others may be waiting.
    pub(super) fn attach_awaiting(&mut self, term: Term, index: u32) {
        let awaiting = self.awaiting.remove(&term).unwrap_or_default();
        awaiting.into_iter().for_each(|attach| self.attach_to(index, attach));
    }

    fn attach_to(&mut self, index: u32, attach: Attach) {
        let Attach { from, link, since, roster, .. } = attach;
        let home = &mut self.homes[index as usize];
        home.observe();
        let found = home.shards.iter().position(|listener| listener.shard == from);
        let at = found.unwrap_or_else(|| {
            home.shards.push(Listener::new(from, home.head));
            home.shards.len() - 1
        });
        let (epoch, head) = (home.epoch, home.head);
        let listener = &mut home.shards[at];
        assert_eq!(listener.link, None, "a shard attaches once");
        listener.link = Some(link);
        listener.sent = match since {
            Some(since) if since.epoch == epoch => since.offset.min(head),
            _ => head,
        };
        // What came before the home moved here was told by the one before.
        listener.answers = listener.answers_after(since.filter(|since| since.epoch == epoch));
        listener.greet = true;
        listener.changes.clear();
        self.roster_of(index, at, &roster);
        self.homes[index as usize].shards[at].roster_whole = true;
        self.mark_home(index);
    }

    pub(super) fn detach_shard(&mut self, from: ShardId, term: Term, link: Link) {
        let Some(index) = self.home(term) else { return };
        if let Phase::Forwarding { to, term } = self.homes[index as usize].phase {
            self.queue(to, Command::Detach { from, term, link });
        }
        // Forwarded by an old home it may meet a later attachment of the same shard.
        let home = &self.homes[index as usize];
        let listener = home.shards.iter().find(|listener| listener.shard == from);
        if listener.is_some_and(|listener| listener.link.is_none_or(|current| current == link)) {
            self.dismiss(from, index);
        }
    }

    /// A shard sends nothing more for this home.
    pub(super) fn dismiss(&mut self, from: ShardId, index: u32) {
        let found = self.homes[index as usize].shards.iter().position(|l| l.shard == from);
        if let Some(at) = found {
            // Who has gone on to the next home has not left the room.
            if !self.homes[index as usize].has_moved() {
                self.roster_of(index, at, &[]);
            }
            self.homes[index as usize].shards.swap_remove(at);
        }
        self.mark_home(index);
    }

    pub(super) fn ask_listener(&mut self, from: ShardId, term: Term, asked: Asked) {
        let Some(index) = self.home(term) else { return };
        let home = &mut self.homes[index as usize];
        if home.has_moved() {
            // Whoever asked asks the next home again.
            return;
        }
        if let Some(listener) = home.shards.iter_mut().find(|listener| listener.shard == from) {
            listener.asks.push_back(asked);
            self.mark_home(index);
        }
    }

    pub(super) fn pin_for(&mut self, from: ShardId, term: Term, pin: Pin) {
        let Some(index) = self.home(term) else { return };
        let until = self.now.after_secs(self.config.limits.pin_secs.max(1));
        let home = &mut self.homes[index as usize];
        let listener = home.shards.iter().find(|listener| listener.shard == from);
        let Some(offset) = listener.map(|listener| listener.sent) else { return };
        if !home.has_moved() {
            home.pins.push(Held { pin, offset, until });
        }
        self.ask_listener(from, term, Asked::Pin(pin));
    }

    pub(super) fn pin_here(&mut self, index: u32, pin: Pin) {
        let until = self.now.after_secs(self.config.limits.pin_secs.max(1));
        let home = &mut self.homes[index as usize];
        home.observe();
        let offset = home.head;
        home.pins.push(Held { pin, offset, until });
        self.mark_home(index);
    }

    pub(super) fn unpin_for(&mut self, term: Term, pin: Pin) {
        let Some(index) = self.home(term) else { return };
        if let Phase::Forwarding { to, term } = self.homes[index as usize].phase {
            return self.queue(to, Command::Unpin { term, pin });
        }
        self.unpin_here(index, pin);
    }

    pub(super) fn unpin_here(&mut self, index: u32, pin: Pin) {
        self.homes[index as usize].pins.retain(|held| held.pin != pin);
        self.mark_home(index);
    }

    /// Answers a question of this shard's own side.
    pub(super) fn recover_here(&mut self, room: RoomKey, index: u32, asked: Recovery) {
        let upto = self.sides[room.index()].position.offset;
        debug_assert_eq!(upto, self.homes[index as usize].head, "a side here is never behind");
        let (batch, complete) = self.recovered(index, &asked, upto);
        let at = self.sides[room.index()].position;
        self.told.push_back(Told::Recovered { room, ask: asked.ask, batch, complete, at });
        self.mark_home(index);
    }

    /// What came after a position and up to `upto`, and whether nothing of it is missing.
    ///
    /// A position ahead of `upto` misses nothing: whoever is there waits until the room gets there.
    pub(super) fn recovered(
        &mut self,
        index: u32,
        asked: &Recovery,
        upto: Offset,
    ) -> (Arc<Batch>, bool) {
        let home = &mut self.homes[index as usize];
        let mut batch = self.pool.take();
        let same = asked.since.epoch == home.epoch;
        let mut complete = same && (asked.since.offset >= upto || home.reaches(asked.since.offset));
        if complete
            && asked.since.offset < upto
            && let Some(log) = &home.log
        {
            let own = Arc::get_mut(&mut batch).expect("a batch from the pool is unshared");
            let hole = u64::from(faults::is(Mutant::RecoveryHole));
            let again = u64::from(faults::is(Mutant::RecoveredTwice));
            let heard = Offset((asked.since.offset.0 + hole).saturating_sub(again));
            let missed = log.since(heard.max(log.base()));
            let mut bytes = 0;
            for (meta, words) in missed.take_while(|(meta, _)| meta.offset <= upto) {
                bytes += words.len() + ENTRY_COST_BYTES;
                if bytes > self.config.limits.outbox_bytes_max && !own.is_empty() {
                    sometimes!(RecoveryTooMuch);
                    // Whoever asks could not take it all.
                    own.clear();
                    complete = false;
                    break;
                }
                own.push(meta, words);
            }
        }
        if let Some(pin) = asked.pin {
            home.pins.retain(|held| held.pin != pin);
        }
        self.pool.lend(&batch);
        (batch, complete)
    }
}
