//! Each deliberate fault is found by its world, on a seed on which Weir without it is clean.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, thread};

use sim::mutants::{Entry, Finding, SEEDS_MAX, all, find};

/// What became of the search for each fault, side by side on all cores.
fn findings() -> Vec<(Entry, Option<Finding>)> {
    let (entries, next, found) = (all(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let search = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            let finding = find(entry.mutant, SEEDS_MAX);
            say(entry, finding.as_ref());
            found.lock().expect("nobody panics with it").push((*entry, finding));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(search)));
    });
    found.into_inner().expect("nobody panics with it")
}

#[expect(clippy::print_stdout, reason = "a long search says how far it is")]
fn say(entry: &Entry, finding: Option<&Finding>) {
    let Entry { mutant, world, promise } = entry;
    let name = mutant.name();
    match finding {
        Some(Finding { seed, what, .. }) => {
            println!("{name}: {world}, promise {promise}: seed {seed}: {what}");
        }
        None => println!("{name}: {world}, promise {promise}: not within {SEEDS_MAX} seeds"),
    }
}

#[cfg_attr(not(debug_assertions), ignore = "a release build has no faults: `cargo xtask sim`")]
#[test]
fn every_deliberate_fault_is_found() {
    // Some faults break an invariant of the hub's, which says so once for each.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let findings = panic::catch_unwind(findings);
    panic::set_hook(loud);
    let findings = findings.unwrap_or_else(|panic| panic::resume_unwind(panic));
    let missed = findings.iter().filter(|(_, finding)| finding.is_none());
    let missed: Vec<_> = missed.map(|(entry, _)| entry.mutant.name()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
