//! The log against a plain list, and what it costs.

use std::collections::VecDeque;

use super::*;
use crate::body::Body;
use crate::frame::Kind;
use crate::id::{Author, ShardId};

const NOTHING: Retention = Retention { messages_max: 0, bytes_max: 0, age_secs: 0 };
const ANYTHING: Retention =
    Retention { messages_max: u32::MAX, bytes_max: usize::MAX, age_secs: 1 << 20 };

fn meta(prev: u64, offset: u64) -> Meta {
    let (author, origin) = (Author::named(offset % 3), ShardId((offset % 5) as u16));
    let kind = if offset.is_multiple_of(2) { Kind::Text } else { Kind::Binary };
    Meta { prev: Offset(prev), offset: Offset(offset), author, origin, id: offset % 4, kind }
}

fn keep(messages_max: u32) -> Retention {
    Retention { messages_max, ..ANYTHING }
}

fn text(words: Words<'_>) -> Vec<u8> {
    match words {
        Words::Bytes(bytes) => bytes.to_vec(),
        Words::Body(body) => match body.part(0, body.len()) {
            crate::transmit::Part::Bytes(bytes) => bytes.to_vec(),
            crate::transmit::Part::Stored { .. } => panic!("nothing is stored here"),
        },
    }
}

fn filled(messages: u64) -> Log {
    let mut log = Log::new(Offset::START);
    (1..=messages).for_each(|n| log.push(Tick(0), &meta(n - 1, n), Words::Bytes(b"hello")));
    log
}

fn offsets(log: &Log, since: u64) -> Vec<u64> {
    log.since(Offset(since)).map(|(meta, _)| meta.offset.0).collect()
}

#[test]
fn exactly_the_newest_messages_are_kept() {
    let mut log = filled(1_000);
    log.trim(Tick(0), &keep(100), Offset(1_000), &NOTHING, |_| panic!("all were sent"));
    assert_eq!((log.len(), log.base()), (100, Offset(900)));
    assert!(!log.reaches(Offset(899)));
    assert_eq!(offsets(&log, 900), (901..=1_000).collect::<Vec<_>>());
    assert_eq!(offsets(&log, 990), (991..=1_000).collect::<Vec<_>>());
}

#[test]
fn what_was_not_sent_stays_until_transit_is_full_too() {
    let mut log = filled(100);
    log.trim(Tick(0), &keep(10), Offset(40), &keep(70), |_| panic!("there is room"));
    assert_eq!(log.base(), Offset(40));
    let mut lost = Vec::new();
    log.trim(Tick(0), &keep(10), Offset(40), &keep(50), |meta| lost.push(meta.offset.0));
    assert_eq!(log.base(), Offset(50));
    assert_eq!(lost, (41..=50).collect::<Vec<_>>());
}

#[test]
fn messages_go_when_they_are_too_old() {
    let mut log = Log::new(Offset::START);
    for n in 1..=100 {
        log.push(Tick(n as u32), &meta(n - 1, n), Words::Bytes(b"x"));
    }
    let history = Retention { age_secs: 5, ..ANYTHING };
    assert_eq!(log.next_expiry(&history), Tick(1).after_secs(5));
    let now = Tick(60).after_secs(5);
    log.trim(now, &history, Offset(100), &NOTHING, |_| {});
    assert_eq!(log.base(), Offset(60));
    assert_eq!(log.next_expiry(&history), Tick(61).after_secs(5));
}

#[test]
fn a_copy_stops_at_its_bounds_but_never_before_the_first() {
    let log = filled(20);
    let copied = |messages, bytes| {
        let mut batch = Batch::default();
        log.copy_since(Offset(3), messages, bytes, &mut batch);
        batch.iter().map(|(meta, _)| meta.offset.0).collect::<Vec<_>>()
    };
    assert_eq!(copied(3, usize::MAX), [4, 5, 6]);
    assert_eq!(copied(100, 12), [4, 5]);
    assert_eq!(copied(100, 0), [4]);
}

#[test]
fn the_log_tells_what_a_plain_list_would() {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) % below
    };
    for _ in 0..200 {
        let mut log = Log::new(Offset(5));
        let mut list: VecDeque<(Tick, Meta, Vec<u8>)> = VecDeque::new();
        let (mut last, mut base, mut now) = (5, 5, 0);
        for _ in 0..300 {
            if draw(4) > 0 {
                now += u32::from(draw(6) == 0);
                let next = last + 1 + draw(3) / 2 * draw(1_000);
                let len = [3, 40, 200, 3_000][draw(4) as usize];
                let bytes: Vec<u8> = (0..draw(len)).map(|n| n as u8).collect();
                let body = Body::from(bytes.clone());
                let shared = draw(8) == 0;
                let words = if shared { Words::Body(&body) } else { Words::Bytes(&bytes) };
                log.push(Tick(now), &meta(last, next), words);
                list.push_back((Tick(now), meta(last, next), bytes));
                last = next;
            } else {
                let messages = draw(30) as u32;
                log.trim(Tick(now), &keep(messages), Offset(last), &NOTHING, |_| {});
                while list.len() > messages as usize {
                    base = list.pop_front().expect("it is longer").1.offset.0;
                }
            }
            assert_eq!((log.len(), log.base().0), (list.len(), base));
            let since = base + draw(last - base + 1);
            let told = log.records(Offset(since));
            let told = told.map(|record| (record.tick, record.meta, text(record.words)));
            let expected = list.iter().filter(|(_, meta, _)| meta.offset.0 > since).cloned();
            assert!(told.eq(expected), "since {since}");
        }
    }
}

/// Bytes that the allocator holds for logs of 100 messages of 200 bytes, after `pushes`.
fn held(rooms: u64, pushes: u64) -> u64 {
    let payload = [7; 200];
    let mut logs = Vec::new();
    let counted = allocation_counter::measure(|| {
        for room in 0..rooms {
            let mut log = Log::new(Offset::START);
            for n in 1..=pushes + room % 37 {
                let author = Author::named(n % 50);
                let meta = Meta { author, origin: ShardId(0), id: 0, ..meta(n - 1, n) };
                log.push(Tick(0), &meta, Words::Bytes(&payload));
                log.trim(Tick(0), &keep(100), Offset(n), &NOTHING, |_| {});
            }
            logs.push(log);
        }
    });
    assert!(logs.iter().all(|log| log.len() == 100));
    let claimed = logs.iter().map(|log| log.memory() as u64).sum::<u64>();
    let current = counted.bytes_current as u64;
    // The list of logs itself was allocated meanwhile.
    let lists = (logs.capacity() * size_of::<Log>()) as u64;
    assert!(claimed <= current && current <= claimed + lists, "{claimed} {current} {lists}");
    current
}

#[test]
fn a_hundred_short_messages_cost_little_more_than_what_they_say() {
    for pushes in [100, 1_000] {
        let rooms = 500;
        let held = held(rooms, pushes);
        let payload = rooms * 100 * 200;
        assert!(held * 100 <= payload * 125, "{held} for {payload} after {pushes}");
    }
}

#[test]
fn an_emptied_log_keeps_nothing() {
    let mut log = filled(10_000);
    log.trim(Tick(0), &NOTHING, Offset(10_000), &NOTHING, |_| {});
    assert_eq!((log.len(), log.memory()), (0, 0));
    log.push(Tick(0), &meta(10_000, 10_002), Words::Bytes(b"again"));
    assert_eq!(offsets(&log, 10_000), [10_002]);
}
