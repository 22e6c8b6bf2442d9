//! What a hub does without the probe adapter: raw members are told messages, and nothing beside.

use super::Hub;
use super::join::Subscription;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::Change;
use crate::frame::Kind;
use crate::handshake::{Refusal, Request};
use crate::lanes::LaneId;
use crate::position::Position;
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::Now;

/// A raw member joins where its room is.
pub(super) fn subscription(_: &Request<'_>, _: Encoding) -> Result<Subscription, Refusal> {
    Ok(Subscription::default())
}

impl Hub {
    /// What a member said.
    pub(super) fn say(
        &mut self,
        now: Now,
        slot: Slot,
        lane: LaneId,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        let room = self.lanes.lane(lane).room;
        self.publish(now, slot, room, kind, payload, None);
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, _: Slot, _: Option<u64>, _: Position) {}

    pub(super) fn welcome(&mut self, _: Slot, _: Position, _: bool) {}

    /// A member that moved missed something, and nobody remembers it.
    pub(super) fn missed(&mut self, now: Now, slot: Slot, _: RoomKey, _: Position, _: Position) {
        self.counters.gaps += 1;
        if !self.is_lossy(slot) {
            self.close_for_gap(now, slot);
        }
    }

    pub(super) fn tell_gap(&mut self, _: RoomKey, _: Position) {}

    pub(super) fn tell_reset(&mut self, _: RoomKey, _: Position) {}

    pub(super) fn tell_presence(&mut self, _: RoomKey, _: Change) {}
}
