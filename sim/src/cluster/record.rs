//! The reference: what was said where, as clients have said and shown it. It knows rooms, epochs
//! and offsets, and nothing of shards.

use std::collections::{BTreeMap, BTreeSet};

use gateway_core::log::Retention;
use gateway_core::position::Position;

/// A room of one process of one node: nothing passes from one to another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) node: usize,
    /// Which process of the node, counted from one.
    pub(super) incarnation: u32,
    pub(super) room: usize,
}

/// What is known of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) place: Place,
    /// The connection that said it.
    pub(super) by: u32,
    /// Who does not hear it, where speakers do not hear themselves.
    pub(super) author: u64,
    pub(super) len: usize,
    pub(super) text: bool,
    /// Nanoseconds of the run, and of the node's own clock.
    pub(super) said_at: u64,
    pub(super) said_at_node: u64,
    /// Epoch and offset, once anybody was told.
    pub(super) at: Option<(u64, u64)>,
    pub(super) refused: bool,
    pub(super) heard: u32,
}

/// More than any message costs in a log beside its payload.
const HEADER_BYTES: usize = 128;
/// A node's clock is coarse, and so is what is known of it.
const TICKS_NANOS: u64 = 500_000_000;

/// Longer than links are held and clients hold their words back.
const UNDERWAY_NANOS_MAX: u64 = 25_000_000_000;

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) messages: Vec<Message>,
    /// Messages of each place, in the order in which they were said.
    said: BTreeMap<Place, Vec<u32>>,
    /// What stands where: by place and epoch, by offset.
    logs: BTreeMap<(Place, u64), BTreeMap<u64, u32>>,
    /// Epochs that a place is known to have had.
    epochs: BTreeSet<(Place, u64)>,
}

impl Record {
    /// Notes that something is being said; its number.
    pub(super) fn say(&mut self, message: Message) -> u32 {
        let number = self.messages.len() as u32;
        self.said.entry(message.place).or_default().push(number);
        self.messages.push(message);
        number
    }

    pub(super) fn message(&self, number: u32) -> Option<&Message> {
        self.messages.get(number as usize)
    }

    /// Notes where a message is: nothing else may be there, nor it anywhere else.
    ///
    /// # Errors
    /// What contradicts it.
    pub(super) fn place(&mut self, position: Position, number: u32) -> Result<(), String> {
        let (epoch, offset) = (position.epoch.0, position.offset.0);
        let message = &mut self.messages[number as usize];
        if offset == 0 {
            return Err(format!("message {number} is at offset 0"));
        }
        match message.at {
            Some(at) if at != (epoch, offset) => {
                return Err(format!(
                    "message {number} is at offset {} of epoch {:x} and at offset {offset} of \
                     epoch {epoch:x}",
                    at.1, at.0
                ));
            }
            Some(_) => {}
            None => message.at = Some((epoch, offset)),
        }
        let key = (message.place, epoch);
        self.epochs.insert(key);
        let stands = *self.logs.entry(key).or_default().entry(offset).or_insert(number);
        if stands != number {
            return Err(format!(
                "both message {stands} and message {number} are at offset {offset} of epoch \
                 {epoch:x}"
            ));
        }
        Ok(())
    }

    /// Notes that a place has this epoch.
    pub(super) fn note_epoch(&mut self, place: Place, epoch: u64) {
        self.epochs.insert((place, epoch));
    }

    /// Whether a place is known to have had this epoch.
    pub(super) fn knows_epoch(&self, place: Place, epoch: u64) -> bool {
        self.epochs.contains(&(place, epoch))
    }

    /// The messages known at offsets in `after..=upto` of an epoch.
    pub(super) fn between(
        &self,
        place: Place,
        epoch: u64,
        after: u64,
        upto: u64,
    ) -> impl Iterator<Item = u32> {
        let log = self.logs.get(&(place, epoch));
        let span = (after < upto).then(|| after + 1..=upto);
        let known = log.zip(span).map(|(log, span)| log.range(span));
        known.into_iter().flatten().map(|(_, &number)| number)
    }

    /// Whether a history must still have everything after `since`, whatever else is under way.
    /// `now` is the node's own time.
    ///
    /// What stands behind `since` was sequenced after the message there was said: if that is young
    /// enough, all of it is.
    pub(super) fn recoverable(
        &self,
        place: Place,
        since: Position,
        history: &Retention,
        now: u64,
    ) -> bool {
        let (epoch, offset) = (since.epoch.0, since.offset.0);
        let at = self.logs.get(&(place, epoch)).and_then(|log| log.get(&offset));
        let Some(&at) = at.filter(|_| history.keeps()) else { return false };
        let said_at = self.messages[at as usize].said_at_node;
        let age_max = u64::from(history.age_secs) * 1_000_000_000 - TICKS_NANOS;
        if now.saturating_sub(said_at) >= age_max {
            return false;
        }
        let (mut count, mut bytes) = (0, 0);
        for &number in self.said.get(&place).into_iter().flatten() {
            let message = &self.messages[number as usize];
            let before = match message.at {
                Some((of, place)) => of == epoch && place < offset,
                // Nothing is under way for that long.
                None => message.refused || message.said_at_node + UNDERWAY_NANOS_MAX < said_at,
            };
            if !before {
                count += 1;
                bytes += message.len + HEADER_BYTES;
            }
        }
        count <= history.messages_max && bytes <= history.bytes_max
    }
}
