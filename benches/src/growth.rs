//! What becomes of a delivery's and of a connection's cost when there are more of them?

use anyhow::Result;

use crate::Outcome;
use crate::contest::Heat;
use crate::flags::Growth;
use crate::json::Json;
use crate::report::{Curve, Part, Point};
use crate::rooms::Size;
use crate::rows::{Candidate, Shape, candidates, line_up};
use crate::stats::Spread;
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
    name: &'static str,
    connections: usize,
    each: f64,
    /// To the floor's, within a round.
    ratio: Spread,
}

/// # Errors
/// If Weir or the floor fails, or loses something.
pub(crate) fn run(flags: &Growth) -> Result<Outcome> {
    let shared = &flags.shared;
    println!("growth: on {}, commit {}", machine::describe(), machine::commit());
    let (mut cpu, mut memory) = (Vec::new(), Vec::new());
    for &connections in &flags.connections {
        let connections = shared.or_smoke(usize::from(connections), 20);
        let wanted = (connections + idle::FIRST) as u64 + DESCRIPTORS_SPARE;
        machine::allow_descriptors(wanted)?;
        println!("{connections} connections:");
        weigh(flags, connections, &mut memory)?;
        hear(flags, connections, &mut cpu)?;
    }
    print("ns of CPU per delivery", &cpu);
    print("bytes of user memory per connection", &memory);
    Ok(conclude(&cpu, &memory))
}

/// How much memory so many silent connections take.
fn weigh(flags: &Growth, connections: usize, found: &mut Vec<Found>) -> Result<()> {
    let shape = Shape::Idle { connections };
    let mut floor = None;
    for candidate in candidates(shape, false, &flags.shared)? {
        let weighed = weigh_one(candidate, shape, connections, flags);
        let each = match weighed {
            Ok(each) => each,
            Err(error) if candidate.is_needed() => return Err(error),
            Err(error) => {
                println!("  {} is left out: {error:#}", candidate.name);
                continue;
            }
        };
        // Less than a byte is nothing that a page could show.
        let ratio = each / floor.get_or_insert(each).max(1.0);
        let ratio = Spread::of(std::iter::once(ratio));
        found.push(Found { name: candidate.name, connections, each, ratio });
    }
    Ok(())
}

fn weigh_one(
    candidate: Candidate,
    shape: Shape,
    connections: usize,
    flags: &Growth,
) -> Result<f64> {
    let server = candidate.start(shape, 1, &flags.shared)?;
    Ok(idle::measure(&server, connections, None)?.user)
}

/// What it costs to tell so many connections something.
fn hear(flags: &Growth, connections: usize, found: &mut Vec<Found>) -> Result<()> {
    let shared = &flags.shared;
    let size = Size { rooms: 1, members: connections, payload_bytes: PAYLOAD_BYTES };
    let mut lineup = line_up(Shape::Rooms(size), 1, false, shared)?;
    let times = shared.or_smoke(DELIVERIES.div_ceil(connections), 8);
    let rounds = shared.rounds_or(ROUNDS);
    let heat = Heat::hold(Unit::Delivery, &mut lineup.contestants, 1, rounds, |_| times)?;
    heat.print();
    for standing in heat.standings() {
        let (name, each, ratio) = (standing.name, standing.each.median, standing.ratio);
        found.push(Found { name, connections, each, ratio });
    }
    Ok(())
}

fn print(unit: &str, found: &[Found]) {
    println!("\n{:<14} {:>12} {:>12} {unit}, and as a ratio to the floor", "", "connections", "");
    for Found { name, connections, each, ratio } in found {
        println!("{name:<14} {connections:>12} {each:>12.0} {ratio:>24.3}");
    }
}

fn conclude(cpu: &[Found], memory: &[Found]) -> Outcome {
    let parts = vec![
        curves("What a delivery costs in one room", "ns of CPU", cpu, |found| found.each),
        curves("The same beside the floor", "ratio", cpu, |found| found.ratio.median),
        curves("What a silent connection costs", "bytes of user memory", memory, |it| it.each),
    ];
    let numbers = vec![("nanos_per_delivery", json(cpu)), ("bytes_per_connection", json(memory))];
    Outcome::told("growth", Vec::new(), numbers, parts)
}

fn curves(title: &str, y: &'static str, found: &[Found], of: impl Fn(&Found) -> f64) -> Part {
    let mut curves: Vec<Curve> = Vec::new();
    for found in found {
        let index = curves.iter().position(|curve| curve.name == found.name);
        let index = index.unwrap_or_else(|| {
            curves.push(Curve { name: found.name, points: Vec::new() });
            curves.len() - 1
        });
        curves[index].points.push(Point { x: found.connections as f64, y: of(found) });
    }
    Part::Curves { title: title.to_owned(), x: "connections", y, curves }
}

fn json(found: &[Found]) -> Json {
    let one = |found: &Found| {
        Json::Object(vec![
            ("name", found.name.into()),
            ("connections", (found.connections as f64).into()),
            ("each", found.each.into()),
            ("ratio_to_floor", found.ratio.into()),
        ])
    };
    Json::List(found.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_one_curve_with_all_its_points() {
        let found = |name, connections| Found {
            name,
            connections,
            each: 1.0,
            ratio: Spread { min: 1.0, median: 1.0, max: 1.0 },
        };
        let all = [found("floor", 10), found("weir", 10), found("floor", 20), found("weir", 20)];
        let Part::Curves { curves, .. } = curves("", "", &all, |found| found.each) else {
            panic!("curves are drawn as curves");
        };
        let names: Vec<_> = curves.iter().map(|curve| (curve.name, curve.points.len())).collect();
        assert_eq!(names, [("floor", 2), ("weir", 2)]);
    }
}
