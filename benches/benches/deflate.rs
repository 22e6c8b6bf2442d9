//! What does it cost to make a message small, and large again?
//!
//! Sketch: at its fastest a compressor looks once into a hash table for each few bytes, so about
//! 300 MB/s for text of which a fifth is left, and must clear that table first, 128 KiB or some
//! microseconds; a decompressor copies, so 1 GB/s or more once it has read its tables.
//!
//! Each message stands for itself. Neither tungstenite nor fastwebsockets speaks RFC 7692, so the
//! peers are libraries: `miniz_oxide`, which others use in Rust, and `libdeflate`, which is C,
//! reads whole messages only and knows no windows of earlier ones. Names of compressors end with
//! their level, and the ratio of bytes is printed.
#![expect(clippy::print_stdout, reason = "ratios are part of the answer")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::deflate::{Deflater, Inflater, Reach};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// A long chat line, a snapshot of a feed, and a long document.
const LENGTHS: [usize; 3] = [1 << 10, 16 << 10, 256 << 10];

criterion_group!(deflate, smaller, larger);
criterion_main!(deflate);

fn smaller(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate");
    for len in LENGTHS {
        let text = feed(len);
        group.throughput(Throughput::Bytes(len as u64));
        for level in [1, 2, 4, 6] {
            let (mut deflater, mut out) = (Deflater::new(level), Vec::new());
            group.bench_function(BenchmarkId::new(format!("weir {level}"), len), |bencher| {
                bencher.iter(|| {
                    assert!(
                        deflater.deflate(black_box(&text), Reach::Wide, &mut out),
                        "it shrinks"
                    );
                });
            });
            println!("{len} bytes become {} at level {level}", out.len());
        }
        for level in [1, 6] {
            let id = BenchmarkId::new(format!("miniz_oxide {level}"), len);
            group.bench_function(id, |bencher| {
                bencher.iter(|| black_box(compress_to_vec(black_box(&text), level)));
            });
            let mut compressor = Compressor::new(
                CompressionLvl::new(level.into()).expect("it is a stream that fits"),
            );
            let mut out = vec![0; compressor.deflate_compress_bound(len)];
            group.bench_function(BenchmarkId::new(format!("libdeflate {level}"), len), |bencher| {
                bencher.iter(|| {
                    compressor
                        .deflate_compress(black_box(&text), &mut out)
                        .expect("it is a stream that fits")
                });
            });
            let libdeflate =
                compressor.deflate_compress(&text, &mut out).expect("it is a stream that fits");
            let miniz = compress_to_vec(&text, level).len();
            println!("{len} bytes become {miniz} and {libdeflate} at level {level}");
        }
    }
    group.finish();
}

fn larger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for len in LENGTHS {
        let text = feed(len);
        let mut deflated = Vec::new();
        assert!(Deflater::new(6).deflate(&text, Reach::Wide, &mut deflated), "it shrinks");
        group.throughput(Throughput::Bytes(len as u64));
        let (mut inflater, mut out) = (Inflater::default(), Vec::new());
        group.bench_function(BenchmarkId::new("weir", len), |bencher| {
            bencher.iter(|| {
                inflater
                    .inflate(black_box(&deflated), &[], len, &mut out)
                    .expect("it is a stream that fits")
            });
        });
        // As others have it: with an end of its own, which those who share messages leave out.
        let ended = [&deflated[..], &[0, 0, 0xff, 0xff, 3, 0]].concat();
        group.bench_function(BenchmarkId::new("miniz_oxide", len), |bencher| {
            bencher.iter(|| {
                decompress_to_vec_with_limit(black_box(&ended), len)
                    .expect("it is a stream that fits")
            });
        });
        let (mut decompressor, mut out) = (Decompressor::new(), vec![0; len]);
        group.bench_function(BenchmarkId::new("libdeflate", len), |bencher| {
            bencher.iter(|| {
                decompressor
                    .deflate_decompress(black_box(&ended), &mut out)
                    .expect("it is a stream that fits")
            });
        });
    }
    group.finish();
}

/// Text like that of feeds: objects with the same keys, and values that differ.
fn feed(len: usize) -> Vec<u8> {
    let mut seed: u64 = 7;
    let mut number = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 40
    };
    let mut text = Vec::new();
    while text.len() < len {
        let (symbol, price, size) = (number() % 500, number() % 1_000_000, number() % 10_000);
        let entry = format!("{{\"symbol\":\"S{symbol}\",\"price\":{price},\"size\":{size}}},");
        text.extend_from_slice(entry.as_bytes());
    }
    text.truncate(len);
    text
}
