//! What does it cost to know that a text is UTF-8?
//!
//! Sketch: 64 bytes of ASCII are two loads and a test of their highest bits, so memory speed;
//! other text is some forty vector instructions for each 32 bytes, so about 10 GB/s. A text in
//! pieces costs a few nanoseconds more for each, for the character that is cut.
//!
//! `std` is what tungstenite uses, `simdutf8` what fastwebsockets does for whole texts; both
//! know nothing of pieces. Peers' readers of texts in fragments are beside Weir's in `frame`.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use gateway_core::utf8::{self, Utf8};

/// A short message's and a long one's bytes.
const LENGTHS: [usize; 2] = [125, 64 << 10];

/// Bytes of a piece, which cuts characters of two bytes and of four at changing places.
const PIECES: [usize; 2] = [125, 4095];

/// Names of texts, and the character that each repeats.
const TEXTS: [(&str, char); 3] =
    [("ascii", 'w'), ("two-byte", '\u{e9}'), ("four-byte", '\u{1f30a}')];

criterion_group!(utf8, whole, in_pieces);
criterion_main!(utf8);

fn whole(criterion: &mut Criterion) {
    for (name, character) in TEXTS {
        let mut group = criterion.benchmark_group(format!("utf8/{name}"));
        for len in LENGTHS {
            let text = text(character, len);
            check(&mut group, "weir", &text, |text| utf8::check(text).is_ok());
            check(&mut group, "simdutf8", &text, |text| simdutf8::basic::from_utf8(text).is_ok());
            check(&mut group, "std", &text, |text| std::str::from_utf8(text).is_ok());
        }
        group.finish();
    }
}

fn in_pieces(criterion: &mut Criterion) {
    for (name, character) in TEXTS {
        let mut group = criterion.benchmark_group(format!("utf8/{name} in pieces"));
        let text = text(character, 64 << 10);
        for piece_bytes in PIECES {
            check(&mut group, &format!("weir, pieces of {piece_bytes}"), &text, |text| {
                let mut utf8 = Utf8::default();
                let mut pieces = text.chunks(piece_bytes);
                pieces.all(|piece| utf8.push(piece).is_ok()) && utf8.is_complete()
            });
        }
        group.finish();
    }
}

fn check(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    text: &[u8],
    is_utf8: impl Fn(&[u8]) -> bool,
) {
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function(BenchmarkId::new(name, text.len()), |bencher| {
        bencher.iter(|| assert!(is_utf8(black_box(text)), "the text is valid"));
    });
}

/// A text of exactly `len` bytes; what no character fills is ASCII.
fn text(character: char, len: usize) -> Vec<u8> {
    let mut text = character.to_string().repeat(len / character.len_utf8()).into_bytes();
    text.resize(len, b'.');
    text
}
