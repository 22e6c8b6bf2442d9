//! What the server read, understood without the hub: each room's log, and who was there when.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::frames::{Decoder, Word};
use super::message::Message;
use crate::traced::{ConnectionId, Fact};

/// What should have happened, derived from the bytes that passed the seam in the order of the
/// calls.
#[derive(Debug, Default)]
pub struct Reference {
    /// Each room's messages in the order in which they were complete.
    pub rooms: BTreeMap<String, Vec<Entry>>,
    /// Everyone who joined a room, by address.
    pub members: BTreeMap<SocketAddr, Membership>,
    /// Messages that took more than one read.
    pub split_messages: u64,
    /// Turns in which anything happened, so far.
    turns: u64,
}

/// A line of a room's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Who said it.
    pub author: SocketAddr,
    /// What was said.
    pub message: Message,
    /// In which of the shard's turns.
    pub turn: u64,
}

/// When someone was in which room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Membership {
    /// The room's path.
    pub room: String,
    /// How long the room's log was when it joined.
    pub joined_at: usize,
    /// How long the log was when it said goodbye or its stream ended.
    pub left_at: Option<usize>,
    /// The turn in which it did.
    pub left_in_turn: Option<u64>,
    /// The window towards it was full at some time.
    pub blocked: bool,
}

impl Reference {
    /// Reads the facts of one run.
    ///
    /// # Errors
    /// If a client did not keep the protocol, which is a fault of the scenario.
    pub fn of(facts: &[Fact]) -> Result<Self, String> {
        let mut reference = Self::default();
        let mut speakers: BTreeMap<ConnectionId, Speaker> = BTreeMap::new();
        let mut draining = false;
        for fact in facts {
            match fact {
                Fact::Polled => reference.turns += 1,
                Fact::Accepted { connection, peer } => {
                    speakers.insert(*connection, Speaker::new(*peer));
                }
                Fact::Received { connection, bytes } if !draining => {
                    let speaker = speakers.get_mut(connection).ok_or("read before accepted")?;
                    speaker.receive(bytes, &mut reference)?;
                }
                Fact::Blocked { connection } => {
                    let speaker = speakers.get(connection).ok_or("blocked before accepted")?;
                    let member = reference.members.get_mut(&speaker.peer);
                    member.into_iter().for_each(|member| member.blocked = true);
                }
                // Who speaks while the shard drains speaks to nobody.
                Fact::Received { .. } => {}
                Fact::Accepting(on) => draining = !on,
            }
        }
        Ok(reference)
    }

    /// Messages over all rooms.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.rooms.values().map(|log| log.len() as u64).sum()
    }

    fn join(&mut self, peer: SocketAddr, room: String) {
        let joined_at = self.rooms.entry(room.clone()).or_default().len();
        let (left_at, left_in_turn, blocked) = (None, None, false);
        let member = Membership { room, joined_at, left_at, left_in_turn, blocked };
        self.members.insert(peer, member);
    }

    fn leave(&mut self, peer: SocketAddr) {
        if let Some(member) = self.members.get_mut(&peer) {
            let len = self.rooms.get(&member.room).map_or(0, Vec::len);
            member.left_at.get_or_insert(len);
            member.left_in_turn.get_or_insert(self.turns);
        }
    }

    fn publish(&mut self, author: SocketAddr, message: Message) -> Result<(), String> {
        let member = self.members.get(&author).ok_or("a message from outside")?;
        let log = self.rooms.get_mut(&member.room).ok_or("a room nobody joined")?;
        log.push(Entry { author, message, turn: self.turns });
        Ok(())
    }
}

/// One connection's bytes.
struct Speaker {
    peer: SocketAddr,
    decoder: Decoder,
    upgraded: bool,
    gone: bool,
}

impl Speaker {
    fn new(peer: SocketAddr) -> Self {
        Self { peer, decoder: Decoder::default(), upgraded: false, gone: false }
    }

    fn receive(&mut self, bytes: &[u8], reference: &mut Reference) -> Result<(), String> {
        if bytes.is_empty() {
            self.gone = true;
            reference.leave(self.peer);
        }
        if self.gone {
            return Ok(());
        }
        let mut split = self.upgraded && self.decoder.is_amid();
        self.decoder.feed(bytes);
        if !self.upgraded {
            let Some(head) = self.decoder.head() else { return Ok(()) };
            self.upgraded = true;
            let path = head.split(' ').nth(1).ok_or("a request without a path")?;
            reference.join(self.peer, path.to_owned());
        }
        while let Some(word) = self.decoder.word()? {
            match word {
                Word::Message(message) => {
                    reference.split_messages += u64::from(split);
                    reference.publish(self.peer, message)?;
                }
                Word::Ping | Word::Pong => {}
                Word::Close(_) => {
                    self.gone = true;
                    reference.leave(self.peer);
                    return Ok(());
                }
            }
            split = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::slot::Slot;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;
    use crate::rng::Rng;
    use crate::scenario::frames::{goodbye, put, request};
    use crate::scenario::message::Kind;

    fn peer(slot: u32) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, slot as u8], 1))
    }

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot: Slot(slot), generation: 1 }
    }

    fn joins(slot: u32) -> [Fact; 2] {
        let bytes = request("/ws/a", "key").into_bytes();
        let accepted = Fact::Accepted { connection: id(slot), peer: peer(slot) };
        [accepted, Fact::Received { connection: id(slot), bytes }]
    }

    fn says(slot: u32, text: &str) -> Fact {
        let frame = Frame::message(text.to_owned(), OpCode::Data(Data::Text), true);
        received(slot, frame)
    }

    fn received(slot: u32, frame: Frame) -> Fact {
        let mut bytes = Vec::new();
        put(&mut bytes, frame, &mut Rng::new(1));
        Fact::Received { connection: id(slot), bytes }
    }

    #[test]
    fn a_log_has_what_came_between_joining_and_draining() {
        let mut facts = joins(0).to_vec();
        facts.push(says(0, "one"));
        facts.extend(joins(1));
        facts.extend([says(1, "two"), Fact::Blocked { connection: id(1) }]);
        let close = received(1, Frame::close(Some(goodbye(1000))));
        facts.extend([Fact::Polled, close, says(0, "three")]);
        facts.extend([Fact::Accepting(false), says(0, "four")]);

        let reference = Reference::of(&facts).unwrap();
        let log: Vec<_> = reference.rooms["/ws/a"]
            .iter()
            .map(|entry| (entry.author, String::from_utf8_lossy(&entry.message.payload)))
            .collect();
        let expected = [(peer(0), "one"), (peer(1), "two"), (peer(0), "three")];
        assert_eq!(log, expected.map(|(peer, text)| (peer, text.into())));
        let second = &reference.members[&peer(1)];
        assert_eq!((second.joined_at, second.left_at, second.blocked), (1, Some(2), true));
        assert_eq!(second.left_in_turn, Some(1));
        assert_eq!(reference.members[&peer(0)].left_at, None);
        let turns = reference.rooms["/ws/a"].iter().map(|entry| entry.turn);
        assert!(turns.eq([0, 0, 1]));
        assert_eq!(reference.rooms["/ws/a"][0].message.kind, Kind::Text);
    }

    #[test]
    fn a_message_over_two_reads_is_complete_with_the_second() {
        let mut facts = [joins(0), joins(1)].concat();
        let Fact::Received { connection, bytes } = says(0, "split") else { unreachable!() };
        let (first, second) = bytes.split_at(3);
        facts.push(Fact::Received { connection, bytes: first.to_vec() });
        facts.push(says(1, "whole"));
        facts.push(Fact::Received { connection, bytes: second.to_vec() });

        let reference = Reference::of(&facts).unwrap();
        let authors: Vec<_> = reference.rooms["/ws/a"].iter().map(|entry| entry.author).collect();
        assert_eq!(authors, [peer(1), peer(0)]);
        assert_eq!((reference.split_messages, reference.messages()), (1, 2));
    }
}
