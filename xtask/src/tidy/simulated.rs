//! Which code runs in the simulator, where the same seed must mean the same run.

/// Pure, or a world itself.
pub(super) const WORLDS: [&str; 2] = ["gateway/core/", "sim/src/"];

/// What the simulator runs unmodified: besides the core, what shards share, and the gateway's
/// turns, workers and nodes. Threads, clocks and draws reach them from outside.
pub(super) const RUN: [&str; 14] = [
    "gateway/core/",
    "gateway/faults/",
    "gateway/registry/src/",
    "gateway/src/balance/",
    "gateway/src/local",
    "gateway/src/net/mod.rs",
    "gateway/src/node.rs",
    "gateway/src/orders.rs",
    "gateway/src/others.rs",
    "gateway/src/shard.rs",
    "gateway/src/turn",
    "gateway/src/worker",
    "sim/src/",
    "sim/tests/",
];

/// The same without tests, which may be told by the environment how much to do.
pub(super) const SOURCES: [&str; 7] = [
    "gateway/core/src/",
    "gateway/registry/src/",
    "gateway/src/local",
    "gateway/src/node.rs",
    "gateway/src/turn",
    "gateway/src/worker",
    "sim/src/",
];

/// What no simulated run has: the simulator's command, which measures time and starts processes
/// around the worlds, and the registry's tests under shuttle, which draws by a seed of its own.
const BESIDE: [&str; 3] = ["sim/src/command", "sim/src/main.rs", "gateway/registry/src/shuffled/"];

/// Whether a rule for code below these folders is for this file.
pub(super) fn is_below(folders: &[&str], path: &str) -> bool {
    let starts = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    starts(folders) && !starts(&BESIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_around_the_worlds_may_look_at_the_clock() {
        assert!(is_below(&WORLDS, "sim/src/mesh/world.rs"));
        assert!(!is_below(&WORLDS, "sim/src/command/campaign.rs"));
        assert!(is_below(&RUN, "gateway/src/turn/arrivals.rs"));
        assert!(is_below(&RUN, "gateway/registry/src/rooms.rs"));
        assert!(!is_below(&RUN, "gateway/registry/src/shuffled/rooms.rs"));
        assert!(!is_below(&RUN, "gateway/src/admin/watch.rs"));
    }
}
