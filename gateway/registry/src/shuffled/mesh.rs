//! A whole mesh: all workers command each other through the smallest rings, and answer.

use shuttle::thread;

use super::{Sleeper, holds, is_found_out, twin};
use crate::ids::WorkerId;
use crate::mesh::{Capacities, Item, Mesh, Port};
use crate::rules::{Rules, Sound};

/// What one worker has said to another one, and heard of it.
#[derive(Clone, Copy, Default)]
struct Talk {
    sent: u32,
    answered: u32,
    came: u32,
    answers: u32,
}

impl Talk {
    fn hear(&mut self, item: Item<u32, u32>) {
        let (number, next) = match item {
            Item::Command(number) => (number, &mut self.came),
            Item::Delivery(number) => (number, &mut self.answered),
        };
        assert_eq!(number, *next, "lost, repeated or reordered");
        *next += 1;
    }

    /// Says what it can; whether there would be more to say at once.
    fn say<R: Rules>(&mut self, port: &mut Port<u32, u32, R>, to: WorkerId, all: u32) -> bool {
        while self.answers < self.came && port.deliver(to, self.answers).is_ok() {
            self.answers += 1;
        }
        let sends = self.sent < all && port.command(to, self.sent).is_ok();
        self.sent += u32::from(sends);
        sends && self.sent < all
    }

    fn is_done(&self, all: u32) -> bool {
        self.answered == all && self.answers == all
    }
}

/// Turns of a worker that commands each other one so often, and answers as many.
fn work<R: Rules>(mut port: Port<u32, u32, R>, workers: u16, all: u32) {
    let sleeper = Sleeper::new();
    let mut talks = vec![Talk::default(); workers.into()];
    let me = port.worker();
    let others: Vec<_> = (0..workers).map(WorkerId).filter(|&other| other != me).collect();
    loop {
        port.doorbell().awake();
        let mut more = port.receive(4, |from, item| talks[from.index()].hear(item));
        for &other in &others {
            more |= talks[other.index()].say(&mut port, other, all);
        }
        port.ring_doorbells();
        if others.iter().all(|other| talks[other.index()].is_done(all)) {
            return;
        }
        if !more && port.doorbell().sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
}

fn converse<R: Rules>(workers: u16, commands: u32, deliveries: usize) {
    let capacities = Capacities { commands: 1, deliveries };
    let ports = Mesh::<u32, u32, R>::under_rules(workers.into(), capacities).into_ports();
    let working = ports.into_iter();
    let working: Vec<_> =
        working.map(|port| thread::spawn(move || work(port, workers, commands))).collect();
    working.into_iter().for_each(|worker| worker.join().unwrap());
}

/// All but the first worker deliver so much to that one, through rings of 1; it says nothing.
fn pour<R: Rules>(workers: u16, items: u32) {
    let capacities = Capacities { commands: 1, deliveries: 1 };
    let mut ports = Mesh::<u32, u32, R>::under_rules(workers.into(), capacities).into_ports();
    let senders = ports.split_off(1);
    let pouring: Vec<_> = senders
        .into_iter()
        .map(|mut port| {
            thread::spawn(move || {
                let sleeper = Sleeper::new();
                let mut sent = 0;
                while sent < items {
                    port.doorbell().awake();
                    let sends = port.deliver(WorkerId(0), sent).is_ok();
                    sent += u32::from(sends);
                    port.ring_doorbells();
                    if !sends && port.doorbell().sleep(&sleeper.waker) {
                        sleeper.sleep();
                    }
                }
            })
        })
        .collect();
    let mut port = ports.pop().expect("there is a first one");
    let sleeper = Sleeper::new();
    let mut came = vec![0; workers.into()];
    loop {
        port.doorbell().awake();
        let more = port.receive(2, |from, item| {
            assert_eq!(item, Item::Delivery(came[from.index()]), "lost, repeated or reordered");
            came[from.index()] += 1;
        });
        if came.iter().sum::<u32>() == items * u32::from(workers - 1) {
            break;
        }
        if !more && port.doorbell().sleep(&sleeper.waker) {
            sleeper.sleep();
        }
    }
    pouring.into_iter().for_each(|sender| sender.join().unwrap());
}

twin!(RingsBeforeMarking: MARK_BEFORE_RING = false);
twin!(RefusedGivesUp: REFUSED_TRIES_AGAIN = false);
twin!(SleepsByLoadAndStore: SLEEP_READS_AND_WRITES = false);

#[test]
fn four_workers_refuse_each_other_and_finish() {
    holds("mesh, 4 workers, rings of 1", 600, || converse::<Sound>(4, 3, 1));
}

#[test]
fn eight_workers_converse() {
    holds("mesh, 8 workers", 60, || converse::<Sound>(8, 2, 2));
}

#[test]
fn five_who_are_refused_hear_of_room() {
    holds("mesh, 5 pour into rings of 1", 1_000, || pour::<Sound>(6, 3));
}

#[test]
fn twin_a_ring_before_the_mark_is_in_vain() {
    is_found_out("mesh, rings first", "deadlock", || converse::<RingsBeforeMarking>(4, 2, 1));
}

#[test]
fn twin_who_was_refused_misses_the_room() {
    is_found_out("mesh, no second try", "deadlock", || pour::<RefusedGivesUp>(4, 3));
}

#[test]
fn twin_sleep_by_load_and_store_loses_a_ring() {
    is_found_out("mesh, load and store", "deadlock", || converse::<SleepsByLoadAndStore>(4, 2, 1));
}
