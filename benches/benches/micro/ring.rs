//! What does it cost to pass something from worker to worker?
//!
//! Items are as large as what a home tells a shard. Sketch: on one thread an item is written and
//! read where it lies, 2 ns; between two, a cache line or more goes over for a batch and comes
//! back, 100 ns, and the items of a batch share lines, 5 ns each. A channel of the standard
//! library's beside it has a stamp in each slot, since it may have many senders.

use std::hint::{black_box, spin_loop};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use criterion::Criterion;
use gateway_core::envelope::Delivery;
use gateway_registry::ring::{Receiver, Sender, ring};

use crate::counted::Counted;

/// Items that fit.
const CAPACITY: usize = 1024;

/// Items that pass one after the other.
const BATCHES: [usize; 2] = [1, 64];

/// Looks at an empty ring before another thread may have the core.
const LOOKS_MAX: u32 = 1000;

type Item = [u8; size_of::<Delivery>()];

const ITEM: Item = [0; size_of::<Item>()];
const LAST: Item = [1; size_of::<Item>()];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = Counted::new(criterion, "ring");
    for batch in BATCHES {
        let name = |what: &str| format!("{what}, {batch} on one thread");
        group.operation(&name("weir"), batch, || on_one_thread(ring(CAPACITY), batch));
        group.operation(&name("sync_channel"), batch, || {
            on_one_thread(mpsc::sync_channel(CAPACITY), batch)
        });
    }
    for batch in BATCHES {
        let name = |what: &str| format!("{what}, {batch} to another thread and back");
        group.operation(&name("weir"), batch, || {
            there_and_back(ring(CAPACITY), ring(CAPACITY), batch)
        });
        group.operation(&name("sync_channel"), batch, || {
            let channel = || mpsc::sync_channel(CAPACITY);
            there_and_back(channel(), channel(), batch)
        });
    }
    group.finish();
}

/// A batch goes in, then comes out.
fn on_one_thread(ends: (impl Offer, impl Look), batch: usize) -> impl FnMut() {
    let (mut into, mut from) = ends;
    move || {
        for _ in 0..batch {
            assert!(into.offer(black_box(ITEM)), "there is room");
        }
        for _ in 0..batch {
            black_box(from.look().expect("it was sent"));
        }
    }
}

/// A batch goes to another thread, which sends back item by item what it hears.
fn there_and_back(
    there: (impl Offer, impl Look + Send + 'static),
    back: (impl Offer + Send + 'static, impl Look),
    batch: usize,
) -> impl FnMut() {
    let ((into, from), (echo, mut heard)) = (there, back);
    let mut other = Other { into, thread: Some(thread::spawn(move || repeat(from, echo))) };
    move || {
        (0..batch).for_each(|_| send(&mut other.into, black_box(ITEM)));
        (0..batch).for_each(|_| {
            black_box(receive(&mut heard));
        });
    }
}

/// The other thread, which ends with this.
struct Other<I: Offer> {
    into: I,
    thread: Option<JoinHandle<()>>,
}

impl<I: Offer> Drop for Other<I> {
    fn drop(&mut self) {
        send(&mut self.into, LAST);
        let ended = self.thread.take().expect("it ends once").join();
        assert!(ended.is_ok() || thread::panicking(), "the other thread has failed");
    }
}

fn repeat(mut from: impl Look, mut into: impl Offer) {
    loop {
        let item = receive(&mut from);
        if item == LAST {
            return;
        }
        send(&mut into, item);
    }
}

fn send(into: &mut impl Offer, item: Item) {
    patiently(|| into.offer(item).then_some(()));
}

fn receive(from: &mut impl Look) -> Item {
    patiently(|| from.look())
}

/// Asks until there is an answer; the machine may have fewer cores than threads.
fn patiently<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..LOOKS_MAX {
            if let Some(answer) = ask() {
                return answer;
            }
            spin_loop();
        }
        thread::yield_now();
    }
}

/// An end that sends.
trait Offer {
    /// Whether there was room.
    fn offer(&mut self, item: Item) -> bool;
}

/// An end that receives.
trait Look {
    fn look(&mut self) -> Option<Item>;
}

impl Offer for Sender<Item> {
    fn offer(&mut self, item: Item) -> bool {
        self.send(item).is_ok()
    }
}

impl Look for Receiver<Item> {
    fn look(&mut self) -> Option<Item> {
        self.receive()
    }
}

impl Offer for SyncSender<Item> {
    fn offer(&mut self, item: Item) -> bool {
        self.try_send(item).is_ok()
    }
}

impl Look for mpsc::Receiver<Item> {
    fn look(&mut self) -> Option<Item> {
        self.try_recv().ok()
    }
}
