//! The log against a plain list under everything at once, and its memory against the allocator's.

use std::collections::VecDeque;

use super::*;
use crate::body::Body;
use crate::frame::Kind;
use crate::id::{Author, ShardId};
use crate::transmit::Part;

/// What a body costs beside its bytes: the count that its clones share.
const BODY_COST_BYTES: usize = 32;

struct Draws(u64);

impl Draws {
    /// A number below `below`.
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % below
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn retention(&mut self) -> Retention {
        if self.one_in(8) {
            return Retention::default();
        }
        let messages_max = [u32::MAX, self.below(60) as u32][self.below(2) as usize];
        let bytes_max = [usize::MAX, self.below(300_000) as usize][self.below(2) as usize];
        let age_secs = [1 << 20, self.below(10) as u32][self.below(2) as usize];
        Retention { messages_max, bytes_max, age_secs }
    }

    fn len(&mut self) -> usize {
        let below = [4, 250, 3_000, 71 << 10][(self.below(40) as usize).saturating_sub(36)];
        self.below(below) as usize
    }
}

/// What a message looks like in a plain list.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    meta: Meta,
    words: Vec<u8>,
    is_body: bool,
}

fn told((meta, words): (Meta, Words<'_>)) -> Told {
    match words {
        Words::Bytes(bytes) => Told { meta, words: bytes.to_vec(), is_body: false },
        Words::Body(body) => {
            let Part::Bytes(bytes) = body.part(0, body.len()) else { panic!("none is stored") };
            Told { meta, words: bytes.to_vec(), is_body: true }
        }
    }
}

/// A log beside the plain list that it has to equal.
struct World {
    draws: Draws,
    log: Log,
    /// When each was pushed, and what it counts towards a bound.
    list: VecDeque<(Tick, usize, Told)>,
    /// Bytes that the allocator gave to the log and has not back.
    held: i64,
    base: u64,
    last: u64,
    now: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut draws = Draws(seed);
        let base = draws.below(1 << 20);
        let log = Log::new(Offset(base));
        Self { draws, log, list: VecDeque::new(), held: 0, base, last: base, now: 0 }
    }

    fn push(&mut self) {
        let draws = &mut self.draws;
        self.now += if draws.one_in(5) { draws.below(20) as u32 } else { 0 };
        let hole = if draws.one_in(6) { draws.below(1 << 31) } else { 0 };
        let meta = Meta {
            prev: Offset(self.last),
            offset: Offset(self.last + 1 + hole),
            author: Author::from_bits([u64::MAX, draws.below(1 << 30)][draws.below(2) as usize]),
            origin: ShardId(draws.below(1_024) as u16),
            id: draws.below(1 << 30) << draws.below(33),
            kind: if draws.one_in(2) { Kind::Text } else { Kind::Binary },
        };
        let words: Vec<u8> = (0..draws.len()).map(|n| (n as u64 ^ meta.id) as u8).collect();
        let is_body = draws.one_in(7);
        let counted = allocation_counter::measure(|| {
            if is_body {
                let body = Body::from(words.clone());
                self.log.push(Tick(self.now), &meta, Words::Body(&body));
            } else {
                self.log.push(Tick(self.now), &meta, Words::Bytes(&words));
            }
        });
        self.held += counted.bytes_current;
        let kept = self.log.records(meta.prev).next().expect("it was just pushed").bytes;
        assert!((words.len() + 3..=words.len() + 51).contains(&kept), "{kept} for {}", words.len());
        self.last = meta.offset.0;
        self.list.push_back((Tick(self.now), kept, Told { meta, words, is_body }));
    }

    fn is_beyond(&self, bound: &Retention) -> bool {
        let Some((oldest, ..)) = self.list.front() else { return false };
        let kept: usize = self.list.iter().map(|(_, kept, _)| kept).sum();
        !bound.keeps()
            || self.list.len() > bound.messages_max as usize
            || kept > bound.bytes_max
            || oldest.after_secs(bound.age_secs) <= Tick(self.now)
    }

    fn trim(&mut self) {
        self.now += self.draws.below(30) as u32;
        let (history, transit) = (self.draws.retention(), self.draws.retention());
        let unsent = Offset(self.base + self.draws.below(self.last - self.base + 1));
        let unsent = if self.draws.one_in(2) { Offset(self.last) } else { unsent };
        let mut heard = Vec::with_capacity(self.list.len());
        let counted = allocation_counter::measure(|| {
            self.log.trim(Tick(self.now), &history, unsent, &transit, |meta| heard.push(meta));
        });
        self.held += counted.bytes_current;
        let mut lost = Vec::new();
        while self.is_beyond(&history) {
            let meta = self.list[0].2.meta;
            if meta.offset > unsent {
                if !self.is_beyond(&transit) {
                    break;
                }
                lost.push(meta);
            }
            self.base = meta.offset.0;
            self.list.pop_front();
        }
        assert_eq!(heard, lost, "who is told of what was lost");
    }

    fn empty(&mut self) {
        let nothing = Retention::default();
        let (now, unsent) = (Tick(self.now), Offset(self.last));
        let counted = allocation_counter::measure(|| {
            self.log.trim(now, &nothing, unsent, &nothing, |_| panic!("all were sent"));
        });
        self.held += counted.bytes_current;
        self.list.clear();
    }

    fn check(&mut self) {
        assert_eq!(self.log.len(), self.list.len());
        assert_eq!(self.log.is_empty(), self.list.is_empty());
        assert_eq!((self.log.base().0, self.log.last().0), (self.base, self.last));
        assert!(self.base == 0 || !self.log.reaches(Offset(self.base - 1)));
        let history = self.draws.retention();
        let expiry = self.list.front().filter(|_| history.keeps());
        let expiry = expiry.map_or(Tick::NEVER, |(tick, ..)| tick.after_secs(history.age_secs));
        assert_eq!(self.log.next_expiry(&history), expiry);
        let since = match self.draws.below(3) {
            0 => self.base,
            1 => self.base + self.draws.below(self.last - self.base + 1),
            _ => self.last.saturating_sub(self.draws.below(4)).max(self.base),
        };
        let expected: Vec<&Told> = self.after(since).collect();
        assert!(self.log.since(Offset(since)).map(told).eq(expected.into_iter().cloned()));
        self.check_copy(since);
        self.check_memory();
    }

    fn check_memory(&self) {
        let (claimed, held) = (self.log.memory(), usize::try_from(self.held).expect("no less"));
        let bodies = self.list.iter().filter(|(.., told)| told.is_body).count();
        assert!(claimed + bodies * BODY_COST_BYTES >= held, "{claimed} for {held}");
        assert!(claimed * 10 <= held * 13 + 2_560, "{claimed} for {held}");
    }

    fn check_copy(&mut self, since: u64) {
        let (messages_max, bytes_max) = (self.draws.below(9) as usize, self.draws.len());
        let mut batch = Batch::default();
        self.log.copy_since(Offset(since), messages_max, bytes_max, &mut batch);
        let mut bytes = 0;
        let expected = self.after(since).enumerate().take_while(|(n, told)| {
            bytes += told.words.len();
            *n == 0 || *n < messages_max && bytes <= bytes_max
        });
        let expected: Vec<Told> = expected.map(|(_, told)| told.clone()).collect();
        assert!(batch.iter().map(told).eq(expected));
    }

    fn after(&self, since: u64) -> impl Iterator<Item = &Told> {
        self.list.iter().map(|(.., told)| told).filter(move |told| told.meta.offset.0 > since)
    }
}

#[test]
fn the_log_equals_a_plain_list_whatever_is_pushed_and_trimmed() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            if world.draws.one_in(9) {
                world.trim()
            } else {
                world.push()
            }
            world.check();
        }
        world.empty();
        assert_eq!((world.log.len(), world.log.memory()), (0, 0), "only the struct is left");
        assert_eq!(world.held, 0, "the allocator has everything back");
    }
}

#[test]
fn a_dropped_body_is_gone_although_its_segment_stays() {
    let mut log = Log::new(Offset::START);
    let newest = Retention { messages_max: 1, bytes_max: usize::MAX, age_secs: 60 };
    let counted = allocation_counter::measure(|| {
        for n in 1..=100 {
            let (author, origin, kind) = (Author::NOBODY, ShardId(0), Kind::Binary);
            let (prev, offset) = (Offset(n - 1), Offset(n));
            let meta = Meta { prev, offset, author, origin, id: n, kind };
            log.push(Tick(0), &meta, Words::Body(&Body::from(vec![7; 10_000])));
            log.trim(Tick(0), &newest, Offset(n), &newest, |_| panic!("all were sent"));
        }
    });
    assert_eq!(log.len(), 1);
    assert!(counted.bytes_current < 20_000, "{} are held", counted.bytes_current);
    assert!(log.memory() < 20_000, "{} are charged", log.memory());
}

/// Bytes that a usual allocator adds to an allocation: its own word, and half a rounding to 16.
const ALLOCATION_COST_BYTES: u64 = 16;

/// Bytes per byte of payload, times a thousand, in rooms that keep 100 messages of 200 bytes.
fn cost_permille(rooms: u64, pushes: u64) -> u64 {
    let payload = [7; 200];
    let mut logs = Vec::with_capacity(rooms as usize);
    let counted = allocation_counter::measure(|| {
        for room in 0..rooms {
            let mut log = Log::new(Offset::START);
            // Rooms stand at different places of their segments.
            for n in 1..=pushes + if pushes > 100 { room % 100 } else { 0 } {
                let (author, origin) = (Author::named(n % 50), ShardId((n % 64) as u16));
                let (prev, offset) = (Offset(n - 1), Offset(n));
                let meta = Meta { prev, offset, author, origin, id: n, kind: Kind::Text };
                log.push(Tick(n as u32), &meta, Words::Bytes(&payload));
                let newest = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 3_600 };
                log.trim(Tick(n as u32), &newest, Offset(n), &newest, |_| panic!("all were sent"));
            }
            logs.push(log);
        }
    });
    assert!(logs.iter().all(|log| log.len() == 100));
    let held = counted.bytes_current as u64 + counted.count_current as u64 * ALLOCATION_COST_BYTES;
    (held + rooms * size_of::<Log>() as u64) * 1_000 / (rooms * 100 * 200)
}

#[test]
fn two_thousand_rooms_cost_at_most_a_quarter_beyond_what_was_said() {
    for pushes in [100, 1_000] {
        let cost = cost_permille(2_000, pushes);
        assert!(cost <= 1_250, "{cost} permille after {pushes} messages");
    }
}

#[test]
fn three_short_messages_take_little() {
    let mut log = Log::new(Offset::START);
    let counted = allocation_counter::measure(|| {
        for n in 1..=3 {
            let (author, origin, kind) = (Author::named(n), ShardId(0), Kind::Text);
            let meta = Meta { prev: Offset(n - 1), offset: Offset(n), author, origin, id: n, kind };
            log.push(Tick(0), &meta, Words::Bytes(b"hello"));
        }
    });
    assert!(counted.bytes_current <= 640, "{} are held", counted.bytes_current);
}
