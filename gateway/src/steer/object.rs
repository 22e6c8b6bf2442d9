//! The programs' object: embedded in the binary, loaded with the constants of this node.

use std::os::fd::AsFd;

use aya::maps::{Map, MapData};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use gateway_ebpf::abi::{self, CPUS_MAX, Door, GROUPS, SHARDS_MAX, SLOTS, names};
use gateway_ebpf::{Rate, Rules};

use super::error::KernelError;
use super::kept::Kept;
use super::mapped::{Mapped, Record};
use super::memory::{Block, Memory};

/// Built by `cargo xtask ebpf`.
static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/weir.bpf.o");

/// What the programs of a node are built for: load-time constants, by which the kernel leaves out
/// all that they rule out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    /// Where clients come in.
    pub(crate) door: Door,
    /// How a listener is chosen.
    pub(crate) rules: Rules,
    /// Where packets are sent.
    pub(crate) placement: abi::Placement,
    /// How often a source may come; none for as often as it likes.
    pub(crate) rate: Option<Rate>,
    /// Whether this machine's own addresses have a rate too.
    pub(crate) limit_loopback: bool,
    /// Whether the programs say what happens often, too.
    pub(crate) debug: bool,
}

/// Has the kernel make the maps, except those that are kept from the process before. The programs
/// are not in it yet: see [`aya::programs`].
///
/// # Errors
/// What the kernel refused.
pub(crate) fn load(constants: &Constants, kept: Option<&Kept>) -> Result<Ebpf, KernelError> {
    let Constants { door, rules, placement, rate, limit_loopback, debug } = constants;
    let cpus = nr_cpus().map_err(|(_, error)| KernelError::System("CPUs", error))?;
    let queues = u32::try_from(cpus.min(CPUS_MAX)).expect("CPUs are few");
    let octets = door.address.octets();
    let (port, strategy) = (u32::from(door.port), rules.strategy as u32);
    let (placement, limit_loopback) = (*placement as u32, u32::from(*limit_loopback));
    let [interval, burst] = rate.map_or([0; 2], |rate| [rate.interval_nanos(), rate.burst_nanos()]);
    let level = if *debug { log::Level::Debug } else { log::Level::Warn } as u8;
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries(names::QUEUES, queues)
        .override_global(names::ADDRESS, &octets[..], true)
        .override_global(names::PORT, &port, true)
        .override_global(names::STRATEGY, &strategy, true)
        .override_global(names::SLACK, &rules.slack_permille, true)
        .override_global(names::PLACEMENT, &placement, true)
        .override_global(names::RATE_INTERVAL, &interval, true)
        .override_global(names::RATE_BURST, &burst, true)
        .override_global(names::LIMIT_LOOPBACK, &limit_loopback, true)
        .override_global("AYA_LOG_LEVEL", &level, true);
    for (name, path) in kept.into_iter().flat_map(Kept::found) {
        loader.map_pin_path(name, path);
    }
    loader.load(OBJECT).map_err(KernelError::load)
}

/// The maps that this process writes by itself, in its memory.
///
/// # Errors
/// What the system refused.
pub(crate) fn memory(object: &Ebpf) -> Result<Memory, KernelError> {
    Ok(Memory {
        shards: block(object, names::SHARDS, SHARDS_MAX)?,
        total: total(object)?,
        cpus: block(object, names::CPUS, CPUS_MAX)?,
        groups: block(object, names::GROUPS, GROUPS)?,
        slots: block(object, names::SLOTS, SLOTS)?,
        kernels: true,
    })
}

/// The record of all, once more: the guard counts in it what it has written.
///
/// # Errors
/// What the system refused.
pub(crate) fn total(object: &Ebpf) -> Result<Block<abi::Total>, KernelError> {
    block(object, names::TOTAL, 1)
}

fn block<T: Record + 'static>(
    object: &Ebpf,
    name: &'static str,
    count: usize,
) -> Result<Block<T>, KernelError> {
    let map = data(object.map(name)).ok_or(KernelError::Object(name))?;
    let mapped = Mapped::of(map.fd().as_fd(), count);
    Ok(Box::new(mapped.map_err(|error| KernelError::System(name, error))?))
}

fn data(map: Option<&Map>) -> Option<&MapData> {
    match map {
        Some(Map::Array(data)) => Some(data),
        _ => None,
    }
}

/// Whatever the programs say, to be read by who calls [`EbpfLogger::flush`].
///
/// # Errors
/// If the object has no log.
pub(crate) fn logger<L: log::Log>(object: &mut Ebpf, log: L) -> Result<EbpfLogger<L>, KernelError> {
    EbpfLogger::init_with_logger(object, log).map_err(|_| KernelError::Object("AYA_LOGS"))
}
