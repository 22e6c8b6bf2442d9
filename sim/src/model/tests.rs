//! What the model network promises, told by its clients.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use gateway::net::{Batch, Net, Ready};
use gateway_core::slot::Slot;
use gateway_core::transmit::{Part, Sent, Transmit};

use super::*;
use crate::testing::{Echo, poll_once, receive_all, send_all};
use crate::traced::{Trace, TraceOptions, Traced};

/// A network with one client, accepted in slot 0.
fn one_client(seed: u64, windows: Windows) -> (ModelNet, Clients, ClientId) {
    let mut net = ModelNet::new(seed);
    let clients = net.clients();
    let client = clients.connect_with(windows);
    assert!(matches!(poll_once(&mut net)[..], [Ready::Accepted { slot: Slot(0), .. }]));
    (net, clients, client)
}

fn narrow(to_server: usize, to_client: usize) -> Windows {
    Windows { to_server, to_client }
}

#[test]
fn a_full_window_blocks_until_the_client_reads() {
    let (mut net, clients, client) = one_client(1, narrow(16, 10));
    net.interest(Slot(0), true, true);
    assert_eq!(poll_once(&mut net), [Ready::Writable(Slot(0))]);

    assert_eq!(send_all(&mut net, Slot(0), &[7; 100]), 10);
    assert_eq!(net.send(Slot(0), &[7]), Sent::Blocked);
    assert_eq!(poll_once(&mut net), []);

    assert_eq!(clients.read(client, 4).len(), 4);
    assert_eq!(poll_once(&mut net), [Ready::Writable(Slot(0))]);
    assert_eq!(send_all(&mut net, Slot(0), &[7; 100]), 4);
}

#[test]
fn a_server_that_does_not_read_holds_the_client_up() {
    let (mut net, clients, client) = one_client(1, narrow(8, 8));
    assert_eq!(clients.write(client, b"0123456789"), 8);
    assert_eq!(clients.write(client, b"89"), 0);

    let mut buf = [0; 3];
    let count = net.recv(Slot(0), &mut buf).unwrap();
    assert_eq!(clients.write(client, b"89abcdef"), count);
}

#[test]
fn the_seed_splits_what_would_have_fitted() {
    let mut sent = BTreeSet::new();
    let mut received = BTreeSet::new();
    for seed in 0..100 {
        let (mut net, clients, client) = one_client(seed, Windows::default());
        let Sent::Wrote(count) = net.send(Slot(0), &[1; 100]) else { panic!("there was room") };
        sent.insert(count);
        clients.write(client, &[2; 100]);
        received.insert(net.recv(Slot(0), &mut [0; 100]).unwrap());
    }
    for sizes in [sent, received] {
        assert!(sizes.contains(&1) && sizes.contains(&100) && sizes.len() > 20, "{sizes:?}");
    }
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    clients.write(client, b"question");
    clients.finish(client);
    let (question, end) = receive_all(&mut net, Slot(0));
    assert_eq!(question, b"question");
    assert!(end.is_ok());

    assert_eq!(send_all(&mut net, Slot(0), b"answer"), 6);
    net.shutdown(Slot(0));
    assert_eq!(net.send(Slot(0), b"more"), Sent::Broken);
    assert_eq!(clients.seen(client), Seen::Open);
    assert_eq!(clients.read(client, 100), b"answer");
    assert_eq!(clients.seen(client), Seen::Ended);
}

#[test]
fn the_end_of_a_stream_is_told_until_interest_is_taken_back() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    clients.finish(client);
    for _ in 0..3 {
        assert_eq!(poll_once(&mut net), [Ready::Readable(Slot(0))]);
        assert_eq!(net.recv(Slot(0), &mut [0; 8]).unwrap(), 0);
    }
    net.interest(Slot(0), false, false);
    assert_eq!(poll_once(&mut net), []);
}

#[test]
fn a_paused_publisher_costs_no_wake_ups() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    net.interest(Slot(0), false, false);
    clients.write(client, b"unasked");
    assert_eq!(poll_once(&mut net), []);
    net.interest(Slot(0), true, false);
    assert_eq!(poll_once(&mut net), [Ready::Readable(Slot(0))]);
}

#[test]
fn a_reset_is_read_after_what_came_before_it() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    net.interest(Slot(0), true, true);
    clients.write(client, b"last words");
    send_all(&mut net, Slot(0), b"never read");
    clients.reset(client);

    assert_eq!(clients.seen(client), Seen::Reset);
    assert_eq!(clients.read(client, 100), b"");
    let ready: BTreeSet<_> = poll_once(&mut net).iter().map(|ready| format!("{ready:?}")).collect();
    assert_eq!(ready.len(), 2, "an error is news for reader and writer: {ready:?}");
    assert_eq!(net.send(Slot(0), b"x"), Sent::Broken);
    let (words, end) = receive_all(&mut net, Slot(0));
    assert_eq!(words, b"last words");
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn closing_delivers_what_was_written() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    send_all(&mut net, Slot(0), b"goodbye");
    drop(net.release(Slot(0)));
    assert_eq!(clients.read(client, 100), b"goodbye");
    assert_eq!(clients.seen(client), Seen::Ended);
    assert_eq!(clients.write(client, b"too late"), 0);
    assert_eq!(clients.seen(client), Seen::Reset);
}

#[test]
fn closing_with_bytes_unread_resets_and_loses_what_was_written() {
    let (mut net, clients, client) = one_client(1, Windows::default());
    clients.write(client, b"unread");
    send_all(&mut net, Slot(0), b"goodbye");
    drop(net.release(Slot(0)));
    assert_eq!(clients.seen(client), Seen::Reset);
    assert_eq!(clients.read(client, 100), b"");
}

#[test]
fn a_released_slot_meets_no_stranger_in_the_next_poll() {
    let mut net = ModelNet::new(1);
    let clients = net.clients();
    let _ = (clients.connect(), clients.connect());
    assert_eq!(poll_once(&mut net).len(), 2);

    drop(net.release(Slot(0)));
    let _ = clients.connect();
    assert!(matches!(poll_once(&mut net)[..], [Ready::Accepted { slot: Slot(2), .. }]));
    let _ = clients.connect();
    assert!(matches!(poll_once(&mut net)[..], [Ready::Accepted { slot: Slot(0), .. }]));
}

#[test]
fn a_slot_not_in_use_answers_without_effect() {
    let mut net = ModelNet::new(1);
    assert_eq!(net.send(Slot(3), b"x"), Sent::Broken);
    assert_eq!(net.recv(Slot(3), &mut [0; 1]).unwrap_err().kind(), ErrorKind::NotConnected);
    net.interest(Slot(3), true, true);
    net.shutdown(Slot(3));
    assert!(net.release(Slot(3)).is_none());
    assert_eq!(poll_once(&mut net), []);
}

#[test]
fn who_is_not_accepted_waits() {
    let mut net = ModelNet::new(1);
    let clients = net.clients();
    net.accepting(false);
    let client = clients.connect();
    assert_eq!(clients.write(client, b"early"), 5);
    assert_eq!(poll_once(&mut net), []);

    net.accepting(true);
    assert!(matches!(poll_once(&mut net)[..], [Ready::Accepted { slot: Slot(0), .. }]));
    assert_eq!(poll_once(&mut net), [Ready::Readable(Slot(0))]);
    assert_eq!(receive_all(&mut net, Slot(0)).0, b"early");
}

#[test]
fn a_connection_moves_with_all_that_is_in_it() {
    let (mut from, clients, client) = one_client(1, Windows::default());
    let mut to = ModelNet::new(2);
    clients.write(client, b"before");
    send_all(&mut from, Slot(0), b"from here ");

    to.adopt(Slot(5), from.release(Slot(0)).unwrap());
    clients.write(client, b" after");
    assert_eq!(poll_once(&mut from), []);
    assert_eq!(poll_once(&mut to), [Ready::Readable(Slot(5))]);
    assert_eq!(receive_all(&mut to, Slot(5)).0, b"before after");
    send_all(&mut to, Slot(5), b"from there");
    assert_eq!(clients.read(client, 100), b"from here from there");
}

#[test]
fn parts_are_one_run_wherever_their_bytes_are() {
    let mut seen_short = false;
    for seed in 0..50 {
        let (mut net, clients, client) = one_client(seed, Windows::default());
        let id = net.extents().insert(b"0123456789");
        let stored = Part::Stored { id, range: 2..6 };
        let parts = [Part::Bytes(b"head "), stored, Part::Bytes(b" tail")];
        let Sent::Wrote(count) = net.send_parts(Slot(0), &parts) else { panic!("there was room") };
        assert_eq!(clients.read(client, 100), b"head 2345 tail"[..count]);
        seen_short |= count < 14;
    }
    assert!(seen_short, "a run of parts is split like any other");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether `act`, done while the network waits for something to happen, wakes its task.
fn wakes(net: &mut ModelNet, act: impl FnOnce()) -> bool {
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut batch = Batch::default();
    let polled = net.poll(&mut Context::from_waker(&waker), &mut batch);
    assert!(polled.is_pending(), "{:?}", batch.ready);
    act();
    counter.0.load(Ordering::Relaxed) > 0
}

#[test]
fn whatever_happens_to_an_idle_network_wakes_its_task() {
    let (mut net, clients, client) = one_client(1, narrow(100, 10));
    assert!(!wakes(&mut net, || assert_eq!(clients.seen(client), Seen::Open)));
    assert!(wakes(&mut net, || assert_eq!(clients.write(client, b"x"), 1)));
    receive_all(&mut net, Slot(0)).1.unwrap_err();

    send_all(&mut net, Slot(0), &[0; 100]);
    net.interest(Slot(0), true, true);
    assert!(wakes(&mut net, || assert_eq!(clients.read(client, 1), [0])));

    net.interest(Slot(0), true, false);
    assert!(wakes(&mut net, || assert_eq!(clients.connect(), ClientId(1))));
    poll_once(&mut net);

    assert!(wakes(&mut net, || clients.finish(client)));
    net.interest(Slot(0), false, false);
    assert!(wakes(&mut net, || clients.reset(client)));
}

/// Some clients write and read in any order until each has its own bytes back.
fn echo_run(seed: u64) -> (Trace, Echo) {
    let net = ModelNet::new(seed);
    let clients = net.clients();
    let (mut net, trace) = Traced::new(net, TraceOptions { lines_max: 50, keep_facts: true });
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut echo = Echo::default();
    let mut batch = Batch::default();
    let ids = [narrow(16, 16), narrow(1000, 100), Windows::default()]
        .map(|windows| clients.connect_with(windows));
    let texts = ids.map(|_| (0..5000).map(|_| rng.next_u64() as u8).collect::<Vec<u8>>());
    let mut written = [0; 3];
    let mut answers = [const { Vec::new() }; 3];

    for _ in 0..1_000_000 {
        let which = rng.below(3);
        let (client, text) = (ids[which], &texts[which]);
        match rng.below(3) {
            0 if written[which] < text.len() => {
                written[which] += clients.write(client, &text[written[which]..]);
                if written[which] == text.len() {
                    clients.finish(client);
                }
            }
            1 => answers[which].extend(clients.read(client, 1 + rng.below(2000))),
            _ => {
                let _ = net.poll(&mut Context::from_waker(Waker::noop()), &mut batch);
                echo.turn(&mut net, &mut batch);
            }
        }
        if ids.iter().all(|&client| clients.seen(client) == Seen::Ended) {
            assert_eq!(answers, texts, "seed {seed}");
            return (trace, echo);
        }
    }
    panic!("seed {seed} never came to an end: {:#?}", trace.lines());
}

#[test]
fn no_split_loses_or_reorders_a_byte() {
    let mut hashes = BTreeSet::new();
    for seed in 0..200 {
        let (trace, echo) = echo_run(seed);
        assert_eq!((echo.finished, echo.broken), (3, 0), "seed {seed}");
        hashes.insert(trace.hash());
    }
    assert_eq!(hashes.len(), 200, "every seed is a schedule of its own");
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..20 {
        let (first, again) = (echo_run(seed).0, echo_run(seed).0);
        assert_eq!((first.hash(), first.events()), (again.hash(), again.events()), "seed {seed}");
    }
}

#[test]
fn readiness_comes_in_the_order_of_the_seed() {
    let order = |seed| {
        let mut net = ModelNet::new(seed);
        let clients = net.clients();
        let ids = [(); 4].map(|()| clients.connect());
        poll_once(&mut net);
        for client in ids {
            clients.write(client, b"x");
        }
        poll_once(&mut net).iter().map(|ready| format!("{ready:?}")).collect::<Vec<_>>()
    };
    let orders: BTreeSet<_> = (0..200).map(order).collect();
    assert_eq!(orders.len(), 24);
    assert_eq!(order(7), order(7));
}
