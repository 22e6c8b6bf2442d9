//! What does a message cost that passes between shards?
//!
//! It lies in a batch that is made once and shared. Sketch: to build is one copy and an entry of
//! some 100 bytes, 30 ns; to share is a count that goes up and down, 10 ns; to read is a walk over
//! entries, 2 ns each. Over both shards and back come two turns of each hub, some 500 ns.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use gateway_core::envelope::{Command, Term};
use gateway_core::frame::Kind;
use gateway_core::id::{Author, ShardId};
use gateway_core::message::{Batch, Meta, Words};
use gateway_core::position::Offset;
use gateway_core::slot::Slot;

use crate::alone::frame;
use crate::counted::Counted;
use crate::shards::Shards;

/// Messages of one read.
const BURST: usize = 16;

/// Shards that hear the same batch.
const SHARDS: usize = 8;

/// Bytes of a message.
const PAYLOAD_BYTES: usize = 512;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = Counted::new(criterion, "envelope");
    for burst in [1, BURST] {
        group.operation(&format!("build {burst}"), burst, || build(burst));
        group.operation(&format!("build {burst} in a used batch"), burst, || rebuild(burst));
        group.operation(&format!("read {burst}"), burst, || read(burst));
    }
    group.operation(&format!("clone for {SHARDS} shards"), SHARDS, share);
    for burst in [1, BURST] {
        let name = format!("publish {burst} from shard to home and back");
        group.operation(&name, burst, || there_and_back(burst));
    }
    group.finish();
}

/// A command whose batch was never used before.
fn build(burst: usize) -> impl FnMut() {
    let payload = vec![7; PAYLOAD_BYTES];
    move || {
        let batch = Arc::new(filled(Batch::default(), burst, &payload));
        drop(black_box(Command::Publish { term: Term(1), batch }));
    }
}

/// A command whose batch was heard by everybody and comes back, as a hub does it.
fn rebuild(burst: usize) -> impl FnMut() {
    let payload = vec![7; PAYLOAD_BYTES];
    let mut batch = Arc::new(Batch::default());
    move || {
        let own = Arc::get_mut(&mut batch).expect("everybody has heard it");
        own.clear();
        *own = filled(std::mem::take(own), burst, &payload);
        let batch = Arc::clone(&batch);
        drop(black_box(Command::Publish { term: Term(1), batch }));
    }
}

/// Its messages one after the other.
fn read(burst: usize) -> impl FnMut() {
    let batch = filled(Batch::default(), burst, &[7; PAYLOAD_BYTES]);
    move || {
        let read = black_box(&batch).iter().map(|(meta, words)| meta.id as usize + words.len());
        black_box(read.sum::<usize>());
    }
}

/// The same batch for each shard, which drops it once it was heard.
fn share() -> impl FnMut() {
    let batch = Arc::new(filled(Batch::default(), 1, &[7; PAYLOAD_BYTES]));
    move || {
        let envelopes: [_; SHARDS] = std::array::from_fn(|_| {
            let batch = Arc::clone(&batch);
            Command::Publish { term: Term(1), batch }
        });
        drop(black_box(envelopes));
    }
}

/// A message to a home elsewhere, which a member there hears and one where it came from.
fn there_and_back(burst: usize) -> impl FnMut() {
    let mut shards = Shards::new();
    let said = frame(PAYLOAD_BYTES).repeat(burst);
    let mut scratch = said.clone();
    move || {
        scratch.copy_from_slice(&said);
        shards.receive(1, Slot(0), &mut scratch);
        assert_eq!(shards.settle(), 2 * burst * (PAYLOAD_BYTES + 4), "both have heard it");
    }
}

/// So many messages behind what a batch holds.
fn filled(mut batch: Batch, messages: usize, payload: &[u8]) -> Batch {
    for id in 1..=messages as u64 {
        let meta = Meta {
            prev: Offset(id - 1),
            offset: Offset(id),
            author: Author::NOBODY,
            origin: ShardId(1),
            id,
            kind: Kind::Binary,
        };
        batch.push(meta, Words::Bytes(black_box(payload)));
    }
    batch
}
