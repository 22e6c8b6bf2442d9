//! A node of several hubs around one registry: rings of vectors, and clients that move.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, VecDeque};

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Post, RoomName, Term};
use gateway_core::event::{CloseReason, Effect, Event, Grant};
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use gateway_core::time::Now;

use super::world::{Frame, TOKEN, Wire, Wires, frames, fresh_wire, masked, request};

/// A client, wherever its connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Client(pub(crate) usize);

/// What is between two shards, in each direction of each pair.
#[derive(Default)]
struct Rings {
    commands: BTreeMap<(ShardId, ShardId), VecDeque<Command>>,
    deliveries: BTreeMap<(ShardId, ShardId), VecDeque<Delivery>>,
    capacity: usize,
}

struct From<'a>(ShardId, &'a mut Rings);

impl Post for From<'_> {
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        let ring = self.1.commands.entry((self.0, to)).or_default();
        if ring.len() >= self.1.capacity {
            return Err(command);
        }
        ring.push_back(command);
        Ok(())
    }

    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        let ring = self.1.deliveries.entry((self.0, to)).or_default();
        if ring.len() >= self.1.capacity {
            return Err(delivery);
        }
        ring.push_back(delivery);
        Ok(())
    }
}

pub(crate) struct Shard {
    pub(crate) hub: Hub,
    pub(crate) wires: Wires,
    /// Which client is in which slot.
    clients: Vec<Option<Client>>,
}

pub(crate) struct Node {
    pub(crate) shards: Vec<Shard>,
    rings: Rings,
    homes: BTreeMap<RoomName, (ShardId, Term)>,
    terms: u64,
    pub(crate) now: Now,
    /// Where each client is.
    places: Vec<(usize, Slot)>,
    /// What each client got before it moved.
    got: Vec<Vec<u8>>,
    pub(crate) closed: BTreeMap<usize, CloseReason>,
    /// Whether nobody is let move, and how many were refused.
    pub(crate) refuses: bool,
    pub(crate) refusals: u32,
    /// The registry refuses migrations, and how often it was asked; or it does not answer.
    pub(crate) no_migrations: bool,
    pub(crate) asked: u32,
    pub(crate) silent: Vec<Term>,
    pub(crate) mute: bool,
    /// Whether slots are used again.
    pub(crate) reuses: bool,
}

impl Node {
    pub(crate) fn new(shards: u16, change: impl Fn(&mut Config)) -> Self {
        let shard = |id| {
            let mut config = Config { shard: Some(ShardId(id)), seed: 7, ..Config::default() };
            change(&mut config);
            Shard { hub: Hub::new(config), wires: Wires::default(), clients: Vec::new() }
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            rings: Rings { capacity: 64, ..Rings::default() },
            homes: BTreeMap::new(),
            terms: 0,
            now: Now::from_secs(100),
            places: Vec::new(),
            got: Vec::new(),
            closed: BTreeMap::new(),
            refuses: false,
            refusals: 0,
            no_migrations: false,
            asked: 0,
            silent: Vec::new(),
            mute: false,
            reuses: false,
        }
    }

    /// Nobody follows a room to its home.
    pub(crate) fn spread(shards: u16) -> Self {
        Self::new(shards, |config| config.limits.small_room_members_max = 0)
    }

    /// Asks for `path` on a shard; nothing is done about it yet.
    pub(crate) fn knock(&mut self, shard: usize, path: &str) -> Client {
        self.knock_with(shard, &request(path))
    }

    /// Sends this request to a shard.
    pub(crate) fn knock_with(&mut self, shard: usize, request: &[u8]) -> Client {
        let client = Client(self.places.len());
        let slot = self.seat(shard, client);
        self.places.push((shard, slot));
        self.got.push(Vec::new());
        self.shards[shard].hub.handle(self.now, Event::Accepted { slot });
        self.raw(client, request);
        client
    }

    pub(crate) fn connect(&mut self, shard: usize, path: &str) -> Client {
        let client = self.knock(shard, path);
        self.settle();
        let got = self.take(client);
        assert!(got.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&got));
        client
    }

    fn seat(&mut self, shard: usize, client: Client) -> Slot {
        let Shard { wires, clients, .. } = &mut self.shards[shard];
        if self.reuses
            && let Some(free) = clients.iter().position(Option::is_none)
        {
            (wires.0[free], clients[free]) = (fresh_wire(), Some(client));
            return Slot::from(free);
        }
        let slot = Slot::from(wires.0.len());
        wires.0.push(fresh_wire());
        clients.push(Some(client));
        slot
    }

    /// Whether a client's connection was released; its slot may be another's by now.
    pub(crate) fn has_gone(&self, client: Client) -> bool {
        self.closed.contains_key(&client.0)
    }

    /// The shard that serves a client now.
    pub(crate) fn shard_of(&self, client: Client) -> usize {
        self.places[client.0].0
    }

    pub(crate) fn slot_of(&self, client: Client) -> Slot {
        self.places[client.0].1
    }

    pub(crate) fn wire(&self, client: Client) -> &Wire {
        let (shard, slot) = self.places[client.0];
        &self.shards[shard].wires.0[slot.index()]
    }

    pub(crate) fn raw(&mut self, client: Client, bytes: &[u8]) {
        let (shard, slot) = self.places[client.0];
        let event = Event::Received { slot, bytes: &mut bytes.to_vec() };
        self.shards[shard].hub.handle(self.now, event);
    }

    pub(crate) fn say(&mut self, client: Client, text: &str) {
        self.raw(client, &masked(0x81, text.as_bytes()));
    }

    /// Something happens to a client's connection, if it is still there.
    pub(crate) fn event(&mut self, client: Client, event: impl Fn(Slot) -> Event<'static>) {
        if self.has_gone(client) {
            return;
        }
        let (shard, slot) = self.places[client.0];
        self.shards[shard].hub.handle(self.now, event(slot));
    }

    /// The client takes no more than this many bytes until it is told otherwise.
    pub(crate) fn window(&mut self, client: Client, bytes: usize) {
        if self.has_gone(client) {
            return;
        }
        let (shard, slot) = self.places[client.0];
        self.shards[shard].wires.0[slot.index()].window = bytes;
        if bytes > 0 {
            self.shards[shard].hub.handle(self.now, Event::Writable { slot });
        }
    }

    /// All that a client got since it was last asked.
    pub(crate) fn take(&mut self, client: Client) -> Vec<u8> {
        let (shard, slot) = self.places[client.0];
        let mut got = std::mem::take(&mut self.got[client.0]);
        if self.has_gone(client) {
            return got;
        }
        got.append(&mut self.shards[shard].wires.0[slot.index()].got);
        got
    }

    pub(crate) fn heard(&mut self, client: Client) -> Vec<Frame> {
        let got = self.take(client);
        let (frames, rest) = frames(&got);
        self.got[client.0] = got[got.len() - rest..].to_vec();
        frames
    }

    /// Turns of all shards until nothing moves.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let moved = (0..self.shards.len()).fold(false, |moved, shard| self.turn(shard) | moved);
            if !moved {
                return;
            }
        }
        panic!("the shards find no rest");
    }

    /// One turn of one shard; whether anything came or went.
    pub(crate) fn turn(&mut self, shard: usize) -> bool {
        let me = ShardId(shard as u16);
        let mut moved = self.take_letters(me);
        loop {
            let Shard { hub, wires, .. } = &mut self.shards[shard];
            let before = self.rings.len();
            hub.exchange(self.now, &mut From(me, &mut self.rings));
            moved |= before != self.rings.len();
            while hub.flush(self.now, 2, wires) == Flush::More {}
            if !self.effects(shard) {
                return moved;
            }
            moved = true;
        }
    }

    pub(crate) fn rings_hold(&mut self, capacity: usize) {
        self.rings.capacity = capacity;
    }

    pub(crate) fn take_letters(&mut self, me: ShardId) -> bool {
        let mut moved = false;
        for from in 0..self.shards.len() as u16 {
            let pair = (ShardId(from), me);
            while let Some(delivery) =
                self.rings.deliveries.get_mut(&pair).and_then(VecDeque::pop_front)
            {
                self.shards[me.index()].hub.handle(self.now, Event::Delivery(delivery));
                moved = true;
            }
            while let Some(command) =
                self.rings.commands.get_mut(&pair).and_then(VecDeque::pop_front)
            {
                self.shards[me.index()].hub.handle(self.now, Event::Command(command));
                moved = true;
            }
        }
        moved
    }

    /// One pass of a turn, as `Turn::pass` in the gateway; whether it was busy.
    pub(crate) fn pass(&mut self, shard: usize) -> bool {
        let me = ShardId(shard as u16);
        let mut busy = self.effects(shard);
        let Shard { hub, wires, .. } = &mut self.shards[shard];
        let before = self.rings.len();
        hub.exchange(self.now, &mut From(me, &mut self.rings));
        busy |= before != self.rings.len();
        while hub.flush(self.now, 2, wires) == Flush::More {}
        busy | self.effects(shard)
    }

    pub(crate) fn effects(&mut self, shard: usize) -> bool {
        let mut any = false;
        while let Some(effect) = self.shards[shard].hub.poll_effect() {
            any = true;
            match effect {
                Effect::Interest { slot, read, write } => {
                    let wire = &mut self.shards[shard].wires.0[slot.index()];
                    (wire.reads, wire.writes) = (read, write);
                }
                Effect::Shutdown { slot } => {
                    self.shards[shard].wires.0[slot.index()].shut = true;
                }
                Effect::Release { slot, reason } => {
                    let client = self.shards[shard].clients[slot.index()].take();
                    let client = client.expect("a connection ends once");
                    assert_eq!(self.closed.insert(client.0, reason), None);
                    let wire = &mut self.shards[shard].wires.0[slot.index()];
                    self.got[client.0].append(&mut wire.got);
                }
                Effect::Ship { slot, mut frozen, .. } if self.refuses => {
                    self.refusals += 1;
                    frozen.settle();
                    // A thawed connection expects to be read from, as `Turn::ship` has it.
                    let wire = &mut self.shards[shard].wires.0[slot.index()];
                    (wire.reads, wire.writes) = (true, false);
                    let event = Event::Thawed { slot, frozen };
                    self.shards[shard].hub.handle(self.now, event);
                }
                Effect::Ship { slot, to, frozen } => {
                    let client = self.shards[shard].clients[slot.index()].take();
                    let client = client.expect("who moves is there");
                    let wire = &mut self.shards[shard].wires.0[slot.index()];
                    let wire = std::mem::replace(wire, fresh_wire());
                    let slot = self.seat(to.index(), client);
                    let wire = Wire { reads: true, writes: false, ..wire };
                    self.shards[to.index()].wires.0[slot.index()] = wire;
                    self.places[client.0] = (to.index(), slot);
                    let event = Event::Thawed { slot, frozen };
                    self.shards[to.index()].hub.handle(self.now, event);
                }
                Effect::Authenticate { ticket, token, .. } => {
                    let granted = token.expose() == TOKEN;
                    let granted = granted.then(Grant::default);
                    let event = Event::Authenticated { ticket, granted };
                    self.shards[shard].hub.handle(self.now, event);
                }
                Effect::Inquire(inquiry) => self.inquire(shard, inquiry),
            }
        }
        any
    }

    fn inquire(&mut self, shard: usize, inquiry: Inquiry) {
        let answer = match inquiry {
            Inquiry::Claim { room } => {
                let fresh = !self.homes.contains_key(&room);
                if fresh {
                    self.terms += 1;
                    self.homes.insert(room.clone(), (ShardId(shard as u16), Term(self.terms)));
                }
                let (home, term) = self.homes[&room];
                Answer::Claimed { room, home, term, fresh }
            }
            Inquiry::Retire { room, term } => {
                let (home, known) = self.homes.remove(&room).expect("a home that is known");
                assert_eq!((home, known), (ShardId(shard as u16), term));
                return;
            }
            Inquiry::Migrate { term, .. } if self.mute => {
                self.silent.push(term);
                return;
            }
            Inquiry::Migrate { term, .. } if self.no_migrations => {
                self.asked += 1;
                Answer::Migrated { term, next: None }
            }
            Inquiry::Migrate { room, term, to } => {
                assert_eq!(self.homes[&room], (ShardId(shard as u16), term));
                self.terms += 1;
                self.homes.insert(room, (to, Term(self.terms)));
                Answer::Migrated { term, next: Some(Term(self.terms)) }
            }
            Inquiry::Confirm { room, term } => {
                let here = self.homes.get(&room) == Some(&(ShardId(shard as u16), term));
                Answer::Confirmed { term, here }
            }
            Inquiry::Sequence { .. } => panic!("homes sequence by themselves here"),
        };
        self.shards[shard].hub.handle(self.now, Event::Answer(answer));
    }

    /// Nothing is left anywhere, and the counters add up.
    pub(crate) fn assert_empty(&self) {
        assert!(self.homes.is_empty(), "{:?}", self.homes);
        let (mut came, mut went) = (0, 0);
        for shard in &self.shards {
            let hub = &shard.hub;
            assert_eq!((hub.live(), hub.rooms(), hub.homes()), (0, 0, 0));
            assert_eq!((hub.chunks(), hub.outbox_bytes(), hub.inbound_bytes()), (0, 0, 0));
            assert_eq!(hub.underway_bytes(), 0);
            let counters = hub.counters();
            came += counters.accepted + counters.moved_in;
            went += counters.closed_total() + counters.moved_out;
        }
        assert_eq!(came, went);
    }
}

impl Rings {
    fn len(&self) -> usize {
        self.commands.values().map(VecDeque::len).sum::<usize>()
            + self.deliveries.values().map(VecDeque::len).sum::<usize>()
    }
}
