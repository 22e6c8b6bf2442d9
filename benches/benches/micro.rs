//! What do single functions of the core cost, without a kernel?
//!
//! `read` asks what a client's frame costs until its message is known, beside tungstenite: both
//! begin with a copy out of what stands for the kernel. Sketch: a header of 6 or 8 bytes, then
//! the payload once, eight bytes or more at a time, so a few nanoseconds and 0.1 ns per byte.
//!
//! `publish` asks what one more member of a room costs beside its `send`. Sketch: one entry of
//! the lane's array and one of the connections', two cache lines in order, so about 5 ns.

mod alone;

use std::hint::black_box;
use std::io::{self, Read, Write};

use alone::{Alone, frame};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway_core::limits::Limits;
use gateway_core::session::{Input, Session};
use gateway_core::slot::Slot;
use tokio_tungstenite::tungstenite::WebSocket;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Frames that arrive in one read.
const BURST: usize = 16;

/// Members of the room besides the publisher.
const MEMBERS: usize = 1000;

/// Bytes of a published message.
const PAYLOAD_BYTES: usize = 512;

criterion_group!(micro, read, publish);
criterion_main!(micro);

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(BURST as u64));
    for payload_bytes in [64, 512, 4096] {
        let frames = frame(payload_bytes).repeat(BURST);
        group.bench_function(BenchmarkId::new("weir", payload_bytes), |bencher| {
            let mut session = Session::default();
            let limits = Limits::default();
            let mut scratch = vec![0; frames.len()];
            bencher.iter(|| {
                scratch.copy_from_slice(&frames);
                read_with_weir(&mut session, &limits, &mut scratch)
            });
        });
        group.bench_function(BenchmarkId::new("tungstenite", payload_bytes), |bencher| {
            // Its default of 128 KiB is cleared on each read, which would be all there is to see.
            let config = WebSocketConfig::default().read_buffer_size(4096);
            let wire = Wire { bytes: frames.clone(), at: frames.len() };
            let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
            bencher.iter(|| {
                socket.get_mut().at = 0;
                for _ in 0..BURST {
                    black_box(socket.read().expect("the frames are valid"));
                }
            });
        });
    }
    group.finish();
}

fn read_with_weir(session: &mut Session, limits: &Limits, mut bytes: &mut [u8]) {
    let mut messages = 0;
    while let Some(input) =
        session.next(&mut bytes, limits.message_bytes_max).expect("the frames are valid")
    {
        let Input::Message { payload, .. } = input else { panic!("only messages were sent") };
        black_box(payload.as_slice());
        messages += 1;
    }
    assert_eq!(messages, BURST);
}

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

/// A stream that holds the same bytes again and again.
struct Wire {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = (&self.bytes[self.at..]).read(buf)?;
        self.at += read;
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
