//! What a trace covers, and what it keeps.

use std::collections::BTreeSet;

use super::*;
use crate::model::{ClientId, Clients, ModelNet};
use crate::testing::{poll_once, receive_all, send_all};

const ALL: TraceOptions = TraceOptions { lines_max: 1000, keep_facts: true };

/// A traced network with one client, accepted in slot 0.
fn one_client(options: TraceOptions) -> (Traced<ModelNet>, Trace, Clients, ClientId) {
    let net = ModelNet::new(1);
    let clients = net.clients();
    let client = clients.connect();
    let (mut net, trace) = Traced::new(net, options);
    assert_eq!(poll_once(&mut net).len(), 1);
    (net, trace, clients, client)
}

/// The hash of a run in which the server sends and receives these bytes.
fn hash_of(sent: &[u8], received: &[u8]) -> u64 {
    let (mut net, trace, clients, client) = one_client(TraceOptions::default());
    send_all(&mut net, Slot(0), sent);
    clients.write(client, received);
    poll_once(&mut net);
    assert_eq!(receive_all(&mut net, Slot(0)).0, received);
    trace.hash()
}

#[test]
fn the_hash_covers_what_passes_both_ways() {
    let plain = hash_of(b"to the client", b"to the server");
    assert_eq!(plain, hash_of(b"to the client", b"to the server"));
    assert_ne!(plain, hash_of(b"to the Client", b"to the server"));
    assert_ne!(plain, hash_of(b"to the client", b"to the Server"));
    assert_ne!(plain, hash_of(b"to the client ", b"to the server"));
}

#[test]
fn every_call_changes_the_hash() {
    let (mut net, trace, clients, client) = one_client(ALL);
    let mut before = trace.hash();
    let mut changed = |what: &str, trace: &Trace| {
        assert_ne!(trace.hash(), before, "{what}: {:#?}", trace.lines());
        before = trace.hash();
    };
    let id = net.net.extents().insert(b"stored");
    let hidden = Part::Stored { id, range: 0..1 };

    assert!(matches!(net.send(Slot(9), b"nobody"), Sent::Broken));
    changed("broken", &trace);
    send_all(&mut net, Slot(0), &[1; 20_000]);
    changed("sent", &trace);
    assert!(matches!(net.send(Slot(0), b"full"), Sent::Blocked));
    changed("blocked", &trace);
    assert_eq!(clients.read(client, 20_000).len(), 16 * 1024);
    assert!(matches!(net.send_parts(Slot(0), &[hidden, Part::Bytes(b"x")]), Sent::Wrote(_)));
    changed("parts", &trace);
    net.interest(Slot(0), true, true);
    changed("interest", &trace);
    assert_eq!(poll_once(&mut net), [Ready::Writable(Slot(0))]);
    changed("writable", &trace);
    assert!(net.recv(Slot(0), &mut [0; 8]).is_err());
    changed("nothing to read", &trace);
    net.accepting(true);
    changed("accepting", &trace);
    net.shutdown(Slot(0));
    changed("shutdown", &trace);
    let socket = net.release(Slot(0)).unwrap();
    changed("release", &trace);
    net.adopt(Slot(1), socket);
    changed("adopt", &trace);
    clients.finish(client);
    assert_eq!(poll_once(&mut net), [Ready::Readable(Slot(1))]);
    changed("readable", &trace);
    assert_eq!(net.recv(Slot(1), &mut [0; 8]).unwrap(), 0);
    changed("end", &trace);
    assert_eq!(poll_once(&mut net), [Ready::Readable(Slot(1))]);
    net.interest(Slot(1), false, false);
    changed("level-triggered", &trace);
    assert_eq!(poll_once(&mut net), []);
    assert_eq!(trace.hash(), before, "a poll that finds nothing leaves no trace");
}

/// Answers every send in the same way.
struct Fixed(Sent);

impl Transmit for Fixed {
    fn send(&mut self, _: Slot, _: &[u8]) -> Sent {
        self.0
    }

    fn send_parts(&mut self, _: Slot, _: &[Part<'_>]) -> Sent {
        self.0
    }
}

#[test]
fn the_hash_covers_what_became_of_the_bytes() {
    let mut hashes = BTreeSet::new();
    for sent in [Sent::Wrote(1), Sent::Wrote(2), Sent::Blocked, Sent::Broken] {
        let (mut net, trace) = Traced::new(Fixed(sent), TraceOptions::default());
        net.send(Slot(0), b"bytes");
        hashes.insert(trace.hash());
        let (mut net, trace) = Traced::new(Fixed(sent), TraceOptions::default());
        net.send_parts(Slot(0), &[Part::Bytes(b"by"), Part::Bytes(b"tes")]);
        hashes.insert(trace.hash());
    }
    assert_eq!(hashes.len(), 8);
}

#[test]
fn the_lines_are_the_last_events() {
    let options = TraceOptions { lines_max: 3, keep_facts: false };
    let (mut net, trace, clients, client) = one_client(options);
    clients.write(client, b"ab");
    poll_once(&mut net);
    receive_all(&mut net, Slot(0)).1.unwrap_err();
    net.shutdown(Slot(0));
    net.release(Slot(0));

    let lines = trace.lines();
    assert_eq!(lines, ["recv 0: WouldBlock of 4096", "shutdown 0", "release 0: true"]);
    assert!(trace.events() >= 6, "accepted, readable, received, and these three");
    assert_eq!(trace.facts(), []);
}

#[test]
fn received_bytes_are_kept_by_connection_and_in_order() {
    let (mut net, trace, clients, first) = one_client(ALL);
    clients.write(first, b"first");
    clients.finish(first);
    receive_all(&mut net, Slot(0)).1.unwrap();
    drop(net.release(Slot(0)));
    poll_once(&mut net);

    let second = clients.connect();
    poll_once(&mut net);
    clients.write(second, b"second");
    receive_all(&mut net, Slot(0)).1.unwrap_err();

    let received = trace.facts().into_iter().filter_map(|fact| {
        let Fact::Received { connection, bytes } = fact else { return None };
        Some((connection.generation, bytes))
    });
    let (ends, chunks): (Vec<_>, Vec<_>) = received.partition(|(_, bytes)| bytes.is_empty());
    assert_eq!(ends, [(1, vec![])]);
    let of = |which| {
        let of_this = chunks.iter().filter(move |(generation, _)| *generation == which);
        of_this.flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!((of(1), of(2)), (b"first".to_vec(), b"second".to_vec()));
    assert!(chunks.is_sorted_by_key(|(generation, _)| *generation));
}

#[test]
fn a_tally_counts_what_a_window_and_a_store_did() {
    let (mut net, trace, clients, client) = one_client(ALL);
    let id = net.net.extents().insert(&[7; 20_000]);
    let stored = [Part::Stored { id, range: 0..20_000 }, Part::Bytes(b"x")];
    while net.send_parts(Slot(0), &stored) != Sent::Blocked {}
    let tally = trace.tally();
    assert_eq!(tally.blocked_sends, 1);
    assert!(tally.short_sends >= 1 && tally.stored_parts >= 1, "{tally:?}");
    let connection = ConnectionId { slot: Slot(0), generation: 1 };
    assert_eq!(trace.facts().last(), Some(&Fact::Blocked { connection }));
    assert_eq!(clients.unread(client), 16 * 1024);
}
