//! The object in the kernel, with the constants of a test, or the reason why it is not there.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use aya::maps::lpm_trie::Key;
use aya::maps::xdp::CpuMap;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use gateway_ebpf::abi::{CPUS_MAX, Counter, Listed, Placement, names};
use gateway_ebpf::{Address, Network, Rate, Skip, Strategy};
use rustix::thread::{CapabilitySet, capabilities};

static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/weir.bpf.o");

/// `XDP_DROP`.
pub(crate) const DROP: u32 = 1;
/// `XDP_PASS`.
pub(crate) const PASS: u32 = 2;
/// `XDP_REDIRECT`: the kernel would hand the packet on, which it does not for a frame of a test.
pub(crate) const REDIRECT: u32 = 4;

/// The variable that turns a skip for want of privilege into a failure.
const REQUIRE: &str = "WEIR_REQUIRE_BPF";

/// The variable that names a file for what is skipped, a line each.
const SKIPS: &str = "WEIR_SKIPS";

/// What programs are loaded with: see [`names`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Where clients come in.
    pub(crate) door: SocketAddr,
    pub(crate) strategy: Strategy,
    /// Per mille.
    pub(crate) slack: u32,
    pub(crate) placement: Placement,
    pub(crate) rate: Option<Rate>,
    pub(crate) limit_loopback: bool,
    /// The program that is run; the other one is not loaded.
    pub(crate) program: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            door: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            strategy: Strategy::Affinity,
            slack: 125,
            placement: Placement::Observe,
            rate: None,
            limit_loopback: false,
            program: names::STEER,
        }
    }
}

/// Maps and one XDP program.
pub(crate) struct Kernel {
    pub(crate) object: Ebpf,
    program: &'static str,
}

/// All counters, over all CPUs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts([u64; Counter::COUNT]);

impl Kernel {
    /// Loads the program; `None` if this process may not, which is said.
    pub(crate) fn load(setup: Setup) -> Option<Self> {
        let mut object = open(setup)?;
        let program: &mut Xdp = object.program_mut(setup.program).unwrap().try_into().unwrap();
        program.load().unwrap_or_else(|error| panic!("{error:?}"));
        Some(Self { object, program: setup.program })
    }

    /// What the program says of a frame, of 14 bytes at least, on the CPU of this thread.
    pub(crate) fn run(&self, frame: &[u8]) -> u32 {
        self.run_often(frame, 1).0
    }

    /// What it says of it at last, after so many times, and how long it takes each time.
    pub(crate) fn run_often(&self, frame: &[u8], repeat: u32) -> (u32, Duration) {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        let result = self.xdp().test_run(options).unwrap();
        (result.return_value, result.duration)
    }

    /// The program that is run.
    pub(crate) fn xdp(&self) -> &Xdp {
        self.object.program(self.program).unwrap().try_into().unwrap()
    }

    pub(crate) fn counts(&self) -> Counts {
        let counters: PerCpuArray<_, u64> = self.map(names::COUNTERS).try_into().unwrap();
        Counts(std::array::from_fn(|place| sum(&counters, place as u32)))
    }

    /// Packets sent to a CPU.
    pub(crate) fn redirects(&self, cpu: u32) -> u64 {
        sum(&self.map(names::REDIRECTS).try_into().unwrap(), cpu)
    }

    /// Adds prefixes to one of the two tables.
    pub(crate) fn list(&mut self, bank: usize, prefixes: &[(&str, Listed)]) {
        let mut table: LpmTrie<_, [u8; 16], u32> =
            self.map_mut(names::GUARDS[bank]).try_into().unwrap();
        for (prefix, listed) in prefixes {
            let network: Network = prefix.parse().unwrap();
            let key = Key::new(network.bits(), network.first().octets());
            table.insert(&key, *listed as u32, 0).unwrap();
        }
    }

    /// Sets one record of a table, in words.
    pub(crate) fn set<const N: usize>(&mut self, name: &str, at: u32, words: [u64; N]) {
        let mut array: Array<_, [u64; N]> = self.map_mut(name).try_into().unwrap();
        array.set(at, words, 0).unwrap();
    }

    /// One record of a table, in words.
    pub(crate) fn get<const N: usize>(&self, name: &str, at: u32) -> [u64; N] {
        let array: Array<_, [u64; N]> = self.map(name).try_into().unwrap();
        array.get(&at, 0).unwrap()
    }

    /// What a hash table holds for a key.
    pub(crate) fn look<const N: usize, V: aya::Pod>(&self, name: &str, key: [u8; N]) -> Option<V> {
        let table: HashMap<_, [u8; N], V> = self.map(name).try_into().unwrap();
        table.get(&key, 0).ok()
    }

    /// Makes a queue for a CPU.
    pub(crate) fn queue(&mut self, cpu: u32) {
        let mut queues: CpuMap<_> = self.map_mut(names::QUEUES).try_into().unwrap();
        queues.set(cpu, 64, None, 0).unwrap();
    }

    fn map(&self, name: &str) -> &Map {
        self.object.map(name).unwrap()
    }

    fn map_mut(&mut self, name: &str) -> &mut Map {
        self.object.map_mut(name).unwrap()
    }
}

fn sum(counters: &PerCpuArray<&MapData, u64>, place: u32) -> u64 {
    counters.get(&place, 0).unwrap().iter().sum()
}

impl Counts {
    /// One more of a counter.
    #[must_use]
    pub(crate) fn and(self, counter: Counter) -> Self {
        self.and_times(counter, 1)
    }

    /// So many more of a counter.
    #[must_use]
    pub(crate) fn and_times(mut self, counter: Counter, times: u64) -> Self {
        self.0[counter.index() as usize] += times;
        self
    }

    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] + other.0[place]))
    }

    /// One more packet without a segment.
    #[must_use]
    pub(crate) fn and_skipped(mut self, skip: Skip) -> Self {
        self.0[(Counter::Skipped.index() + skip.index()) as usize] += 1;
        self
    }

    pub(crate) fn skipped(&self, skip: Skip) -> u64 {
        self.0[(Counter::Skipped.index() + skip.index()) as usize]
    }

    pub(crate) fn of(&self, counter: Counter) -> u64 {
        self.0[counter.index() as usize]
    }
}

/// The maps, and programs that are not in the kernel yet; `None` if this process may not.
pub(crate) fn open(setup: Setup) -> Option<Ebpf> {
    if let Some(capability) = lacking() {
        return refused(&format!("this process has no {capability}"));
    }
    let octets = Address::from(setup.door.ip()).octets();
    let [interval, burst] =
        setup.rate.map_or([0; 2], |rate| [rate.interval_nanos(), rate.burst_nanos()]);
    let (strategy, placement) = (setup.strategy as u32, setup.placement as u32);
    let (port, limit_loopback) = (u32::from(setup.door.port()), u32::from(setup.limit_loopback));
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries(names::QUEUES, possible_cpus())
        .override_global(names::ADDRESS, &octets[..], true)
        .override_global(names::PORT, &port, true)
        .override_global(names::STRATEGY, &strategy, true)
        .override_global(names::SLACK, &setup.slack, true)
        .override_global(names::PLACEMENT, &placement, true)
        .override_global(names::RATE_INTERVAL, &interval, true)
        .override_global(names::RATE_BURST, &burst, true)
        .override_global(names::LIMIT_LOOPBACK, &limit_loopback, true);
    match loader.load(OBJECT) {
        Ok(object) => Some(object),
        Err(error) if is_refusal(&error) => refused("bpf(2) is refused here"),
        Err(error) => panic!("{error:?}"),
    }
}

/// CPUs that a queue can be made for: those with smaller numbers.
pub(crate) fn possible_cpus() -> u32 {
    nr_cpus().unwrap().min(CPUS_MAX) as u32
}

/// Skips a test for want of privilege, if that may be.
fn refused<T>(reason: &str) -> Option<T> {
    assert!(env::var_os(REQUIRE).is_none_or(|value| value != "1"), "{REQUIRE}=1, and {reason}");
    skip(reason)
}

/// Says why the test of this thread is not run: past what captures the output of tests that pass,
/// and to who asked for it in a file.
pub(crate) fn skip<T>(reason: &str) -> Option<T> {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a thread of a test");
    // At once, so that no other test's words are in between.
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = env::var_os(SKIPS) {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    None
}

/// The first capability that it takes and this process has not.
fn lacking() -> Option<&'static str> {
    let effective = capabilities(None).unwrap().effective;
    let needed = [
        ("CAP_BPF", CapabilitySet::BPF),
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
        ("CAP_PERFMON", CapabilitySet::PERFMON),
    ];
    needed.into_iter().find(|(_, one)| !effective.contains(*one)).map(|(name, _)| name)
}

/// Whether it is a system call that was not permitted, as in a container that filters it.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported))
        || error.source().is_some_and(is_refusal)
}

/// An address, as tests write it.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
