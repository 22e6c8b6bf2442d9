//! What a run's world is like, drawn from its seed: bounds, capacities, and how often what happens.

use gateway_core::envelope::RoomPolicy;
use gateway_core::hub::{MemberPolicy, Sequencing};
use gateway_core::limits::Limits;
use gateway_core::log::Retention;

use crate::rng::Rng;

/// Shards that a world may have, those that were added included.
pub(super) const SHARDS_MAX: usize = 8;

/// One world.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) limits: Limits,
    pub(super) member_policy: MemberPolicy,
    pub(super) sequencing: Sequencing,
    /// How long what is said to rooms may wait for more; a step takes a millisecond.
    pub(super) coalesce_micros: u32,
    /// Of the room at `/`, and of those below `/ws/`.
    pub(super) policies: Vec<RoomPolicy>,
    /// Whether large payloads are kept in a store that all shards share.
    pub(super) stores: bool,
    pub(super) shards: usize,
    pub(super) rooms: usize,
    /// Clients there are about, and how many actions they take.
    pub(super) clients: usize,
    pub(super) actions: u64,
    pub(super) rings: Rings,
    pub(super) pace: Pace,
    pub(super) faults: Faults,
    /// Of how many newcomers one goes to another shard than the one that accepted it; 0 for none.
    /// All do that find their shard full or leaving, unless it is 0.
    pub(super) passes: usize,
    /// Of how many shards that are removed one tells its connections to go; 0 for none.
    pub(super) dismisses: usize,
}

/// Letters that each ring holds, by class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rings {
    pub(super) commands: usize,
    pub(super) deliveries: usize,
}

/// How turns mix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Actions between turns, at most.
    pub(super) burst: usize,
    /// Letters that a turn takes from one ring, at most.
    pub(super) letters: usize,
    /// Members per slice of a flush.
    pub(super) slice: usize,
    /// Shards rest for this many steps, at most; 0 for never.
    pub(super) rest: usize,
    /// Steps until an answer of registry or engine, or a socket on its way, arrives, at most.
    pub(super) delay: usize,
}

/// Once in how many actions something happens; 0 for never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) stick: usize,
    pub(super) sever: usize,
    pub(super) moves: usize,
    pub(super) migrate: usize,
    pub(super) add: usize,
    pub(super) remove: usize,
    pub(super) pause: usize,
    /// Sends of which only a part is taken.
    pub(super) choppy: usize,
    /// Messages that the engine refuses.
    pub(super) refuse: usize,
}

impl Setting {
    /// What balance does is drawn from `balance`, so that the rest of a seed's world stays what it
    /// was without it.
    pub(super) fn new(rng: &mut Rng, balance: &mut Rng) -> Self {
        let shards = 1 + rng.below(6);
        let clients = 24 + rng.below(40);
        let engine = rng.one_in(4);
        Self {
            limits: limits(rng, shards, clients),
            member_policy: if rng.one_in(6) { MemberPolicy::Lossy } else { MemberPolicy::Close },
            sequencing: if engine { Sequencing::Engine } else { Sequencing::Local },
            policies: vec![policy(rng), policy(rng)],
            stores: rng.one_in(2),
            shards,
            rooms: 2 + rng.below(4),
            clients,
            actions: 2_000 + rng.below(1_000) as u64,
            rings: Rings { commands: ring(rng), deliveries: ring(rng) },
            pace: Pace {
                burst: *pick(rng, &[2, 8, 24]),
                letters: *pick(rng, &[1, 4, 64, 64]),
                slice: *pick(rng, &[1, 5, 64, 256]),
                rest: *pick(rng, &[0, 0, 10, 60]),
                delay: *pick(rng, &[0, 0, 4, 40]),
            },
            faults: Faults {
                stick: *pick(rng, &[0, 60, 300]),
                sever: *pick(rng, &[0, 60, 300]),
                moves: *pick(rng, &[0, 20, 100]),
                migrate: *pick(rng, &[0, 20, 100]),
                add: *pick(rng, &[0, 0, 900]),
                remove: *pick(rng, &[0, 600, 1200]),
                pause: *pick(rng, &[0, 100, 500]),
                choppy: *pick(rng, &[0, 0, 0, 5, 40]),
                refuse: if engine { *pick(rng, &[0, 10, 50]) } else { 0 },
            },
            coalesce_micros: *pick(rng, &[0, 0, 1_500, 10_000]),
            passes: *pick(balance, &[0, 0, 2, 6]),
            dismisses: *pick(balance, &[0, 0, 1, 2]),
        }
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.member_policy == MemberPolicy::Lossy
    }

    /// Virtual seconds by which everything is true again once faults have stopped.
    pub(super) fn calm_secs(&self) -> u64 {
        let limits = &self.limits;
        u64::from(limits.close_secs + limits.refusal_secs + limits.handshake_secs) + 4
    }
}

fn limits(rng: &mut Rng, shards: usize, clients: usize) -> Limits {
    let mut limits = Limits::default();
    let share = (clients / shards) as u32;
    limits.connections_max = *pick(rng, &[1_000, 1_000, share + 1, share / 2 + 2]);
    limits.refusals_max = *pick(rng, &[1, 3, 64]);
    limits.outbox_bytes_max = *pick(rng, &[300, 2_000, 16_000, 1 << 20]);
    limits.shard_outbox_bytes_max = *pick(rng, &[20_000, 256 << 20, 256 << 20]);
    limits.turn_bytes_max = *pick(rng, &[1_000, 64_000, 4 << 20]);
    limits.read_bytes_max = *pick(rng, &[100, 4_000, 64_000]);
    limits.share_bytes_min = *pick(rng, &[100, 1_000, 64 << 10]);
    limits.store_bytes_min = *pick(rng, &[100, 1_000, 64 << 10]);
    limits.store_members_min = *pick(rng, &[1, 3]);
    limits.cork_bytes_max = *pick(rng, &[64, 16 << 10]);
    limits.ping_secs = *pick(rng, &[0, 3, 25]);
    limits.pong_secs = 4;
    limits.close_secs = *pick(rng, &[1, 3]);
    limits.unanswered_max = *pick(rng, &[1, 4, 1024, 1024]);
    limits.underway_bytes_max = *pick(rng, &[2_000, 64 << 20, 64 << 20]);
    limits.delivery_messages_max = *pick(rng, &[1, 3, 1024, 1024]);
    limits.delivery_bytes_max = *pick(rng, &[100, 1 << 20]);
    limits.transit.messages_max = *pick(rng, &[1, 8, 64, 1 << 16]);
    limits.transit.bytes_max = *pick(rng, &[1_000, 4 << 20, 4 << 20]);
    limits.transit.age_secs = *pick(rng, &[1, 30, 30]);
    limits.pin_secs = *pick(rng, &[1, 10]);
    limits.small_room_members_max = *pick(rng, &[0, 2, 8]);
    limits
}

fn policy(rng: &mut Rng) -> RoomPolicy {
    let history = Retention {
        messages_max: *pick(rng, &[0, 5, 100, 100_000]),
        bytes_max: *pick(rng, &[2_000, 1 << 20, 1 << 20]),
        age_secs: *pick(rng, &[2, 8, 30]),
    };
    RoomPolicy { history, presence: rng.one_in(2) }
}

fn ring(rng: &mut Rng) -> usize {
    *pick(rng, &[2, 3, 8, 64])
}

pub(super) fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.below(choices.len())]
}
