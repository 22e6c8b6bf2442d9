//! The processor time that this process has used, by which speeds are told. No run sees it.

/// Nanoseconds since the process began.
#[cfg(unix)]
pub(crate) fn cpu_nanos() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let (secs, nanos) = (u64::try_from(used.tv_sec), u64::try_from(used.tv_nsec));
    secs.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

/// Nanoseconds since this was first asked: where nobody counts processor time, time that passed
/// is what comes closest.
#[cfg(not(unix))]
pub(crate) fn cpu_nanos() -> u64 {
    use std::sync::OnceLock;

    use tokio::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}
