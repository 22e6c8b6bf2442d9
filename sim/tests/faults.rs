//! With rare branches made common every promise holds too, and each of them was taken: so was every
//! moment that has to come.

use sim::counts::{Counts, Group};
use sim::worlds::{Ask, World};

/// Seeds of each world: those of turmoil take longest.
const SEEDS: [(World, u64); 3] = [(World::Mesh, 200), (World::Model, 100), (World::Turmoil, 20)];

#[cfg_attr(not(debug_assertions), ignore = "a release build has no faults: `cargo xtask sim`")]
#[test]
fn rare_branches_break_no_promise_and_nothing_is_left_untried() {
    let mut counts = Counts::default();
    for (world, seeds) in SEEDS {
        for seed in 1..=seeds {
            match world.run(&Ask::seed(seed)).result {
                Ok(report) => counts += &report.counts,
                Err(failure) => panic!(
                    "{world}, seed {seed}: {failure}\n\
                     replay: cargo xtask sim --seed {seed} --world {world}"
                ),
            }
        }
    }
    let untried = |group: &Group| matches!(group, Group::Buggify | Group::Sometimes);
    for (group, name, count) in counts.rows().filter(|(group, ..)| untried(group)) {
        println!("{group}: {name}: {count}");
    }
    let untried: Vec<_> = counts.missing().filter(|(group, _)| untried(group)).collect();
    assert!(untried.is_empty(), "never seen: {untried:?}");
}
