//! A new connection takes its slot, or is only there to hear that there is no place.

use gateway_faults::{self as faults, Mutant};

use super::Hub;
use super::conn::{Conn, Stage};
use crate::event::{CloseReason, Effect, Full};
use crate::hit::Hit;
use crate::id::Author;
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    pub(super) fn accept(&mut self, now: Now, slot: Slot, full: Option<Full>) {
        let limits = &self.config.limits;
        self.conns.reach(slot);
        self.counters.accepted += 1;
        let served = self.live - self.refused;
        let over = u32::from(faults::is(Mutant::OverCapacity));
        let drains = self.is_draining() && !faults::is(Mutant::OpenWhileDraining);
        let overfull = drains || served >= limits.connections_max + over;
        let refused = full.or_else(|| overfull.then_some(Full::Node));
        if refused.is_some() && self.refused >= limits.refusals_max {
            self.counters.hit(Hit::Refusals);
            let reason = CloseReason::Overloaded;
            self.counters.closed[reason.index()] += 1;
            return self.effects.push_back(Effect::Release { slot, reason });
        }
        let secs = match refused {
            Some(_) => limits.refusal_secs.max(1),
            None => limits.handshake_secs,
        };
        self.deadlines.set(slot, now.tick().after_secs(secs));
        // A node that goes away refuses everyone, whatever there is room for.
        if let Some(full) = refused.filter(|_| self.drain.is_none()) {
            self.counters.hit(full.hit());
        }
        let shard = self.config.shard.unwrap_or_default();
        let conn = &mut self.conns[slot.index()];
        conn.author = Author::born(shard, slot, conn.generation);
        conn.stage = Stage::Upgrading;
        conn.refused = refused;
        self.live += 1;
        self.refused += u32::from(refused.is_some());
    }

    /// Somebody is here only to hear what is full: a newcomer, or one whose request is awaited.
    pub(super) fn turn_away(&mut self, now: Now, slot: Slot, full: Full) {
        let Some(Conn { stage, refused, .. }) = self.conn(slot) else {
            return self.accept(now, slot, Some(full));
        };
        // Who was answered, or is about to hear the same, hears nothing else.
        if *stage != Stage::Upgrading || refused.is_some() {
            return;
        }
        let limits = &self.config.limits;
        if self.refused >= limits.refusals_max {
            self.counters.hit(Hit::Refusals);
            return self.release(slot, CloseReason::Overloaded);
        }
        self.deadlines.set(slot, now.tick().after_secs(limits.refusal_secs.max(1)));
        self.conns[slot.index()].refused = Some(full);
        self.refused += 1;
        if !self.is_draining() {
            self.counters.hit(full.hit());
        }
    }
}
