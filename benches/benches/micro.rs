//! What do single functions of the core cost, without a kernel?
//!
//! `publish` asks what one more member of a room costs beside its `send`. Sketch: one entry of
//! the lane's array and one of the connections', two cache lines in order, so about 5 ns.

mod alone;

use alone::{Alone, frame};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::slot::Slot;

/// Messages of one turn.
const BURST: usize = 16;

/// Members of the room besides the publisher.
const MEMBERS: usize = 1000;

/// Bytes of a published message.
const PAYLOAD_BYTES: usize = 512;

criterion_group!(micro, publish);
criterion_main!(micro);

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for burst in [1, BURST] {
        group.throughput(Throughput::Elements((MEMBERS * burst) as u64));
        let frames = frame(PAYLOAD_BYTES).repeat(burst);
        group.bench_function(BenchmarkId::new("weir", burst), |bencher| {
            let mut room = Alone::with(1 + MEMBERS, "/ws/bench");
            let mut scratch = vec![0; frames.len()];
            bencher.iter(|| {
                scratch.copy_from_slice(&frames);
                room.receive(Slot(0), &mut scratch);
                assert_eq!(room.finish(), MEMBERS * burst * (PAYLOAD_BYTES + 4));
            });
        });
    }
    group.finish();
}
