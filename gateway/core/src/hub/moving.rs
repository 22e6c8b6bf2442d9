//! Connections and homes leave for other shards, and arrive from there.

use gateway_faults::{self as faults, Mutant, buggify, sometimes};

use super::closing::GOING_AWAY;
use super::conn::{Joining, Leaving, Transit};
use super::{Hub, Role, Stage, Who};
use crate::chunk::Chunk;
use crate::encoding::Encoding;
use crate::envelope::Pin;
use crate::event::Effect;
use crate::frozen::Frozen;
use crate::id::{Author, ShardId};
use crate::outbox::Item;
use crate::route::Kind;
use crate::slot::Slot;
use crate::time::{Now, Tick};

/// Seconds until a shard that is to be empty asks others again that had no place.
const EVACUATION_REST_SECS: u32 = 1;
/// Connections that an evacuation has on their way at a time: each of them is looked at in every
/// turn until it goes.
const DEPARTURES_MAX: usize = 256;
/// Commands that may wait for rings before an evacuation sends another home, whose past is a copy.
const BACKLOG_MAX: usize = 64;

/// Where everything on the shard is to go. It goes through slots and homes bit by bit, and once
/// more in each tick, as long as anything is left.
#[derive(Debug)]
pub(super) struct Evacuation {
    to: Vec<ShardId>,
    /// Whose turn it is.
    turn: usize,
    /// The next home and the next slot to be looked at.
    home: usize,
    slot: usize,
    /// Until when it waits: for the next round, or because nobody had a place.
    rests: Option<Tick>,
    /// If connections are told to go instead of going: by when all of them are told.
    told: Option<Tick>,
}

impl Evacuation {
    fn new(to: Vec<ShardId>) -> Self {
        Self { to, turn: 0, home: 0, slot: 0, rests: None, told: None }
    }

    fn next(&mut self) -> ShardId {
        self.turn = (self.turn + 1) % self.to.len();
        self.to[self.turn]
    }
}

impl Hub {
    /// Remembers that a connection is to go, if it can.
    pub(super) fn start_leaving(&mut self, slot: Slot, to: ShardId) {
        let Some(conn) = self.conn(slot) else { return };
        let movable = matches!(conn.role, Role::Member { .. } | Role::Handled | Role::Echo);
        if conn.stage != Stage::Open || conn.transit.is_some() || !movable {
            return;
        }
        let who = self.who(slot);
        let leaving = Leaving { to, pin: None, pinned: false };
        self.conns[slot.index()].transit = Some(Box::new(Transit::Leaving(leaving)));
        self.leaving.push(who);
        self.update_interest(slot);
    }

    pub(super) fn migrate(&mut self, to: ShardId, homes_max: usize) {
        let movable = self.dispatch.movable_homes();
        for home in movable.into_iter().take(homes_max) {
            self.dispatch.migrate(home, to);
        }
    }

    pub(super) fn evacuate(&mut self, to: Vec<ShardId>) {
        assert!(!to.is_empty(), "what leaves has somewhere to go");
        self.evacuating = Some(Evacuation::new(to));
    }

    /// Who was to go to other shards until now is told to go as well, unless it is on its way.
    pub(super) fn dismiss(&mut self, now: Now, to: Vec<ShardId>) {
        let before = self.evacuating.as_ref().and_then(|evacuation| evacuation.told);
        self.evacuate(to);
        let told = before.unwrap_or_else(|| self.told_by(now));
        if let Some(evacuation) = &mut self.evacuating {
            evacuation.told = Some(told);
        }
    }

    /// The room's past is kept: the connection may go.
    pub(super) fn pinned(&mut self, pin: Pin) {
        let Some(who) = self.pins.remove(&pin) else { return };
        if self.present(who).is_none() {
            return;
        }
        match self.conns[who.slot.index()].leaving() {
            Some(leaving) if leaving.pin == Some(pin) => leaving.pinned = true,
            Some(_) | None => self.place_pinned(who.slot, pin),
        }
    }

    /// Sees to it that the past of their rooms is kept for those who leave, and that everyone does
    /// who is to; called before what is for other shards is sent.
    pub(super) fn prepare_departures(&mut self, now: Now) {
        self.send_everyone_away(now);
        for index in 0..self.leaving.len() {
            let who = self.leaving[index];
            let Some(conn) = self.present(who) else { continue };
            // What it published is in order only if all of it was sequenced before it publishes
            // more.
            if conn.unanswered > 0 {
                continue;
            }
            let role = conn.role;
            self.pin_places(now, who);
            let Role::Member { lane, .. } = role else { continue };
            let leaving = self.conns[who.slot.index()].leaving();
            let Some(leaving) = leaving.filter(|leaving| leaving.pin.is_none()) else { continue };
            let pin = self.dispatch.pin(now.tick(), self.lanes.lane(lane).room);
            leaving.pin = Some(pin);
            self.pins.insert(pin, who);
        }
    }

    /// Lets go who may; called when nothing is half said.
    pub(super) fn depart(&mut self, now: Now) {
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|&who| !self.depart_one(now, who));
        self.leaving = leaving;
    }

    /// Whether the connection is not to be waited for any more.
    fn depart_one(&mut self, now: Now, who: Who) -> bool {
        if self.present(who).is_none() {
            return true;
        }
        let conn = &mut self.conns[who.slot.index()];
        let is_member = matches!(conn.role, Role::Member { .. });
        let unanswered = conn.role == Role::Handled && conn.unanswered > 0;
        let Some(leaving) = conn.leaving() else { return true };
        let to = leaving.to;
        if is_member && !leaving.pinned || unanswered || !self.places_may_leave(who.slot) {
            return false;
        }
        // Its position counts what waits as heard.
        if self.hurry_rooms_of(who.slot) {
            return false;
        }
        self.ship(now, who.slot, to);
        true
    }

    fn send_everyone_away(&mut self, now: Now) {
        let Some(mut evacuation) = self.evacuating.take() else { return };
        if evacuation.rests.is_none_or(|until| until <= now.tick()) {
            evacuation.rests = None;
            let homes = self.send_homes(&mut evacuation);
            let all = match evacuation.told {
                // Homes that wait for rings keep nobody from being told.
                Some(told) => self.tell_connections(now, told, &mut evacuation) && homes,
                None => homes && self.send_connections(&mut evacuation),
            };
            if all {
                (evacuation.home, evacuation.slot) = (0, 0);
                evacuation.rests = Some(Tick(now.tick().0 + 1));
            }
        }
        self.evacuating = Some(evacuation);
    }

    /// Whether all homes were looked at.
    fn send_homes(&mut self, evacuation: &mut Evacuation) -> bool {
        while self.dispatch.backlog() < if buggify!(BacklogFull) { 1 } else { BACKLOG_MAX } {
            let Some(home) = self.dispatch.next_movable(evacuation.home) else { return true };
            evacuation.home = home as usize + 1;
            self.dispatch.migrate(home, evacuation.next());
        }
        false
    }

    /// Whether all connections were looked at.
    fn send_connections(&mut self, evacuation: &mut Evacuation) -> bool {
        while self.leaving.len() < if buggify!(DeparturesMany) { 1 } else { DEPARTURES_MAX } {
            let Some(conn) = self.conns.get(evacuation.slot) else { return true };
            if conn.stage == Stage::Open && conn.transit.is_none() {
                self.start_leaving(Slot::from(evacuation.slot), evacuation.next());
            }
            evacuation.slot += 1;
        }
        false
    }

    /// Tells those whose turn it is to go, once in a tick; whether all connections were told.
    fn tell_connections(&mut self, now: Now, told: Tick, evacuation: &mut Evacuation) -> bool {
        let slots = evacuation.slot..self.conns.len();
        let until = slots.start + Self::told_in_a_tick(now, told, slots.len());
        for index in slots.start..until.min(slots.end) {
            self.drain_one(now, Slot::from(index), "drained on request");
        }
        evacuation.slot = until.min(slots.end);
        if evacuation.slot < slots.end {
            evacuation.rests = Some(Tick(now.tick().0 + 1));
        }
        evacuation.slot == slots.end
    }

    /// The other shards had no place: they are asked again after a while, not in every turn.
    fn rest_from_evacuating(&mut self, now: Now) {
        if let Some(evacuation) = &mut self.evacuating {
            evacuation.rests = Some(now.tick().after_secs(EVACUATION_REST_SECS));
        }
    }

    /// When an evacuation goes on. What keeps it within a round wakes the shard by itself.
    pub(super) fn evacuation_resumes(&self) -> Tick {
        let rests = self.evacuating.as_ref().and_then(|evacuation| evacuation.rests);
        rests.filter(|_| !self.is_vacant()).unwrap_or(Tick::NEVER)
    }

    /// Takes the connection out of this shard.
    pub(super) fn ship(&mut self, now: Now, slot: Slot, to: ShardId) {
        let frozen = Box::new(self.freeze(now, slot));
        self.counters.moved_out += 1;
        self.effects.push_back(Effect::Ship { slot, to, frozen });
    }

    /// All that is known of a connection; its slot is free afterwards.
    fn freeze(&mut self, now: Now, slot: Slot) -> Frozen {
        let mut frozen = Frozen {
            version: Frozen::VERSION,
            author: self.conns[slot.index()].author,
            route: self.conns[slot.index()].route,
            name: self.names.get(&slot).cloned(),
            known: Default::default(),
            room: None,
            encoding: Encoding::default(),
            agreement: self.conns[slot.index()].agreement,
            window: None,
            unread: None,
            since: None,
            pin: None,
            response: None,
            rest: None,
            session: Default::default(),
            begun: Chunk::default(),
            owed: Chunk::default(),
            pong: None,
            silent: 0,
            pinged: false,
            settled: false,
        };
        self.freeze_place(slot, &mut frozen);
        self.freeze_extra(slot, &mut frozen);
        self.freeze_inflation(slot, &mut frozen);
        if self.conns[slot.index()].owes() {
            self.tell_missed(slot, usize::MAX);
        }
        if let Some(outbox) = &mut self.conns[slot.index()].outbox {
            frozen.pong = outbox.pong.take();
            (frozen.begun, frozen.owed) = outbox.extract(&self.chunks);
            if faults::is(Mutant::OwedLeftBehind) {
                frozen.owed = Chunk::default();
            }
        }
        self.leave(slot);
        self.stop_owing(slot);
        self.deadlines.clear(slot);
        let mut conn = self.vacate_slot(slot);
        frozen.silent = now.tick().0.saturating_sub(conn.heard.0);
        frozen.pinged = conn.pinged;
        frozen.rest = conn.head.take();
        frozen.session = std::mem::take(&mut conn.session);
        if faults::is(Mutant::HalfSaidLeftBehind) {
            frozen.session = Default::default();
        }
        // The other shard's clock is another one.
        frozen.session.begin_anew();
        frozen
    }

    /// Where it is in its room, or on its way into it.
    fn freeze_place(&mut self, slot: Slot, frozen: &mut Frozen) {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } => {
                let lane = self.lanes.lane(lane);
                let mut position = self.dispatch.position(lane.room);
                let floor = lane.floors.iter().find(|floor| floor.slot == slot);
                position.offset = floor.map_or(position.offset, |floor| floor.offset);
                frozen.since = Some(position);
                frozen.encoding = lane.encoding;
                frozen.room = Some(self.dispatch.name(lane.room).clone());
                // The pin goes along; it is not let go of here.
                let leaving = self.conns[slot.index()].leaving();
                frozen.pin = leaving.and_then(|leaving| leaving.pin.take());
            }
            Role::Waiting { room } => {
                frozen.room = Some(self.dispatch.name(room).clone());
                let joining = self.conns[slot.index()].joining().expect("who waits is joining");
                frozen.encoding = joining.encoding;
                frozen.since = joining.since;
                frozen.pin = joining.pin.take();
                frozen.response = joining.response.take();
                frozen.settled = true;
            }
            Role::Handled | Role::Echo | Role::Nothing => {}
        }
    }

    /// Goes on with a connection that was frozen elsewhere.
    pub(super) fn thaw(&mut self, now: Now, slot: Slot, frozen: Frozen) {
        assert_eq!(frozen.version, Frozen::VERSION, "a frozen connection is of this version");
        self.conns.reach(slot);
        self.counters.moved_in += 1;
        self.live += 1;
        sometimes!(ThawedHalfSaid, frozen.session.is_unfinished());
        sometimes!(ThawedHalfSent, frozen.begun.whole().len() > 0);
        sometimes!(ArrivedWhileLeaving, self.evacuating.is_some() && !frozen.settled);
        if frozen.settled && frozen.is_open() {
            self.rest_from_evacuating(now);
        }
        let shard = self.shard();
        let conn = &mut self.conns[slot.index()];
        // Who has not been answered yet is known to nobody: it is born here, where it is found.
        let reborn = frozen.response.is_some() && frozen.author.birthplace().is_some();
        let author = match reborn {
            true => Author::born(shard, slot, conn.generation),
            false => frozen.author,
        };
        conn.author = author;
        conn.route = frozen.route;
        conn.edged = self.edges[frozen.route.index()].is_some();
        conn.stage = Stage::Open;
        let handled = self.config.routes.get(frozen.route).kind == Kind::Handled;
        conn.greeted = handled;
        conn.echoes = frozen.room.is_none() && !handled;
        conn.role = match conn.echoes {
            true => Role::Echo,
            false if handled => Role::Handled,
            false => Role::Nothing,
        };
        conn.session = frozen.session;
        let waits = frozen.rest.is_some();
        conn.head = frozen.rest;
        conn.pinged = frozen.pinged;
        conn.heard = Tick(now.tick().0.saturating_sub(frozen.silent));
        self.inbound += conn.session.held_bytes() + conn.head_bytes();
        let limits = &self.config.limits;
        let until = match frozen.pinged {
            // What it answered may have been lost on neither side, only not been read yet.
            true => now.tick().after_secs(limits.pong_secs.max(1)),
            false => self.patience(now, frozen.silent),
        };
        self.deadlines.set(slot, until);
        self.know_author(author, slot);
        self.agree(slot, frozen.agreement);
        self.thaw_inflation(slot, frozen.window, frozen.unread);
        if let Some(name) = frozen.name {
            let guest = reborn && *name == *Self::guest(frozen.author);
            self.names.insert(slot, if guest { Self::guest(author) } else { name });
        }
        self.restore_outbox(slot, frozen.begun, frozen.owed);
        if let Some(outbox) = &mut self.conns[slot.index()].outbox {
            outbox.pong = frozen.pong;
        }
        match frozen.room {
            None => {
                self.update_interest(slot);
                if waits {
                    let who = self.who(slot);
                    self.seated.push_back(who);
                }
            }
            Some(room) => {
                let joining = Joining {
                    encoding: frozen.encoding,
                    response: frozen.response,
                    since: frozen.since,
                    pin: frozen.pin,
                    stays: frozen.settled,
                };
                self.join(now, slot, room.namespace, &room.name, joining);
            }
        }
        // In the encoding of its own room.
        self.thaw_extra(slot, frozen.known);
        if self.is_draining() {
            self.drain_one(now, slot, GOING_AWAY);
        }
        // What came along may have been too much for the shard.
        self.shed(now);
    }

    /// When one that has been silent for so many ticks is asked for a sign of life.
    fn patience(&self, now: Now, silent: u32) -> Tick {
        match now.tick().after_secs(self.config.limits.ping_secs) {
            Tick::NEVER => Tick::NEVER,
            Tick(at) => Tick(at.saturating_sub(silent)).max(now.tick()),
        }
    }

    /// It owes here what it owed there.
    fn restore_outbox(&mut self, slot: Slot, begun: Chunk, owed: Chunk) {
        let account = self.conns[slot.index()].account();
        for (chunk, framed) in [(begun, false), (owed, true)] {
            let span = chunk.whole();
            if span.len() == 0 {
                continue;
            }
            self.start_owing(slot);
            let id = self.chunks.hold(chunk, account);
            let outbox = self.conns[slot.index()].outbox.as_mut().expect("it owes");
            outbox.push(Item { chunk: id, span, framed }, 0, &mut self.chunks);
            self.chunks.settle(id);
        }
        if self.conns[slot.index()].owes() {
            self.rank(slot);
            self.update_interest(slot);
            self.pending.retries.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_connection_can_cross_threads() {
        fn sendable<T: Send>() {}
        sendable::<Frozen>();
    }
}
