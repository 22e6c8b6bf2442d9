//! Everything at once, in any order: no panic, every bound kept, and nothing left at the end.

mod world;

use gateway_core::event::Event;
use gateway_core::hub::MemberPolicy;
use gateway_core::limits::Limits;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use world::{World, fresh_wire, masked, request};

const SEEDS: u64 = 1_000;
const ACTIONS: usize = 120;
const PATHS: [&str; 4] = ["/ws/a", "/ws/b", "/ws/simple", "/"];

/// Everything is small, so that every bound is met.
fn tiny() -> Limits {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 300;
    limits.shard_outbox_bytes_max = 6_000;
    limits.echo_outbox_bytes_max = 2_000;
    limits.share_bytes_min = 100;
    limits.cork_bytes_max = 150;
    limits.inbound_bytes_max = 1_000;
    limits.ping_secs = 2;
    limits.pong_secs = 1;
    limits.connections_max = 12;
    limits.refusals_max = 2;
    limits
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// A client in a slot that is new or was released.
fn arrive(world: &mut World, dice: &mut Dice) {
    world.settle(); // a driver takes in connections only when a flush is done
    let free = world.wires.0.iter().position(|wire| wire.released.is_some());
    let slot = match free.map(Slot::from) {
        Some(slot) => {
            *world.wire(slot) = fresh_wire();
            world.hub.handle(world.now, Event::Accepted { slot });
            slot
        }
        None => world.accept(),
    };
    world.wire(slot).window = dice.below(2_000);
    world.effects();
    if world.hub.is_live(slot) && dice.below(4) > 0 {
        world.raw(slot, &request(PATHS[dice.below(4)]));
    }
}

/// Up to three messages, cut anywhere, the rest perhaps never sent.
fn talk(world: &mut World, slot: Slot, dice: &mut Dice) {
    let payload = vec![1; dice.below(400)];
    let bytes: Vec<u8> = (0..dice.below(4)).flat_map(|_| masked(0x82, &payload)).collect();
    let (first, second) = bytes.split_at(dice.below(bytes.len() + 1));
    for piece in [first, second] {
        if !piece.is_empty() && world.wire(slot).released.is_none() {
            world.raw(slot, piece);
        }
        if dice.below(2) == 0 {
            return;
        }
    }
}

fn act(world: &mut World, dice: &mut Dice) {
    if world.wires.0.is_empty() {
        return arrive(world, dice);
    }
    let slot = Slot::from(dice.below(world.wires.0.len()));
    match dice.below(14) {
        0 | 1 => arrive(world, dice),
        2..=6 => talk(world, slot, dice),
        7 => world.raw(slot, &masked(0x89, b"p")),
        8 => world.hub.handle(world.now, Event::Ended { slot }),
        9 => world.hub.handle(world.now, Event::Broken { slot }),
        10 => {
            let more = dice.below(500);
            let wire = world.wire(slot);
            wire.window = wire.window.saturating_add(more);
            world.hub.handle(world.now, Event::Writable { slot });
        }
        11 => drop(world.flush_once()),
        12 => {
            world.now = Now(world.now.0 + 300_000_000);
            world.hub.handle(world.now, Event::Tick);
        }
        _ => {
            world.raw(slot, &masked(0x88, b""));
            if dice.below(30) == 0 {
                world.hub.handle(world.now, Event::Drain);
            }
        }
    }
}

#[test]
fn any_order_of_events_keeps_every_bound_and_leaves_nothing() {
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let policy = if seed % 2 == 0 { MemberPolicy::Lossy } else { MemberPolicy::Close };
        let mut world = World::with(tiny(), policy);
        for _ in 0..ACTIONS {
            act(&mut world, &mut dice);
            assert!(world.hub.outbox_bytes() <= 6_000, "seed {seed}");
            assert!(world.hub.inbound_bytes() <= 1_000, "seed {seed}");
            assert!(world.hub.live() <= 14, "seed {seed}");
        }
        world.settle();
        world.hub.handle(world.now, Event::Drain);
        world.settle();
        world.pass_secs(20);
        world.assert_empty();
    }
}
