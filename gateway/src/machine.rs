//! What this machine gives a node: cores to pin to, descriptors, and a seed.

use std::hash::{BuildHasher, RandomState};

/// Descriptors of a process that are not connections: listeners, pollers, logs, libraries.
#[cfg(target_os = "linux")]
const DESCRIPTORS_RESERVED: u64 = 64;

/// A seed that an attacker cannot guess, for hashes of names that strangers choose.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().hash_one("weir")
}

/// Raises the process's descriptor limit as far as it may; gives the connections that fit beside
/// `others`, which are refused and only here to hear so.
#[cfg(target_os = "linux")]
#[must_use]
pub fn connections_allowed(others: u64) -> u32 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(u32::MAX, |descriptors| {
        let reserved = DESCRIPTORS_RESERVED.saturating_add(others);
        u32::try_from(descriptors.saturating_sub(reserved)).unwrap_or(u32::MAX)
    })
}

/// Elsewhere the system's own limits hold.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn connections_allowed(_others: u64) -> u32 {
    u32::MAX
}

/// CPUs to pin workers to, one per physical core first, then their siblings; empty if unknown.
#[cfg(target_os = "linux")]
#[must_use]
pub fn cores() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let allowed: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    by_core(allowed)
}

/// Without a way to pin there is no need to know.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn cores() -> Vec<usize> {
    Vec::new()
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// If the system refuses, as it does for a CPU outside of the process's mask.
#[cfg(target_os = "linux")]
pub fn pin(cpu: usize) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Elsewhere the system's scheduler decides.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn pin(_cpu: usize) -> std::io::Result<()> {
    Ok(())
}

/// Puts one CPU of each core first, as hwloc sees cores; the plain order if it sees nothing.
#[cfg(all(target_os = "linux", feature = "numa"))]
fn by_core(allowed: Vec<usize>) -> Vec<usize> {
    use hwlocality::Topology;
    use hwlocality::object::types::ObjectType;

    let Ok(topology) = Topology::new() else { return allowed };
    let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(allowed.len());
    for core in topology.objects_with_type(ObjectType::Core) {
        let Some(cpus) = core.cpuset() else { continue };
        let cpus = cpus.iter_set().map(usize::from).filter(|cpu| allowed.contains(cpu));
        ranked.extend(cpus.enumerate());
    }
    if ranked.len() < allowed.len() {
        return allowed;
    }
    // The sort is stable: cores stay in hwloc's order, which goes node by node.
    ranked.sort_by_key(|&(sibling, _)| sibling);
    ranked.into_iter().map(|(_, cpu)| cpu).collect()
}

#[cfg(all(target_os = "linux", not(feature = "numa")))]
fn by_core(allowed: Vec<usize>) -> Vec<usize> {
    allowed
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_cpu_is_listed_once_and_can_be_pinned_to() {
        let mut cores = cores();
        assert!(!cores.is_empty());
        for &cpu in &cores {
            std::thread::spawn(move || {
                pin(cpu).unwrap();
                assert_eq!(super::cores(), [cpu]);
            })
            .join()
            .unwrap();
        }
        let listed = cores.len();
        cores.sort_unstable();
        cores.dedup();
        assert_eq!(cores.len(), listed);
    }

    #[test]
    fn others_take_the_place_of_connections() {
        let allowed = connections_allowed(0);
        assert!(allowed > 0);
        assert_eq!(connections_allowed(0), allowed, "raised once");
        assert_eq!(connections_allowed(10), allowed - 10);
        assert_eq!(connections_allowed(u64::MAX), 0);
    }
}
