//! What is counted: a few turns of the core that most of its time goes to.

use clap::ValueEnum;
use gateway_core::event::Event;
use gateway_core::slot::Slot;

use crate::alone::{Alone, frame};

/// Bytes of each message.
const PAYLOAD_BYTES: usize = 512;

/// What a server's frame of such a message has.
const SENT_BYTES: usize = PAYLOAD_BYTES + 4;

/// Members of the room besides the publisher.
const MEMBERS: usize = 1000;

/// Connections that each send something in each round.
const SPEAKERS: usize = 100;

/// Messages of one read.
const BURST: usize = 16;

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Question {
    /// A member of a room speaks, and the others hear it
    Fanout,
    /// The same with 16 messages in one read
    Bursts,
    /// Everyone's message comes back, all in one turn
    Echo,
    /// The same with 16 messages in one read
    Deep,
    /// One of two in each of many rooms speaks
    Pairs,
    /// Somebody comes to a room, and goes
    Connect,
}

impl Question {
    /// As on the command line and in the budget.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no question is hidden");
        value.get_name().to_owned()
    }

    /// What is counted, and how many of it a round has.
    pub(crate) fn counted(self) -> (String, usize) {
        let of = |what: &str, count| (what.replace("{}", &PAYLOAD_BYTES.to_string()), count);
        match self {
            Self::Fanout => of("delivery of {} bytes to 1000 members", MEMBERS),
            Self::Bursts => of("delivery of {} bytes, 16 messages a turn", MEMBERS * BURST),
            Self::Echo => of("echo of {} bytes on 100 connections", SPEAKERS),
            Self::Deep => of("echo of {} bytes, 16 at a time", SPEAKERS * BURST),
            Self::Pairs => of("delivery of {} bytes in 100 rooms of two", SPEAKERS),
            Self::Connect => of("connection that joins a room and leaves", SPEAKERS),
        }
    }

    pub(crate) fn drive(self, rounds: u32) {
        match self {
            Self::Fanout => Talk::in_a_room(1).drive(rounds),
            Self::Bursts => Talk::in_a_room(BURST).drive(rounds),
            Self::Echo => Talk::echoed(1).drive(rounds),
            Self::Deep => Talk::echoed(BURST).drive(rounds),
            Self::Pairs => Talk::in_pairs().drive(rounds),
            Self::Connect => come_and_go(rounds),
        }
    }
}

/// Who says how much in each round, and how many bytes are heard of it.
struct Talk {
    alone: Alone,
    speakers: Vec<Slot>,
    said: Vec<u8>,
    heard: usize,
}

impl Talk {
    fn in_a_room(burst: usize) -> Self {
        let alone = Alone::with(1 + MEMBERS, "/ws/bench");
        Self::new(alone, vec![Slot(0)], burst, MEMBERS * burst)
    }

    fn echoed(burst: usize) -> Self {
        let speakers = (0..SPEAKERS).map(Slot::from).collect();
        Self::new(Alone::with(SPEAKERS, "/ws/simple"), speakers, burst, SPEAKERS * burst)
    }

    fn in_pairs() -> Self {
        let mut alone = Alone::with(0, "");
        for slot in 0..2 * SPEAKERS {
            alone.join(Slot::from(slot), &format!("/ws/pair-{}", slot / 2));
        }
        let speakers = (0..2 * SPEAKERS).step_by(2).map(Slot::from).collect();
        Self::new(alone, speakers, 1, SPEAKERS)
    }

    fn new(alone: Alone, speakers: Vec<Slot>, burst: usize, copies: usize) -> Self {
        let said = frame(PAYLOAD_BYTES).repeat(burst);
        Self { alone, speakers, said, heard: copies * SENT_BYTES }
    }

    /// In each round, a turn, all speakers say theirs, and all is heard.
    fn drive(mut self, rounds: u32) {
        let mut scratch = self.said.clone();
        for _ in 0..rounds {
            for &slot in &self.speakers {
                scratch.copy_from_slice(&self.said);
                self.alone.receive(slot, &mut scratch);
            }
            assert_eq!(self.alone.finish(), self.heard, "everything was sent");
        }
    }
}

/// In each round so many come to a room where others are, and go.
fn come_and_go(rounds: u32) {
    let mut alone = Alone::with(SPEAKERS, "/ws/bench");
    let slots = SPEAKERS..2 * SPEAKERS;
    for _ in 0..rounds {
        slots.clone().for_each(|slot| alone.join(Slot::from(slot), "/ws/bench"));
        for slot in slots.clone().map(Slot::from) {
            alone.hear(Event::Broken { slot });
        }
        alone.finish();
    }
}
