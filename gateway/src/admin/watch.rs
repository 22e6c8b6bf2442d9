//! One line per second for who watches a node in a terminal.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use gateway_core::event::CloseReason;

use super::stats::Stats;

/// Columns of a line, whatever the numbers: a wide terminal does not wrap it.
pub const COLUMNS_MAX: usize = 120;

/// Above this a number is shown in three digits and a prefix.
const EXACT_MAX: u64 = 999_999_999;

/// Prints a line for every second until `stop` is sent to, or its other end is dropped. Rates are
/// over the time that has really passed.
///
/// # Errors
/// If a line cannot be written, as when the terminal is gone.
pub fn run(stats: impl Fn() -> Stats, out: impl Write, stop: &Receiver<()>) -> io::Result<()> {
    run_every(Duration::from_secs(1), stats, out, stop)
}

#[expect(clippy::disallowed_methods, reason = "what a terminal is shown is of this machine's time")]
fn run_every(
    every: Duration,
    stats: impl Fn() -> Stats,
    mut out: impl Write,
    stop: &Receiver<()>,
) -> io::Result<()> {
    let mut last = (stats(), Instant::now());
    loop {
        match stop.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let next = (stats(), Instant::now());
        let secs = next.1.duration_since(last.1).as_secs_f64();
        writeln!(out, "{}", line(&last.0, &next.0, secs))?;
        out.flush()?;
        last = next;
    }
}

/// What a node holds, and what it did in the seconds since `before`, in at most 120 columns.
///
/// Counts that went down, because a shard was removed, show as a rate of 0.
#[must_use]
pub fn line(before: &Stats, now: &Stats, secs: f64) -> String {
    let (counted, counts) = (before.counters(), now.counters());
    let rate = |from: u64, to: u64| short(per_second(to.saturating_sub(from), secs));
    let slow = CloseReason::Slow.index();
    format!(
        "clients {} ({}/s)  rooms {}  in {} msg/s  out {} msg/s  owed {}  slow {}/s",
        exact(now.connections),
        change(before.connections, now.connections, secs),
        exact(now.rooms()),
        rate(counted.messages, counts.messages),
        rate(counted.deliveries, counts.deliveries),
        bytes(now.outbox_bytes()),
        rate(counted.closed[slow], counts.closed[slow]),
    )
}

/// How many more or fewer there are after each second.
fn change(from: u64, to: u64, secs: f64) -> String {
    let sign = if to < from { '-' } else { '+' };
    format!("{sign}{}", short(per_second(to.abs_diff(from), secs)))
}

fn per_second(count: u64, secs: f64) -> f64 {
    if secs > 0.0 { count as f64 / secs } else { 0.0 }
}

/// All digits, in groups of three, while there are few enough of them.
fn exact(count: u64) -> String {
    if count > EXACT_MAX {
        return short(count as f64);
    }
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> =
        groups.map(|group| group.iter().copied().map(char::from).collect::<String>()).collect();
    groups.join(",")
}

/// Three digits and a decimal prefix, such as `1.2 k`.
fn short(number: f64) -> String {
    scaled(number, 1000.0, &["", " k", " M", " G", " T", " P", " E"])
}

/// Three or four digits and a binary unit, such as `3.4 MiB`.
fn bytes(count: u64) -> String {
    scaled(count as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// The number over the largest unit that leaves something before the point. Units themselves are
/// whole; above them one digit follows the point up to 100.
fn scaled(number: f64, base: f64, units: &[&str]) -> String {
    let (mut number, mut unit) = (number, 0);
    // What would be rounded up to the next unit is of the next unit.
    while number >= base - 0.5 && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    let fraction = usize::from(unit > 0 && number < 99.95);
    format!("{number:.fraction$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gateway_core::counters::Counters;
    use gateway_core::id::ShardId;
    use gateway_registry::census::{Capacity, Census};

    use super::super::stats::ShardStats;
    use super::*;

    fn stats(
        connections: u64,
        rooms: u64,
        owed: u64,
        [messages, deliveries, slow]: [u64; 3],
    ) -> Stats {
        let census = Census::new(Capacity { total_max: 1, shard_max: 1 }, 1);
        let mut counters = Counters { messages, deliveries, ..Counters::default() };
        counters.closed[CloseReason::Slow.index()] = slow;
        let shard = ShardStats::of(ShardId(0), census.shard(0), counters);
        let shard = ShardStats { homes: rooms, outbox_bytes: owed, ..shard };
        let shards = vec![shard];
        Stats { connections, connections_max: u64::MAX, shards, ..Stats::default() }
    }

    #[test]
    fn a_line_says_what_there_is_and_what_happened() {
        let before = stats(12_105, 98, 0, [1_000, 10_000, 3]);
        let now = stats(12_345, 99, 3_565_158, [3_400, 490_000, 7]);
        let line = line(&before, &now, 2.0);
        let told = "clients 12,345 (+120/s)  rooms 99  in 1.2 k msg/s  out 240 k msg/s  \
                    owed 3.4 MiB  slow 2/s";
        assert_eq!(line, told);
    }

    #[test]
    fn fewer_clients_are_told_and_fewer_counts_are_not() {
        let before = stats(50, 1, 0, [100, 100, 100]);
        let now = stats(20, 1, 0, [10, 10, 10]);
        let told = "clients 20 (-30/s)  rooms 1  in 0 msg/s  out 0 msg/s  owed 0 B  slow 0/s";
        assert_eq!(line(&before, &now, 1.0), told);
    }

    #[test]
    fn no_number_makes_a_line_too_long() {
        let long = |number| {
            let now = stats(number, number, number, [number; 3]);
            line(&stats(0, 0, 0, [0; 3]), &now, 1.0).len()
        };
        let all = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).chain([EXACT_MAX, u64::MAX]);
        for number in all {
            assert!(long(number) <= COLUMNS_MAX, "{number}: {} columns", long(number));
        }
    }

    #[test]
    fn no_time_is_no_rate() {
        let line = line(&stats(0, 0, 0, [0; 3]), &stats(9, 0, 0, [9; 3]), 0.0);
        assert!(line.starts_with("clients 9 (+0/s)"), "{line}");
    }

    #[test]
    fn numbers_are_rounded_into_the_unit_that_fits() {
        let numbers = [0.0, 0.4, 999.4, 999.6, 1_049.0, 99_940.0, 99_960.0, 999_499.0, 999_501.0];
        let shown = ["0", "0", "999", "1.0 k", "1.0 k", "99.9 k", "100 k", "999 k", "1.0 M"];
        assert_eq!(numbers.map(short), shown);
        assert_eq!([0, 1023, 1024, 1 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.0 GiB"]);
        assert_eq!([7, 1_000, 12_345_678].map(exact), ["7", "1,000", "12,345,678"]);
    }

    /// Says stop when it was written to so often.
    struct Counting {
        lines: u32,
        stop: Option<mpsc::Sender<()>>,
    }

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.lines += 1;
            if self.lines == 3 {
                self.stop = None;
            }
            Ok(())
        }
    }

    #[test]
    fn lines_are_printed_until_told_to_stop() {
        let (stop, stopped) = mpsc::channel();
        let mut out = Counting { lines: 0, stop: Some(stop) };
        let every = Duration::from_millis(1);
        run_every(every, Stats::default, &mut out, &stopped).unwrap();
        assert_eq!(out.lines, 3);
    }

    #[test]
    fn a_terminal_that_is_gone_ends_it() {
        let (_stop, stopped) = mpsc::channel();
        let mut full = [0; 10];
        let every = Duration::from_millis(1);
        assert!(run_every(every, Stats::default, &mut full[..], &stopped).is_err());
    }
}
