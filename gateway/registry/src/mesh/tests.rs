//! What the mesh promises, on one thread and on several.

use std::task::Waker;
use std::thread;

use super::*;

type Numbers = Port<u32, u32>;
type Got = Vec<(u16, Item<u32, u32>)>;

fn ports(workers: usize, commands: usize, deliveries: usize) -> Vec<Numbers> {
    Mesh::new(workers, Capacities { commands, deliveries }).into_ports()
}

fn id(worker: u16) -> WorkerId {
    WorkerId(worker)
}

/// One call; what came, and whether there may be more.
fn receive(port: &mut Numbers, max: usize) -> (Got, bool) {
    let mut got = Vec::new();
    let more = port.receive(max, |from, item| got.push((from.0, item)));
    (got, more)
}

fn all(port: &mut Numbers) -> Got {
    let (got, more) = receive(port, 1_000);
    assert!(!more);
    got
}

/// Whether the worker may sleep; then it is awake again.
fn is_quiet(port: &Numbers) -> bool {
    let sleeps = port.doorbell().sleep(Waker::noop());
    port.doorbell().awake();
    sleeps
}

#[test]
fn items_arrive_after_the_doorbell_and_in_order() {
    let mut ports = ports(2, 4, 4);
    let (left, right) = ports.split_at_mut(1);
    (0..3).for_each(|n| left[0].command(id(1), n).unwrap());
    assert!(is_quiet(&right[0]));
    assert!(all(&mut right[0]).is_empty());
    left[0].ring_doorbells();
    assert!(!is_quiet(&right[0]));
    assert_eq!(all(&mut right[0]), [0, 1, 2].map(|n| (0, Item::Command(n))));
    left[0].ring_doorbells();
    assert!(is_quiet(&right[0]), "who was sent nothing is not rung for");
}

#[test]
fn deliveries_go_before_commands() {
    let mut ports = ports(2, 4, 4);
    ports[0].command(id(1), 1).unwrap();
    ports[0].deliver(id(1), 2).unwrap();
    ports[0].ring_doorbells();
    assert_eq!(all(&mut ports[1]), [(0, Item::Delivery(2)), (0, Item::Command(1))]);
}

#[test]
fn a_full_ring_gives_the_item_back_and_says_when_there_is_room() {
    let mut ports = ports(2, 1, 2);
    assert_eq!([1, 2].map(|n| ports[0].command(id(1), n)), [Ok(()), Err(2)]);
    let sent = [1, 2, 3].map(|n| ports[0].deliver(id(1), n));
    assert_eq!(sent, [Ok(()), Ok(()), Err(3)]);
    ports[0].ring_doorbells();
    assert!(is_quiet(&ports[0]));
    assert_eq!(all(&mut ports[1]).len(), 3);
    assert!(!is_quiet(&ports[0]), "there is room");
    assert_eq!(ports[0].command(id(1), 2), Ok(()));
    ports[0].ring_doorbells();
    assert_eq!(all(&mut ports[1]), [(0, Item::Command(2))]);
    assert!(is_quiet(&ports[0]), "nobody was refused");
}

#[test]
fn senders_take_turns() {
    let mut ports = ports(4, 8, 8);
    for sender in [0, 1, 3] {
        (0..8).for_each(|n| ports[sender].command(id(2), n).unwrap());
        ports[sender].ring_doorbells();
    }
    let turns: Vec<_> = (0..6).map(|_| receive(&mut ports[2], 4)).collect();
    let senders: Vec<_> = turns.iter().map(|(got, _)| got[0].0).collect();
    assert_eq!(senders, [0, 1, 3, 0, 1, 3]);
    assert!(turns.iter().all(|(got, _)| got.len() == 4 && got.iter().all(|(n, _)| *n == got[0].0)));
    assert_eq!(receive(&mut ports[2], 4), (Vec::new(), false));
}

#[test]
fn one_that_always_sends_does_not_starve_another() {
    let mut ports = ports(3, 2, 2);
    ports[2].command(id(1), 7).unwrap();
    ports[2].ring_doorbells();
    let mut flood = || {
        while ports[0].command(id(1), 0).is_ok() {}
        ports[0].ring_doorbells();
        receive(&mut ports[1], 2).0
    };
    assert!((0..2).flat_map(|_| flood()).any(|(from, _)| from == 2));
}

#[test]
fn deliveries_without_end_do_not_starve_commands() {
    for max in [1, 2, 5] {
        let mut ports = ports(2, 4, 8);
        (0..4).for_each(|n| ports[0].command(id(1), n).unwrap());
        let mut got = Vec::new();
        for _ in 0..12 {
            while ports[0].deliver(id(1), 0).is_ok() {}
            ports[0].ring_doorbells();
            let (items, more) = receive(&mut ports[1], max);
            assert!(more && items.len() == max);
            got.extend(items);
        }
        got.retain(|(_, item)| matches!(item, Item::Command(_)));
        assert_eq!(got, [0, 1, 2, 3].map(|n| (0, Item::Command(n))));
    }
}

#[test]
fn a_batch_costs_one_wake_up_and_the_silent_nothing() {
    let mut ports = ports(3, 8, 8);
    (0..8).for_each(|n| ports[0].command(id(1), n).unwrap());
    (0..8).for_each(|n| ports[0].deliver(id(1), n).unwrap());
    ports[0].ring_doorbells();
    assert!(is_quiet(&ports[2]) && !is_quiet(&ports[1]));
    let opened = |port: &Numbers| lock(&port.inbox(port.me).new).len();
    assert_eq!([0, 1, 2].map(|worker: usize| opened(&ports[worker])), [0, 2, 0]);
    assert!(ports[2].commands_out.iter().all(Option::is_none));
}

#[test]
fn workers_beyond_one_word_of_bits_are_heard() {
    let mut ports = ports(130, 2, 2);
    for sender in [0, 63, 64, 129] {
        ports[sender].deliver(id(100), 1).unwrap();
        ports[sender].ring_doorbells();
    }
    let senders: Vec<_> = all(&mut ports[100]).into_iter().map(|(from, _)| from).collect();
    assert_eq!(senders, [0, 63, 64, 129]);
    let sent = [1, 2, 3].map(|n| ports[129].command(id(100), n));
    assert_eq!(sent, [Ok(()), Ok(()), Err(3)]);
    ports[129].ring_doorbells();
    assert_eq!(all(&mut ports[100]).len(), 2);
    assert!(!is_quiet(&ports[129]), "it was refused, and there is room");
}

#[test]
#[should_panic(expected = "a worker sends nothing to itself")]
fn a_worker_does_not_speak_to_itself() {
    let _ = ports(2, 1, 1)[1].command(id(1), 0);
}

/// Each of three workers commands the others and is answered, through rings of two.
#[test]
fn threads_lose_and_repeat_nothing() {
    let threads: Vec<_> =
        ports(3, 2, 2).into_iter().map(|port| thread::spawn(move || converse(port))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

const EACH: u32 = 10_000;

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn converse(mut port: Numbers) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let others: Vec<_> = (0..3).map(id).filter(|other| *other != port.worker()).collect();
    let [mut asked, mut answered, mut owed, mut heard] = [[0; 3]; 4];
    let is_done = |answered: &[u32; 3], owed: &[u32; 3], heard: &[u32; 3]| {
        others.iter().all(|to| answered[to.index()] == EACH && heard[to.index()] == EACH)
            && owed == heard
    };
    while !is_done(&answered, &owed, &heard) {
        port.doorbell().awake();
        let more = port.receive(3, |from, item| match item {
            Item::Command(number) => {
                assert_eq!(number, heard[from.index()]);
                heard[from.index()] += 1;
            }
            Item::Delivery(number) => {
                assert_eq!(number, answered[from.index()]);
                answered[from.index()] += 1;
            }
        });
        for &to in &others {
            let at = to.index();
            while owed[at] < heard[at] && port.deliver(to, owed[at]).is_ok() {
                owed[at] += 1;
            }
            while asked[at] < EACH && port.command(to, asked[at]).is_ok() {
                asked[at] += 1;
            }
        }
        port.ring_doorbells();
        if !more && !is_done(&answered, &owed, &heard) && port.doorbell().sleep(&waker) {
            thread::park();
        }
    }
}

#[test]
fn what_waits_for_each_worker_is_seen_from_outside() {
    let mesh = Mesh::new(3, Capacities { commands: 4, deliveries: 4 });
    let (depths, mut ports) = (mesh.depths(), mesh.into_ports());
    assert_eq!(depths.read(), [0, 0, 0]);
    (0..3).for_each(|n| ports[0].command(id(1), n).unwrap());
    ports[0].deliver(id(1), 3).unwrap();
    ports[2].deliver(id(1), 4).unwrap();
    ports[1].command(id(2), 5).unwrap();
    assert_eq!(depths.read(), [0, 5, 1], "whether or not they were rung for");
    ports.iter_mut().for_each(Port::ring_doorbells);
    assert!(receive(&mut ports[1], 2).1);
    assert_eq!(depths.clone().read(), [0, 3, 1]);
    all(&mut ports[1]);
    all(&mut ports[2]);
    assert_eq!(depths.read(), [0, 0, 0]);
}

#[test]
fn who_looks_on_keeps_nothing_alive() {
    let item = Arc::new(());
    let mesh = Mesh::<Arc<()>, ()>::new(2, Capacities { commands: 2, deliveries: 2 });
    let (depths, mut ports) = (mesh.depths(), mesh.into_ports());
    ports[0].command(id(1), Arc::clone(&item)).unwrap();
    assert_eq!(depths.read(), [0, 1]);
    drop(ports);
    assert_eq!((Arc::strong_count(&item), depths.read()), (1, Vec::new()));
}
