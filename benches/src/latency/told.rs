//! What was found of latencies, as lines, curves and numbers.

use super::{LOADS, Missing, PERMILLES};
use crate::Outcome;
use crate::json::Json;
use crate::report::{Axis, Curve, Part, Point};
use crate::stats::Spread;

/// What one server did at one load.
pub(super) struct Cell {
    pub(super) name: &'static str,
    /// In percent of what it can do.
    pub(super) load: u32,
    /// Messages in a second.
    pub(super) rate: f64,
    /// In microseconds, over the rounds, as [`PERMILLES`].
    pub(super) latencies: [Spread; 3],
}

pub(super) fn print(cells: &[Cell]) {
    println!("\nmicroseconds from when a message was due, median (least..most) of rounds:");
    println!(
        "{:<16} {:>5} {:>10} {:>26} {:>26} {:>28}",
        "", "load", "messages/s", "p50", "p99", "p99.9"
    );
    for Cell { name, load, rate, latencies } in cells {
        let [p50, p99, p999] = latencies.map(|spread| format!("{spread:.0}"));
        println!("{name:<16} {load:>3} % {rate:>10.0} {p50:>26} {p99:>26} {p999:>28}");
    }
}

/// `busy` is how much of the time the load generator had work, at most.
pub(super) fn conclude(cells: &[Cell], missing: &Missing, busy: f64) -> Outcome {
    let notes = notes(cells, missing, busy);
    let drawn = (0..PERMILLES.len()).map(|which| part(cells, which, &notes)).collect();
    let absent = |(name, why): &(&'static str, String)| {
        Json::Object(vec![("name", (*name).into()), ("why", why.as_str().into())])
    };
    let numbers = vec![
        ("cells", Json::List(cells.iter().map(Cell::json).collect())),
        ("missing", Json::List(missing.iter().map(absent).collect())),
        ("load_busy_most", busy.into()),
    ];
    Outcome::told("latency", Vec::new(), numbers, drawn)
}

/// What stands below the curves: the loads in messages, and who is missing.
fn notes(cells: &[Cell], missing: &Missing, busy: f64) -> Vec<String> {
    let first = cells.iter().filter(|cell| cell.load == LOADS[0]);
    let whole = |cell: &Cell| cell.rate * 100.0 / f64::from(cell.load);
    let capacities: Vec<_> = first.map(|it| format!("{} {:.0}", it.name, whole(it))).collect();
    let mut notes = vec![format!(
        "100 % are, in messages/s: {}. Load generator busy at most {:.0} % of the time.",
        capacities.join(", "),
        busy * 100.0
    )];
    notes.extend(missing.iter().map(|(name, why)| format!("{name} did not finish: {why}")));
    notes
}

/// One figure; the notes stand below the last one.
fn part(cells: &[Cell], which: usize, notes: &[String]) -> Part {
    let mut curves: Vec<Curve> = Vec::new();
    for cell in cells {
        let point = Point { x: f64::from(cell.load), y: cell.latencies[which].median };
        match curves.iter_mut().find(|curve| curve.name == cell.name) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name: cell.name, points: vec![point] }),
        }
    }
    let (_, name) = PERMILLES[which];
    let last = which + 1 == PERMILLES.len();
    Part::Curves {
        title: format!("Latency from when a message was due, {name}"),
        x: Axis::even("load, of what each server can do").in_units(" %"),
        y: Axis::decades("µs, logarithmic"),
        curves,
        notes: if last { notes.to_vec() } else { Vec::new() },
    }
}

impl Cell {
    fn json(&self) -> Json {
        let [p50, p99, p999] = self.latencies.map(Json::from);
        Json::Object(vec![
            ("name", self.name.into()),
            ("load_percent", f64::from(self.load).into()),
            ("messages_per_second", self.rate.into()),
            ("p50_micros", p50),
            ("p99_micros", p99),
            ("p99_9_micros", p999),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &'static str, load: u32) -> Cell {
        let spread = Spread { min: 1.0, median: 2.0, max: 3.0 };
        Cell { name, load, rate: f64::from(load) * 10.0, latencies: [spread; 3] }
    }

    #[test]
    fn each_server_has_a_curve_over_its_loads() {
        let cells: Vec<_> =
            LOADS.iter().flat_map(|&it| [cell("floor", it), cell("weir", it)]).collect();
        let Part::Curves { curves, .. } = part(&cells, 0, &[]) else {
            panic!("latencies are drawn as curves");
        };
        let names: Vec<_> = curves.iter().map(|curve| (curve.name, curve.points.len())).collect();
        assert_eq!(names, [("floor", 3), ("weir", 3)]);
    }

    #[test]
    fn the_notes_say_what_each_can_do_and_who_is_missing() {
        let cells: Vec<_> = LOADS.iter().map(|&load| cell("weir", load)).collect();
        let missing = vec![("nats", "lost 1 of 9 deliveries".to_owned())];
        let notes = notes(&cells, &missing, 0.5);
        assert!(notes[0].starts_with("100 % are, in messages/s: weir 1000."), "{notes:?}");
        assert_eq!(notes[1], "nats did not finish: lost 1 of 9 deliveries");
    }
}
