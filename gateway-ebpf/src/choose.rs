//! Which shard a new connection goes to: one function for the kernel and for every rung below.

use core::sync::atomic::Ordering;

use crate::abi::{CPU_SHARDS_MAX, Cpu, EVERYONE, Group, SHARDS_MAX, SLOTS, Shard, Total};
use crate::hash::{below, mix};

/// Slack that no shard ever exceeds: see [`Rules::slack_permille`].
pub const UNLIMITED: u32 = u32::MAX;

/// Connections that a shard may have beyond its share, however small that is.
pub const SLACK_MIN: u64 = 64;

/// How the shard of a new connection is chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u32)]
pub enum Strategy {
    /// That of the CPU that the connection's packets arrive on, as long as it is within its bound;
    /// then the less loaded of two drawn, of the same NUMA node first.
    #[default]
    Affinity = 0,
    /// The one with the fewest connections.
    LeastConnections = 1,
    /// Any, each as often as its weight says.
    Weighted = 2,
    /// One after the other.
    RoundRobin = 3,
    /// Any.
    Random = 4,
    /// By the client's address, so that whoever returns meets the same.
    Hash = 5,
}

impl Strategy {
    /// All of them, each at its number.
    pub const ALL: [Self; 6] = [
        Self::Affinity,
        Self::LeastConnections,
        Self::Weighted,
        Self::RoundRobin,
        Self::Random,
        Self::Hash,
    ];

    /// The strategy of a number; affinity for what is none.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            1 => Self::LeastConnections,
            2 => Self::Weighted,
            3 => Self::RoundRobin,
            4 => Self::Random,
            5 => Self::Hash,
            _ => Self::Affinity,
        }
    }

    /// Whether it is this one; for the kernel, which compares numbers only.
    #[inline(always)]
    const fn is(self, other: Self) -> bool {
        self as u32 == other as u32
    }
}

/// What a choice goes by, the same for all connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Which shard comes first.
    pub strategy: Strategy,
    /// How much more than its share a shard may have under [`Strategy::Affinity`], in thousandths
    /// of that share, but [`SLACK_MIN`] connections at least; [`UNLIMITED`] for as much as comes.
    pub slack_permille: u32,
}

/// What a choice is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ask {
    /// The CPU that the connection's packets arrive on; [`u32::MAX`] if that is not known.
    pub cpu: u32,
    /// A number of the connection: the same each time it is asked for.
    pub hash: u32,
    /// A number of its client's address: see [`crate::hash::of_source`].
    pub source_hash: u32,
}

/// Where a connection goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Choice {
    /// The shard.
    pub shard: u32,
    /// Why this one.
    pub how: How,
}

/// Why a shard was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// It comes first by the strategy.
    Placed,
    /// The one that comes first is full, leaving or beyond its bound.
    Spilled,
    /// All are full or leaving: it is as good as any to say so.
    Full,
}

/// Where the records are: maps in the kernel, memory on the host.
pub trait Tables {
    /// The shard of this number.
    fn shard(&self, number: u32) -> Option<&Shard>;
    /// What is near a CPU.
    fn cpu(&self, number: u32) -> Option<&Cpu>;
    /// A group of shards.
    fn group(&self, number: u32) -> Option<&Group>;
    /// The shard of a slot.
    fn slot(&self, number: u32) -> Option<u32>;
    /// The node.
    fn total(&self) -> Option<&Total>;
}

/// Chooses the shard of a new connection; `None` only if there is no shard at all.
///
/// Asked twice for one connection, as the kernel does when it answers with a cookie, it gives the
/// same shard as long as the tables are the same; under round robin, the next one.
#[inline(always)]
#[must_use]
pub fn choose(tables: &impl Tables, rules: Rules, ask: Ask) -> Option<Choice> {
    let seed = if rules.strategy.is(Strategy::Hash) { ask.source_hash } else { ask.hash };
    let first = first(tables, rules.strategy, ask);
    if let Some(shard) = first
        && takes(tables, rules, shard)
    {
        return Some(Choice { shard, how: How::Placed });
    }
    // Who goes by no CPU prefers no node either.
    let near = if rules.strategy.is(Strategy::Affinity) { ask.cpu } else { u32::MAX };
    let spilled = spill(tables, rules, near, seed);
    let spilled = match spilled {
        Some(shard) => Some(shard),
        None => any_open(tables, seed),
    };
    if let Some(shard) = spilled {
        return Some(Choice { shard, how: How::Spilled });
    }
    let shard = match first {
        Some(shard) => shard,
        None => member(tables.group(EVERYONE)?, 0)?,
    };
    Some(Choice { shard, how: How::Full })
}

#[inline(always)]
fn first(tables: &impl Tables, strategy: Strategy, ask: Ask) -> Option<u32> {
    let everyone = || tables.group(EVERYONE);
    match strategy {
        Strategy::Affinity => near(tables, ask),
        Strategy::LeastConnections => least(tables, ask.hash),
        Strategy::Weighted => tables.slot(below(mix(ask.hash), SLOTS as u32)),
        Strategy::Hash => tables.slot(below(ask.source_hash, SLOTS as u32)),
        Strategy::Random => {
            let everyone = everyone()?;
            member(everyone, below(mix(ask.hash), everyone.count.load(Ordering::Relaxed)))
        }
        Strategy::RoundRobin => {
            let turn = tables.total()?.turn.fetch_add(1, Ordering::Relaxed) as u32;
            let everyone = everyone()?;
            let count = everyone.count.load(Ordering::Relaxed);
            if count == 0 { None } else { member(everyone, turn % count) }
        }
    }
}

/// Whether a shard takes one more as its strategy's first choice.
#[inline(always)]
fn takes(tables: &impl Tables, rules: Rules, number: u32) -> bool {
    let Some(shard) = tables.shard(number) else { return false };
    shard.is_open() && (!rules.strategy.is(Strategy::Affinity) || is_within(tables, rules, shard))
}

/// Whether a shard with one more is within its bound: its share and the slack, both as products,
/// since the kernel divides slowly.
#[inline(always)]
fn is_within(tables: &impl Tables, rules: Rules, shard: &Shard) -> bool {
    if rules.slack_permille == UNLIMITED {
        return true;
    }
    let Some(total) = tables.total() else { return true };
    let serving = u64::from(total.serving.load(Ordering::Relaxed));
    let all = total.live.load(Ordering::Relaxed) + 1;
    let here = (shard.live.load(Ordering::Relaxed) + 1) * serving;
    here <= all + SLACK_MIN * serving
        || here * 1000 <= all * (1000 + u64::from(rules.slack_permille))
}

/// The shard of the CPU, or, of several, the less loaded of two drawn.
#[inline(always)]
fn near(tables: &impl Tables, ask: Ask) -> Option<u32> {
    let cpu = tables.cpu(ask.cpu)?;
    let count = cpu.count.load(Ordering::Relaxed);
    if count <= 1 {
        return if count == 0 { None } else { Some(cpu.shards[0].load(Ordering::Relaxed)) };
    }
    let at = |number: u32| {
        let index = below(number, count) as usize;
        let shard = cpu.shards.get(if index < CPU_SHARDS_MAX { index } else { 0 })?;
        Some(shard.load(Ordering::Relaxed))
    };
    Some(less_loaded(tables, at(mix(ask.hash))?, at(mix(!ask.hash))?))
}

/// The less loaded of two drawn from the CPU's NUMA node, if that one is within its bound, or from
/// all.
#[inline(always)]
fn spill(tables: &impl Tables, rules: Rules, cpu: u32, seed: u32) -> Option<u32> {
    if let Some(cpu) = tables.cpu(cpu)
        && let Some(number) = drawn(tables, cpu.group.load(Ordering::Relaxed), seed)
        && let Some(shard) = tables.shard(number)
        && is_within(tables, rules, shard)
    {
        return Some(number);
    }
    drawn(tables, EVERYONE, seed)
}

/// The less loaded of two drawn, if it takes one more.
#[inline(always)]
fn drawn(tables: &impl Tables, group: u32, seed: u32) -> Option<u32> {
    let group = tables.group(group)?;
    let count = group.count.load(Ordering::Relaxed);
    let one = member(group, below(mix(seed ^ 0x5BD1_E995), count))?;
    let other = member(group, below(mix(seed ^ 0x1B87_3593), count))?;
    let less = less_loaded(tables, one, other);
    if tables.shard(less)?.is_open() { Some(less) } else { None }
}

/// The one with fewer connections, if both take more; else the one that does.
#[inline(always)]
fn less_loaded(tables: &impl Tables, one: u32, other: u32) -> u32 {
    let load = |number: u32| match tables.shard(number) {
        Some(shard) if shard.is_open() => shard.live.load(Ordering::Relaxed),
        _ => u64::MAX,
    };
    if load(other) < load(one) { other } else { one }
}

/// The next shard that takes one more, from anywhere on.
#[inline(always)]
fn any_open(tables: &impl Tables, seed: u32) -> Option<u32> {
    let everyone = tables.group(EVERYONE)?;
    let count = everyone.count.load(Ordering::Relaxed);
    let from = below(mix(seed), count);
    for step in 0..SHARDS_MAX as u32 {
        if step >= count {
            break;
        }
        let number = member(everyone, wrapped(from + step, count))?;
        if tables.shard(number)?.is_open() {
            return Some(number);
        }
    }
    None
}

/// The shard with the fewest connections of those that take more; of equals the next one, from
/// anywhere on.
#[inline(always)]
fn least(tables: &impl Tables, seed: u32) -> Option<u32> {
    let everyone = tables.group(EVERYONE)?;
    let count = everyone.count.load(Ordering::Relaxed);
    let from = below(mix(seed), count);
    let mut least = None;
    let mut fewest = u64::MAX;
    for step in 0..SHARDS_MAX as u32 {
        if step >= count {
            break;
        }
        let number = member(everyone, wrapped(from + step, count))?;
        let shard = tables.shard(number)?;
        let live = shard.live.load(Ordering::Relaxed);
        if shard.is_open() && live < fewest {
            (least, fewest) = (Some(number), live);
        }
    }
    least
}

/// `number` less `count`, if it is not below: there is no division in a loop.
#[inline(always)]
const fn wrapped(number: u32, count: u32) -> u32 {
    if number >= count { number - count } else { number }
}

#[inline(always)]
fn member(group: &Group, index: u32) -> Option<u32> {
    if index >= group.count.load(Ordering::Relaxed) {
        return None;
    }
    // A mask that the verifier understands; the tables never count more than there are.
    Some(group.shards[index as usize & (SHARDS_MAX - 1)].load(Ordering::Relaxed))
}
