//! What one source may have of a node, who has none of it, and which peers speak for others.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use gateway_ebpf::Network;

use super::ConfigError;

/// Bounds of what one source may have: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SourceConfig {
    /// Connections at a time, over all shards; 0 for as many as come. Beyond it a client hears 429.
    /// Default 10,000: a company behind one address has thousands, and a node a hundred times more.
    pub connections_max: u32,
    /// New connections a second; 0 for as many as come. Beyond it a client is reset unread, or
    /// hears 429 if a proxy speaks for it; and by chance already when less than a quarter of
    /// `burst` is left. Default 500: a company that comes back when a node has gone is in within
    /// half a minute, and costs a core less than a tenth of its time.
    pub rate: u32,
    /// New connections at once, at least 1. Default 2,000: four seconds of `rate`.
    pub burst: u32,
    /// Sources that are known at a time, 1 to 4,194,304, at less than 100 bytes each. Default
    /// 65,536. Only those are forgotten that have neither connections nor a bound in their way;
    /// when there are none, strangers share what one source may have.
    pub known_max: usize,
    /// Whether these bounds hold for this machine's own clients too. Default false.
    pub loopback: bool,
    /// For whom these bounds do not hold, such as proxies that do not speak the PROXY protocol.
    /// Default nobody.
    pub exempt: Vec<Network>,
    /// Proxies that say before each request whom they speak for, by the PROXY protocol, version 1
    /// or 2: without its header their connections are closed. Others are never believed to be
    /// somebody else. Default nobody.
    pub proxies: Vec<Network>,
    /// A file with prefixes of those who are denied, and of those who are allowed whatever these
    /// bounds say; [`Prefixes::parse`](crate::guard::Prefixes::parse) tells how it is written. It
    /// is read at the start, and again whenever [`Server::guard`](crate::server::Server::guard) is
    /// told to. Default none.
    pub guard: Option<PathBuf>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            rate: 500,
            burst: 2_000,
            known_max: 65_536,
            loopback: false,
            exempt: Vec::new(),
            proxies: Vec::new(),
            guard: None,
        }
    }
}

/// Bounds of [`SourceConfig::known_max`]: the most is 400 MB.
pub(super) const KNOWN: RangeInclusive<usize> = 1..=1 << 22;
/// Networks of a list: each is looked at for each newcomer.
pub(crate) const NETWORKS_MAX: usize = 1024;

impl SourceConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |why| Err(ConfigError::Sources(why));
        if self.burst == 0 {
            return wrong("source_burst is 0: give 1 or more; source_rate = 0 turns the bound off");
        }
        if !KNOWN.contains(&self.known_max) {
            return wrong("sources_max: give 1 to 4194304");
        }
        if self.exempt.len().max(self.proxies.len()) > NETWORKS_MAX {
            return wrong("give no more than 1024 networks each that are exempt or proxies");
        }
        Ok(())
    }
}
