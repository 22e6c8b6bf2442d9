//! What facts mean for a request: pure functions, a file for each topic.

mod arrival;
mod kernel;
mod ladder;
mod life;
mod numa;
mod placement;
mod sockets;
mod workers;
mod xdp;

use super::asked::Asked;
use super::facts::Facts;
use super::finding::Finding;

pub use self::ladder::rung;
pub(super) use self::placement::auto;
pub use self::placement::placement;

/// All that is found, in the order in which a screen shows it.
#[must_use]
pub fn check(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    let mut findings = kernel::check(facts);
    findings.push(ladder::check(facts, asked));
    for device in &facts.devices {
        findings.extend(xdp::check(facts, asked, device));
    }
    findings.push(placement::check(facts, asked));
    for device in &facts.devices {
        findings.extend(arrival::check(asked, device));
    }
    findings.extend(numa::check(facts, asked));
    findings.extend(workers::check(facts, asked));
    findings.extend(sockets::check(facts, asked));
    findings.extend(life::check(facts, asked));
    findings
}
