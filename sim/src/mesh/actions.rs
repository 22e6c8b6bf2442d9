//! What clients and operators do, one seeded action at a time.

use gateway_core::event::Event;
use gateway_core::frame::Kind;
use gateway_core::hub::Sequencing;
use gateway_core::id::ShardId;
use gateway_core::position::{Offset, Position};
use gateway_core::probe::ToServer;

use super::client::{Client, Place};
use super::ears::{Ears, ID_BYTES, write_payload};
use super::record::Message;
use super::setting::{ROOMY, SHARDS_MAX, Setting, pick};
use super::shard::State;
use super::wire::{self, Asking};
use super::world::World;

/// How a connection is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) room: Option<u16>,
    pub(super) shard: Option<usize>,
    pub(super) probes: Option<bool>,
    /// From where on it asks for its room's past.
    pub(super) since: Option<Position>,
    pub(super) name: Option<u32>,
}

/// Names that clients share.
const NAMES: usize = 3;

impl World {
    /// One action; how many it counts for.
    pub(super) fn act(&mut self) -> u64 {
        let wanted = self.setting.clients;
        let few = self.open.len() < wanted;
        if few && (self.open.len() < wanted / 2 || self.rng.one_in(4)) || self.rng.one_in(64) {
            self.connect(Wish::default());
            return 1;
        }
        self.disturb_time();
        if self.operate() || self.disturb() {
            return 1;
        }
        match self.rng.below(40) {
            0 => self.leave(),
            1 | 2 => self.look_around(),
            3 if self.rng.one_in(4) => self.relay(),
            _ => {
                let Some(id) = self.speaker() else { return 0 };
                let messages = if self.rng.one_in(8) { 2 + self.rng.below(6) } else { 1 };
                (0..messages).for_each(|_| self.publish(id));
                return messages as u64;
            }
        }
        1
    }

    pub(super) fn happens(&mut self, times: usize) -> bool {
        times > 0 && self.rng.one_in(times)
    }

    /// What an operator or the balance of shards brings.
    fn operate(&mut self) -> bool {
        let faults = self.setting.faults;
        if self.happens(faults.moves) {
            self.move_someone()
        } else if self.happens(faults.migrate) {
            self.migrate()
        } else if self.happens(faults.add) && self.shards.len() < SHARDS_MAX {
            self.ears.coverage.added += 1;
            self.add_shard();
            true
        } else if self.happens(faults.remove) {
            self.remove_shard()
        } else {
            false
        }
    }

    fn serving_shard(&mut self) -> Option<usize> {
        let count = self.serving().count();
        (count > 0).then(|| self.rng.below(count)).and_then(|nth| self.serving().nth(nth))
    }

    /// A client connects, if there may be one more.
    pub(super) fn connect(&mut self, wish: Wish) -> Option<u32> {
        if self.open.len() >= self.setting.clients_max {
            return None;
        }
        let shard = wish.shard.or_else(|| self.serving_shard())?;
        let id = self.ears.clients.len() as u32;
        let room = wish.room.unwrap_or_else(|| self.any_room());
        let client = match self.setting.is_chat(room) {
            true => self.chatter(id, room),
            false => self.listener(id, room, wish),
        };
        self.ears.clients.push(client);
        self.open.push(id);
        self.shards[shard].knocks.push(id);
        if self.rng.one_in(12) {
            self.ears.publish(id, 20, false);
        }
        Some(id)
    }

    fn any_room(&mut self) -> u16 {
        let Setting { rooms, chats, .. } = self.setting;
        let room = if chats > 0 && self.rng.one_in(4) {
            rooms + self.rng.below(chats)
        } else if self.rng.one_in(3) {
            0
        } else {
            self.rng.below(rooms)
        };
        room as u16
    }

    /// Somebody who reads raw, or a probe, that wants to go on where it was, or someone else.
    fn listener(&mut self, id: u32, any: u16, wish: Wish) -> Client {
        let mut room = any;
        let probes = wish.probes.unwrap_or_else(|| !self.rng.one_in(4));
        let any = self.rng.one_in(4).then(|| 1 + self.rng.below(NAMES) as u32);
        let mut name = wish.name.or(any);
        let mut since = wish.since;
        if probes && wish.room.is_none() && self.rng.one_in(2) {
            if self.rng.one_in(3) {
                since = self.furthest(room);
            } else if !self.seen.is_empty() {
                let (place, position, author) = *pick(&mut self.rng, &self.seen);
                (room, since) = (place, Some(position));
                name = if self.rng.one_in(2) { author } else { name };
            }
        }
        let name = name.filter(|_| probes);
        let mut client = Client::new(id, room, probes, name);
        client.since = since;
        let path = &self.paths[usize::from(room)];
        let subprotocol = probes.then_some(gateway_core::probe::SUBPROTOCOL);
        let asking = Asking { path, subprotocol, since, name, ..Asking::default() };
        wire::request(&mut client.up, &asking);
        client
    }

    /// The furthest that anyone has seen of a room. An engine serves other nodes too: their clients
    /// may have heard what its answers have not told here.
    fn furthest(&mut self, room: u16) -> Option<Position> {
        let mut position = self.ears.record.head(room)?;
        if self.setting.sequencing == Sequencing::Engine {
            let path = &self.paths[usize::from(room)];
            let given = self.clerk.engine_head(room, path)?;
            position.offset = position.offset.max(Offset(given));
        }
        Some(position)
    }

    /// Someone who may publish.
    fn speaker(&mut self) -> Option<u32> {
        for _ in 0..8 {
            if self.open.is_empty() {
                return None;
            }
            let id = *pick(&mut self.rng, &self.open);
            if self.ears.clients[id as usize].can_speak() {
                return Some(id);
            }
        }
        None
    }

    fn publish(&mut self, id: u32) {
        let len = match self.rng.below(64) {
            0 if self.ears.clients[id as usize].probes => 0,
            0 | 1 => ID_BYTES + self.rng.below(4_000),
            2..8 => ID_BYTES + self.rng.below(300),
            _ => ID_BYTES + self.rng.below(52),
        };
        if self.ears.clients[id as usize].chat.is_some() && self.rng.one_in(8) {
            return self.ears.rename(id);
        }
        self.ears.coverage.large += u64::from(len >= self.setting.limits.share_bytes_min);
        self.ears.publish(id, len, true);
    }

    fn leave(&mut self) {
        let Some(id) = self.speaker() else { return };
        if self.rng.one_in(4) {
            self.ears.clients[id as usize].ends = true;
            self.ears.wake(id);
        } else {
            self.ears.say_close(id);
        }
    }

    fn look_around(&mut self) {
        let Some(id) = self.speaker() else { return };
        if self.ears.clients[id as usize].probes {
            self.ears.ask_members(id);
        } else if self.ears.clients[id as usize].chat.is_some() {
            self.ears.ask_who(id);
        }
    }

    /// Someone speaks and is gone, and another one comes to the same place.
    fn relay(&mut self) {
        let Some(id) = self.speaker() else { return };
        let client = &self.ears.clients[id as usize];
        let (Place::At { shard, .. }, room) = (client.place, client.room) else { return };
        if self.shards[usize::from(shard)].state != State::Serving {
            return;
        }
        (0..3).for_each(|_| self.publish(id));
        self.ears.say_close(id);
        let wish = Wish { room: Some(room), shard: Some(usize::from(shard)), ..Wish::default() };
        // The second one may find the slot free.
        for _ in 0..2 {
            self.turn(usize::from(shard), false);
            self.connect(wish);
        }
    }

    fn move_someone(&mut self) -> bool {
        let Some(id) = self.speaker() else { return false };
        let Place::At { shard, slot } = self.ears.clients[id as usize].place else { return false };
        let Some(to) = self.serving_shard().filter(|&to| to != usize::from(shard)) else {
            return false;
        };
        let to = ShardId(to as u16);
        self.shards[usize::from(shard)].hub.handle(self.now, Event::Move { slot, to });
        true
    }

    fn migrate(&mut self) -> bool {
        let from = self.rng.below(self.shards.len());
        // One that does not serve is refused by the registry.
        let to = self.rng.below(self.shards.len());
        if from == to {
            return false;
        }
        let (to, homes_max) = (ShardId(to as u16), 1 + self.rng.below(3));
        self.shards[from].hub.handle(self.now, Event::Migrate { to, homes_max });
        true
    }

    /// A shard is to become vacant; one at a time.
    fn remove_shard(&mut self) -> bool {
        let leaving = self.shards.iter().any(|shard| shard.state == State::Leaving);
        // Whoever finds no place elsewhere would keep the shard from becoming vacant.
        if leaving || self.serving().count() < 2 || self.setting.limits.connections_max < ROOMY {
            return false;
        }
        let Some(index) = self.serving_shard() else { return false };
        self.shards[index].state = State::Leaving;
        self.clerk.registry.withdraw(super::clerk::registered(index));
        let to = self.serving().map(|index| ShardId(index as u16)).collect();
        let dismisses = self.setting.dismisses;
        let dismissed = dismisses > 0 && self.balance.one_in(dismisses);
        self.ears.coverage.dismissed += u64::from(dismissed);
        let event = if dismissed { Event::Dismiss { to } } else { Event::Evacuate { to } };
        self.shards[index].hub.handle(self.now, event);
        true
    }
}

impl Ears {
    /// A client says a message. One that does not know whether it is a member yet may be too late
    /// for others who come.
    pub(super) fn publish(&mut self, id: u32, len: usize, open: bool) {
        let message = self.record.messages.len() as u32;
        let client = &mut self.clients[id as usize];
        let (room, author, probed) = (client.room, client.author, client.probes);
        let text = client.chat.is_some() || !message.is_multiple_of(3);
        client.unanswered += u32::from(probed);
        self.tale.says(self.now, message);
        self.record.messages.push(Message {
            room,
            publisher: id,
            author,
            len: len as u32,
            text,
            rename: false,
            accepted_at: (!open).then_some(self.now),
            required: false,
            refused: false,
            heard: 0,
            place: None,
        });
        if !open {
            self.record.rooms[usize::from(room)].accepted.push(message);
        }
        let mut payload = Vec::with_capacity(len);
        write_payload(&mut payload, message, len);
        let opcode = if text { wire::TEXT } else { wire::BINARY };
        if !probed {
            return self.say(id, opcode, &payload, Some(message));
        }
        let kind = if text { Kind::Text } else { Kind::Binary };
        let mut bytes = Vec::with_capacity(len + 16);
        let publish = ToServer::Publish { id: u64::from(message), kind, payload: &payload };
        publish.encode(&mut bytes);
        self.say(id, wire::BINARY, &bytes, Some(message));
    }

    /// A probe asks who is there.
    pub(super) fn ask_members(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        client.asked += 1;
        let mut bytes = Vec::new();
        ToServer::Members { id: u64::from(client.asked) }.encode(&mut bytes);
        self.say(id, wire::BINARY, &bytes, None);
    }
}
