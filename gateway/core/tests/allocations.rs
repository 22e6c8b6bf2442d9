//! The hot path in steady state: memory is used again, not allocated.

mod world;

use std::cell::RefCell;

use gateway_core::event::Event;
use gateway_core::session::{Input, Session};
use gateway_core::slot::Slot;
use world::{World, masked};

/// Allocations of `turns` turns of `turn`, after as many that warm up.
fn allocations(world: &mut World, turns: u64, turn: impl Fn(&mut World, u64)) -> u64 {
    for n in 0..turns {
        turn(world, n);
    }
    for wire in &mut world.wires.0 {
        wire.got.clear();
        wire.got.reserve(4 << 20); // what the clients keep is not the hub's
    }
    allocation_counter::measure(|| (turns..2 * turns).for_each(|n| turn(world, n))).count_total
}

#[test]
fn broadcasting_allocates_nothing() {
    let mut world = World::new();
    let slots: [_; 50] = world.connect_all("/ws/lobby");
    let frame = masked(0x81, &[b'x'; 500]);
    let mut bytes = frame.clone();
    let bytes = RefCell::new(&mut bytes);
    let count = allocations(&mut world, 100, |world, n| {
        // Several authors a turn, so that ranges are split too.
        for author in 0..3 {
            let bytes = &mut **bytes.borrow_mut();
            bytes.copy_from_slice(&frame);
            let slot = slots[(n as usize * 7 + author) % slots.len()];
            world.hub.handle(world.now, Event::Received { slot, bytes });
        }
        world.settle();
    });
    assert_eq!(count, 0);
}

/// What is said again and again, and the buffer in which it arrives.
struct Saying {
    said: Vec<u8>,
    arrives: RefCell<Vec<u8>>,
}

impl Saying {
    /// So many messages of 500 bytes in one read.
    fn burst(messages: usize) -> Self {
        let said = masked(0x82, &[b'x'; 500]).repeat(messages);
        Self { arrives: RefCell::new(said.clone()), said }
    }

    /// Nothing is flushed yet.
    fn by(&self, world: &mut World, slot: Slot) {
        let bytes = &mut *self.arrives.borrow_mut();
        bytes.copy_from_slice(&self.said);
        world.hub.handle(world.now, Event::Received { slot, bytes });
    }
}

/// Bytes of the frame in which a member gets one of these messages.
const SENT_BYTES: usize = 504;

#[test]
fn one_message_at_a_time_allocates_nothing_and_neither_do_bursts() {
    for messages in [1, 16] {
        let mut world = World::new();
        let slots: [_; 50] = world.connect_all("/ws/lobby");
        let saying = Saying::burst(messages);
        let count = allocations(&mut world, 100, |world, _| {
            saying.by(world, slots[0]);
            world.settle();
        });
        assert_eq!(count, 0, "{messages} messages in a read");
        let got = world.wire(slots[49]).got.len();
        assert_eq!(got, 100 * messages * SENT_BYTES, "and all of them were heard");
    }
}

#[test]
fn bursts_that_are_echoed_allocate_nothing() {
    let mut world = World::new();
    let slots: [_; 10] = world.connect_all("/ws/simple");
    let saying = Saying::burst(16);
    let count = allocations(&mut world, 100, |world, _| {
        slots.iter().for_each(|&slot| saying.by(world, slot));
        world.settle();
    });
    assert_eq!(count, 0);
}

/// Once an outbox, a queue in it and a list of pieces were allocated each time.
#[test]
fn who_is_refused_and_then_takes_everything_allocates_nothing() {
    for (messages, turns, window) in [(1, 1, 0), (1, 1, 100), (16, 1, 0), (16, 1, 700), (1, 16, 0)]
    {
        let mut world = World::new();
        let [author, _healthy, stuck] = world.connect_all("/ws/lobby");
        let saying = Saying::burst(messages);
        let count = allocations(&mut world, 100, |world, _| {
            world.wire(stuck).window = window;
            for _ in 0..turns {
                saying.by(world, author);
                world.settle();
            }
            assert!(world.wire(stuck).writes, "it owes");
            world.read_more(stuck, messages * turns * SENT_BYTES - window);
            assert!(!world.wire(stuck).writes, "it owes nothing");
        });
        assert_eq!(count, 0, "{messages} messages in {turns} turns, of which {window} bytes fit");
        let got = world.wire(stuck).got.len();
        assert_eq!(got, 100 * messages * turns * SENT_BYTES, "nothing is missing");
    }
}

#[test]
fn members_that_always_owe_allocate_nothing() {
    let mut world = World::new();
    let [author, slow @ ..]: [_; 9] = world.connect_all("/ws/lobby");
    let saying = Saying::burst(1);
    slow.iter().for_each(|&slot| world.wire(slot).window = 0);
    for _ in 0..2 {
        saying.by(&mut world, author);
        world.settle();
    }
    let count = allocations(&mut world, 100, |world, _| {
        saying.by(world, author);
        slow.iter().for_each(|&slot| world.read_more(slot, SENT_BYTES));
        assert!(slow.iter().all(|&slot| world.wire(slot).writes), "all of them owe");
    });
    assert_eq!(count, 0);
    assert_eq!(world.wire(slow[7]).got.len(), 100 * SENT_BYTES, "one message a turn was taken");
}

#[test]
fn many_small_rooms_allocate_nothing() {
    let mut world = World::new();
    let rooms: [[_; 2]; 40] =
        std::array::from_fn(|n| world.connect_all::<2>(&format!("/ws/room-{n}")));
    let frame = masked(0x81, b"to the other one");
    let mut bytes = frame.clone();
    let bytes = RefCell::new(&mut bytes);
    let count = allocations(&mut world, 100, |world, _| {
        for [slot, _] in rooms {
            let bytes = &mut **bytes.borrow_mut();
            bytes.copy_from_slice(&frame);
            world.hub.handle(world.now, Event::Received { slot, bytes });
        }
        world.settle();
    });
    assert_eq!(count, 0);
}

#[test]
fn echoing_and_pinging_allocate_nothing() {
    let mut world = World::new();
    let slots: [_; 10] = world.connect_all("/ws/simple");
    let mut frames = masked(0x82, &[7; 64]);
    frames.extend(masked(0x89, b"ping"));
    let mut bytes = frames.clone();
    let bytes = RefCell::new(&mut bytes);
    let count = allocations(&mut world, 100, |world, _| {
        for slot in slots {
            let bytes = &mut **bytes.borrow_mut();
            bytes.copy_from_slice(&frames);
            world.hub.handle(world.now, Event::Received { slot, bytes });
        }
        world.settle();
        // As fast as anybody may ping.
        world.now.0 += 100_000_000;
    });
    assert_eq!(count, 0);
}

#[test]
fn a_message_allocates_for_its_bytes_and_not_for_its_fragments_or_the_pings_between() {
    // From its first 64 bytes to 64 KiB a buffer doubles ten times.
    const FRAGMENTS: usize = 1024;
    let mut bytes = masked(0x01, &[b'x'; 64]);
    for _ in 2..FRAGMENTS {
        bytes.extend(masked(0x89, b"ping"));
        bytes.extend(masked(0x00, &[b'x'; 64]));
    }
    bytes.extend(masked(0x80, &[b'x'; 64]));

    let mut session = Session::default();
    let (mut input, mut pings, mut message_bytes) = (&mut bytes[..], 0, 0);
    let count = allocation_counter::measure(|| {
        while let Some(said) = session.next(&mut input, 64 * FRAGMENTS).expect("valid frames") {
            match said {
                Input::Deflated { .. } => unreachable!("no extension was negotiated"),
                Input::Message { payload, .. } => message_bytes += payload.as_slice().len(),
                Input::Ping(_) => pings += 1,
                Input::Pong(_) | Input::Close(_) => panic!("nothing else was sent"),
            }
        }
    });
    assert_eq!((pings, message_bytes), (FRAGMENTS - 2, 64 * FRAGMENTS));
    assert_eq!(count.count_total, 1 + 1 + 10, "what is half received, a buffer, its doublings");
}

#[test]
fn whole_frames_of_every_kind_allocate_nothing() {
    let long = "\u{e9}".repeat(32 << 10);
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend(masked(0x81, &[b'x'; 125]));
        bytes.extend(masked(0x82, &[0xff; 125]));
        bytes.extend(masked(0x89, &[b'x'; 125]));
        bytes.extend(masked(0x8A, b""));
    }
    bytes.extend(masked(0x81, long.as_bytes()));
    let mut session = Session::default();
    let (mut input, mut said) = (&mut bytes[..], 0);
    let count = allocation_counter::measure(|| {
        while session.next(&mut input, long.len()).expect("valid frames").is_some() {
            said += 1;
        }
    });
    assert_eq!((said, count.count_total), (401, 0));
}
