//! The reference: what was said where, as clients have told and shown each other.

use gateway_core::log::Retention;
use gateway_core::position::{Offset, Position};

/// What is known of one published message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) room: u16,
    /// The client that said it, and who does not hear it.
    pub(super) publisher: u32,
    pub(super) author: u32,
    /// Bytes of payload.
    pub(super) len: u32,
    pub(super) text: bool,
    /// Its publisher is called by its number from then on.
    pub(super) rename: bool,
    /// The hub has read it, at this time.
    pub(super) accepted_at: Option<u64>,
    /// Whoever was a member when it was accepted has to hear it.
    pub(super) required: bool,
    /// Its publisher was told that it is not in the room.
    pub(super) refused: bool,
    pub(super) heard: u32,
    /// Epoch, by its place among the room's, and offset.
    pub(super) place: Option<(u16, u64)>,
}

/// One count of offsets of a room.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) name: u64,
    /// Messages by offset, counted from one; 0 where none is known.
    pub(super) log: Vec<u32>,
}

/// A room's past.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) epochs: Vec<Epoch>,
    /// Messages in the order in which hubs read them.
    pub(super) accepted: Vec<u32>,
}

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) messages: Vec<Message>,
    pub(super) rooms: Vec<Room>,
}

/// Offsets beyond this are no room's.
const OFFSET_MAX: u64 = 1 << 20;
/// More than any message costs in a log beside its payload.
pub(super) const HEADER_BYTES: usize = 128;
/// Clocks of one world agree; ticks are coarse.
pub(super) const TICKS_NANOS: u64 = 500_000_000;

impl Record {
    pub(super) fn new(rooms: usize) -> Self {
        Self { messages: Vec::new(), rooms: (0..rooms).map(|_| Room::default()).collect() }
    }

    /// Notes where a message is: nothing else may be there, nor it anywhere else.
    #[inline]
    pub(super) fn place(
        &mut self,
        room: u16,
        position: Position,
        message: u32,
    ) -> Result<(), String> {
        let offset = position.offset.0;
        let epoch = self.epoch(room, position.epoch.0);
        if offset == 0 || offset > OFFSET_MAX {
            return Err(format!("message {message} is at offset {offset}"));
        }
        let log = &mut self.rooms[usize::from(room)].epochs[usize::from(epoch)].log;
        let index = offset as usize;
        if log.len() <= index {
            log.resize(index + 1, 0);
        }
        match log[index] {
            0 => log[index] = message + 1,
            known if known == message + 1 => {}
            known => {
                let known = known - 1;
                return Err(format!(
                    "room {room} has both {known} and {message} at offset {offset}"
                ));
            }
        }
        let place = &mut self.messages[message as usize].place;
        match place {
            None => *place = Some((epoch, offset)),
            Some(known) if *known == (epoch, offset) => {}
            Some(known) => {
                return Err(format!(
                    "message {message} is at {known:?} and at {:?}",
                    (epoch, offset)
                ));
            }
        }
        Ok(())
    }

    /// An epoch's place among those of its room.
    #[inline]
    pub(super) fn epoch(&mut self, room: u16, name: u64) -> u16 {
        let epochs = &mut self.rooms[usize::from(room)].epochs;
        if let Some(index) = epochs.iter().rposition(|epoch| epoch.name == name) {
            return index as u16;
        }
        epochs.push(Epoch { name, log: Vec::new() });
        (epochs.len() - 1) as u16
    }

    /// The messages known at offsets in `after..=upto` of an epoch.
    pub(super) fn between(
        &self,
        room: u16,
        epoch: u16,
        after: u64,
        upto: u64,
    ) -> impl Iterator<Item = u32> {
        let log = &self.rooms[usize::from(room)].epochs[usize::from(epoch)].log;
        let from = (after as usize + 1).min(log.len());
        let to = (upto as usize + 1).min(log.len()).max(from);
        log[from..to].iter().filter(|&&known| known > 0).map(|known| known - 1)
    }

    /// The highest offset known of the room's latest epoch.
    pub(super) fn head(&self, room: u16) -> Option<Position> {
        let epoch = self.rooms[usize::from(room)].epochs.last()?;
        let offset = Offset(epoch.log.len().saturating_sub(1) as u64);
        Some(Position { epoch: gateway_core::position::Epoch(epoch.name), offset })
    }

    /// Whether a history must still have everything after `since`, whatever was under way.
    pub(super) fn recoverable(
        &self,
        room: u16,
        since: Position,
        history: &Retention,
        now: u64,
    ) -> bool {
        let past = &self.rooms[usize::from(room)];
        let Some(epoch) = past.epochs.iter().position(|epoch| epoch.name == since.epoch.0) else {
            return false;
        };
        let age_max = u64::from(history.age_secs) * 1_000_000_000 - TICKS_NANOS;
        let (mut count, mut bytes, mut any) = (0, 0, false);
        for &id in past.accepted.iter().rev() {
            let message = &self.messages[id as usize];
            let (after, at) = match message.place {
                Some((of, offset)) if usize::from(of) == epoch => {
                    (offset > since.offset.0, offset == since.offset.0)
                }
                Some((of, _)) => (usize::from(of) > epoch, false),
                None => (!message.refused, false),
            };
            if !after && !at {
                continue;
            }
            let accepted_at = message.accepted_at.expect("it is among the accepted");
            if now.saturating_sub(accepted_at) >= age_max {
                return false;
            }
            any |= message.place.is_some_and(|(of, _)| usize::from(of) == epoch);
            count += 1;
            bytes += message.len as usize + HEADER_BYTES;
            if count > history.messages_max || bytes > history.bytes_max {
                return false;
            }
        }
        any && history.keeps()
    }
}
