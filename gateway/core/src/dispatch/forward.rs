//! What is published here goes to its room's home, and what the home says of it is told.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::side::State;
use super::{Dispatch, RoomKey, Told};
use crate::envelope::{Command, Post, Term};
use crate::id::ShardId;
use crate::message::Batch;
use crate::position::Offset;

impl Dispatch {
    /// Sends what waits, as far as it may go.
    pub(super) fn flush_sides(&mut self, post: &mut impl Post) {
        if !self.full.is_empty() {
            self.full.clear();
        }
        let mut busy = std::mem::take(&mut self.busy_sides);
        for room in busy.drain(..) {
            let Some(side) = self.sides.get_mut(room.index()).filter(|side| side.busy) else {
                continue;
            };
            side.busy = false;
            self.flush_side(room, post);
        }
        // What could not be sent was marked again meanwhile.
        busy.append(&mut self.busy_sides);
        self.busy_sides = busy;
    }

    fn flush_side(&mut self, room: RoomKey, post: &mut impl Post) {
        let stalled = self.sides[room.index()].stalled;
        let refused = match self.sides[room.index()].state {
            State::Here { home } => {
                self.submit_waiting(room, home);
                false
            }
            State::Live { home, term } => self.post_waiting(room, home, term, post),
            State::Claiming | State::Attaching { .. } => false,
        };
        // What was sequenced at once may have been all that kept the room.
        if self.sides.contains(room.index()) {
            self.flush_changes(room);
        }
        let Some(side) = self.sides.get_mut(room.index()) else {
            if stalled {
                self.told.push_back(Told::Flowing { room });
            }
            return;
        };
        let unsent = side.waiting.is_some();
        if !unsent && side.stalled {
            self.told.push_back(Told::Flowing { room });
        }
        side.stalled = unsent;
        // What waits for an answer is looked at when that comes.
        if refused {
            self.mark_side(room);
        }
    }

    /// Sends what waits to a home elsewhere; whether a ring is to be tried again.
    fn post_waiting(
        &mut self,
        room: RoomKey,
        home: ShardId,
        term: Term,
        post: &mut impl Post,
    ) -> bool {
        let unanswered_max = self.config.limits.unanswered_max;
        let side = &mut self.sides[room.index()];
        let Some(batch) = side.waiting.take() else { return false };
        let count = u32::try_from(batch.len()).expect("a batch is bounded");
        // A batch that is too many alone goes alone.
        let switching = side.switching && !faults::is(Mutant::EarlySwitch);
        let many = side.unanswered > 0
            && (switching || side.unanswered.saturating_add(count) > unanswered_max);
        if many || self.outgoing.contains_key(&home) || self.full.contains(&home) {
            sometimes!(SwitchWaited, many && switching);
            side.waiting = Some(batch);
            return !many;
        }
        side.switching = false;
        match post.command(home, Command::Publish { term, batch: Arc::clone(&batch) }) {
            Ok(()) => {
                side.unanswered += count;
                self.unsent -= batch.len();
                self.pool.lend(&batch);
                false
            }
            Err(refused) => {
                drop(refused);
                sometimes!(CommandRefused);
                if faults::is(Mutant::CommandLost) {
                    side.unanswered += count;
                    self.unsent -= batch.len();
                    return false;
                }
                self.full.insert(home);
                side.waiting = Some(batch);
                true
            }
        }
    }

    /// Gives what waits to the home on this shard, unless that is sealed.
    fn submit_waiting(&mut self, room: RoomKey, home: u32) {
        let unanswered_max = self.config.limits.unanswered_max;
        let side = &mut self.sides[room.index()];
        let Some(batch) = side.waiting.take() else { return };
        let switching = side.switching && !faults::is(Mutant::EarlySwitch);
        let count = u32::try_from(batch.len()).expect("a batch is bounded");
        // An engine may be slow to answer.
        let many = switching || side.unanswered.saturating_add(count) > unanswered_max;
        if many && side.unanswered > 0 || !self.homes[home as usize].is_open() {
            side.waiting = Some(batch);
            return;
        }
        side.switching = false;
        side.unanswered += count;
        self.unsent -= batch.len();
        self.pool.lend(&batch);
        self.submit(home, batch);
    }

    /// Tells messages that follow the side's position. With `numbered` they count on from it.
    pub(super) fn said(&mut self, room: RoomKey, batch: Arc<Batch>, numbered: Option<Offset>) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let me = self.config.me;
        let own = batch.iter().filter(|(meta, _)| meta.origin == me && meta.id > 0).count();
        let side = &mut self.sides[room.index()];
        let (prev, offset) = match numbered {
            Some(prev) => (prev, Offset(prev.0 + batch.len() as u64)),
            None => (first.prev, last.offset),
        };
        let linked = prev == side.position.offset || faults::is(Mutant::SilentGap);
        assert!(linked, "what is said follows what was said");
        side.position.offset = offset;
        self.told.push_back(Told::Said { room, batch, numbered });
        self.answered(room, own as u32);
    }

    pub(super) fn answered(&mut self, room: RoomKey, messages: u32) {
        if messages == 0 {
            return;
        }
        let side = &mut self.sides[room.index()];
        side.unanswered = side.unanswered.checked_sub(messages).expect("answered once");
        if side.waiting.is_some() {
            self.mark_side(room);
        }
    }
}
