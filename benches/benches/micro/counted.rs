//! Operations whose time is taken, and whose allocations are counted.

use allocation_counter::AllocationInfo;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

/// Operations before allocations are counted, after which every buffer has its size, and
/// operations of which they are counted.
const ROUNDS: u32 = 200;

/// A group of Criterion's, which ends with a line of counts for each operation that was run.
pub(crate) struct Counted<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    name: &'a str,
    lines: Vec<String>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion, name: &'a str) -> Self {
        Self { group: criterion.benchmark_group(name), name, lines: Vec::new() }
    }

    /// Measures what `make` makes, which does `elements` of something each time; if the command
    /// line asks for it at all.
    pub(crate) fn operation<O: FnMut()>(
        &mut self,
        name: &str,
        elements: usize,
        make: impl Fn() -> O,
    ) {
        let mut made = None;
        self.group.throughput(Throughput::Elements(elements as u64));
        self.group.bench_function(name, |bencher| bencher.iter(made.get_or_insert_with(&make)));
        if let Some(operation) = made {
            self.lines.push(format!("{}/{name} {}", self.name, per_operation(operation)));
        }
    }

    /// Tells how often each operation allocated, on the thread that measures.
    pub(crate) fn finish(self) {
        self.group.finish();
        for line in self.lines {
            println!("allocations per operation: {line}");
        }
        println!();
    }
}

/// Such as `0.00 (0 bytes)`.
fn per_operation(mut operation: impl FnMut()) -> String {
    let mut rounds = || (0..ROUNDS).for_each(|_| operation());
    rounds();
    let AllocationInfo { count_total, bytes_total, .. } = allocation_counter::measure(rounds);
    let count = count_total as f64 / f64::from(ROUNDS);
    format!("{count:.2} ({:.0} bytes)", bytes_total as f64 / f64::from(ROUNDS))
}
