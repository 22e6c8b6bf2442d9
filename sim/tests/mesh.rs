//! A campaign in the mesh: every promise holds, no schedule repeats, and nothing is left untried.

use std::collections::BTreeSet;

use sim::mesh::{Coverage, FANOUT_MIN, Report, run};

const SEEDS: u64 = 200;

fn report(seed: u64) -> Report {
    run(seed).unwrap_or_else(|failure| {
        panic!("seed {seed}: {failure}\nreplay: cargo xtask sim --seed {seed} --world mesh")
    })
}

#[test]
fn mesh_200_seeds_keep_every_promise() {
    let reports: Vec<_> = (1..=SEEDS).map(report).collect();
    let mut coverage = Coverage::default();
    reports.iter().for_each(|report| coverage += report.coverage);
    for report in &reports {
        assert!(report.actions >= 2_000, "a run of {} actions", report.actions);
        let Coverage { deliveries, published, drains: drained, .. } = report.coverage;
        // A node that has drained in the midst of it all has nobody left to sing.
        let heard = deliveries >= FANOUT_MIN * published;
        assert!(heard || drained > 0, "{published} heard {deliveries} times");
    }
    let hashes: BTreeSet<_> = reports.iter().map(|report| report.hash).collect();
    assert_eq!(hashes.len() as u64, SEEDS, "a schedule came twice");
    let rows = coverage.rows().filter(|(_, what, _)| !Coverage::EXCEPTIONAL.contains(what));
    for (_, what, count) in rows {
        assert!(count > 0, "{SEEDS} seeds saw no {what}: {coverage:?}");
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 1..=5 {
        assert_eq!(report(seed), report(seed));
    }
}
