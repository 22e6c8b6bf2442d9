//! What every network does, over real sockets: the same stories for each implementation.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use gateway::net::Ready;
use gateway_core::slot::Slot;
use gateway_core::transmit::{Part, Sent};
use socket2::SockRef;

mod shard;

use shard::{PATIENCE, Shard, Testable};

/// Names each story once and tells it over every network of this system.
macro_rules! over_every_net {
    ($($story:ident)*) => {
        #[cfg(all(target_os = "linux", not(weir_portable)))]
        mod epoll {
            $(#[test]
            fn $story() {
                super::$story::<gateway::net::EpollNet>();
            })*
        }
        mod tokio {
            $(#[test]
            fn $story() {
                super::$story::<gateway::net::TokioNet>();
            })*
        }
    };
}

over_every_net! {
    a_client_is_accepted_and_its_bytes_are_read
    small_frames_are_sent_at_once
    a_slot_is_readable_as_long_as_bytes_are_there
    a_blocked_slot_is_writable_when_its_peer_reads_again
    many_parts_arrive_as_one_run
    without_interest_a_slot_is_silent_until_it_is_back
    of_interest_that_changes_to_and_fro_the_last_counts
    whoever_comes_into_a_slot_has_no_interest_of_the_one_before
    bytes_before_a_half_close_arrive_and_the_peer_can_still_write
    an_end_of_stream_is_told_as_long_as_it_is_not_taken
    a_released_connection_is_closed
    the_lowest_free_slot_is_given_next
    slots_that_were_given_back_are_given_out_again
    what_is_not_accepted_waits_in_the_kernel
    three_hundred_ready_connections_are_all_reported
    a_reset_is_seen
    a_reset_is_seen_through_write_interest_alone
    a_released_connection_lives_on_in_another_shard
    a_vacant_slot_is_free_to_adopt_into
    a_connection_that_is_reset_hears_so
    a_retired_listener_takes_who_waits_and_is_then_closed
    who_comes_to_the_shards_own_port_is_told_apart
    both_listeners_are_switched_off_and_on
    both_retired_listeners_take_who_waits_and_are_then_closed
    a_connection_that_cannot_be_watched_is_told_as_lost
    a_free_slot_answers_that_nobody_is_there
    ten_thousand_rounds_lose_no_wake_up
    an_idle_shard_sleeps_whatever_its_connections_are_in
}

fn a_client_is_accepted_and_its_bytes_are_read<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let mut client = shard.connect();
    let [Ready::Accepted { slot, peer, cpu, own: false }, ..] = shard.poll()[..] else {
        panic!("a client comes first of all")
    };
    assert_eq!((slot, peer), (Slot(0), client.local_addr().unwrap()));
    assert_eq!(cpu.is_some(), cfg!(all(target_os = "linux", not(weir_portable))));

    client.write_all(b"hello").unwrap();
    shard.until(Ready::Readable(slot));
    assert_eq!(shard.drain(slot), b"hello");
    assert_eq!(shard.net.send(slot, b"and back"), Sent::Wrote(8));
    assert_eq!(read_exactly(&mut client, 8), b"and back");
}

fn small_frames_are_sent_at_once<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, _client) = shard.accept();
    let socket = shard.net.release(slot).unwrap();
    assert!(socket.nodelay().unwrap());
}

fn a_slot_is_readable_as_long_as_bytes_are_there<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    client.write_all(b"0123456789").unwrap();
    shard.until(Ready::Readable(slot));
    shard.until(Ready::Readable(slot));
    let mut some = [0; 4];
    assert_eq!(shard.net.recv(slot, &mut some).unwrap(), 4);
    shard.until(Ready::Readable(slot));
    assert_eq!(shard.drain(slot), b"456789");
    assert!(!shard.passes_by().contains(&Ready::Readable(slot)), "there is nothing to read");
}

fn a_blocked_slot_is_writable_when_its_peer_reads_again<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, client) = shard.accept();
    let bytes = pattern(8 << 20);
    let mut sent = shard.send_until_blocked(slot, &bytes);
    assert!(sent < bytes.len(), "the kernel does not take 8 MiB for one that never reads");
    shard.net.interest(slot, true, true);
    assert!(!shard.passes_by().contains(&Ready::Writable(slot)), "its peer has not read");

    let reader = read_to_end_in_thread(client);
    while sent < bytes.len() {
        shard.until(Ready::Writable(slot));
        sent += shard.send_until_blocked(slot, &bytes[sent..]);
    }
    drop(shard.net.release(slot));
    assert!(reader.join().unwrap() == bytes, "every byte once and in order");
}

fn many_parts_arrive_as_one_run<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    let bytes = pattern(1000);
    let mut parts: Vec<Part<'_>> = bytes.chunks(5).map(Part::Bytes).collect();
    parts.insert(0, Part::Bytes(&[]));
    parts.insert(100, Part::Bytes(&[]));
    assert_eq!(shard.net.send_parts(slot, &parts), Sent::Wrote(1000));
    assert_eq!(read_exactly(&mut client, 1000), bytes);

    // Until the kernel is full: then the count says where to go on, over all parts.
    let large = pattern(1 << 20);
    let parts = [Part::Bytes(&large), Part::Bytes(&large), Part::Bytes(&large)];
    let mut sent = 0;
    loop {
        match shard.net.send_parts(slot, &parts) {
            Sent::Wrote(count) => sent += count,
            Sent::Blocked => break,
            Sent::Broken => panic!("the client is there"),
        }
        if !sent.is_multiple_of(3 << 20) {
            assert_eq!(shard.net.send_parts(slot, &parts), Sent::Blocked, "less means full");
            break;
        }
    }
    let reader = read_to_end_in_thread(client);
    drop(shard.net.release(slot));
    let seen = reader.join().unwrap();
    assert!(seen.chunks(1 << 20).all(|run| run == &large[..run.len()]));
    assert_eq!(seen.len(), sent);
}

fn without_interest_a_slot_is_silent_until_it_is_back<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    shard.net.interest(slot, false, false);
    client.write_all(b"wait").unwrap();
    assert_eq!(shard.of_slot(slot), []);
    shard.net.interest(slot, false, true);
    shard.until(Ready::Writable(slot));
    assert_eq!(shard.of_slot(slot), [Ready::Writable(slot)]);
    shard.net.interest(slot, true, false);
    shard.until(Ready::Readable(slot));
    assert_eq!(shard.drain(slot), b"wait");
}

fn of_interest_that_changes_to_and_fro_the_last_counts<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    client.write_all(b"here").unwrap();
    shard.net.interest(slot, false, false);
    shard.net.interest(slot, true, false);
    shard.until(Ready::Readable(slot));
    shard.net.interest(slot, true, true);
    shard.net.interest(slot, false, false);
    assert_eq!(shard.of_slot(slot), []);
    shard.net.interest(slot, false, true);
    shard.net.interest(slot, true, false);
    shard.until(Ready::Readable(slot));
    assert!(!shard.of_slot(slot).contains(&Ready::Writable(slot)));
    assert_eq!(shard.drain(slot), b"here");
}

fn whoever_comes_into_a_slot_has_no_interest_of_the_one_before<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, _gone) = shard.accept();
    shard.net.interest(slot, false, true);
    drop(shard.net.release(slot));
    let (again, mut client) = shard.accept();
    assert_eq!(again, slot);
    client.write_all(b"here").unwrap();
    shard.until(Ready::Readable(slot));
    assert!(!shard.of_slot(slot).contains(&Ready::Writable(slot)));
    assert_eq!(shard.drain(slot), b"here");
}

fn bytes_before_a_half_close_arrive_and_the_peer_can_still_write<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    assert_eq!(shard.net.send(slot, b"goodbye"), Sent::Wrote(7));
    shard.net.shutdown(slot);
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, b"goodbye");
    assert_eq!(shard.net.send(slot, b"more"), Sent::Broken);
    client.write_all(b"and you").unwrap();
    shard.until(Ready::Readable(slot));
    assert_eq!(shard.drain(slot), b"and you");
}

fn an_end_of_stream_is_told_as_long_as_it_is_not_taken<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    client.write_all(b"last").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    shard.until(Ready::Readable(slot));
    let mut buf = [0; 16];
    assert_eq!(shard.net.recv(slot, &mut buf).unwrap(), 4);
    for _ in 0..2 {
        shard.until(Ready::Readable(slot));
        assert_eq!(shard.net.recv(slot, &mut buf).unwrap(), 0);
    }
    assert_eq!(shard.net.send(slot, b"answer"), Sent::Wrote(6), "only one side has ended");
    assert_eq!(read_exactly(&mut client, 6), b"answer");
}

fn a_released_connection_is_closed<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    drop(shard.net.release(slot).unwrap());
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert!(shard.net.release(slot).is_none());
}

fn the_lowest_free_slot_is_given_next<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let _clients: Vec<TcpStream> = (0..4)
        .map(|expected| {
            let (slot, client) = shard.accept();
            assert_eq!(slot, Slot(expected));
            client
        })
        .collect();
    drop(shard.net.release(Slot(2)));
    drop(shard.net.release(Slot(1)));
    let given: Vec<(Slot, TcpStream)> = (0..3).map(|_| shard.accept()).collect();
    assert_eq!(given.iter().map(|(slot, _)| slot.0).collect::<Vec<_>>(), [1, 2, 4]);
}

fn slots_that_were_given_back_are_given_out_again<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (stays, mut client) = shard.accept();
    // What goes in the midst of others keeps nothing from being given back behind it.
    let mut crowd: Vec<(Slot, TcpStream)> = (0..300).map(|_| shard.accept()).collect();
    let (last, mut late) = crowd.pop().unwrap();
    for (slot, _) in crowd.drain(..) {
        drop(shard.net.release(slot).unwrap());
    }
    shard.poll_now();
    shard.net.give_back();
    late.write_all(b"!").unwrap();
    shard.until(Ready::Readable(last));
    drop(shard.net.release(last).unwrap());
    shard.poll_now();
    // Once for those who have gone, and once with nothing to give back.
    shard.net.give_back();
    shard.net.give_back();
    assert_eq!(shard.net.send(last, b"nobody"), Sent::Broken);
    let again: Vec<(Slot, TcpStream)> = (0..3).map(|_| shard.accept()).collect();
    assert_eq!(again.iter().map(|(slot, _)| slot.0).collect::<Vec<_>>(), [1, 2, 3]);
    client.write_all(b"!").unwrap();
    shard.until(Ready::Readable(stays));
}

fn what_is_not_accepted_waits_in_the_kernel<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (sentinel, _) = shard.sentinel();
    shard.net.accepting(false);
    let client = shard.connect();
    let seen = shard.passes_by();
    assert!(seen.iter().all(|ready| *ready == Ready::Readable(sentinel)), "{seen:?}");
    shard.net.accepting(true);
    let peer = client.local_addr().unwrap();
    shard.until_any(|ready| matches!(ready, Ready::Accepted { peer: p, .. } if *p == peer));
}

fn three_hundred_ready_connections_are_all_reported<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let clients: Vec<TcpStream> = (0..300).map(|_| shard.connect()).collect();
    let mut slots = BTreeSet::new();
    while slots.len() < clients.len() {
        let ready = shard.poll();
        let accepted = ready.iter().filter_map(|ready| match ready {
            Ready::Accepted { slot, .. } => Some(*slot),
            Ready::Readable(_) | Ready::Writable(_) => None,
        });
        let before = slots.len();
        slots.extend(accepted);
        assert!(slots.len() - before <= 64, "a storm of clients is taken in batches");
    }
    assert!(slots.iter().copied().eq((0..300).map(Slot)));
    for mut client in &clients {
        client.write_all(b"!").unwrap();
    }
    // None is read meanwhile: whoever looks only at the first 128 never sees the others.
    let mut readable = BTreeSet::new();
    while readable.len() < clients.len() {
        readable.extend(shard.poll().into_iter().filter_map(|ready| match ready {
            Ready::Readable(slot) => Some(slot),
            Ready::Accepted { .. } | Ready::Writable(_) => None,
        }));
    }
    let at_once = shard.poll().iter().filter(|ready| matches!(ready, Ready::Readable(_))).count();
    assert_eq!(at_once, 300);
}

fn a_reset_is_seen<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, client) = shard.accept();
    reset(client);
    shard.until(Ready::Readable(slot));
    let error = shard.net.recv(slot, &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(shard.net.send(slot, b"anyone?"), Sent::Broken);
}

fn a_reset_is_seen_through_write_interest_alone<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, client) = shard.accept();
    shard.send_until_blocked(slot, &pattern(8 << 20));
    shard.net.interest(slot, false, true);
    reset(client);
    shard.until(Ready::Writable(slot));
    assert_eq!(shard.net.send(slot, b"anyone?"), Sent::Broken);
}

fn a_released_connection_lives_on_in_another_shard<N: Testable>() {
    let mut from = Shard::<N>::new();
    let mut to = Shard::<N>::new();
    let (slot, mut client) = from.accept();
    client.write_all(b"unread before the move").unwrap();
    from.until(Ready::Readable(slot));
    from.net.interest(slot, false, false);
    let socket = from.net.release(slot).unwrap();

    let seat = Slot(5);
    to.net.adopt(seat, socket);
    to.until(Ready::Readable(seat));
    assert_eq!(to.drain(seat), b"unread before the move");
    assert_eq!(to.net.send(seat, b"moved"), Sent::Wrote(5));
    assert_eq!(read_exactly(&mut client, 5), b"moved");
    drop(from);
    client.write_all(b"still here").unwrap();
    to.until(Ready::Readable(seat));
    assert_eq!(to.drain(seat), b"still here");
    let (next, _other) = to.accept();
    assert_eq!(next, Slot(0), "an adopted slot leaves the lower ones free");
}

/// A file is no socket: the system refuses to watch it, as it may for want of memory.
fn a_vacant_slot_is_free_to_adopt_into<N: Testable>() {
    let mut from = Shard::<N>::new();
    let mut to = Shard::<N>::new();
    let (slot, mut client) = from.accept();
    let (gone, _other) = to.accept();
    drop(to.net.release(gone));
    let seat = to.net.vacant();
    assert_ne!(seat, gone, "readiness gathered before would meet a stranger");
    to.net.adopt(seat, from.net.release(slot).unwrap());
    client.write_all(b"here").unwrap();
    to.until(Ready::Readable(seat));
    assert_eq!(to.drain(seat), b"here");
    assert_eq!(to.net.vacant(), gone, "it has rested since");
}

fn a_connection_that_is_reset_hears_so<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (slot, mut client) = shard.accept();
    shard.net.reset(slot);
    shard.net.reset(slot);
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(shard.net.send(slot, b"anyone?"), Sent::Broken);
}

fn a_retired_listener_takes_who_waits_and_is_then_closed<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let (_, mut earlier) = shard.accept();
    let mut waiting: Vec<_> = (0..100).map(|_| shard.connect()).collect();
    shard.net.retire();
    let mut accepted = BTreeSet::new();
    while !shard.net.is_retired() || accepted.len() < waiting.len() {
        let all = shard.poll();
        accepted.extend(all.iter().filter_map(|ready| match ready {
            Ready::Accepted { slot, .. } => Some(*slot),
            Ready::Readable(_) | Ready::Writable(_) => None,
        }));
    }
    let late = TcpStream::connect(earlier.peer_addr().unwrap());
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    for &slot in &accepted {
        assert_eq!(shard.net.send(slot, b"welcome"), Sent::Wrote(7));
    }
    waiting.iter_mut().for_each(|client| assert_eq!(read_exactly(client, 7), b"welcome"));
    earlier.write_all(b"still here").unwrap();
    shard.until(Ready::Readable(Slot(0)));
    shard.net.accepting(true);
    shard.net.accepting(false);
}

fn who_comes_to_the_shards_own_port_is_told_apart<N: Testable>() {
    let mut shard = Shard::<N>::with_own();
    let clients = [shard.connect_own(), shard.connect(), shard.connect_own()];
    let peers = clients.each_ref().map(|client| client.local_addr().unwrap());
    let mut told = Vec::new();
    while told.len() < clients.len() {
        told.extend(shard.poll().into_iter().filter_map(|ready| match ready {
            Ready::Accepted { slot, peer, own, .. } => Some((peer, own, slot)),
            Ready::Readable(_) | Ready::Writable(_) => None,
        }));
    }
    for (mut client, (peer, own)) in
        clients.into_iter().zip(peers.into_iter().zip([true, false, true]))
    {
        let slot = told.iter().find(|told| (told.0, told.1) == (peer, own)).unwrap().2;
        assert_eq!(shard.net.send(slot, b"welcome"), Sent::Wrote(7));
        assert_eq!(read_exactly(&mut client, 7), b"welcome");
    }
}

fn both_listeners_are_switched_off_and_on<N: Testable>() {
    let mut shard = Shard::<N>::with_own();
    let (sentinel, _) = shard.sentinel();
    shard.net.accepting(false);
    let clients = [shard.connect(), shard.connect_own()];
    let seen = shard.passes_by();
    assert!(seen.iter().all(|ready| *ready == Ready::Readable(sentinel)), "{seen:?}");
    shard.net.accepting(true);
    let mut waiting: BTreeSet<_> = clients.iter().map(|it| it.local_addr().unwrap()).collect();
    while !waiting.is_empty() {
        for ready in shard.poll() {
            if let Ready::Accepted { peer, .. } = ready {
                assert!(waiting.remove(&peer));
            }
        }
    }
}

fn both_retired_listeners_take_who_waits_and_are_then_closed<N: Testable>() {
    let mut shard = Shard::<N>::with_own();
    let mut waiting: Vec<_> =
        (0..50).flat_map(|_| [shard.connect(), shard.connect_own()]).collect();
    shard.net.retire();
    let (mut own, mut shared) = (0, 0);
    while !shard.net.is_retired() || own + shared < waiting.len() {
        for ready in shard.poll() {
            if let Ready::Accepted { slot, own: is_own, .. } = ready {
                assert_eq!(shard.net.send(slot, b"welcome"), Sent::Wrote(7));
                *if is_own { &mut own } else { &mut shared } += 1;
            }
        }
    }
    assert_eq!((own, shared), (50, 50));
    waiting.iter_mut().for_each(|client| assert_eq!(read_exactly(client, 7), b"welcome"));
    for client in &waiting[..2] {
        let late = TcpStream::connect(client.peer_addr().unwrap());
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

fn a_connection_that_cannot_be_watched_is_told_as_lost<N: Testable>() {
    let Some(unwatchable) = shard::unwatchable() else { return };
    let mut shard = Shard::<N>::new();
    shard.net.adopt(Slot(0), unwatchable);
    shard.until(Ready::Readable(Slot(0)));
    shard.net.interest(Slot(0), false, false);
    assert!(!shard.poll_now().contains(&Ready::Readable(Slot(0))));
    let error = shard.net.recv(Slot(0), &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    let (other, _client) = shard.accept();
    assert_eq!(other, Slot(1), "the slot is in use until it is released");
    assert!(shard.net.release(Slot(0)).is_none());
    let (next, _client) = shard.accept();
    assert_eq!(next, Slot(0));
    assert_eq!(shard.of_slot(next), [], "nothing is told of the one before");
}

fn a_free_slot_answers_that_nobody_is_there<N: Testable>() {
    let mut shard = Shard::<N>::new();
    shard.sentinel();
    let (slot, _client) = shard.accept();
    drop(shard.net.release(slot));
    for free in [slot, Slot(77)] {
        shard.net.interest(free, true, true);
        shard.net.shutdown(free);
        assert_eq!(shard.net.send(free, b"?"), Sent::Broken);
        assert_eq!(shard.net.send_parts(free, &[Part::Bytes(b"?")]), Sent::Broken);
        let error = shard.net.recv(free, &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(shard.net.release(free).is_none());
        assert_eq!(shard.of_slot(free), []);
    }
}

fn ten_thousand_rounds_lose_no_wake_up<N: Testable>() {
    const ROUNDS: usize = 10_000;
    let mut shard = Shard::<N>::new();
    let (slots, mut clients): (Vec<Slot>, Vec<TcpStream>) = (0..4).map(|_| shard.accept()).unzip();
    let player = thread::spawn(move || {
        for round in 0..ROUNDS {
            for client in &mut clients {
                client.write_all(&[round as u8]).unwrap();
            }
            for client in &mut clients {
                assert_eq!(read_exactly(client, 1), [round as u8]);
            }
        }
    });
    let mut echoed = 0;
    while echoed < ROUNDS * slots.len() {
        for ready in shard.poll() {
            let Ready::Readable(slot) = ready else { panic!("nothing else happens: {ready:?}") };
            let bytes = shard.drain(slot);
            echoed += bytes.len();
            if !bytes.is_empty() {
                assert_eq!(shard.net.send(slot, &bytes), Sent::Wrote(bytes.len()));
            }
        }
    }
    player.join().unwrap();
}

fn an_idle_shard_sleeps_whatever_its_connections_are_in<N: Testable>() {
    let mut shard = Shard::<N>::new();
    let _quiet = shard.accept();
    let (half_closed, paused_at_end) = (shard.accept(), shard.accept());
    let (paused_with_bytes, paused_and_reset) = (shard.accept(), shard.accept());
    let (full, both_closed) = (shard.accept(), shard.accept());
    shard.net.shutdown(half_closed.0);
    for (slot, _) in [&paused_at_end, &paused_with_bytes, &paused_and_reset, &both_closed] {
        shard.net.interest(*slot, false, false);
    }
    paused_at_end.1.shutdown(Shutdown::Write).unwrap();
    (&paused_with_bytes.1).write_all(b"unread").unwrap();
    reset(paused_and_reset.1);
    shard.net.shutdown(both_closed.0);
    both_closed.1.shutdown(Shutdown::Write).unwrap();
    shard.send_until_blocked(full.0, &pattern(8 << 20));
    shard.net.interest(full.0, true, true);
    shard.net.accepting(false);
    let _waiting = shard.connect();

    // What happened above may wake it a few times each. One that spins is woken without end.
    shard.until_asleep(Duration::from_millis(100), 64);

    shard.net.interest(paused_and_reset.0, true, false);
    shard.until(Ready::Readable(paused_and_reset.0));
    assert!(shard.net.recv(paused_and_reset.0, &mut [0; 8]).is_err());
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

fn read_exactly(client: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut seen = vec![0; len];
    client.read_exact(&mut seen).unwrap();
    seen
}

fn read_to_end_in_thread(mut client: TcpStream) -> thread::JoinHandle<Vec<u8>> {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::spawn(move || {
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).unwrap();
        seen
    })
}

fn reset(client: TcpStream) {
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
}
