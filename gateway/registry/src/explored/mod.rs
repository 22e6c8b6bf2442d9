//! Each structure under every interleaving of its threads that loom finds within a bound.
//!
//! The bound is a number of preemptions: how often loom takes the processor from a thread that
//! could go on. Two were seen to miss a lost wake-up; without a bound everything is explored.
//! Beside each promise stands a twin that breaks one rule, and that must be found out.
//!
//! What threads share is explored here, each in the file of its name: rings, doorbells, mailboxes,
//! the mesh (rings, marks, refusals and doorbells together), the census and its mirror, rooms and
//! their homes, standings, the ending of a node, what is shown to shards (the guard's table), and
//! the load of orders. The rest need not be:
//!
//! | what | why not |
//! | --- | --- |
//! | sources, routes' counts, shards' tallies, probes | a lock around all of it |
//! | the memfd's extents | a lock; the last `Body` frees one, which std's `Arc` knows |
//! | steering's parts, listeners, wakes of the portable net | a lock each |
//! | records of who serves | hints: who chooses by them asks standings and census again |
//! | readiness, draining, changes, how a shard is removed | a flag or a count each, on its own |
//! | gauges, routes' cells, bytes between NUMA nodes | one writer each; nobody decides by them |
//! | depths of rings | shown to people; both ends of a ring only move on |
//! | generations of slots | compared by the thread that gives them out; rings bring them |

mod census;
mod doorbell;
mod ending;
mod load;
mod mailbox;
mod mesh;
mod ring;
mod rooms;
mod shown;
mod standings;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use loom::model::Builder;
use loom::sync::Notify;

/// Everything is explored.
const UNBOUNDED: Option<usize> = None;

/// Explores a model that must hold, over at least so many interleavings: fewer would mean that
/// its threads hardly meet.
fn holds(
    name: &str,
    preemptions_max: Option<usize>,
    interleavings_min: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    let explored = Arc::new(AtomicUsize::new(0));
    check(preemptions_max, &explored, model);
    let explored = explored.load(Ordering::Relaxed);
    let bound = preemptions_max.map_or_else(|| "no bound".into(), |max| format!("bound {max}"));
    say(&format!("{name}: holds in {explored} interleavings, {bound}"));
    assert!(explored >= interleavings_min, "{name}: {explored} interleavings are too few");
}

/// Explores a twin that must fail with this complaint.
fn is_found_out(
    name: &str,
    preemptions_max: Option<usize>,
    complaint: &str,
    twin: impl Fn() + Send + Sync + 'static,
) {
    let explored = Arc::new(AtomicUsize::new(0));
    let found = catch_unwind(AssertUnwindSafe(|| check(preemptions_max, &explored, twin)));
    let explored = explored.load(Ordering::Relaxed);
    let panic = found.expect_err("the twin breaks a rule");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(text.contains(complaint), "{name} failed otherwise: {text}");
    say(&format!("{name}: found out in interleaving {explored}"));
}

fn check(
    preemptions_max: Option<usize>,
    explored: &Arc<AtomicUsize>,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions_max;
    let explored = Arc::clone(explored);
    builder.check(move || {
        explored.fetch_add(1, Ordering::Relaxed);
        model();
    });
}

/// Past the test harness, which would keep it to itself.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

/// A thread that sleeps until its waker is called; for ever if it never is, which loom reports.
struct Sleeper {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

impl Sleeper {
    fn new() -> Self {
        let bell = Arc::new(Bell(Notify::new()));
        Self { waker: Arc::clone(&bell).into(), bell }
    }

    fn sleep(&self) {
        self.bell.0.wait();
    }
}
