//! A connection is over, for a reason that has to be true and that who reads has heard.

use gateway_core::event::CloseReason;
use gateway_core::position::{Epoch, Offset, Position};

use super::client::{OPEN_WINDOW, Place, Reads, Stage};
use super::ears::Ears;
use crate::promise::Promise;

/// What RFC 6455 §7.4.1 has for whoever does not keep to the rules of the house.
const POLICY: u16 = 1008;

impl Ears {
    /// A connection is over; where its client was, if it knows.
    pub(super) fn over(
        &mut self,
        id: u32,
        reason: CloseReason,
    ) -> Option<(u16, Position, Option<u32>)> {
        self.trace.fold(u64::from(id) << 8 | reason.index() as u64);
        let client = &mut self.clients[id as usize];
        let stage = std::mem::replace(&mut client.stage, Stage::Over);
        client.place = Place::Nowhere;
        client.reason = Some(reason);
        let (reads, close) = (client.reads == Reads::Freely, client.heard_close);
        let attentive = reads && !client.severed && stage == Stage::Open;
        let (up, said) = (std::mem::take(&mut client.up), std::mem::take(&mut client.said));
        drop((up, said));
        client.given = 0;
        let expected = self.last_word(id, reason);
        // Whoever has to wait may be cut when the shard's memory is short.
        let blocked = self.clients[id as usize].blocked;
        let cut = blocked && close.is_none();
        if attentive && expected.is_some() && close != expected && !cut {
            let drained = reason == CloseReason::Drained;
            let promise = if drained { Promise::Farewell } else { Promise::Accounted };
            let what = format!("it was closed for {reason:?} and heard {close:?}");
            self.complain(promise, id, &what);
        }
        if reason == CloseReason::Slow && !blocked {
            let what = "it took all it was sent and was closed as slow";
            self.complain(Promise::Accounted, id, what);
        }
        let client = &self.clients[id as usize];
        if !client.subscribed || client.window == OPEN_WINDOW && !client.partial.is_empty() {
            return None;
        }
        let name =
            self.record.rooms[usize::from(client.room)].epochs[usize::from(client.epoch)].name;
        let position = Position { epoch: Epoch(name), offset: Offset(client.offset) };
        Some((client.room, position, client.name))
    }

    /// The close code that a member reads when it is closed for this reason, if there is one.
    fn last_word(&mut self, id: u32, reason: CloseReason) -> Option<u16> {
        match reason {
            CloseReason::Slow => {
                self.coverage.slow_closes += 1;
                Some(1013)
            }
            CloseReason::Gap => {
                self.coverage.gap_closes += 1;
                Some(1013)
            }
            CloseReason::Drained => Some(1001),
            CloseReason::NoPong => {
                self.coverage.no_pongs += 1;
                self.check_silent(id);
                Some(1008)
            }
            CloseReason::Overloaded => {
                self.coverage.overloaded += 1;
                None
            }
            CloseReason::Protocol(code) => {
                self.coverage.broken_rules += 1;
                self.check_spoiled(id, code.to_u16());
                Some(code.to_u16())
            }
            CloseReason::Told(code) => {
                self.coverage.told_off += 1;
                if !self.clients[id as usize].told_off {
                    self.complain(Promise::Accounted, id, "nobody told it to go");
                }
                Some(code.to_u16())
            }
            CloseReason::HandshakeTimeout => {
                self.coverage.timeouts += 1;
                None
            }
            CloseReason::Peer(_)
            | CloseReason::Ended
            | CloseReason::Reset
            | CloseReason::Answered(_) => None,
            CloseReason::Inbound | CloseReason::Panic | CloseReason::Flood => {
                let what = format!("it did nothing wrong and was closed for {reason:?}");
                self.complain(Promise::Accounted, id, &what);
                None
            }
        }
    }

    /// Who is closed for its silence did not answer a ping.
    fn check_silent(&mut self, id: u32) {
        if !self.clients[id as usize].lagged {
            let what = "it answered every ping and was closed for none";
            self.complain(Promise::Accounted, id, what);
        }
    }

    /// Who is closed for what it said has said what is closed for so.
    fn check_spoiled(&mut self, id: u32, code: u16) {
        let client = &self.clients[id as usize];
        let late = code == POLICY && (client.mute.is_some() || client.amid);
        if !late && client.spoiled.is_none_or(|it| it.code != Some(code)) {
            let what = format!("it was closed with {code} for what it did not say");
            self.complain(Promise::Accounted, id, &what);
        }
    }
}
