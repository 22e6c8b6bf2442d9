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
        let listed = |&(network, verdict): &(Network, Verdict)| match verdict {
            Verdict::Allow => (network, Listed::Allowed),
            Verdict::Deny => (network, Listed::Denied),
        };
        let listed: Vec<_> = prefixes.iter().map(listed).collect();
        self.0.guard(&listed).map_err(io::Error::other)
    }
}
