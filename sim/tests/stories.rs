//! Runs that are told: the same runs, and what is told of them holds together.

use std::collections::BTreeSet;
use std::panic;

use gateway_faults::Mutant;
use sim::story::{MarkKind, Story};
use sim::worlds::{Ask, Ran, World};

const SEEDS_MAX: u64 = 200;

fn told(world: World, ask: Ask) -> (Ran, Story) {
    let mut ran = world.run(&Ask { story: true, ..ask });
    let story = ran.story.take().expect("it was asked for");
    (ran, story)
}

/// Every place that is named is there, nothing is heard before it was sent, and something is told.
fn assert_whole(story: &Story) {
    let lanes = story.lanes.len() as u32;
    assert!(!story.arrows.is_empty() && !story.marks.is_empty(), "nothing is told");
    for arrow in &story.arrows {
        assert!(arrow.from.0 < lanes && arrow.to.0 < lanes, "{arrow:?}");
        assert!(arrow.sent <= arrow.heard, "{arrow:?}");
    }
    assert!(story.marks.iter().all(|mark| mark.lane.0 < lanes));
    for band in &story.bands {
        assert!(band.lanes.iter().all(|lane| lane.0 < lanes), "{band:?}");
        assert!(band.until.is_none_or(|until| band.from <= until), "{band:?}");
    }
}

#[test]
fn a_run_that_is_told_is_the_same_run() {
    for world in World::ALL {
        for seed in 1..=3 {
            let plain = world.run(&Ask::seed(seed));
            assert!(plain.story.is_none());
            let (ran, story) = told(world, Ask::seed(seed));
            assert_eq!(ran.result, plain.result, "{world}, seed {seed}");
            assert_whole(&story);
            assert_eq!(story.broken, None);
        }
    }
}

#[test]
fn every_message_in_the_mesh_is_said_before_it_is_heard() {
    let (_, story) = told(World::Mesh, Ask::seed(1));
    let group = |lane: sim::story::Lane| story.lanes[lane.0 as usize].group;
    let mut said: BTreeSet<u64> = BTreeSet::new();
    let mut heard = 0;
    for arrow in &story.arrows {
        match (group(arrow.from), group(arrow.to)) {
            ("clients", "shards") => said.extend(&arrow.of.messages),
            ("shards", "clients") => {
                assert!(
                    arrow.of.messages.iter().all(|message| said.contains(message)),
                    "{arrow:?}"
                );
                heard += arrow.of.messages.len();
            }
            ("shards", "shards") => {}
            other => panic!("{other:?}: {arrow:?}"),
        }
    }
    assert!(heard > said.len(), "{heard} are heard of {}", said.len());
    let has = |kind| story.marks.iter().any(|mark| mark.kind == kind);
    assert!(has(MarkKind::Opened) && has(MarkKind::Closed));
}

/// The first run that a deliberate fault breaks.
fn failing(mutant: Mutant) -> (Ran, Story) {
    let asks = (1..=SEEDS_MAX).map(|seed| Ask { mutant: Some(mutant), ..Ask::seed(seed) });
    let failing = asks.into_iter().find(|ask| World::Mesh.run(ask).result.is_err());
    told(World::Mesh, failing.expect("it is found"))
}

#[test]
fn what_broke_is_marked_once_where_it_happened() {
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let runs = [Mutant::OwnRecovered, Mutant::SilentGap, Mutant::AfterClose].map(failing);
    panic::set_hook(quiet);
    for (ran, story) in &runs {
        assert_whole(story);
        let broken: Vec<_> =
            story.marks.iter().filter(|mark| mark.kind == MarkKind::Broken).collect();
        assert_eq!(broken.len(), 1, "{broken:?}");
        let failure = ran.result.as_ref().expect_err("it fails");
        assert_eq!(broken[0].text, failure.what);
        assert_eq!(story.broken.as_ref(), Some(&failure.what));
        let lane = &story.lanes[broken[0].lane.0 as usize];
        assert!(failure.what.contains(&lane.name), "{} is not about {}", failure.what, lane.name);
    }
    // Whoever heard what was its own is marked with that message.
    let (_, story) = &runs[0];
    let broken = story.marks.iter().find(|mark| mark.kind == MarkKind::Broken);
    let messages = &broken.expect("there is one").of.messages;
    assert!(matches!(messages[..], [_]), "{messages:?}");
    assert!(story.arrows.iter().any(|arrow| arrow.of.messages == *messages));
}
