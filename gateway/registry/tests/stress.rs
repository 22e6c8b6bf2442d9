//! What shards share, between real threads: counts and order, and no data race where
//! ThreadSanitizer looks on (`cargo xtask test tsan`).
#![cfg(not(any(weir_loom, weir_shuttle)))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, ScopedJoinHandle, Thread};

use gateway_registry::census::{Capacity, Census};
use gateway_registry::doorbell::Doorbell;
use gateway_registry::ids::{ShardId, WorkerId};
use gateway_registry::load::{Bounds, Load};
use gateway_registry::mailbox::Mailbox;
use gateway_registry::mesh::{Capacities, Item, Mesh, Port};
use gateway_registry::rooms::RoomRegistry;
use gateway_registry::shown::{Shown, Watch};
use gateway_registry::standings::Standings;

/// How often each thread does what it does: fewer where each step is watched.
const ROUNDS: u32 = if cfg!(miri) {
    20
} else if cfg!(weir_tsan) {
    1_000
} else {
    5_000
};

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for each thread itself: what a scope does at its end ThreadSanitizer does not see.
fn join<'scope>(threads: impl IntoIterator<Item = ScopedJoinHandle<'scope, ()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
}

/// Turns until it is done; sleeps when a turn says that there is no more to do at once.
fn work(doorbell: &Doorbell, mut turn: impl FnMut() -> Next) {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    loop {
        doorbell.awake();
        match turn() {
            Next::Never => return,
            Next::AtOnce => {}
            // It may wake for no reason; then it looks again.
            Next::OnceRung => {
                if doorbell.sleep(&waker) {
                    thread::park();
                }
            }
        }
    }
}

enum Next {
    AtOnce,
    OnceRung,
    Never,
}

/// What one worker has said to another, and heard of it. Boxed, so that what is received twice or
/// never shows as a double free or a leak.
#[derive(Clone, Copy, Default)]
struct Talk {
    sent: u32,
    answered: u32,
    came: u32,
    answers: u32,
}

type Boxed = Box<u32>;

fn converse(mut port: Port<Boxed, Boxed>, workers: u16) {
    let doorbell = Arc::clone(port.doorbell());
    let me = port.worker();
    let others: Vec<_> = (0..workers).map(WorkerId).filter(|&other| other != me).collect();
    let mut talks = vec![Talk::default(); workers.into()];
    work(&doorbell, || {
        let mut more = port.receive(16, |from, item| {
            let talk = &mut talks[from.index()];
            let (number, next) = match item {
                Item::Command(number) => (number, &mut talk.came),
                Item::Delivery(number) => (number, &mut talk.answered),
            };
            assert_eq!(*number, *next, "lost, repeated or reordered");
            *next += 1;
        });
        for &other in &others {
            let talk = &mut talks[other.index()];
            while talk.answers < talk.came && port.deliver(other, talk.answers.into()).is_ok() {
                talk.answers += 1;
            }
            if talk.sent < ROUNDS && port.command(other, talk.sent.into()).is_ok() {
                talk.sent += 1;
                more |= talk.sent < ROUNDS;
            }
        }
        port.ring_doorbells();
        let done = |other: &WorkerId| {
            let talk = talks[other.index()];
            talk.answered == ROUNDS && talk.answers == ROUNDS
        };
        match (others.iter().all(done), more) {
            (true, _) => Next::Never,
            (_, true) => Next::AtOnce,
            (_, false) => Next::OnceRung,
        }
    });
}

#[test]
fn four_workers_command_and_answer_each_other_through_the_smallest_rings() {
    for capacities in [(1, 1), (1, 2), (4, 4)] {
        let (commands, deliveries) = capacities;
        let ports = Mesh::new(4, Capacities { commands, deliveries }).into_ports();
        let ports = ports.into_iter();
        let working: Vec<_> = ports.map(|port| thread::spawn(move || converse(port, 4))).collect();
        working.into_iter().for_each(|it| it.join().expect("it does not panic"));
    }
}

#[test]
fn a_consumer_that_sleeps_hears_of_every_item_of_four_posters() {
    let doorbell = Arc::new(Doorbell::new());
    let mailbox = Mailbox::new(8, Arc::clone(&doorbell));
    thread::scope(|scope| {
        let mailbox = &mailbox;
        let post = |poster| {
            for number in 0..ROUNDS {
                let mut item = Box::new((poster, number));
                while let Err(back) = mailbox.post(item) {
                    item = back;
                    thread::yield_now();
                }
            }
        };
        let posting = [0, 1, 2, 3].map(|poster| scope.spawn(move || post(poster)));
        let mut next = [0; 4];
        let mut taken = Vec::new();
        work(&doorbell, || {
            let took = mailbox.drain_into(&mut taken, 5);
            for (poster, number) in taken.drain(..).map(|item| *item) {
                assert_eq!(number, next[poster], "lost, repeated or reordered");
                next[poster] += 1;
            }
            match (next == [ROUNDS; 4], took) {
                (true, _) => Next::Never,
                (_, 0) => Next::OnceRung,
                (_, _) => Next::AtOnce,
            }
        });
        join(posting);
    });
    assert!(mailbox.is_empty());
}

#[test]
fn a_mark_that_was_left_before_the_ring_is_seen_by_who_wakes() {
    let doorbell = Arc::new(Doorbell::new());
    let marks = [0; 3].map(AtomicU64::new);
    thread::scope(|scope| {
        let doorbell = &doorbell;
        let ring = |mark: &AtomicU64| {
            for number in 1..=u64::from(ROUNDS) {
                mark.store(number, Ordering::Relaxed);
                doorbell.ring();
            }
        };
        let ringing = marks.each_ref().map(|mark| scope.spawn(move || ring(mark)));
        work(doorbell, || {
            let all = |mark: &AtomicU64| mark.load(Ordering::Relaxed) == u64::from(ROUNDS);
            if marks.iter().all(all) { Next::Never } else { Next::OnceRung }
        });
        join(ringing);
    });
}

#[test]
fn places_are_neither_lost_nor_given_twice() {
    let census = Census::new(Capacity { total_max: 5, shard_max: 2 }, 3);
    thread::scope(|scope| {
        let census = &census;
        let churn = |first: u32| {
            for round in first..first + ROUNDS {
                let shard = |number: u32| ShardId((number % 3) as u16);
                let (here, next) = (shard(round), shard(round + 1));
                if census.reserve(here).is_ok() {
                    let moved = census.moved(here, next).is_ok();
                    assert!(census.live() <= 5 && census.live_on(here) <= 2);
                    census.release(if moved { next } else { here });
                }
            }
        };
        join([0, 1, 2, 3].map(|first| scope.spawn(move || churn(first))));
    });
    assert_eq!((census.live(), (0..3).map(|id| census.live_on(ShardId(id))).sum()), (0, 0_u32));
}

#[test]
fn each_term_is_ended_by_one() {
    let rooms = RoomRegistry::new(7, 2, 4);
    (0..4).for_each(|shard| rooms.serve(ShardId(shard)));
    let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let (rooms, begun, ended) = (&rooms, &begun, &ended);
        let live = move |me: u16| {
            for round in 0..ROUNDS {
                let name = [(round % 3) as u8];
                let claim = rooms.claim(0, &name, ShardId(me));
                begun.fetch_add(claim.fresh.into(), Ordering::Relaxed);
                let (home, term) = (claim.home, claim.term);
                if round % 2 == 0 {
                    _ = rooms.migrate(0, &name, home, term, ShardId((me + 1) % 4));
                } else {
                    let ends = rooms.retire(0, &name, home, term);
                    ended.fetch_add(ends.into(), Ordering::Relaxed);
                }
            }
        };
        join([0, 1, 2, 3].map(|me| scope.spawn(move || live(me))));
    });
    let [begun, ended] = [begun, ended].map(AtomicU64::into_inner);
    assert_eq!(begun - ended, rooms.rooms(), "a home that began and did not end is there");
    assert_eq!((0..4).map(|shard| rooms.homes(ShardId(shard))).sum::<u64>(), rooms.rooms());
}

#[test]
fn a_watch_never_sees_parts_of_two() {
    let shown = Arc::new(Shown::new(vec![0_u32; 8]));
    thread::scope(|scope| {
        let looking = [(); 3].map(|()| {
            let mut watch = Watch::new(Arc::clone(&shown));
            scope.spawn(move || {
                let mut last = 0;
                while last < ROUNDS {
                    let now = watch.look();
                    assert!(now.iter().all(|number| *number == now[0]) && now[0] >= last);
                    last = now[0];
                }
            })
        });
        (1..=ROUNDS).for_each(|number| shown.show(vec![number; 8]));
        join(looking);
    });
}

#[test]
fn a_shard_ends_once_all_who_set_out_have_arrived() {
    for _ in 0..ROUNDS / 20 {
        let rooms = RoomRegistry::new(7, 2, 2);
        let census = Census::new(Capacity { total_max: 9, shard_max: 9 }, 2);
        let standings = Standings::new(2);
        let doorbell = Arc::new(Doorbell::new());
        let mailbox = Mailbox::new(4, Arc::clone(&doorbell));
        let (here, there) = (ShardId(0), ShardId(1));
        standings.serve(there, WorkerId(0), &rooms);
        (0..3).for_each(|_| census.reserve(here).expect("there is room"));
        let mut came = 0;
        let went: u32 = thread::scope(|scope| {
            let (standings, census, mailbox, doorbell) = (&standings, &census, &mailbox, &doorbell);
            let travel = move || {
                let goes = standings.set_out(there) && census.moved(here, there).is_ok();
                if goes {
                    mailbox.post(()).expect("there is room for all");
                } else {
                    standings.arrived(there, |_| doorbell.ring());
                }
                u32::from(goes)
            };
            let travelling = [(); 3].map(|()| scope.spawn(travel));
            let removing = scope.spawn(|| {
                standings.withdraw(there, &rooms);
                doorbell.ring();
            });
            work(doorbell, || {
                while mailbox.take().is_some() {
                    came += 1;
                    standings.arrived(there, |_| ());
                    census.release(there);
                }
                let ends = standings.is_leaving(there)
                    && mailbox.is_empty()
                    && standings.is_forsaken(there, &rooms, census);
                if ends { Next::Never } else { Next::OnceRung }
            });
            join([removing]);
            travelling.into_iter().map(|one| one.join().expect("it does not panic")).sum()
        });
        assert_eq!(came, went, "somebody came to a shard that had ended");
    }
}

#[test]
fn no_more_waits_than_may() {
    let load = Arc::new(Load::new(Bounds { items_max: 3, bytes_max: 10 }));
    let held = AtomicU64::new(0);
    thread::scope(|scope| {
        let (load, held) = (&load, &held);
        let weigh = move |bytes: usize| {
            for _ in 0..ROUNDS {
                let Some(weight) = Load::weigh(load, bytes) else { continue };
                let all = held.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
                assert!(all <= 10, "{all} bytes wait");
                held.fetch_sub(bytes as u64, Ordering::Relaxed);
                drop(weight);
            }
        };
        join([2, 3, 4, 5].map(|bytes| scope.spawn(move || weigh(bytes))));
    });
    assert_eq!(load.waiting(), (0, 0));
}
