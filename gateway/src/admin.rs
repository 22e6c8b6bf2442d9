//! The admin listener: liveness, readiness, probes, metrics and shards over HTTP, and the orders to
//! drain, to deny addresses, and to add and remove shards.
//!
//! It has a thread of its own, so that neither a shard nor a slow admin client ever waits for the
//! other. Whatever only reads is open to everyone who reaches the address; whatever changes state
//! needs the [`AdminKey`] and is refused to pages of other origins.

mod answers;
mod guard;
mod http;
mod key;
mod metrics;
mod patience;
mod places;
mod probes;
mod readiness;
mod reserve;
mod shards;
pub mod stats;
mod steering;
pub mod watch;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tracing::warn;

use self::reserve::Reserve;
use crate::guard::Guard;
use crate::net::listen::{self, Options};
use crate::server::Shards;

pub use self::key::{AdminKey, KeyError};
pub use self::probes::{ProbeError, Probes, Value};
pub use self::readiness::{Readiness, Standing};

/// Descriptors that the admin listener may have open: connections and one that waits for a place,
/// what is kept back, and six for the listener and its runtime. Whoever divides the process's
/// descriptors keeps them free.
pub const DESCRIPTORS_MAX: u64 = (places::CONNECTIONS_MAX + reserve::KEPT_MAX + 7) as u64;

/// Connections that wait in the kernel. However many hold places for nothing, so many are accepted
/// in half a second, which is sooner than a client comes again whom the kernel did not let wait.
const BACKLOG: i32 = 256;

/// How long [`Admin::stop`] waits for the thread. It ends as soon as the answer that it is at is
/// made, so only a probe that does not return takes longer; nobody waits for that one.
const STOP_MAX: Duration = Duration::from_secs(2);

/// What the admin listener shows, and what it may do.
pub struct AdminConfig {
    /// Where to listen; port 0 lets the system pick one. Anything but a loopback address shows
    /// probes and metrics to the network.
    pub addr: SocketAddr,
    /// What opens the routes that change state.
    pub key: AdminKey,
    /// Shown by `/probes`.
    pub probes: Arc<Probes>,
    /// Told by `/readyz`; begins to drain with `POST /drain`.
    pub readiness: Arc<Readiness>,
    /// Shown by `/metrics`; asked on the admin's thread, for each answer anew.
    pub stats: stats::Source,
    /// Changed by `POST /admin/guard/…`, beside the admin's thread: that takes some milliseconds
    /// for each ten thousand prefixes, and more where the kernel is told.
    pub guard: Arc<Guard>,
    /// What `/admin/shards` shows and changes; without them nothing is there.
    pub shards: Option<Shards>,
    /// What `POST /drain` does: called on the admin's thread, at most once, and not if the
    /// readiness says that a drain has begun already. It does not wait for the drain's end.
    pub drain: Box<dyn FnOnce() + Send>,
}

/// Why there is no admin listener.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for admin: {source} ({})", bind_advice(.source))]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Its thread or runtime could not be made.
    #[error("cannot start the admin listener: {0}")]
    Thread(io::Error),
}

/// A running admin listener. Dropping it ends it like [`stop`](Self::stop).
#[derive(Debug)]
pub struct Admin {
    addr: SocketAddr,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    stop: oneshot::Sender<()>,
    /// Says nothing; its other end is dropped with everything that the thread had.
    ended: Mutex<mpsc::Receiver<()>>,
    handle: JoinHandle<()>,
}

impl Admin {
    /// Binds the address and serves on a thread called `weir-admin`.
    ///
    /// # Errors
    /// If the address cannot be had, or the thread not be made.
    pub fn start(config: AdminConfig) -> Result<Self, AdminError> {
        let bind_error = |source| AdminError::Bind { addr: config.addr, source };
        let alone = Options { reuse_port: false, backlog: BACKLOG };
        let listener = listen::bind(config.addr, &alone).map_err(bind_error)?;
        let addr = listener.local_addr().map_err(bind_error)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let reserve = Reserve::of(&listener).map_err(AdminError::Thread)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(AdminError::Thread)?
        };
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = mpsc::channel::<()>();
        let handle = thread::Builder::new()
            .name("weir-admin".to_owned())
            .spawn(move || {
                let _ending = ending;
                http::serve(&runtime, listener, reserve, config, stopped);
            })
            .map_err(AdminError::Thread)?;
        Ok(Self { addr, thread: Some(Thread { stop, ended: Mutex::new(ended), handle }) })
    }

    /// Where it listens: the port that the system chose if it was asked to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and all its connections, and waits for the thread: at most two
    /// seconds, which only a probe that does not return can take.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(Thread { stop, ended, handle }) = self.thread.take() else { return };
        // Nobody hears it if the thread has ended already.
        let _ = stop.send(());
        let ended = ended.into_inner().expect("nobody locks it");
        match ended.recv_timeout(STOP_MAX) {
            Err(RecvTimeoutError::Timeout) => {
                warn!("the admin listener is left behind: a probe has not returned");
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if handle.join().is_err() {
                    warn!("the admin listener had panicked; the panic's message stands above");
                }
            }
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig")
            .field("addr", &self.addr)
            .field("key", &self.key)
            .field("probes", &self.probes)
            .field("readiness", &self.readiness)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

fn bind_advice(error: &io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have advice of their own")]
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has it; stop that one or give another --admin",
        io::ErrorKind::AddrNotAvailable => "no such address on this machine; see --admin",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privilege; give another --admin",
        _ => "see --admin",
    }
}
