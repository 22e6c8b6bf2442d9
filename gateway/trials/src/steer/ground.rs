//! What this process may, which programs are here, and which flags the gateway has.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tools;

/// Numbers of capabilities, as `linux/capability.h` has them.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

/// The variable that turns a skip for want of privilege or a tool into a failure.
const REQUIRE: &str = "WEIR_REQUIRE_BPF";

/// What was found here.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) weir: PathBuf,
    /// The set of effective capabilities.
    capabilities: u64,
    /// What `weir serve --help` says.
    help: String,
    /// Whether the kernel takes no programs, although this process may load some.
    refused: bool,
}

/// What a scenario needs, and what is missing if it cannot be played.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    /// A capability of this process.
    Capability(&'static str),
    /// A kernel that takes programs.
    Programs,
    /// A program of the system.
    Tool(&'static str),
    /// A flag of `weir serve`.
    Flag(&'static str),
}

impl Ground {
    /// Looks at this process, and asks the gateway for its flags.
    ///
    /// # Errors
    /// If there is no such gateway.
    pub(super) fn survey(weir: &Path) -> Result<Self> {
        let said = Command::new(weir).args(["serve", "--help"]).output();
        let said = said.with_context(|| format!("cannot run {}", weir.display()))?;
        ensure!(said.status.success(), "{} has no `serve --help`", weir.display());
        let help = String::from_utf8_lossy(&said.stdout).into_owned();
        let status = fs::read_to_string("/proc/self/status")?;
        let capabilities = effective(&status).context("the system does not say what we may")?;
        // Elsewhere than where the gateway is started, a relative path would mean another one.
        Ok(Self { weir: fs::canonicalize(weir)?, capabilities, help, refused: false })
    }

    /// What is missing to have namespaces with a cable between them.
    pub(super) fn lacks_a_bed(&self) -> Option<Need> {
        self.lacks(&Need::BED)
    }

    /// The first of these that is missing.
    pub(super) fn lacks(&self, needs: &[Need]) -> Option<Need> {
        needs.iter().copied().find(|need| !self.meets(*need))
    }

    /// Whether the gateway knows a flag.
    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.help.split_whitespace().any(|word| word == flag)
    }

    /// Remembers whether the kernel takes no programs.
    pub(super) fn set_refused(&mut self, refused: bool) {
        self.refused = refused;
    }

    fn meets(&self, need: Need) -> bool {
        match need {
            Need::Capability(name) => {
                let known = CAPABILITIES.iter().find(|(known, _)| *known == name);
                let (_, bit) = known.expect("scenarios name capabilities that are known here");
                self.capabilities >> bit & 1 == 1
            }
            Need::Programs => !self.refused,
            Need::Tool(name) => tools::is_there(name),
            Need::Flag(name) => self.has_flag(name),
        }
    }
}

impl Need {
    /// Namespaces with a cable between them.
    pub(super) const BED: [Self; 4] = [
        Self::Capability("CAP_SYS_ADMIN"),
        Self::Capability("CAP_NET_ADMIN"),
        Self::Tool("ip"),
        Self::Tool("ethtool"),
    ];

    /// Programs in the kernel, beside the above.
    pub(super) const BPF: [Self; 3] =
        [Self::Capability("CAP_BPF"), Self::Capability("CAP_PERFMON"), Self::Programs];

    /// Whether it is a matter of this machine, and not of the gateway.
    pub(super) fn is_of_the_machine(self) -> bool {
        match self {
            Self::Capability(_) | Self::Programs | Self::Tool(_) => true,
            Self::Flag(_) => false,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(f, "this process has no {name}"),
            Self::Programs => f.write_str("bpf(2) is not answered here"),
            Self::Tool(name) => write!(f, "{name} is not installed"),
            Self::Flag(name) => write!(f, "this weir has no {name}"),
        }
    }
}

/// Whether a skip for want of privilege or a tool is a failure.
pub(super) fn nothing_may_be_missing() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

/// The effective set in a `status` of `/proc`.
pub(super) fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(capabilities: u64) -> Ground {
        let help = "      --steer <MODE>\n          As --steering was".to_owned();
        Ground { weir: PathBuf::new(), capabilities, help, refused: false }
    }

    #[test]
    fn the_first_thing_that_is_missing_is_named() {
        let needs = [Need::Capability("CAP_NET_ADMIN"), Need::Capability("CAP_BPF")];
        let lack = |capabilities| ground(capabilities).lacks(&needs);
        assert_eq!(lack(0), Some(needs[0]));
        assert_eq!(lack(1 << 12), Some(needs[1]));
        assert_eq!(lack(1 << 12 | 1 << 39), None);
    }

    #[test]
    fn a_flag_is_there_only_as_a_whole_word() {
        let ground = ground(0);
        assert!(ground.has_flag("--steer") && ground.has_flag("--steering"));
        assert!(!ground.has_flag("--stee") && !ground.has_flag("--iface"));
    }

    #[test]
    fn the_effective_set_is_read_as_the_kernel_writes_it() {
        let status = "CapPrm:\t0000000000000001\nCapEff:\t000001ffffffffff\n";
        assert_eq!(effective(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("CapPrm:\t1\n"), None);
    }
}
