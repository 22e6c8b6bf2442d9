//! Messages: from whoever says them into what each lane of the room says.

use gateway_faults::{self as faults, Mutant};

use super::deflation::{Form, Spelling};
use super::edge::Stop;
use super::{Hub, Role, Unanswered, Who, places};
use crate::body::Body;
use crate::chunk::{Chunk, Span};
use crate::deflate::Reach;
use crate::dispatch::{Published, RoomKey};
use crate::encoding::Encoding;
use crate::frame::{Kind, Opcode};
use crate::id::{Author, ShardId};
use crate::lane::{Lane, Skip};
use crate::lanes::LaneId;
use crate::message::{Deflated, ENTRY_COST_BYTES, Meta, Words};
use crate::position::{Epoch, Offset, Position};
use crate::route::{self, Namespace};
use crate::session::{Payload, ProtocolError};
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    /// What a connection said.
    // Passing payloads from call to call costs an echo 9 % more instructions.
    #[inline(always)]
    pub(super) fn message(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<(), Stop> {
        self.counters.messages += 1;
        match self.conns[slot.index()].edged {
            true => self.message_at_edge(now, slot, kind, payload),
            false => self.serve(now, slot, kind, payload).map_err(Stop::from),
        }
    }

    /// Does with a message what its route is for.
    #[inline(always)]
    pub(super) fn serve(
        &mut self,
        now: Now,
        slot: Slot,
        kind: Kind,
        payload: Payload<'_>,
    ) -> Result<(), ProtocolError> {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } if self.route(slot).kind == route::Kind::Chat => {
                self.chat(now, slot, lane, kind, payload);
            }
            Role::Member { lane, .. } => return self.say(now, slot, lane, kind, payload),
            Role::Echo => self.say_to(now, slot, kind, payload),
            // Its handler has served it, or its middleware did not want that.
            Role::Handled => {}
            Role::Nothing | Role::Waiting { .. } => {
                unreachable!("only who is open and joined is understood")
            }
        }
        Ok(())
    }

    /// A message for one connection alone.
    #[inline(always)]
    pub(super) fn say_to(&mut self, now: Now, slot: Slot, kind: Kind, payload: Payload<'_>) {
        let start = self.pending.direct.len();
        self.prepare_direct();
        if self.reach(slot) != Reach::None && self.say_deflated(now, slot, kind, &payload) {
            return;
        }
        match self.large(payload) {
            Ok(body) => self.pending.direct.push_body(kind.opcode(), body),
            Err(payload) => self.pending.direct.push_frame(kind.opcode(), payload.as_slice()),
        }
        self.counters.deliveries += 1;
        self.address(slot, start, true);
    }

    /// Says a message to one connection alone as it reads it best, if that is worth it.
    #[inline(never)]
    fn say_deflated(&mut self, now: Now, slot: Slot, kind: Kind, payload: &Payload<'_>) -> bool {
        let (limits, message) = (&self.config.limits, payload.as_slice());
        let form = Form { spelling: Spelling::Bytes, reach: self.reach(slot) };
        self.deflation.next_message();
        let deflated = self.deflation.deflated(now, limits, message, form, None);
        let Some(deflated) = deflated else { return false };
        let start = self.pending.direct.len();
        self.pending.direct.push_deflated(kind.opcode(), deflated);
        self.counters.deliveries += 1;
        self.address(slot, start, true);
        true
    }

    /// Publishes a message to the room; its author does not hear it.
    pub(super) fn publish(
        &mut self,
        now: Now,
        slot: Slot,
        room: RoomKey,
        kind: Kind,
        payload: Payload<'_>,
        publish: Option<u64>,
    ) {
        let author = self.conns[slot.index()].author;
        self.publish_payload(now, author, Some((slot, publish)), room, kind, payload);
    }

    fn publish_payload(
        &mut self,
        now: Now,
        author: Author,
        by: Option<(Slot, Option<u64>)>,
        room: RoomKey,
        kind: Kind,
        payload: Payload<'_>,
    ) {
        match self.large_for(room, kind, payload) {
            Ok(body) => self.publish_words(now, author, by, room, kind, Words::Body(&body)),
            Err(payload) => {
                let words = Words::Bytes(payload.as_slice());
                self.publish_words(now, author, by, room, kind, words);
            }
        }
    }

    /// Publishes to a room that a program names, of which the connection need not be a member.
    pub(super) fn publish_in(
        &mut self,
        now: Now,
        author: Author,
        by: Option<Slot>,
        (namespace, name): (Namespace, &str),
        kind: Kind,
        payload: Payload<'_>,
    ) {
        // It is there as long as it speaks; what is under way keeps the room.
        let (room, _) = self.dispatch.enter(namespace, name);
        self.publish_payload(now, author, by.map(|slot| (slot, None)), room, kind, payload);
        if let Some(slot) = by
            && self.dispatch.is_stalled(room)
            && !self.conns[slot.index()].stalled
        {
            self.stall(slot, room);
        }
        self.dispatch.leave(room);
    }

    /// Publishes words, `by` a connection of this shard that is told of their place, or by nobody.
    pub(super) fn publish_words(
        &mut self,
        now: Now,
        author: Author,
        by: Option<(Slot, Option<u64>)>,
        room: RoomKey,
        kind: Kind,
        words: Words<'_>,
    ) {
        match self.dispatch.publish(now.tick(), room, author, kind, words) {
            Published::Said { prev, position } => {
                let (offset, origin) = (position.offset, ShardId::default());
                let meta = Meta { prev, offset, author, origin, id: 0, kind };
                self.append(now, room, position.epoch, &meta, words, None);
                if let Some((slot, publish)) = by {
                    self.acknowledge(slot, publish, position);
                }
            }
            Published::Waits { id } => {
                let mut publish = by.and_then(|(_, publish)| publish);
                let who = by.map(|(slot, _)| self.who(slot));
                if let Some(Who { slot, .. }) = who {
                    self.conns[slot.index()].unanswered += 1;
                    if faults::is(Mutant::EarlyAck) {
                        let Position { epoch, offset } = self.dispatch.position(room);
                        let position = Position { epoch, offset: offset.next() };
                        self.acknowledge(slot, publish.take(), position);
                    }
                }
                let bytes = words.len() + ENTRY_COST_BYTES;
                self.underway_bytes += bytes;
                self.unanswered.insert(id, Unanswered { who, publish, bytes });
            }
        }
    }

    /// A payload that is shared as it is, where that saves a large copy.
    #[inline]
    fn large<'a>(&self, payload: Payload<'a>) -> Result<Body, Payload<'a>> {
        match payload {
            Payload::Assembled(bytes) if bytes.len() >= self.config.limits.share_bytes_min => {
                Ok(bytes.into())
            }
            Payload::Assembled(_) | Payload::Whole(_) => Err(payload),
        }
    }

    /// As [`large`](Self::large), for the room: kept in the store if enough read it as it is.
    #[inline]
    fn large_for<'a>(
        &self,
        room: RoomKey,
        kind: Kind,
        payload: Payload<'a>,
    ) -> Result<Body, Payload<'a>> {
        match self.config.store.is_some()
            && payload.as_slice().len() >= self.config.limits.store_bytes_min
        {
            true => self.store(room, kind, payload),
            false => self.large(payload),
        }
    }

    #[cold]
    fn store<'a>(
        &self,
        room: RoomKey,
        kind: Kind,
        payload: Payload<'a>,
    ) -> Result<Body, Payload<'a>> {
        let lanes = self.lanes.of(room).map(|id| self.lanes.lane(id));
        let as_it_is =
            lanes.filter(|lane| lane.reach == Reach::None && lane.encoding.is_verbatim());
        let readers: usize = as_it_is.map(Lane::population).sum();
        let store =
            self.config.store.as_ref().filter(|_| readers >= self.config.limits.store_members_min);
        let stored = store.and_then(|store| Body::stored(kind.opcode(), payload.as_slice(), store));
        stored.map_or_else(|| self.large(payload), Ok)
    }

    /// Appends a message to what the room's lanes say next, each in its encoding.
    pub(super) fn append(
        &mut self,
        now: Now,
        room: RoomKey,
        epoch: Epoch,
        meta: &Meta,
        words: Words<'_>,
        shared: Option<&Deflated>,
    ) {
        self.deflation.next_message();
        for id in self.lanes.of(room) {
            self.append_to(now, id, epoch, meta, words, shared);
        }
    }

    fn append_to(
        &mut self,
        now: Now,
        id: LaneId,
        epoch: Epoch,
        meta: &Meta,
        words: Words<'_>,
        shared: Option<&Deflated>,
    ) {
        let own = self.seat_of(id, meta.author);
        let excluded =
            own.filter(|&(slot, _)| !self.hears_itself(slot) && !faults::is(Mutant::SenderHears));
        let lane = self.lanes.lane(id);
        let alone = lane.population() == usize::from(excluded.is_some());
        if alone && !meta.author.is_named() {
            return;
        }
        let mut json = std::mem::take(&mut self.scratch.json);
        if lane.encoding == Encoding::Chat {
            json.clear();
            self.encode_chat(&mut json, lane.room, meta, words);
        }
        self.fill(id);
        let lane = self.lanes.lane_mut(id);
        let start = lane.filling.len();
        if lane.reach == Reach::None
            || !self.append_deflated(now, id, meta.kind, words, &json, shared)
        {
            let lane = self.lanes.lane_mut(id);
            lane.encoding.push(&mut lane.filling, epoch, meta, words, &json);
        }
        let lane = self.lanes.lane_mut(id);
        let span = Span { start, end: lane.filling.len() };
        self.scratch.json = json;
        if let Some((slot, seat)) = excluded {
            lane.skip(seat, Skip { slot, span, frames: 1 });
        }
        if !lane.floors.is_empty() {
            self.keep_floors(id, meta.offset, span);
        }
        if own.is_none() && !self.authors.is_empty() {
            self.exclude_others(id, meta.author, span);
        }
        self.queue_lane(id);
    }

    /// Appends a message as members who inflate it read it best, if that is worth it.
    #[inline(never)]
    fn append_deflated(
        &mut self,
        now: Now,
        id: LaneId,
        kind: Kind,
        words: Words<'_>,
        json: &[u8],
        shared: Option<&Deflated>,
    ) -> bool {
        let lane = self.lanes.lane_mut(id);
        let limits = &self.config.limits;
        let (spelling, opcode, message) = if lane.encoding == Encoding::Chat {
            (Spelling::Json, Opcode::Text, Some(json.into()))
        } else if words.len() <= limits.deflate_bytes_max {
            (Spelling::Bytes, kind.opcode(), words.read())
        } else {
            // What is too long for it is not even read.
            return false;
        };
        let Some(message) = message else { return false };
        let form = Form { spelling, reach: lane.reach };
        let deflated = self.deflation.deflated(now, limits, &message, form, shared);
        let Some(deflated) = deflated else { return false };
        lane.filling.push_deflated(opcode, deflated);
        true
    }

    /// Whether who publishes by this connection is told so too.
    pub(super) fn hears_itself(&self, slot: Slot) -> bool {
        self.route(slot).includes_sender
    }

    /// Provides what a lane needs to say something.
    pub(super) fn fill(&mut self, id: LaneId) {
        let lane = self.lanes.lane_mut(id);
        if lane.filling.is_bare() {
            lane.filling = Chunk::reusing(self.chunks.buffer());
            if lane.skips.capacity() == 0 {
                lane.skips = self.scratch.skips.pop().unwrap_or_default();
            }
        }
    }

    pub(super) fn queue_lane(&mut self, id: LaneId) {
        let lane = self.lanes.lane_mut(id);
        if !lane.queued {
            lane.queued = true;
            if lane.window.waits {
                self.stop_waiting_for_more(id);
            }
            self.pending.lanes.push(id);
        }
    }

    /// The author's seat in the lane, if it sits there in the slot it was born in.
    fn seat_of(&self, id: LaneId, author: Author) -> Option<(Slot, u32)> {
        let (shard, slot) = author.birthplace()?;
        if shard != self.config.shard.unwrap_or_default() {
            return None;
        }
        let conn = self.conns.get(slot.index())?;
        let stranger =
            faults::is(Mutant::ReusedId) && conn.author.birthplace() == author.birthplace();
        if conn.author != author && !stranger {
            return None;
        }
        Some((slot, self.seat_in(slot, id)?))
    }

    /// Excludes an author that was born elsewhere, or is on several connections.
    fn exclude_others(&mut self, id: LaneId, author: Author, span: Span) {
        let Self { authors, conns, extras, lanes, config, .. } = self;
        let Some(slots) = authors.get(&author) else { return };
        for &slot in slots {
            let conn = &conns[slot.index()];
            if let Some(seat) = places::seat_in(conn, extras, slot, id)
                && !config.routes.get(conn.route).includes_sender
            {
                lanes.lane_mut(id).skip(seat, Skip { slot, span, frames: 1 });
            }
        }
    }

    /// Members that were further on than the room hear nothing until it gets there.
    pub(super) fn keep_floors(&mut self, id: LaneId, offset: Offset, span: Span) {
        let Self { lanes, conns, extras, .. } = self;
        lanes.lane_mut(id).keep_floors(offset, span, |slot| {
            places::seat_in(&conns[slot.index()], extras, slot, id)
        });
    }

    /// Gives a connection an author of another kind.
    pub(super) fn rename(&mut self, slot: Slot, author: Author) {
        self.conns[slot.index()].author = author;
        self.know_author(author, slot);
    }

    /// Remembers where an author is, unless that is where it was born.
    pub(super) fn know_author(&mut self, author: Author, slot: Slot) {
        if author.birthplace() != Some((self.config.shard.unwrap_or_default(), slot)) {
            self.authors.entry(author).or_default().push(slot);
        }
    }

    pub(super) fn forget_author(&mut self, author: Author, slot: Slot) {
        let Some(slots) = self.authors.get_mut(&author) else { return };
        slots.retain(|&known| known != slot);
        if slots.is_empty() {
            self.authors.remove(&author);
        }
    }
}
