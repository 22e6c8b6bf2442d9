//! Queues of CPUs that packets are sent to, and the kernel's threads that serve them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use super::error::KernelError;
use super::kernel::Kernel;
use super::sys;

/// How long the kernel's threads are waited for, in steps of [`LOOK`].
const LOOKS_MAX: u32 = 20;
const LOOK: Duration = Duration::from_millis(5);

/// Makes a queue for each of these CPUs. Its thread is one like any other and waits for busy
/// shards, so that it is given a priority, if this process may.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn make(kernel: &Kernel, cpus: &[u32]) -> Result<(), KernelError> {
    let map = kernel.queue(cpus.iter().copied())?;
    let mut raised = 0;
    for _ in 0..LOOKS_MAX {
        let threads = threads(Path::new("/proc"), map);
        if threads.len() < cpus.len() {
            std::thread::sleep(LOOK);
            continue;
        }
        for thread in threads {
            match sys::run_first(thread) {
                Ok(()) => raised += 1,
                Err(error) => {
                    let why = "queues' threads have no priority, and wait for busy shards; it \
                               takes CAP_SYS_NICE";
                    warn!(%error, "{why}");
                    return Ok(());
                }
            }
        }
        break;
    }
    match raised {
        // As in a container, where the kernel's threads are not seen.
        0 => {
            warn!("queues' threads are not found: they have no priority, and wait for busy shards")
        }
        _ => info!(queues = raised, "queues' threads run before others"),
    }
    Ok(())
}

/// The kernel's threads of a map's queues, by their names: `cpumap/CPU/map:ID`.
fn threads(proc: &Path, map: u32) -> Vec<u32> {
    let of_map = format!("/map:{map}");
    let Ok(processes) = fs::read_dir(proc) else { return Vec::new() };
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_ours = |number: &u32| {
        let name = fs::read_to_string(proc.join(number.to_string()).join("comm"));
        name.is_ok_and(|name| name.starts_with("cpumap/") && name.trim_end().ends_with(&of_map))
    };
    let mut ours: Vec<u32> = numbers.filter(is_ours).collect();
    ours.sort_unstable();
    ours
}

/// The largest packet of a device, in bytes, without its Ethernet header; 0 if it is not known.
pub(crate) fn mtu(device: &str) -> u32 {
    let path = Path::new("/sys/class/net").join(device).join("mtu");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_of_the_maps_own_queues_are_found() {
        let proc = std::env::temp_dir().join(format!("weir-queues-{}", std::process::id()));
        let names = [
            (7, "cpumap/0/map:12\n"),
            (9, "cpumap/1/map:12\n"),
            (10, "cpumap/0/map:112\n"),
            (11, "weir map:12\n"),
        ];
        for (number, name) in names {
            let folder = proc.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("comm"), name).unwrap();
        }
        fs::create_dir_all(proc.join("self")).unwrap();
        assert_eq!(threads(&proc, 12), [7, 9]);
        assert!(threads(&proc, 2).is_empty());
        fs::remove_dir_all(proc).unwrap();
    }
}
