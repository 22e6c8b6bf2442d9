//! Members that chat: they have names, hear who is there, and may type commands.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Hub, Role};
use crate::chat::{self, LISTED_MAX, Line};
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::{Change, Face};
use crate::frame::{self, Opcode};
use crate::id::Author;
use crate::lanes::LaneId;
use crate::message::{Meta, Words};
use crate::route;
use crate::session::Payload;
use crate::slot::Slot;
use crate::time::{Now, Tick};
use crate::transmit::Part;

/// The lanes whose members hear who is there.
const CHATTING: [Encoding; 2] = [Encoding::Line, Encoding::Chat];

/// What members of a room have not been told of who is there.
#[derive(Debug)]
pub(super) struct News {
    room: RoomKey,
    /// When they are told: what comes until then is told with it.
    due: Tick,
    joined: Vec<Arc<str>>,
    left: Vec<Arc<str>>,
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
        let text = std::str::from_utf8(payload.as_slice()).ok();
        let Some(text) = text.filter(|_| kind == frame::Kind::Text) else {
            return self.notice(slot, "only text is spoken here");
        };
        let name = self.names.get(&slot).cloned().unwrap_or_default();
        match Line::of(text) {
            Line::Plain => self.publish(now, slot, room, kind, payload, None),
            Line::Say(text) => self.chat_line(now, slot, room, &text),
            Line::Me(deed) => self.chat_line(now, slot, room, &format!("* {name} {deed}")),
            Line::Nick(wanted) => self.rename_chatter(now, slot, room, &name, wanted),
            Line::Who => self.tell_who(slot, room),
            Line::Help => self.notice(slot, chat::HELP),
            Line::Unknown(command) => {
                let command: String = command.chars().take(32).collect();
                self.notice(slot, &format!("/{command} is no command; /help lists them"));
            }
        }
    }

    fn chat_line(&mut self, now: Now, slot: Slot, room: RoomKey, text: &str) {
        let payload = Payload::Whole(text.as_bytes());
        self.publish(now, slot, room, frame::Kind::Text, payload, None);
    }

    fn rename_chatter(&mut self, now: Now, slot: Slot, room: RoomKey, old: &str, wanted: &str) {
        let name = match chat::name(wanted) {
            Ok(name) => name,
            Err(why) => return self.notice(slot, &format!("{why}; /nick NAME")),
        };
        if *name == *old {
            return self.notice(slot, "that is your name already");
        }
        self.chat_line(now, slot, room, &format!("* {old} is now {name}"));
        let before = self.face(slot);
        self.names.insert(slot, name);
        let after = self.face(slot);
        // First the new one, so that the member is always there.
        self.dispatch.show(room, after);
        self.dispatch.hide(room, before);
    }

    fn tell_who(&mut self, slot: Slot, room: RoomKey) {
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
        let Role::Member { lane, .. } = self.conns[slot.index()].role else { return };
        if self.lanes.lane(lane).encoding == Encoding::Chat {
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
        let lanes = self.lanes.of(room);
        let Some(name) = &change.who.name else { return };
        if CHATTING.iter().all(|encoding| lanes[encoding.index()].is_none()) {
            return;
        }
        let at = self.news.iter().position(|news| news.room == room);
        let at = at.unwrap_or_else(|| {
            let due = Tick(now.tick().0 + 1);
            self.news.push_back(News { room, due, joined: Vec::new(), left: Vec::new() });
            self.news.len() - 1
        });
        let news = &mut self.news[at];
        let list = if change.joined { &mut news.joined } else { &mut news.left };
        if list.len() < LISTED_MAX {
            list.push(Arc::clone(name));
        }
    }

    /// When somebody is to be told who is there.
    pub(super) fn news_due(&self) -> Tick {
        self.news.front().map_or(Tick::NEVER, |news| news.due)
    }

    pub(super) fn tell_news(&mut self, now: Now) {
        while self.news_due() <= now.tick() {
            let Some(news) = self.news.pop_front() else { return };
            self.tell_list(&news);
        }
    }

    fn tell_list(&mut self, news: &News) {
        let lanes = self.lanes.of(news.room);
        let lanes: Vec<_> = CHATTING.iter().filter_map(|it| lanes[it.index()]).collect();
        // They may all have gone, and the room with them.
        if lanes.is_empty() {
            return;
        }
        let mut json = Vec::new();
        match self.dispatch.presence_count(news.room) {
            count if count > LISTED_MAX => {
                chat::count(&mut json, count, &news.joined, &news.left);
            }
            _ => chat::list(&mut json, &mut self.names_in(news.room)),
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
        let bytes = match words {
            Words::Bytes(bytes) => Some(bytes),
            Words::Body(body) => match body.part(0, body.len()) {
                Part::Bytes(bytes) => Some(bytes),
                Part::Stored { .. } => None,
            },
        };
        let text = bytes.filter(|_| meta.kind == frame::Kind::Text);
        match text.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            Some(text) => chat::message(json, from, text),
            None => chat::binary(json, from, words.len()),
        }
    }
}

/// Rooms whose members are to be told who is there, the one due first in front.
pub(super) type AllNews = VecDeque<News>;
