//! Messages that take too long: how long each may, from its first byte to its last.
//!
//! A connection is looked at when its message began, and when that was `message_secs` ago; the
//! bytes between cost nothing.

use super::{Hub, Stage};
use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::hit::Hit;
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    /// Something is half received: if it begins now, its time does too.
    pub(super) fn await_end(&mut self, now: Now, slot: Slot) {
        if self.conns[slot.index()].session.begin(now.tick()) {
            let until = now.tick().after_secs(self.config.limits.message_secs);
            self.messages_due.set(slot, until);
        }
    }

    /// Closes those whose message takes too long.
    pub(super) fn close_overdue(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.scratch.due);
        self.messages_due.sweep(now, &mut due);
        for slot in due.drain(..) {
            let conn = &mut self.conns[slot.index()];
            let Some(since) = conn.session.since().filter(|_| conn.stage == Stage::Open) else {
                continue;
            };
            if !conn.reads {
                // It is kept from going on. What comes when it is read again begins anew.
                conn.session.begin_anew();
                continue;
            }
            let until = since.after_secs(self.config.limits.message_secs);
            if self.is_late(now) {
                self.messages_due.set(slot, self.late_until);
                continue;
            }
            if until > now.tick() {
                // Another message than the one that was looked for.
                self.messages_due.set(slot, until);
                continue;
            }
            self.counters.hit(Hit::MessageSecs);
            let code = CloseCode::POLICY;
            self.fail(now, slot, CloseReason::Protocol(code), code, "message took too long");
        }
        self.scratch.due = due;
    }
}
