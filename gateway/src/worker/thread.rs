//! A worker as a thread of its own: pinned, with a runtime, over the system's sockets.

use std::io;
use std::sync::Arc;

use gateway_core::counters::Counters;
use gateway_registry::ids::WorkerId;
use tokio::runtime;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::{Opener, Plan};
use crate::machine;
use crate::net::listen::Listeners;
use crate::node::Node;
use crate::plan::Place;

#[cfg(not(all(target_os = "linux", not(weir_portable))))]
use crate::net::TokioNet as ShardNet;
#[cfg(all(target_os = "linux", not(weir_portable)))]
use crate::net::{EpollNet as ShardNet, Extents, MemfdStore};

/// Makes a shard's sockets of its listeners.
#[derive(Clone)]
pub(crate) struct System {
    /// From where large payloads go to sockets uncopied, if they are kept there.
    #[cfg(all(target_os = "linux", not(weir_portable)))]
    pub(crate) extents: Option<Arc<MemfdStore>>,
}

impl Opener for System {
    type Doors = Listeners;
    type Net = ShardNet;

    #[cfg(all(target_os = "linux", not(weir_portable)))]
    fn open(&self, listeners: Listeners) -> io::Result<ShardNet> {
        let net = listen(listeners)?;
        Ok(match &self.extents {
            Some(store) => net.with_extents(Arc::clone(store) as Arc<dyn Extents>),
            None => net,
        })
    }

    #[cfg(not(all(target_os = "linux", not(weir_portable))))]
    fn open(&self, listeners: Listeners) -> io::Result<ShardNet> {
        listen(listeners)
    }
}

fn listen(Listeners { shared, own }: Listeners) -> io::Result<ShardNet> {
    let net = ShardNet::new(shared)?;
    match own {
        Some(own) => net.with_own(own),
        None => Ok(net),
    }
}

impl Plan<System> {
    /// Works on this thread, pinned to `place` if the system lets us, until the node is over;
    /// returns what all of its shards counted.
    ///
    /// # Errors
    /// If a shard cannot be made, or a listener or its poller broke.
    pub(crate) fn run(self, place: Option<Place>) -> io::Result<Counters> {
        let worker = self.port.worker();
        let place = place.filter(|&Place { cpu, .. }| {
            let pinned = machine::pin(cpu);
            pinned.inspect_err(|error| warn!(%worker, cpu, %error, "not pinned")).is_ok()
        });
        place.into_iter().for_each(|place| self.node.pinned(worker, place));
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        runtime.block_on(self.work(place.map(|place| place.cpu)))
    }
}

/// Says that a worker's thread ends, however it does.
pub(crate) struct Ended {
    pub(crate) worker: WorkerId,
    pub(crate) node: Arc<Node>,
    pub(crate) tell: UnboundedSender<usize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.node.end();
        // Nobody listens any more when the node is being joined.
        let _ = self.tell.send(self.worker.index());
    }
}
