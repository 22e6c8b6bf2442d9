//! What does a client's frame cost until its message is known, and a header until it is written?
//!
//! Each reader begins with a copy out of what stands for the kernel. Sketch for 125 bytes: a
//! header of 6 bytes, then the payload twice in vector registers, once to unmask and, if it is
//! text, once to check it: about 15 ns, of which 5 are the copy. Peers take a buffer per message.

mod readers;
mod wire;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use fastwebsockets::Frame;
use gateway_core::frame::{self, Opcode};
use readers::{Fastwebsockets, Reader, Tungstenite, Weir};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use wire::{BINARY, CONTINUATION, FINAL_CONTINUATION, FIRST_OF_TEXT, TEXT};

/// The longest payload whose length is in the header's second byte.
const SHORT_BYTES: usize = 125;

/// Payload of a message that is long.
const LONG_BYTES: usize = 64 << 10;

/// Headers that are written in one round, into one buffer.
const HEADERS: usize = 1000;

criterion_group!(frame, decode_short, decode_bursts, decode_long, decode_fragments, encode);
criterion_main!(frame);

/// Frames of 125 bytes, text and binary in turn.
fn decode_short(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode 125 bytes");
    let payload = ascii(SHORT_BYTES);
    for frames in [1, 16, 1000] {
        let kinds = [TEXT, BINARY].into_iter().cycle().take(frames);
        let bytes: Vec<u8> = kinds.flat_map(|kind| wire::frame(kind, &payload)).collect();
        read_with_all(&mut group, &format!("{frames} in a buffer"), &bytes, frames);
    }
    group.finish();
}

/// A burst of one socket's binary frames.
fn decode_bursts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode 16 binary");
    for payload_bytes in [16, 512, 4096] {
        let bytes = wire::frame(BINARY, &ascii(payload_bytes)).repeat(16);
        read_with_all(&mut group, &format!("{payload_bytes} bytes"), &bytes, 16);
    }
    group.finish();
}

fn decode_long(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode 64 KiB");
    for (name, kind) in [("text", TEXT), ("binary", BINARY)] {
        read_with_all(&mut group, name, &wire::frame(kind, &ascii(LONG_BYTES)), 1);
    }
    group.finish();
}

/// A text in fragments that are cut inside its characters.
fn decode_fragments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode 64 KiB in fragments");
    let text = "\u{e9}".repeat(LONG_BYTES / 2);
    for fragment_bytes in [125, 4095] {
        let mut bytes = wire::frame(FIRST_OF_TEXT, b"");
        for fragment in text.as_bytes().chunks(fragment_bytes) {
            bytes.extend(wire::frame(CONTINUATION, fragment));
        }
        bytes.extend(wire::frame(FINAL_CONTINUATION, b""));
        read_with_all(&mut group, &format!("of {fragment_bytes} bytes"), &bytes, 1);
    }
    group.finish();
}

fn read_with_all(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: &[u8],
    messages: usize,
) {
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    read_with(group, name, Weir::new(bytes), messages);
    read_with(group, name, Tungstenite::new(bytes), messages);
    read_with(group, name, Fastwebsockets::new(bytes), messages);
}

fn read_with<R: Reader>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut reader: R,
    messages: usize,
) {
    group.bench_function(BenchmarkId::new(R::NAME, name), |bencher| {
        bencher.iter(|| reader.read(black_box(messages)));
    });
}

/// A server's headers, of each length that a length may have.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/encode 1000 headers");
    group.throughput(Throughput::Elements(HEADERS as u64));
    for payload_bytes in [SHORT_BYTES, 512, LONG_BYTES] {
        let payload = vec![0; payload_bytes];
        group.bench_function(BenchmarkId::new("weir", payload_bytes), |bencher| {
            write_headers(bencher, |out| {
                frame::put_header(out, Opcode::Binary, black_box(payload_bytes));
            });
        });
        group.bench_function(BenchmarkId::new("tungstenite", payload_bytes), |bencher| {
            let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..Default::default() };
            write_headers(bencher, |out| {
                header.format(black_box(payload_bytes as u64), out).expect("a vector takes all");
            });
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", payload_bytes), |bencher| {
            write_headers(bencher, |out| {
                let mut head = [0; 16];
                let head_len = Frame::binary(black_box(&payload[..]).into()).fmt_head(&mut head);
                out.extend_from_slice(&head[..head_len]);
            });
        });
    }
    group.finish();
}

fn write_headers(bencher: &mut criterion::Bencher<'_>, mut write: impl FnMut(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(HEADERS * frame::HEADER_BYTES_MAX);
    bencher.iter(|| {
        out.clear();
        for _ in 0..HEADERS {
            write(&mut out);
        }
        black_box(out.as_slice()).len()
    });
}

fn ascii(len: usize) -> Vec<u8> {
    (b' '..=b'~').cycle().take(len).collect()
}
