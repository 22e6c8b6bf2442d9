//! Two workers that face each other lose and repeat nothing, and never wait for each other in
//! vain.

use loom::thread;

use super::{Sleeper, holds, is_found_out};
use crate::ids::WorkerId;
use crate::mesh::{Capacities, Item, Mesh, Port};
use crate::rules::{Rules, Sound};

/// What a turn says about the next one.
#[derive(Eq, PartialEq)]
enum Next {
    AtOnce,
    OnceRung,
    Never,
}

/// A worker's turns; it sleeps when there is nothing to do at once.
fn work<C, D, R: Rules>(mut port: Port<C, D, R>, mut turn: impl FnMut(&mut Port<C, D, R>) -> Next) {
    let sleeper = Sleeper::new();
    loop {
        port.doorbell().awake();
        let next = turn(&mut port);
        if next == Next::Never {
            return;
        }
        if next == Next::OnceRung && port.doorbell().sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
}

/// One side of a conversation.
#[derive(Default)]
struct Talk {
    /// Commands to send, sent so far, and answered so far.
    commands: u32,
    sent: u32,
    answered: u32,
    /// Commands that will come, that came so far, and that we answered.
    expected: u32,
    came: u32,
    answers: u32,
}

impl Talk {
    fn turn<R: Rules>(&mut self, port: &mut Port<u32, u32, R>) -> Next {
        let other = WorkerId(1 - port.worker().0);
        let more = port.receive(4, |from, item| {
            assert_eq!(from, other);
            let (number, next) = match item {
                Item::Command(number) => (number, &mut self.came),
                Item::Delivery(number) => (number, &mut self.answered),
            };
            assert_eq!(number, *next, "lost, repeated or reordered");
            *next += 1;
        });
        while self.answers < self.came && port.deliver(other, self.answers).is_ok() {
            self.answers += 1;
        }
        // One a turn, so that the ring may be full of what the other is receiving just now.
        let sends = self.sent < self.commands && port.command(other, self.sent).is_ok();
        self.sent += u32::from(sends);
        port.ring_doorbells();
        if self.answered == self.commands && self.answers == self.expected {
            Next::Never
        } else if more || sends && self.sent < self.commands {
            Next::AtOnce
        } else {
            Next::OnceRung
        }
    }
}

/// Both workers command each other so often, through command rings of 1, and answer through
/// rings of so many.
fn face_each_other<R: Rules>(left: u32, right: u32, deliveries: usize) {
    let capacities = Capacities { commands: 1, deliveries };
    let [here, there] = ports::<u32, R>(capacities);
    let facing = thread::spawn(move || {
        let mut talk = Talk { commands: right, expected: left, ..Talk::default() };
        work(there, |port| talk.turn(port));
    });
    let mut talk = Talk { commands: left, expected: right, ..Talk::default() };
    work(here, |port| talk.turn(port));
    facing.join().unwrap();
}

/// One worker delivers so much, through a ring of 1, to another who says nothing.
fn pour<R: Rules>(items: u32) {
    let [here, there] = ports::<(), R>(Capacities { commands: 1, deliveries: 1 });
    let receiving = thread::spawn(move || {
        let mut came = 0;
        work(there, |port| {
            let more = port.receive(1, |_, item| {
                assert_eq!(item, Item::Delivery(came), "lost, repeated or reordered");
                came += 1;
            });
            next(came == items, more)
        });
    });
    let mut sent = 0;
    work(here, |port| {
        let sends = port.deliver(WorkerId(1), sent).is_ok();
        sent += u32::from(sends);
        port.ring_doorbells();
        next(sent == items, sends)
    });
    receiving.join().unwrap();
}

fn next(is_done: bool, more: bool) -> Next {
    match (is_done, more) {
        (true, _) => Next::Never,
        (false, true) => Next::AtOnce,
        (false, false) => Next::OnceRung,
    }
}

fn ports<C, R: Rules>(capacities: Capacities) -> [Port<C, u32, R>; 2] {
    let ports = Mesh::under_rules(2, capacities).into_ports();
    ports.try_into().ok().expect("two workers have two ports")
}

#[derive(Debug)]
struct RingsBeforeMarking;

impl Rules for RingsBeforeMarking {
    const MARK_BEFORE_RING: bool = false;
}

#[derive(Debug)]
struct RefusedGivesUp;

impl Rules for RefusedGivesUp {
    const REFUSED_TRIES_AGAIN: bool = false;
}

#[test]
fn two_workers_converse() {
    holds("mesh, 1 command each", Some(4), 40_000, || face_each_other::<Sound>(1, 1, 2));
}

#[test]
fn two_workers_refuse_each_other() {
    holds("mesh, 2 commands each", Some(3), 100_000, || face_each_other::<Sound>(2, 2, 2));
}

#[test]
fn a_home_that_is_refused_resumes() {
    holds("mesh, 2 commands, all rings of 1", Some(3), 5_000, || face_each_other::<Sound>(2, 0, 1));
}

#[test]
fn who_was_refused_hears_of_room() {
    holds("mesh, 3 deliveries", Some(3), 20_000, || pour::<Sound>(3));
}

#[test]
fn twin_a_ring_before_the_mark_is_in_vain() {
    is_found_out("mesh, rings first", Some(3), "deadlock", || {
        face_each_other::<RingsBeforeMarking>(1, 1, 2);
    });
}

#[test]
fn twin_who_was_refused_misses_the_room() {
    is_found_out("mesh, no second try", Some(3), "deadlock", || pour::<RefusedGivesUp>(2));
}
