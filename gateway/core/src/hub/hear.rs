//! What the dispatcher tells, and what members hear of it.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::join::Recovered;
use super::owing::gap;
use super::{Hub, MemberPolicy, Role, Who};
use crate::close::CloseCode;
use crate::dispatch::{Answer, Inquiry, RoomKey, Told};
use crate::encoding::Encoding;
use crate::envelope::Term;
use crate::event::{CloseReason, Effect};
use crate::frame::Opcode;
use crate::message::{Batch, Meta};
use crate::position::{Offset, Position};
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    /// Takes in all that the dispatcher has told, in order, and what had to wait.
    #[inline(always)]
    pub(super) fn hear(&mut self, now: Now) {
        // An echo has the hub hear nothing.
        if self.dispatch.has_told() || !self.seated.is_empty() || !self.gone.is_empty() {
            self.hear_all(now);
        }
    }

    #[inline(never)]
    fn hear_all(&mut self, now: Now) {
        loop {
            while let Some(told) = self.dispatch.poll() {
                self.hear_one(now, told);
            }
            if let Some(who) = self.seated.pop_front() {
                self.receive_what_waited(now, who);
                continue;
            }
            let Some(gone) = self.gone.pop_front() else { return };
            self.tell_closed(now, &gone);
        }
    }

    fn hear_one(&mut self, now: Now, told: Told) {
        match told {
            Told::Ready { room } => self.go_on_joining(now, room),
            Told::Said { room, batch, numbered } => self.hear_batch(now, room, &batch, numbered),
            Told::Gap { room, position, missed } => self.hear_gap(now, room, position, missed),
            Told::Reset { room, position } => self.hear_reset(now, room, position),
            Told::Answered { room, id, offset } => {
                let epoch = self.dispatch.epoch(room);
                self.answered(id, epoch.map(|epoch| Position { epoch, offset }));
            }
            Told::Recovered { room, ask, batch, complete, at } => {
                let recovered = Recovered { batch: Some(batch), complete, at: Some(at) };
                self.recovered(now, room, ask, &recovered);
            }
            Told::Pinned { pin } => self.pinned(pin),
            Told::Present { room, change } => {
                self.note_presence(now, room, &change);
                self.tell_presence(room, change);
            }
            Told::Flowing { room } => self.flow(room),
            Told::Inquiry(inquiry) => self.inquire(now, inquiry),
        }
    }

    fn inquire(&mut self, now: Now, inquiry: Inquiry) {
        if self.config.shard.is_some() {
            return self.effects.push_back(Effect::Inquire(inquiry));
        }
        match inquiry {
            Inquiry::Claim { room } => {
                self.terms += 1;
                let (home, term) = (self.config.shard.unwrap_or_default(), Term(self.terms));
                let answer = Answer::Claimed { room, home, term, fresh: true };
                self.dispatch.answer(now.tick(), answer);
            }
            Inquiry::Retire { .. } => {}
            Inquiry::Sequence { .. } => self.effects.push_back(Effect::Inquire(inquiry)),
            Inquiry::Migrate { .. } | Inquiry::Confirm { .. } => {
                unreachable!("a hub that is alone has nowhere to move to, and nobody to attach")
            }
        }
    }

    fn hear_batch(
        &mut self,
        now: Now,
        room: RoomKey,
        batch: &Arc<Batch>,
        numbered: Option<Offset>,
    ) {
        let me = self.config.shard.unwrap_or_default();
        let epoch = self.dispatch.epoch(room);
        let mut count = numbered;
        for (index, (meta, words)) in batch.iter().enumerate() {
            let meta = match &mut count {
                Some(last) => {
                    let prev = std::mem::replace(last, last.next());
                    Meta { prev, offset: *last, ..meta }
                }
                None => meta,
            };
            // Without it nobody is left who would hear it.
            if let Some(epoch) = epoch {
                let shared = Some(batch.deflated(index));
                self.append(now, room, epoch, &meta, words, shared);
            }
            if meta.origin == me && meta.id > 0 {
                let offset = meta.offset;
                self.answered(meta.id, epoch.map(|epoch| Position { epoch, offset }));
            }
        }
    }

    /// A message of this shard was sequenced, or refused. Without a position everyone has left the
    /// room, and whoever is still closing need not know.
    fn answered(&mut self, id: u64, position: Option<Position>) {
        let Some(unanswered) = self.unanswered.remove(&id) else { return };
        self.underway_bytes -= unanswered.bytes;
        if self.underway_bytes <= self.config.limits.underway_bytes_max / 2 {
            self.decongest();
        }
        let Some(who) = unanswered.who.filter(|&who| self.present(who).is_some()) else { return };
        self.conns[who.slot.index()].unanswered -= 1;
        if let Some(position) = position.filter(|_| !faults::is(Mutant::AckUnsaid)) {
            self.acknowledge(who.slot, unanswered.publish, position);
        }
    }

    /// Members here missed what was said before `position`, and nobody remembers it.
    fn hear_gap(&mut self, now: Now, room: RoomKey, position: Position, missed: u64) {
        sometimes!(GapTold);
        self.counters.gaps += 1;
        self.tell_gap(room, position);
        self.close_raw(now, room, Some(missed));
    }

    /// The room begins anew: what members here had not heard of its old epoch is lost.
    fn hear_reset(&mut self, now: Now, room: RoomKey, position: Position) {
        self.counters.gaps += 1;
        self.tell_reset(room, position);
        for lane in self.lanes.of(room) {
            // Where anyone was is of no meaning any more.
            self.lanes.lane_mut(lane).forget_floors();
        }
        self.close_raw(now, room, None);
    }

    /// Closes members who cannot be told that they missed something, unless they may miss it;
    /// others are told, if it is known how much that was.
    fn close_raw(&mut self, now: Now, room: RoomKey, missed: Option<u64>) {
        let lanes = self.lanes.reading(room, &[Encoding::Raw, Encoding::Line, Encoding::Chat]);
        let lanes = lanes.map(|id| self.lanes.lane(id));
        let members = lanes.flat_map(|lane| &lane.members).filter_map(|member| member.slot());
        let members: Vec<Slot> = members.collect();
        for slot in members {
            match (self.member_policy(slot), missed) {
                (MemberPolicy::Lossy | MemberPolicy::Latest, _) => {}
                (MemberPolicy::Gap, Some(missed)) => {
                    self.direct_frame(slot, Opcode::Text, gap(missed).as_bytes());
                }
                (MemberPolicy::Close | MemberPolicy::Gap, _) => self.close_for_gap(now, slot),
            }
        }
    }

    pub(super) fn close_for_gap(&mut self, now: Now, slot: Slot) {
        if self.conns[slot.index()].stage == super::Stage::Open {
            let code = Some(CloseCode::TRY_LATER);
            self.start_closing(now, slot, CloseReason::Gap, code, "gap");
        }
    }

    /// The connection is not read from until its room's messages are under way.
    pub(super) fn stall(&mut self, slot: Slot, room: RoomKey) {
        self.conns[slot.index()].stalled = true;
        let who = self.who(slot);
        self.stalled.entry(room).or_default().push(who);
        self.update_interest(slot);
    }

    /// The connection is not read from until fewer messages are under way.
    pub(super) fn congest(&mut self, slot: Slot) {
        self.conns[slot.index()].stalled = true;
        let who = self.who(slot);
        self.congested.push(who);
        self.update_interest(slot);
    }

    fn decongest(&mut self) {
        let congested = std::mem::take(&mut self.congested);
        self.read_again(congested);
    }

    fn flow(&mut self, room: RoomKey) {
        let stalled = self.stalled.remove(&room).unwrap_or_default();
        if faults::is(Mutant::StallForgotten) {
            return;
        }
        self.read_again(stalled);
    }

    fn read_again(&mut self, stalled: Vec<Who>) {
        for Who { slot, generation } in stalled {
            if self.present(Who { slot, generation }).is_some() {
                let conn = &mut self.conns[slot.index()];
                // An answer to a ping lies unread: it is asked once more before it is given up.
                (conn.stalled, conn.pinged) = (false, false);
                self.update_interest(slot);
            }
        }
    }

    /// The lane that a member of the room sits in, and its seat.
    pub(super) fn seat(&self, slot: Slot) -> Option<(crate::lanes::LaneId, u32)> {
        match self.conns[slot.index()].role {
            Role::Member { lane, seat } => Some((lane, seat)),
            Role::Waiting { .. } | Role::Handled | Role::Echo | Role::Nothing => None,
        }
    }
}
