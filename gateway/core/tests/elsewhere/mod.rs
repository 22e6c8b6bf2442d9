//! A hub all of whose rooms have their homes on other shards, which are played by the test.
#![allow(dead_code, reason = "each test file uses a part of it")]

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Link, Post, Term};
use gateway_core::event::{Effect, Event};
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::id::ShardId;
use gateway_core::position::Position;
use gateway_core::slot::Slot;
use gateway_core::time::Now;

use super::world::{Frame, Wires, frames, fresh_wire, masked, request};

pub(crate) const NOW: Now = Now::from_secs(100);

/// The other shards: they keep what they are sent, or take nothing.
#[derive(Default)]
pub(crate) struct Homes {
    pub(crate) refuse: bool,
    pub(crate) commands: Vec<Command>,
}

impl Post for Homes {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        if self.refuse {
            return Err(command);
        }
        self.commands.push(command);
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        panic!("it is nobody's home: {delivery:?}")
    }
}

/// Shard 1, all of whose rooms have their home on shard 0 when they are claimed.
pub(crate) struct Shard {
    pub(crate) hub: Hub,
    pub(crate) wires: Wires,
    pub(crate) homes: Homes,
    terms: u64,
}

impl Shard {
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { shard: Some(ShardId(1)), ..Config::default() };
        change(&mut config);
        let hub = Hub::new(config);
        Self { hub, wires: Wires::default(), homes: Homes::default(), terms: 0 }
    }

    /// A client that asks for `path`; its room's home is asked, and has not answered.
    pub(crate) fn knock(&mut self, path: &str) -> Slot {
        let slot = Slot::from(self.wires.0.len());
        self.wires.0.push(fresh_wire());
        self.hub.handle(NOW, Event::Accepted { slot });
        self.hub.handle(NOW, Event::Received { slot, bytes: &mut request(path) });
        self.settle();
        slot
    }

    /// A member of a room that nobody else is in, upgraded at this position; its attachment.
    pub(crate) fn member(&mut self, path: &str, position: Position) -> (Slot, Link, Term) {
        let slot = self.knock(path);
        let (link, term) = self.attached(position);
        let got = std::mem::take(&mut self.wires.0[slot.index()].got);
        assert!(got.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&got));
        (slot, link, term)
    }

    /// The attachment that was asked for last is answered.
    pub(crate) fn attached(&mut self, position: Position) -> (Link, Term) {
        let (link, term) = self.homes.asked();
        self.hear(Delivery::Attached { link, term, position, population: 100 });
        (link, term)
    }

    pub(crate) fn hear(&mut self, delivery: Delivery) {
        self.hub.handle(NOW, Event::Delivery(delivery));
        self.settle();
    }

    /// Reads a message from a member if it is read from; whether it was.
    pub(crate) fn read(&mut self, slot: Slot, payload: &[u8]) -> bool {
        let reads = self.hub.may_read(slot);
        if reads {
            self.hub.handle(NOW, Event::Received { slot, bytes: &mut masked(0x82, payload) });
        }
        reads
    }

    /// Whole frames that a client got so far.
    pub(crate) fn got(&self, slot: Slot) -> Vec<Frame> {
        frames(&self.wires.0[slot.index()].got).0
    }

    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            if let Effect::Inquire(Inquiry::Claim { room }) = effect {
                self.terms += 1;
                let (home, term, fresh) = (ShardId(0), Term(self.terms), false);
                let answer = Answer::Claimed { room, home, term, fresh };
                self.hub.handle(NOW, Event::Answer(answer));
            }
        }
        let sent = self.hub.exchange(NOW, &mut self.homes);
        assert!(sent || self.homes.refuse, "what is taken is sent at once");
        while self.hub.flush(NOW, 8, &mut self.wires) == Flush::More {}
    }
}

impl Homes {
    /// The attachment that was asked for last; what was said after it is forgotten.
    fn asked(&mut self) -> (Link, Term) {
        while let Some(command) = self.commands.pop() {
            if let Command::Attach(attach) = command {
                return (attach.link, attach.term);
            }
        }
        panic!("nobody has asked for a room")
    }
}
