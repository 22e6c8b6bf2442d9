//! What arrives: upgrade requests, then messages, into what is to be said.

use super::rounds::{Farewell, Mail};
use super::{Hub, Role, Stage};
use crate::body::Body;
use crate::chunk::{Chunk, Span};
use crate::close::CloseCode;
use crate::event::CloseReason;
use crate::frame::{Kind, Opcode};
use crate::handshake::{self, Refusal, Request};
use crate::lane::Skip;
use crate::limits::Limits;
use crate::rooms::LaneId;
use crate::route::Route;
use crate::session::{Input, Payload};
use crate::slot::Slot;
use crate::time::Now;

/// What a plain `GET /` answers: what this is, and how to use it.
const PAGE: &str = "\
Weir is a WebSocket gateway, and it is running.

  /            everyone connected here hears what the others say
  /ws/{room}   the same, per room
  /ws/simple   what you send comes back

Try it from two terminals:  npx wscat -c ws://<this address>/ws/lobby
";

impl Hub {
    pub(super) fn receive(&mut self, now: Now, slot: Slot, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(slot.index()) else { return };
        match conn.stage {
            Stage::Free | Stage::Lingering => {}
            Stage::Upgrading => self.receive_head(now, slot, bytes),
            Stage::Open => {
                conn.heard = now.tick();
                conn.pinged = false;
                self.receive_frames(now, slot, bytes);
            }
            Stage::Closing => self.await_goodbye(slot, bytes),
        }
    }

    /// Collects an upgrade request; what follows it in the same bytes is frames already.
    fn receive_head(&mut self, now: Now, slot: Slot, bytes: &mut [u8]) {
        let bytes_max = self.config.limits.handshake_bytes_max;
        self.inbound -= self.conns[slot.index()].head_bytes();
        let mut stash = self.conns[slot.index()].head.take();
        let searched = stash.as_ref().map_or(0, |stash| stash.len());
        if let Some(stash) = &mut stash {
            stash.extend_from_slice(bytes);
        }
        let came = stash.as_ref().map_or(&*bytes, |stash| stash.as_slice());
        match handshake::head_end(came, searched) {
            Some(end) if end <= bytes_max => {
                let came = stash.as_mut().map_or(bytes, |stash| stash.as_mut_slice());
                let (head, rest) = came.split_at_mut(end);
                self.answer_request(now, slot, head);
                if !rest.is_empty() {
                    self.receive(now, slot, rest);
                }
            }
            None if came.len() <= bytes_max => {
                let stash = stash.unwrap_or_else(|| Box::new(bytes.to_vec()));
                self.inbound += stash.capacity();
                self.conns[slot.index()].head = Some(stash);
                if self.inbound > self.config.limits.inbound_bytes_max {
                    self.refuse(now, slot, &Refusal::full());
                }
            }
            Some(_) | None => self.refuse(now, slot, &Refusal::too_large()),
        }
    }

    fn answer_request(&mut self, now: Now, slot: Slot, head: &[u8]) {
        let conn = &self.conns[slot.index()];
        let full = conn.refused || self.draining;
        match Answer::to(head, full, &self.config.limits) {
            Ok(Answer::Page) => {
                self.direct_raw(slot, |out| handshake::write_page(out, PAGE));
                self.finish_answer(now, slot, 200);
            }
            Ok(Answer::Upgrade(upgrade, route)) => {
                self.direct_raw(slot, |out| upgrade.write_response(out));
                self.open(now, slot, &route);
            }
            Err(refusal) => self.refuse(now, slot, &refusal),
        }
    }

    fn open(&mut self, now: Now, slot: Slot, route: &Route) {
        let role = match route {
            Route::Echo => Role::Echo,
            Route::Room { namespace, name } => {
                let lane = self.rooms.enter(*namespace, name);
                Role::Member { lane, seat: self.rooms.lane_mut(lane).join(slot) }
            }
        };
        let conn = &mut self.conns[slot.index()];
        conn.stage = Stage::Open;
        conn.role = role;
        conn.echoes = role == Role::Echo;
        conn.heard = now.tick();
        self.counters.opened += 1;
        self.deadlines.set(slot, now.tick().after_secs(self.config.limits.ping_secs));
        self.update_interest(slot);
    }

    /// Answers with an HTTP error, after which nothing else is said.
    pub(super) fn refuse(&mut self, now: Now, slot: Slot, refusal: &Refusal) {
        self.direct_raw(slot, |out| refusal.write_response(out));
        self.finish_answer(now, slot, refusal.status as u16);
    }

    fn finish_answer(&mut self, now: Now, slot: Slot, status: u16) {
        let conn = &mut self.conns[slot.index()];
        conn.deaf = true;
        self.inbound -= conn.head_bytes();
        conn.head = None;
        self.start_closing(now, slot, CloseReason::Answered(status), None, "");
    }

    fn receive_frames(&mut self, now: Now, slot: Slot, mut bytes: &mut [u8]) {
        // The session is eight bytes: it leaves its place while the hub is changed by its inputs.
        let mut session = std::mem::take(&mut self.conns[slot.index()].session);
        let held = session.held_bytes();
        let outcome = loop {
            match session.next(&mut bytes, &self.config.limits) {
                Ok(Some(Input::Message { kind, payload })) => self.message(slot, kind, payload),
                Ok(Some(Input::Ping(control))) => self.pong(slot, &control),
                Ok(Some(Input::Pong(_))) => {}
                Ok(Some(Input::Close(closing))) => break Some(Ok(closing)),
                Ok(None) => break None,
                Err(error) => break Some(Err(error)),
            }
        };
        self.inbound = self.inbound + session.held_bytes() - held;
        self.conns[slot.index()].session = session;
        match outcome {
            None if self.inbound > self.config.limits.inbound_bytes_max => {
                self.fail(now, slot, CloseReason::Inbound, CloseCode::TRY_LATER, "no memory");
            }
            None => {}
            Some(Ok(closing)) => {
                self.conns[slot.index()].heard_goodbye = true;
                self.forget_unfinished(slot);
                let code = closing.code.unwrap_or(CloseCode::NORMAL);
                self.start_closing(now, slot, CloseReason::Peer(closing.code), Some(code), "");
            }
            Some(Err(error)) => {
                let code = error.code();
                self.fail(now, slot, CloseReason::Protocol(code), code, error.reason());
            }
        }
    }

    /// After our close frame only the peer's is of interest.
    fn await_goodbye(&mut self, slot: Slot, mut bytes: &mut [u8]) {
        let conn = &mut self.conns[slot.index()];
        if conn.deaf || conn.heard_goodbye {
            return;
        }
        let held = conn.session.held_bytes();
        loop {
            match conn.session.next(&mut bytes, &self.config.limits) {
                Ok(Some(Input::Close(_))) => conn.heard_goodbye = true,
                Ok(Some(Input::Message { .. } | Input::Ping(_) | Input::Pong(_))) => continue,
                Ok(None) => break,
                Err(_) => conn.deaf = true,
            }
            break;
        }
        self.inbound = self.inbound + conn.session.held_bytes() - held;
        // Nothing else it says will be used: its goodbye is not worth the memory.
        conn.deaf |= self.inbound > self.config.limits.inbound_bytes_max;
        if conn.deaf || conn.heard_goodbye {
            self.forget_unfinished(slot);
        }
        self.wind_up(slot);
    }

    fn message(&mut self, slot: Slot, kind: Kind, payload: Payload<'_>) {
        self.counters.messages += 1;
        match self.conns[slot.index()].role {
            Role::Member { lane, seat } => self.publish(slot, lane, seat, kind, payload),
            Role::Echo => {
                let start = self.pending.direct.len();
                self.prepare_direct();
                self.push_message(Target::Direct, kind, payload);
                self.counters.deliveries += 1;
                self.address(slot, start, true);
            }
            Role::Nothing => unreachable!("an open connection has a role"),
        }
    }

    /// Says a message to the room; its author does not hear it.
    fn publish(
        &mut self,
        slot: Slot,
        lane_id: LaneId,
        seat: u32,
        kind: Kind,
        payload: Payload<'_>,
    ) {
        let lane = self.rooms.lane_mut(lane_id);
        if lane.population() < 2 {
            return;
        }
        if lane.filling.is_bare() {
            lane.filling = Chunk::reusing(self.chunks.buffer());
            if lane.skips.capacity() == 0 {
                lane.skips = self.scratch.skips.pop().unwrap_or_default();
            }
        }
        let start = lane.filling.len();
        self.push_message(Target::Lane(lane_id), kind, payload);
        let lane = self.rooms.lane_mut(lane_id);
        let span = Span { start, end: lane.filling.len() };
        lane.skip(seat, Skip { slot, span, frames: 1 });
        if !lane.queued {
            lane.queued = true;
            self.pending.lanes.push(lane_id);
        }
    }

    /// Encodes a message: appended, or shared as it is where that saves a large copy.
    fn push_message(&mut self, target: Target, kind: Kind, payload: Payload<'_>) {
        let chunk = match target {
            Target::Direct => &mut self.pending.direct,
            Target::Lane(lane) => &mut self.rooms.lane_mut(lane).filling,
        };
        let bytes = payload.as_slice();
        if bytes.len() < self.config.limits.share_bytes_min {
            return chunk.push_frame(kind.opcode(), bytes);
        }
        let store = self.config.store.as_ref();
        if let Some(body) = store.and_then(|store| Body::stored(bytes, store)) {
            return chunk.push_body(kind.opcode(), body);
        }
        match payload {
            Payload::Whole(bytes) => chunk.push_frame(kind.opcode(), bytes),
            Payload::Assembled(bytes) => chunk.push_body(kind.opcode(), bytes.into()),
        }
    }

    /// Queues a control frame for one connection.
    pub(super) fn direct_frame(&mut self, slot: Slot, opcode: Opcode, payload: &[u8]) {
        let start = self.pending.direct.len();
        self.prepare_direct();
        self.pending.direct.push_frame(opcode, payload);
        self.address(slot, start, true);
    }

    fn direct_raw(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.pending.direct.len();
        self.prepare_direct();
        self.pending.direct.push_raw(write);
        self.address(slot, start, false);
    }

    fn prepare_direct(&mut self) {
        if self.pending.direct.is_bare() {
            self.pending.direct = Chunk::reusing(self.chunks.buffer());
        }
    }

    /// Says for whom the direct bytes from `start` on are; neighbours are sent as one.
    fn address(&mut self, slot: Slot, start: u32, framed: bool) {
        let end = self.pending.direct.len();
        let generation = self.conns[slot.index()].generation;
        if let Some(last) = self.pending.mails.last_mut()
            && last.slot == slot
            && last.generation == generation
            && last.framed == framed
        {
            assert_eq!(last.span.end, start, "direct bytes are addressed as they come");
            last.span.end = end;
            return;
        }
        let span = Span { start, end };
        self.pending.mails.push(Mail { slot, generation, span, framed });
    }

    pub(super) fn farewell(&mut self, slot: Slot, code: Option<CloseCode>, text: &'static str) {
        let generation = self.conns[slot.index()].generation;
        self.pending.farewells.push(Farewell { slot, generation, code, text });
    }
}

/// Where a message is appended.
#[derive(Clone, Copy)]
enum Target {
    Direct,
    Lane(LaneId),
}

/// How a complete request is answered.
enum Answer {
    Page,
    Upgrade(handshake::Upgrade, Route),
}

impl Answer {
    fn to(head: &[u8], full: bool, limits: &Limits) -> Result<Self, Refusal> {
        let request = Request::parse(head, limits)?;
        if full {
            return Err(Refusal::full());
        }
        if request.path() == "/" && request.is_get() && !request.wants_upgrade() {
            return Ok(Self::Page);
        }
        let route = Route::of(request.path(), limits)?;
        Ok(Self::Upgrade(request.upgrade()?, route))
    }
}
