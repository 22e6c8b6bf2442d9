//! What this machine gives a node: cores to pin to, CPU time, descriptors, and a seed.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::doctor::Cpus;
use crate::plan::{self, Machine, Plan, PlanError, Quota, Request, cgroup};

/// Descriptors of a process that are not connections: listeners, pollers, logs, libraries.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 64;

/// A seed that an attacker cannot guess, for hashes of names that strangers choose.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().hash_one("weir")
}

/// Raises the process's descriptor limit as far as it may; gives the connections that fit beside
/// `others`, which are refused and only here to hear so.
#[cfg(all(target_os = "linux", not(weir_portable)))]
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

/// Makes the process's table of descriptors large enough for so many, now.
///
/// The kernel doubles it when it is full, and in a process with threads it waits meanwhile until
/// no CPU looks at the old one: whoever accepts the 1,024th connection, the 2,048th and so on
/// stands still for some 10 ms. The table takes nine bytes a descriptor and never shrinks. What
/// cannot be had now is tried again by the kernel when it is needed.
#[cfg(all(target_os = "linux", not(weir_portable)))]
pub fn make_room_for_descriptors(count: u32) {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::io::fcntl_dupfd_cloexec;

    let last = i32::try_from(count).unwrap_or(i32::MAX).saturating_sub(1);
    // Any descriptor will do: it is the last one's number that counts, and both are closed here.
    let any = eventfd(0, EventfdFlags::CLOEXEC);
    let _ = any.and_then(|any| fcntl_dupfd_cloexec(any, last));
}

/// Elsewhere tables grow as they do.
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
pub fn make_room_for_descriptors(_count: u32) {}

/// Elsewhere the system's own limits hold.
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
#[must_use]
pub fn connections_allowed(_others: u64) -> u32 {
    u32::MAX
}

/// Plans workers and shards for this machine: its cores, this process's affinity mask and cgroup
/// quota, which replaces the request's. Workers that cannot be pinned, or shall not, have no CPU.
///
/// # Errors
/// If the request makes no sense here; see [`plan::plan`].
pub fn plan(request: Request, pin: bool) -> Result<Plan, PlanError> {
    let allowed = allowed_cpus();
    let (machine, pin) = if allowed.is_empty() {
        // As many cores as the system says; their numbers mean nothing.
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        (Machine::flat(&(0..cpus).collect::<Vec<_>>()), false)
    } else {
        (Machine::read(&allowed), pin)
    };
    let plan = plan::plan(&machine, &Request { quota: quota(), ..request })?;
    Ok(if pin { plan } else { plan.unpinned() })
}

/// The CPU time that this process may use, if that is bounded and can be found out.
#[must_use]
pub fn quota() -> Option<Quota> {
    cgroup::quota(Path::new("/")).unwrap_or_else(|error| {
        warn!(%error, "the cgroup's CPU quota is not known and not taken into account");
        None
    })
}

/// The CPUs of this thread's affinity mask, ascending; empty if unknown.
#[cfg(all(target_os = "linux", not(weir_portable)))]
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect()
}

/// Without a way to pin there is no need to know.
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

/// All CPUs of the machine and the NUMA nodes that they are on: packets arrive on whichever the
/// network card interrupts, be it ours or not. None where the system does not tell.
pub(crate) fn seats() -> Vec<(u32, u32)> {
    seats_in(Path::new("/sys/devices/system"))
}

fn seats_in(system: &Path) -> Vec<(u32, u32)> {
    let list = |path: PathBuf| {
        let cpus = std::fs::read_to_string(path).ok().and_then(|text| Cpus::of_list(&text));
        cpus.unwrap_or_default().0.into_iter().filter_map(|cpu| u32::try_from(cpu).ok())
    };
    let nodes = std::fs::read_dir(system.join("node")).into_iter().flatten();
    let number = |name: OsString| name.to_str()?.strip_prefix("node")?.parse::<u32>().ok();
    let nodes = nodes.filter_map(|entry| number(entry.ok()?.file_name()));
    let mut seats: Vec<_> = nodes
        .flat_map(|node| {
            list(system.join(format!("node/node{node}/cpulist"))).map(move |cpu| (cpu, node))
        })
        .collect();
    if seats.is_empty() {
        seats = list(system.join("cpu/possible")).map(|cpu| (cpu, 0)).collect();
    }
    seats.sort_unstable();
    seats
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// If the system refuses, as it does for a CPU outside of the process's mask.
#[cfg(all(target_os = "linux", not(weir_portable)))]
pub fn pin(cpu: usize) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Elsewhere the system's scheduler decides.
///
/// # Errors
/// Never.
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
pub fn pin(_cpu: usize) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux", not(weir_portable)))]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_cpu_can_be_pinned_to_and_is_then_all_there_is_to_plan_with() {
        let allowed = allowed_cpus();
        assert!(!allowed.is_empty());
        for cpu in allowed {
            let pinned = std::thread::spawn(move || {
                pin(cpu).unwrap();
                assert_eq!(allowed_cpus(), [cpu]);
                plan(Request::default(), true).unwrap()
            });
            let plan = pinned.join().unwrap();
            let [worker] = &plan.workers[..] else { panic!("one worker: {plan:?}") };
            assert_eq!((worker.cpu, &worker.shards, plan.cores), (Some(cpu), &(0..1), 1));
        }
    }

    #[test]
    fn a_plan_of_this_machine_names_allowed_cpus_once() {
        let plan_of = |pin| plan(Request::default(), pin).unwrap();
        let mut cpus: Vec<_> = plan_of(true).workers.iter().map(|worker| worker.cpu).collect();
        let allowed = allowed_cpus();
        assert!(cpus.iter().all(|cpu| cpu.is_some_and(|cpu| allowed.contains(&cpu))), "{cpus:?}");
        cpus.sort_unstable();
        assert!(cpus.is_sorted_by(|a, b| a < b), "{cpus:?}");
        assert!(plan_of(false).workers.iter().all(|worker| worker.cpu.is_none()));
    }

    #[test]
    fn every_cpu_of_the_machine_has_a_seat_on_its_node() {
        let system = std::env::temp_dir().join(format!("weir-seats-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = system.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert!(seats_in(&system).is_empty(), "nobody tells");
        write("cpu/possible", "0-2\n");
        assert_eq!(seats_in(&system), [(0, 0), (1, 0), (2, 0)]);
        write("node/node0/cpulist", "0,2\n");
        write("node/node1/cpulist", "1,3\n");
        write("node/possible", "0-1\n");
        assert_eq!(seats_in(&system), [(0, 0), (1, 1), (2, 0), (3, 1)]);
        std::fs::remove_dir_all(system).unwrap();
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
