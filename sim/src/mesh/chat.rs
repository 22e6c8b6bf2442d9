//! People who chat: how they come in, what they type, what they read as lines or as JSON.
//!
//! Everyone has a name that nobody else ever has, or that of its user; a new name is the number of
//! the message that tells of it, so that it is heard, missed and judged like any other.

use super::client::{Client, Stage};
use super::door::{self, Token, USERS};
use super::ears::Ears;
use super::record::Message;
use super::wire::{self, Asking};
use super::world::World;
use crate::promise::Promise;

/// What a client knows where people chat.
#[derive(Debug)]
pub(super) struct Chatter {
    /// Whether it reads JSON.
    pub(super) json: bool,
    /// How it is called, once its shard has read all that it typed.
    pub(super) name: String,
    /// Who is there, as it was told last.
    pub(super) users: Option<Vec<String>>,
    /// Questions of its own that may still be answered.
    asked: u32,
}

/// How somebody is called from the message of this number on.
fn nick(message: u32) -> String {
    format!("n{message:08x}")
}

impl World {
    /// Somebody who wants to chat, with a token.
    pub(super) fn chatter(&mut self, id: u32, room: u16) -> Client {
        let mut client = Client::new(id, room, false, None);
        let json = !self.rng.one_in(3);
        let user = self.rng.below(USERS) as u32;
        client.user = Some(user);
        client.token = match self.rng.below(16) {
            0 => Token::Wrong,
            1 => Token::Unanswered,
            2..6 => Token::Late,
            _ => Token::Good,
        };
        let given = (!self.rng.one_in(4)).then(|| format!("c{id:08x}"));
        let token = door::token(id);
        let asking = Asking {
            path: &self.paths[usize::from(room)],
            subprotocol: json.then_some(gateway_core::chat::SUBPROTOCOL),
            nick: given.as_deref(),
            token: Some(&token),
            ..Asking::default()
        };
        wire::request(&mut client.up, &asking);
        let name = given.unwrap_or_else(|| door::user(user));
        client.chat = Some(Box::new(Chatter { json, name, users: None, asked: 0 }));
        client
    }

    /// A member of a room of people that was told something else than who is there, if there is
    /// one.
    pub(super) fn misinformed(&self) -> Option<String> {
        if self.setting.is_lossy() {
            return None;
        }
        for room in self.setting.rooms..self.setting.rooms + self.setting.chats {
            let here = |&&id: &&u32| {
                let client = &self.ears.clients[id as usize];
                usize::from(client.room) == room && client.stage == Stage::Open
            };
            let members: Vec<_> = self.open.iter().filter(here).collect();
            let chatter = |id: u32| self.ears.clients[id as usize].chat.as_deref();
            let names = members.iter().filter_map(|&&id| Some(chatter(id)?.name.as_str()));
            let mut names: Vec<_> = names.collect();
            names.sort_unstable();
            let wrong = members.iter().find(|&&&id| {
                let told = chatter(id).and_then(|chatter| chatter.users.as_ref());
                self.ears.clients[id as usize].is_judged() && told.is_none_or(|told| *told != names)
            });
            if let Some(&&id) = wrong {
                let told = chatter(id).map(|chatter| &chatter.users);
                return Some(format!(
                    "client {id} was told that {told:?} are in room {room}, and there are {names:?}"
                ));
            }
        }
        None
    }
}

impl Ears {
    /// Somebody takes another name.
    pub(super) fn rename(&mut self, id: u32) {
        let message = self.record.messages.len() as u32;
        let client = &self.clients[id as usize];
        self.record.messages.push(Message {
            room: client.room,
            publisher: id,
            author: client.author,
            len: 1,
            text: true,
            rename: true,
            accepted_at: None,
            required: false,
            refused: false,
            heard: 0,
            place: None,
        });
        self.coverage.renames += 1;
        let line = format!("/nick {}", nick(message));
        self.say(id, wire::TEXT, line.as_bytes(), Some(message));
    }

    /// The hub has read that somebody takes another name.
    pub(super) fn renamed(&mut self, id: u32, message: u32) {
        if let Some(chatter) = self.clients[id as usize].chat.as_deref_mut() {
            chatter.name = nick(message);
        }
    }

    /// Somebody asks who is there.
    pub(super) fn ask_who(&mut self, id: u32) {
        if let Some(chatter) = self.clients[id as usize].chat.as_deref_mut() {
            chatter.asked += 1;
        }
        self.say(id, wire::TEXT, b"/who", None);
    }

    /// What somebody reads who chats.
    pub(super) fn chat_frame(&mut self, id: u32, payload: &[u8]) {
        let Ok(text) = std::str::from_utf8(payload) else {
            return self.complain(Promise::SamePlace, id, "it was told what is no text");
        };
        if let Some(users) = between(text, r#"{"type":"userlist","users":["#, "]}") {
            let users = users.split(',').filter(|user| !user.is_empty());
            let users = users.map(|user| user.trim_matches('"').to_owned()).collect();
            self.coverage.user_lists += 1;
            if let Some(chatter) = self.clients[id as usize].chat.as_deref_mut() {
                chatter.users = Some(users);
            }
            return;
        }
        match self.clients[id as usize].chat.as_deref().is_some_and(|chatter| chatter.json) {
            true => self.chat_json(id, text),
            false => self.chat_line(id, text),
        }
    }

    fn chat_json(&mut self, id: u32, text: &str) {
        if let Some(text) = between(text, r#"{"type":"notice","text":""#, "\"}") {
            return self.noticed(id, text);
        }
        let message = between(text, r#"{"type":"message","from":""#, "\"}");
        let deed = between(text, r#"{"type":"action","from":""#, "\"}");
        let Some((from, words)) = message.or(deed).and_then(|it| it.split_once(r#"","text":""#))
        else {
            return self.complain(Promise::SamePlace, id, &format!("it was told {text}"));
        };
        let said = match deed {
            Some(_) => self.chat_words(id, &format!("* {from} {words}")),
            None => self.chat_words(id, words),
        };
        // Who has gone by now may be known by no name any more.
        if let Some(message) = said.filter(|_| !from.is_empty())
            && !self.is_name_of(from, self.record.messages[message as usize].publisher)
        {
            let what = format!("it heard message {message} as if {from} had said it");
            self.complain(Promise::SamePlace, id, &what);
        }
    }

    fn chat_line(&mut self, id: u32, text: &str) {
        if text.contains(" here: ") {
            return self.noticed(id, text);
        }
        self.chat_words(id, text);
    }

    /// Something that somebody said; which message it is.
    fn chat_words(&mut self, id: u32, words: &str) -> Option<u32> {
        let message = match words.strip_prefix("* ").and_then(|it| it.split_once(" is now ")) {
            Some((old, new)) => self.identify_rename(id, old, new)?,
            None => self.identify(id, true, words.as_bytes())?,
        };
        self.hear_once(id, message);
        Some(message)
    }

    fn identify_rename(&mut self, id: u32, old: &str, new: &str) -> Option<u32> {
        let number = new.strip_prefix('n').and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let known = number.filter(|&number| {
            let message = self.record.messages.get(number as usize);
            message.is_some_and(|it| it.rename && self.is_name_of(old, it.publisher))
        });
        if known.is_none() {
            self.complain(Promise::SamePlace, id, &format!("it heard that {old} is now {new}"));
        }
        known
    }

    /// Whether somebody was ever called so.
    fn is_name_of(&self, name: &str, id: u32) -> bool {
        let client = &self.clients[id as usize];
        let number = name.get(1..).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match (name.as_bytes().first(), number) {
            (Some(b'n'), Some(number)) => {
                let message = self.record.messages.get(number as usize);
                message.is_some_and(|it| it.rename && it.publisher == id)
            }
            (Some(b'c'), Some(number)) => number == id,
            _ => client.user.is_some_and(|user| door::user(user) == name),
        }
    }

    /// An answer to a question of its own.
    fn noticed(&mut self, id: u32, text: &str) {
        self.coverage.notices += 1;
        let Some(chatter) = self.clients[id as usize].chat.as_deref_mut() else { return };
        let asked = chatter.asked.checked_sub(1);
        chatter.asked = asked.unwrap_or(0);
        if asked.is_none() || !text.contains(" here: ") {
            self.complain(Promise::Once, id, &format!("it was told {text:?} and has not asked"));
        }
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(behind)
}
