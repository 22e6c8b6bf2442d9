//! Whoever ends the harness ends its servers: by a signal nothing is dropped.

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::machine;

/// From now on a signal that asks this process to end ends all that it started first. Children
/// begin with no signal blocked, as the standard library sees to.
///
/// # Errors
/// If the kernel does not let this thread block signals.
pub(crate) fn take_servers_along() -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        signals.add(signal);
    }
    // Threads that begin later inherit it, so that only the one that waits is told.
    signals.thread_block()?;
    std::thread::spawn(move || {
        let signal = signals.wait().expect("the set holds signals that can be waited for");
        machine::family(std::process::id()).into_iter().skip(1).for_each(machine::kill);
        std::process::exit(128 + signal as i32);
    });
    Ok(())
}
