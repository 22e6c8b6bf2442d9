//! `weir doctor`: which fast paths there would be, why not the others, and what would turn them on.
//!
//! Facts are read once ([`gather()`]), checks are functions of facts and of what `weir serve` would
//! be asked for ([`check`]), and a [`Report`] is what they find, as a screen or as JSON.

mod asked;
pub mod checks;
mod cpus;
mod facts;
mod finding;
mod fix;
mod gather;
mod json;
pub(crate) mod release;
mod screen;

#[cfg(all(test, unix))]
mod tests;

use std::io::{self, Write};
use std::path::Path;

use crate::plan::Worker;

pub use self::asked::{Asked, Iface, IfaceError, Placement, Selector, Steer, Steering};
pub use self::checks::check;
pub use self::cpus::Cpus;
pub use self::facts::{
    Answer, Attached, Bpf, Build, Capabilities, Channels, Descriptors, Device, Facts, Hwloc, Irq,
    Node, Offload, Receive, Tcp,
};
pub use self::finding::{Finding, Severity, State};
pub use self::fix::{Fix, fix};
pub use self::gather::{Live, System, gather};
pub use self::release::Release;

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was changed first, or could not be.
    pub fixes: Vec<Fix>,
    /// What is known.
    pub facts: Facts,
    /// What that means.
    pub findings: Vec<Finding>,
}

/// How `weir doctor` is to tell, and whether it may change anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// One JSON object instead of a screen.
    pub json: bool,
    /// Deal out what named devices with a single queue receive.
    pub fix: bool,
}

impl Report {
    /// The worst of what was found.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let fixes = self.fixes.iter().map(Fix::severity);
        let all = self.findings.iter().map(|finding| finding.severity).chain(fixes);
        all.max().unwrap_or(Severity::Fine)
    }
}

/// Examines the machine below `root` for a node that is asked for, after fixing what it may; tells
/// `out`, and gives the exit code.
///
/// # Errors
/// If `out` cannot be written to.
pub fn run(
    root: &Path,
    system: &impl System,
    asked: &Asked,
    options: Options,
    out: &mut impl Write,
) -> io::Result<u8> {
    let report = examine(root, system, asked, options.fix);
    if options.json {
        writeln!(out, "{:#}", json::report(&report, asked))?;
    } else {
        write!(out, "{}", screen::report(&report, asked))?;
    }
    Ok(report.severity().exit_code())
}

/// Whether `--placement auto` moves packets of these devices, which have programs, to their shard's
/// node on this machine.
pub(crate) fn moves_to_nodes(devices: &[&str], workers: &[Worker]) -> bool {
    let (devices, nodes) = gather::arrivals(Path::new("/"), &Live, devices);
    checks::auto(devices.iter(), &nodes, workers).0 == Placement::Node
}

/// What there is to tell of the machine below `root`.
#[must_use]
pub fn examine(root: &Path, system: &impl System, asked: &Asked, fixes: bool) -> Report {
    let named: Vec<_> = asked.steering.ifaces.iter().map(|iface| iface.name.clone()).collect();
    let gathered = || gather(root, system, &named, asked.addr);
    let mut facts = gathered();
    let mut fixed = Vec::new();
    if fixes {
        let named = facts.devices.iter().filter(|device| asked.names(&device.name));
        fixed.extend(named.map(|device| fix(root, device, &asked.cpus())));
        facts = gathered();
    }
    let findings = check(&facts, asked);
    Report { fixes: fixed, facts, findings }
}
