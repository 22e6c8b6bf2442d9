//! Orders of the program that uses the gateway, done where the connections are.

use std::borrow::Cow;

use super::rounds::Mail;
use super::{Hub, Stage};
use crate::body::Body;
use crate::chat;
use crate::chunk::{Chunk, Span};
use crate::encoding::Encoding;
use crate::envelope::RoomName;
use crate::frame::Opcode;
use crate::id::Author;
use crate::message::Words;
use crate::order::{ConnectionId, Content, Order, To};
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    /// Whether the connection is on this shard.
    #[must_use]
    pub fn knows(&self, connection: ConnectionId) -> bool {
        self.find(connection).is_some()
    }

    /// The rooms that a connection of this shard hears or is on its way into, its own first; none
    /// for one that is not here.
    #[must_use]
    pub fn rooms_of(&self, connection: ConnectionId) -> Option<Vec<RoomName>> {
        self.find(connection).map(|slot| self.rooms_at(slot))
    }

    /// The name of the connection in a slot.
    #[must_use]
    pub fn connection(&self, slot: Slot) -> Option<ConnectionId> {
        self.conn(slot).map(|conn| ConnectionId::new(conn.author))
    }

    fn find(&self, connection: ConnectionId) -> Option<Slot> {
        let author = connection.author();
        let born = author.birthplace().filter(|&(shard, _)| shard == self.shard());
        let here = |slot: Slot| self.conn(slot).is_some_and(|conn| conn.author == author);
        match born {
            Some((_, slot)) if here(slot) => Some(slot),
            _ => self.authors.get(&author)?.first().copied(),
        }
    }

    /// Those that an order is about, as far as they are open.
    fn addressed(&self, to: &To) -> Vec<Slot> {
        let open = |slot: &Slot| self.conns[slot.index()].stage == Stage::Open;
        match to {
            To::Connection(connection) => self.find(*connection).filter(open).into_iter().collect(),
            To::User(user) => {
                let slots = self.users.get(user).map_or(&[][..], Vec::as_slice);
                slots.iter().copied().filter(open).collect()
            }
            To::Everyone => (0..self.conns.len()).map(Slot::from).filter(open).collect(),
        }
    }

    pub(super) fn carry_out(&mut self, now: Now, order: Order) {
        self.counters.orders += 1;
        let slots = order.to().map_or_else(Vec::new, |to| self.addressed(to));
        match order {
            Order::Send(_, content) => self.send_to_all(&slots, &content),
            Order::Join(_, room) => slots.into_iter().for_each(|slot| {
                self.take_place(slot, room.namespace, &room.name);
            }),
            Order::Leave(_, room) => slots.into_iter().for_each(|slot| {
                self.leave_place(slot, room.namespace, &room.name);
            }),
            Order::Close(_, code, reason) => slots.into_iter().for_each(|slot| {
                self.close_as_told(now, slot, code, Cow::Owned(reason.to_string()));
            }),
            Order::Publish(room, content) => self.publish_for_nobody(now, &room, &content),
        }
    }

    /// The same to each of them, encoded once for all who read it alike.
    fn send_to_all(&mut self, slots: &[Slot], content: &Content) {
        if self.pending.orders.is_bare() {
            self.pending.orders = Chunk::reusing(self.chunks.buffer());
        }
        let mut frames = [None; Encoding::COUNT];
        for &slot in slots {
            let encoding = self.encoding_of(slot);
            // An echo hears itself alone, as long as it likes.
            if !encoding.reads_text() || self.conns[slot.index()].echoes {
                continue;
            }
            let frame = &mut frames[encoding.index()];
            let span = match *frame {
                Some(span) => span,
                None => *frame.insert(self.encode_for_all(encoding, content)),
            };
            let generation = self.conns[slot.index()].generation;
            self.counters.deliveries += 1;
            self.pending.order_mails.push(Mail { slot, generation, span, framed: true });
        }
    }

    fn encode_for_all(&mut self, encoding: Encoding, content: &Content) -> Span {
        let start = self.pending.orders.len();
        let opcode = content.kind.opcode();
        let text = std::str::from_utf8(&content.bytes).ok();
        match text.filter(|_| encoding == Encoding::Chat && opcode == Opcode::Text) {
            Some(text) => {
                let mut json = Vec::new();
                chat::notice(&mut json, text);
                self.pending.orders.push_frame(Opcode::Text, &json);
            }
            None if content.bytes.len() < self.config.limits.share_bytes_min => {
                self.pending.orders.push_frame(opcode, &content.bytes);
            }
            None => self.pending.orders.push_body(opcode, Body::from(content.bytes.clone())),
        }
        Span { start, end: self.pending.orders.len() }
    }

    /// A room is told something by nobody of its members.
    fn publish_for_nobody(&mut self, now: Now, room: &RoomName, content: &Content) {
        let (room, _) = self.dispatch.enter(room.namespace, &room.name);
        let body = Body::from(content.bytes.clone());
        let words = match content.bytes.len() < self.config.limits.share_bytes_min {
            true => Words::Bytes(&content.bytes),
            false => Words::Body(&body),
        };
        self.publish_words(now, Author::NOBODY, None, room, content.kind, words);
        self.dispatch.leave(room);
    }
}
