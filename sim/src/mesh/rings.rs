//! The rings between shards: one of each class for each ordered pair, small by seed.

use std::collections::VecDeque;

use gateway_core::envelope::{Command, Delivery, Post};
use gateway_core::id::ShardId;
use gateway_core::limits::Limits;
use gateway_core::time::Now;
use gateway_faults::buggify;

use super::setting::{self, SHARDS_MAX};
use crate::rng::Rng;

/// All rings of a world.
pub(super) struct Mesh {
    commands: Vec<Ring<Command>>,
    deliveries: Vec<Ring<Delivery>>,
    delivery_messages_max: usize,
    delivery_bytes_max: usize,
    /// Letters that were given back, and that were taken.
    pub(super) refused: u64,
    pub(super) posted: u64,
    pub(super) not_home: u64,
    /// A delivery held more than it may.
    pub(super) overlong: bool,
}

struct Ring<T> {
    /// With the moment at which each was sent.
    letters: VecDeque<(u64, T)>,
    capacity: usize,
}

impl<T> Ring<T> {
    fn push(&mut self, now: Now, letter: T) -> Result<(), T> {
        let few = !self.letters.is_empty() && buggify!(RingFull);
        if self.letters.len() >= self.capacity || few {
            return Err(letter);
        }
        self.letters.push_back((now.0, letter));
        Ok(())
    }
}

fn between(from: usize, to: usize) -> usize {
    from * SHARDS_MAX + to
}

impl Mesh {
    /// Capacities are drawn for each ring, from 2 up to the setting's.
    pub(super) fn new(rings: setting::Rings, limits: &Limits, rng: &mut Rng) -> Self {
        Self {
            commands: draw(rings.commands, rng),
            deliveries: draw(rings.deliveries, rng),
            delivery_messages_max: limits.delivery_messages_max,
            delivery_bytes_max: limits.delivery_bytes_max,
            refused: 0,
            posted: 0,
            not_home: 0,
            overlong: false,
        }
    }

    pub(super) fn take_command(&mut self, from: usize, to: usize) -> Option<(u64, Command)> {
        self.commands[between(from, to)].letters.pop_front()
    }

    pub(super) fn take_delivery(&mut self, from: usize, to: usize) -> Option<(u64, Delivery)> {
        self.deliveries[between(from, to)].letters.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.iter().all(|ring| ring.letters.is_empty())
            && self.deliveries.iter().all(|ring| ring.letters.is_empty())
    }

    /// Whether nothing is on its way from or to a shard.
    pub(super) fn is_quiet(&self, shard: usize) -> bool {
        (0..SHARDS_MAX).flat_map(|other| [between(shard, other), between(other, shard)]).all(
            |pair| {
                self.commands[pair].letters.is_empty() && self.deliveries[pair].letters.is_empty()
            },
        )
    }

    /// One shard's end of its rings.
    pub(super) fn post(&mut self, from: usize, now: Now) -> Outgoing<'_> {
        Outgoing { from, now, mesh: self }
    }
}

fn draw<T>(capacity: usize, rng: &mut Rng) -> Vec<Ring<T>> {
    let ring = |_| Ring { letters: VecDeque::new(), capacity: 2 + rng.below(capacity - 1) };
    (0..SHARDS_MAX * SHARDS_MAX).map(ring).collect()
}

/// One shard's end of its rings.
pub(super) struct Outgoing<'a> {
    from: usize,
    now: Now,
    mesh: &'a mut Mesh,
}

impl Post for Outgoing<'_> {
    fn command(&mut self, to: ShardId, command: Command) -> Result<(), Command> {
        let sent = self.mesh.commands[between(self.from, to.index())].push(self.now, command);
        self.mesh.refused += u64::from(sent.is_err());
        self.mesh.posted += u64::from(sent.is_ok());
        sent
    }

    fn deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        match &delivery {
            Delivery::NotHome { .. } => self.mesh.not_home += 1,
            Delivery::Said { batch, .. } => {
                let bytes = batch.iter().skip(1).map(|(_, words)| words.len()).sum::<usize>();
                self.mesh.overlong |= batch.len() > self.mesh.delivery_messages_max;
                self.mesh.overlong |= bytes > self.mesh.delivery_bytes_max;
            }
            Delivery::Attached { .. }
            | Delivery::Gap { .. }
            | Delivery::Answers { .. }
            | Delivery::Recovered { .. }
            | Delivery::Pinned { .. }
            | Delivery::Presence { .. }
            | Delivery::Moved { .. } => {}
        }
        let sent = self.mesh.deliveries[between(self.from, to.index())].push(self.now, delivery);
        self.mesh.refused += u64::from(sent.is_err());
        self.mesh.posted += u64::from(sent.is_ok());
        sent
    }
}
