//! How long does a message take when messages come at their own pace?
//!
//! Each is sent when it is due, whether or not earlier ones have arrived, and its latency counts
//! from when it was due: a server that stops for a moment pays for everyone who waited meanwhile.

mod stream;
mod told;

use anyhow::Result;

use self::stream::Stream;
use self::told::Cell;
use crate::Outcome;
use crate::contest::order;
use crate::flags::Latency;
use crate::machine;
use crate::rows::{Shape, servers};
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

/// Those who did not take part, or not to the end, and why.
type Missing = Vec<(&'static str, String)>;

/// A server, and what is known of it.
struct Runner {
    stream: Stream,
    /// Whether nothing can be said without it.
    needed: bool,
    /// By load, then by round, as [`PERMILLES`], in microseconds.
    micros: [Vec<[f64; 3]>; 3],
    /// How much of the time the load generator had work, at most.
    busy: f64,
    fault: Option<String>,
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
    let (mut runners, mut missing) = begin(flags, Shape::Room { members, payload_bytes })?;
    for round in 0..shared.rounds_or(ROUNDS) {
        println!("round {}:", round + 1);
        for (index, load) in LOADS.into_iter().enumerate() {
            play(&mut runners, index, load, round, flags)?;
        }
    }
    let cells: Vec<_> = runners.iter().flat_map(Runner::cells).collect();
    missing.extend(runners.iter().filter_map(|it| Some((it.stream.name(), it.fault.clone()?))));
    told::print(&cells);
    let busy = runners.iter().map(|runner| runner.busy).fold(0.0, f64::max);
    Ok(told::conclude(&cells, &missing, busy))
}

/// Starts everyone, connects their clients and finds out what they can do.
fn begin(flags: &Latency, shape: Shape) -> Result<(Vec<Runner>, Missing)> {
    let candidates = servers(shape, &flags.shared)?;
    let wanted = candidates.len() * shape.connections(1);
    machine::allow_descriptors(wanted as u64 + DESCRIPTORS_SPARE)?;
    let (mut runners, mut missing) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let server = candidate.start(shape, BURST, &flags.shared);
        let stream = server.and_then(|server| Stream::new(server, shape, candidate.is_preframed()));
        match stream {
            Ok(stream) => {
                println!("  {:<16} can do {:.0} messages/s", candidate.name, stream.capacity());
                runners.push(Runner::new(stream, candidate.is_needed()));
            }
            Err(error) if candidate.is_needed() => return Err(error),
            Err(error) => {
                println!("  {} is left out: {error:#}", candidate.name);
                missing.push((candidate.name, format!("{error:#}")));
            }
        }
        listen(&mut runners)?;
    }
    Ok((runners, missing))
}

/// One load of a round: everyone once, in changing order.
fn play(
    runners: &mut [Runner],
    index: usize,
    load: u32,
    round: usize,
    flags: &Latency,
) -> Result<()> {
    let millis = flags.shared.or_smoke(usize::from(flags.millis), 100);
    for runner in order(runners.len(), round * LOADS.len() + index) {
        runners[runner].attempt(|it| it.play(index, load, millis as f64 / 1e3))?;
        listen(runners)?;
    }
    Ok(())
}

/// Lets the clients of all answer pings, as the others' turns are longer than servers wait.
fn listen(runners: &mut [Runner]) -> Result<()> {
    runners.iter_mut().try_for_each(|runner| runner.attempt(|it| it.stream.listen()))
}

impl Runner {
    fn new(stream: Stream, needed: bool) -> Self {
        Self { stream, needed, micros: Default::default(), busy: 0.0, fault: None }
    }

    /// Does something with it; if it fails and is not needed it falls out, and stays out.
    fn attempt(&mut self, something: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.fault.is_some() {
            return Ok(());
        }
        match something(self) {
            Err(error) if !self.needed => {
                println!("  {} fell out: {error:#}", self.stream.name());
                self.fault = Some(format!("{error:#}"));
                Ok(())
            }
            done => done,
        }
    }

    /// So many seconds at one load.
    fn play(&mut self, index: usize, load: u32, seconds: f64) -> Result<()> {
        let mut micros = self.stream.run(load, seconds)?;
        micros.sort_unstable();
        let told = PERMILLES.map(|(permille, _)| f64::from(quantile(&micros, permille)));
        let [p50, p99, p999] = told;
        println!(
            "  {:<16} at {load} %: p50 {p50:.0} µs, p99 {p99:.0} µs, p99.9 {p999:.0} µs; load \
             generator busy {:.0} %, lost 0 of {}",
            self.stream.name(),
            self.stream.busy() * 100.0,
            micros.len()
        );
        self.busy = self.busy.max(self.stream.busy());
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
