//! Counts of a route's messages, one cell for each shard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::id::ShardId;

use super::{Context, Layer, Message, Middleware, Next, OUTCOMES, Verdict, told};

/// What routes count: made once, given to each route as a [`Metrics`], read by whoever looks on.
/// Clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct RouteMetrics {
    routes: Arc<Mutex<BTreeMap<String, Metrics>>>,
}

/// What a route has counted on all shards together, since the counts were made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RouteCount {
    /// The route, as it was called when its layer was made.
    pub route: String,
    /// Messages that came by the layer.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// What became of them, in the order of [`RouteCount::VERDICTS`]. A message of which nothing
    /// is decided yet is in none of them.
    pub verdicts: [u64; OUTCOMES.len()],
}

/// Counts messages, bytes and verdicts of a route.
///
/// Each shard has a cell of its own on its own cache lines, which it alone writes, without locks
/// and without read-modify-write instructions: counting never makes shards wait for each other.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counts: Arc<Mutex<Counts>>,
}

/// The cells of a route.
#[derive(Debug, Default)]
struct Counts {
    /// What layers have counted that are gone, so that sums never fall.
    ended: RouteCount,
    cells: Vec<Arc<Cell>>,
}

/// What one layer counts. It alone writes, anybody reads. Aligned so that no two cells share a
/// cache line, nor the pair of lines that some processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    messages: AtomicU64,
    bytes: AtomicU64,
    verdicts: [AtomicU64; OUTCOMES.len()],
}

impl RouteMetrics {
    /// Counts of no route yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What counts for this route. Layers that are made for the same route count together.
    #[must_use]
    pub fn layer(&self, route_path: impl Into<String>) -> Metrics {
        lock(&self.routes).entry(route_path.into()).or_default().clone()
    }

    /// What all routes have counted until now, by their names in ascending order. No count is
    /// less than when it was read before.
    #[must_use]
    pub fn read(&self) -> Vec<RouteCount> {
        let routes = lock(&self.routes);
        routes.iter().map(|(route, metrics)| metrics.read(route)).collect()
    }
}

impl RouteCount {
    /// What may become of a message: the names of verdicts (see [`Verdict::name`]), and `panicked`
    /// if a layer or the handler behind the counting one did.
    pub const VERDICTS: [&'static str; OUTCOMES.len()] = OUTCOMES;

    fn add(&mut self, cell: &Cell) {
        self.messages += cell.messages.load(Ordering::Relaxed);
        self.bytes += cell.bytes.load(Ordering::Relaxed);
        for (sum, count) in self.verdicts.iter_mut().zip(&cell.verdicts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

impl Metrics {
    /// A layer that counts here.
    fn counting(&self) -> Counting {
        let cell = Arc::<Cell>::default();
        lock(&self.counts).cells.push(Arc::clone(&cell));
        Counting { cell, counts: Arc::clone(&self.counts) }
    }

    fn read(&self, route: &str) -> RouteCount {
        let counts = lock(&self.counts);
        let mut total = RouteCount { route: route.to_owned(), ..counts.ended.clone() };
        counts.cells.iter().for_each(|cell| total.add(cell));
        total
    }
}

impl Layer for Metrics {
    fn layer(&self, _: ShardId) -> Box<dyn Middleware> {
        Box::new(self.counting())
    }
}

/// The layer of one shard.
struct Counting {
    cell: Arc<Cell>,
    counts: Arc<Mutex<Counts>>,
}

impl Middleware for Counting {
    fn handle(
        &mut self,
        context: &mut Context<'_>,
        message: Message<'_>,
        next: Next<'_, '_>,
    ) -> Verdict {
        let cell = &self.cell;
        add(&cell.messages, 1);
        add(&cell.bytes, message.bytes.len() as u64);
        told(context, message, next, |_, outcome| add(&cell.verdicts[outcome], 1))
    }
}

impl Drop for Counting {
    /// The shard has ended: what it counted stays, its cell goes.
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.ended.add(&self.cell);
        counts.cells.retain(|cell| !Arc::ptr_eq(cell, &self.cell));
    }
}

/// Nobody else writes to a cell, so that nothing is lost between the two halves.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Nothing that is done under these locks panics halfway.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn routes_are_read_in_the_order_of_their_names_and_counted_once() {
        let metrics = RouteMetrics::new();
        let layers = ["/b", "/a", "/b"].map(|route| metrics.layer(route).counting());
        for (layer, messages) in layers.iter().zip([1, 2, 4]) {
            add(&layer.cell.messages, messages);
        }
        let read = || metrics.read().into_iter().map(|count| (count.route, count.messages));
        let counted = [("/a".to_owned(), 2), ("/b".to_owned(), 5)];
        assert!(read().eq(counted.clone()));
        drop(layers);
        assert!(read().eq(counted), "what was counted stays");
        assert!(lock(&metrics.layer("/b").counts).cells.is_empty(), "and needs no cells");
    }

    #[test]
    fn no_sum_falls_while_shards_count_begin_and_end() {
        const SHARDS: u64 = 200;
        const MESSAGES: u64 = 100;
        let metrics = RouteMetrics::new();
        let route = metrics.layer("/");
        let shards = || {
            for _ in 0..SHARDS {
                let shard = route.counting();
                (0..MESSAGES).for_each(|_| add(&shard.cell.messages, 1));
            }
        };
        thread::scope(|scope| {
            let workers = [scope.spawn(shards), scope.spawn(shards)];
            let mut last = 0;
            while !workers.iter().all(|worker| worker.is_finished()) {
                let now = metrics.read()[0].messages;
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        assert_eq!(metrics.read()[0].messages, 2 * SHARDS * MESSAGES);
    }
}
