//! The kernel, what this process may do with it, and how it takes programs.

use super::super::facts::{Answer, Capabilities, Facts};
use super::super::finding::{Finding, Severity};
use super::super::release::{CPUMAP_GRO, FLOOR};

/// What helps where capabilities are there and bpf(2) is refused all the same.
const UNFILTER: &str =
    "let this process call bpf(2): capabilities, the container's seccomp profile";

/// The kernel's release, capabilities, bpf(2) and types.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![release(facts), capabilities(facts), bpf(facts), btf(facts)]
}

/// Why programs cannot be loaded, and what would help; none if nothing is known that is in the way.
pub(super) fn in_the_way(facts: &Facts) -> Option<(String, String)> {
    if !facts.build.bpf {
        let why = "this binary was built without the feature bpf";
        return Some((why.to_owned(), "build with the feature bpf".to_owned()));
    }
    let missing = facts.capabilities.map(Capabilities::missing).unwrap_or_default().join(" ");
    if !missing.is_empty() {
        return Some((format!("this process lacks {missing}"), grant(&missing)));
    }
    let Answer::Refused(why) = &facts.bpf.answer else { return None };
    Some((format!("bpf(2) is refused: {why}"), UNFILTER.to_owned()))
}

fn grant(missing: &str) -> String {
    format!("run as root, or grant {missing} (systemd: AmbientCapabilities=)")
}

fn release(facts: &Facts) -> Finding {
    let Some(release) = facts.kernel else {
        return Finding::unknown("kernel", "/proc/sys/kernel/osrelease cannot be read");
    };
    if release.has(FLOOR) {
        let rest = if release.has(CPUMAP_GRO) { "" } else { "; CPUMAP joins packets from 6.15 on" };
        return Finding::active("kernel", format!("Linux {release} has every rung{rest}"));
    }
    let why =
        format!("Linux {release} is older than 5.15, from which on every rung is meant to work");
    Finding::slower("kernel", why, "a kernel of 5.15 or later")
}

fn capabilities(facts: &Facts) -> Finding {
    let name = "capabilities";
    let Some(has) = facts.capabilities else {
        return Finding::unknown(name, "/proc/self/status cannot be read");
    };
    let missing = has.missing();
    if missing.is_empty() {
        let nice = if has.sys_nice { ", and CAP_SYS_NICE" } else { "; not CAP_SYS_NICE" };
        let why = format!("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON{nice}; given up after the start");
        return Finding::active(name, why);
    }
    let missing = missing.join(" ");
    Finding::slower(name, format!("{missing} missing: no programs are loaded"), grant(&missing))
}

fn bpf(facts: &Facts) -> Finding {
    let bpf = &facts.bpf;
    if let Answer::Refused(why) = &bpf.answer {
        return Finding::slower("bpf", format!("bpf(2) is refused: {why}"), UNFILTER);
    }
    let unprivileged = match bpf.unprivileged_disabled {
        Some(0) => "unprivileged_bpf_disabled=0",
        Some(_) => "only for the privileged",
        None => "the kernel's settings cannot be read",
    };
    if bpf.jit == Some(0) {
        let why = "programs are interpreted: each packet takes several times as long";
        return Finding::slower("bpf", why, "sysctl -w net.core.bpf_jit_enable=1");
    }
    let compiled = if bpf.jit.is_some() { "programs are compiled; " } else { "" };
    match bpf.answer {
        Answer::Yes => Finding::active("bpf", format!("bpf(2) answers; {compiled}{unprivileged}")),
        Answer::Unasked | Answer::Refused(_) => {
            let why =
                format!("{compiled}{unprivileged}; weir serve finds out whether bpf(2) answers");
            Finding::unknown("bpf", why)
        }
    }
}

/// No program of Weir's looks into the kernel's structures, so this is only told.
fn btf(facts: &Facts) -> Finding {
    if facts.bpf.btf {
        return Finding::active(
            "btf",
            "the kernel tells its types; Weir's programs need none of them",
        );
    }
    let why = "no /sys/kernel/btf/vmlinux; Weir's programs need none of the kernel's types";
    Finding { severity: Severity::Fine, ..Finding::idle("btf", why) }
}
