//! Long walks through larger worlds, each by its seed.

use gateway_faults::{Mutant, Scope};

use super::world::{Act, Setup, World};
use crate::dispatch::Sequencing;
use crate::dispatch::home::Phase;
use crate::id::ShardId;
use crate::log::Retention;

const SEEDS: u64 = 1000;
const STEPS: usize = 400;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as usize % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// What happened in all walks together: each of it has to.
#[derive(Debug, Default)]
struct Tally {
    gaps: u64,
    incomplete: u64,
    recovered: u64,
    /// Answered for beside what was told, with a place or without one.
    lost: u64,
    refusals: u64,
    /// Envelopes that a full ring gave back.
    refused: u64,
    /// Steps after which someone was to hear that a home is not here.
    strays: u64,
    /// Steps after which a shard waited for a home to come.
    awaiting: u64,
    migrations: u64,
    /// Steps after which a home forwarded, and after which a room was stalled.
    forwarding: u64,
    stalls: u64,
}

/// Says which walk failed, and where, unless it came to its end.
struct Walk {
    seed: u64,
    step: usize,
    ended: bool,
}

impl Drop for Walk {
    fn drop(&mut self) {
        if !self.ended {
            eprintln!("the walk with seed {} failed at step {}", self.seed, self.step);
        }
    }
}

fn setup(dice: &mut Dice) -> Setup {
    let keeps = dice.one_in(2);
    let tiny = dice.one_in(2);
    let kept = Retention { messages_max: 3, bytes_max: 1 << 20, age_secs: 5 };
    let transit = Retention { messages_max: 1, bytes_max: 1 << 20, age_secs: 100 };
    Setup {
        shards: 3 + dice.roll(2) as u16,
        capacity: 1 + dice.roll(3),
        sequencing: if dice.one_in(3) { Sequencing::Engine } else { Sequencing::Local },
        history: if keeps { kept } else { Retention::default() },
        presence: dice.one_in(2),
        transit: if tiny { transit } else { Setup::default().transit },
        unanswered_max: if dice.one_in(2) { 2 } else { 1024 },
        delivery_messages_max: if dice.one_in(2) { 2 } else { 1024 },
        placed: dice.one_in(3).then(|| ShardId(dice.roll(3) as u16)),
        decides_late: dice.one_in(2),
        refuses_migration: false,
        refuses_each: if dice.one_in(4) { 3 } else { 0 },
    }
}

fn act(dice: &mut Dice, shards: u16, rooms: usize) -> Act {
    let (at, room) = (dice.roll(usize::from(shards)) as u16, dice.roll(rooms));
    let to = (at + 1 + dice.roll(usize::from(shards) - 1) as u16) % shards;
    match dice.roll(16) {
        0..3 => Act::Enter(at, room),
        3..6 => Act::Leave(at, room),
        6..11 => Act::Publish(at, room),
        11..14 => Act::Migrate(at, to, room),
        14 => Act::Move(at, to, room),
        _ => Act::Abandon(at, room),
    }
}

fn walk(seed: u64, mutant: Option<Mutant>, tally: &mut Tally) {
    let mut dice = Dice(seed);
    let _scope = Scope::quiet(mutant);
    let mut world = World::new(setup(&mut dice), &[]);
    let mut walk = Walk { seed, step: 0, ended: false };
    let (shards, rooms) = (world.setup.shards, 1 + dice.roll(3));
    for step in 0..STEPS {
        walk.step = step;
        let steps = world.enabled();
        if steps.is_empty() || dice.one_in(4) {
            let act = act(&mut dice, shards, rooms);
            if world.is_possible(act) {
                world.act(act);
            }
        } else {
            world.take(steps[dice.roll(steps.len())]);
        }
        if dice.one_in(40) {
            world.now.0 += 1 + dice.roll(8) as u32;
        }
        world.office.refuses_migration = dice.one_in(8);
        tally.look_at(&world);
    }
    world.settle();
    world.wind_up();
    walk.ended = true;
    tally.add(&world);
}

impl Tally {
    fn look_at(&mut self, world: &World) {
        for dispatch in &world.shards {
            self.strays += u64::from(!dispatch.strays.is_empty());
            self.awaiting += u64::from(!dispatch.awaiting.is_empty());
            let mut homes = dispatch.homes.iter();
            let forwards = homes.any(|(_, home)| matches!(home.phase, Phase::Forwarding { .. }));
            self.forwarding += u64::from(forwards);
            let mut sides = dispatch.sides.iter();
            self.stalls += u64::from(sides.any(|(_, side)| side.stalled));
        }
    }

    fn add(&mut self, world: &World) {
        self.gaps += world.reference.gaps;
        self.incomplete += world.reference.incomplete;
        self.recovered += world.movers.len() as u64;
        self.lost += world.reference.lost;
        self.refusals += world.reference.refusals();
        self.refused += world.refused;
        self.migrations += world.office.migrations;
    }
}

#[test]
fn whatever_happens_everyone_is_told_the_truth() {
    let mut tally = Tally::default();
    (0..SEEDS).for_each(|seed| walk(seed, None, &mut tally));
    let Tally { gaps, incomplete, recovered, lost, refusals, .. } = tally;
    let Tally { refused, strays, awaiting, migrations, forwarding, stalls, .. } = tally;
    let happened = [gaps, incomplete, recovered, lost, refusals];
    assert!(happened.iter().all(|&times| times > 20), "{tally:?}");
    let happened = [refused, strays, awaiting, migrations, forwarding, stalls];
    assert!(happened.iter().all(|&times| times > 1000), "{tally:?}");
}

/// Faults of the dispatcher that are put in on purpose are found by the first walks.
#[test]
fn deliberate_faults_are_found() {
    for mutant in
        [Mutant::WrongShard, Mutant::SilentGap, Mutant::LostInMigration, Mutant::EarlySwitch]
    {
        let fails = |seed| {
            let walk = || walk(seed, Some(mutant), &mut Tally::default());
            std::panic::catch_unwind(walk).is_err()
        };
        assert!((0..SEEDS).any(fails), "{mutant:?} is not found");
    }
}
