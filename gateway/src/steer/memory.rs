//! Where the records of who serves are kept: in this process alone, or where the kernel's programs
//! read them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gateway_ebpf::NOBODY;
use gateway_ebpf::abi::{Cpu, GROUPS, Group, SLOTS, Shard, Total, Word};
use gateway_registry::census::Mirror;

/// Records of one kind, wherever they are.
pub(crate) type Block<T> = Box<dyn Deref<Target = [T]> + Send + Sync>;

/// All records: nobody serves before they say so.
pub(crate) struct Memory {
    /// By number.
    pub(crate) shards: Block<Shard>,
    /// One.
    pub(crate) total: Block<Total>,
    /// By number; none where no program reads them.
    pub(crate) cpus: Block<Cpu>,
    /// Everyone, and by NUMA node.
    pub(crate) groups: Block<Group>,
    /// The shards of hashes.
    pub(crate) slots: Block<Word>,
    pub(super) kernels: bool,
}

impl Memory {
    /// For this process alone: up to so many shards, on NUMA nodes with numbers below `nodes`.
    pub(crate) fn own(shards: usize, nodes: usize) -> Self {
        let memory = Self {
            shards: own(shards),
            total: own(1),
            // Only the kernel asks what is near a CPU.
            cpus: own(0),
            groups: own((nodes + 1).min(GROUPS)),
            slots: own(SLOTS),
            kernels: false,
        };
        memory.vacate();
        memory
    }

    /// Has no slot belong to a shard: memory is made of zeros, by which all would be the first
    /// one's before it is there.
    pub(super) fn vacate(&self) {
        self.slots.iter().for_each(|slot| slot.set(NOBODY.into()));
    }

    /// Whether the kernel's programs read it.
    pub(crate) fn is_kernels(&self) -> bool {
        self.kernels
    }
}

/// The census writes how much each shard holds, and all of them, where the kernel reads it.
#[derive(Debug)]
pub(crate) struct Mirrored(pub(crate) Arc<Memory>);

impl Mirror for Mirrored {
    fn shards(&self) -> usize {
        self.0.shards.len()
    }

    fn shard(&self, index: usize) -> &AtomicU64 {
        self.0.shards[index].live.atomic()
    }

    fn total(&self) -> &AtomicU64 {
        self.0.total[0].live.atomic()
    }
}

fn own<T: Default + Send + Sync + 'static>(count: usize) -> Block<T> {
    let records: Box<[T]> = (0..count).map(|_| T::default()).collect();
    Box::new(records)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shards, groups, .. } = self;
        f.debug_struct("Memory")
            .field("shards", &shards.len())
            .field("groups", &groups.len())
            .finish_non_exhaustive()
    }
}
