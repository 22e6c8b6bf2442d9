//! The records of who serves, written when shards come and go, and read by whoever chooses: this
//! process, and the kernel's programs if they are loaded.

use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::id::ShardId;
use gateway_ebpf::abi::{CPU_SHARDS_MAX, Cpu, EVERYONE, Group, Shard, Total, Word};
use gateway_ebpf::{NOBODY, Strategy, slots};

use crate::config::BalanceConfig;
use crate::steer::Memory;

/// Where a shard is that begins to serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts {
    /// Connections that it may have.
    pub(crate) capacity: u32,
    /// The CPU that it is turned on, if that is always the same.
    pub(crate) cpu: Option<u32>,
    /// The NUMA node of that CPU.
    pub(crate) node: u32,
}

/// A CPU on which packets may arrive, and its NUMA node.
pub(crate) type Seated = (u32, u32);

/// All records. Everyone reads them at any time; who changes them holds the lock meanwhile.
#[derive(Debug)]
pub(super) struct Records {
    memory: Arc<Memory>,
    /// Shards that there may ever be.
    shards_max: usize,
    /// All CPUs of the machine.
    cpus: Vec<Seated>,
    /// Whether hashes are looked up at all.
    looked_up: bool,
    /// By shard: what it draws slots with; 1 for those beyond the end.
    weights: Vec<u32>,
    changing: Mutex<()>,
}

impl Records {
    pub(super) fn new(
        config: &BalanceConfig,
        memory: Arc<Memory>,
        shards_max: usize,
        cpus: Vec<Seated>,
    ) -> Self {
        let looked_up = matches!(config.strategy, Strategy::Weighted | Strategy::Hash);
        let looked_up = looked_up || memory.is_kernels();
        let weights = config.weights.clone();
        Self { memory, shards_max, cpus, looked_up, weights, changing: Mutex::new(()) }
    }

    pub(super) fn serve(&self, shard: ShardId, whereabouts: Whereabouts) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let group = self.group_of_node(whereabouts.node);
        let record = &self.memory.shards[shard.index()];
        record.capacity.set(whereabouts.capacity.into());
        record.cpu.set(whereabouts.cpu.unwrap_or(u32::MAX).into());
        record.group.set(group.into());
        record.serving.set(1);
        self.write_groups(group);
        self.claim_slots(shard.0.into());
        self.write_cpus();
    }

    pub(super) fn withdraw(&self, shard: ShardId) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = &self.memory.shards[shard.index()];
        record.serving.set(0);
        self.write_groups(record.group.number());
        self.leave_slots(shard.0.into());
        self.write_cpus();
    }

    pub(super) fn shard(&self, number: u32) -> Option<&Shard> {
        self.memory.shards.get(number as usize)
    }

    pub(super) fn group(&self, number: u32) -> Option<&Group> {
        self.memory.groups.get(number as usize)
    }

    pub(super) fn group_of(&self, shard: ShardId) -> u32 {
        self.memory.shards[shard.index()].group.number()
    }

    pub(super) fn slot(&self, number: u32) -> u32 {
        self.memory.slots.get(number as usize).map_or(NOBODY, Word::number)
    }

    pub(super) fn total(&self) -> &Total {
        &self.memory.total[0]
    }

    /// Whether the census writes how much shards hold, for the kernel.
    pub(super) fn are_mirrored(&self) -> bool {
        self.memory.is_kernels()
    }

    /// The group of a node; everyone's, if there is none for it.
    fn group_of_node(&self, node: u32) -> u32 {
        match node.saturating_add(1) {
            group if (group as usize) < self.memory.groups.len() => group,
            _ => EVERYONE,
        }
    }

    /// Those who serve, of everyone and of one NUMA node.
    fn write_groups(&self, node: u32) {
        self.write_group(EVERYONE, self.serving());
        if node != EVERYONE {
            self.write_group(node, self.serving_in(node));
        }
        self.total().serving.set(self.serving().count() as u64);
    }

    fn write_group(&self, number: u32, shards: impl Iterator<Item = u32>) {
        let group = &self.memory.groups[number as usize];
        let mut count = 0;
        for (place, shard) in group.shards.iter().zip(shards) {
            place.set(shard.into());
            count += 1;
        }
        group.count.set(count);
    }

    /// What is near each CPU: the shards turned there; where there are none, such as on a sibling
    /// of a worker's, one of its node, dealt by turns.
    fn write_cpus(&self) {
        for (at, &(cpu, node)) in self.cpus.iter().enumerate() {
            let Some(record) = self.memory.cpus.get(cpu as usize) else { continue };
            let group = self.group_of_node(node);
            record.group.set(group.into());
            let own = |&shard: &u32| self.memory.shards[shard as usize].cpu.number() == cpu;
            let own: Vec<_> = self.serving().filter(own).take(CPU_SHARDS_MAX).collect();
            match own[..] {
                [] => write_cpu(record, self.dealt(at, group).as_slice()),
                _ => write_cpu(record, &own),
            }
        }
    }

    /// One shard of the group, or of all if it has none.
    fn dealt(&self, at: usize, group: u32) -> Option<u32> {
        let near: Vec<_> = self.serving_in(group).collect();
        let all = if near.is_empty() { self.serving().collect() } else { near };
        all.get(at % all.len().max(1)).copied()
    }

    fn serving_in(&self, group: u32) -> impl Iterator<Item = u32> {
        let is_near = move |shard: &u32| {
            self.memory.shards[*shard as usize].group.number() == group || group == EVERYONE
        };
        self.serving().filter(is_near)
    }

    /// Who serves, ascending.
    pub(super) fn serving(&self) -> impl Iterator<Item = u32> {
        let numbers = (0..).zip(self.memory.shards.iter().take(self.shards_max));
        numbers.filter(|(_, shard)| shard.serving.get() != 0).map(|(number, _)| number)
    }

    /// The shard takes those slots for which it draws better than who has them: as many looks as
    /// there are slots, however many shards there are.
    fn claim_slots(&self, shard: u32) {
        for (slot, holder) in self.held() {
            let before = Some(holder.number()).filter(|&before| before != NOBODY);
            let both = before.into_iter().chain([shard]);
            if slots::shard_of(slot, both.map(|shard| self.weighted(shard))) == Some(shard) {
                holder.set(shard.into());
            }
        }
    }

    /// The shard's slots go to whoever of the others draws best.
    fn leave_slots(&self, shard: u32) {
        for (slot, holder) in self.held() {
            if holder.number() == shard {
                let others = self.serving().map(|shard| self.weighted(shard));
                holder.set(slots::shard_of(slot, others).unwrap_or(NOBODY).into());
            }
        }
    }

    fn held(&self) -> impl Iterator<Item = (u32, &Word)> {
        let kept = if self.looked_up { self.memory.slots.len() } else { 0 };
        slots::all().zip(self.memory.slots.iter()).take(kept)
    }

    fn weighted(&self, shard: u32) -> (u32, u32) {
        (shard, self.weights.get(shard as usize).copied().unwrap_or(1))
    }
}

/// Nobody who reads meanwhile counts more than was written.
fn write_cpu(record: &Cpu, shards: &[u32]) {
    let fewer = record.count.get().min(shards.len() as u64);
    record.count.set(fewer);
    for (place, &shard) in record.shards.iter().zip(shards) {
        place.set(shard.into());
    }
    record.count.set(shards.len() as u64);
}
