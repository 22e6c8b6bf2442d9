//! Tables in memory, filled as a host fills the kernel's.

use gateway_ebpf::abi::{Cpu, EVERYONE, Group, Shard, Total, Word};
use gateway_ebpf::{Ask, Choice, NOBODY, Rules, Strategy, Tables, choose, slots};

pub(crate) struct Memory {
    pub(crate) shards: Vec<Shard>,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) groups: Vec<Group>,
    pub(crate) slots: Vec<u32>,
    pub(crate) total: Total,
}

impl Tables for Memory {
    fn shard(&self, number: u32) -> Option<&Shard> {
        self.shards.get(number as usize)
    }

    fn cpu(&self, number: u32) -> Option<&Cpu> {
        self.cpus.get(number as usize)
    }

    fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }

    fn slot(&self, number: u32) -> u32 {
        self.slots.get(number as usize).copied().unwrap_or(NOBODY)
    }

    fn total(&self) -> Option<&Total> {
        Some(&self.total)
    }
}

impl Memory {
    /// A shard on each CPU, with room for so many each; as many nodes, of equal size.
    pub(crate) fn new(shards: u32, nodes: u32, capacity: u32) -> Self {
        let mut memory = Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            cpus: (0..shards).map(|_| Cpu::default()).collect(),
            groups: (0..=nodes).map(|_| Group::default()).collect(),
            slots: slots::all()
                .filter_map(|slot| slots::shard_of(slot, (0..shards).map(|it| (it, 1))))
                .collect(),
            total: Total::default(),
        };
        for shard in 0..shards {
            let node = shard * nodes / shards + 1;
            memory.shards[shard as usize].capacity = Word::new((capacity).into());
            memory.shards[shard as usize].serving = Word::new(1);
            memory.cpus[shard as usize].count = Word::new(1);
            memory.cpus[shard as usize].group = Word::new((node).into());
            memory.cpus[shard as usize].shards[0] = Word::new((shard).into());
            memory.join(node, shard);
            memory.join(EVERYONE, shard);
        }
        memory.total.serving = Word::new((shards).into());
        memory
    }

    fn join(&self, group: u32, shard: u32) {
        let group = &self.groups[group as usize];
        let at = group.count.get();
        group.count.set(at + 1);
        group.shards[at as usize].set(shard.into());
    }

    /// From now on the shard takes nobody, though tables still name it.
    pub(crate) fn leave(&self, shard: u32) {
        self.shards[shard as usize].serving.set(0);
        self.total.serving.set(self.total.serving.get() - 1);
    }

    /// Somebody is served there.
    pub(crate) fn seat(&self, shard: u32, connections: u64) {
        let more = |word: &Word| word.set(word.get() + connections);
        more(&self.shards[shard as usize].live);
        more(&self.total.live);
    }

    pub(crate) fn live(&self) -> Vec<u64> {
        self.shards.iter().map(|shard| shard.live.get()).collect()
    }

    /// Chooses, and has the one chosen serve whoever came.
    pub(crate) fn come(&self, rules: Rules, ask: Ask) -> Choice {
        let choice = choose(self, rules, ask);
        self.seat(choice.shard, 1);
        choice
    }
}

/// What the kernel would ask for the `number`th connection that arrives on this CPU.
pub(crate) fn ask(cpu: u32, number: u32) -> Ask {
    let hash = gateway_ebpf::hash::mix(number.wrapping_mul(0x9E37_79B9));
    Ask { cpu, hash, source_hash: gateway_ebpf::hash::mix(number % 100) }
}

pub(crate) fn rules(strategy: Strategy) -> Rules {
    Rules { strategy, slack_permille: 125 }
}
