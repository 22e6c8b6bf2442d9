//! A campaign in the cluster: every promise holds, no schedule repeats, nothing is left untried.

use std::collections::BTreeSet;

use sim::counts::{Counts, Group};
use sim::worlds::{Ask, Report, World};

/// Enough for every kind of fault, and little enough for each change.
const SEEDS: u64 = 60;

fn report(seed: u64) -> Report {
    World::Cluster.run(&Ask::seed(seed)).result.unwrap_or_else(|failure| {
        let lines = failure.lines.join("\n");
        panic!(
            "seed {seed}: {failure}\n{lines}\nreplay: cargo xtask sim --seed {seed} --world cluster"
        )
    })
}

#[test]
fn many_seeds_keep_every_promise_and_leave_nothing_untried() {
    let reports: Vec<_> = (1..=SEEDS).map(report).collect();
    let mut counts = Counts::default();
    reports.iter().for_each(|report| counts += &report.counts);
    let hashes: BTreeSet<_> = reports.iter().map(|report| report.hash).collect();
    assert_eq!(hashes.len() as u64, SEEDS, "a schedule came twice");
    for (group, name, count) in counts.rows() {
        println!("{group}: {name}: {count}");
    }
    let judged = [Group::Work, Group::Fault, Group::Outcome, Group::Race];
    let missing: Vec<_> = counts.missing().filter(|(group, _)| judged.contains(group)).collect();
    assert!(missing.is_empty(), "{SEEDS} seeds saw none of {missing:?}");
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 1..=4 {
        assert_eq!(report(seed), report(seed));
    }
}

#[test]
fn telling_its_story_does_not_change_a_run() {
    let told = World::Cluster.run(&Ask { story: true, ..Ask::seed(2) });
    let story = told.story.expect("it was asked for");
    assert_eq!(told.result.expect("it is clean").hash, report(2).hash);
    assert!(story.broken.is_none());
    assert!(story.arrows.len() > 100 && story.marks.len() > 20);
    let lanes = story.lanes.len() as u32;
    assert!(story.arrows.iter().all(|arrow| arrow.from.0 < lanes && arrow.to.0 < lanes));
    assert!(story.arrows.iter().all(|arrow| arrow.sent <= arrow.heard));
    assert!(story.bands.iter().all(|band| band.until.is_some()), "all faults end");
}

#[test]
fn a_run_with_less_in_it_is_another_run_that_is_clean_too() {
    let mut ask = Ask::seed(2);
    ask.less.clients_max = Some(6);
    ask.less.without.insert("crash".to_owned());
    let less = World::Cluster.run(&ask).result.expect("it is clean");
    let whole = report(2);
    assert!(less.actions < whole.actions);
    assert_eq!(less.counts.of(Group::Fault, "crash"), 0);
}
