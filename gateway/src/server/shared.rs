//! The address that all shards share: on Linux each has a listener of its own there, elsewhere all
//! have handles of one, and whoever is first takes a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::net::listen::{ALONE, Options, bind};

/// The address, as long as shards may come.
#[derive(Debug)]
pub(super) struct Shared {
    /// With the port that the system chose if it was asked to.
    addr: SocketAddr,
    /// What shards that come are given handles of; none once nobody may come.
    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    listener: Mutex<Option<TcpListener>>,
}

impl Shared {
    /// Takes the address, for which nobody else listens; port 0 lets the system pick one.
    ///
    /// A port shared between shards could be shared with another program unseen, so it is first
    /// asked for alone; unless this process is to be `joined` by one that takes over, and may be
    /// that one itself.
    pub(super) fn take(addr: SocketAddr, joined: bool) -> io::Result<Self> {
        let listener = bind(addr, &if joined { Options::default() } else { ALONE })?;
        Ok(Self {
            addr: listener.local_addr()?,
            #[cfg(not(all(target_os = "linux", not(weir_portable))))]
            listener: Mutex::new(Some(listener)),
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One shard's listener.
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        bind(self.addr, &Options::default())
    }

    /// One shard's listener: the others' too, for the system shares no port between several.
    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        self.lock().as_ref().ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// No shard comes any more: the address is free again when those that are there have closed
    /// their listeners.
    pub(super) fn close(&self) {
        #[cfg(not(all(target_os = "linux", not(weir_portable))))]
        drop(self.lock().take());
    }

    /// Nothing panics while it is locked.
    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    fn lock(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
