//! Whether rooms remember as much as they have to, to the message: when all is calm somebody fills
//! a room's history, and somebody else asks for all of it.

use gateway_core::position::{Epoch, Offset, Position};

use super::actions::Wish;
use super::ears::ID_BYTES;
use super::record::{HEADER_BYTES, TICKS_NANOS};
use super::run::ROOMS_TRIED;
use super::world::World;
use crate::promise::Promise;

/// Messages that are worth saying for it.
const MESSAGES_MAX: u32 = 100;
/// Within which a request is answered when all is calm.
const ANSWER_NANOS: u64 = 500_000_000;

impl World {
    /// Does so in each room that keeps so few messages that they can be said.
    pub(super) fn recall(&mut self) {
        for room in 0..self.setting.rooms.min(ROOMS_TRIED) as u16 {
            if self.ears.broken.is_none() {
                self.recall_room(room);
            }
        }
    }

    fn recall_room(&mut self, room: u16) {
        let history = self.ears.history(room);
        let kept = history.messages_max as usize;
        let fits = kept * (ID_BYTES + HEADER_BYTES) <= history.bytes_max;
        if !history.keeps() || history.messages_max > MESSAGES_MAX || !fits {
            return;
        }
        let speaks = |&id: &u32| {
            let client = &self.ears.clients[id as usize];
            client.room == room && client.probes && client.can_speak()
        };
        let Some(speaker) = self.open.iter().copied().find(speaks) else { return };
        let (first, began) = (self.ears.record.messages.len(), self.now.0);
        (0..=kept).for_each(|_| self.ears.publish(speaker, ID_BYTES, true));
        self.settle_within(Promise::Alive, self.setting.calm_secs());
        let Some(since) = self.place_of(room, first) else { return };
        let (room, since) = (Some(room), Some(since));
        let wish = Wish { room, since, probes: Some(true), ..Wish::default() };
        if let Some(id) = self.connect(wish) {
            let age_max = u64::from(history.age_secs) * 1_000_000_000;
            let age = self.now.0 - began + ANSWER_NANOS + TICKS_NANOS;
            self.ears.clients[id as usize].recalls = age < age_max;
        }
        self.settle_within(Promise::Alive, self.setting.calm_secs());
    }

    /// Where a message is, if those behind it are in the room too, in one epoch.
    fn place_of(&self, room: u16, first: usize) -> Option<Position> {
        let said = &self.ears.record.messages[first..];
        let (epoch, offset) = said.first()?.place?;
        let is_there = said.iter().all(|message| message.place.is_some_and(|at| at.0 == epoch));
        let name = self.ears.record.rooms[usize::from(room)].epochs[usize::from(epoch)].name;
        is_there.then_some(Position { epoch: Epoch(name), offset: Offset(offset) })
    }
}
