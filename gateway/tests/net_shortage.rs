//! Out of descriptors, a shard pauses accepting instead of spinning, and comes back by itself.
//!
//! Alone in its process, whose limit it lowers.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use gateway::net::{EpollNet, Ready, TokioNet};
use gateway_core::slot::Slot;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod shard;

use shard::{Shard, Testable};

#[test]
fn a_shard_without_descriptors_pauses_until_there_are_some() {
    pauses_until_there_are_some::<EpollNet>();
    pauses_until_there_are_some::<TokioNet>();
}

fn pauses_until_there_are_some<N: Testable>() {
    let mut shard = Shard::<N>::with_own();
    let (first, _served) = shard.accept();
    let waiting = [shard.connect(), shard.connect(), shard.connect()];
    let at_own = shard.connect_own();
    let peers = waiting.each_ref().map(|client| client.local_addr().unwrap());

    let limit = getrlimit(Resource::Nofile);
    allow_no_more_descriptors();
    let polls = shard.polls_within(Duration::from_millis(100));
    assert!(polls <= 8, "a shard that cannot accept polled {polls} times");
    let pauses = shard.net.accept_pauses();
    assert!((1..=4).contains(&pauses), "paused {pauses} times");

    // However often it is asked at once, it tries once: the wait that is over, if it is just now.
    assert_eq!(shard.polls_at_once(1_000), []);
    assert!(shard.net.accept_pauses() <= pauses + 1);

    // A connection that ends makes room for the next one.
    drop(shard.net.release(first).unwrap());
    let [Ready::Accepted { slot, peer, .. }, ..] = shard.poll_now()[..] else {
        panic!("there is room for one more at once")
    };
    assert_eq!((slot, peer), (first, peers[0]));

    // Without one the shard tries again later, for others may have made room.
    setrlimit(Resource::Nofile, limit).unwrap();
    let accepted = accepted(&mut shard, 3);
    let (slots, mut came): (Vec<_>, Vec<_>) = accepted.into_iter().unzip();
    assert_eq!(slots, [Slot(1), Slot(2), Slot(3)]);
    // Those at the other listener waited like all others.
    came.retain(|&peer| peer != at_own.local_addr().unwrap());
    assert_eq!(came, peers[1..]);
    assert!(shard.net.accept_pauses() > pauses);
}

/// The next clients that are taken, this many of them.
fn accepted<N: Testable>(shard: &mut Shard<N>, count: usize) -> Vec<(Slot, SocketAddr)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(shard.poll().into_iter().filter_map(|ready| match ready {
            Ready::Accepted { slot, peer, .. } => Some((slot, peer)),
            Ready::Readable(_) | Ready::Writable(_) => None,
        }));
    }
    seen
}

fn allow_no_more_descriptors() {
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd();
    let limit = getrlimit(Resource::Nofile);
    let current = Some(u64::try_from(lowest_free).unwrap());
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}
