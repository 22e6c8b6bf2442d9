//! The world: shards, rings, clerk, clients and the clock; and a shard's turn among them.

use gateway_core::dispatch::Inquiry;
use gateway_core::event::{CloseReason, Effect, Event, Full};
use gateway_core::frozen::Frozen;
use gateway_core::hub::Flush;
use gateway_core::position::Position;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_faults::buggify;
use gateway_registry::census::{Capacity, Census};

use super::clerk::{Clerk, registered};
use super::client::{OPEN_WINDOW, Place, Reads, Stage};
use super::ears::Ears;
use super::rings::Mesh;
use super::setting::{SHARDS_MAX, Setting};
use super::shard::{Shard, Sockets, State};
use crate::extents::Extents;
use crate::rng::Rng;

pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) rng: Rng,
    /// Draws which newcomers go where, and how shards are removed.
    pub(super) balance: Rng,
    pub(super) ears: Ears,
    pub(super) shards: Vec<Shard>,
    pub(super) mesh: Mesh,
    pub(super) clerk: Clerk,
    pub(super) census: Census,
    pub(super) now: Now,
    pub(super) step: u64,
    /// Clients whose connection is not over.
    pub(super) open: Vec<u32>,
    pub(super) travellers: Vec<Traveller>,
    /// Positions that clients have seen, and who saw them.
    pub(super) seen: Vec<(u16, Position, Option<u32>)>,
    pub(super) paths: Vec<String>,
    /// Something came or went in the round of turns.
    pub(super) stirred: Option<&'static str>,
    pub(super) seed: u64,
    pub(super) extents: Extents,
    scratch: Vec<u8>,
}

/// A socket between two shards.
pub(super) struct Traveller {
    pub(super) client: u32,
    pub(super) to: usize,
    pub(super) due: u64,
    /// What is known of the connection; nothing if nothing was read of it.
    pub(super) frozen: Option<Box<Frozen>>,
}

const SEEN_MAX: usize = 64;
const NANOS_PER_STEP: u64 = 1_000_000;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6d65_7368);
        let mut balance = Rng::new(seed ^ 0x6261_6c61);
        let setting = Setting::new(&mut rng, &mut balance);
        let mesh = Mesh::new(setting.rings, &setting.limits, &mut rng);
        let clerk = Clerk::new(&setting, seed, rng.fork());
        let capacity = Capacity { total_max: 1 << 20, shard_max: setting.limits.connections_max };
        let ears = Ears::new(setting.clone(), rng.fork());
        let rooms = 0..setting.rooms;
        let path = |room| if room == 0 { "/".into() } else { format!("/ws/room-{room}") };
        let mut world = Self {
            rng,
            balance,
            ears,
            shards: Vec::new(),
            mesh,
            clerk,
            census: Census::new(capacity, SHARDS_MAX),
            now: Now::from_secs(100),
            step: 0,
            open: Vec::new(),
            travellers: Vec::new(),
            seen: Vec::new(),
            paths: rooms.map(path).collect(),
            stirred: None,
            seed,
            extents: Extents::default(),
            scratch: Vec::new(),
            setting,
        };
        (0..world.setting.shards).for_each(|_| world.add_shard());
        world
    }

    pub(super) fn add_shard(&mut self) {
        let id = self.shards.len();
        let store = self.setting.stores.then(|| self.extents.clone());
        self.shards.push(Shard::new(id, self.seed, &self.setting, store));
        self.ears.ready.push(Vec::new());
        self.clerk.registry.serve(registered(id));
    }

    /// The shards that take in connections.
    pub(super) fn serving(&self) -> impl Iterator<Item = usize> {
        let serves = |&index: &usize| self.shards[index].state == State::Serving;
        (0..self.shards.len()).filter(serves)
    }

    pub(super) fn complain(&mut self, what: impl FnOnce() -> String) {
        self.ears.broken.get_or_insert_with(what);
        self.ears.tell_broken(None);
    }

    pub(super) fn pass(&mut self, nanos: u64) {
        self.now.0 += nanos;
        self.ears.now = self.now.0;
    }

    /// One turn of a shard. A calm one takes whatever there is.
    pub(super) fn turn(&mut self, index: usize, calm: bool) {
        self.step += 1;
        self.pass(NANOS_PER_STEP);
        self.arrive(index, calm);
        let shard = &mut self.shards[index];
        let due = shard.hub.poll_timeout().is_some_and(|due| due <= self.now);
        if due || buggify!(TickEarly) {
            shard.hub.handle(self.now, Event::Tick);
        }
        self.take_letters(index, calm);
        self.take_answers(index, calm);
        self.receive(index);
        self.exchange(index);
        self.flush(index, calm);
        self.effects(index);
        self.check_bounds(index);
        self.watch();
    }

    /// Connections come in while nothing is half said: those that moved, and new ones.
    fn arrive(&mut self, index: usize, calm: bool) {
        let (mut at, mut moved_in) = (0, false);
        while let Some(traveller) = self.travellers.get(at) {
            if traveller.to != index || !calm && traveller.due > self.step {
                at += 1;
                continue;
            }
            moved_in = true;
            let Traveller { client, frozen, .. } = self.travellers.remove(at);
            self.shards[index].inbound -= 1;
            match frozen {
                Some(frozen) => self.adopt(index, client, frozen),
                None => self.take_in(index, client),
            }
            self.stirred = Some("a connection from another shard");
        }
        for client in std::mem::take(&mut self.shards[index].knocks) {
            self.stirred = Some("a new connection");
            if !self.pass_on(index, client) {
                self.accept(index, client, moved_in);
            }
        }
    }

    /// A connection goes on here.
    fn adopt(&mut self, index: usize, client: u32, frozen: Box<Frozen>) {
        let shard = &mut self.shards[index];
        let slot = shard.seat(client);
        let one = &mut self.ears.clients[client as usize];
        one.place = Place::At { shard: index as u16, slot };
        if !frozen.is_open() {
            // Nobody knows it yet: it is as if it had come here at first.
            one.born = (index as u16, slot.0);
        }
        shard.hub.handle(self.now, Event::Thawed { slot, frozen });
        self.ears.wake(client);
    }

    fn accept(&mut self, index: usize, client: u32, moved_in: bool) {
        let shard = &mut self.shards[index];
        let slot = shard.seat(client);
        let one = &mut self.ears.clients[client as usize];
        one.place = Place::At { shard: index as u16, slot };
        one.born = (index as u16, slot.0);
        one.reserved = self.census.reserve(registered(index)).is_ok();
        // The hub keeps its bound by itself too, when it knows as much as the census: of nobody on
        // the way here, and of nobody who made place for those that just came.
        let agree = shard.inbound == 0 && !moved_in;
        let event = if one.reserved || agree && self.rng.one_in(2) {
            Event::Accepted { slot }
        } else {
            Event::Refused { slot, full: Full::Node }
        };
        shard.hub.handle(self.now, event);
        self.ears.wake(client);
    }

    fn take_letters(&mut self, index: usize, calm: bool) {
        let letters_max =
            if calm { usize::MAX } else { 1 + self.rng.below(self.setting.pace.letters) };
        let commands_first = self.rng.one_in(2);
        for from in 0..self.shards.len() {
            for commands in [commands_first, !commands_first] {
                for _ in 0..letters_max {
                    if !self.take_letter(from, index, commands) {
                        break;
                    }
                    self.stirred = Some("a letter");
                }
            }
        }
    }

    fn take_letter(&mut self, from: usize, to: usize, command: bool) -> bool {
        let letter = if command {
            self.mesh.take_command(from, to).map(|(sent, letter)| (sent, Event::Command(letter)))
        } else {
            self.mesh.take_delivery(from, to).map(|(sent, letter)| (sent, Event::Delivery(letter)))
        };
        let Some((sent, event)) = letter else { return false };
        self.ears.tell_letter(sent, [from, to], &event);
        self.shards[to].hub.handle(self.now, event);
        true
    }

    fn take_answers(&mut self, index: usize, calm: bool) {
        while let Some(answer) = self.clerk.next(index, self.step, calm) {
            self.shards[index].hub.handle(self.now, Event::Answer(answer));
            self.stirred = Some("an answer");
        }
    }

    /// Reads from those who have something to be read, and tells who takes bytes again.
    fn receive(&mut self, index: usize) {
        let mut turn_bytes = self.setting.limits.turn_bytes_max;
        let mut ready = std::mem::take(&mut self.ears.ready[index]);
        for client in ready.drain(..) {
            let one = &mut self.ears.clients[client as usize];
            one.ready = false;
            let Place::At { shard, slot } = one.place else { continue };
            let moved = usize::from(shard) != index;
            if moved || self.receive_from(index, client, slot, &mut turn_bytes) {
                self.ears.wake(client);
            }
        }
        ready.append(&mut self.ears.ready[index]);
        self.ears.ready[index] = ready;
    }

    /// Whether the shard has to look at the client again.
    fn receive_from(&mut self, index: usize, id: u32, slot: Slot, budget: &mut usize) -> bool {
        let shard = &mut self.shards[index];
        self.ears.sip(id);
        let client = &mut self.ears.clients[id as usize];
        if client.severed {
            shard.hub.handle(self.now, Event::Broken { slot });
            self.stirred = Some("a broken connection");
            return false;
        }
        let seat = shard.seats[slot.index()];
        if seat.writes && client.window > 0 {
            shard.hub.handle(self.now, Event::Writable { slot });
            if client.reads == Reads::Freely {
                self.stirred = Some("an open window");
            }
        }
        if client.unread().is_empty() {
            if client.ends && !client.ended && seat.reads {
                client.ended = true;
                shard.hub.handle(self.now, Event::Ended { slot });
                self.stirred = Some("an end of stream");
            }
        } else if seat.reads && *budget > 0 {
            if shard.hub.may_read(slot) {
                self.read_from(index, id, slot, budget);
            } else {
                self.ears.coverage.stalls += 1;
            }
        }
        let client = &self.ears.clients[id as usize];
        let takes = seat.writes && (client.window > 0 || matches!(client.reads, Reads::Slowly(_)));
        !client.unread().is_empty() || client.ends && !client.ended || takes
    }

    fn read_from(&mut self, index: usize, id: u32, slot: Slot, budget: &mut usize) {
        let shard = &mut self.shards[index];
        let client = &mut self.ears.clients[id as usize];
        let most = client.unread().len().min(self.setting.limits.read_bytes_max);
        let take = if self.rng.one_in(8) { self.rng.portion(most) } else { most };
        self.scratch.clear();
        self.scratch.extend_from_slice(&client.unread()[..take]);
        client.give(take);
        *budget = budget.saturating_sub(take);
        let before = shard.hub.counters().messages;
        shard.hub.handle(self.now, Event::Received { slot, bytes: &mut self.scratch });
        self.stirred = Some("bytes");
        let read = shard.hub.counters().messages - before;
        for _ in 0..read {
            let client = &mut self.ears.clients[id as usize];
            match client.said.pop_front() {
                Some(said) => {
                    if let Some(message) = said.message {
                        self.ears.accepted(message);
                    }
                }
                None => return self.ears.complain(id, "a message was read that was not sent"),
            }
        }
    }

    fn exchange(&mut self, index: usize) {
        let shard = &mut self.shards[index];
        let posted = self.mesh.posted;
        shard.note_burst();
        shard.exchanged = shard.hub.exchange(self.now, &mut self.mesh.post(index, self.now));
        if self.mesh.posted > posted {
            self.stirred = Some("a letter that was sent");
        }
    }

    /// Says what is to be said. Between slices letters and bytes come in.
    fn flush(&mut self, index: usize, calm: bool) {
        loop {
            let Shard { hub, seats, .. } = &mut self.shards[index];
            let (ears, extents, scratch) = (&mut self.ears, &self.extents, &mut self.scratch);
            let mut sockets = Sockets { seats, ears, extents, scratch };
            if hub.flush(self.now, self.setting.pace.slice, &mut sockets) == Flush::Done {
                if hub.has_words_waiting() {
                    self.stirred = Some("something said that waits for more");
                }
                return;
            }
            if self.rng.one_in(8) {
                self.take_letters(index, calm);
                self.receive(index);
                self.exchange(index);
            }
        }
    }

    fn effects(&mut self, index: usize) {
        while let Some(effect) = self.shards[index].hub.poll_effect() {
            match effect {
                Effect::Interest { slot, read, write } => {
                    let seat = &mut self.shards[index].seats[slot.index()];
                    (seat.reads, seat.writes) = (read, write);
                    if let Some(client) = seat.client {
                        self.ears.wake(client);
                    }
                }
                Effect::Shutdown { slot } => {
                    if let Some(client) = self.shards[index].seats[slot.index()].client {
                        self.ears.end_of_stream(client);
                    }
                }
                Effect::Release { slot, reason } => self.release(index, slot, reason),
                Effect::Ship { slot, to, frozen } => self.ship(index, slot, to.index(), frozen),
                Effect::Authenticate { .. } => {
                    unreachable!("nobody goes where a token is asked for")
                }
                Effect::Inquire(inquiry) => self.inquire(index, inquiry),
            }
        }
    }

    fn release(&mut self, index: usize, slot: Slot, reason: CloseReason) {
        self.stirred = Some("a release");
        let Some(client) = self.shards[index].vacate(slot) else {
            return self.complain(|| format!("slot {slot:?} was released twice"));
        };
        if self.ears.clients[client as usize].reserved {
            self.census.release(registered(index));
        }
        if let Some(seen) = self.ears.over(client, reason) {
            self.remember(seen);
        }
        self.open.retain(|&open| open != client);
    }

    pub(super) fn remember(&mut self, seen: (u16, Position, Option<u32>)) {
        if self.seen.len() < SEEN_MAX {
            return self.seen.push(seen);
        }
        let at = self.rng.below(SEEN_MAX);
        self.seen[at] = seen;
    }

    fn ship(&mut self, index: usize, slot: Slot, to: usize, mut frozen: Box<Frozen>) {
        self.stirred = Some("a departure");
        let Some(client) = self.shards[index].vacate(slot) else {
            return self.complain(|| format!("slot {slot:?} moved, and nobody is there"));
        };
        let mut to = to;
        let one = &mut self.ears.clients[client as usize];
        one.place = Place::Between;
        one.moved = true;
        // Who comes and goes meanwhile is not told to it.
        (one.view, one.stale) = (None, one.asked);
        if self.census.moved(registered(index), registered(to)).is_err() {
            frozen.settle();
            to = index;
            self.ears.coverage.refused_moves += 1;
        }
        let due = self.step + self.rng.below(self.setting.pace.delay.max(1)) as u64;
        self.shards[to].inbound += 1;
        self.ears.trace.fold(0x5417 ^ u64::from(client) << 16);
        self.travellers.push(Traveller { client, to, due, frozen: Some(frozen) });
    }

    fn inquire(&mut self, index: usize, inquiry: Inquiry) {
        self.stirred = Some("a question");
        if let Some(answer) = self.clerk.ask(index, self.step, inquiry) {
            self.shards[index].hub.handle(self.now, Event::Answer(answer));
        }
    }

    /// Every bound, at every step.
    fn check_bounds(&mut self, index: usize) {
        // What waited with its request is published only when its room is heard.
        self.shards[index].note_burst();
        let (limits, shard) = (&self.setting.limits, &self.shards[index]);
        let hub = &shard.hub;
        let served = self.census.live_on(registered(index));
        let rooms = self.setting.rooms;
        let broken = if hub.outbox_bytes() > limits.shard_outbox_bytes_max {
            "shard_outbox_bytes_max"
        } else if hub.live() > limits.connections_max.saturating_add(limits.refusals_max) {
            "connections_max and refusals_max"
        } else if served > limits.connections_max {
            "connections_max in the census"
        } else if hub.inbound_bytes() > limits.inbound_bytes_max {
            "inbound_bytes_max"
        } else if hub.commands_waiting() > 2 * rooms * (shard.burst + 1) {
            "what waits for a ring while nobody is read from"
        } else if self.mesh.overlong {
            "delivery_messages_max"
        } else if self.clerk.unknown {
            "one home for each room, which the registry knows"
        } else {
            return;
        };
        self.complain(|| format!("shard {index} keeps not: {broken}"));
    }

    pub(super) fn is_quiet(&self, index: usize) -> bool {
        let shard = &self.shards[index];
        shard.hub.is_vacant()
            && shard.exchanged
            && shard.inbound == 0
            && shard.knocks.is_empty()
            && !self.clerk.awaits(index)
            && self.mesh.is_quiet(index)
    }

    pub(super) fn has_travellers(&self) -> bool {
        !self.travellers.is_empty()
    }
}

impl Ears {
    /// A hub has read a message.
    fn accepted(&mut self, id: u32) {
        self.tell_read(id);
        let now = self.now;
        let message = &mut self.record.messages[id as usize];
        self.coverage.published += 1;
        if message.accepted_at.is_none() {
            message.accepted_at = Some(now);
            message.required = true;
            self.record.rooms[usize::from(message.room)].accepted.push(id);
        }
    }

    /// The server sends nothing more; who reads it ends its stream too.
    fn end_of_stream(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        client.shut = true;
        client.ends |= client.reads == Reads::Freely;
        self.wake(id);
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
            CloseReason::NoPong => Some(1008),
            CloseReason::Overloaded => {
                self.coverage.overloaded += 1;
                None
            }
            CloseReason::Peer(_)
            | CloseReason::Ended
            | CloseReason::Reset
            | CloseReason::Answered(_)
            | CloseReason::HandshakeTimeout => None,
            CloseReason::Protocol(_)
            | CloseReason::Inbound
            | CloseReason::Panic
            | CloseReason::Flood
            | CloseReason::Told(_) => {
                self.complain(id, &format!("it did nothing wrong and was closed for {reason:?}"));
                None
            }
        }
    }

    /// A connection is over; where its client was, if it knows.
    fn over(&mut self, id: u32, reason: CloseReason) -> Option<(u16, Position, Option<u32>)> {
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
            self.complain(id, &format!("it was closed for {reason:?} and heard {close:?}"));
        }
        if reason == CloseReason::Slow && !blocked {
            self.complain(id, "it took all it was sent and was closed as slow");
        }
        let client = &self.clients[id as usize];
        if !client.subscribed || client.window == OPEN_WINDOW && !client.partial.is_empty() {
            return None;
        }
        let name =
            self.record.rooms[usize::from(client.room)].epochs[usize::from(client.epoch)].name;
        let position = Position {
            epoch: gateway_core::position::Epoch(name),
            offset: gateway_core::position::Offset(client.offset),
        };
        Some((client.room, position, client.name))
    }
}
