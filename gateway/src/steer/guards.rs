//! The kernel's copy of the list of who may come, so that who is denied costs no socket.

use std::io;
use std::sync::Arc;

use gateway_ebpf::Network;
use gateway_ebpf::abi::Listed;

use super::Steering;
use crate::guard::{GuardTable, Verdict};

/// Writes each new list to the kernel's tables.
#[derive(Debug)]
pub(crate) struct Guards(pub(crate) Arc<Steering>);

impl GuardTable for Guards {
    fn replace(&self, prefixes: &[(Network, Verdict)]) -> io::Result<()> {
        self.0.guard(&listed(prefixes)).map_err(io::Error::other)
    }
}

/// A list in the kernel's words.
pub(crate) fn listed(prefixes: &[(Network, Verdict)]) -> Vec<(Network, Listed)> {
    let listed = |&(network, verdict): &(Network, Verdict)| match verdict {
        Verdict::Allow => (network, Listed::Allowed),
        Verdict::Deny => (network, Listed::Denied),
    };
    prefixes.iter().map(listed).collect()
}
