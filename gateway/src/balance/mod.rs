//! Which shard serves a newcomer, decided in user space by the function that decides in the kernel.
//!
//! A kernel's program sees a connection before any shard does; without one the shard whose listener
//! the system took accepts it, asks here, and passes it on before anything was read. So every
//! strategy holds whatever the system lets us have.

mod records;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::id::ShardId;
use gateway_ebpf::abi::{Cpu, Group, Shard, Total};
use gateway_ebpf::{
    Address, Ask, Choice, How, Rules, SCAN_MAX, Source, Strategy, Tables, UNLIMITED, choose, hash,
};
use gateway_registry::census::Census;

use crate::config::BalanceConfig;
use crate::others::Newcomer;
use crate::steer::Memory;

use self::records::Records;
pub(crate) use self::records::{Seated, Whereabouts};

/// Who serves, and by which rules newcomers are spread over them.
#[derive(Debug)]
pub(crate) struct Balance {
    rules: Rules,
    records: Records,
    /// Whether newcomers come where the strategy wants them, so that nobody is passed on unless its
    /// shard takes no more. Written by whoever attaches a program.
    decided: AtomicBool,
    /// Newcomers that were asked for; what is drawn for each follows from it.
    asked: AtomicU32,
    seed: u32,
    /// Held while a turn is taken: a turn is read and then written, and no two may be the same.
    turning: Mutex<()>,
}

impl Balance {
    /// For up to so many shards, of which none serves yet. `cpus` are those on which packets may
    /// arrive, for the kernel's choices.
    pub(crate) fn new(
        config: &BalanceConfig,
        memory: Arc<Memory>,
        shards_max: usize,
        cpus: Vec<Seated>,
        seed: u64,
    ) -> Self {
        Self {
            rules: config.rules(),
            records: Records::new(config, memory, shards_max, cpus),
            decided: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            seed: hash::mix(seed as u32) ^ (seed >> 32) as u32,
            turning: Mutex::new(()),
        }
    }

    /// From now on newcomers may be sent to the shard.
    pub(crate) fn serve(&self, shard: ShardId, whereabouts: Whereabouts) {
        self.records.serve(shard, whereabouts);
    }

    /// From now on they are not.
    pub(crate) fn withdraw(&self, shard: ShardId) {
        self.records.withdraw(shard);
    }

    /// Says that the system chooses listeners as the strategy would.
    pub(crate) fn decide_elsewhere(&self) {
        self.decided.store(true, Ordering::Relaxed);
    }

    /// The shard for a newcomer that `here` has accepted; none if all are full or leaving.
    pub(crate) fn shard_for(
        &self,
        here: ShardId,
        newcomer: &Newcomer,
        census: &Census,
    ) -> Option<ShardId> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let ask = Ask {
            cpu: 0,
            hash: hash::mix(number ^ self.seed),
            source_hash: hash::of_source(Source::of(Address::from(newcomer.peer.ip()))),
        };
        let rules = match self.decided.load(Ordering::Relaxed) {
            true => Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED },
            false => self.rules,
        };
        let view = View::from(here, &self.records, census);
        let chosen = match self.choose(&view, rules, ask) {
            Choice { how: How::Full, .. } => self.open_beyond(&view)?,
            Choice { shard, .. } => shard,
        };
        Some(ShardId(u16::try_from(chosen).expect("a shard's number is its id")))
    }

    /// A shard that takes one more, if there are more than a choice looks at.
    fn open_beyond(&self, view: &View<'_>) -> Option<u32> {
        if view.total()?.serving.number() <= SCAN_MAX {
            return None;
        }
        let is_open = |&number: &u32| view.shard(number).is_some_and(Shard::is_open);
        self.records.serving().find(is_open)
    }

    fn choose(&self, view: &View<'_>, rules: Rules, ask: Ask) -> Choice {
        let turns = rules.strategy == Strategy::RoundRobin;
        let _turning = turns.then(|| self.turning.lock().unwrap_or_else(PoisonError::into_inner));
        choose(view, rules, ask)
    }
}

/// The records as one newcomer sees them: with what the census says now, and on a CPU whose shard
/// is the one that has accepted it. Where its packets will arrive nobody knows who does not steer
/// them, and whoever follows the CPU of its first ones pays for the way at once.
struct View<'a> {
    records: &'a Records,
    census: &'a Census,
    near: Cpu,
}

impl<'a> View<'a> {
    fn from(here: ShardId, records: &'a Records, census: &'a Census) -> Self {
        let near = Cpu::default();
        near.count.set(1);
        near.shards[0].set(here.0.into());
        near.group.set(records.group_of(here).into());
        Self { records, census, near }
    }
}

impl Tables for View<'_> {
    fn shard(&self, number: u32) -> Option<&Shard> {
        let shard = self.records.shard(number)?;
        if !self.records.are_mirrored() {
            shard.live.set(self.census.shard(number as usize).live().into());
        }
        Some(shard)
    }

    fn cpu(&self, _: u32) -> Option<&Cpu> {
        Some(&self.near)
    }

    fn group(&self, number: u32) -> Option<&Group> {
        self.records.group(number)
    }

    fn slot(&self, number: u32) -> u32 {
        self.records.slot(number)
    }

    fn total(&self) -> Option<&Total> {
        let total = self.records.total();
        if !self.records.are_mirrored() {
            total.live.set(self.census.live());
        }
        Some(total)
    }
}
