//! What a run of the mesh tells of itself: who said what to whom, in words. Nothing depends on it.
//!
//! What passes is told where it passes; how shards and clients are is [watched](watch) after each
//! turn, so that whatever changes them need not tell.

mod letters;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use gateway_core::envelope::Link;
use gateway_core::probe::ToClient;

use super::client::Place;
use super::ears::Ears;
use super::record::Message;
use crate::story::{Arrow, Lane, Mark, MarkKind, Of, Pen};
use watch::Watched;

/// A story that is being written, or not.
#[derive(Debug, Default)]
pub(super) struct Tale {
    pen: Pen,
    shards: Vec<Lane>,
    /// By client; those of whom nothing was told have no lane.
    clients: Vec<Option<Lane>>,
    /// When each message was said.
    said: Vec<u64>,
    /// Messages of which it was told that a shard has read them.
    read: BTreeSet<u32>,
    /// When each client heard each message.
    heard: BTreeMap<(u32, u32), u64>,
    /// When each client passed over what it was not sent, by the offset up to which.
    skipped: BTreeMap<(u32, u64), u64>,
    /// Rooms by attachment, the attaching shard first, and by the term of their home.
    links: BTreeMap<(usize, Link), String>,
    terms: BTreeMap<u64, String>,
    /// Whom a complaint that names nobody is about.
    suspect: Option<Suspect>,
    /// Who heard which message latest.
    latest: Option<(u64, u32, u32)>,
    watched: Watched,
}

/// Somebody to whom a promise may have been broken.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    client: u32,
    message: Option<u32>,
    /// When that was, if it was earlier than it is found.
    at: Option<u64>,
}

pub(super) fn room(number: u16) -> String {
    format!("room {number}")
}

impl Tale {
    pub(super) fn new(pen: Pen, shards: usize) -> Self {
        let mut tale = Self { pen, ..Self::default() };
        if tale.pen.writes() && shards > 0 {
            tale.shard(shards - 1);
        }
        tale
    }

    /// A client says a message.
    pub(super) fn says(&mut self, now: u64, message: u32) {
        if self.pen.writes() {
            self.said.resize(message as usize, now);
            self.said.push(now);
        }
    }

    /// A client hears what does not follow what it has heard.
    pub(super) fn skips(&mut self, now: u64, client: u32, upto: u64) {
        if self.pen.writes() {
            self.skipped.insert((client, upto), now);
        }
    }

    /// From now on there are no more faults.
    pub(super) fn calm(&mut self, now: u64) {
        self.watched.calm = true;
        let text = "calm: faults have stopped, all must come true again";
        self.stretch(Vec::new(), now, None, text);
    }

    /// When a client passed over what is up to an offset.
    pub(super) fn skipped_at(&self, client: u32, upto: u64) -> Option<u64> {
        self.skipped.get(&(client, upto)).copied()
    }

    /// When a client heard a message.
    pub(super) fn heard_at(&self, client: u32, message: u32) -> Option<u64> {
        self.heard.get(&(client, message)).copied()
    }

    /// If there is a complaint now, it is about what this client has not heard.
    pub(super) fn suspects(&mut self, client: u32, message: Option<u32>, at: Option<u64>) {
        self.suspect = Some(Suspect { client, message, at });
    }

    fn shard(&mut self, index: usize) -> Lane {
        while self.shards.len() <= index {
            let number = self.shards.len();
            self.shards.push(self.pen.lane("shards", || format!("shard {number}")));
        }
        self.shards[index]
    }

    fn client(&mut self, id: u32) -> Lane {
        let index = id as usize;
        if self.clients.len() <= index {
            self.clients.resize(index + 1, None);
        }
        let pen = &self.pen;
        *self.clients[index].get_or_insert_with(|| pen.lane("clients", || format!("client {id}")))
    }

    fn note(&mut self, lane: Lane, at: u64, kind: MarkKind, of: Of, text: String) {
        self.pen.mark(|| Mark { lane, at, kind, of, text });
    }
}

impl Ears {
    /// What belongs to a client, and to a message if there is one.
    fn of(&self, id: u32, message: Option<u32>) -> Of {
        let room = Some(room(self.clients[id as usize].room));
        let messages = message.into_iter().map(u64::from).collect();
        Of { room, connection: Some(u64::from(id)), messages }
    }

    /// A shard has read a message of a client's. One that came with the request to join is told of
    /// when it is seen further on.
    pub(super) fn tell_read(&mut self, message: u32) {
        if !self.tale.pen.writes() || !self.tale.read.insert(message) {
            return;
        }
        let known = &self.record.messages[message as usize];
        let (id, len) = (known.publisher, known.len);
        let of = self.of(id, Some(message));
        let client = &self.clients[id as usize];
        let shard = match client.place {
            Place::At { shard, .. } => shard,
            Place::Nowhere | Place::Between => client.born.0,
        };
        let (now, tale) = (self.now, &mut self.tale);
        let sent = tale.said.get(message as usize).copied().unwrap_or(now);
        let (from, to) = (tale.client(id), tale.shard(usize::from(shard)));
        let text = format!("publishes message {message} ({len} bytes)");
        tale.pen.arrow(|| Arrow { from, sent, to, heard: now, of, text });
    }

    /// Messages are seen: a shard must have read them.
    fn tell_known(&mut self, messages: impl IntoIterator<Item = u32>) {
        for message in messages {
            if (message as usize) < self.record.messages.len() {
                self.tell_read(message);
            }
        }
    }

    /// A client hears a message; which it follows and where it is, if it is told.
    pub(super) fn tell_heard(&mut self, id: u32, message: u32, place: Option<(u64, u64)>) {
        if !self.tale.pen.writes() {
            return;
        }
        let known = &self.record.messages[message as usize];
        let by = known.publisher;
        let mut text = format!("message {message} of client {by}");
        if known.author == self.clients[id as usize].author && by != id {
            text += ", who has the same name";
        }
        if let Some((prev, offset)) = place {
            text += &format!(", at offset {offset} after {prev}");
        }
        self.tale.heard.insert((id, message), self.now);
        self.tale.latest = Some((self.now, id, message));
        self.tell_sent(id, Some(message), text);
    }

    /// A probe is told something else than a message.
    pub(super) fn tell_told(&mut self, id: u32, told: &ToClient<'_>) {
        if !self.tale.pen.writes() {
            return;
        }
        let (message, text) = match told {
            ToClient::Message { .. } | ToClient::Joined { .. } | ToClient::Left { .. } => return,
            ToClient::Subscribed { position, recovered } => {
                let offset = position.offset;
                let since = self.clients[id as usize].since.map(|since| since.offset);
                (
                    None,
                    match (since, recovered) {
                        (Some(since), true) => {
                            format!("it is back at offset {since}, and hears all that came since")
                        }
                        (Some(since), false) => {
                            format!(
                                "not all since its offset {since} is kept: it goes on at {offset}"
                            )
                        }
                        (None, _) => format!("it is a member, from offset {offset} on"),
                    },
                )
            }
            ToClient::Ack { id, position } => {
                (Some(*id as u32), format!("message {id} is at offset {}", position.offset))
            }
            ToClient::Refused { id, .. } => {
                (Some(*id as u32), format!("message {id} is not in the room"))
            }
            ToClient::Gap { position } => {
                (None, format!("a gap: what came up to offset {} is lost", position.offset))
            }
            ToClient::Reset { position } => {
                (None, format!("the room began anew, at offset {}", position.offset))
            }
            ToClient::Members { who, .. } => (None, format!("{} members are here", who.len())),
        };
        self.tell_sent(id, message, text);
    }

    /// A client's shard sends to it.
    fn tell_sent(&mut self, id: u32, message: Option<u32>, text: String) {
        self.tell_known(message);
        let of = self.of(id, message);
        let Place::At { shard, .. } = self.clients[id as usize].place else { return };
        let (now, tale) = (self.now, &mut self.tale);
        let (from, to) = (tale.shard(usize::from(shard)), tale.client(id));
        tale.pen.arrow(|| Arrow { from, sent: now, to, heard: now, of, text });
    }

    /// If there is a complaint now, it is about what nobody has answered this client.
    pub(super) fn suspect_unanswered(&mut self, id: u32) {
        if !self.tale.pen.writes() {
            return;
        }
        let waits = |message: &Message| {
            let read = message.publisher == id && message.accepted_at.is_some();
            read && message.place.is_none() && !message.refused
        };
        let message = self.record.messages.iter().position(waits);
        self.tale.suspects(id, message.map(|message| message as u32), None);
    }

    /// A promise was broken: to this client if it is known, by what it hears right now if it hears
    /// anything; else to whom and by what was suspected.
    #[cold]
    pub(super) fn tell_broken(&mut self, id: Option<u32>) {
        if !self.tale.pen.writes() {
            return;
        }
        let now = self.now;
        let suspect = self.tale.suspect.take();
        let suspect = suspect.filter(|suspect| id.is_none_or(|id| id == suspect.client));
        let heard = self.tale.latest.filter(|&(at, who, _)| at == now && id == Some(who));
        let (client, message, at) = match suspect {
            Some(Suspect { client, message, at }) => (Some(client), message, at.unwrap_or(now)),
            None => (id, heard.map(|(.., message)| message), now),
        };
        let of = client.map_or_else(Of::default, |client| self.of(client, message));
        let lane = match client {
            Some(client) => self.tale.client(client),
            None => self.tale.shard(0),
        };
        // What it was says the failure.
        let (kind, text) = (MarkKind::Broken, String::new());
        self.tale.pen.broke(|| Mark { lane, at, kind, of, text });
    }
}
