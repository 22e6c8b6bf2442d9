//! The checker finds what breaks each promise, and finds nothing where none is broken.

use gateway_core::counters::Counters;
use gateway_core::frame::Kind;
use gateway_core::hub::MemberPolicy;
use gateway_core::id::{Author, ShardId};
use gateway_core::log::Retention;
use gateway_core::position::{Epoch, Offset, Position};
use gateway_core::probe::ToClient;
use gateway_core::slot::Slot;

use super::connection::{Connection, Stage};
use super::ears::HEARD_NANOS_MAX;
use super::judge::{Ended, Look};
use super::ledger::Ledger;
use super::plan::Speech;
use super::record::Place;
use super::setting::{Family, Setting};
use super::words::Heard;
use crate::promise::Promise;
use crate::rng::Rng;
use crate::story::Pen;

const EPOCH: Epoch = Epoch(7);
const ROOM: Place = Place { node: 0, incarnation: 1, room: 1 };
const CHAT: Place = Place { room: 2, ..ROOM };

/// A book of a world that keeps everything and shows who is there.
fn book() -> Ledger {
    let mut setting = Setting::new(1, &mut Rng::new(1), 12);
    setting.rooms = vec![Family::Root, Family::Plain, Family::Chat];
    setting.member_policy = MemberPolicy::Close;
    setting.limits.outbox_bytes_max = 1 << 20;
    for policy in &mut setting.policies {
        policy.presence = true;
        policy.history = Retention { messages_max: 100, bytes_max: 1 << 20, age_secs: 30 };
    }
    Ledger::new(setting, Pen::dry(), 12)
}

/// Somebody is let in.
fn come(ledger: &mut Ledger, place: Place, speech: Speech) -> u32 {
    let id = ledger.connections.len() as u32;
    let mut connection = Connection::new(id, id as usize, 0, place, speech);
    connection.nicks = vec![format!("c{id}")];
    let id = ledger.established(connection);
    ledger.opened(id);
    ledger.now += 1;
    if speech == Speech::Probe {
        subscribe(ledger, id, 0, false);
    }
    id
}

fn subscribe(ledger: &mut Ledger, id: u32, offset: u64, recovered: bool) {
    let position = Position { epoch: EPOCH, offset: Offset(offset) };
    ledger.told(id, &ToClient::Subscribed { position, recovered });
}

fn say(ledger: &mut Ledger, id: u32) -> (u32, String) {
    ledger.publish(id, 12, true)
}

/// A probe hears a message at a place.
fn hear(ledger: &mut Ledger, id: u32, said: &str, prev: u64, offset: u64) {
    let (prev, offset) = (Offset(prev), Offset(offset));
    let payload = said.as_bytes();
    let message = ToClient::Message { epoch: EPOCH, prev, offset, kind: Kind::Text, payload };
    ledger.told(id, &message);
}

/// What is broken, if anything is.
fn broken(ledger: &Ledger) -> Option<Promise> {
    ledger.broken.as_ref().map(|violation| violation.promise)
}

#[test]
fn who_hears_all_in_order_has_nothing_to_complain_of() {
    let mut ledger = book();
    let (ann, bob) = (come(&mut ledger, ROOM, Speech::Probe), come(&mut ledger, ROOM, Speech::Raw));
    let (first, second) = (say(&mut ledger, bob), say(&mut ledger, ann));
    let third = say(&mut ledger, bob);
    hear(&mut ledger, ann, &first.1, 0, 1);
    let position = Position { epoch: EPOCH, offset: Offset(2) };
    ledger.told(ann, &ToClient::Ack { id: u64::from(second.0), position });
    // She passes over what she said herself.
    hear(&mut ledger, ann, &third.1, 2, 3);
    ledger.hears_raw(bob, true, second.1.as_bytes());
    ledger.now += 2 * HEARD_NANOS_MAX;
    ledger.check_due();
    ledger.check_past();
    assert_eq!(ledger.broken, None);
}

#[test]
fn a_link_that_is_missing_is_found() {
    let mut ledger = book();
    let (ann, bob) =
        (come(&mut ledger, ROOM, Speech::Probe), come(&mut ledger, ROOM, Speech::Probe));
    let said: Vec<_> = (0..3).map(|_| say(&mut ledger, bob).1).collect();
    hear(&mut ledger, ann, &said[0], 0, 1);
    hear(&mut ledger, ann, &said[2], 0, 3);
    assert_eq!(broken(&ledger), Some(Promise::Linked), "3 does not follow 0 for who is at 1");
}

#[test]
fn what_is_passed_over_without_a_word_is_found_when_it_is_known() {
    let mut ledger = book();
    let (ann, bob) = (come(&mut ledger, ROOM, Speech::Probe), come(&mut ledger, ROOM, Speech::Raw));
    let eve = come(&mut ledger, ROOM, Speech::Probe);
    let said: Vec<_> = (0..3).map(|_| say(&mut ledger, bob).1).collect();
    hear(&mut ledger, ann, &said[0], 0, 1);
    hear(&mut ledger, ann, &said[2], 2, 3);
    ledger.check_past();
    assert_eq!(ledger.broken, None, "it may have been her own");
    hear(&mut ledger, eve, &said[0], 0, 1);
    hear(&mut ledger, eve, &said[1], 1, 2);
    ledger.check_past();
    assert_eq!(broken(&ledger), Some(Promise::Linked));
}

#[test]
fn holes_are_found_among_those_who_hear_no_offsets() {
    let mut ledger = book();
    let (ann, bob) = (come(&mut ledger, ROOM, Speech::Raw), come(&mut ledger, ROOM, Speech::Probe));
    let eve = come(&mut ledger, ROOM, Speech::Probe);
    let said: Vec<_> = (0..3).map(|_| say(&mut ledger, bob).1).collect();
    (0..3).for_each(|at| hear(&mut ledger, eve, &said[at], at as u64, at as u64 + 1));
    ledger.hears_raw(ann, true, said[0].as_bytes());
    ledger.hears_raw(ann, true, said[2].as_bytes());
    ledger.check_past();
    assert_eq!(broken(&ledger), Some(Promise::Linked));
}

#[test]
fn two_messages_in_one_place_and_words_of_nobody_are_found() {
    let mut ledger = book();
    let (ann, bob) =
        (come(&mut ledger, ROOM, Speech::Probe), come(&mut ledger, ROOM, Speech::Probe));
    let eve = come(&mut ledger, ROOM, Speech::Probe);
    let said: Vec<_> = (0..2).map(|_| say(&mut ledger, bob).1).collect();
    hear(&mut ledger, ann, &said[0], 0, 1);
    hear(&mut ledger, eve, &said[1], 0, 1);
    assert_eq!(broken(&ledger), Some(Promise::SamePlace));

    let mut ledger = book();
    let ann = come(&mut ledger, ROOM, Speech::Raw);
    ledger.hears_raw(ann, true, b"00000000ab");
    assert_eq!(broken(&ledger), Some(Promise::SamePlace));

    let mut ledger = book();
    let (ann, bob) = (come(&mut ledger, CHAT, Speech::Chat), come(&mut ledger, CHAT, Speech::Chat));
    let (_, said) = say(&mut ledger, bob);
    ledger.hears_chat(ann, &Heard::Message(&said, Some("c0")));
    assert_eq!(broken(&ledger), Some(Promise::SamePlace), "it was c1 who said it");
}

#[test]
fn what_is_heard_twice_is_found() {
    for speech in [Speech::Raw, Speech::Probe] {
        let mut ledger = book();
        let (ann, bob) = (come(&mut ledger, ROOM, speech), come(&mut ledger, ROOM, Speech::Raw));
        let (_, said) = say(&mut ledger, bob);
        for _ in 0..2 {
            assert_eq!(ledger.broken, None);
            match speech {
                Speech::Raw => ledger.hears_raw(ann, true, said.as_bytes()),
                Speech::Probe | Speech::Line | Speech::Chat => {
                    hear(&mut ledger, ann, &said, 0, 1);
                }
            }
        }
        assert_eq!(broken(&ledger), Some(Promise::Once), "{speech:?}");
    }
}

#[test]
fn own_words_and_those_of_other_rooms_nodes_and_processes_are_found() {
    let mut ledger = book();
    let ann = come(&mut ledger, ROOM, Speech::Raw);
    let (_, said) = say(&mut ledger, ann);
    ledger.hears_raw(ann, true, said.as_bytes());
    assert_eq!(broken(&ledger), Some(Promise::Apart));

    let others =
        [Place { room: 0, ..ROOM }, Place { node: 1, ..ROOM }, Place { incarnation: 2, ..ROOM }];
    for other in others {
        let mut ledger = book();
        let (ann, bob) =
            (come(&mut ledger, ROOM, Speech::Raw), come(&mut ledger, other, Speech::Raw));
        let (_, said) = say(&mut ledger, bob);
        ledger.hears_raw(ann, true, said.as_bytes());
        assert_eq!(broken(&ledger), Some(Promise::Apart), "{other:?}");
    }

    let mut ledger = book();
    let ann = come(&mut ledger, CHAT, Speech::Line);
    let (_, said) = say(&mut ledger, ann);
    ledger.hears_chat(ann, &Heard::Message(&said, None));
    assert_eq!(ledger.broken, None, "who chats hears itself");
}

/// Ann heard one of three messages, was away for so long, and is told that all is lost.
fn return_unrecovered(ledger: &mut Ledger, nanos: u64) {
    let (ann, bob) = (come(ledger, ROOM, Speech::Probe), come(ledger, ROOM, Speech::Raw));
    let said: Vec<_> = (0..3).map(|_| say(ledger, bob).1).collect();
    hear(ledger, ann, &said[0], 0, 1);
    ledger.over(ann, "it is gone");
    ledger.now += nanos;
    let id = ledger.connections.len() as u32;
    let since = Some(Position { epoch: EPOCH, offset: Offset(1) });
    let again = Connection { since, ..Connection::new(id, 0, 0, ROOM, Speech::Probe) };
    let again = ledger.established(again);
    ledger.opened(again);
    subscribe(ledger, again, 3, false);
}

#[test]
fn what_is_within_history_and_lost_is_found() {
    let mut ledger = book();
    return_unrecovered(&mut ledger, 1_000_000_000);
    assert_eq!(broken(&ledger), Some(Promise::Kept));

    // What is too old, or more than is kept, may be lost.
    let mut ledger = book();
    return_unrecovered(&mut ledger, 31_000_000_000);
    assert_eq!(ledger.broken, None);
    let mut ledger = book();
    ledger.setting.policies[1].history.messages_max = 2;
    return_unrecovered(&mut ledger, 1_000_000_000);
    assert_eq!(ledger.broken, None);
}

#[test]
fn a_bound_that_is_exceeded_is_found() {
    let capacity = book().setting.capacity;
    let inbound_bytes = 1 << 40;
    let full = Look { live: capacity.shard_max, ..Look::default() };
    for (look, found) in [
        (Look::default(), None),
        (Look { live: capacity.shard_max.min(capacity.total_max as u32), ..full }, None),
        (Look { live: full.live + 1, ..full }, Some(Promise::Bounded)),
        (Look { inbound_bytes, ..Look::default() }, Some(Promise::Bounded)),
    ] {
        let mut ledger = book();
        ledger.check_bounds(0, &[look]);
        assert_eq!(broken(&ledger), found, "{look:?}");
    }
}

#[test]
fn who_is_not_told_what_was_said_in_time_is_found_unless_a_fault_touched_it() {
    for (tainted, found) in [(false, Some(Promise::Unhindered)), (true, None)] {
        let mut ledger = book();
        let (ann, bob) =
            (come(&mut ledger, ROOM, Speech::Raw), come(&mut ledger, ROOM, Speech::Raw));
        ledger.connections[ann as usize].tainted = tainted;
        say(&mut ledger, bob);
        ledger.now += HEARD_NANOS_MAX - 1;
        ledger.check_due();
        assert_eq!(ledger.broken, None, "there is still time");
        ledger.now += 1;
        ledger.check_due();
        assert_eq!(broken(&ledger), found);
    }
}

#[test]
fn lies_about_who_is_there_are_found() {
    let mut ledger = book();
    let (ann, bob) =
        (come(&mut ledger, ROOM, Speech::Probe), come(&mut ledger, ROOM, Speech::Probe));
    let born = |slot| Author::born(ShardId(0), Slot(slot), 1);
    for (who, true_) in [(vec![born(0)], false), (vec![born(0), born(1)], true)] {
        for id in [ann, bob] {
            ledger.connections[id as usize].asked = 1;
            ledger.told(id, &ToClient::Members { id: 1, who: who.clone() });
        }
        assert_eq!(ledger.false_presence().is_none(), true_);
    }
    let eve = come(&mut ledger, CHAT, Speech::Line);
    assert!(ledger.false_presence().is_some(), "she was never told that she is there");
    ledger.hears_chat(eve, &Heard::List(vec!["c2".to_owned()]));
    assert_eq!(ledger.false_presence(), None);
    ledger.connections[eve as usize].nicks.push("c2n1".to_owned());
    assert!(ledger.false_presence().is_some(), "that is her old name");
}

#[test]
fn who_reads_and_is_not_told_that_its_node_goes_is_found() {
    let mut ledger = book();
    let (ann, bob) = (come(&mut ledger, ROOM, Speech::Raw), come(&mut ledger, ROOM, Speech::Raw));
    ledger.hears_close(ann, 1001);
    ledger.connections[bob as usize].reads = false;
    ledger.check_farewell(0, 1);
    assert_eq!(ledger.broken, None, "one was told, and one does not read");
    ledger.connections[bob as usize].reads = true;
    ledger.check_farewell(0, 1);
    assert_eq!(broken(&ledger), Some(Promise::Farewell));
}

#[test]
fn counters_that_do_not_add_up_are_found() {
    // Two came, heard 1001 and are gone.
    let good = || {
        let mut counters = Counters { accepted: 2, opened: 2, ..Counters::default() };
        counters.closed[gateway_core::event::CloseReason::Drained.index()] = 2;
        Ended { counters, ..Ended::default() }
    };
    type Change = fn(&mut Ended);
    let changes: [(Change, bool); 6] = [
        (|_| (), true),
        (|ended| ended.counters.accepted = 3, false),
        (|ended| ended.counters.opened = 1, false),
        (|ended| ended.counters.moved_in = 1, false),
        (|ended| ended.counters.closed.rotate_left(1), false),
        (|ended| ended.left = 1, false),
    ];
    for (number, (change, holds)) in changes.into_iter().enumerate() {
        let mut ledger = book();
        for _ in 0..2 {
            let id = come(&mut ledger, ROOM, Speech::Raw);
            ledger.hears_close(id, 1001);
            assert_eq!(ledger.connections[id as usize].stage, Stage::Open);
            ledger.over(id, "the connection ended");
        }
        let mut ended = good();
        change(&mut ended);
        ledger.check_ended(0, 1, &ended);
        let found = (!holds).then_some(Promise::Accounted);
        assert_eq!(broken(&ledger), found, "change {number}");
    }
}

#[test]
fn who_is_closed_for_nothing_is_found() {
    for (tainted, code, found) in
        [(false, 1008, Some(Promise::Accounted)), (true, 1008, None), (false, 1013, None)]
    {
        let mut ledger = book();
        let ann = come(&mut ledger, ROOM, Speech::Raw);
        ledger.connections[ann as usize].tainted = tainted;
        ledger.hears_close(ann, code);
        assert_eq!(broken(&ledger), found, "{tainted} {code}");
    }
}
