//! `cargo xtask bench steer` and the step `steer`: gateways in network namespaces of their own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::invocation::Invocation;
use crate::packages::{self, Build, Need};
use crate::report::Reason;
use crate::workspace;

/// The variable that turns a skip for want of privilege or a tool into a failure.
const REQUIRE: &str = "WEIR_REQUIRE_BPF";

/// Programs that make namespaces and cables.
const TOOLS: [Need; 2] = [Need::Ip, Need::Ethtool];

/// What makes namespaces with a cable between them, by its number.
const CAPABILITIES: [(&str, u32); 2] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)];

/// Measures each way to steer; the flags are those of `weir-steer bench`.
///
/// # Errors
/// If it cannot be built, or measured.
pub(crate) fn measure(build: Build, args: &[OsString]) -> Result<()> {
    packages::ensure_these(&TOOLS, true)?;
    Invocation::cargo(["build", "--release", "-p", "gateway", "--bin", "weir"])
        .args(build.flags())
        .run()?;
    Invocation::cargo(["build", "--release", "-p", "trials", "--bin", "weir-steer"]).run()?;
    tool(&workspace::target_dir()?, "release", "bench").args(args).run()
}

/// Plays the scenarios, or says why none can be played here.
///
/// # Errors
/// If one fails, or takes longer than `limit`.
pub(crate) fn check(
    build: Build,
    may_install: bool,
    full: bool,
    limit: Duration,
) -> Result<Option<Reason>> {
    let tools = packages::ensure_these(&TOOLS, may_install);
    if !nothing_may_be_missing() {
        if let Some(missing) = TOOLS.into_iter().find(|need| !need.is_met()) {
            return Ok(Some(Reason::ProgramAbsent(missing.name())));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(name) = lacking(&status) {
            return Ok(Some(Reason::Unprivileged(name)));
        }
    }
    tools?;
    Invocation::cargo(["build", "--workspace", "--bins"]).args(build.flags()).run()?;
    let full: &[&str] = if full { &["--full"] } else { &[] };
    tool(&workspace::target_dir()?, "debug", "check").args(full).run_within(limit)?;
    Ok(None)
}

/// The tool with the gateway of the same profile.
fn tool(target: &Path, profile: &str, verb: &str) -> Invocation {
    let [weir, tool] = ["weir", "weir-steer"].map(|name| workspace::binary(target, profile, name));
    Invocation::new(tool, [verb, "--weir"]).arg(weir)
}

/// Whether what is missing makes the step fail, as `weir-steer` says by itself then.
fn nothing_may_be_missing() -> bool {
    env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

/// The first capability that this process has not, of its `status` in `/proc`.
fn lacking(status: &str) -> Option<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default();
    CAPABILITIES.into_iter().find(|(_, bit)| set >> bit & 1 == 0).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_that_is_missing_is_named() {
        let lacking = |set: u64| lacking(&format!("Name:\txtask\nCapEff:\t{set:016x}\n"));
        assert_eq!(lacking(0), Some("CAP_NET_ADMIN"));
        assert_eq!(lacking(1 << 12), Some("CAP_SYS_ADMIN"));
        assert_eq!(lacking(1 << 12 | 1 << 21), None);
        assert_eq!(super::lacking(""), Some("CAP_NET_ADMIN"), "not a system that has them");
    }

    #[test]
    fn the_tool_is_given_the_gateway_of_its_profile() {
        let line = tool(Path::new("target"), "debug", "check").arg("--full").to_string();
        let name = |name| format!("target/debug/{name}{}", env::consts::EXE_SUFFIX);
        let [weir, tool] = ["weir", "weir-steer"].map(name);
        assert_eq!(line, format!("{tool} check --weir {weir} --full"));
    }
}
