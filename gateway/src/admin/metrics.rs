//! Stats in the text format of Prometheus, version 0.0.4.

use std::fmt::{self, Display, Write as _};

use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;

use super::readiness::Standing;
use super::stats::{ShardStats, Stats};
use super::steering;
use crate::middleware::RouteCount;
use crate::plan::Place;

/// What the format is called in a `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All series of one look.
pub(super) fn render(stats: &Stats, standing: Standing) -> String {
    let mut text = Exposition::default();
    let version = ("version", env!("CARGO_PKG_VERSION"));
    text.gauge("weir_build_info", "Always 1, with the version as a label.", &[version], 1);
    let ready = u64::from(standing == Standing::Serving);
    text.gauge("weir_ready", "Whether new clients are wanted.", &[], ready);
    let help = "Connections of the node; one that is moving counts once.";
    text.gauge("weir_connections", help, &[], stats.connections);
    let help = "Connections that there may be.";
    text.gauge("weir_connections_max", help, &[], stats.connections_max);
    let help = "Connections accepted by shards whose removal had begun.";
    text.one("weir_accepted_late_total", help, Kind::Counter, &[], stats.accepted_late);
    by_worker(&mut text, stats);
    places(&mut text, stats);
    if let Some(steered) = &stats.steered {
        steering::render(&mut text, steered);
    }
    for family in &PER_SHARD {
        text.family(family.name, family.help, family.kind);
        for shard in &stats.shards {
            let of = ("shard", &*shard.shard.0.to_string());
            text.sample(family.name, &[of], (family.value)(shard));
        }
    }
    closed(&mut text, stats);
    hits(&mut text, stats);
    routes(&mut text, &stats.routes);
    text.0
}

/// What is counted for workers, if there are any.
fn by_worker(text: &mut Exposition, stats: &Stats) {
    let mut family = |name, help, kind, values: &[u64]| {
        if !values.is_empty() {
            text.family(name, help, kind);
        }
        for (worker, &value) in values.iter().enumerate() {
            text.sample(name, &[("worker", &worker.to_string())], value);
        }
    };
    let help = "Envelopes that wait in rings for the worker.";
    family("weir_ring_depth", help, Kind::Gauge, &stats.ring_depths);
    let help = "Bytes of envelopes that the worker has sent to workers of other NUMA nodes.";
    family("weir_cross_node_bytes_total", help, Kind::Counter, &stats.cross_node_bytes);
}

/// Where shards are that are pinned.
fn places(text: &mut Exposition, stats: &Stats) {
    let pinned = || stats.shards.iter().filter_map(|shard| Some((shard.shard, shard.place?)));
    if pinned().next().is_none() {
        return;
    }
    let mut family = |name, help, value: fn(Place) -> usize| {
        text.family(name, help, Kind::Gauge);
        for (shard, place) in pinned() {
            text.sample(name, &[("shard", &shard.0.to_string())], value(place) as u64);
        }
    };
    family("weir_shard_cpu", "The CPU that the shard's worker is pinned to.", |place| place.cpu);
    family("weir_shard_node", "The NUMA node of that CPU.", |place| place.node);
}

/// Connections ended, by shard and reason.
fn closed(text: &mut Exposition, stats: &Stats) {
    let name = "weir_closed_total";
    text.family(name, "Connections ended, by reason.", Kind::Counter);
    for shard in &stats.shards {
        let of = shard.shard.0.to_string();
        for (reason, count) in CloseReason::NAMES.iter().zip(shard.counters.closed) {
            text.sample(name, &[("shard", &of), ("reason", reason)], count);
        }
    }
}

/// Bounds that were hit, by shard and name. All names are there before the first hit, so that an
/// alert on a rate misses none.
fn hits(text: &mut Exposition, stats: &Stats) {
    let name = "weir_limit_hits_total";
    text.family(name, "Times that clients ran into a limit, by its name.", Kind::Counter);
    for shard in &stats.shards {
        let of = shard.shard.0.to_string();
        for (limit, count) in Hit::NAMES.iter().zip(shard.counters.hits) {
            text.sample(name, &[("shard", &of), ("limit", limit)], count);
        }
    }
}

/// Messages by route, if any route counts them: a family has samples.
fn routes(text: &mut Exposition, routes: &[RouteCount]) {
    if routes.is_empty() {
        return;
    }
    let mut family = |name, help, value: fn(&RouteCount) -> u64| {
        text.family(name, help, Kind::Counter);
        for count in routes {
            text.sample(name, &[("route", &count.route)], value(count));
        }
    };
    family("weir_route_messages_total", "Messages of a route.", |count| count.messages);
    family("weir_route_bytes_total", "Payload bytes of a route's messages.", |count| count.bytes);
    let name = "weir_route_verdicts_total";
    text.family(name, "What became of a route's messages.", Kind::Counter);
    for RouteCount { route, verdicts, .. } in routes {
        for (verdict, count) in RouteCount::VERDICTS.iter().zip(verdicts) {
            text.sample(name, &[("route", route), ("verdict", verdict)], *count);
        }
    }
}

/// A family with one series for each shard.
struct PerShard {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    value: fn(&ShardStats) -> u64,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardStats) -> u64) -> PerShard {
    PerShard { name, help, kind: Kind::Gauge, value }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&ShardStats) -> u64,
) -> PerShard {
    PerShard { name, help, kind: Kind::Counter, value }
}

const PER_SHARD: [PerShard; 24] = [
    gauge("weir_shard_connections", "Connections with a place on the shard.", |shard| {
        shard.connections.into()
    }),
    gauge("weir_homes", "Rooms whose home is the shard: each room once.", |shard| shard.homes),
    gauge("weir_sides", "Rooms with members on the shard.", |shard| shard.sides),
    gauge("weir_outbox_bytes", "Memory kept for members that owe.", |shard| shard.outbox_bytes),
    gauge("weir_inbound_bytes", "Memory kept for unfinished messages.", |shard| {
        shard.inbound_bytes
    }),
    gauge("weir_commands_waiting", "Commands that wait for room in a ring.", |shard| {
        shard.commands_waiting
    }),
    counter(
        "weir_off_cpu_total",
        "Connections accepted on another CPU than their packets'.",
        |shard| shard.off_cpu,
    ),
    counter("weir_accept_pauses_total", "Times that accepting paused for a shortage.", |shard| {
        shard.accept_pauses
    }),
    counter("weir_pool_hits_total", "Buffers that the pool had.", |shard| shard.pool_hits),
    counter("weir_pool_misses_total", "Buffers that the pool had not.", |shard| shard.pool_misses),
    counter("weir_accepted_total", "Connections accepted, refused ones included.", |shard| {
        shard.counters.accepted
    }),
    counter("weir_opened_total", "Upgrades completed.", |shard| shard.counters.opened),
    counter("weir_cut_total", "Connections cut with bytes unsent or without a goodbye.", |shard| {
        shard.counters.cut
    }),
    counter("weir_messages_total", "Messages received.", |shard| shard.counters.messages),
    counter("weir_deliveries_total", "Messages handed to members, echoes included.", |shard| {
        shard.counters.deliveries
    }),
    counter("weir_panics_total", "Panics of middleware and handlers.", |shard| {
        shard.counters.panics
    }),
    counter("weir_slowed_total", "Times that a connection was read more slowly.", |shard| {
        shard.counters.slowed
    }),
    counter("weir_orders_total", "Orders of the program carried out.", |shard| {
        shard.counters.orders
    }),
    counter("weir_dropped_total", "Messages that lossy members missed.", |shard| {
        shard.counters.dropped
    }),
    counter("weir_moved_in_total", "Connections that came from another shard.", |shard| {
        shard.counters.moved_in
    }),
    counter("weir_moved_out_total", "Connections that went to another shard.", |shard| {
        shard.counters.moved_out
    }),
    counter("weir_passed_total", "Newcomers that another shard serves.", |shard| {
        shard.counters.passed
    }),
    counter("weir_gaps_total", "Times that members missed what nobody remembers.", |shard| {
        shard.counters.gaps
    }),
    counter(
        "weir_coalesced_total",
        "Times that what a room's members were sent had waited for more, on a shard.",
        |shard| shard.counters.coalesced,
    ),
];

/// The text, family by family.
#[derive(Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow at once, as the format asks.
    pub(super) fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let help = Escaped { text: help, quotes: false };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.line(format_args!("{name}{} {value}", Labels(labels)));
    }

    /// A family with one series.
    pub(super) fn one(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        labels: &[(&str, &str)],
        value: u64,
    ) {
        self.family(name, help, kind);
        self.sample(name, labels, value);
    }

    /// The same for a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.one(name, help, Kind::Gauge, labels, value);
    }

    #[cfg(test)]
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(f, "{before}{name}=\"{}\"", Escaped { text: value, quotes: true })?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

/// Text without line ends, and in labels without quotes.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|char| match char {
            '\\' => f.write_str(r"\\"),
            '\n' => f.write_str(r"\n"),
            '"' if self.quotes => f.write_str("\\\""),
            plain => f.write_char(plain),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_or_a_label_is_escaped() {
        let mut text = Exposition::default();
        text.gauge("a", "b\\\n\"c\"", &[("d", "e\\\n\"f\""), ("g", "h")], 7);
        let lines: Vec<_> = text.0.lines().collect();
        let sample = r#"a{d="e\\\n\"f\"",g="h"} 7"#;
        assert_eq!(lines, [r#"# HELP a b\\\n"c""#, "# TYPE a gauge", sample]);
    }

    #[test]
    fn a_route_is_told_however_it_is_spelt() {
        let route = RouteCount { route: "/a\"b\\/{room}".to_owned(), ..RouteCount::default() };
        let route = RouteCount { messages: 7, bytes: 70, verdicts: [4, 0, 0, 1, 0, 2], ..route };
        let text = render(&Stats::default().with_routes(vec![route]), Standing::Serving);
        for line in [
            r#"weir_route_messages_total{route="/a\"b\\/{room}"} 7"#,
            r#"weir_route_bytes_total{route="/a\"b\\/{room}"} 70"#,
            r#"weir_route_verdicts_total{route="/a\"b\\/{room}",verdict="served"} 4"#,
            r#"weir_route_verdicts_total{route="/a\"b\\/{room}",verdict="panicked"} 2"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        let none = render(&Stats::default(), Standing::Serving);
        assert!(!none.contains("weir_route_"), "a family has samples");
    }

    #[test]
    fn only_a_serving_node_is_ready() {
        let ready = |standing| render(&Stats::default(), standing).contains("\nweir_ready 1\n");
        let all = [Standing::Starting, Standing::Serving, Standing::Draining];
        assert_eq!(all.map(ready), [false, true, false]);
    }

    #[test]
    fn counters_and_only_counters_are_called_totals() {
        for family in &PER_SHARD {
            let is_counter = matches!(family.kind, Kind::Counter);
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
        }
    }
}
