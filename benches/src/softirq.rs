//! What the kernel puts off for a server: the CPU time of `ksoftirqd` on the server's CPUs.
//!
//! A softirq that finds too much to do, or that is raised where none may run, leaves the rest to
//! that thread. Whoever sends so that this happens would look cheap by its own clock.

use std::fs;
use std::sync::Once;

use anyhow::{Context, Result};

/// The threads that do what is put off on some CPUs.
pub(crate) struct Softirq {
    /// Where each says how long it has run; none if one of them does not.
    clocks: Vec<String>,
}

impl Softirq {
    /// Finds the threads of these CPUs. Where one cannot be found or read this is told, once, and
    /// nothing is counted.
    pub(crate) fn of(cpus: &[usize]) -> Self {
        static TOLD: Once = Once::new();
        let found = cpus.iter().map(|&cpu| clock(cpu)).collect::<Result<Vec<_>>>();
        let clocks = found.unwrap_or_else(|why| {
            TOLD.call_once(|| println!("what the kernel puts off is not counted: {why:#}"));
            Vec::new()
        });
        Self { clocks }
    }

    /// CPU time so far, of all that runs there and not of one server; nothing if it is unknown.
    ///
    /// # Errors
    /// If it could be read earlier and cannot any more.
    pub(crate) fn nanos(&self) -> Result<Option<u64>> {
        if self.clocks.is_empty() {
            return Ok(None);
        }
        self.clocks.iter().map(|clock| read(clock)).sum::<Result<_>>().map(Some)
    }
}

/// Where the thread of a CPU says how long it has run.
fn clock(cpu: usize) -> Result<String> {
    let name = format!("ksoftirqd/{cpu}");
    let processes = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let mut folders = processes.map(|process| process.path()).filter(|folder| {
        fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    let folder = folders.next().with_context(|| format!("{name} is not to be seen here"))?;
    let clock = folder.join("schedstat").display().to_string();
    read(&clock).map(|_| clock)
}

fn read(clock: &str) -> Result<u64> {
    let text = fs::read_to_string(clock).with_context(|| format!("cannot read {clock}"))?;
    ran_nanos(&text).with_context(|| format!("{clock} does not say how long it ran"))
}

/// The first of three numbers: nanoseconds on a CPU, nanoseconds of waiting for one, turns there.
fn ran_nanos(schedstat: &str) -> Option<u64> {
    let fields: Vec<_> = schedstat.split_whitespace().collect();
    let [ran, _waited, turns] = fields[..] else { return None };
    // A kernel that keeps no account says zeros, and whoever has begun has had a turn.
    let turns: u64 = turns.parse().ok()?;
    (turns > 0).then(|| ran.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_a_cpu_is_the_first_of_three_numbers() {
        assert_eq!(ran_nanos("45676155599 823378674078 643661\n"), Some(45_676_155_599));
        assert_eq!(ran_nanos("0 0 0\n"), None, "of a kernel that keeps no account");
        assert_eq!(ran_nanos("12 34\n"), None);
        assert_eq!(ran_nanos("-1 0 0\n"), None);
    }

    #[test]
    fn what_cannot_be_found_is_not_counted_and_does_not_fail() {
        assert_eq!(Softirq::of(&[usize::MAX]).nanos().unwrap(), None);
        let error = clock(usize::MAX).unwrap_err().to_string();
        assert!(error.contains("is not to be seen here"), "{error}");
    }

    #[test]
    fn what_a_thread_says_of_itself_is_read() {
        // The kernel adds up when a thread leaves its CPU, and at ticks.
        let mut sum = 0_u64;
        while read("/proc/thread-self/schedstat").unwrap() == 0 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(read("/proc/self/comm").is_err());
    }
}
