//! How connections end: each exactly once, with a reason, and with a last word where possible.

use std::borrow::Cow;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::conn::{Joining, Leaving, Transit};
use super::{Conn, Hub, Role, Stage, places};
use crate::close::CloseCode;
use crate::event::{CloseReason, Effect};
use crate::frame::Opcode;
use crate::handshake::Refusal;
use crate::hit::Hit;
use crate::lanes::LaneId;
use crate::limits::Limits;
use crate::slot::Slot;
use crate::time::{Now, TICKS_PER_SEC, Tick};

/// A shard that looks at a deadline so long after it was itself late, not its peers.
const LATE_NANOS: u64 = 2_000_000_000;
/// Connections told within a tick that the node goes, at least.
const DRAINED_MIN: usize = 256;
/// What everyone hears when the node goes.
pub(super) const GOING_AWAY: &str = "going away";

/// The node goes.
#[derive(Debug)]
pub(super) struct Drain {
    /// The next slot to be told.
    next: usize,
    /// When it is told.
    resumes: Tick,
    /// By when everyone is told, and gone.
    told: Tick,
    ends: Tick,
}

impl Hub {
    /// Starts to close: a frame with `code` is said after everything else, if there is a code.
    /// The peer still hears what its room said until now.
    pub(super) fn start_closing(
        &mut self,
        now: Now,
        slot: Slot,
        reason: CloseReason,
        code: Option<CloseCode>,
        text: impl Into<Cow<'static, str>>,
    ) {
        match self.conns[slot.index()].role {
            Role::Member { lane, seat } if !self.lanes.lane(lane).is_idle() => {
                self.lanes.lane_mut(lane).hush(seat, slot);
                self.hurry(lane);
            }
            Role::Handled => {}
            Role::Member { .. } | Role::Waiting { .. } | Role::Echo | Role::Nothing => {
                self.leave_own(slot);
            }
        }
        self.hush_places(slot);
        self.set_closing(now, slot, reason);
        self.farewell(slot, code, text.into());
    }

    /// Closes because the peer cannot be understood or borne; what it still sends is dropped.
    pub(super) fn fail(
        &mut self,
        now: Now,
        slot: Slot,
        reason: CloseReason,
        code: CloseCode,
        text: &'static str,
    ) {
        self.conns[slot.index()].deaf = true;
        self.forget_unfinished(slot);
        self.start_closing(now, slot, reason, Some(code), text);
    }

    /// Drops what was half received, since its end will not be of interest.
    pub(super) fn forget_unfinished(&mut self, slot: Slot) {
        let session = std::mem::take(&mut self.conns[slot.index()].session);
        self.inbound -= session.held_bytes();
    }

    /// Starts to close a peer that hears nothing more of its room.
    pub(super) fn begin_closing(&mut self, now: Now, slot: Slot, reason: CloseReason) {
        self.leave(slot);
        self.set_closing(now, slot, reason);
    }

    fn set_closing(&mut self, now: Now, slot: Slot, reason: CloseReason) {
        let conn = &mut self.conns[slot.index()];
        conn.stage = Stage::Closing;
        conn.reason.get_or_insert(reason);
        // Who is refused has had its time since it was accepted.
        if conn.refused.is_none() {
            let close_secs = self.config.limits.close_secs.max(1);
            let ends = self.drain.as_ref().map_or(Tick::NEVER, |drain| drain.ends);
            let ends = if faults::is(Mutant::CutEarly) { now.tick() } else { ends };
            self.deadlines.set(slot, now.tick().after_secs(close_secs).min(ends));
        }
        self.forget_work(slot);
        // Even one that was not read from is heard saying goodbye.
        self.update_interest(slot);
    }

    /// Goes one step further if all was said: ends if the peer said goodbye too, as RFC 6455
    /// §7.1.1 asks of a server, or has ended; half-closes if the peer is not listened to.
    pub(super) fn wind_up(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        if conn.stage != Stage::Closing || !conn.said_goodbye || conn.owes() {
            return;
        }
        if conn.ended || conn.heard_goodbye {
            return self.release(slot, CloseReason::Ended);
        }
        if conn.deaf {
            // What it still sends unread would reset the connection and lose our last word.
            conn.stage = Stage::Lingering;
            self.effects.push_back(Effect::Shutdown { slot });
        }
    }

    /// The peer sends nothing more. What is being said to it is still finished.
    pub(super) fn handle_ended(&mut self, now: Now, slot: Slot) {
        let Some(conn) = self.conns.get_mut(slot.index()) else { return };
        if conn.ended {
            return;
        }
        conn.ended = true;
        match conn.stage {
            Stage::Free => conn.ended = false,
            Stage::Upgrading | Stage::Joining | Stage::Lingering => {
                self.release(slot, CloseReason::Ended);
            }
            Stage::Open => {
                self.forget_unfinished(slot);
                self.start_closing(now, slot, CloseReason::Ended, None, "");
            }
            Stage::Closing => {
                self.update_interest(slot);
                self.wind_up(slot);
            }
        }
    }

    pub(super) fn handle_drain(&mut self, now: Now) {
        if self.drain.is_none() {
            let drain_secs = self.config.limits.drain_secs;
            let told = self.told_by(now);
            let ends = Tick(now.tick().0 + drain_secs.max(1) * TICKS_PER_SEC);
            self.drain = Some(Drain { next: 0, resumes: now.tick(), told, ends });
            // Nobody comes in any more.
            for index in 0..self.conns.len() {
                if matches!(self.conns[index].stage, Stage::Upgrading | Stage::Joining) {
                    self.drain_one(now, Slot::from(index), GOING_AWAY);
                }
            }
        }
        self.go_on_draining(now);
    }

    /// By when everyone is told who is told to go from now on: so that the last ones have
    /// `close_secs` left of `drain_secs`.
    pub(super) fn told_by(&self, now: Now) -> Tick {
        let Limits { drain_secs, close_secs, .. } = self.config.limits;
        let paced = drain_secs.saturating_sub(close_secs.max(1));
        Tick(now.tick().0 + paced * TICKS_PER_SEC)
    }

    /// Of so many who are left, those that are told in this tick if all are to be told by then.
    pub(super) fn told_in_a_tick(now: Now, told: Tick, left: usize) -> usize {
        let ticks = told.0.saturating_sub(now.tick().0) as usize + 1;
        left.div_ceil(ticks).max(DRAINED_MIN)
    }

    /// Tells those whose turn it is, in the order of their slots.
    fn go_on_draining(&mut self, now: Now) {
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.resumes <= now.tick()) else {
            return;
        };
        let left = self.conns.len().saturating_sub(drain.next);
        let until = drain.next + Self::told_in_a_tick(now, drain.told, left);
        let slots = drain.next..until.min(self.conns.len());
        drain.next = slots.end;
        let done = drain.next == self.conns.len();
        drain.resumes = if done { Tick::NEVER } else { Tick(now.tick().0 + 1) };
        let omitted = usize::from(faults::is(Mutant::DrainOmitsOne) && slots.start == 0);
        slots.skip(omitted).for_each(|index| self.drain_one(now, Slot::from(index), GOING_AWAY));
    }

    /// When the next ones are to be told.
    pub(super) fn drain_resumes(&self) -> Tick {
        self.drain.as_ref().map_or(Tick::NEVER, |drain| drain.resumes)
    }

    pub(super) fn drain_one(&mut self, now: Now, slot: Slot, why: &'static str) {
        match self.conns[slot.index()].stage {
            Stage::Upgrading | Stage::Joining => {
                sometimes!(DrainedInHandshake);
                self.refuse(now, slot, &Refusal::full());
            }
            Stage::Open => {
                let code = Some(CloseCode::AWAY);
                self.start_closing(now, slot, CloseReason::Drained, code, why);
            }
            Stage::Free | Stage::Closing | Stage::Lingering => {}
        }
    }

    pub(super) fn handle_tick(&mut self, now: Now) {
        self.give_back(now.tick());
        self.note_lateness(now);
        self.close_overdue(now);
        let close_secs = self.config.limits.close_secs.max(1);
        let mut due = std::mem::take(&mut self.scratch.due);
        self.deadlines.sweep(now, &mut due);
        self.tell_news(now);
        self.read_the_slowed(now);
        self.resume_the_put_off(now);
        self.go_on_draining(now);
        for slot in due.drain(..) {
            let conn = &self.conns[slot.index()];
            match conn.stage {
                Stage::Free => {}
                Stage::Upgrading | Stage::Joining | Stage::Open if self.is_late(now) => {
                    self.deadlines.set(slot, self.late_until);
                }
                Stage::Upgrading => self.give_up_request(slot),
                // The room's home did not answer in time.
                Stage::Joining => {
                    self.refuse(now, slot, &Refusal::full().of(Hit::HandshakeSecs));
                }
                Stage::Open => self.probe(now, slot),
                // Not the peer was late but this shard: its last word is said in this turn.
                Stage::Closing if !conn.said_goodbye && !conn.owes() => {
                    self.deadlines.set(slot, now.tick().after_secs(close_secs));
                }
                Stage::Closing | Stage::Lingering => {
                    self.counters.cut += 1;
                    self.counters.hit(Hit::CloseSecs);
                    self.release(slot, CloseReason::Ended);
                }
            }
        }
        self.scratch.due = due;
    }

    /// A deadline that is met much too late says that this shard did not turn: its machine was
    /// suspended, or its core was taken away. What came meanwhile is read before anyone is judged.
    fn note_lateness(&mut self, now: Now) {
        let due = self.deadlines.next().min(self.messages_due.next());
        if due.0 + LATE_NANOS < now.0 {
            self.late_until = Tick(now.tick().0 + TICKS_PER_SEC);
        }
    }

    /// Whether this shard was late a moment ago, and its peers have not been heard since.
    pub(super) fn is_late(&self, now: Now) -> bool {
        now.tick() < self.late_until
    }

    /// No complete request came in time.
    fn give_up_request(&mut self, slot: Slot) {
        // Who is refused was counted when it came.
        if self.conns[slot.index()].refused.is_none() {
            self.counters.hit(Hit::HandshakeSecs);
        }
        self.release(slot, CloseReason::HandshakeTimeout);
    }

    /// Asks a silent peer for a sign of life, or gives it up.
    fn probe(&mut self, now: Now, slot: Slot) {
        let limits = &self.config.limits;
        let (ping_secs, pong_secs) = (limits.ping_secs, limits.pong_secs);
        let conn = &mut self.conns[slot.index()];
        let silent_until = conn.heard.after_secs(ping_secs);
        if silent_until > now.tick() {
            conn.pinged = false;
            return self.deadlines.set(slot, silent_until);
        }
        // Who is not read from cannot answer, be it an echo that owes or one whose room is behind;
        // if its peer is gone, the kernel will say so.
        if !conn.reads || conn.stalled {
            return self.deadlines.set(slot, now.tick().after_secs(ping_secs));
        }
        if conn.pinged {
            self.counters.hit(Hit::PongSecs);
            return self.start_closing(
                now,
                slot,
                CloseReason::NoPong,
                Some(CloseCode::POLICY),
                "no pong",
            );
        }
        conn.pinged = true;
        self.deadlines.set(slot, now.tick().after_secs(pong_secs.max(1)));
        self.direct_frame(slot, Opcode::Ping, b"");
    }

    /// Takes the connection out of all of its rooms, or off its way into them.
    pub(super) fn leave(&mut self, slot: Slot) {
        self.leave_places(slot);
        self.leave_own(slot);
    }

    /// Takes it out of the room that its path names.
    fn leave_own(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let transit = conn.transit.take();
        match std::mem::replace(&mut conn.role, Role::Nothing) {
            Role::Nothing | Role::Echo | Role::Handled => {}
            Role::Waiting { room } => {
                if let Some(Transit::Joining(Joining { pin: Some(pin), .. })) = transit.as_deref() {
                    self.pins.remove(pin);
                    self.dispatch.unpin(room, *pin);
                }
                self.dispatch.leave(room);
            }
            Role::Member { lane, seat } => {
                let room = self.lanes.lane(lane).room;
                if let Some(Transit::Leaving(Leaving { pin: Some(pin), .. })) = transit.as_deref() {
                    self.pins.remove(pin);
                    self.dispatch.unpin(room, *pin);
                }
                if self.shows(slot, lane) && !faults::is(Mutant::PresenceLeaked) {
                    let face = self.face(slot);
                    self.dispatch.hide(room, face);
                }
                self.vacate(slot, lane, seat);
            }
        }
    }

    pub(super) fn vacate(&mut self, slot: Slot, id: LaneId, seat: u32) {
        let lane = self.lanes.lane_mut(id);
        lane.floors.retain(|floor| floor.slot != slot);
        // Only a lane that has fallen silent gives up its room.
        lane.departed += 1;
        if let Some(moved) = lane.leave(seat) {
            let Self { conns, extras, .. } = self;
            places::reseat(&mut conns[moved.index()], extras, moved, id, seat);
        }
        self.settle_lane(id);
    }

    /// Ends a connection, once. `reason` counts if none was known before.
    pub(super) fn release(&mut self, slot: Slot, reason: CloseReason) {
        if self.conn(slot).is_none() {
            return;
        }
        self.leave(slot);
        self.stop_owing(slot);
        self.deadlines.clear(slot);
        self.note_gone(slot, reason);
        let conn = self.vacate_slot(slot);
        self.refused -= u32::from(conn.refused.is_some());
        let reason = conn.reason.unwrap_or(reason);
        self.counters.closed[reason.index()] += u64::from(!faults::is(Mutant::CloseUncounted));
        self.effects.push_back(Effect::Release { slot, reason });
        if faults::is(Mutant::ReleasedTwice) {
            self.effects.push_back(Effect::Release { slot, reason });
        }
    }

    /// Makes the slot free; what was in it is returned.
    pub(super) fn vacate_slot(&mut self, slot: Slot) -> Conn {
        self.live -= 1;
        let conn = self.conns.vacate(slot, self.live);
        self.forget_author(conn.author, slot);
        self.forget_extra(slot);
        self.names.remove(&slot);
        self.forget_agreement(slot, conn.agreement);
        if conn.edged {
            self.forget_at_edge(&conn);
        }
        self.inbound -= conn.session.held_bytes() + conn.head_bytes();
        conn
    }
}
