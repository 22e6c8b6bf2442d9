//! What does a turn of a hub cost?
//!
//! A delivery is one entry of the lane's array and one of the connections', two cache lines in
//! order, so about 5 ns beside its `send`; an echo unmasks and copies 512 bytes, so less than
//! 100 ns; a pair looks up a room that it has not seen for 999 others, so some cache misses. Of
//! 10,000 who are silent, a tick pings and hears a hundred, and sweeps 40 KiB of deadlines.

use criterion::Criterion;
use gateway_core::event::Event;
use gateway_core::hub::Config;
use gateway_core::slot::Slot;

use crate::alone::{Alone, frame};
use crate::clients::Clients;
use crate::counted::Counted;

/// Messages of one read.
const BURST: usize = 16;

/// Members of the room besides the publisher.
const MEMBERS: usize = 1000;

/// Rooms of two.
const PAIRS: usize = 1000;

/// Members of the room that somebody comes to and leaves.
const OTHERS: usize = 100;

/// Connections that say nothing, of whom so many came in each tick.
const IDLE: u32 = 10_000;
const CAME_AT_ONCE: u32 = 100;

/// Bytes of a published message, and of what members are sent of it.
const PAYLOAD_BYTES: usize = 512;
const SENT_BYTES: usize = PAYLOAD_BYTES + 4;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = Counted::new(criterion, "hub");
    group.operation("join and leave", 1, come_and_go);
    for burst in [1, BURST] {
        group.operation(&format!("echo {burst}"), burst, || echo(burst));
    }
    for burst in [1, BURST] {
        let name = format!("publish {burst} to {MEMBERS}");
        group.operation(&name, MEMBERS * burst, || publish(burst));
    }
    group.operation(&format!("publish in {PAIRS} rooms of two"), PAIRS, pairs);
    group.operation(&format!("tick over {IDLE} idle"), IDLE as usize, idle);
    group.finish();
}

/// Somebody comes to a room where others are, and goes.
fn come_and_go() -> impl FnMut() {
    let mut alone = Alone::with(OTHERS, "/ws/bench");
    let slot = Slot::from(OTHERS);
    move || {
        alone.join(slot, "/ws/bench");
        alone.hear(Event::Broken { slot });
        alone.finish();
    }
}

/// What was said in one read comes back in one turn.
fn echo(burst: usize) -> impl FnMut() {
    speaking(Alone::with(1, "/ws/simple"), vec![Slot(0)], burst, burst)
}

/// A member of a room speaks, and the others hear it.
fn publish(burst: usize) -> impl FnMut() {
    speaking(Alone::with(1 + MEMBERS, "/ws/bench"), vec![Slot(0)], burst, burst * MEMBERS)
}

/// One of two in each of many rooms speaks, all in one turn.
fn pairs() -> impl FnMut() {
    let mut alone = Alone::with(0, "");
    for slot in 0..2 * PAIRS {
        alone.join(Slot::from(slot), &format!("/ws/pair-{}", slot / 2));
    }
    let speakers = (0..2 * PAIRS).step_by(2).map(Slot::from).collect();
    speaking(alone, speakers, 1, PAIRS)
}

/// A turn in which all speakers say so many messages, of which so many copies are heard.
fn speaking(mut alone: Alone, speakers: Vec<Slot>, burst: usize, copies: usize) -> impl FnMut() {
    let said = frame(PAYLOAD_BYTES).repeat(burst);
    let mut scratch = said.clone();
    move || {
        for &slot in &speakers {
            scratch.copy_from_slice(&said);
            alone.receive(slot, &mut scratch);
        }
        assert_eq!(alone.finish(), copies * SENT_BYTES, "everything was sent");
    }
}

/// A quarter of a second in which nobody speaks, but some are asked for a sign of life.
fn idle() -> impl FnMut() {
    let mut clients = Clients::of(Config::default());
    for came in 1..=IDLE {
        clients.join("/ws/idle");
        if came % CAME_AT_ONCE == 0 {
            clients.tick();
        }
    }
    move || {
        clients.tick();
        assert_eq!(clients.live(), IDLE, "who answers stays");
    }
}
