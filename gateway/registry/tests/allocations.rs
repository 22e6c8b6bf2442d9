//! What shards share is allocated when it is made, and by rooms that are new.
#![cfg(not(any(weir_loom, weir_shuttle)))]

use std::thread;

use allocation_counter::measure;
use gateway_registry::ids::ShardId;
use gateway_registry::ring::ring;
use gateway_registry::rooms::RoomRegistry;

const ITEMS: u64 = 10_000;

#[test]
fn what_passes_a_ring_allocates_nothing_on_either_thread() {
    let (mut sender, mut receiver) = ring(64);
    let sending = thread::spawn(move || {
        measure(|| {
            for item in 0..ITEMS {
                while sender.send(item).is_err() {
                    thread::yield_now();
                }
            }
        })
    });
    let received = measure(|| {
        for item in 0..ITEMS {
            let received = loop {
                match receiver.receive() {
                    Some(received) => break received,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(received, item);
        }
    });
    let sent = sending.join().expect("all was sent");
    assert_eq!((sent.count_total, received.count_total), (0, 0));
}

#[test]
fn a_room_that_is_known_is_found_and_claimed_without_an_allocation() {
    let registry = RoomRegistry::new(7, 4, 2);
    registry.serve(ShardId(0));
    let claim = registry.claim(0, b"lobby", ShardId(0));
    let counted = measure(|| {
        for _ in 0..ITEMS {
            assert_eq!(registry.find(0, b"lobby"), Some((claim.home, claim.term)));
            assert!(!registry.claim(0, b"lobby", ShardId(1)).fresh);
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_room_that_comes_and_goes_allocates_its_name_and_nothing_else() {
    let registry = RoomRegistry::new(7, 4, 2);
    registry.serve(ShardId(0));
    let come_and_go = || {
        let claim = registry.claim(0, b"lobby", ShardId(0));
        assert!(claim.fresh);
        assert!(registry.retire(0, b"lobby", claim.home, claim.term));
    };
    come_and_go();
    let counted = measure(|| (0..ITEMS).for_each(|_| come_and_go()));
    assert_eq!(counted.count_total, ITEMS);
    assert_eq!(counted.bytes_total, ITEMS * 5, "a name of five bytes");
}
