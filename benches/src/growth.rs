//! What becomes of a delivery's and of a connection's cost when there are more of them?

use anyhow::Result;

use crate::Outcome;
use crate::contest::Heat;
use crate::flags::Growth;
use crate::json::Json;
use crate::report::{Axis, Curve, Part, Point};
use crate::rows::{Shape, line_up, servers, weigh};
use crate::stats::{Spread, Standing};
use crate::unit::Unit;
use crate::{idle, machine};

const ROUNDS: usize = 3;

/// Bytes of a message.
const PAYLOAD_BYTES: usize = 64;

/// Deliveries to one server, of one round: so that small rooms are heard more often.
const DELIVERIES: usize = 150_000;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// What was found for one server at one size.
struct Found {
    connections: usize,
    standing: Standing,
}

/// What was found of one question.
#[derive(Default)]
struct Findings {
    found: Vec<Found>,
    /// Who did not take part at some size, or not to the end, and why.
    missing: Vec<(&'static str, String)>,
}

/// # Errors
/// If Weir or the floor fails, or loses something.
pub(crate) fn run(flags: &Growth) -> Result<Outcome> {
    let shared = &flags.shared;
    println!("growth: on {}, commit {}", machine::describe(), machine::commit());
    let (mut cpu, mut memory) = (Findings::default(), Findings::default());
    for &connections in &flags.connections {
        let connections = shared.or_smoke(usize::from(connections), 20);
        let wanted = (connections + idle::FIRST) as u64 + DESCRIPTORS_SPARE;
        machine::allow_descriptors(wanted)?;
        println!("{connections} connections:");
        let weighed = weigh(connections, false, shared.rounds_or(ROUNDS), shared)?;
        memory.add(connections, weighed.standings, weighed.missing);
        hear(flags, connections, &mut cpu)?;
    }
    cpu.print(Unit::Delivery.cost());
    memory.print("bytes of user memory per connection");
    Ok(conclude(&cpu, &memory))
}

/// What it costs to tell so many connections something.
fn hear(flags: &Growth, connections: usize, cpu: &mut Findings) -> Result<()> {
    let shared = &flags.shared;
    let shape = Shape::Room { members: connections, payload_bytes: PAYLOAD_BYTES };
    let mut lineup = line_up(servers(shape, shared)?, shape, 1, shared)?;
    let times = shared.or_smoke(DELIVERIES.div_ceil(connections), 8);
    let rounds = shared.rounds_or(ROUNDS);
    let heat = Heat::hold(Unit::Delivery, &mut lineup.contestants, 1, rounds, |_| times)?;
    heat.print();
    let missing = lineup.skipped.into_iter().chain(heat.fallen.iter().cloned()).collect();
    cpu.add(connections, heat.standings(), missing);
    Ok(())
}

impl Findings {
    fn add(
        &mut self,
        connections: usize,
        standings: Vec<Standing>,
        missing: Vec<(&'static str, String)>,
    ) {
        let found = standings.into_iter().map(|standing| Found { connections, standing });
        self.found.extend(found);
        let missing = missing.into_iter();
        self.missing.extend(missing.map(|(name, why)| (name, format!("at {connections}: {why}"))));
    }

    fn print(&self, unit: &str) {
        println!(
            "\n{:<16} {:>12} {:>12} {unit}, and as a ratio to the floor",
            "", "connections", ""
        );
        for Found { connections, standing: Standing { name, each, ratio, .. } } in &self.found {
            println!("{name:<16} {connections:>12} {:>12.0} {ratio:>24.3}", each.median);
        }
        for (name, why) in &self.missing {
            println!("{name:<16} {why}");
        }
    }

    fn curves(&self, of: impl Fn(&Standing) -> f64) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for Found { connections, standing } in &self.found {
            let point = Point { x: *connections as f64, y: of(standing) };
            match curves.iter_mut().find(|curve| curve.name == standing.name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve { name: standing.name, points: vec![point] }),
            }
        }
        curves
    }

    fn notes(&self) -> Vec<String> {
        let note = |(name, why): &(&'static str, String)| format!("{name} did not finish {why}");
        self.missing.iter().map(note).collect()
    }

    fn json(&self) -> Json {
        let one = |Found { connections, standing }: &Found| {
            Json::Object(vec![
                ("name", standing.name.into()),
                ("connections", (*connections as f64).into()),
                ("each", standing.each.into()),
                ("ratio_to_floor", standing.ratio.into()),
                ("softirq_share", standing.softirq_share.into()),
            ])
        };
        Json::List(self.found.iter().map(one).collect())
    }

    fn missing_json(&self) -> impl Iterator<Item = Json> {
        self.missing.iter().map(|(name, why)| {
            Json::Object(vec![("name", (*name).into()), ("why", why.as_str().into())])
        })
    }
}

fn conclude(cpu: &Findings, memory: &Findings) -> Outcome {
    let median = |spread: Spread| spread.median;
    let figure = |title: &str, y, curves, notes| Part::Curves {
        title: title.to_owned(),
        x: Axis::decades("connections, logarithmic"),
        y,
        curves,
        notes,
    };
    let parts = vec![
        figure(
            "What a delivery of 64 bytes costs in one room",
            Axis::even(Unit::Delivery.cost()),
            cpu.curves(|it| median(it.each)),
            cpu.notes(),
        ),
        figure(
            "The same beside the floor in the same rounds",
            Axis::even("times the floor’s"),
            cpu.curves(|it| median(it.ratio)),
            Vec::new(),
        ),
        figure(
            "What a silent connection costs",
            Axis::decades("bytes of user memory per connection, logarithmic"),
            memory.curves(|it| median(it.each)),
            memory.notes(),
        ),
    ];
    let numbers = vec![
        ("nanos_per_delivery", cpu.json()),
        ("bytes_per_connection", memory.json()),
        ("missing", Json::List(cpu.missing_json().chain(memory.missing_json()).collect())),
    ];
    Outcome::told("growth", Vec::new(), numbers, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &'static str, each: f64) -> Standing {
        let spread = Spread { min: each, median: each, max: each };
        Standing { name, each: spread, ratio: spread, softirq_share: None }
    }

    #[test]
    fn each_server_has_one_curve_with_all_its_points() {
        let mut findings = Findings::default();
        for connections in [10, 20] {
            let both = vec![standing("floor", 1.0), standing("weir", 2.0)];
            findings.add(connections, both, Vec::new());
        }
        let curves = findings.curves(|it| it.each.median);
        let names: Vec<_> = curves.iter().map(|curve| (curve.name, curve.points.len())).collect();
        assert_eq!(names, [("floor", 2), ("weir", 2)]);
    }

    #[test]
    fn who_is_missing_at_one_size_has_its_curve_up_to_there() {
        let mut findings = Findings::default();
        findings.add(10, vec![standing("floor", 1.0), standing("peer", 3.0)], Vec::new());
        findings.add(20, vec![standing("floor", 1.0)], vec![("peer", "no more".to_owned())]);
        let curves = findings.curves(|it| it.each.median);
        assert_eq!(curves[1].points.len(), 1);
        assert_eq!(findings.notes(), ["peer did not finish at 20: no more"]);
    }
}
