//! The records that kernel and host share: tables of who serves, in the form of map values.
//!
//! The host writes them with plain stores into maps that it has mapped into its memory, and the
//! programs read them; only a few say that both write. So every field is a [`Word`], is read alone,
//! and may be newer or older than its neighbour: whoever chooses a shard looks at that
//! shard's own record before it goes there, so that a table read in the middle of a change gives a
//! choice that was right before or is right now.

#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{AtomicU64, Ordering};

use crate::Address;

/// A number that one side writes while the other reads it: 8 bytes in the machine's byte order.
///
/// The compiler for the kernel has no atomic of any kind, but loads and stores 8 aligned bytes in
/// one instruction. So programs cannot add to a word in one step.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(
    #[cfg(not(target_arch = "bpf"))] AtomicU64,
    #[cfg(target_arch = "bpf")] core::cell::Cell<u64>,
);

const _: () = assert!(size_of::<Word>() == 8 && align_of::<Word>() == 8);

#[cfg(not(target_arch = "bpf"))]
impl Word {
    /// A word that says so.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// What it says.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Has it say something else.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The word itself, for who needs more than to read and write it.
    #[must_use]
    pub const fn atomic(&self) -> &AtomicU64 {
        &self.0
    }
}

#[cfg(target_arch = "bpf")]
impl Word {
    /// What it says.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Has it say something else.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }
}

impl Word {
    /// What it says, where that is the number of a shard, CPU or group, or a count of such.
    #[inline(always)]
    #[must_use]
    pub fn number(&self) -> u32 {
        self.get() as u32
    }
}

/// Shards that tables have records for, a power of two.
pub const SHARDS_MAX: usize = 1024;

/// CPUs that tables have records for; packets of others have no shard of their own.
pub const CPUS_MAX: usize = 1024;

/// NUMA nodes that tables have groups for, besides [`EVERYONE`]; shards of others are in that
/// group only.
pub const NODES_MAX: usize = 63;

/// The group of all shards that serve. Node *n*'s group is *n* + 1.
pub const EVERYONE: u32 = 0;

/// Groups of shards: everyone, and one for each NUMA node.
pub const GROUPS: usize = NODES_MAX + 1;

/// Slots of the table that hashes are looked up in; see [`crate::slots`].
pub const SLOTS: usize = 1024;

/// Shards that a CPU's record has room for, a power of two; a CPU that turns more gives the others
/// connections only when these are full.
pub const CPU_SHARDS_MAX: usize = 16;

/// One shard: how much it holds, and whether it takes more.
///
/// 64 bytes in the machine's byte order, a cache line of its own, so that shards that write theirs
/// do not slow each other.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Shard {
    /// Connections that it has.
    pub live: Word,
    /// Connections that it may have.
    pub capacity: Word,
    /// 1 if it takes connections; 0 if it is not there, or leaving.
    pub serving: Word,
    /// The CPU that it is turned on; [`u32::MAX`] if it is not always the same.
    pub cpu: Word,
    /// The group of that CPU's NUMA node.
    pub group: Word,
}

const _: () = assert!(size_of::<Shard>() == 64 && align_of::<Shard>() == 64);

impl Shard {
    /// Whether it takes one more connection.
    #[inline(always)]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.serving.get() != 0 && self.live.get() < self.capacity.get()
    }
}

/// The node as a whole: what a shard's share is measured by. 64 bytes, for one map entry.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Total {
    /// Connections of all shards.
    pub live: Word,
    /// Whose turn it is, by [`Strategy::RoundRobin`](crate::Strategy::RoundRobin): written by
    /// whoever chooses; two that choose at the same moment may take the same turn.
    pub turn: Word,
    /// Shards that serve.
    pub serving: Word,
    /// Whether some flow is served elsewhere than its slot says, so that flows are looked up one
    /// by one: 0 or 1. Written by the programs, and never set back.
    pub flows: Word,
    /// Which of the two guard tables counts: 0 or 1.
    pub guard: Word,
}

const _: () = assert!(size_of::<Total>() == 64 && align_of::<Total>() == 64);

/// What a CPU is nearest to: the shards that are turned on it, or, where none is, those that it
/// was given. 192 bytes.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Cpu {
    /// How many of `shards` count.
    pub count: Word,
    /// The group of the CPU's NUMA node.
    pub group: Word,
    /// Their numbers.
    pub shards: [Word; CPU_SHARDS_MAX],
}

const _: () = assert!(size_of::<Cpu>() == 192 && align_of::<Cpu>() == 64);

/// Shards that one looks among when a connection cannot go where it should. 8,256 bytes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Group {
    /// How many of `shards` count.
    pub count: Word,
    unused: [u64; 7],
    /// Their numbers.
    pub shards: [Word; SHARDS_MAX],
}

const _: () = assert!(size_of::<Group>() == 64 + 8 * SHARDS_MAX && align_of::<Group>() == 64);

impl Default for Group {
    fn default() -> Self {
        let shards = core::array::from_fn(|_| Word::default());
        Self { count: Word::default(), unused: [0; 7], shards }
    }
}

/// What a connection is recognised by while its packets are steered. 40 bytes, no padding: the key
/// of a map.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct Flow {
    /// Who sent it.
    pub source: [u8; 16],
    /// For whom it is.
    pub destination: [u8; 16],
    /// The sender's port, in host order.
    pub source_port: u32,
    /// The receiver's port, in host order.
    pub destination_port: u32,
}

const _: () = assert!(size_of::<Flow>() == 40 && align_of::<Flow>() == 4);

/// Where the gateway listens: load-time constants of the programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Door {
    /// The address, or the unspecified one of either family for all of the machine's.
    pub address: Address,
    /// The port, in host order.
    pub port: u16,
}

impl Door {
    /// Whether what is sent to this address and port comes in here.
    #[inline(always)]
    #[must_use]
    pub const fn is_at(self, address: Address, port: u16) -> bool {
        const V4: u128 = u128::from_ne_bytes(Address::v4([0; 4]).octets());
        let own = u128::from_ne_bytes(self.address.octets());
        let any = own == 0 || own == V4;
        port == self.port && (any || own == u128::from_ne_bytes(address.octets()))
    }
}

/// What a prefix list says of an address: the value of a map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Listed {
    /// No prefix holds it.
    Nowhere = 0,
    /// The longest prefix that holds it lets it in, as often as it likes.
    Allowed = 1,
    /// The longest prefix that holds it keeps it out.
    Denied = 2,
}

impl Listed {
    /// What a map's value says; what is unknown says nothing.
    #[inline(always)]
    #[must_use]
    pub const fn of(value: u32) -> Self {
        match value {
            1 => Self::Allowed,
            2 => Self::Denied,
            _ => Self::Nowhere,
        }
    }
}

/// Where XDP sends a packet: a load-time constant of the programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u32)]
pub enum Placement {
    /// Nowhere else: it is judged and counted, and goes on where it arrived.
    #[default]
    Observe = 0,
    /// To a CPU of its shard's NUMA node, unless it arrived on that node.
    Node = 1,
    /// To its shard's CPU, unless it arrived there.
    Core = 2,
}

/// What the programs count, each in its place of one array per CPU.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Counter {
    /// Packets that went on where they had arrived.
    Pass = 0,
    /// Packets that asked for a connection from a denied prefix.
    Deny = 1,
    /// Packets that asked for a connection beyond their source's rate.
    Rate = 2,
    /// Packets that asked for a connection near their source's rate, and were dropped by chance.
    Shed = 3,
    /// Packets that were sent to another CPU.
    Redirect = 4,
    /// Packets that were to be sent to another CPU, and went on here, as it has no queue.
    Stuck = 5,
    /// Choices of a listener that fell on the strategy's first choice.
    Placed = 6,
    /// Choices of a listener that fell on another shard, as the first was full, leaving or beyond
    /// its bound.
    Spilled = 7,
    /// Choices of a listener when all shards were full: whoever comes hears so.
    Full = 8,
    /// Choices that were left to the kernel, since the table had no listener there.
    Unlisted = 9,
    /// Connections of a closed listener that were given to another.
    Migrated = 10,
    /// Packets in which no TCP segment was found, by [`Skip`](crate::Skip): five places from here.
    Skipped = 11,
}

impl Counter {
    /// Places of the array: the last counter has five.
    pub const COUNT: usize = Self::Skipped as usize + crate::Skip::ALL.len();

    /// Its place in the array.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

/// Names and sizes of the maps, and names of the programs and of their load-time constants.
pub mod names {
    /// [`Shard`](super::Shard) by number, mapped by the host.
    pub const SHARDS: &str = "SHARDS";
    /// One [`Total`](super::Total), mapped by the host.
    pub const TOTAL: &str = "TOTAL";
    /// [`Cpu`](super::Cpu) by number, mapped by the host.
    pub const CPUS: &str = "CPUS";
    /// [`Group`](super::Group) by number, mapped by the host.
    pub const GROUPS: &str = "GROUPS";
    /// Shards by slot, mapped by the host.
    pub const SLOTS: &str = "SLOTS";
    /// Listeners by shard.
    pub const LISTENERS: &str = "LISTENERS";
    /// Queues of CPUs to redirect to, by CPU.
    pub const QUEUES: &str = "QUEUES";
    /// [`Listed`](super::Listed) by prefix: the two tables, of which one counts.
    pub const GUARDS: [&str; 2] = ["GUARD_A", "GUARD_B"];
    /// Buckets by source.
    pub const SOURCES: &str = "SOURCES";
    /// CPUs by [`Flow`](super::Flow), where a slot says otherwise.
    pub const FLOWS: &str = "FLOWS";
    /// Counters of each CPU, by [`Counter`](super::Counter).
    pub const COUNTERS: &str = "COUNTERS";
    /// Redirects of each CPU, by the CPU that they went to.
    pub const REDIRECTS: &str = "REDIRECTS";

    /// The XDP program for frames of one buffer.
    pub const STEER: &str = "steer";
    /// The XDP program for frames of several.
    pub const STEER_FRAGS: &str = "steer_frags";
    /// The program that chooses a listener.
    pub const SELECT: &str = "select";

    /// The [`Door`](super::Door)'s address, in network order.
    pub const ADDRESS: &str = "ADDRESS";
    /// The [`Door`](super::Door)'s port, in host order, as a `u32`.
    pub const PORT: &str = "PORT";
    /// A [`Strategy`](crate::Strategy).
    pub const STRATEGY: &str = "STRATEGY";
    /// Per mille, or [`UNLIMITED`](crate::UNLIMITED).
    pub const SLACK: &str = "SLACK";
    /// A [`Placement`](super::Placement).
    pub const PLACEMENT: &str = "PLACEMENT";
    /// The [`Rate`](crate::Rate)'s two times, in nanoseconds; 0 for no bound.
    pub const RATE_INTERVAL: &str = "RATE_INTERVAL";
    /// See [`RATE_INTERVAL`].
    pub const RATE_BURST: &str = "RATE_BURST";
    /// Whether this machine's own addresses have a rate too: 0 or 1.
    pub const LIMIT_LOOPBACK: &str = "LIMIT_LOOPBACK";
}

/// Prefixes that each guard table has room for.
pub const GUARD_MAX: u32 = 65_536;
/// Sources whose buckets are kept; the least recently seen is forgotten first.
pub const SOURCES_MAX: u32 = 65_536;
/// Flows that are remembered; the least recently seen is forgotten first.
pub const FLOWS_MAX: u32 = 65_536;
