//! The maps and load-time constants of the programs; names and sizes are those of `abi`.

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::btf_maps::{Array, CpuMap, LpmTrie, LruHashMap, PerCpuArray, ReusePortSockArray};
use aya_ebpf::macros::btf_map;
use gateway_ebpf::abi::{self, Counter, Cpu, Flow, Group, Listed, Shard, Total, Word};
use gateway_ebpf::{Address, NOBODY, Rules, Source, Strategy, Tables};

/// The host maps these into its memory.
const MAPPED: usize = BPF_F_MMAPABLE as usize;
/// The kernel knows no other tries.
const GROWING: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static SHARDS: Array<Shard, { abi::SHARDS_MAX }, MAPPED> = Array::new();
#[btf_map]
static TOTAL: Array<Total, 1, MAPPED> = Array::new();
#[btf_map]
static CPUS: Array<Cpu, { abi::CPUS_MAX }, MAPPED> = Array::new();
#[btf_map]
static GROUPS: Array<Group, { abi::GROUPS }, MAPPED> = Array::new();
#[btf_map]
static SLOTS: Array<Word, { abi::SLOTS }, MAPPED> = Array::new();
#[btf_map]
pub(crate) static LISTENERS: ReusePortSockArray<{ abi::SHARDS_MAX }> = ReusePortSockArray::new();
#[btf_map]
pub(crate) static QUEUES: CpuMap<{ abi::CPUS_MAX }> = CpuMap::new();
#[btf_map]
static GUARD_A: LpmTrie<[u8; 16], u32, { abi::GUARD_MAX as usize }, GROWING> = LpmTrie::new();
#[btf_map]
static GUARD_B: LpmTrie<[u8; 16], u32, { abi::GUARD_MAX as usize }, GROWING> = LpmTrie::new();
#[btf_map]
pub(crate) static SOURCES: LruHashMap<Source, u64, { abi::SOURCES_MAX as usize }> =
    LruHashMap::new();
#[btf_map]
pub(crate) static FLOWS: LruHashMap<Flow, u32, { abi::FLOWS_MAX as usize }> = LruHashMap::new();
#[btf_map]
static COUNTERS: PerCpuArray<u64, { Counter::COUNT }> = PerCpuArray::new();
#[btf_map]
static REDIRECTS: PerCpuArray<u64, { abi::CPUS_MAX }> = PerCpuArray::new();

/// Constants that the host sets before it loads the programs, so that the kernel leaves out what
/// they rule out.
macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(
            // SAFETY: nothing else in the object has such a name.
            #[unsafe(no_mangle)]
            pub(crate) static $name: Global<$type> = Global::new($value);
        )*
    };
}

constants! {
    ADDRESS: [u64; 2] = [0; 2];
    PORT: u32 = 0;
    STRATEGY: u32 = 0;
    SLACK: u32 = 0;
    PLACEMENT: u32 = 0;
    RATE_INTERVAL: u64 = 0;
    RATE_BURST: u64 = 0;
    LIMIT_LOOPBACK: u32 = 0;
}

/// The kernel's copy of the tables.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn shard(&self, number: u32) -> Option<&Shard> {
        SHARDS.get(number)
    }

    #[inline(always)]
    fn cpu(&self, number: u32) -> Option<&Cpu> {
        CPUS.get(number)
    }

    #[inline(always)]
    fn group(&self, number: u32) -> Option<&Group> {
        GROUPS.get(number)
    }

    #[inline(always)]
    fn slot(&self, number: u32) -> u32 {
        SLOTS.get(number).map_or(NOBODY, Word::number)
    }

    #[inline(always)]
    fn total(&self) -> Option<&Total> {
        TOTAL.get(0)
    }
}

/// What the host was asked for.
#[inline(always)]
pub(crate) fn rules() -> Rules {
    Rules { strategy: Strategy::of(STRATEGY.load()), slack_permille: SLACK.load() }
}

/// What the table that counts says of an address.
#[inline(always)]
pub(crate) fn listed(address: Address) -> Listed {
    let key = Key::new(128, address.octets());
    let second = Maps.total().is_some_and(|total| total.guard.get() != 0);
    let value = if second { GUARD_B.get(&key) } else { GUARD_A.get(&key) };
    value.map_or(Listed::Nowhere, |value| Listed::of(*value))
}

/// One more, on this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    count_at(counter.index());
}

/// One more in a place of the counters.
#[inline(always)]
pub(crate) fn count_at(place: u32) {
    if let Some(count) = COUNTERS.get_ptr_mut(place) {
        // SAFETY: the entry is this CPU's own, and a program is not interrupted by itself.
        unsafe { *count += 1 };
    }
}

/// One more packet sent to that CPU, by this one.
#[inline(always)]
pub(crate) fn count_redirect(cpu: u32) {
    if let Some(count) = REDIRECTS.get_ptr_mut(cpu) {
        // SAFETY: as in `count_at`.
        unsafe { *count += 1 };
    }
}
