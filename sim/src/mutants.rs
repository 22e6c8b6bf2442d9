//! Which world is to find which deliberate fault, by which promise, and whether it does.

mod twins;

use gateway_faults::Mutant;

pub use self::twins::{TWINS, Twin};
use crate::promise::Promise::{self, Apart, Bounded, Farewell, Kept, Linked, Once, SamePlace};
use crate::worlds::World::{self, Mesh};
use crate::worlds::{Ask, Failure};

/// Seeds within which each fault is to be found.
pub const SEEDS_MAX: u64 = 500;

/// A fault, and who is to find it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The fault.
    pub mutant: Mutant,
    /// The world that is to find it.
    pub world: World,
    /// The promise that it breaks.
    pub promise: Promise,
}

/// A seed on which Weir keeps its promises, and does not with the fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which seed.
    pub seed: u64,
    /// What it broke, if the world can name it.
    pub promise: Option<Promise>,
    /// How that was told.
    pub what: String,
}

/// Every fault that is chosen at run time.
#[must_use]
pub fn all() -> [Entry; Mutant::ALL.len()] {
    Mutant::ALL.map(|mutant| {
        let (world, promise) = found_in(mutant);
        Entry { mutant, world, promise }
    })
}

fn found_in(mutant: Mutant) -> (World, Promise) {
    match mutant {
        Mutant::ReusedId => (Mesh, Linked),
        Mutant::WrongShard => (Mesh, SamePlace),
        Mutant::SilentGap => (Mesh, Linked),
        Mutant::LostInMigration => (Mesh, Kept),
        Mutant::EarlySwitch => (Mesh, Linked),
        Mutant::OwnRecovered => (Mesh, Apart),
        Mutant::OverCapacity => (Mesh, Bounded),
        Mutant::MovedBack => (Mesh, Once),
        Mutant::AfterClose => (Mesh, Farewell),
        Mutant::EarlyAck => (Mesh, Kept),
    }
}

/// The first seed on which the fault's world finds it. A world that names promises is to name the
/// one that the fault breaks: another finding is none.
///
/// # Panics
/// If Weir without the fault breaks a promise on that seed, or if this build has no faults.
#[must_use]
pub fn find(mutant: Mutant, seeds_max: u64) -> Option<Finding> {
    assert!(gateway_faults::ENABLED, "this build has no faults: run `cargo xtask sim`");
    let (world, promise) = found_in(mutant);
    let breaks = |seed| {
        let ask = Ask { mutant: Some(mutant), ..Ask::seed(seed) };
        let failure = world.run(&ask).result.err()?;
        let Failure { promise: broken, what, .. } = failure;
        let named = broken.is_none_or(|broken| broken == promise);
        named.then_some(Finding { seed, promise: broken, what })
    };
    let finding = (1..=seeds_max).find_map(breaks)?;
    if let Err(failure) = world.run(&Ask::seed(finding.seed)).result {
        panic!("{world}, seed {}, without any fault: {failure}", finding.seed);
    }
    Some(finding)
}
