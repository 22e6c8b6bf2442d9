//! The capabilities that steering takes, and how they are given up when it stands.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::doctor::release::{Release, Since};

/// What the programs are loaded and attached with. The last is for the priority of threads that
/// the kernel keeps for queues.
const TAKEN: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_NICE);

/// Kernels from this one on change a map for whoever has its descriptor.
const MAPS_FREE: Since = (5, 19);

/// Takes from this thread, and all that it starts, what steering took. Descriptors of maps and
/// links are enough for what follows, such as a new listener's place in its map.
///
/// Kernels before 5.19 may ask for CAP_BPF at each change of a map, so that one is kept there, and
/// where it is not known which kernel this is.
///
/// # Errors
/// What the system said: nothing has changed then.
pub(crate) fn give_up(kernel: Option<Release>) -> io::Result<()> {
    let CapabilitySets { effective, permitted, inheritable } = capabilities(None)?;
    let mut taken = TAKEN;
    if !kernel.is_some_and(|it| it.has(MAPS_FREE)) {
        taken.remove(CapabilitySet::BPF);
    }
    // What is not permitted any more leaves the ambient set too.
    let sets = CapabilitySets {
        effective: effective.difference(taken),
        permitted: permitted.difference(taken),
        inheritable: inheritable.difference(taken),
    };
    Ok(set_capabilities(None, sets)?)
}

/// The kernel's release, if it is one of Linux's.
pub(crate) fn kernel() -> Option<Release> {
    Release::parse(&rustix::system::uname().release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_gone_from_all_sets_and_from_threads_started_later() {
        let thread = std::thread::spawn(|| {
            let before = capabilities(None).unwrap();
            give_up(Release::parse("6.18.44")).unwrap();
            let later = std::thread::spawn(|| capabilities(None).unwrap()).join().unwrap();
            let now = capabilities(None).unwrap();
            assert_eq!(now, later);
            assert_eq!(now.effective, before.effective.difference(TAKEN));
            assert!(!now.permitted.intersects(TAKEN) && !now.inheritable.intersects(TAKEN));
        });
        thread.join().unwrap();
    }

    #[test]
    fn old_kernels_keep_what_their_maps_ask_for() {
        let thread = std::thread::spawn(|| {
            let had = capabilities(None).unwrap().effective.contains(CapabilitySet::BPF);
            give_up(Release::parse("5.15.0-1021-aws")).unwrap();
            give_up(None).unwrap();
            let has = capabilities(None).unwrap().effective;
            assert_eq!(has.contains(CapabilitySet::BPF), had);
            assert!(!has.contains(CapabilitySet::NET_ADMIN));
        });
        thread.join().unwrap();
    }
}
