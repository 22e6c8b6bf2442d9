//! What a run's world is like, drawn from its seed: bounds, capacities, and how often what happens.

use gateway_core::envelope::RoomPolicy;
use gateway_core::hub::{MemberPolicy, Sequencing};
use gateway_core::limits::Limits;
use gateway_core::log::Retention;

use super::faults::Faults;
use crate::rng::Rng;
use crate::worlds::Less;

/// Shards that a world may have, those that were added included.
pub(super) const SHARDS_MAX: usize = 8;

/// Connections of a shard that all clients of a world find a place on.
pub(super) const ROOMY: u32 = 1_000;
/// Letters that no ring of a world ever holds.
const RING_AMPLE: usize = 4_096;

/// One world.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) limits: Limits,
    pub(super) member_policy: MemberPolicy,
    pub(super) sequencing: Sequencing,
    /// How long what is said to rooms may wait for more; a step takes a millisecond.
    pub(super) coalesce_micros: u32,
    /// Of the room at `/`, of those below `/ws/`, and of those where people chat.
    pub(super) policies: Vec<RoomPolicy>,
    /// Whether large payloads are kept in a store that all shards share.
    pub(super) stores: bool,
    pub(super) shards: usize,
    pub(super) rooms: usize,
    /// Rooms where people chat, behind those.
    pub(super) chats: usize,
    /// Clients there are about, and how many actions they take.
    pub(super) clients: usize,
    /// Clients there are at most.
    pub(super) clients_max: usize,
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
            policies: vec![policy(rng), policy(rng), RoomPolicy { presence: true, ..policy(rng) }],
            stores: rng.one_in(2),
            shards,
            rooms: *pick(rng, &[1, 2, 3, 4, 5, 24]),
            chats: *pick(rng, &[0, 1, 1, 2]),
            clients,
            clients_max: usize::MAX,
            actions: 2_000 + rng.below(1_000) as u64,
            rings: Rings { commands: ring(rng), deliveries: ring(rng) },
            pace: Pace {
                burst: *pick(rng, &[2, 8, 24]),
                letters: *pick(rng, &[1, 4, 64, 64]),
                slice: *pick(rng, &[1, 5, 64, 256]),
                rest: *pick(rng, &[0, 0, 10, 60]),
                delay: *pick(rng, &[0, 0, 4, 40]),
            },
            faults: Faults::new(rng, engine),
            coalesce_micros: *pick(rng, &[0, 0, 1_500, 10_000]),
            passes: *pick(balance, &[0, 0, 2, 6]),
            dismisses: *pick(balance, &[0, 0, 1, 2]),
        }
    }

    /// The same with less in it.
    pub(super) fn with(mut self, less: &Less) -> Self {
        self.faults.leave_out(less);
        if !less.has("full-rings") {
            self.rings = Rings { commands: RING_AMPLE, deliveries: RING_AMPLE };
        }
        if !less.has("full-shards") {
            self.limits.connections_max = ROOMY;
        }
        if !less.has("late-turns") {
            self.pace.rest = 0;
        }
        if !less.has("dismissed-shards") {
            self.dismisses = 0;
        }
        self.clients_max = less.clients_max.map_or(usize::MAX, |max| max as usize);
        self.clients = self.clients.min(self.clients_max);
        self.actions = self.actions.min(less.actions_max.unwrap_or(u64::MAX));
        self
    }

    /// Whether people chat in a room.
    pub(super) fn is_chat(&self, room: u16) -> bool {
        usize::from(room) >= self.rooms
    }

    /// What is kept of a room.
    pub(super) fn policy(&self, room: u16) -> &RoomPolicy {
        let chat = usize::from(self.is_chat(room));
        &self.policies[usize::from(room != 0) + chat]
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
    limits.empty_fragments_max = *pick(rng, &[4, 1_000]);
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
