//! Each deliberate fault is found, on seeds on which Weir without it is clean.

use std::panic;

use gateway_core::mutant::Mutant;
use sim::mesh::{run, run_with};

const SEEDS_MAX: u64 = 200;

/// The first seed that finds a fault, and what it says of it.
fn finding(mutant: Mutant) -> Option<(u64, String)> {
    (1..=SEEDS_MAX).find_map(|seed| {
        if let Err(what) = run(seed) {
            panic!("seed {seed} without any fault: {what}");
        }
        run_with(seed, mutant).err().map(|what| (seed, what))
    })
}

#[test]
fn every_deliberate_fault_is_found() {
    // Some faults break an invariant of the hub's, which says so once for each.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let findings = panic::catch_unwind(|| Mutant::ALL.map(|mutant| (mutant, finding(mutant))));
    panic::set_hook(loud);
    let findings = findings.unwrap_or_else(|panic| panic::resume_unwind(panic));
    for (mutant, finding) in &findings {
        match finding {
            Some((seed, what)) => println!("{mutant:?}: seed {seed}: {what}"),
            None => println!("{mutant:?}: not found within {SEEDS_MAX} seeds"),
        }
    }
    let missed: Vec<_> = findings
        .iter()
        .filter(|(_, finding)| finding.is_none())
        .map(|(mutant, _)| mutant)
        .collect();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
