//! What the harness asks of the system: cores, descriptors, clocks, and which machine it is.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps the calling thread, and what it starts from now on, on these CPUs.
///
/// # Errors
/// If there is none of them, or the process may not use them.
pub(crate) fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        ensure!(cpu < CpuSet::MAX_CPU, "there is no CPU {cpu}");
        set.set(cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPUs {cpus:?}"))
}

/// Raises the process's descriptor limit as far as it may, for itself and its children.
///
/// # Errors
/// If that is less than `wanted`.
pub(crate) fn allow_descriptors(wanted: u64) -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the descriptor limit")?;
    ensure!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "{wanted} descriptors are needed, the limit (ulimit -Hn) is {}",
        maximum.unwrap_or_default()
    );
    Ok(())
}

/// The wall clock's monotonic sister.
#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// CPU time of a process so far, all threads, in nanoseconds; `None` means this process.
///
/// # Errors
/// If there is no such process.
pub(crate) fn cpu_nanos(pid: Option<u32>) -> Result<u64> {
    nanos(match pid {
        Some(pid) => ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into()?))?,
        None => ClockId::CLOCK_PROCESS_CPUTIME_ID,
    })
}

/// A process and all that it, or one of those, started and that have not ended; it comes first.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(pid) = family.get(next) {
        family.extend(children(*pid));
        next += 1;
    }
    family
}

/// What the threads of a process started; nothing if it is gone.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    listed
        .flat_map(|pids| pids.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

/// Ends a process at once, if it has not ended.
pub(crate) fn kill(pid: u32) {
    let pid = pid.try_into().ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It fails if there is none, which is what is wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Time since some moment in the past, in nanoseconds.
///
/// # Errors
/// Never on a system that has clocks.
pub(crate) fn wall_nanos() -> Result<u64> {
    nanos(ClockId::CLOCK_MONOTONIC)
}

fn nanos(clock: ClockId) -> Result<u64> {
    let time = Duration::from(clock_gettime(clock)?);
    Ok(u64::try_from(time.as_nanos())?)
}

/// The number of kilobytes that a file of `/proc` gives for `name`, in bytes.
///
/// # Errors
/// If the file does not say.
pub(crate) fn proc_bytes(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    kilobytes(&text, name)
        .map(|kilobytes| kilobytes * 1024)
        .with_context(|| format!("{path} does not say {name}"))
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(found, _)| found.trim() == name)?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// One line: processor, kernel, what paces its sends, load.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let mut fields = cpu_info.lines().filter_map(|line| line.split_once(':'));
    let model = fields.find(|(name, _)| name.trim() == "model name");
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let control = read("/proc/sys/net/ipv4/tcp_congestion_control");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    // Not what this process may use: it has pinned itself.
    let cores = cpu_info.lines().filter(|line| line.starts_with("processor")).count();
    let (kernel, control) = (kernel.trim(), control.trim());
    format!("{model}, {cores} CPUs, kernel {kernel}, TCP {control}, load average {load}")
}

/// The commit that the working directory is at, with a mark if it was changed since.
pub(crate) fn commit() -> String {
    let said =
        Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output();
    let said = said.ok().filter(|said| said.status.success());
    let said = said.and_then(|said| String::from_utf8(said.stdout).ok());
    said.map_or_else(|| "unknown".to_owned(), |said| said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_where_the_kernel_tells_it() {
        let status = "Name:\tweir\nRssAnon:\t    1500 kB\nThreads:\t2\n";
        assert_eq!(kilobytes(status, "RssAnon"), Some(1500));
        assert_eq!(kilobytes(status, "RssFile"), None);
        assert!(proc_bytes("/proc/self/status", "RssAnon").unwrap() > 0);
    }

    #[test]
    fn the_cpu_clock_of_a_process_runs_while_it_computes() {
        let own = || cpu_nanos(Some(std::process::id())).unwrap();
        let before = own();
        let mut sum = 0_u64;
        while own() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_nanos(None).unwrap() >= before);
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_clock() {
        assert!(cpu_nanos(Some(u32::MAX)).is_err());
    }
}
