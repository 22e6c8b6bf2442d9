//! Two hubs with a room that both hear: its home is on the first.

use std::collections::VecDeque;
use std::hint::black_box;

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Post, RoomName, Term};
use gateway_core::event::{Effect, Event};
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::id::ShardId;
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use gateway_core::transmit::{Part, Sent, Transmit};

use crate::alone::request;

const NOW: Now = Now(1);

/// Members served per flush slice, as by `weir serve` unless it is told otherwise.
const SLICE: usize = 64;

/// The shards and what is under way between them.
pub(crate) struct Shards([Shard; 2]);

struct Shard {
    hub: Hub,
    letters: Letters,
    wires: Wires,
}

impl Shards {
    /// A member on each shard, and one on the second that speaks, in its slot 0.
    pub(crate) fn new() -> Self {
        let mut shards = Self([0, 1].map(Shard::new));
        for (shard, slot) in [(0, 0), (1, 0), (1, 1)] {
            shards.0[shard].hear(Event::Accepted { slot: Slot(slot) });
            shards.receive(shard, Slot(slot), &mut request("/ws/bench"));
            assert!(shards.settle() > 0, "it hears an answer");
        }
        shards
    }

    /// A client's bytes arrive.
    pub(crate) fn receive(&mut self, shard: usize, slot: Slot, bytes: &mut [u8]) {
        self.0[shard].hear(Event::Received { slot, bytes });
    }

    /// Turns of both until nothing is under way; how many bytes members were sent.
    pub(crate) fn settle(&mut self) -> usize {
        let [home, other] = &mut self.0;
        let mut moves = true;
        while moves {
            let first = other.turn(&mut home.letters);
            moves = home.turn(&mut other.letters) | first | !other.letters.is_empty();
        }
        [home, other].into_iter().map(|shard| std::mem::take(&mut shard.wires.0)).sum()
    }
}

impl Shard {
    fn new(id: u16) -> Self {
        let mut config = Config { shard: Some(ShardId(id)), ..Config::default() };
        // Nobody follows the room to its home.
        config.limits.small_room_members_max = 0;
        Self { hub: Hub::new(config), letters: Letters::default(), wires: Wires(0) }
    }

    fn hear(&mut self, event: Event<'_>) {
        self.hub.handle(NOW, event);
    }

    /// Hears what has come, says what is to be said; whether there was anything to do.
    fn turn(&mut self, others: &mut Letters) -> bool {
        let mut moved = !self.letters.is_empty();
        while let Some(delivery) = self.letters.deliveries.pop_front() {
            self.hub.handle(NOW, Event::Delivery(delivery));
        }
        while let Some(command) = self.letters.commands.pop_front() {
            self.hub.handle(NOW, Event::Command(command));
        }
        self.hub.exchange(NOW, others);
        while self.hub.flush(NOW, SLICE, &mut self.wires) == Flush::More {}
        while let Some(effect) = self.hub.poll_effect() {
            moved = true;
            if let Effect::Inquire(Inquiry::Claim { room }) = effect {
                self.hub.handle(NOW, Event::Answer(self.claimed(room)));
            }
        }
        moved
    }

    /// There is one room, and the first shard is its home.
    fn claimed(&self, room: RoomName) -> Answer {
        let fresh = self.hub.shard() == ShardId(0);
        Answer::Claimed { room, home: ShardId(0), term: Term(1), fresh }
    }
}

/// What waits for a shard.
#[derive(Default)]
struct Letters {
    commands: VecDeque<Command>,
    deliveries: VecDeque<Delivery>,
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.deliveries.is_empty()
    }
}

impl Post for Letters {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        self.commands.push_back(command);
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        self.deliveries.push_back(delivery);
        Ok(())
    }
}

/// Bytes that were sent: sockets take everything.
struct Wires(usize);

impl Transmit for Wires {
    fn send(&mut self, _slot: Slot, bytes: &[u8]) -> Sent {
        self.0 += black_box(bytes).len();
        Sent::Wrote(bytes.len())
    }

    fn send_parts(&mut self, _slot: Slot, parts: &[Part<'_>]) -> Sent {
        let len = black_box(parts).iter().map(Part::len).sum();
        self.0 += len;
        Sent::Wrote(len)
    }
}
