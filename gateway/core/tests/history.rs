//! What a room's past costs, and that it leaves nothing behind.

mod world;

use gateway_core::envelope::RoomPolicy;
use gateway_core::event::{Effect, Event};
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::log::Retention;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_core::transmit::{Part, Sent, Transmit};
use world::{masked, request};

const MESSAGES: u32 = 100;
const PAYLOAD_BYTES: usize = 200;
const HISTORY_SECS: u32 = 60;

/// Sockets that take everything and keep nothing.
struct Nowhere;

impl Transmit for Nowhere {
    fn send(&mut self, _: Slot, bytes: &[u8]) -> Sent {
        Sent::Wrote(bytes.len())
    }

    fn send_parts(&mut self, _: Slot, parts: &[Part<'_>]) -> Sent {
        Sent::Wrote(parts.iter().map(Part::len).sum())
    }
}

fn hub() -> Hub {
    let history = Retention { messages_max: MESSAGES, bytes_max: 1 << 20, age_secs: HISTORY_SECS };
    let kept = RoomPolicy { history, presence: false };
    Hub::new(Config { rooms: vec![RoomPolicy::default(), kept], ..Config::default() })
}

fn settle(hub: &mut Hub, now: Now) {
    loop {
        while hub.flush(now, 64, &mut Nowhere) == Flush::More {}
        let Some(effect) = hub.poll_effect() else { return };
        assert!(!matches!(effect, Effect::Ship { .. } | Effect::Inquire(_)));
    }
}

/// Somebody comes into a room, says all that is kept of it, and goes.
fn fill_room(hub: &mut Hub, now: Now, room: u64, words: &[u8]) {
    let slot = Slot(0);
    hub.handle(now, Event::Accepted { slot });
    let mut bytes = request(&format!("/ws/room-{room}"));
    hub.handle(now, Event::Received { slot, bytes: &mut bytes });
    hub.handle(now, Event::Received { slot, bytes: &mut words.to_vec() });
    settle(hub, now);
    hub.handle(now, Event::Ended { slot });
    settle(hub, now);
}

/// Bytes of memory per byte of payload that these many rooms keep, times a hundred.
fn cost_percent(rooms: u64) -> u64 {
    let words = masked(0x82, &[7; PAYLOAD_BYTES]).repeat(MESSAGES as usize);
    let now = Now::from_secs(100);
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        let mut hub = hub();
        (0..rooms).for_each(|room| fill_room(&mut hub, now, room, &words));
        kept = Some(hub);
    });
    let mut hub = kept.expect("it was just made");
    assert_eq!((hub.live(), hub.rooms(), hub.homes() as u64), (0, 0, rooms));

    let later = Now::from_secs(101 + u64::from(HISTORY_SECS));
    assert!(hub.poll_timeout().is_some_and(|at| at <= later), "the past is looked at in time");
    let left = allocation_counter::measure(|| {
        // A part of them in each turn.
        while hub.poll_timeout().is_some_and(|at| at <= later) {
            hub.handle(later, Event::Tick);
            settle(&mut hub, later);
        }
    });
    assert_eq!(hub.homes(), 0, "an empty room is no room");
    // What stays is the shard's own: its buffers, and lists that had to be longer once.
    let left = counted.bytes_current + left.bytes_current;
    assert!(left < 1 << 20, "{left} bytes stay behind {rooms} rooms");
    let payload = rooms * u64::from(MESSAGES) * PAYLOAD_BYTES as u64;
    counted.bytes_current as u64 * 100 / payload
}

#[test]
fn the_past_of_many_rooms_costs_little_more_than_what_was_said() {
    let percent = cost_percent(3_000);
    assert!(percent <= 130, "{percent} %");
}

#[test]
#[ignore = "takes 2.4 GiB; `cargo xtask test --full` runs it"]
fn the_past_of_a_hundred_thousand_rooms_costs_little_more_than_what_was_said() {
    let percent = cost_percent(100_000);
    println!("{percent} % of the payload");
    assert!(percent <= 130, "{percent} %");
}
