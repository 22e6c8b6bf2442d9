//! How often a client may ping, or answer pings.

use super::Hub;
use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::hit::Hit;
use crate::limits::Limits;
use crate::middleware::Rate;
use crate::slot::Slot;
use crate::time::Now;

/// Control frames of a client, or nothing if it may send as many as it likes.
pub(super) fn rate(limits: &Limits) -> Option<Rate> {
    Rate::new(limits.controls_per_sec, limits.controls_burst)
}

impl Hub {
    /// Whether the client may send one more control frame now.
    #[inline(never)]
    pub(super) fn admits_control(&mut self, now: Now, slot: Slot) -> bool {
        let allowed = &mut self.conns[slot.index()].controls;
        self.control_rate.is_none_or(|rate| rate.take(allowed, now) == 0)
    }

    pub(super) fn close_for_controls(&mut self, now: Now, slot: Slot) {
        self.counters.hit(Hit::ControlRate);
        let (code, text) = (CloseCode::POLICY, "too many control frames");
        self.fail(now, slot, CloseReason::Protocol(code), code, text);
    }
}
