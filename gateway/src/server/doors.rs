//! Where a node listens: one address that all shards share, and a port for each if there is a base.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use gateway_core::id::ShardId;
use thiserror::Error;

use super::shared::Shared;
use super::{AddError, StartError};
use crate::config::{Config, port_of};
use crate::net::listen::{ALONE, Listeners, bind};

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
#[derive(Debug)]
pub(super) struct Doors {
    shared: Shared,
    own: Own,
}

/// The addresses of single shards, if they have such.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// Shard 0's port.
    base: Option<u16>,
}

impl Doors {
    /// Listens for so many shards.
    pub(super) fn open(
        config: &Config,
        shards: usize,
    ) -> Result<(Self, Vec<Listeners>), StartError> {
        let own = Own { base: config.base_port };
        let ids = (u16::MIN..=u16::MAX).map(ShardId).take(shards);
        // Before the shared address, for which the system might choose one of these ports.
        let owned: Result<Vec<_>, _> = ids.map(|shard| own.listener(shard)).collect();
        let owned = owned?;
        let wrong = |source| StartError::Bind { addr: config.addr, source };
        let shared = Shared::take(config.addr, config.steer.pin.is_some()).map_err(wrong)?;
        let beside = |own| Ok(Listeners { shared: shared.listener()?, own });
        let listeners: io::Result<Vec<_>> = owned.into_iter().map(beside).collect();
        let listeners = listeners.map_err(wrong)?;
        Ok((Self { shared, own }, listeners))
    }

    /// Listens for one shard more.
    pub(super) fn open_one(&self, shard: ShardId) -> Result<Listeners, AddError> {
        let own = self.own.listener(shard)?;
        let wrong = |source| AddError::Bind { addr: self.addr(), source };
        Ok(Listeners { shared: self.shared.listener().map_err(wrong)?, own })
    }

    /// From now on no shard comes.
    pub(super) fn close(&self) {
        self.shared.close();
    }

    /// The address that all shards share.
    pub(super) fn addr(&self) -> SocketAddr {
        self.shared.addr()
    }

    /// The address of one shard, if there is a base and a port for it.
    pub(super) fn own(&self, shard: ShardId) -> Option<SocketAddr> {
        self.own.addr(shard)
    }
}

impl Own {
    fn addr(self, shard: ShardId) -> Option<SocketAddr> {
        let port = port_of(self.base?, shard.index())?;
        Some((Ipv4Addr::LOCALHOST, port).into())
    }

    fn listener(self, shard: ShardId) -> Result<Option<TcpListener>, OwnPortError> {
        let Some(base) = self.base else { return Ok(None) };
        let addr = self.addr(shard).ok_or(OwnPortError::Beyond { base, shard })?;
        let bound = bind(addr, &ALONE).map(Some);
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
