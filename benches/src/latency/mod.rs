//! How long does a message take when messages come at their own pace?
//!
//! Each is sent when it is due, whether or not earlier ones have arrived, and its latency counts
//! from when it was due: a server that stops for a moment pays for everyone who waited meanwhile.

mod stream;

use anyhow::Result;

use self::stream::Stream;
use crate::Outcome;
use crate::flags::Latency;
use crate::json::Json;
use crate::machine;
use crate::report::{Curve, Part, Point};
use crate::rows::{Shape, candidates};
use crate::stats::Spread;

const ROUNDS: usize = 3;

/// How busy a server is kept, in percent of what it could do.
const LOADS: [u32; 3] = [20, 50, 80];

/// Which latencies are told, in thousandths.
const PERMILLES: [(usize, &str); 3] = [(500, "p50"), (990, "p99"), (999, "p99.9")];

/// Messages that the bare server sends at once when it is behind.
const BURST: usize = 16;

/// Descriptors that are not clients.
const DESCRIPTORS_SPARE: u64 = 64;

/// What is drawn and written, server by server.
struct Runner {
    stream: Stream,
    /// Whether nothing can be said without it.
    needed: bool,
    /// By load, then by round, as [`PERMILLES`], in microseconds.
    micros: [Vec<[f64; 3]>; 3],
    fault: Option<String>,
}

/// What one server did at one load.
struct Cell {
    name: &'static str,
    load: u32,
    /// Messages in a second.
    rate: f64,
    /// In microseconds, over the rounds, as [`PERMILLES`].
    latencies: [Spread; 3],
}

/// # Errors
/// If Weir or the floor fails, or loses something.
pub(crate) fn run(flags: &Latency) -> Result<Outcome> {
    let shared = &flags.shared;
    let members = shared.or_smoke(usize::from(flags.subscribers), 20);
    let payload_bytes = flags.payload as usize;
    println!(
        "latency: {members} members, {payload_bytes} bytes, on {}, commit {}",
        machine::describe(),
        machine::commit()
    );
    let mut runners = begin(flags, Shape::Room { members, payload_bytes })?;
    for round in 0..shared.rounds_or(ROUNDS) {
        println!("round {}:", round + 1);
        for (index, load) in LOADS.into_iter().enumerate() {
            for runner in &mut runners {
                runner.play(index, load, flags)?;
            }
        }
    }
    let cells: Vec<_> = runners.iter().flat_map(Runner::cells).collect();
    print(&cells);
    Ok(conclude(&cells))
}

/// Starts everyone, connects their clients and finds out what they can do.
fn begin(flags: &Latency, shape: Shape) -> Result<Vec<Runner>> {
    let candidates = candidates(shape, false, &flags.shared)?;
    let wanted = candidates.len() * shape.connections(1);
    machine::allow_descriptors(wanted as u64 + DESCRIPTORS_SPARE)?;
    let mut runners = Vec::new();
    for candidate in candidates.into_iter().filter(|candidate| candidate.hears_messages()) {
        let server = candidate.start(shape, BURST, &flags.shared);
        let stream = server.and_then(|server| Stream::new(server, shape, candidate.is_preframed()));
        let needed = candidate.is_needed();
        match stream {
            Ok(stream) => {
                println!("  {:<10} can do {:.0} messages/s", candidate.name, stream.capacity());
                runners.push(Runner { stream, needed, micros: Default::default(), fault: None });
            }
            Err(error) if needed => return Err(error),
            Err(error) => println!("  {} is left out: {error:#}", candidate.name),
        }
    }
    Ok(runners)
}

impl Runner {
    /// One round at one load; who has fallen out stays out.
    fn play(&mut self, index: usize, load: u32, flags: &Latency) -> Result<()> {
        if self.fault.is_some() {
            return Ok(());
        }
        let millis = flags.shared.or_smoke(usize::from(flags.millis), 100);
        let mut micros = match self.stream.run(load, millis as f64 / 1e3) {
            Ok(micros) => micros,
            Err(error) if self.needed => return Err(error),
            Err(error) => {
                println!("  {} fell out: {error:#}", self.stream.name());
                self.fault = Some(format!("{error:#}"));
                return Ok(());
            }
        };
        micros.sort_unstable();
        let told = PERMILLES.map(|(permille, _)| f64::from(quantile(&micros, permille)));
        let [p50, p99, p999] = told;
        println!(
            "  {:<10} at {load} %: p50 {p50:.0} µs, p99 {p99:.0} µs, p99.9 {p999:.0} µs; load \
             generator busy {:.0} %, lost 0 of {}",
            self.stream.name(),
            self.stream.busy() * 100.0,
            micros.len()
        );
        self.micros[index].push(told);
        Ok(())
    }

    /// What is known of it; nothing if it has fallen out.
    fn cells(&self) -> Vec<Cell> {
        if self.fault.is_some() {
            return Vec::new();
        }
        let cell = |(load, rounds): (u32, &Vec<[f64; 3]>)| Cell {
            name: self.stream.name(),
            load,
            rate: self.stream.rate(load),
            latencies: std::array::from_fn(|which| {
                Spread::of(rounds.iter().map(|round| round[which]))
            }),
        };
        LOADS.into_iter().zip(&self.micros).map(cell).collect()
    }
}

/// The latency that so many thousandths stay within.
fn quantile(sorted: &[u32], permille: usize) -> u32 {
    let index = (sorted.len() * permille).div_ceil(1000).max(1) - 1;
    sorted.get(index).copied().unwrap_or_default()
}

fn print(cells: &[Cell]) {
    println!("\nmicroseconds from when a message was due, median (least..most) of rounds:");
    println!(
        "{:<10} {:>5} {:>10} {:>26} {:>26} {:>28}",
        "", "load", "messages/s", "p50", "p99", "p99.9"
    );
    for Cell { name, load, rate, latencies } in cells {
        let [p50, p99, p999] = latencies.map(|spread| format!("{spread:.0}"));
        println!("{name:<10} {load:>3} % {rate:>10.0} {p50:>26} {p99:>26} {p999:>28}");
    }
}

fn conclude(cells: &[Cell]) -> Outcome {
    let part = |(which, (_, name)): (usize, &(usize, &'static str))| {
        let mut curves: Vec<Curve> = Vec::new();
        for cell in cells {
            let point = Point { x: f64::from(cell.load), y: cell.latencies[which].median };
            match curves.iter_mut().find(|curve| curve.name == cell.name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve { name: cell.name, points: vec![point] }),
            }
        }
        let title = format!("Latency from when a message was due, {name}");
        Part::Curves { title, x: "percent of what each server can do", y: "µs", curves }
    };
    let parts = PERMILLES.iter().enumerate().map(part).collect();
    let one = |cell: &Cell| {
        let [p50, p99, p999] = cell.latencies.map(Json::from);
        Json::Object(vec![
            ("name", cell.name.into()),
            ("load_percent", f64::from(cell.load).into()),
            ("messages_per_second", cell.rate.into()),
            ("p50_micros", p50),
            ("p99_micros", p99),
            ("p99_9_micros", p999),
        ])
    };
    let numbers = vec![("cells", Json::List(cells.iter().map(one).collect()))];
    Outcome::told("latency", Vec::new(), numbers, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_latency_that_was_measured() {
        let sorted: Vec<u32> = (1..=1000).collect();
        assert_eq!([500, 990, 999].map(|it| quantile(&sorted, it)), [500, 990, 999]);
        assert_eq!(quantile(&[7], 999), 7);
        assert_eq!(quantile(&[1, 2], 990), 2);
    }
}
