//! What must be true of everything that shards were told, kept apart from how they come to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ShardId;
use crate::position::{Epoch, Offset, Position};

/// A message by what it carries: who published it, and as which one of its messages.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Payload {
    pub(super) publisher: u16,
    pub(super) number: u32,
}

impl Payload {
    pub(super) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.publisher) << 32 | u64::from(self.number)).to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let bits = u64::from_le_bytes(bytes.try_into().expect("payloads have eight bytes"));
        Self { publisher: (bits >> 32) as u16, number: bits as u32 }
    }
}

#[derive(Debug)]
pub(super) struct Reference {
    /// By room, epoch and offset: the offset before, and the message.
    places: BTreeMap<(usize, Epoch, Offset), (Offset, Payload)>,
    /// Where each message is.
    placed: BTreeMap<Payload, (usize, Epoch, Offset)>,
    /// Each publisher's messages by place, in one room and epoch.
    orders: BTreeMap<(usize, Epoch, u16), BTreeMap<Offset, u32>>,
    /// Published and not answered for: by the shard's number.
    unanswered: BTreeMap<(u16, u64), (usize, Payload)>,
    refused: BTreeSet<Payload>,
    numbers: BTreeMap<u16, u32>,
    remembers: bool,
    pub(super) gaps: u64,
    /// Messages answered for beside what was told.
    pub(super) lost: u64,
    pub(super) incomplete: u64,
}

impl Reference {
    pub(super) fn new(remembers: bool) -> Self {
        Self {
            places: BTreeMap::new(),
            placed: BTreeMap::new(),
            orders: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            refused: BTreeSet::new(),
            numbers: BTreeMap::new(),
            remembers,
            gaps: 0,
            lost: 0,
            incomplete: 0,
        }
    }

    /// The next message of a publisher.
    pub(super) fn next(&mut self, publisher: u16) -> Payload {
        let number = self.numbers.entry(publisher).or_default();
        *number += 1;
        Payload { publisher, number: *number }
    }

    /// Someone heard that a message has this place.
    pub(super) fn place(&mut self, room: usize, prev: Offset, at: Position, payload: Payload) {
        assert!(prev < at.offset, "offsets grow");
        assert!(!self.refused.contains(&payload), "who was refused is not heard");
        let place = (room, at.epoch, at.offset);
        let known = *self.places.entry(place).or_insert((prev, payload));
        assert_eq!(known, (prev, payload), "one position is one message, everywhere");
        let known = *self.placed.entry(payload).or_insert(place);
        assert_eq!(known, place, "one message has one position");
        let order = self.orders.entry((room, at.epoch, payload.publisher)).or_default();
        order.insert(at.offset, payload.number);
        let before = order.range(..at.offset).next_back();
        assert!(before.is_none_or(|(_, &number)| number < payload.number), "publishers' order");
        let after = order.range(at.offset.next()..).next();
        assert!(after.is_none_or(|(_, &number)| number > payload.number), "publishers' order");
    }

    pub(super) fn waits(&mut self, shard: u16, id: u64, room: usize, payload: Payload) {
        let before = self.unanswered.insert((shard, id), (room, payload));
        assert_eq!(before, None, "numbers are not used twice");
    }

    /// A shard's message was answered for within what it was told.
    pub(super) fn answered_by(&mut self, shard: u16, id: u64, room: usize, payload: Payload) {
        let waited = self.unanswered.remove(&(shard, id));
        assert_eq!(waited, Some((room, payload)), "each message is answered for once");
    }

    /// A shard's message was answered for, beside what it was told.
    pub(super) fn answered(&mut self, shard: u16, id: u64, room: usize, at: Position) {
        let waited = self.unanswered.remove(&(shard, id));
        let (asked, payload) = waited.expect("each message is answered for once");
        assert_eq!(asked, room, "it is this room's");
        if at.offset == Offset::START {
            assert!(!self.placed.contains_key(&payload), "who was heard is not refused");
            self.refused.insert(payload);
            return;
        }
        self.lost += 1;
        let place = (room, at.epoch, at.offset);
        let known = *self.placed.entry(payload).or_insert(place);
        assert_eq!(known, place, "it is acknowledged where it is");
    }

    /// A shard's members missed something.
    pub(super) fn gap(&mut self, from: Position, to: Position) {
        assert!(!self.remembers, "nothing is forgotten here");
        assert_eq!(from.epoch, to.epoch, "a gap is within an epoch");
        assert!(from.offset < to.offset, "a gap goes on");
        self.gaps += 1;
    }

    /// What was recovered is all there is between two positions, or says that it is not.
    pub(super) fn recovered(
        &mut self,
        room: usize,
        (since, upto): (Position, Position),
        entries: &[(Offset, Offset, Payload)],
        complete: bool,
    ) {
        if !complete {
            assert!(entries.is_empty(), "what is not complete is not told");
            assert!(!self.remembers || since.epoch != upto.epoch, "nothing is forgotten here");
            self.incomplete += 1;
            return;
        }
        assert_eq!(since.epoch, upto.epoch, "no past of another epoch");
        let mut last = since.offset;
        for &(prev, offset, payload) in entries {
            assert_eq!(prev, last, "what is recovered is linked");
            self.place(room, prev, Position { offset, ..upto }, payload);
            last = offset;
        }
        assert_eq!(last, since.offset.max(upto.offset), "what is recovered ends where the room is");
        let range = (room, upto.epoch, since.offset.next())..=(room, upto.epoch, last);
        let known = if since.offset < last { self.places.range(range).count() } else { 0 };
        assert_eq!(known, entries.len(), "all that anyone heard is recovered");
    }

    /// Nothing is owed to anyone.
    pub(super) fn check_rest(&self) {
        assert!(self.unanswered.is_empty(), "all is answered for: {:?}", self.unanswered);
    }

    /// Messages that the engine refused.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.len() as u64
    }

    /// Whose message has which number, for stories.
    pub(super) fn offsets_of(&self, publisher: ShardId) -> Vec<u64> {
        let of = |place: &Payload| place.publisher == publisher.0;
        let places = self.placed.iter().filter(|(payload, _)| of(payload));
        places.map(|(_, &(_, _, offset))| offset.0).collect()
    }
}
