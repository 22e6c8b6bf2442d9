//! On the way into a room: a connection is answered when its room is heard here.
//!
//! So whoever has seen the response hears everything that is published from then on.

use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, buggify, sometimes};

use super::conn::{Joining, Transit};
use super::rounds::Missed;
use super::{Hub, Role, Stage, Who};
use crate::dispatch::RoomKey;
use crate::id::Author;
use crate::message::Batch;
use crate::position::{Offset, Position};
use crate::route::Namespace;
use crate::slot::Slot;
use crate::time::Now;

/// Connections of a shard that are told what they missed at a time: each may be told as much as it
/// may owe, and what comes is kept until it is sent.
const RECOVERIES_MAX: usize = 64;

/// How a connection wants to join its room.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// Where it was, if it wants to go on from there.
    pub(super) since: Option<Position>,
    /// Who it says it is.
    pub(super) author: Option<Author>,
}

impl Hub {
    /// Sends a connection on its way into a room.
    pub(super) fn join(
        &mut self,
        now: Now,
        slot: Slot,
        namespace: Namespace,
        name: &str,
        joining: Joining,
    ) {
        let (room, ready) = self.dispatch.enter(namespace, name);
        let conn = &mut self.conns[slot.index()];
        conn.role = Role::Waiting { room };
        if ready && joining.since.is_none() {
            // It waits for nothing, so that nobody stops reading from it to go on at once.
            return self.sit_down(now, slot, joining, &Recovered::nothing());
        }
        if joining.response.is_some() {
            conn.stage = Stage::Joining;
            let patience = now.tick().after_secs(self.config.limits.handshake_secs.max(1));
            self.deadlines.set(slot, patience);
        }
        let conn = &mut self.conns[slot.index()];
        conn.transit = Some(Box::new(Transit::Joining(joining)));
        self.update_interest(slot);
        if ready {
            self.queue_for_past(slot, room);
        } else {
            let who = self.who(slot);
            self.joining.entry(room).or_default().push(who);
        }
    }

    /// The room is heard: those who wait for it go on, or to its home while it is small.
    pub(super) fn go_on_joining(&mut self, now: Now, room: RoomKey) {
        let mut waiting = self.joining.remove(&room).unwrap_or_default();
        waiting.retain(|&who| self.present(who).is_some());
        // If all of them have left, the room may be no more.
        if waiting.is_empty() {
            return;
        }
        let small = self.config.limits.small_room_members_max;
        let home = self.dispatch.elsewhere(room);
        let mut home = home.map(|(home, members)| (home, small.saturating_sub(members)));
        for who in waiting {
            let slot = who.slot;
            if self.waits_for_place(slot, room) {
                self.enter_place(slot, room);
                continue;
            }
            match &mut home {
                Some((to, places)) if *places > 0 && self.may_follow(slot) => {
                    *places -= 1;
                    let to = *to;
                    self.ship(now, slot, to);
                }
                _ => self.enter_room(now, slot),
            }
        }
    }

    /// Whether a connection may go where its room's home is: before it was answered, and once.
    fn may_follow(&mut self, slot: Slot) -> bool {
        if self.keeps_window(slot) {
            // Its window's memory is bounded here, where it was promised.
            return false;
        }
        let joining = self.conns[slot.index()].joining();
        joining.is_some_and(|joining| {
            joining.response.is_some() && joining.since.is_none() && !joining.stays
        })
    }

    /// The room is heard here: asks for what came since the connection heard it, or joins.
    fn enter_room(&mut self, now: Now, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let Role::Waiting { room } = conn.role else { return };
        let joining = conn.joining().expect("who waits is joining");
        match joining.since {
            None => self.sit_down_at_last(now, slot, &Recovered::nothing()),
            Some(_) => self.queue_for_past(slot, room),
        }
    }

    /// Asks for what a connection missed of a room, now or when fewer do.
    pub(super) fn queue_for_past(&mut self, slot: Slot, room: RoomKey) {
        let many = self.recoveries > 0 && buggify!(RecoveriesMany);
        match self.recoveries < RECOVERIES_MAX && !many {
            true => self.ask_for_past(slot, room),
            false => self.askers.push_back((self.who(slot), room)),
        }
    }

    /// What came since a connection heard its room.
    pub(super) fn recovered(&mut self, now: Now, room: RoomKey, ask: u64, recovered: &Recovered) {
        let who = Who { slot: Slot(ask as u32), generation: (ask >> 32) as u32 };
        let before = self.pending.missed.len();
        let waits = self.present(who).is_some_and(|conn| conn.role == Role::Waiting { room });
        if waits {
            self.sit_down_at_last(now, who.slot, recovered);
        } else if self.present(who).is_some()
            && let Some(since) = self.asks_from(who.slot, room)
        {
            self.sit_in_place(who.slot, room);
            self.catch_up_later(now, who.slot, room, since, recovered);
        }
        // Else it is finished when that is sent.
        if self.pending.missed.len() == before {
            self.finish_recovery();
        }
    }

    pub(super) fn ask_of(&self, slot: Slot) -> u64 {
        u64::from(self.conns[slot.index()].generation) << 32 | u64::from(slot.0)
    }

    /// What the connection has waited for is there.
    fn sit_down_at_last(&mut self, now: Now, slot: Slot, recovered: &Recovered) {
        let transit = self.conns[slot.index()].transit.take();
        let Some(Transit::Joining(joining)) = transit.map(|transit| *transit) else {
            unreachable!("who waits is joining")
        };
        self.sit_down(now, slot, joining, recovered);
    }

    /// The connection is a member from now on.
    fn sit_down(&mut self, now: Now, slot: Slot, joining: Joining, recovered: &Recovered) {
        let Role::Waiting { room } = self.conns[slot.index()].role else {
            unreachable!("who sits down has waited")
        };
        let Joining { encoding, response, since, .. } = joining;
        let lane = self.lanes.enter(room, encoding, self.reach(slot));
        let seat = self.lanes.lane_mut(lane).join(slot);
        self.conns[slot.index()].role = Role::Member { lane, seat };
        if self.conns[slot.index()].owes() {
            self.lanes.lane_mut(lane).mark_owing(seat, true);
        }
        let at = recovered.at.unwrap_or_else(|| self.dispatch.position(room));
        let mut resumed = since.filter(|_| recovered.complete);
        if faults::is(Mutant::MovedBack) {
            let here = at;
            resumed = resumed.map(|since| if since.offset > here.offset { here } else { since });
        }
        if let Some(Position { offset, .. }) = resumed {
            self.keep_floor(slot, room, offset, at);
        }
        let is_new = response.is_some();
        match response {
            Some(response) => {
                self.direct_raw(slot, |out| out.extend_from_slice(&response));
                self.open(now, slot);
                self.welcome(slot, resumed.unwrap_or(at), resumed.is_some());
            }
            None => self.update_interest(slot),
        }
        if self.shows(slot, lane) {
            let face = self.face(slot);
            self.dispatch.show(room, face);
            if !is_new {
                self.note_arrival(now, room, encoding);
            }
        }
        // Who has just subscribed, and missed something, was told so already.
        if let Some(since) = since.filter(|_| recovered.complete || !is_new) {
            self.tell_past(now, slot, room, since, recovered);
        }
        let who = self.who(slot);
        self.seated.push_back(who);
    }

    /// A connection that was put into a room heard it elsewhere, up to `since`.
    fn catch_up_later(
        &mut self,
        now: Now,
        slot: Slot,
        room: RoomKey,
        since: Position,
        recovered: &Recovered,
    ) {
        if recovered.complete {
            let at = recovered.at.unwrap_or_else(|| self.dispatch.position(room));
            self.keep_floor(slot, room, since.offset, at);
        }
        self.tell_past(now, slot, room, since, recovered);
    }

    /// Tells what came since a position, or that some of it is lost.
    fn tell_past(
        &mut self,
        now: Now,
        slot: Slot,
        room: RoomKey,
        since: Position,
        recovered: &Recovered,
    ) {
        match &recovered.batch {
            Some(batch) if recovered.complete && !batch.is_empty() => {
                let Who { slot, generation } = self.who(slot);
                let (epoch, batch) = (self.dispatch.position(room).epoch, Arc::clone(batch));
                self.pending.missed.push_back(Missed { slot, generation, room, epoch, batch });
            }
            _ if !recovered.complete => {
                let at = recovered.at.unwrap_or_else(|| self.dispatch.position(room));
                self.missed(now, slot, room, since, at);
            }
            _ => {}
        }
    }

    /// A member that is further on than the room was here, `at`, hears nothing until it gets there.
    fn keep_floor(&mut self, slot: Slot, room: RoomKey, offset: Offset, at: Position) {
        if offset > at.offset
            && !faults::is(Mutant::FloorForgotten)
            && let Some(lane) = self.lane_at(slot, room)
        {
            sometimes!(AheadHeld);
            self.lanes.lane_mut(lane).set_floor(slot, offset);
        }
    }

    /// One recovery less is under way: the next connection that waits for one asks.
    pub(super) fn finish_recovery(&mut self) {
        self.recoveries = self.recoveries.checked_sub(1).expect("a recovery ends once");
        while self.recoveries < RECOVERIES_MAX
            && let Some((who, room)) = self.askers.pop_front()
        {
            sometimes!(RecoveryWaited);
            // It may have gone, or its room with it.
            if self.present(who).is_some() {
                self.ask_for_past(who.slot, room);
            }
        }
    }

    fn ask_for_past(&mut self, slot: Slot, room: RoomKey) {
        let ask = self.ask_of(slot);
        let conn = &mut self.conns[slot.index()];
        if conn.role != (Role::Waiting { room }) {
            return self.ask_for_place(slot, room);
        }
        let Some(joining) = conn.joining() else { return };
        let (since, pin) = (joining.since.expect("it was there before"), joining.pin.take());
        self.recoveries += 1;
        self.dispatch.recover(room, ask, since, pin);
    }

    /// What came while its sender waited. What it publishes follows all that was told until now:
    /// others may have been told of their room's past already and still have to sit down.
    pub(super) fn receive_what_waited(&mut self, now: Now, who: Who) {
        let Who { slot, .. } = who;
        let stage = self.present(who).map(|conn| conn.stage);
        if !matches!(stage, Some(Stage::Open | Stage::Closing)) {
            return;
        }
        if stage == Some(Stage::Open) && !self.may_read(slot) {
            // It still has to wait, and goes on when it is read from again.
            return;
        }
        // Of one whose handler has closed it already only a goodbye is of interest.
        self.go_on(now, slot);
    }
}

/// What came since a member's position, if it asked.
pub(super) struct Recovered {
    pub(super) batch: Option<Arc<Batch>>,
    pub(super) complete: bool,
    /// Where the room was then: what is said behind that is still to be heard. Without it the room
    /// is where it is now.
    pub(super) at: Option<Position>,
}

impl Recovered {
    fn nothing() -> Self {
        Self { batch: None, complete: false, at: None }
    }
}
