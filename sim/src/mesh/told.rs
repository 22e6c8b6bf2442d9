//! What a probe is told, checked as it is told: where it is, messages in their places, answers,
//! gaps, and who is there.

use gateway_core::position::Position;
use gateway_core::probe::ToClient;

use super::client::{Place, Span};
use super::ears::Ears;
use crate::promise::Promise;

impl Ears {
    pub(super) fn told(&mut self, id: u32, told: ToClient<'_>) {
        let subscribed = self.clients[id as usize].subscribed;
        if subscribed == matches!(told, ToClient::Subscribed { .. }) {
            return self.complain(
                Promise::Linked,
                id,
                "a probe is told where it is first, and once",
            );
        }
        self.tell_told(id, &told);
        match told {
            ToClient::Subscribed { position, recovered } => {
                self.subscribed(id, position, recovered)
            }
            ToClient::Message { epoch, prev, offset, kind, payload } => {
                let text = kind == gateway_core::frame::Kind::Text;
                self.message(id, Position { epoch, offset }, prev.0, text, payload);
            }
            ToClient::Ack { id: message, position } => self.acknowledged(id, message, position),
            ToClient::Refused { id: message, .. } => self.refused(id, message),
            ToClient::Gap { position } => self.gap(id, position),
            ToClient::Reset { position } => self.reset(id, position),
            ToClient::Joined { who } => self.came(id, who.to_bits(), true),
            ToClient::Left { who } => self.came(id, who.to_bits(), false),
            ToClient::Members { who, .. } => self.members(id, who.iter().map(|who| who.to_bits())),
        }
    }

    fn message(&mut self, id: u32, at: Position, prev: u64, text: bool, payload: &[u8]) {
        if payload.is_empty() {
            self.coverage.deliveries += 1;
        } else {
            let Some(message) = self.identify(id, text, payload) else { return };
            self.tell_heard(id, message, Some((prev, at.offset.0)));
            if !self.may_hear(id, message) {
                return;
            }
            let room = self.clients[id as usize].room;
            if let Err(what) = self.record.place(room, at, message) {
                return self.complain(Promise::SamePlace, id, &what);
            }
        }
        let client = &mut self.clients[id as usize];
        let (epoch, offset) = (client.epoch, at.offset.0);
        let name = self.record.rooms[usize::from(client.room)].epochs[usize::from(epoch)].name;
        let (from, right) = (client.offset, name == at.epoch.0);
        client.offset = offset;
        if !right {
            self.complain(Promise::Linked, id, "the epoch changed without a word");
        } else if offset <= from {
            // What it had been told it lost comes late; anything else comes twice.
            let late = self.clients[id as usize].lost_at(epoch, offset);
            let promise = if late { Promise::Linked } else { Promise::Once };
            let what = format!("it heard offset {offset} when it was at {from}");
            self.complain(promise, id, &what);
        } else if prev < from || prev >= offset {
            let what = format!("offset {offset} follows {prev}, not {from}");
            self.complain(Promise::Linked, id, &what);
        } else if prev > from {
            self.clients[id as usize].silent.push(Span { epoch, after: from, upto: prev });
            self.tale.skips(self.now, id, prev);
        }
    }

    fn subscribed(&mut self, id: u32, position: Position, recovered: bool) {
        let client = &mut self.clients[id as usize];
        client.subscribed = true;
        let (room, since) = (client.room, client.since);
        let epoch = self.record.epoch(room, position.epoch.0);
        let client = &mut self.clients[id as usize];
        client.epoch = epoch;
        (client.first, client.offset) = (position.offset.0, position.offset.0);
        match (since, recovered) {
            (Some(since), true) => {
                self.coverage.complete += 1;
                // All that anyone has heard of, or was told of, by now.
                let due = self.record.rooms[usize::from(room)].epochs[usize::from(epoch)].log.len();
                self.clients[id as usize].due = due.saturating_sub(1) as u64;
                if since != position {
                    // Further back it would hear again what it has heard.
                    let back = since.epoch == position.epoch && position.offset < since.offset;
                    let promise = if back { Promise::Once } else { Promise::Kept };
                    return self.complain(promise, id, "it was put elsewhere than where it was");
                }
                self.coverage.ahead += u64::from(self.is_ahead(id));
            }
            (Some(since), false) => {
                self.coverage.incomplete += 1;
                let history = self.history(room);
                let asked = self.clients[id as usize].recalls;
                if asked || self.record.recoverable(room, since, &history, self.now) {
                    let since = since.offset;
                    let what = format!("what came since {since} is within history, and is lost");
                    self.complain(Promise::Kept, id, &what);
                }
            }
            (None, true) => {
                self.complain(Promise::Kept, id, "nothing was asked for, and it was recovered");
            }
            (None, false) => {}
        }
    }

    /// Whether others of its room on its shard are behind it.
    fn is_ahead(&self, id: u32) -> bool {
        let me = &self.clients[id as usize];
        let Place::At { shard: here, .. } = me.place else { return false };
        self.clients.iter().any(|other| {
            let there = matches!(other.place, Place::At { shard, .. } if shard == here);
            there
                && other.room == me.room
                && other.subscribed
                && other.is_judged()
                && other.epoch == me.epoch
                && other.offset < me.offset
                && self
                    .record
                    .between(me.room, me.epoch, other.offset, me.offset)
                    .any(|message| self.record.messages[message as usize].author != other.author)
        })
    }

    fn acknowledged(&mut self, id: u32, message: u64, position: Position) {
        self.coverage.acks += 1;
        if !self.is_own(id, message) {
            return;
        }
        let room = self.clients[id as usize].room;
        if let Err(what) = self.record.place(room, position, message as u32) {
            self.complain(Promise::SamePlace, id, &what);
        }
    }

    fn refused(&mut self, id: u32, message: u64) {
        if !self.is_own(id, message) {
            return;
        }
        self.coverage.refused_messages += 1;
        let refuses = self.setting.faults.refuse > 0;
        let message = &mut self.record.messages[message as usize];
        message.refused = true;
        if message.place.is_some() || message.heard > 0 || !refuses {
            self.complain(Promise::Kept, id, "a message that is in its room was refused");
        }
    }

    /// An answer is for who waits for it, once, and in order.
    fn is_own(&mut self, id: u32, message: u64) -> bool {
        let client = &mut self.clients[id as usize];
        let known = self.record.messages.get(message as usize);
        let own = known.is_some_and(|known| known.publisher == id && !known.refused);
        if !own || client.unanswered == 0 {
            let what = format!("it was answered for message {message}, which it awaits not");
            self.complain(Promise::Kept, id, &what);
            return false;
        }
        client.unanswered -= 1;
        true
    }

    fn gap(&mut self, id: u32, position: Position) {
        self.coverage.gaps += 1;
        let client = &mut self.clients[id as usize];
        let (epoch, after, upto) = (client.epoch, client.offset, position.offset.0);
        let name = self.record.rooms[usize::from(client.room)].epochs[usize::from(epoch)].name;
        if name != position.epoch.0 {
            return self.complain(Promise::Linked, id, "a gap leads into another epoch");
        }
        if self.keeps_all() && !self.clients[id as usize].moved {
            let what = "it was told of a gap although its home keeps enough";
            return self.complain(Promise::Kept, id, what);
        }
        let client = &mut self.clients[id as usize];
        if upto < after {
            let what = format!("a gap leads back from {after} to {upto}");
            return self.complain(Promise::Linked, id, &what);
        }
        client.lost.push(Span { epoch, after, upto });
        client.offset = upto;
    }

    /// Whether homes keep all that shards may be behind.
    fn keeps_all(&self) -> bool {
        let transit = &self.setting.limits.transit;
        let roomy = transit.messages_max > 1_000 && transit.bytes_max > 1 << 20;
        let faults = &self.setting.faults;
        roomy && transit.age_secs > 10 && faults.pause == 0 && faults.jump == 0
    }

    fn reset(&mut self, id: u32, position: Position) {
        self.coverage.resets += 1;
        let room = self.clients[id as usize].room;
        let epoch = self.record.epoch(room, position.epoch.0);
        let client = &mut self.clients[id as usize];
        // What it heard of the old epoch was linked; the rest of that is lost.
        let old = client.epoch;
        client.lost.push(Span { epoch: old, after: 0, upto: u64::MAX });
        client.lost.push(Span { epoch, after: 0, upto: position.offset.0 });
        (client.epoch, client.offset) = (epoch, position.offset.0);
        client.first = client.offset;
        if old == epoch {
            return self.complain(Promise::Linked, id, "a reset leads into the same epoch");
        }
        // A room that has a member goes on, unless that was its only one, between two shards.
        if !self.clients[id as usize].moved {
            let what = "the room began anew although it had a member";
            self.complain(Promise::Kept, id, what);
        }
    }

    fn came(&mut self, id: u32, who: u64, joined: bool) {
        self.coverage.presence += 1;
        let client = &mut self.clients[id as usize];
        let shows = self.setting.policy(client.room).presence;
        if !shows {
            let what = "presence was told in a room that shows none";
            return self.complain(Promise::Apart, id, what);
        }
        let Some(view) = &mut client.view else { return };
        match view.binary_search(&who) {
            Ok(at) if !joined => {
                view.remove(at);
            }
            Err(at) if joined => view.insert(at, who),
            Ok(_) | Err(_) => {}
        }
    }

    fn members(&mut self, id: u32, who: impl Iterator<Item = u64>) {
        self.coverage.rosters += 1;
        let client = &mut self.clients[id as usize];
        let Some(asked) = client.asked.checked_sub(1) else {
            let what = "it was told who is there, and has not asked";
            return self.complain(Promise::Once, id, what);
        };
        client.asked = asked;
        if client.stale > 0 {
            client.stale -= 1;
            return;
        }
        let mut view: Vec<u64> = who.collect();
        if !view.is_sorted() {
            view.sort_unstable();
        }
        client.view = Some(view);
    }
}
