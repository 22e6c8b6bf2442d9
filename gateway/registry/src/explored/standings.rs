//! A shard ends when nobody is on the way to it and it is nobody's home, and stays so.

use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::{Sleeper, UNBOUNDED, holds, is_found_out};
use crate::census::{Capacity, Census};
use crate::doorbell::Doorbell;
use crate::ids::{ShardId, WorkerId};
use crate::rooms::RoomRegistry;
use crate::rules::{Rules, Sound};
use crate::standings::Standings;
use crate::sync::{Arc, Ordering};

const HERE: ShardId = ShardId(0);
const THERE: ShardId = ShardId(1);
const WORKER: WorkerId = WorkerId(1);

/// What shards share, and the mail of the one that leaves.
struct Node<R: Rules> {
    standings: Standings<R>,
    rooms: RoomRegistry<R>,
    census: Census<R>,
    doorbell: Doorbell<R>,
    /// How many have come and were not taken in yet.
    mail: AtomicU32,
}

impl<R: Rules> Node<R> {
    /// Two shards serve; `HERE` has so many connections.
    fn new(connections: u32) -> Arc<Self> {
        let capacity = Capacity { total_max: 9, shard_max: 9 };
        let node = Self {
            standings: Standings::under_rules(2),
            rooms: RoomRegistry::under_rules(7, 1, 2),
            census: Census::under_rules(capacity, 2),
            mail: AtomicU32::new(0),
            doorbell: Doorbell::under_rules(),
        };
        node.standings.serve(HERE, WorkerId(0), &node.rooms);
        node.standings.serve(THERE, WORKER, &node.rooms);
        (0..connections).for_each(|_| node.census.reserve(HERE).unwrap());
        Arc::new(node)
    }

    fn arrived(&self) {
        self.standings.arrived(THERE, |worker| {
            assert_eq!(worker, WORKER);
            self.doorbell.ring();
        });
    }

    /// A connection goes there if it may; whether it did.
    fn travel(&self) -> bool {
        let goes = self.standings.set_out(THERE) && self.census.moved(HERE, THERE).is_ok();
        if goes {
            self.mail.fetch_add(1, Ordering::Release);
            self.doorbell.ring();
        } else {
            self.arrived();
        }
        goes
    }

    /// The turns of the shard that leaves, until it has ended; says how many it took in.
    fn leave(&self) -> u32 {
        let sleeper = Sleeper::new();
        let mut took_in = 0;
        loop {
            self.doorbell.awake();
            for _ in 0..self.mail.swap(0, Ordering::Acquire) {
                took_in += 1;
                self.arrived();
                // It goes on at once.
                self.census.moved(THERE, HERE).unwrap();
            }
            let ends = self.standings.is_leaving(THERE)
                && self.mail.load(Ordering::Relaxed) == 0
                && self.standings.is_forsaken(THERE, &self.rooms, &self.census);
            if ends {
                self.standings.remove(THERE);
                return took_in;
            }
            if self.doorbell.sleep(&sleeper.waker) {
                sleeper.sleep();
            }
        }
    }
}

/// Connections set out for a shard that is removed meanwhile.
fn arrive_meanwhile<R: Rules>(travellers: u32) {
    let node = Node::<R>::new(travellers);
    let travelling: Vec<_> = (0..travellers)
        .map(|_| {
            let node = Arc::clone(&node);
            thread::spawn(move || node.travel())
        })
        .collect();
    node.standings.withdraw(THERE, &node.rooms);
    let took_in = node.leave();
    let went = travelling.into_iter().map(|one| u32::from(one.join().unwrap())).sum::<u32>();
    assert_eq!(took_in, went, "somebody came to a shard that had ended");
    assert_eq!((node.census.live_on(HERE), node.census.live_on(THERE)), (travellers, 0));
    assert_eq!(node.standings.arriving(THERE), 0);
}

/// The same, where somebody else removes the shard while it turns.
fn arrive_and_remove() {
    let node = Node::<Sound>::new(1);
    let traveller = Arc::clone(&node);
    let travelling = thread::spawn(move || traveller.travel());
    let remover = Arc::clone(&node);
    let removing = thread::spawn(move || {
        remover.standings.withdraw(THERE, &remover.rooms);
        remover.doorbell.ring();
    });
    let took_in = node.leave();
    removing.join().unwrap();
    assert_eq!(took_in, u32::from(travelling.join().unwrap()));
}

/// A shard ends as soon as it may, while somebody touches a room.
fn claim_meanwhile<R: Rules>() {
    let node = Node::<R>::new(0);
    let remover = Arc::clone(&node);
    let removing = thread::spawn(move || remover.standings.withdraw(THERE, &remover.rooms));
    let toucher = Arc::clone(&node);
    let touching = thread::spawn(move || toucher.rooms.claim(0, b"a", THERE));
    let leaves = node.standings.is_leaving(THERE);
    let ends = leaves && node.standings.is_forsaken(THERE, &node.rooms, &node.census);
    removing.join().unwrap();
    let claim = touching.join().unwrap();
    assert!(!(ends && claim.home == THERE), "a room's home had ended already");
}

/// A shard begins to serve while somebody, who does not, touches a room.
fn hear_of_a_home<R: Rules>() {
    let standings = Standings::<R>::under_rules(2);
    let node = Arc::new((standings, RoomRegistry::<R>::under_rules(7, 1, 2)));
    let toucher = Arc::clone(&node);
    let touching = thread::spawn(move || {
        let (standings, rooms) = &*toucher;
        let home = rooms.claim(0, b"a", HERE).home;
        (home, standings.worker_of(home))
    });
    let (standings, rooms) = &*node;
    standings.serve(THERE, WORKER, rooms);
    let (home, worker) = touching.join().unwrap();
    assert!(home == HERE || worker == WORKER, "it was sought on another worker");
}

#[derive(Debug)]
struct LooksFirst;

impl Rules for LooksFirst {
    const SAYS_SO_BEFORE_LOOKING: bool = false;
}

#[derive(Debug)]
struct AwaitedByALoad;

impl Rules for AwaitedByALoad {
    const AWAITED_READS_AND_WRITES: bool = false;
}

#[derive(Debug)]
struct ArrivesInSilence;

impl Rules for ArrivesInSilence {
    const ARRIVED_RINGS: bool = false;
}

#[derive(Debug)]
struct LeavesRoomsLast;

impl Rules for LeavesRoomsLast {
    const LEAVES_ROOMS_FIRST: bool = false;
}

#[derive(Debug)]
struct ServesRelaxed;

impl Rules for ServesRelaxed {
    const SERVE: Ordering = Ordering::Relaxed;
}

#[test]
fn a_leaving_shard_waits_for_who_is_on_the_way() {
    holds("standings, 1 on the way", UNBOUNDED, 300, || arrive_meanwhile::<Sound>(1));
}

#[test]
fn a_leaving_shard_waits_for_two_who_are_on_the_way() {
    holds("standings, 2 on the way", Some(3), 10_000, || arrive_meanwhile::<Sound>(2));
}

#[test]
fn a_shard_that_somebody_removes_waits_for_who_is_on_the_way() {
    holds("standings, removed meanwhile", Some(3), 10_000, arrive_and_remove);
}

#[test]
fn a_shard_that_ended_becomes_home_no_more() {
    holds("standings, claimed meanwhile", UNBOUNDED, 500, claim_meanwhile::<Sound>);
}

#[test]
fn who_hears_of_a_home_finds_its_worker() {
    holds("standings, serving", UNBOUNDED, 5, hear_of_a_home::<Sound>);
}

#[test]
fn twin_who_looks_first_comes_to_a_shard_that_ended() {
    is_found_out("standings, looks first", Some(3), "had ended", || {
        arrive_meanwhile::<LooksFirst>(1);
    });
}

#[test]
fn twin_a_mere_load_misses_who_is_on_the_way() {
    is_found_out("standings, awaited by a load", Some(3), "had ended", || {
        arrive_meanwhile::<AwaitedByALoad>(1);
    });
}

#[test]
fn twin_who_arrives_in_silence_is_waited_for_for_ever() {
    is_found_out("standings, arrives in silence", Some(3), "deadlock", || {
        arrive_meanwhile::<ArrivesInSilence>(1);
    });
}

#[test]
fn twin_who_leaves_rooms_last_is_a_home_that_ended() {
    is_found_out(
        "standings, leaves rooms last",
        Some(3),
        "had ended already",
        claim_meanwhile::<LeavesRoomsLast>,
    );
}

#[test]
fn twin_who_serves_relaxed_is_sought_elsewhere() {
    is_found_out(
        "standings, serves relaxed",
        Some(3),
        "another worker",
        hear_of_a_home::<ServesRelaxed>,
    );
}
