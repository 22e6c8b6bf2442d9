//! What does it cost to unmask a payload?
//!
//! Sketch: 16 bytes are one load, one exclusive or and one store, which a core does once a cycle
//! or faster: 40 GB/s from the first cache, half of that from the second. What is left of 125
//! bytes after whole blocks costs as much as the blocks. `fastwebsockets` has tungstenite's loop,
//! which tungstenite keeps to itself.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use gateway_core::mask::Mask;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// 0.1, 1 and 64 KiB.
const LENGTHS: [usize; 3] = [102, 1 << 10, 64 << 10];

criterion_group!(mask, whole, unaligned, phases);
criterion_main!(mask);

/// Payloads in one piece, at the start of a buffer.
fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask/whole");
    for len in LENGTHS {
        unmask_with_all(&mut group, len, 0);
    }
    group.finish();
}

/// Payloads behind a header, which is no multiple of anything.
fn unaligned(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask/from an odd address");
    for len in LENGTHS {
        unmask_with_all(&mut group, len, 7);
    }
    group.finish();
}

fn unmask_with_all(group: &mut BenchmarkGroup<'_, WallTime>, len: usize, behind: usize) {
    unmask(group, "weir", len, behind, |bytes| Mask(black_box(KEY)).apply(bytes));
    unmask(group, "fastwebsockets", len, behind, |bytes| {
        fastwebsockets::unmask(bytes, black_box(KEY));
    });
    unmask(group, "byte by byte", len, behind, |bytes| unmask_byte_by_byte(bytes, black_box(KEY)));
}

fn unmask(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    len: usize,
    behind: usize,
    unmask: impl Fn(&mut [u8]),
) {
    let mut placed = Placed::new(len, behind);
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function(BenchmarkId::new(name, len), |bencher| {
        bencher.iter(|| unmask(black_box(placed.payload(len))));
    });
}

/// A payload that comes in two pieces, the second of which begins at each byte of the key.
fn phases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask/in two pieces");
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len as u64));
        for first in 0..KEY.len() {
            let mut placed = Placed::new(len, 0);
            let id = BenchmarkId::new(format!("weir, {first} bytes first"), len);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let (head, tail) = placed.payload(len).split_at_mut(first);
                    let mut mask = Mask(black_box(KEY));
                    mask.apply(black_box(head));
                    mask.apply(black_box(tail));
                });
            });
        }
    }
    group.finish();
}

/// The letter of RFC 6455 §5.3, of which the compiler makes what it can.
fn unmask_byte_by_byte(bytes: &mut [u8], key: [u8; 4]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

/// Bytes of a cache line, at whose start payloads are said to be aligned.
const LINE_BYTES: usize = 64;

/// A payload somewhere behind the start of a cache line, so that runs differ in nothing else.
struct Placed {
    buffer: Vec<u8>,
    start: usize,
}

impl Placed {
    fn new(len: usize, behind: usize) -> Self {
        let buffer = vec![0x5a; LINE_BYTES + behind + len];
        let start = buffer.as_ptr().align_offset(LINE_BYTES) + behind;
        assert!(start + len <= buffer.len(), "a line begins within any 64 bytes");
        Self { buffer, start }
    }

    fn payload(&mut self, len: usize) -> &mut [u8] {
        &mut self.buffer[self.start..][..len]
    }
}
