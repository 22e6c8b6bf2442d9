//! What the shards hold and have counted, merged for people and machines that look on.

use std::sync::Arc;

use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;
use gateway_core::id::ShardId;
use gateway_registry::census::{Cell, Census};
use serde_json::{Map, Value, json};

use super::probes::{ProbeError, Probes};
use super::steering;
use crate::middleware::RouteCount;
use crate::plan::Place;
use crate::steer::Steered;

/// Gives the stats of now. It does not wait, and nothing of a shard's turn waits for it.
pub type Source = Arc<dyn Fn() -> Stats + Send + Sync>;

/// One look at all shards. Each number is true for some moment of its shard's last turns; two
/// need not be of the same moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Connections of the node. One that is moving counts once here, and on both of its shards.
    pub connections: u64,
    /// Connections that there may be.
    pub connections_max: u64,
    /// The shards that were asked for, in that order.
    pub shards: Vec<ShardStats>,
    /// What routes with the layer that counts have counted, by their names in ascending order.
    pub routes: Vec<RouteCount>,
    /// Envelopes that wait in rings for each worker, in the order of the workers.
    pub ring_depths: Vec<u64>,
    /// Bytes of envelopes that each worker has sent to workers of other NUMA nodes since the
    /// start, in the order of the workers; 0 where workers are not pinned.
    pub cross_node_bytes: Vec<u64>,
    /// Connections accepted by shards whose removal had begun, since the start.
    pub accepted_late: u64,
    /// Where steering stands and what it has counted; nothing before it is attached.
    pub steered: Option<Steered>,
}

/// One shard's part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShardStats {
    /// Which one.
    pub shard: ShardId,
    /// Where its worker is pinned to; nothing if the system may move it.
    pub place: Option<Place>,
    /// Connections that have a place here.
    pub connections: u32,
    /// Rooms that have members here.
    pub sides: u64,
    /// Rooms whose home is here.
    pub homes: u64,
    /// Bytes of memory kept for members that owe.
    pub outbox_bytes: u64,
    /// Bytes of memory kept for unfinished messages.
    pub inbound_bytes: u64,
    /// Buffers that the shard's pool had, since the start.
    pub pool_hits: u64,
    /// Buffers that the shard's pool had not, since the start.
    pub pool_misses: u64,
    /// Commands that wait for room in a ring.
    pub commands_waiting: u64,
    /// Connections accepted since the start whose packets arrived on another CPU than the one that
    /// the shard is pinned to; 0 if it is not, or the system does not tell.
    pub off_cpu: u64,
    /// How often accepting has paused for want of descriptors or memory, since the start.
    pub accept_pauses: u64,
    /// What it has counted since it started.
    pub counters: Counters,
}

impl ShardStats {
    /// What a shard's cell says now, beside what the shard has counted.
    #[must_use]
    pub fn of(shard: ShardId, cell: &Cell, counters: Counters) -> Self {
        Self {
            shard,
            place: None,
            connections: cell.live(),
            sides: cell.rooms(),
            homes: cell.homes(),
            outbox_bytes: cell.outbox_bytes(),
            inbound_bytes: cell.inbound_bytes(),
            pool_hits: cell.pool_hits(),
            pool_misses: cell.pool_misses(),
            commands_waiting: cell.commands_waiting(),
            off_cpu: cell.off_cpu(),
            accept_pauses: cell.accept_pauses(),
            counters,
        }
    }
}

impl Stats {
    /// What the census says now of these shards, beside what each has counted; nothing of what is
    /// the workers' or the node's.
    ///
    /// # Panics
    /// If the census has no cell for one of them.
    #[must_use]
    pub fn gather(census: &Census, shards: impl IntoIterator<Item = (ShardId, Counters)>) -> Self {
        let of = |(shard, counters): (ShardId, Counters)| {
            ShardStats::of(shard, census.shard(usize::from(shard.0)), counters)
        };
        Self {
            connections: census.live(),
            connections_max: census.capacity().total_max,
            shards: shards.into_iter().map(of).collect(),
            ..Self::default()
        }
    }

    /// With what routes have counted.
    #[must_use]
    pub fn with_routes(self, routes: Vec<RouteCount>) -> Self {
        Self { routes, ..self }
    }

    /// With where shards are.
    #[must_use]
    pub fn with_places(mut self, place: impl Fn(ShardId) -> Option<Place>) -> Self {
        self.shards.iter_mut().for_each(|shard| shard.place = place(shard.shard));
        self
    }

    /// Rooms of the node, each counted once, at its home.
    #[must_use]
    pub fn rooms(&self) -> u64 {
        self.sum(|shard| shard.homes)
    }

    /// Rooms with members, each counted on every shard that has some.
    #[must_use]
    pub fn sides(&self) -> u64 {
        self.sum(|shard| shard.sides)
    }

    /// Bytes of memory kept for members that owe.
    #[must_use]
    pub fn outbox_bytes(&self) -> u64 {
        self.sum(|shard| shard.outbox_bytes)
    }

    /// Bytes of memory kept for unfinished messages.
    #[must_use]
    pub fn inbound_bytes(&self) -> u64 {
        self.sum(|shard| shard.inbound_bytes)
    }

    /// Commands that wait for room in a ring.
    #[must_use]
    pub fn commands_waiting(&self) -> u64 {
        self.sum(|shard| shard.commands_waiting)
    }

    /// Connections accepted on another CPU than their packets', since the start.
    #[must_use]
    pub fn off_cpu(&self) -> u64 {
        self.sum(|shard| shard.off_cpu)
    }

    /// How often accepting has paused, since the start.
    #[must_use]
    pub fn accept_pauses(&self) -> u64 {
        self.sum(|shard| shard.accept_pauses)
    }

    /// What the shards have counted together. Those of a shard that was removed are gone with it.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut total = Counters::default();
        self.shards.iter().for_each(|shard| total.merge(&shard.counters));
        total
    }

    fn sum(&self, of: fn(&ShardStats) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }
}

/// A probe over stats: its name, and what it shows.
type StatsProbe = (&'static str, fn(&Stats) -> Value);

const PROBES: [StatsProbe; 24] = [
    ("accept_pauses", |stats| stats.accept_pauses().into()),
    ("accepted_late", |stats| stats.accepted_late.into()),
    ("active_clients", |stats| stats.connections.into()),
    ("clients_max", |stats| stats.connections_max.into()),
    ("closed", |stats| closed(&stats.counters())),
    ("commands_waiting", |stats| stats.commands_waiting().into()),
    ("cross_node_bytes", |stats| stats.cross_node_bytes.clone().into()),
    ("deliveries_total", |stats| stats.counters().deliveries.into()),
    ("dropped_total", |stats| stats.counters().dropped.into()),
    ("inbound_bytes", |stats| stats.inbound_bytes().into()),
    ("limit_hits", |stats| hits(&stats.counters())),
    ("messages_total", |stats| stats.counters().messages.into()),
    ("off_cpu", |stats| stats.off_cpu().into()),
    ("orders_total", |stats| stats.counters().orders.into()),
    ("outbox_bytes", |stats| stats.outbox_bytes().into()),
    ("panics_total", |stats| stats.counters().panics.into()),
    ("passed_total", |stats| stats.counters().passed.into()),
    ("ring_depth", |stats| stats.ring_depths.clone().into()),
    ("rooms", |stats| stats.rooms().into()),
    ("routes", |stats| stats.routes.iter().map(route).collect()),
    ("shards", |stats| stats.shards.iter().map(shard).collect()),
    ("sides", |stats| stats.sides().into()),
    ("slowed_total", |stats| stats.counters().slowed.into()),
    ("steering", |stats| stats.steered.as_ref().map_or(Value::Null, steering::probe)),
];

/// Registers what every node shows: `active_clients`, `rooms`, `messages_total`, `shards` with
/// CPU, NUMA node, connections and bytes of each, `ring_depth` and `cross_node_bytes` by worker,
/// `off_cpu`, `accept_pauses`, `accepted_late`, and the like.
///
/// # Errors
/// If one of the names is taken, or there are too many probes; those before it stay.
pub fn register(probes: &Probes, source: &Source) -> Result<(), ProbeError> {
    PROBES.into_iter().try_for_each(|(name, show)| {
        let source = Arc::clone(source);
        probes.register(name, move || show(&source()))
    })
}

fn closed(counters: &Counters) -> Value {
    let reasons = CloseReason::NAMES.iter().zip(counters.closed);
    Value::Object(reasons.map(|(name, count)| ((*name).to_owned(), json!(count))).collect())
}

fn hits(counters: &Counters) -> Value {
    let limits = Hit::NAMES.iter().zip(counters.hits);
    Value::Object(limits.map(|(name, count)| ((*name).to_owned(), json!(count))).collect())
}

fn route(count: &RouteCount) -> Value {
    let verdicts = RouteCount::VERDICTS.iter().zip(count.verdicts);
    let verdicts = verdicts.map(|(name, count)| ((*name).to_owned(), json!(count)));
    json!({
        "route": count.route,
        "messages": count.messages,
        "bytes": count.bytes,
        "verdicts": Value::Object(verdicts.collect()),
    })
}

fn shard(stats: &ShardStats) -> Value {
    let numbers = [
        ("shard", u64::from(stats.shard.0)),
        ("connections", stats.connections.into()),
        ("sides", stats.sides),
        ("homes", stats.homes),
        ("outbox_bytes", stats.outbox_bytes),
        ("inbound_bytes", stats.inbound_bytes),
        ("commands_waiting", stats.commands_waiting),
        ("off_cpu", stats.off_cpu),
        ("accept_pauses", stats.accept_pauses),
        ("passed", stats.counters.passed),
        ("messages", stats.counters.messages),
        ("deliveries", stats.counters.deliveries),
    ];
    let numbers = numbers.map(|(name, number)| (name.to_owned(), Value::from(number)));
    let place = [
        ("cpu", stats.place.map(|place| place.cpu)),
        ("node", stats.place.map(|place| place.node)),
    ];
    let place = place.map(|(name, number)| (name.to_owned(), Value::from(number)));
    Value::Object(Map::from_iter(numbers.into_iter().chain(place)))
}

#[cfg(test)]
mod tests {
    use gateway_registry::census::Capacity;
    use gateway_registry::ids;

    use super::*;

    /// Two of three shards; the second one holds twice as much.
    fn stats() -> Stats {
        let census = Census::new(Capacity { total_max: 9, shard_max: 5 }, 3);
        let shards = [0, 2].map(|index: u16| {
            let share = u64::from(index).max(1);
            let cell = census.shard(index.into());
            cell.set_rooms(10 * share);
            cell.set_homes(20 * share);
            cell.set_outbox_bytes(30 * share);
            cell.set_inbound_bytes(40 * share);
            cell.set_commands_waiting(50 * share);
            cell.set_off_cpu(70 * share);
            cell.set_accept_pauses(80 * share);
            (0..share).for_each(|_| census.reserve(ids::ShardId(index)).unwrap());
            let (messages, passed) = (60 * share, 90 * share);
            let mut counters = Counters { messages, passed, ..Counters::default() };
            (0..share).for_each(|_| counters.hit(Hit::Utf8));
            (ShardId(index), counters)
        });
        let verdicts = [3, 0, 1, 0, 0, 2];
        let route = RouteCount { route: "/".to_owned(), messages: 6, bytes: 70, verdicts };
        let place = |ShardId(shard)| (shard == 2).then_some(Place { cpu: 6, node: 1 });
        let stats = Stats::gather(&census, shards).with_routes(vec![route]).with_places(place);
        let (ring_depths, cross_node_bytes) = (vec![4, 0], vec![0, 8]);
        Stats { ring_depths, cross_node_bytes, accepted_late: 5, ..stats }
    }

    #[test]
    fn shards_are_summed_up() {
        let stats = stats();
        assert_eq!((stats.connections, stats.connections_max), (3, 9));
        let sums = [stats.sides(), stats.rooms(), stats.outbox_bytes(), stats.inbound_bytes()];
        assert_eq!(sums, [30, 60, 90, 120]);
        assert_eq!((stats.commands_waiting(), stats.counters().messages), (150, 180));
        assert_eq!((stats.off_cpu(), stats.accept_pauses()), (210, 240));
        let shards = stats.shards.iter().map(|shard| (shard.shard.0, shard.connections));
        assert_eq!(shards.collect::<Vec<_>>(), [(0, 1), (2, 2)]);
    }

    #[test]
    fn every_node_shows_the_same_probes() {
        let probes = Probes::new();
        let source: Source = Arc::new(stats);
        register(&probes, &source).unwrap();
        let shown = probes.read();
        assert_eq!(shown["active_clients"], 3);
        assert_eq!(shown["rooms"], 60);
        assert_eq!(shown["messages_total"], 180);
        assert_eq!(shown["closed"]["slow"], 0);
        let hits = &shown["limit_hits"];
        assert_eq!((&hits["utf8"], &hits["descriptors"]), (&json!(3), &json!(0)));
        assert_eq!(shown["shards"][1]["shard"], 2);
        assert_eq!(shown["shards"][1]["outbox_bytes"], 60);
        let verdicts = &shown["routes"][0]["verdicts"];
        assert_eq!(
            (&shown["routes"][0]["messages"], &verdicts["panicked"]),
            (&json!(6), &json!(2))
        );
        assert_eq!((&shown["off_cpu"], &shown["shards"][1]["off_cpu"]), (&json!(210), &json!(140)));
        assert_eq!(shown["accept_pauses"], 240);
        assert_eq!(shown["shards"][0]["accept_pauses"], 80);
        assert_eq!(
            (&shown["passed_total"], &shown["shards"][1]["passed"]),
            (&json!(270), &json!(180))
        );
        assert_eq!((&shown["ring_depth"], &shown["accepted_late"]), (&json!([4, 0]), &json!(5)));
        assert_eq!(shown["cross_node_bytes"], json!([0, 8]));
        let place = |index: usize| {
            let shard = &shown["shards"][index];
            (shard["cpu"].clone(), shard["node"].clone())
        };
        assert_eq!(place(0), (Value::Null, Value::Null), "it is not pinned");
        assert_eq!(place(1), (json!(6), json!(1)));
        assert!(register(&probes, &source).is_err(), "names are given once");
    }
}
