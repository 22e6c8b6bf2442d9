//! Which shard a new connection goes to: one function for the kernel and for every rung below.

use crate::abi::{CPU_SHARDS_MAX, Cpu, EVERYONE, Group, SHARDS_MAX, SLOTS, Shard, Total};
use crate::hash::{below, mix};

/// Slack that no shard ever exceeds: see [`Rules::slack_permille`].
pub const UNLIMITED: u32 = u32::MAX;

/// Shards that are looked at one by one for a connection. Where there are more, the fewest
/// connections are those of so many shards next to each other, anywhere, and [`How::Full`] says
/// that so many are full: the host then looks at the others. The kernel's verifier walks through
/// each of these steps when a program is loaded, which costs some microseconds a step.
pub const SCAN_MAX: u32 = 128;

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

    /// As flags and metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affinity => "affinity",
            Self::LeastConnections => "least-connections",
            Self::Weighted => "weighted",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::Hash => "hash",
        }
    }

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
    /// The shard; [`NOBODY`] if there is none.
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
    /// All are full or leaving, as far as one looks ([`SCAN_MAX`]): it is as good as any to say
    /// so.
    Full,
}

/// No shard. An `Option` would do on the host; in the kernel's programs its unused half becomes a
/// register that is moved though nothing was ever put into it, which the verifier refuses.
pub const NOBODY: u32 = u32::MAX;

/// Where the records are: maps in the kernel, memory on the host.
pub trait Tables {
    /// The shard of this number.
    fn shard(&self, number: u32) -> Option<&Shard>;
    /// What is near a CPU.
    fn cpu(&self, number: u32) -> Option<&Cpu>;
    /// A group of shards.
    fn group(&self, number: u32) -> Option<&Group>;
    /// The shard of a slot; [`NOBODY`] if there are none.
    fn slot(&self, number: u32) -> u32;
    /// The node.
    fn total(&self) -> Option<&Total>;
}

/// Chooses the shard of a new connection; [`NOBODY`], as if all were full, only if there is no
/// shard at all.
///
/// Asked twice for one connection, as the kernel does when it answers with a cookie, it gives the
/// same shard as long as the tables are the same; under round robin, the next one.
#[inline(always)]
#[must_use]
pub fn choose(tables: &impl Tables, rules: Rules, ask: Ask) -> Choice {
    let seed = if rules.strategy.is(Strategy::Hash) { ask.source_hash } else { ask.hash };
    let first = first(tables, rules.strategy, ask);
    if takes(tables, rules, first) {
        return Choice { shard: first, how: How::Placed };
    }
    let spilled = if rules.strategy.is(Strategy::Affinity) {
        spill(tables, rules, ask.cpu, seed)
    } else {
        // Who goes by no CPU prefers no node either.
        drawn(tables, EVERYONE, seed)
    };
    if spilled != NOBODY {
        return Choice { shard: spilled, how: How::Spilled };
    }
    // Who looked for the fewest has looked at all.
    if !rules.strategy.is(Strategy::LeastConnections) {
        let spilled = any_open(tables, seed);
        if spilled != NOBODY {
            return Choice { shard: spilled, how: How::Spilled };
        }
    }
    let shard = if first == NOBODY { member(tables, EVERYONE, 0) } else { first };
    Choice { shard, how: How::Full }
}

#[inline(always)]
fn first(tables: &impl Tables, strategy: Strategy, ask: Ask) -> u32 {
    match strategy {
        Strategy::Affinity => near(tables, ask),
        Strategy::LeastConnections => least(tables, ask.hash),
        Strategy::Weighted => tables.slot(below(mix(ask.hash), SLOTS as u32)),
        Strategy::Hash => tables.slot(below(ask.source_hash, SLOTS as u32)),
        Strategy::Random => member(tables, EVERYONE, below(mix(ask.hash), count(tables, EVERYONE))),
        Strategy::RoundRobin => next(tables),
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
    let serving = total.serving.get();
    let all = total.live.get() + 1;
    let here = (shard.live.get() + 1) * serving;
    here <= all + SLACK_MIN * serving
        || here * 1000 <= all * (1000 + u64::from(rules.slack_permille))
}

/// The shard of the CPU, or, of several, the less loaded of two drawn.
#[inline(always)]
fn near(tables: &impl Tables, ask: Ask) -> u32 {
    let Some(cpu) = tables.cpu(ask.cpu) else { return NOBODY };
    let count = cpu.count.number();
    if count == 0 {
        return NOBODY;
    }
    if count == 1 {
        return cpu.shards[0].number();
    }
    // A mask that the verifier understands; no record counts more than it has.
    let at =
        |number: u32| cpu.shards[below(number, count) as usize & (CPU_SHARDS_MAX - 1)].number();
    less_loaded(tables, at(mix(ask.hash)), at(mix(!ask.hash)))
}

/// The less loaded of two drawn from the CPU's NUMA node, if that one is within its bound, or from
/// all.
#[inline(always)]
fn spill(tables: &impl Tables, rules: Rules, cpu: u32, seed: u32) -> u32 {
    if let Some(cpu) = tables.cpu(cpu) {
        let number = drawn(tables, cpu.group.number(), seed);
        if let Some(shard) = tables.shard(number)
            && is_within(tables, rules, shard)
        {
            return number;
        }
    }
    drawn(tables, EVERYONE, seed)
}

/// The less loaded of two drawn, if it takes one more.
#[inline(always)]
fn drawn(tables: &impl Tables, group: u32, seed: u32) -> u32 {
    let count = count(tables, group);
    let first = below(mix(seed ^ 0x5BD1_E995), count);
    let one = member(tables, group, first);
    // Another one, if there is one: the shard that is beyond its bound may be among them.
    let further = 1 + below(mix(seed ^ 0x1B87_3593), count.saturating_sub(1));
    let second = if first + further >= count { first + further - count } else { first + further };
    let other = member(tables, group, second);
    let less = less_loaded(tables, one, other);
    match tables.shard(less) {
        Some(shard) if shard.is_open() => less,
        _ => NOBODY,
    }
}

/// The one with fewer connections, if both take more; else the one that does.
#[inline(always)]
fn less_loaded(tables: &impl Tables, one: u32, other: u32) -> u32 {
    let load = |number: u32| match tables.shard(number) {
        Some(shard) if shard.is_open() => shard.live.get(),
        _ => u64::MAX,
    };
    if load(other) < load(one) { other } else { one }
}

/// The shard whose turn it is.
#[inline(always)]
fn next(tables: &impl Tables) -> u32 {
    let (Some(total), count) = (tables.total(), count(tables, EVERYONE)) else { return NOBODY };
    let turn = total.turn.get();
    let (turn, after) = if turn >= u64::from(count) { (0, 1) } else { (turn, turn + 1) };
    total.turn.set(after);
    member(tables, EVERYONE, turn as u32)
}

/// The next shard that takes one more, of [`SCAN_MAX`] from anywhere on.
#[inline(always)]
fn any_open(tables: &impl Tables, seed: u32) -> u32 {
    let Some(everyone) = tables.group(EVERYONE) else { return NOBODY };
    let count = everyone.count.number();
    let from = below(mix(seed), count);
    for step in 0..SCAN_MAX {
        if step >= count {
            break;
        }
        let number = at(everyone, (from + step) % count);
        if let Some(shard) = tables.shard(number)
            && shard.is_open()
        {
            return number;
        }
    }
    NOBODY
}

/// The shard with the fewest connections of those that take more, of [`SCAN_MAX`] from anywhere
/// on; of equals the next one.
#[inline(always)]
fn least(tables: &impl Tables, seed: u32) -> u32 {
    let Some(everyone) = tables.group(EVERYONE) else { return NOBODY };
    let count = everyone.count.number();
    let from = below(mix(seed), count);
    let mut least = NOBODY;
    let mut fewest = u64::MAX;
    for step in 0..SCAN_MAX {
        if step >= count {
            break;
        }
        let number = at(everyone, (from + step) % count);
        if let Some(shard) = tables.shard(number)
            && shard.is_open()
            && shard.live.get() < fewest
        {
            fewest = shard.live.get();
            least = number;
        }
    }
    least
}

#[inline(always)]
fn count(tables: &impl Tables, group: u32) -> u32 {
    match tables.group(group) {
        Some(group) => group.count.number(),
        None => 0,
    }
}

#[inline(always)]
fn member(tables: &impl Tables, group: u32, index: u32) -> u32 {
    match tables.group(group) {
        Some(group) if index < group.count.number() => at(group, index),
        _ => NOBODY,
    }
}

/// A mask that the verifier understands; no table counts more than there are.
#[inline(always)]
fn at(group: &Group, index: u32) -> u32 {
    group.shards[index as usize & (SHARDS_MAX - 1)].number()
}
