//! Members that chat: they have names, hear who is there, and may type commands.

use std::sync::Arc;

use super::{Hub, Role};
use crate::chat::{self, LISTED_MAX};
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::{Change, Face, RoomName};
use crate::frame::{self, Opcode};
use crate::id::Author;
use crate::lanes::LaneId;
use crate::message::{Meta, Words};
use crate::route;
use crate::session::Payload;
use crate::slot::Slot;
use crate::time::{Now, Tick};

/// The lanes whose members hear who is there.
const CHATTING: [Encoding; 2] = [Encoding::Line, Encoding::Chat];

/// What members of a room have not been told of who is there.
#[derive(Debug)]
pub(super) struct News {
    /// Which room it is: the key may be another one's by the time they are told.
    room: RoomName,
    joined: Vec<Arc<str>>,
    left: Vec<Arc<str>>,
}

impl News {
    fn of(room: RoomName) -> Self {
        Self { room, joined: Vec::new(), left: Vec::new() }
    }
}

impl Hub {
    /// What a member of a chat route typed.
    pub(super) fn chat(
        &mut self,
        now: Now,
        slot: Slot,
        lane: LaneId,
        kind: frame::Kind,
        payload: Payload<'_>,
    ) {
        let room = self.lanes.lane(lane).room;
        match kind {
            frame::Kind::Text => self.publish(now, slot, room, kind, payload, None),
            frame::Kind::Binary => self.notice(slot, "only text is spoken here"),
        }
    }

    /// The room of a member that has a name.
    fn chat_room(&self, slot: Slot) -> Option<RoomKey> {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } if self.names.contains_key(&slot) => {
                Some(self.lanes.lane(lane).room)
            }
            Role::Member { .. }
            | Role::Waiting { .. }
            | Role::Handled
            | Role::Echo
            | Role::Nothing => None,
        }
    }

    /// A member wants another name.
    pub(super) fn rename_chatter(&mut self, now: Now, slot: Slot, wanted: &str) {
        let Some(room) = self.chat_room(slot) else { return };
        let old = self.names.get(&slot).cloned().unwrap_or_default();
        let name = match chat::name(wanted) {
            Ok(name) => name,
            Err(why) => return self.notice(slot, &format!("{why}; /nick NAME")),
        };
        if name == old {
            return self.notice(slot, "that is your name already");
        }
        let line = format!("* {old} is now {name}");
        let payload = Payload::Whole(line.as_bytes());
        self.publish(now, slot, room, frame::Kind::Text, payload, None);
        let before = self.face(slot);
        self.names.insert(slot, name);
        let after = self.face(slot);
        // First the new one, so that the member is always there.
        self.dispatch.show(room, after);
        self.dispatch.hide(room, before);
    }

    /// A member wants to hear who is there.
    pub(super) fn tell_who(&mut self, slot: Slot) {
        let Some(room) = self.chat_room(slot) else { return };
        let count = self.dispatch.presence_count(room);
        let mut names = self.names_in(room);
        names.sort_unstable();
        let shown: Vec<&str> = names.iter().map(|name| &**name).collect();
        let more = if count > shown.len() { ", and others" } else { "" };
        self.notice(slot, &format!("{count} here: {}{more}", shown.join(", ")));
    }

    /// Names of who is there, at most as many as are ever listed.
    fn names_in(&self, room: RoomKey) -> Vec<Arc<str>> {
        let faces = self.dispatch.present(room).take(LISTED_MAX);
        faces.map(|face| face.name.clone().unwrap_or_default()).collect()
    }

    /// An answer to one member, in its encoding. Answers are longer than what asks for them: of
    /// those beyond what a turn may read none is given, only counted.
    pub(super) fn notice(&mut self, slot: Slot, text: &str) {
        if self.pending.direct.len() as usize > self.config.limits.turn_bytes_max {
            self.counters.dropped += 1;
            return;
        }
        if self.encoding_of(slot) == Encoding::Chat {
            let mut json = Vec::new();
            chat::notice(&mut json, text);
            return self.direct_frame(slot, Opcode::Text, &json);
        }
        self.direct_frame(slot, Opcode::Text, text.as_bytes());
    }

    /// By which name a connection is known that gave none: two never have the same.
    pub(super) fn guest(author: Author) -> Arc<str> {
        match author.birthplace() {
            Some((shard, slot)) => format!("guest-{shard}-{slot}").into(),
            None => format!("guest-{:x}", author.to_bits()).into(),
        }
    }

    /// A connection as others see it.
    pub(super) fn face(&self, slot: Slot) -> Face {
        let author = self.conns[slot.index()].author;
        Face { author, name: self.names.get(&slot).cloned() }
    }

    /// Whether a member shows that it is there.
    pub(super) fn shows(&self, slot: Slot, lane: LaneId) -> bool {
        let lane = self.lanes.lane(lane);
        let chats = self.route(slot).kind == route::Kind::Chat;
        (chats || lane.encoding.shows()) && self.dispatch.shows_presence(lane.room)
    }

    /// Somebody came or went: those who chat there are told a little later, of all at once.
    pub(super) fn note_presence(&mut self, now: Now, room: RoomKey, change: &Change) {
        let Some(name) = &change.who.name else { return };
        if self.lanes.reading(room, &CHATTING).next().is_none() {
            return;
        }
        let news = self.news_of(now, room);
        let list = if change.joined { &mut news.joined } else { &mut news.left };
        if list.len() < LISTED_MAX {
            list.push(Arc::clone(name));
        }
    }

    /// Somebody who chats came here from another shard. The others hear of nothing, for it was
    /// there all the time; but what it was to be told there reaches it no more.
    pub(super) fn note_arrival(&mut self, now: Now, room: RoomKey, encoding: Encoding) {
        if CHATTING.contains(&encoding) {
            self.news_of(now, room);
        }
    }

    /// What is to be told in a room a little later.
    fn news_of(&mut self, now: Now, room: RoomKey) -> &mut News {
        let of = self.dispatch.name(room);
        let news = self.news.entry(room).or_insert_with(|| {
            // What comes until then is told with it.
            self.news_due.push_back((Tick(now.tick().0 + 1), room));
            News::of(of.clone())
        });
        if news.room != *of {
            // The room before it has gone, and nobody is left to be told.
            *news = News::of(of.clone());
        }
        news
    }

    /// When somebody is to be told who is there.
    pub(super) fn news_due(&self) -> Tick {
        self.news_due.front().map_or(Tick::NEVER, |&(due, _)| due)
    }

    pub(super) fn tell_news(&mut self, now: Now) {
        while self.news_due() <= now.tick() {
            let Some((_, room)) = self.news_due.pop_front() else { return };
            if let Some(news) = self.news.remove(&room) {
                self.tell_list(room, &news);
            }
        }
    }

    fn tell_list(&mut self, room: RoomKey, news: &News) {
        let mut lanes = self.lanes.reading(room, &CHATTING).peekable();
        // They may all have gone, and the room with them.
        if lanes.peek().is_none() || news.room != *self.dispatch.name(room) {
            return;
        }
        let mut json = Vec::new();
        match self.dispatch.presence_count(room) {
            count if count > LISTED_MAX => {
                chat::count(&mut json, count, &news.joined, &news.left);
            }
            _ => chat::list(&mut json, &mut self.names_in(room)),
        }
        for lane in lanes {
            self.fill(lane);
            self.lanes.lane_mut(lane).filling.push_frame(Opcode::Text, &json);
            self.queue_lane(lane);
        }
    }

    /// A message as members of `weir.chat.v1` read it.
    pub(super) fn encode_chat(
        &self,
        json: &mut Vec<u8>,
        room: RoomKey,
        meta: &Meta,
        words: Words<'_>,
    ) {
        let face = self.dispatch.face_of(room, meta.author);
        let from = face.and_then(|face| face.name.as_deref()).unwrap_or_default();
        let bytes = words.read().filter(|_| meta.kind == frame::Kind::Text);
        match bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            Some(text) => chat::message(json, from, text),
            None => chat::binary(json, from, words.len()),
        }
    }
}
