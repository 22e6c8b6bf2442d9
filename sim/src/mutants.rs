//! Which world is to find which deliberate fault, by which promise, and whether it does.

mod twins;

use gateway_faults::Mutant;

pub use self::twins::{TWINS, Twin};
use crate::promise::Promise::{
    self, Accounted, Alive, Apart, Bounded, Farewell, Kept, Linked, Once, SamePlace, Unhindered,
};
use crate::worlds::World::{self, Cluster, Mesh, Model, Turmoil};
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
        Mutant::SenderHears => (Model, Apart),
        Mutant::ReusedId => (Mesh, Linked),
        Mutant::OwnRecovered => (Mesh, Apart),
        Mutant::StaleLink => (Mesh, Apart),
        Mutant::WrongShard => (Mesh, SamePlace),
        Mutant::WrongPrev => (Mesh, Linked),
        Mutant::SilentGap => (Mesh, Linked),
        Mutant::MovedBack => (Mesh, Once),
        Mutant::FloorForgotten => (Mesh, Once),
        Mutant::EarlyAck => (Mesh, SamePlace),
        Mutant::AckUnsaid => (Mesh, Alive),
        Mutant::HistoryShort => (Mesh, Kept),
        Mutant::RecoveryHole => (Mesh, Linked),
        Mutant::RecoveredTwice => (Mesh, Once),
        Mutant::LostInMigration => (Mesh, Alive),
        Mutant::HeldTwice => (Mesh, Once),
        Mutant::EarlySwitch => (Mesh, Linked),
        Mutant::FenceUnsaid => (Mesh, Alive),
        Mutant::CommandLost => (Mesh, Alive),
        Mutant::DeliveryLost => (Mesh, Linked),
        Mutant::StallForgotten => (Mesh, Alive),
        Mutant::TravellerLost => (Cluster, Alive),
        Mutant::OwedLeftBehind => (Mesh, Linked),
        Mutant::HalfSaidLeftBehind => (Mesh, Accounted),
        Mutant::PresenceLeaked => (Mesh, Alive),
        Mutant::LeaveUntold => (Mesh, Alive),
        Mutant::OverCapacity => (Mesh, Bounded),
        Mutant::MoveUnchecked => (Mesh, Bounded),
        Mutant::PlaceGivenTwice => (Mesh, Bounded),
        Mutant::PlaceKept => (Mesh, Accounted),
        Mutant::BudgetIgnored => (Mesh, Bounded),
        Mutant::TailLost => (Model, SamePlace),
        Mutant::PastOutbox => (Model, Linked),
        Mutant::ChunkReused => (Model, SamePlace),
        Mutant::FlightStopped => (Model, Linked),
        Mutant::SlowHoldsAll => (Mesh, Unhindered),
        Mutant::InterestForgotten => (Turmoil, Farewell),
        Mutant::FullReadCut => (Turmoil, SamePlace),
        Mutant::MaskNotTurned => (Model, SamePlace),
        Mutant::WrongOpcode => (Model, SamePlace),
        Mutant::AfterClose => (Mesh, Farewell),
        Mutant::DrainOmitsOne => (Model, Farewell),
        Mutant::OpenWhileDraining => (Mesh, Farewell),
        Mutant::CutEarly => (Turmoil, Farewell),
        Mutant::ReleasedTwice => (Mesh, Accounted),
        Mutant::CloseUncounted => (Model, Accounted),
        Mutant::DropUncounted => (Model, Accounted),
    }
}

/// The first seed on which the fault's world finds it. A world that names promises is to name the
/// one that the fault breaks: another finding is none.
///
/// # Panics
/// If Weir without the fault breaks a promise on that seed, or if this build has no faults.
#[must_use]
pub fn find(mutant: Mutant, seeds_max: u64) -> Option<Finding> {
    if !gateway_faults::ENABLED {
        panic!("this build has no faults: run `cargo xtask sim`");
    }
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
