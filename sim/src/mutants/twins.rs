//! Faults in what threads share, which are chosen when it is compiled: loom is to find them.

use crate::promise::Promise::{self, Alive, Bounded, Linked, SamePlace};

/// A twin of one of the registry's structures that breaks one of its rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Twin {
    /// What it is called in reports.
    pub name: &'static str,
    /// The test that passes if loom finds it out: a filter for the tests of `gateway-registry`.
    pub test: &'static str,
    /// The promise that it would break.
    pub promise: Promise,
}

const fn twin(name: &'static str, promise: Promise, test: &'static str) -> Twin {
    Twin { name, test, promise }
}

/// All of them.
pub const TWINS: [Twin; 13] = [
    twin("tail-without-fence", SamePlace, "ring::twin_a_relaxed_tail_shows_garbage"),
    twin("head-without-fence", Linked, "ring::twin_a_relaxed_head_lets_items_be_overwritten"),
    twin("doorbell-lost", Alive, "doorbell::twin_sleep_by_load_and_store_loses_a_ring"),
    twin("doorbell-without-fence", Alive, "doorbell::twin_a_relaxed_ring_wakes_too_early"),
    twin("doorbell-under-lock", Alive, "mailbox::twin_a_ring_with_the_lock_is_in_vain"),
    twin("refusal-not-rung", Alive, "mailbox::twin_a_silent_refusal_hides_an_item"),
    twin("doorbell-before-mark", Alive, "mesh::twin_a_ring_before_the_mark_is_in_vain"),
    twin("refusal-not-retried", Alive, "mesh::twin_who_was_refused_misses_the_room"),
    twin("census-checks-then-adds", Bounded, "census::twin_check_then_add_exceeds_the_limit"),
    twin("mirror-written-once", Bounded, "census::twin_mirrored_once_stays_behind"),
    twin("retires-next-term", SamePlace, "rooms::twin_retiring_blindly_ends_the_next_term"),
    twin("migrates-twice", SamePlace, "rooms::twin_migrating_blindly_makes_two_homes"),
    twin("claims-withdrawn", Alive, "rooms::twin_withdrawing_at_once_is_overtaken"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_twin_has_its_test() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/registry/src/explored");
        for Twin { name, test, .. } in TWINS {
            let (file, function) = test.split_once("::").expect("a test has a module");
            let text = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
            assert!(text.contains(&format!("fn {function}()")), "{name}: no {test}");
        }
    }
}
