//! What lives on: threads of the kernel, programs after a crash, those who wait at a listener that
//! closes.

use std::path::{Path, PathBuf};

use super::super::asked::{Asked, Placement, Selector};
use super::super::facts::Facts;
use super::super::finding::Finding;
use super::super::release::MIGRATE;
use super::placement::placement;
use super::{ladder, xdp};

/// Threads, programs after a crash, migration, the guard.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    let mut findings = vec![kthreads(facts, asked), crash(facts, asked), migration(facts, asked)];
    findings.extend(guard(facts, asked));
    findings
}

/// CPUMAP queues are served by threads that wait for their CPU like any other.
fn kthreads(facts: &Facts, asked: &Asked) -> Finding {
    let (placement, _) = placement(facts, asked);
    if !matches!(placement, Placement::Node | Placement::Core) {
        return Finding::idle("kthreads", "no packets are moved between CPUs");
    }
    match facts.capabilities {
        None => Finding::unknown("kthreads", "/proc/self/status cannot be read"),
        Some(has) if has.sys_nice => {
            Finding::active("kthreads", "CPUMAP's threads go before others on their CPU")
        }
        Some(_) => {
            let why = "CPUMAP's threads wait for busy CPUs: new connections get much slower";
            Finding::slower("kthreads", why, "grant CAP_SYS_NICE")
        }
    }
}

fn crash(facts: &Facts, asked: &Asked) -> Finding {
    let Some(pin) = &asked.steering.pin else {
        let why = "programs end with the process; connections go on by the kernel's hash";
        return Finding::active("crash", why);
    };
    let folders = &facts.bpf.file_systems;
    if folders.iter().any(|folder| pin.starts_with(folder)) {
        let why = "pinned: programs outlive the process, for the next one to take over";
        return Finding::active("crash", why);
    }
    let why = format!("--pin {}: no file system of kind bpf is there", pin.display());
    let folder = folders.first().map_or_else(|| Path::new("/sys/fs/bpf"), PathBuf::as_path);
    let help = format!("mount -t bpf bpf {0}; --pin {0}/weir", folder.display());
    Finding::refused("crash", why, help)
}

fn migration(facts: &Facts, asked: &Asked) -> Finding {
    let by_program = ladder::rung(facts, asked) == Selector::Program;
    if asked.plan.shards() == 1 {
        return Finding::idle("migration", "one shard: there is no other listener to go to");
    }
    if by_program {
        return Finding::active("migration", "who waits at a listener that closes goes to another");
    }
    match (facts.tcp.migrate, facts.kernel) {
        (Some(1), _) => Finding::active("migration", "by net.ipv4.tcp_migrate_req"),
        (None, Some(kernel)) if !kernel.has(MIGRATE) => {
            let why = "who waits at a listener that closes is reset: the kernel is older than 5.14";
            Finding::slower("migration", why, "a kernel of 5.14 or later")
        }
        _ => {
            let why = "who waits at a listener that closes is reset, as when a shard is removed";
            Finding::slower("migration", why, "sysctl -w net.ipv4.tcp_migrate_req=1")
        }
    }
}

/// Only told if there is one.
fn guard(facts: &Facts, asked: &Asked) -> Option<Finding> {
    asked.steering.guard.as_ref()?;
    Some(if xdp::is_active(facts, asked) {
        Finding::active("guard", "who is denied costs no socket")
    } else {
        let why = "at accept: who is denied costs a socket; no device has a program";
        Finding::slower("guard", why, "--iface NAME, and what xdp asks for")
    })
}
