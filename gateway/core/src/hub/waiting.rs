//! Who is read from: not those whose room, rate or own debts have them wait.

use super::{Hub, Stage, Who};
use crate::event::Effect;
use crate::slot::Slot;
use crate::time::{Now, Tick};

/// A connection that is read from more slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowed {
    who: Who,
    until: Tick,
}

impl Hub {
    /// Tells the driver if the readiness that matters has changed.
    pub(super) fn update_interest(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        let owes = conn.owes();
        // An echo is never closed for slowness: what it has not taken back, it may not add to.
        let open_echo = conn.echoes && conn.stage == Stage::Open;
        let full = open_echo && (owes || self.echoes_paused);
        // Who is closing publishes nothing any more, but may say goodbye, and end.
        let waits = conn.stalled || conn.slowed || conn.put_off || conn.transit.is_some();
        let waits = waits && !matches!(conn.stage, Stage::Closing | Stage::Lingering);
        let (read, write) = (!conn.ended && !full && !waits, owes);
        if (read, write) != (conn.reads, conn.writes) {
            if read != conn.reads {
                // The time in which it is not read from is not its own.
                conn.session.begin_anew();
            }
            let goes_on = read && !conn.reads && conn.head.is_some();
            (conn.reads, conn.writes) = (read, write);
            self.effects.push_back(Effect::Interest { slot, read, write });
            if goes_on {
                // What it said before it had to wait comes before what is read.
                let who = self.who(slot);
                self.seated.push_back(who);
            }
        }
    }

    /// Reads nothing more from a connection until a moment.
    pub(super) fn slow_down(&mut self, now: Now, slot: Slot, until: Now) {
        let until = Tick(until.tick().0.max(now.tick().0) + 1);
        let who = self.who(slot);
        let before = self.slowed.get(&slot).filter(|before| before.who == who);
        if before.is_none() {
            self.counters.slowed += 1;
        }
        // What asks for less does not shorten what something else asked for.
        let until = before.map_or(until, |before| before.until.max(until));
        self.slowed.insert(slot, Slowed { who, until });
        self.slowed_until = self.slowed_until.min(until);
        self.conns[slot.index()].slowed = true;
        self.update_interest(slot);
    }

    /// Reads again from those whose time has come.
    pub(super) fn read_the_slowed(&mut self, now: Now) {
        if self.slowed_until > now.tick() {
            return;
        }
        let mut due = Vec::new();
        self.slowed.retain(|_, slowed| {
            let waits = slowed.until > now.tick();
            if !waits {
                due.push(slowed.who);
            }
            waits
        });
        let next = self.slowed.values().map(|slowed| slowed.until).min();
        self.slowed_until = next.unwrap_or(Tick::NEVER);
        // Who has made least of what it said goes first, or those who make as much as a turn may
        // would have others wait for ever.
        due.sort_by_key(|who| self.inflated_until(who.slot));
        for who in due {
            if self.present(who).is_some() {
                self.conns[who.slot.index()].slowed = false;
                self.update_interest(who.slot);
            }
        }
    }
}
