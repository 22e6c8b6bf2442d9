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
use super::client::{Client, Place, Reads, Stage};
use super::door::Door;
use super::ears::Ears;
use super::mishaps::Return;
use super::rings::Mesh;
use super::setting::{SHARDS_MAX, Setting};
use super::shard::{Shard, Sockets, State};
use super::tally::Done;
use crate::extents::Extents;
use crate::promise::{Promise, Violation};
use crate::rng::Rng;
use crate::worlds::Ask;

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
    /// Those who come back soon, behind a storm.
    pub(super) returns: Vec<Return>,
    pub(super) door: Door,
    pub(super) done: Done,
    /// Faults have stopped, and who was hurt by them is gone.
    pub(super) calm: bool,
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
/// When every run begins.
pub(super) const BEGIN: Now = Now::from_secs(100);
const NANOS_PER_STEP: u64 = 1_000_000;

impl World {
    pub(super) fn new(ask: &Ask) -> Self {
        let seed = ask.seed;
        let mut rng = Rng::new(seed ^ 0x6d65_7368);
        let mut balance = Rng::new(seed ^ 0x6261_6c61);
        let setting = Setting::new(&mut rng, &mut balance).with(&ask.less);
        let mesh = Mesh::new(setting.rings, &setting.limits, &mut rng);
        let clerk = Clerk::new(&setting, seed, rng.fork());
        let capacity = Capacity { total_max: 1 << 20, shard_max: setting.limits.connections_max };
        let ears = Ears::new(setting.clone(), rng.fork());
        let path = |room| match room {
            0 => "/".into(),
            room if setting.is_chat(room) => format!("/ws/chat/room-{room}"),
            room => format!("/ws/room-{room}"),
        };
        let paths = (0..(setting.rooms + setting.chats) as u16).map(path).collect();
        let mut world = Self {
            rng,
            balance,
            ears,
            shards: Vec::new(),
            mesh,
            clerk,
            census: Census::new(capacity, SHARDS_MAX),
            now: BEGIN,
            step: 0,
            open: Vec::new(),
            travellers: Vec::new(),
            seen: Vec::new(),
            paths,
            returns: Vec::new(),
            door: Door::default(),
            done: Done::default(),
            calm: false,
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

    pub(super) fn complain(&mut self, promise: Promise, what: impl FnOnce() -> String) {
        self.ears.broken.get_or_insert_with(|| Violation { promise, what: what() });
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
        let due = self.shards[index].hub.poll_timeout().is_some_and(|due| due <= self.now);
        self.take_letters(index, calm);
        self.take_answers(index, calm);
        self.open_door(index, calm);
        self.receive(index);
        if due || buggify!(TickEarly) {
            self.shards[index].hub.handle(self.now, Event::Tick);
        }
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
        self.done.adopted += 1;
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
        self.ears.coverage.full_shards += u64::from(!one.reserved);
        // The hub keeps its bound by itself too, when it knows as much as the census: of nobody on
        // the way here, and of nobody who made place for those that just came.
        let agree = shard.inbound == 0 && !moved_in;
        let event = if one.reserved || agree && self.rng.one_in(2) {
            Event::Accepted { slot }
        } else {
            Event::Refused { slot, full: Full::Node }
        };
        self.done.accepted += 1;
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
        client.severed |= client.breaks && client.unread().is_empty();
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
        let goes = client.ends && !client.ended || client.breaks;
        !client.unread().is_empty() || goes || takes
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
                None if self.counts_of_a_request(id) => {}
                None => {
                    let what = "a message was read that was not sent";
                    return self.ears.complain(Promise::Accounted, id, what);
                }
            }
        }
    }

    /// Whether a message that waited with its request may have been counted now, this client's or
    /// another one's: who comes or goes makes room for those whose recovery had to wait. Each is
    /// counted once.
    fn counts_of_a_request(&mut self, id: u32) -> bool {
        let waited = |client: &Client| {
            let read = client.said.iter().filter(|said| said.end <= client.read_bytes()).count();
            let asking = if client.stage == Stage::Asking { read } else { 0 };
            client.with_request + asking > client.counted_early
        };
        let mut clients = [id].into_iter().chain(self.open.iter().copied());
        let found = clients.find(|&client| waited(&self.ears.clients[client as usize]));
        if let Some(client) = found {
            self.ears.clients[client as usize].counted_early += 1;
        }
        found.is_some()
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
                effect @ Effect::Authenticate { .. } => self.ask_door(index, effect),
                Effect::Inquire(inquiry) => self.inquire(index, inquiry),
            }
        }
    }

    fn release(&mut self, index: usize, slot: Slot, reason: CloseReason) {
        self.stirred = Some("a release");
        let Some(client) = self.shards[index].vacate(slot) else {
            let what = || format!("slot {slot:?} was released twice");
            return self.complain(Promise::Accounted, what);
        };
        if self.ears.clients[client as usize].reserved {
            self.census.release(registered(index));
        }
        let seen = self.ears.over(client, reason);
        seen.into_iter().for_each(|seen| self.remember(seen));
        if self.ears.clients[client as usize].returns {
            self.come_back(client, seen.map(|(_, position, _)| position));
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
        self.done.shipped += 1;
        let Some(client) = self.shards[index].vacate(slot) else {
            let what = || format!("slot {slot:?} moved, and nobody is there");
            return self.complain(Promise::Accounted, what);
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
            let (rename, publisher) = (message.rename, message.publisher);
            self.record.rooms[usize::from(message.room)].accepted.push(id);
            if rename {
                self.renamed(publisher, id);
            }
        }
    }

    /// The server sends nothing more; who reads it ends its stream too.
    fn end_of_stream(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        client.shut = true;
        client.ends |= client.reads == Reads::Freely && client.mute.is_none();
        self.wake(id);
    }
}
