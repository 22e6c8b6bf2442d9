//! Each deliberate fault is found by its world, on a seed on which Weir without it is clean.

use std::panic;

use sim::mutants::{Entry, Finding, SEEDS_MAX, all, find};

#[test]
fn every_deliberate_fault_is_found() {
    // Some faults break an invariant of the hub's, which says so once for each.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let search = || all().map(|entry| (entry, find(entry.mutant, SEEDS_MAX)));
    let findings = panic::catch_unwind(search);
    panic::set_hook(loud);
    let findings = findings.unwrap_or_else(|panic| panic::resume_unwind(panic));
    for (Entry { mutant, world, promise }, finding) in &findings {
        let name = mutant.name();
        match finding {
            Some(Finding { seed, what, .. }) => {
                println!("{name}: {world}, promise {promise}: seed {seed}: {what}");
            }
            None => println!("{name}: {world}, promise {promise}: not within {SEEDS_MAX} seeds"),
        }
    }
    let missed = findings.iter().filter(|(_, finding)| finding.is_none());
    let missed: Vec<_> = missed.map(|(entry, _)| entry.mutant.name()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
