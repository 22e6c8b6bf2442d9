//! Workers: CPUs of their own, the cgroup's quota, the allocator.

use super::super::asked::Asked;
use super::super::facts::Facts;
use super::super::finding::{Finding, Severity};
use crate::plan::Note;

/// Pinning, quota and allocator.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    vec![pinning(facts, asked), quota(facts, asked), jemalloc(facts)]
}

fn pinning(facts: &Facts, asked: &Asked) -> Finding {
    let plan = &asked.plan;
    let workers = plan.workers.len();
    let shared = plan.notes.iter().find(|note| !matches!(note, Note::QuotaExceeded { .. }));
    if let Some(note) = shared {
        let help = format!("--workers {}", plan.cores);
        return Finding {
            severity: Severity::Slower,
            ..Finding::active("pinning", note.to_string())
        }
        .by(help);
    }
    let cpus = asked.cpus();
    if cpus.len() < workers {
        let why = "workers may be moved from CPU to CPU, and connections with them";
        return Finding::slower("pinning", why, "an affinity mask that can be read (taskset)");
    }
    let of = facts.allowed.as_ref().map_or(0, |allowed| allowed.without(&cpus).len());
    let free = if of > 0 { format!("; {of} left to others") } else { String::new() };
    let is = if workers == 1 { "worker" } else { "workers" };
    Finding::active("pinning", format!("{workers} {is} on {}{free}", cpus.named()))
}

fn quota(facts: &Facts, asked: &Asked) -> Finding {
    let exceeded = asked.plan.notes.iter().find(|note| matches!(note, Note::QuotaExceeded { .. }));
    match (facts.quota, exceeded) {
        (None, _) => Finding::active("quota", "no cgroup bounds CPU time"),
        (Some(quota), None) => {
            Finding::active("quota", format!("{quota} CPUs, which is enough for the workers"))
        }
        (Some(quota), Some(_)) => {
            let workers = asked.plan.workers.len();
            let why = format!(
                "{quota} CPUs for {workers} workers: when busy, the kernel pauses the whole node"
            );
            let help = format!("raise the cgroup's cpu.max, or --workers {}", quota.whole_cpus());
            Finding::slower("quota", why, help)
        }
    }
}

fn jemalloc(facts: &Facts) -> Finding {
    if facts.build.jemalloc {
        return Finding::active("jemalloc", "memory goes back a second after a crowd has gone");
    }
    let why = "built without it: memory that a crowd has used stays";
    Finding::slower("jemalloc", why, "build with the feature jemalloc")
}
