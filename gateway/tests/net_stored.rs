//! Stored parts: what lies in the store arrives between what lies in memory.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::io::Read;
use std::sync::Arc;
use std::thread;

use gateway::net::{EpollNet, MemfdStore, Net, Ready};
use gateway_core::transmit::{Part, Sent, Transmit};

mod shard;

use shard::Shard;

#[test]
fn stored_parts_arrive_in_their_place() {
    let store = Arc::new(MemfdStore::new().unwrap());
    let mut shard = with_store(&store);
    let (slot, mut client) = shard.accept();
    let id = store.put(b"..from", b" the store..").unwrap();
    let parts = [
        Part::Bytes(b"first "),
        Part::Stored { id, range: 2..7 },
        Part::Bytes(b"and "),
        Part::Stored { id, range: 7..16 },
        Part::Bytes(b" last"),
    ];
    assert_eq!(shard.net.send_parts(slot, &parts), Sent::Wrote(29));
    let mut seen = [0; 29];
    client.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"first from and the store last");
}

#[test]
fn a_whole_extent_reaches_many_each_as_fast_as_it_reads() {
    let store = Arc::new(MemfdStore::new().unwrap());
    let mut shard = with_store(&store);
    let members: Vec<_> = (0..4).map(|_| shard.accept()).collect();
    let bytes: Vec<u8> = (0..100_000_usize).map(|i| (i * 13 + i / 255) as u8).collect();
    let (first, second) = (store.put(b"head", &bytes).unwrap(), store.put(&[], b"small").unwrap());
    let whole = [Part::Stored { id: first, range: 0..100_004 }];
    // The kernel takes the first ones at once, and not all of the tenth.
    let mut sent = [0; 4];
    for (n, (slot, _)) in members.iter().enumerate() {
        for _ in 0..if n == 1 { 100 } else { 1 } {
            match shard.net.send_parts(*slot, &whole) {
                Sent::Wrote(count) => sent[n] += count,
                Sent::Blocked => break,
                Sent::Broken => panic!("everyone is there"),
            }
        }
    }
    assert_eq!([sent[0], sent[2], sent[3]], [100_004; 3], "nobody pays for who does not read");
    assert!(sent[1] < 100 * 100_004, "the kernel is full");
    // Another one in between, and what is freed while sockets hold it.
    let small = [Part::Stored { id: second, range: 0..5 }];
    assert_eq!(shard.net.send_parts(members[0].0, &small), Sent::Wrote(5));
    assert_eq!(shard.net.send_parts(members[0].0, &whole), Sent::Wrote(100_004));
    store.free(first).unwrap();
    let message = [b"head", &bytes[..]].concat();
    for (n, (_, client)) in members.into_iter().enumerate() {
        let expected = match n {
            0 => [&message[..], b"small", &message].concat(),
            1 => message.repeat(100)[..sent[1]].to_vec(),
            _ => message.clone(),
        };
        let mut seen = vec![0; expected.len()];
        let mut client = client;
        client.read_exact(&mut seen).unwrap();
        assert!(seen == expected, "member {n}");
    }
}

#[test]
fn a_stored_part_goes_on_where_the_kernel_was_full() {
    let store = Arc::new(MemfdStore::new().unwrap());
    let mut shard = with_store(&store);
    let (slot, mut client) = shard.accept();
    let bytes: Vec<u8> = (0..12_usize << 20).map(|i| (i * 7 + i / 251) as u8).collect();
    let id = store.put(&[], &bytes).unwrap();
    let len = bytes.len() as u64;

    let mut sent = 0;
    let mut send = |shard: &mut Shard<EpollNet>| {
        while sent < len {
            match shard.net.send_parts(slot, &[Part::Stored { id, range: sent..len }]) {
                Sent::Wrote(count) => sent += count as u64,
                Sent::Blocked => return false,
                Sent::Broken => panic!("the client is there"),
            }
        }
        true
    };
    assert!(!send(&mut shard), "the kernel does not take 12 MiB for one that never reads");
    shard.net.interest(slot, true, true);
    let reader = thread::spawn(move || {
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).map(|_| seen).unwrap()
    });
    loop {
        shard.until(Ready::Writable(slot));
        if send(&mut shard) {
            break;
        }
    }
    drop(shard.net.release(slot));
    assert!(reader.join().unwrap() == bytes, "every byte once and in order");
}

#[test]
#[should_panic(expected = "a shard that sends stored parts has a store")]
fn a_stored_part_needs_a_store() {
    let store = MemfdStore::new().unwrap();
    let id = store.put(&[], b"elsewhere").unwrap();
    let mut shard = Shard::<EpollNet>::new();
    let (slot, _client) = shard.accept();
    shard.net.send_parts(slot, &[Part::Stored { id, range: 0..9 }]);
}

fn with_store(store: &Arc<MemfdStore>) -> Shard<EpollNet> {
    let extents = Arc::clone(store);
    Shard::<EpollNet>::new().map(|net| net.with_extents(extents))
}
