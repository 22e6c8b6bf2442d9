//! Members that speak `weir.probe.v1`: only in simulation and tests.

use super::Hub;
use super::join::Subscription;
use crate::chunk::Span;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::Change;
use crate::frame::Kind;
use crate::handshake::{Refusal, Request};
use crate::id::Author;
use crate::lanes::LaneId;
use crate::position::{Offset, Position};
use crate::probe::{self, Malformed, ToClient, ToServer, Why};
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::Now;

/// How a connection wants to join its room, by its encoding.
pub(super) fn subscription(
    request: &Request<'_>,
    encoding: Encoding,
) -> Result<Subscription, Refusal> {
    match encoding {
        Encoding::Raw | Encoding::Line | Encoding::Chat => Ok(Subscription::default()),
        Encoding::Probe => {
            let asked = probe::Subscribe::parse(request.query())?;
            let author = asked.author.map(Author::named);
            Ok(Subscription { since: asked.since, author })
        }
    }
}

impl Hub {
    /// What a member said, by its encoding.
    pub(super) fn say(
        &mut self,
        now: Now,
        slot: Slot,
        lane: LaneId,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        let lane = self.lanes.lane(lane);
        let room = lane.room;
        if lane.encoding != Encoding::Probe {
            self.publish(now, slot, room, kind, payload, None);
            return Ok(());
        }
        // All frames of the protocol are binary.
        if kind != Kind::Binary {
            return Err(ProtocolError::Adapter);
        }
        self.say_probing(now, slot, room, payload.as_slice())
    }

    fn say_probing(
        &mut self,
        now: Now,
        slot: Slot,
        room: RoomKey,
        bytes: &[u8],
    ) -> Result<(), ProtocolError> {
        let said = ToServer::decode(bytes).map_err(|malformed| match malformed {
            Malformed::NotUtf8 => ProtocolError::NotUtf8,
            Malformed::Short | Malformed::Long | Malformed::Tag | Malformed::Value => {
                ProtocolError::Adapter
            }
        })?;
        match said {
            ToServer::Publish { id, kind, payload } => {
                self.publish(now, slot, room, kind, Payload::Whole(payload), Some(id));
            }
            ToServer::Members { id } => {
                let who = self.dispatch.present(room).map(|face| face.author).collect();
                self.tell(slot, &ToClient::Members { id, who });
            }
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, slot: Slot, message: &ToClient<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.direct_frame(slot, crate::frame::Opcode::Binary, &bytes);
    }

    /// Appends a frame to what all probes of the room hear; the lane, and where the frame is.
    fn tell_lane(&mut self, room: RoomKey, message: &ToClient<'_>) -> Option<(LaneId, Span)> {
        let lane = self.lanes.reading(room, &[Encoding::Probe]).next()?;
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.fill(lane);
        let chunk = &mut self.lanes.lane_mut(lane).filling;
        let start = chunk.len();
        chunk.push_frame(crate::frame::Opcode::Binary, &bytes);
        let span = Span { start, end: chunk.len() };
        self.queue_lane(lane);
        Some((lane, span))
    }

    pub(super) fn acknowledge(&mut self, slot: Slot, publish: Option<u64>, position: Position) {
        let Some(id) = publish else { return };
        match position.offset {
            Offset::START => self.tell(slot, &ToClient::Refused { id, why: Why::Full }),
            _ => self.tell(slot, &ToClient::Ack { id, position }),
        }
    }

    pub(super) fn tell_gap(&mut self, room: RoomKey, position: Position) {
        let told = self.tell_lane(room, &ToClient::Gap { position });
        if let Some((lane, span)) = told {
            // Who is further on has lost nothing.
            self.keep_floors(lane, position.offset, span);
        }
    }

    pub(super) fn tell_reset(&mut self, room: RoomKey, position: Position) {
        self.tell_lane(room, &ToClient::Reset { position });
    }

    pub(super) fn tell_presence(&mut self, room: RoomKey, change: Change) {
        let Change { who, joined } = change;
        let who = who.author;
        let message = if joined { ToClient::Joined { who } } else { ToClient::Left { who } };
        self.tell_lane(room, &message);
    }

    /// The first frame: from where on the member hears its room.
    pub(super) fn welcome(&mut self, slot: Slot, position: Position, recovered: bool) {
        let Some((lane, _)) = self.seat(slot) else { return };
        if self.lanes.lane(lane).encoding != Encoding::Probe {
            return;
        }
        self.tell(slot, &ToClient::Subscribed { position, recovered });
    }

    /// A member that moved missed something since it heard its room, up to `position`, and nobody
    /// remembers it.
    pub(super) fn missed(
        &mut self,
        now: Now,
        slot: Slot,
        room: RoomKey,
        since: Position,
        position: Position,
    ) {
        let Some(lane) = self.lane_at(slot, room) else { return };
        match self.lanes.lane(lane).encoding {
            Encoding::Probe => {
                self.counters.gaps += 1;
                let told = if position.epoch == since.epoch {
                    ToClient::Gap { position }
                } else {
                    ToClient::Reset { position }
                };
                self.tell(slot, &told);
            }
            Encoding::Raw | Encoding::Line | Encoding::Chat if self.is_lossy(slot) => {
                self.counters.gaps += 1;
            }
            Encoding::Raw | Encoding::Line | Encoding::Chat => {
                self.counters.gaps += 1;
                self.close_for_gap(now, slot);
            }
        }
    }
}
