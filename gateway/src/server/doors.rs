//! Where a node listens: one address that all shards share, and a port for each if there is a base.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use gateway_core::id::ShardId;
use thiserror::Error;

use super::StartError;
use crate::config::{Config, port_of};
use crate::net::listen::{self, Listeners, Options};

/// How a port is bound that nobody else may have, not even unseen.
const ALONE: Options = Options { reuse_port: false, backlog: listen::BACKLOG };

/// Why a shard has no port of its own although there is a base.
#[derive(Debug, Error)]
pub enum OwnPortError {
    /// Ports end at 65,535.
    #[error(
        "--base-port {base}: shard {shard} would need a port beyond 65535; restart with a lower one"
    )]
    Beyond {
        /// The base.
        base: u16,
        /// Which shard.
        shard: ShardId,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on {addr} for shard {shard}: {source} ({})", advice(.source))]
    Bind {
        /// The address that the shard would have.
        addr: SocketAddr,
        /// Which shard.
        shard: ShardId,
        /// What the system said.
        source: io::Error,
    },
}

/// A node's addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doors {
    /// The one that all shards share, with the port that the system chose if it was asked to.
    addr: SocketAddr,
    /// Shard 0's own port.
    base_port: Option<u16>,
}

impl Doors {
    /// Listens for so many shards.
    pub(super) fn open(
        config: &Config,
        shards: usize,
    ) -> Result<(Self, Vec<Listeners>), StartError> {
        let mut doors = Self { addr: config.addr, base_port: config.base_port };
        let ids = (u16::MIN..=u16::MAX).map(ShardId).take(shards);
        // Before the shared address, for which the system might choose one of these ports.
        let own: Result<Vec<_>, _> = ids.map(|shard| doors.bind_own(shard)).collect();
        let own = own?;
        let wrong = |source| StartError::Bind { addr: config.addr, source };
        // A port shared between shards could be shared with another program unseen, so the port
        // is first asked for alone.
        let alone = listen::bind(config.addr, &ALONE).map_err(wrong)?;
        doors.addr = alone.local_addr().map_err(wrong)?;
        drop(alone);
        let beside = |own| Ok(Listeners { shared: doors.bind_shared()?, own });
        let listeners: io::Result<Vec<_>> = own.into_iter().map(beside).collect();
        Ok((doors, listeners.map_err(wrong)?))
    }

    /// The address that all shards share.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of one shard, if there is a base and a port for it.
    pub(super) fn own(&self, shard: ShardId) -> Option<SocketAddr> {
        let port = port_of(self.base_port?, shard.index())?;
        Some((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Listens once more at the shared address.
    pub(super) fn bind_shared(&self) -> io::Result<TcpListener> {
        listen::bind(self.addr, &Options::default())
    }

    /// Listens at the address of one shard, if shards have such.
    pub(super) fn bind_own(&self, shard: ShardId) -> Result<Option<TcpListener>, OwnPortError> {
        let Some(base) = self.base_port else { return Ok(None) };
        let addr = self.own(shard).ok_or(OwnPortError::Beyond { base, shard })?;
        let bound = listen::bind(addr, &ALONE).map(Some);
        bound.map_err(|source| OwnPortError::Bind { addr, shard, source })
    }
}

fn advice(error: &io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have advice of their own")]
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another listener has it; stop that one or give another --base-port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privilege; give another --base-port"
        }
        _ => "see --base-port",
    }
}
