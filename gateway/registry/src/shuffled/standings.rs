//! Travellers between shards, two of which are removed meanwhile.

use std::sync::atomic::Ordering;

use shuttle::sync::Arc;
use shuttle::sync::atomic::AtomicU32;
use shuttle::thread;

use super::{Sleeper, holds, is_found_out, twin};
use crate::census::{Capacity, Census};
use crate::doorbell::Doorbell;
use crate::ids::{ShardId, WorkerId};
use crate::rooms::RoomRegistry;
use crate::rules::{Rules, Sound};
use crate::standings::Standings;

/// Where everyone is at first. It stays.
const HOME: ShardId = ShardId(0);
/// They are removed.
const LEAVING: [ShardId; 2] = [ShardId(1), ShardId(2)];

struct Node<R: Rules> {
    standings: Standings<R>,
    rooms: RoomRegistry<R>,
    census: Census<R>,
    /// By shard, each with a worker of its own.
    doorbells: [Doorbell<R>; 3],
    mail: [AtomicU32; 3],
}

impl<R: Rules> Node<R> {
    fn new(travellers: u32) -> Self {
        let capacity = Capacity { total_max: 99, shard_max: 99 };
        let node = Self {
            standings: Standings::under_rules(3),
            rooms: RoomRegistry::under_rules(7, 1, 3),
            census: Census::under_rules(capacity, 3),
            doorbells: [(); 3].map(|()| Doorbell::under_rules()),
            mail: [0; 3].map(AtomicU32::new),
        };
        (0..3).for_each(|id| node.standings.serve(ShardId(id), WorkerId(id), &node.rooms));
        (0..travellers).for_each(|_| node.census.reserve(HOME).unwrap());
        node
    }

    fn arrived(&self, at: ShardId) {
        self.standings.arrived(at, |worker| self.doorbells[worker.index()].ring());
    }

    /// Goes to both, one after the other, if it may; says how often it went.
    fn travel(&self, traveller: u8) -> u32 {
        let mut went = 0;
        for to in LEAVING {
            if self.standings.set_out(to) && self.census.moved(HOME, to).is_ok() {
                self.mail[to.index()].fetch_add(1, Ordering::Release);
                self.doorbells[to.index()].ring();
                went += 1;
                // Its client comes once more.
                self.census.reserve(HOME).unwrap();
            } else {
                self.arrived(to);
            }
            // It touches a room of its own on the way, whose home stays until it lets go.
            let room = [traveller];
            let claim = self.rooms.claim(0, &room, to);
            let gone = !self.standings.is_present(claim.home);
            assert!(!gone, "a room's home had ended already");
            assert!(self.rooms.retire(0, &room, claim.home, claim.term));
            self.doorbells[claim.home.index()].ring();
        }
        went
    }

    /// The turns of a shard until it has left; says how many came.
    fn turn(&self, me: ShardId) -> u32 {
        let (doorbell, mail) = (&self.doorbells[me.index()], &self.mail[me.index()]);
        let sleeper = Sleeper::new();
        let mut came = 0;
        loop {
            doorbell.awake();
            for _ in 0..mail.swap(0, Ordering::Acquire) {
                came += 1;
                self.arrived(me);
                self.census.release(me);
            }
            let ends = self.standings.is_leaving(me)
                && mail.load(Ordering::Relaxed) == 0
                && self.standings.is_forsaken(me, &self.rooms, &self.census);
            if ends {
                self.standings.remove(me);
                return came;
            }
            if doorbell.sleep(&sleeper.waker) {
                sleeper.sleep();
            }
        }
    }
}

fn remove_two<R: Rules>(travellers: u8) {
    let node = Arc::new(Node::<R>::new(travellers.into()));
    let turning = LEAVING.map(|shard| {
        let node = Arc::clone(&node);
        thread::spawn(move || node.turn(shard))
    });
    let travelling: Vec<_> = (0..travellers)
        .map(|traveller| {
            let node = Arc::clone(&node);
            thread::spawn(move || node.travel(traveller))
        })
        .collect();
    for shard in LEAVING {
        node.standings.withdraw(shard, &node.rooms);
        node.doorbells[shard.index()].ring();
    }
    let came: u32 = turning.into_iter().map(|shard| shard.join().unwrap()).sum();
    let went: u32 = travelling.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(came, went, "somebody came to a shard that had ended");
    let live = [0, 1, 2].map(|id| node.census.live_on(ShardId(id)));
    assert_eq!(live, [travellers.into(), 0, 0]);
}

twin!(LooksFirst: SAYS_SO_BEFORE_LOOKING = false);
twin!(ArrivesInSilence: ARRIVED_RINGS = false);
twin!(LeavesRoomsLast: LEAVES_ROOMS_FIRST = false);

#[test]
fn two_shards_leave_while_four_travel() {
    holds("standings, 7 threads", 1_000, || remove_two::<Sound>(4));
}

#[test]
fn twin_who_looks_first_comes_to_a_shard_that_ended() {
    is_found_out("standings, looks first", "had ended", || remove_two::<LooksFirst>(4));
}

#[test]
fn twin_who_arrives_in_silence_is_waited_for_for_ever() {
    is_found_out("standings, arrives in silence", "deadlock", || remove_two::<ArrivesInSilence>(4));
}

#[test]
fn twin_who_leaves_rooms_last_is_a_home_that_ended() {
    is_found_out("standings, leaves rooms last", "had ended", || remove_two::<LeavesRoomsLast>(4));
}
