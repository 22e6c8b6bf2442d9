//! Connections whose messages come deflated, plain, long, in pieces and slowly, while they move,
//! wait and end: whatever was said is heard once, in order, and nothing is held in the end.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod deflating;
mod nodes;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flate2::{Compress, Compression as Level};
use gateway_core::deflate::{Compression, Inflater};
use gateway_core::event::Event;
use gateway_core::id::ShardId;
use gateway_core::middleware::{Context, Message, Middleware, Next, Verdict};
use gateway_core::route::{Kind, RouteConfig, Routes};
use gateway_core::time::Now;

use deflating::{OFFER, deflated_by, frames, offering};
use nodes::{Client, Node};
use world::{masked, request};

const SHARDS: u16 = 3;
const ROOMS: [&str; 2] = ["red", "blue"];
const GUESTS: usize = 5;
const PHASES: usize = 3;
const STEPS: usize = 60;

/// What a seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.roll(among.len())]
    }
}

/// Has every other message read a little later.
#[derive(Clone, Copy, Debug)]
struct Dawdling;

impl Middleware for Dawdling {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        if message.bytes.len().is_multiple_of(2) {
            context.read_again_at(Now(context.now.0 + 40_000_000));
        }
        next.run(context, message)
    }
}

/// How a client ends, if it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Open,
    /// All that it said before is heard.
    Goodbye,
    HalfClosed,
    /// Some of it is.
    Broken,
}

struct Guest {
    client: Client,
    /// Its room; an echo has none.
    room: Option<usize>,
    /// What it deflates with, if it may.
    state: Option<Compress>,
    /// What it has yet to send.
    bytes: Vec<u8>,
    /// What it said, in order, and the pings between.
    said: Vec<u64>,
    pings: Vec<u64>,
    end: End,
}

/// What a client heard: messages, pongs, and that there was no memory for what it said.
#[derive(Default)]
struct Heard {
    said: Vec<u64>,
    pongs: Vec<u64>,
    cut: bool,
}

struct Play {
    node: Node,
    dice: Dice,
    /// One in each room that says nothing.
    witnesses: [Client; ROOMS.len()],
    guests: Vec<Guest>,
    /// Whether a shard is to be empty at some moment, and whether memory is short.
    evacuates: bool,
    tight: bool,
    /// What was said, by number.
    words: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

fn routes(dawdles: bool) -> Arc<Routes> {
    let compression = Compression::Takeover;
    let mut echo = RouteConfig { path: "/echo".into(), compression, ..RouteConfig::default() };
    echo.kind = Kind::Echo;
    let namespace = Some("rooms".to_owned());
    let path = "/in/{room}".to_owned();
    let room = RouteConfig { path, namespace, compression, ..RouteConfig::default() };
    let routes = [echo, room].map(|route| if dawdles { route.with(Dawdling) } else { route });
    Arc::new(Routes::new(&routes).expect("the routes make sense"))
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let routes = routes(dice.roll(3) == 0);
        let small_room_members_max = dice.pick(&[0, 0, 3]);
        let inflated_bytes_per_sec = dice.pick(&[300_000, 4 << 20, 16 << 20]);
        let inflated_turn_bytes_max = dice.pick(&[1, 100_000, 3 << 20, 32 << 20]);
        let tight = dice.roll(4) == 0;
        let mut node = Node::new(SHARDS, |config| {
            config.routes = Arc::clone(&routes);
            let limits = &mut config.limits;
            limits.small_room_members_max = small_room_members_max;
            limits.inflated_bytes_per_sec = inflated_bytes_per_sec;
            limits.inflated_turn_bytes_max = inflated_turn_bytes_max;
            limits.outbox_bytes_max = 64 << 20;
            if tight {
                limits.inbound_bytes_max = 200_000;
            }
            limits.transit.bytes_max = 64 << 20;
            limits.unanswered_max = 4;
            limits.ping_secs = 0;
            limits.controls_burst = 1000;
        });
        node.reuses = true;
        let witnesses =
            ROOMS.map(|room| node.connect(dice.roll(SHARDS.into()), &format!("/in/{room}")));
        let (guests, words, evacuates) = (Vec::new(), BTreeMap::new(), dice.roll(3) == 0);
        let mut play = Self { node, dice, witnesses, guests, evacuates, tight, words, next: 0 };
        (0..GUESTS).for_each(|_| play.enter());
        play
    }

    fn enter(&mut self) {
        let shard = self.dice.roll(SHARDS.into());
        let room = (self.dice.roll(3) > 0).then(|| self.dice.roll(ROOMS.len()));
        let path = room.map_or_else(|| "/echo".to_owned(), |room| format!("/in/{}", ROOMS[room]));
        let deflates = self.dice.roll(4) > 0;
        let request = if deflates { offering(&path, OFFER) } else { request(&path) };
        let client = self.node.knock_with(shard, &request);
        self.node.settle();
        assert!(self.node.take(client).starts_with(b"HTTP/1.1 101 "));
        let state = deflates.then(|| Compress::new(Level::fast(), false));
        let (said, pings) = (Vec::new(), Vec::new());
        let bytes = Vec::new();
        self.guests.push(Guest { client, room, state, bytes, said, pings, end: End::Open });
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A message that nobody has said before, mostly a short one.
    fn message(&mut self) -> (u64, Vec<u8>) {
        let number = self.number();
        let mut message = format!("{number}|").into_bytes();
        let len = match self.dice.roll(12) {
            0 => 300_000,
            1 => 70_000,
            2..=4 => 2_000,
            _ => 5,
        };
        let len = self.dice.roll(len);
        if self.dice.roll(2) == 0 {
            message.resize(message.len() + len, b'x');
        } else {
            message.extend((0..len).map(|_| b'0' + self.dice.roll(64) as u8));
        }
        self.words.insert(number, message.clone());
        (number, message)
    }

    fn say(&mut self, at: usize) {
        if self.guests[at].end != End::Open {
            return;
        }
        let (number, message) = self.message();
        self.guests[at].said.push(number);
        let deflates = self.dice.roll(4) > 0;
        let state = self.guests[at].state.as_mut().filter(|_| deflates);
        let (first, payload) = match state {
            Some(state) => {
                let mut deflated = deflated_by(state, &message);
                if self.dice.roll(6) == 0 {
                    // RFC 1951 §3.2.4: empty blocks that are stored, each of five bytes.
                    deflated.extend([0, 0, 0xff, 0xff]);
                    let blocks = self.dice.roll(30_000);
                    deflated.extend([0, 0, 0, 0xff, 0xff].repeat(blocks));
                    deflated.push(0);
                }
                (0x41, deflated)
            }
            None => (0x01, message),
        };
        self.send_in_fragments(at, first, &payload);
    }

    fn send_in_fragments(&mut self, at: usize, first: u8, payload: &[u8]) {
        let fragments = 1 + self.dice.roll(3);
        let mut rest = payload;
        for fragment in 0..fragments {
            let len = match fragment + 1 == fragments {
                true => rest.len(),
                false => self.dice.roll(rest.len() + 1),
            };
            let (now, later) = rest.split_at(len);
            let opcode = if fragment == 0 { first } else { 0 };
            let fin = if fragment + 1 == fragments { 0x80 } else { 0 };
            self.guests[at].bytes.extend(masked(opcode | fin, now));
            rest = later;
            if self.dice.roll(4) == 0 {
                self.ping(at);
            }
        }
    }

    fn ping(&mut self, at: usize) {
        let number = self.number();
        self.guests[at].pings.push(number);
        self.guests[at].bytes.extend(masked(0x89, number.to_string().as_bytes()));
    }

    fn step(&mut self) {
        let at = self.dice.roll(self.guests.len());
        let client = self.guests[at].client;
        let shard = self.dice.roll(SHARDS.into());
        let to = ShardId(self.dice.roll(SHARDS.into()) as u16);
        match self.dice.roll(32) {
            0..=9 => self.say(at),
            10 if self.guests[at].end == End::Open => self.ping(at),
            11..=13 => self.node.event(client, |slot| Event::Move { slot, to }),
            14 => {
                let bytes = self.dice.pick(&[0, 3, 2_000, usize::MAX]);
                self.node.window(client, bytes);
            }
            15 if self.node.shards[shard].hub.shard() != to => {
                let event = Event::Migrate { to, homes_max: 2 };
                self.node.shards[shard].hub.handle(self.node.now, event);
            }
            16 => {
                let capacity = self.dice.pick(&[1, 2, 64]);
                self.node.rings_hold(capacity);
            }
            17 => self.node.refuses = self.dice.roll(3) == 0,
            18 if self.dice.roll(4) == 0 => self.end_one(at),
            19..=21 => self.pass(1 + self.dice.0 % 50),
            22..=27 => self.tick(shard),
            28 if self.evacuates => {
                // The last one; what is sent there afterwards comes back.
                let to = vec![ShardId(0), ShardId(1)];
                let hub = &mut self.node.shards[usize::from(SHARDS) - 1].hub;
                hub.handle(self.node.now, Event::Evacuate { to });
            }
            _ => _ = self.node.turn(shard),
        }
        let at = self.dice.roll(self.guests.len());
        let piece = self.dice.pick(&[1, 7, 1009, 40_000, 256 << 10]);
        self.feed(at, piece);
    }

    fn end_one(&mut self, at: usize) {
        if self.guests[at].end != End::Open {
            return;
        }
        self.guests[at].end = self.dice.pick(&[End::Goodbye, End::HalfClosed, End::Broken]);
        match self.guests[at].end {
            End::Goodbye => {
                self.guests[at].bytes.extend(masked(0x88, &1000_u16.to_be_bytes()));
            }
            End::Broken => {
                self.guests[at].bytes.clear();
                let client = self.guests[at].client;
                self.node.event(client, |slot| Event::Broken { slot });
            }
            // It is seen where everything was read.
            End::HalfClosed | End::Open => {}
        }
    }

    fn pass(&mut self, millis: u64) {
        self.node.now.0 += millis * 1_000_000;
    }

    fn tick(&mut self, shard: usize) {
        let (now, hub) = (self.node.now, &mut self.node.shards[shard].hub);
        if hub.poll_timeout().is_some_and(|at| at <= now) {
            hub.handle(now, Event::Tick);
        }
    }

    /// A client's next bytes are read, if it is read from; whether any were.
    fn feed(&mut self, at: usize, bytes_max: usize) -> bool {
        let client = self.guests[at].client;
        let (shard, slot) = (self.node.shard_of(client), self.node.slot_of(client));
        let gone = self.node.has_gone(client);
        if gone || !self.node.wire(client).reads || !self.node.shards[shard].hub.may_read(slot) {
            return false;
        }
        let guest = &mut self.guests[at];
        let piece: Vec<u8> = guest.bytes.drain(..bytes_max.min(guest.bytes.len())).collect();
        if !piece.is_empty() {
            self.node.raw(client, &piece);
        } else if guest.end == End::HalfClosed {
            self.node.event(client, |slot| Event::Ended { slot });
        }
        !piece.is_empty()
    }

    /// Nothing is under way any more, and everything was read.
    fn rest(&mut self) {
        self.node.rings_hold(64);
        self.node.refuses = false;
        for guest in &self.guests {
            self.node.window(guest.client, usize::MAX);
        }
        for _ in 0..3_000 {
            self.node.settle();
            (0..self.node.shards.len()).for_each(|shard| self.tick(shard));
            self.node.settle();
            let fed = (0..self.guests.len()).fold(false, |fed, at| self.feed(at, 256 << 10) | fed);
            let waits = |guest: &Guest| {
                let ends = matches!(guest.end, End::Goodbye | End::HalfClosed);
                !self.node.has_gone(guest.client) && (ends || !guest.bytes.is_empty())
            };
            let held = self.node.shards.iter().any(|shard| shard.hub.inbound_bytes() > 0);
            if !fed && !held && !self.guests.iter().any(waits) {
                return;
            }
            self.pass(20);
        }
        let left: Vec<_> = self.guests.iter().map(|it| (it.bytes.len(), it.end)).collect();
        let held: Vec<_> = self.node.shards.iter().map(|it| it.hub.inbound_bytes()).collect();
        panic!("somebody waits for ever: {left:?}, {held:?} bytes are held");
    }

    /// Numbers of the messages that a client heard, whose words are as they were said, and of
    /// the pings that were answered.
    fn heard(&mut self, client: Client) -> Heard {
        let Heard { mut said, mut pongs, mut cut } = Heard::default();
        for (first, payload) in frames(&self.node.take(client)) {
            let payload = match first & 0x40 {
                0 => payload,
                _ => {
                    let mut out = Vec::new();
                    Inflater::default().inflate(&payload, &[], 1 << 20, &mut out).unwrap();
                    out
                }
            };
            let number = payload.split(|&byte| byte == b'|').next().unwrap();
            let number = || std::str::from_utf8(number).unwrap().parse::<u64>().unwrap();
            match first & 0x0f {
                1 => {
                    assert!(self.words[&number()] == payload, "{} as it was said", number());
                    said.push(number());
                }
                10 => pongs.push(number()),
                8 => cut |= payload[..2] == 1013_u16.to_be_bytes(),
                other => panic!("nothing of kind {other} is ever said"),
            }
        }
        Heard { said, pongs, cut }
    }

    fn check(&mut self) {
        let orders = self.witnesses.map(|witness| self.heard(witness).said);
        for at in 0..self.guests.len() {
            self.check_guest(at, &orders);
        }
        for (room, order) in orders.iter().enumerate() {
            let of_room = self.guests.iter().filter(|guest| guest.room == Some(room));
            let authors: usize = of_room.map(|guest| count(order, &guest.said)).sum();
            assert_eq!(authors, order.len(), "nothing is heard of anybody else");
        }
    }

    fn check_guest(&mut self, at: usize, orders: &[Vec<u64>; ROOMS.len()]) {
        let Guest { client, room, end, .. } = self.guests[at];
        let Heard { said: heard, pongs, cut } = match end {
            // It may have gone in the middle of a frame.
            End::Broken => Default::default(),
            End::Open | End::Goodbye | End::HalfClosed => self.heard(client),
        };
        if cut {
            // There was no memory for what it said.
            assert!(self.tight, "guest {at}, {end:?}");
            self.guests[at].end = End::Broken;
            self.node.event(client, |slot| Event::Broken { slot });
        }
        let Guest { end, ref said, ref pings, .. } = self.guests[at];
        // One that is owed overtakes what is behind the frame that is half sent.
        let once = pongs.iter().collect::<BTreeSet<_>>().len() == pongs.len();
        assert!(once && pongs.iter().all(|pong| pings.contains(pong)), "{pongs:?} of {pings:?}");
        let Some(room) = room else {
            let all = end == End::Broken || heard == *said;
            return assert!(all, "echo {at}, {end:?}: {heard:?} of {said:?}");
        };
        let mine: Vec<u64> = orders[room].iter().copied().filter(|it| said.contains(it)).collect();
        assert!(said.starts_with(&mine), "guest {at}, {end:?}: {mine:?} of {said:?} was heard");
        assert!(end == End::Broken || mine == *said, "guest {at}, {end:?}: {mine:?} of {said:?}");
        let mut others = orders[room].clone();
        others.retain(|number| !said.contains(number));
        assert!(others.starts_with(&heard), "guest {at}, {end:?}: {heard:?} of {others:?}");
        assert!(end != End::Open || heard == others, "guest {at}: {heard:?} of {others:?}");
    }

    fn phase(&mut self) {
        (0..STEPS).for_each(|_| self.step());
        self.rest();
        self.check();
        self.words.clear();
        self.guests.retain(|guest| guest.end == End::Open);
        for guest in &mut self.guests {
            guest.said.clear();
            guest.pings.clear();
        }
        while self.guests.len() < GUESTS {
            self.enter();
        }
    }

    fn end(mut self) {
        let drains = self.dice.roll(2) == 0;
        for at in 0..self.guests.len() {
            (0..4).for_each(|_| self.say(at));
            self.feed(at, 256 << 10);
        }
        for shard in 0..self.node.shards.len() {
            if drains {
                self.node.shards[shard].hub.handle(self.node.now, Event::Drain);
            }
            self.node.turn(shard);
        }
        for client in self.guests.iter().map(|guest| guest.client).chain(self.witnesses) {
            self.node.event(client, |slot| Event::Ended { slot });
        }
        self.node.settle();
        // Until then a past may be kept for who ended while its room moved.
        self.pass(20_000);
        (0..self.node.shards.len()).for_each(|shard| self.tick(shard));
        self.node.settle();
        self.node.assert_empty();
    }
}

fn count(order: &[u64], said: &[u64]) -> usize {
    order.iter().filter(|number| said.contains(number)).count()
}

/// Seeds that are played unless told otherwise, and the first of them.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let first = number("JOURNEYS_SEED").unwrap_or(0);
    first..first + number("JOURNEYS_SEEDS").unwrap_or(60)
}

#[test]
fn what_is_said_is_heard_once_and_in_order_however_it_comes_and_wherever_its_sender_goes() {
    for seed in seeds() {
        let played = std::panic::catch_unwind(|| {
            let mut play = Play::new(seed);
            (0..PHASES).for_each(|_| play.phase());
            play.end();
        });
        assert!(played.is_ok(), "JOURNEYS_SEED={seed} JOURNEYS_SEEDS=1 replays it");
    }
}
