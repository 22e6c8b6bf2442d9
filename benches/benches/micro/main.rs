//! What do single ideas of Weir cost, without a kernel, and how often do they allocate?
//!
//! Each file asks about one: `hub`, `outbox`, `envelope`, `ring` and `registry`. Allocations are
//! counted after the times were taken, by a global allocator of this program that counts; it adds
//! some nanoseconds to each allocation, and copies whatever grows.
#![expect(clippy::print_stdout, reason = "a bench speaks on its standard output")]

#[path = "../alone/mod.rs"]
mod alone;
mod clients;
mod counted;
mod envelope;
mod hub;
mod outbox;
mod registry;
mod ring;
mod shards;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = micro;
    config = patience();
    targets = hub::bench, outbox::bench, envelope::bench, ring::bench, registry::bench
}
criterion_main!(micro);

/// All of it takes three minutes; `--measurement-time` asks for more.
fn patience() -> Criterion {
    let criterion = Criterion::default().warm_up_time(Duration::from_secs(1));
    criterion.measurement_time(Duration::from_secs(3))
}
