//! What is on its way to homes elsewhere is bounded, and whoever adds to it waits.

mod elsewhere;
mod world;

use elsewhere::{NOW, Shard};
use gateway_core::envelope::{Command, Delivery, Link, Term};
use gateway_core::event::{CloseReason, Event};
use gateway_core::limits::Limits;
use gateway_core::position::{Epoch, Offset, Position};
use gateway_core::slot::Slot;
use world::masked;

fn bounded(change: impl FnOnce(&mut Limits)) -> Shard {
    Shard::with(|config| change(&mut config.limits))
}

/// A member of a room that nobody has spoken in; its attachment.
fn member(shard: &mut Shard, path: &str) -> (Slot, Link, Term) {
    shard.member(path, Position { epoch: Epoch(1), offset: Offset::START })
}

/// Each room could have as many messages of any size under way as it was allowed to.
#[test]
fn publishers_of_all_rooms_wait_while_too_much_is_under_way() {
    const ROOMS: usize = 100;
    let mut shard = bounded(|limits| limits.underway_bytes_max = 1 << 20);
    let members: Vec<_> = (0..ROOMS).map(|n| member(&mut shard, &format!("/ws/{n}"))).collect();
    let echo = shard.knock("/ws/simple");
    let read = |shard: &mut Shard| {
        members.iter().filter(|member| shard.read(member.0, &[7; 60_000])).count()
    };
    assert_eq!(read(&mut shard), 18, "until the bound is passed");
    assert!((1 << 20..1_200_000).contains(&shard.hub.underway_bytes()));
    shard.settle();
    assert!(shard.read(echo, b"still"), "who publishes nothing elsewhere is read from");
    assert_eq!(read(&mut shard), 0, "sent is not answered");

    for command in std::mem::take(&mut shard.homes.commands) {
        let Command::Publish { term, batch } = command else { panic!("nothing else was said") };
        let (_, link, _) = *members.iter().find(|member| member.2 == term).expect("it is a room's");
        let answers = batch.iter().map(|(meta, _)| (meta.id, Offset::START)).collect();
        shard.hear(Delivery::Answers { link, answers });
    }
    assert_eq!(shard.hub.underway_bytes(), 0);
    assert_eq!(read(&mut shard), 18, "and they are read from again");
}

/// It was not read from any more, and cut when it did not seem to answer.
#[test]
fn who_waits_to_publish_is_heard_saying_goodbye() {
    let mut shard = bounded(|limits| limits.underway_bytes_max = 1_000);
    let (ann, ..) = member(&mut shard, "/ws/lobby");
    assert!(shard.read(ann, &[7; 2_000]));
    shard.settle();
    assert!(!shard.read(ann, &[7; 2_000]));
    shard.settle();
    shard.hub.handle(NOW, Event::Drain);
    shard.settle();
    assert!(shard.hub.may_read(ann));
    shard.hub.handle(NOW, Event::Received { slot: ann, bytes: &mut masked(0x88, b"\x03\xe9") });
    shard.settle();
    let counters = shard.hub.counters();
    assert_eq!((counters.closed_total(), counters.cut), (1, 0));
}

/// Who came and went made a command each time, whether or not any was sent.
#[test]
fn newcomers_are_refused_while_too_many_commands_wait() {
    const MAX: usize = 50;
    let mut shard = bounded(|limits| limits.commands_waiting_max = MAX);
    shard.homes.refuse = true;
    for n in 0..3 * MAX {
        let slot = shard.knock(&format!("/ws/{n}"));
        shard.hub.handle(NOW, Event::Ended { slot });
        shard.settle();
    }
    let refused = shard.hub.counters().closed[CloseReason::Answered(503).index()];
    assert_eq!(refused as usize, 3 * MAX - MAX - 1);
    assert_eq!(shard.hub.rooms(), MAX + 1);
    let echo = shard.knock("/ws/simple");
    assert!(shard.wires.0[echo.index()].got.starts_with(b"HTTP/1.1 101 "));
}
