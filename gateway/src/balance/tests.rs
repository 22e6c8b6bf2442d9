//! The balance over a census, without sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use gateway_ebpf::SCAN_MAX;
use gateway_ebpf::abi::SLOTS;
use gateway_registry::census::{Capacity, Census};
use gateway_registry::ids;

use super::*;

const CAPACITY: Capacity = Capacity { total_max: 100_000, shard_max: 50_000 };
const SHARDS_MAX: usize = 200;

/// Two NUMA nodes.
fn balance(config: &BalanceConfig) -> Balance {
    Balance::new(config, Arc::new(Memory::own(SHARDS_MAX, 2)), SHARDS_MAX, Vec::new(), 7)
}

struct World {
    balance: Balance,
    census: Census,
}

impl World {
    /// So many shards, on two NUMA nodes by turns.
    fn new(strategy: Strategy, weights: &[u32], shards: u16) -> Self {
        Self::within(CAPACITY, strategy, weights, shards)
    }

    fn within(capacity: Capacity, strategy: Strategy, weights: &[u32], shards: u16) -> Self {
        let config = BalanceConfig { strategy, weights: weights.to_vec(), ..Default::default() };
        let census = Census::new(capacity, SHARDS_MAX);
        let world = Self { balance: balance(&config), census };
        (0..shards).for_each(|shard| world.serve(shard, u32::from(shard) % 2));
        world
    }

    fn serve(&self, shard: u16, node: u32) {
        let capacity = self.census.capacity().shard_max;
        self.balance.serve(ShardId(shard), Whereabouts { capacity, cpu: None, node });
    }

    fn hold(&self, shard: u16, connections: u32) {
        (0..connections).for_each(|_| self.census.reserve(ids::ShardId(shard)).expect("room"));
    }

    /// Where somebody from this address goes whom `here` accepted.
    fn ask_from(&self, here: u16, ip: impl Into<IpAddr>, port: u16) -> Option<u16> {
        let peer = SocketAddr::new(ip.into(), port);
        let newcomer = Newcomer { peer, cpu: None, own: false };
        let chosen = self.balance.shard_for(ShardId(here), &newcomer, &self.census)?;
        Some(chosen.0)
    }

    fn ask(&self, here: u16) -> Option<u16> {
        self.ask_from(here, [192, 0, 2, 1], 1)
    }

    /// How many of so many go where; whoever comes stays.
    fn fill(&self, here: u16, newcomers: u32) -> BTreeMap<u16, u32> {
        let mut went = BTreeMap::new();
        for _ in 0..newcomers {
            let to = self.ask(here).expect("there is room");
            self.hold(to, 1);
            *went.entry(to).or_default() += 1;
        }
        went
    }

    fn slots(&self) -> Vec<u32> {
        let slots = 0..SLOTS as u32;
        slots.map(|slot| self.balance.records.slot(slot)).collect()
    }
}

#[test]
fn by_affinity_newcomers_stay_until_the_bound_and_go_to_the_same_node_first() {
    let world = World::new(Strategy::Affinity, &[], 4);
    // Of n on one of four shards a share is n/4: 64 more than that is reached at 85.
    assert_eq!(world.fill(0, 85), BTreeMap::from([(0, 85)]));
    assert_eq!(world.ask(0), Some(2), "the other one of its node");
    assert_eq!(world.ask(1), Some(1), "who came elsewhere stays there");
    world.hold(2, 85);
    // A share is 42.5 now; both of the node have more than 64 beyond it only with 107.
    world.hold(0, 43);
    world.hold(2, 43);
    let other = world.ask(0).expect("there is room");
    assert!(other % 2 == 1, "{other} is of the other node");
}

#[test]
fn without_a_bound_newcomers_stay() {
    let config = BalanceConfig { slack_permille: UNLIMITED, ..BalanceConfig::default() };
    let mut world = World::new(Strategy::Affinity, &[], 2);
    world.balance = balance(&config);
    (0..2).for_each(|shard| world.serve(shard, 0));
    assert_eq!(world.fill(1, 1_000), BTreeMap::from([(1, 1_000)]));
}

#[test]
fn the_least_of_all_is_chosen() {
    let world = World::new(Strategy::LeastConnections, &[], 4);
    world.hold(3, 10);
    let went = world.fill(3, 90);
    assert_eq!(went, BTreeMap::from([(0, 25), (1, 25), (2, 25), (3, 15)]));
}

#[test]
fn each_has_its_turn() {
    let world = World::new(Strategy::RoundRobin, &[], 3);
    let turns: Vec<_> = (0..6).map(|_| world.ask(1).expect("there is room")).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn whoever_returns_meets_its_shard_by_whatever_port_and_listener() {
    let world = World::new(Strategy::Hash, &[], 4);
    let at = |ip: [u8; 4], here, port| world.ask_from(here, ip, port);
    let mut met = BTreeMap::<_, u32>::new();
    for host in 0..=255 {
        let shard = at([198, 51, 100, host], 0, 1);
        assert_eq!(at([198, 51, 100, host], 3, 60_000), shard);
        *met.entry(shard).or_default() += 1;
    }
    assert_eq!(met.len(), 4);
    assert!(met.values().all(|&hosts| (32..=96).contains(&hosts)), "{met:?}");
    let v6 = |tail: u16| {
        let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 2, tail, 0, 0, 1);
        world.ask_from(0, ip, tail)
    };
    assert_eq!(v6(1), v6(2), "they have one line");
}

#[test]
fn weights_and_chance_are_proportions() {
    let near = |count: u32, share: u32| count.abs_diff(share) * 10 <= share;
    let went = World::new(Strategy::Weighted, &[5, 1, 3], 4).fill(0, 20_000);
    for (shard, weight) in [(0, 5), (1, 1), (2, 3), (3, 1)] {
        assert!(went[&shard].abs_diff(weight * 2_000) <= 500, "{went:?}");
    }
    let went = World::new(Strategy::Random, &[], 4).fill(0, 20_000);
    assert!((0..4).all(|shard| near(went[&shard], 5_000)), "{went:?}");
}

#[test]
fn a_shard_that_comes_takes_its_share_of_slots_and_no_other_slot_moves() {
    let world = World::new(Strategy::Hash, &[], 1);
    for shards in 2..=32_u16 {
        let before = world.slots();
        let comes = shards - 1;
        world.serve(comes, 0);
        let after = world.slots();
        let moved: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
        assert!(moved.iter().all(|(_, new)| **new == u32::from(comes)), "only to the new one");
        // Drawn, its slots are 1024/N, give or take four standard deviations.
        let share = SLOTS as f64 / f64::from(shards);
        let off = (moved.len() as f64 - share).abs();
        assert!(off <= 4.0 * share.sqrt(), "{} of {share} moved", moved.len());
    }
}

#[test]
fn a_shard_that_goes_leaves_its_slots_and_the_order_of_coming_leaves_no_trace() {
    let world = World::new(Strategy::Weighted, &[2, 1, 7, 4], 8);
    let all = world.slots();
    world.balance.withdraw(ShardId(2));
    let without = world.slots();
    let kept = all.iter().zip(&without).filter(|(old, _)| **old != 2);
    assert!(kept.clone().count() > 0 && kept.into_iter().all(|(old, new)| old == new));
    assert!(without.iter().all(|&shard| shard != 2));
    world.serve(2, 0);
    assert_eq!(world.slots(), all, "they are its own again");
}

#[test]
fn who_is_full_or_leaves_is_passed_over_by_every_strategy() {
    for strategy in Strategy::ALL {
        let world = World::new(strategy, &[], 4);
        world.hold(0, CAPACITY.shard_max);
        world.balance.withdraw(ShardId(1));
        for _ in 0..200 {
            let to = world.ask(0);
            assert!(matches!(to, Some(2 | 3)), "{strategy:?} chose {to:?}");
        }
        world.balance.withdraw(ShardId(2));
        world.hold(3, CAPACITY.shard_max);
        assert_eq!(world.ask(0), None, "{strategy:?}");
    }
}

/// A choice looks at so many shards only; a newcomer was told that all are full.
#[test]
fn the_last_place_is_found_among_more_full_shards_than_a_choice_looks_at() {
    let capacity = Capacity { shard_max: 1, ..CAPACITY };
    for strategy in Strategy::ALL {
        let shards = SHARDS_MAX as u16;
        assert!(u32::from(shards) > SCAN_MAX);
        let world = World::within(capacity, strategy, &[], shards);
        (0..shards).filter(|&shard| shard != 77).for_each(|shard| world.hold(shard, 1));
        for host in 0..100 {
            let to = world.ask_from(host.into(), [192, 0, 2, host], 1);
            assert_eq!(to, Some(77), "{strategy:?}");
        }
        world.hold(77, 1);
        assert_eq!(world.ask(0), None, "{strategy:?}");
    }
}

#[test]
fn where_the_system_has_decided_nobody_is_passed_on_who_has_room() {
    for strategy in Strategy::ALL {
        let world = World::new(strategy, &[], 4);
        world.balance.decide_elsewhere();
        assert_eq!(world.fill(2, 500), BTreeMap::from([(2, 500)]), "{strategy:?}");
        world.balance.withdraw(ShardId(2));
        assert_ne!(world.ask(2).expect("there is room"), 2);
    }
}

#[test]
fn shards_of_a_node_without_a_group_are_everyones() {
    let world = World::new(Strategy::Affinity, &[], 0);
    for (shard, node) in [(0, 62), (1, 63), (2, u32::MAX)] {
        world.serve(shard, node);
        assert_eq!(world.ask(shard), Some(shard));
    }
}
