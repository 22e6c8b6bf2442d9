//! What a run's world is like, drawn from its seed: hosts, bounds, capacities and policies.

use std::sync::Arc;
use std::time::Duration;

use gateway::auth::{Ask, Auth, Decision, Grant};
use gateway::config::Strategy;
use gateway::local::LocalConfig;
use gateway_core::envelope::RoomPolicy;
use gateway_core::hub::{self, MemberPolicy};
use gateway_core::limits::Limits;
use gateway_core::log::Retention;
use gateway_registry::census::Capacity;

use crate::pipe::Windows;
use crate::rng::Rng;
use crate::wires::WireOptions;

/// Shards that a node may have in its life, those that were added included.
const SHARDS_MAX: u16 = 24;
/// An empty ping: were it taken in two pieces, the second would pass for a sign of life.
const PING_BYTES: usize = 2;
/// What a token begins with that opens something; the user's name follows.
const TOKEN: &str = "token-";

/// What a host is for. Everything that is done to hosts goes by their roles, so that a host for
/// an engine has its place here when nodes have something to meet over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// The node of this number.
    Node(usize),
    /// The clients of this group.
    Clients(usize),
}

impl Role {
    /// The host's name.
    pub(super) fn host(self) -> String {
        match self {
            Self::Node(number) => format!("node-{number}"),
            Self::Clients(number) => format!("clients-{number}"),
        }
    }
}

/// Which rooms a path leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    /// The one at `/`.
    Root,
    /// Below `/ws/`.
    Plain,
    /// Below `/ws/chat/`.
    Chat,
}

/// One world.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) seed: u64,
    pub(super) hosts: Vec<Role>,
    pub(super) nodes: usize,
    pub(super) client_hosts: usize,
    pub(super) shards: u16,
    pub(super) workers: u16,
    pub(super) rooms: Vec<Family>,
    pub(super) limits: Limits,
    pub(super) member_policy: MemberPolicy,
    /// By namespace: root, plain, chat.
    pub(super) policies: Vec<RoomPolicy>,
    pub(super) capacity: Capacity,
    pub(super) ring: usize,
    pub(super) batch: usize,
    pub(super) strategy: Strategy,
    pub(super) windows: Windows,
    pub(super) segment_bytes_max: usize,
    pub(super) delay_max: Duration,
}

impl Setting {
    pub(super) fn new(seed: u64, rng: &mut Rng, clients: usize) -> Self {
        let (nodes, client_hosts) = (3 + rng.below(3), 3 + rng.below(3));
        let hosts = (0..nodes).map(Role::Node).chain((0..client_hosts).map(Role::Clients));
        let shards = 2 + rng.below(3) as u16;
        let share = (clients / nodes) as u64;
        let total_max = *pick(rng, &[1_000, 1_000, share + 2]);
        // A shard has room for all of its node: the others may be removed.
        let shard_max = *pick(rng, &[1_000, 1_000, total_max as u32]);
        Self {
            seed,
            hosts: hosts.collect(),
            nodes,
            client_hosts,
            shards,
            workers: 1 + rng.below(2) as u16,
            rooms: rooms(rng),
            limits: limits(rng),
            member_policy: if rng.one_in(4) { MemberPolicy::Lossy } else { MemberPolicy::Close },
            policies: (0..3).map(|_| policy(rng)).collect(),
            capacity: Capacity { total_max, shard_max },
            ring: *pick(rng, &[2, 2, 3, 8, 64]),
            batch: *pick(rng, &[1, 5, 64, 256]),
            strategy: *pick(rng, &Strategy::ALL),
            windows: Windows {
                to_server: *pick(rng, &[2_000, 16 << 10]),
                to_client: *pick(rng, &[2_000, 16 << 10]),
            },
            segment_bytes_max: *pick(rng, &[300, 1460]),
            delay_max: Duration::from_millis(*pick(rng, &[0, 3])),
        }
    }

    /// The network, and the simulation over it.
    pub(super) fn wire_options(&self) -> WireOptions {
        WireOptions {
            windows: self.windows,
            segment_bytes_max: self.segment_bytes_max,
            delay_max: self.delay_max,
            whole_bytes_max: PING_BYTES,
            ..WireOptions::new(self.seed)
        }
    }

    /// What a node's process is started with; no two processes draw the same.
    pub(super) fn node_config(&self, node: usize, incarnation: u32) -> LocalConfig {
        let seed = Rng::new(self.seed ^ (node as u64) << 32 ^ u64::from(incarnation)).next_u64();
        let mut config = LocalConfig::default();
        config.workers = self.workers;
        config.shards = self.shards;
        config.shards_max = SHARDS_MAX;
        let mut limits = self.limits.clone();
        limits.connections_max = self.capacity.shard_max;
        config.hub = hub::Config {
            limits,
            member_policy: self.member_policy,
            seed,
            rooms: self.policies.clone(),
            ..hub::Config::default()
        };
        config.capacity = self.capacity;
        config.ring = self.ring;
        config.batch = self.batch;
        config.balance.strategy = self.strategy;
        config.auth = Arc::new(Tokens);
        config
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.member_policy == MemberPolicy::Lossy
    }

    /// What is kept of a room's past, and whether its members hear of each other.
    pub(super) fn policy(&self, room: usize) -> &RoomPolicy {
        &self.policies[self.rooms[room] as usize]
    }

    /// A room's path, without a query.
    pub(super) fn path(&self, room: usize) -> String {
        match self.rooms[room] {
            Family::Root => "/".to_owned(),
            // Rooms of the same name in two namespaces are two rooms.
            Family::Plain => format!("/ws/r{}", room / 2),
            Family::Chat => format!("/ws/chat/r{}", room / 2),
        }
    }

    /// Virtual seconds by which a node that drains is empty.
    pub(super) fn drain_secs(&self) -> u64 {
        u64::from(self.limits.drain_secs + self.limits.close_secs) + 2
    }
}

/// Lets everybody in whose token says who it is.
#[derive(Debug)]
struct Tokens;

impl Auth for Tokens {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        match ask.token.expose().strip_prefix(TOKEN) {
            Some(user) => Decision::Granted(Grant { user: Some(user.into()) }),
            None => Decision::Refused,
        }
    }
}

/// A token that opens a chat for somebody, or one that opens nothing.
pub(super) fn token(user: &str, good: bool) -> String {
    if good { format!("{TOKEN}{user}") } else { format!("stolen-{user}") }
}

/// A few rooms with many members, or many with few.
fn rooms(rng: &mut Rng) -> Vec<Family> {
    let count = *pick(rng, &[2, 4, 12]);
    let family = |index: usize| match index {
        0 => Family::Root,
        index if index % 2 == 1 => Family::Plain,
        _ => Family::Chat,
    };
    (0..count).map(family).chain([Family::Chat]).collect()
}

fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = *pick(rng, &[2_000, 16_000, 1 << 20]);
    limits.shard_outbox_bytes_max = *pick(rng, &[40_000, 256 << 20]);
    limits.read_bytes_max = *pick(rng, &[100, 4_000, 64_000]);
    limits.turn_bytes_max = *pick(rng, &[1_000, 64_000, 4 << 20]);
    limits.share_bytes_min = *pick(rng, &[300, 64 << 10]);
    limits.cork_bytes_max = *pick(rng, &[64, 16 << 10]);
    limits.ping_secs = *pick(rng, &[2, 4]);
    limits.pong_secs = 3;
    limits.close_secs = *pick(rng, &[1, 2]);
    limits.handshake_secs = 3;
    limits.drain_secs = *pick(rng, &[2, 4]);
    limits.retry_secs_max = 2;
    limits.unanswered_max = *pick(rng, &[1, 4, 1024]);
    limits.underway_bytes_max = *pick(rng, &[4_000, 64 << 20]);
    limits.delivery_messages_max = *pick(rng, &[1, 3, 1024]);
    limits.delivery_bytes_max = *pick(rng, &[100, 1 << 20]);
    limits.transit.messages_max = *pick(rng, &[2, 16, 1 << 16]);
    limits.transit.bytes_max = *pick(rng, &[2_000, 4 << 20]);
    limits.pin_secs = *pick(rng, &[1, 10]);
    limits.small_room_members_max = *pick(rng, &[0, 2, 8]);
    limits
}

fn policy(rng: &mut Rng) -> RoomPolicy {
    let history = Retention {
        messages_max: *pick(rng, &[0, 5, 100, 100_000]),
        bytes_max: *pick(rng, &[2_000, 1 << 20, 1 << 20]),
        age_secs: *pick(rng, &[3, 10, 30]),
    };
    RoomPolicy { history, presence: !rng.one_in(3) }
}

pub(super) fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.below(choices.len())]
}
