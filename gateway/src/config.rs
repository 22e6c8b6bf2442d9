//! What a node is started with, and the limits that follow from the machine.

use std::net::SocketAddr;

use gateway_core::hub::MemberPolicy;
use gateway_core::limits::Limits;

/// Configuration of one node. CLI flags mirror the first three fields one to one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect; port 0 lets the system choose. Default `127.0.0.1:9002`.
    pub addr: SocketAddr,
    /// Shards, each on a worker of its own. Default 1: until rooms span shards, a room's members
    /// hear each other only within a shard.
    pub shards: usize,
    /// Connections of the whole node, split over the shards, the remainder spread. Default, and
    /// at most: what the process's descriptor limit allows, which is raised as far as it may be.
    pub max_connections: Option<u32>,
    /// The bounds of each shard; `connections_max` is set from `max_connections`.
    pub limits: Limits,
    /// What becomes of members that do not read as fast as their room speaks.
    pub member_policy: MemberPolicy,
    /// Members served per flush slice. Default 64.
    pub slice: usize,
    /// Whether payloads of at least `share_bytes_min` are kept in a memfd and sent by `sendfile`
    /// (Linux). Default false: measured dearer than sending from the heap at 64 KiB on loopback.
    pub store: bool,
    /// Whether each worker is pinned to a core. Default true; it costs nothing but the choice.
    pub pin: bool,
}

/// Where `weir` listens unless told otherwise.
pub const ADDR_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9002);

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: ADDR_DEFAULT,
            shards: 1,
            max_connections: None,
            limits: Limits::default(),
            member_policy: MemberPolicy::Close,
            slice: crate::turn::SLICE_DEFAULT,
            store: false,
            pin: true,
        }
    }
}

/// Shard `index`'s share of `total`: the remainder goes to the first shards, one each.
#[must_use]
pub fn share(total: u32, shards: usize, index: usize) -> u32 {
    let shards = u32::try_from(shards).unwrap_or(u32::MAX);
    total / shards + u32::from((index as u64) < u64::from(total % shards))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_differ_by_at_most_one_and_add_up() {
        for (total, shards) in [(10, 3), (2, 4), (0, 2), (1_000_000, 7), (5, 1)] {
            let shares: Vec<_> = (0..shards).map(|index| share(total, shards, index)).collect();
            assert_eq!(shares.iter().sum::<u32>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
        }
    }
}
