//! What clients hear, checked as they hear it.

use gateway_core::frame::Kind;
use gateway_core::position::Position;
use gateway_core::probe::ToClient;

use super::connection::{Connection, Span, Stage};
use super::coverage::{outcome, work};
use super::ledger::Ledger;
use super::record::Message;
use super::setting::Family;
use super::words::{self, Heard};
use crate::counts::Group;
use crate::promise::Promise;
use crate::story::MarkKind;

/// Nanoseconds within which everyone hears a message whom no fault touches.
pub(super) const HEARD_NANOS_MAX: u64 = 4_000_000_000;

impl Ledger {
    /// A client is let in.
    pub(super) fn opened(&mut self, id: u32) {
        let now = self.now;
        let connection = &mut self.connections[id as usize];
        (connection.stage, connection.opened_at) = (Stage::Open, now);
        let place = connection.place;
        self.known_of(place).upgraded += 1;
        self.count(Group::Work, work::CONNECTIONS);
        self.note(format!("{id} is open"));
        self.mark(id, MarkKind::Opened, || format!("open, node {}", place.node));
    }

    /// A client's request was answered with something else than 101. `good` says whether it showed
    /// a token that opens the room, if the room wants one.
    pub(super) fn answered(&mut self, id: u32, status: u16, good: bool) {
        let connection = &self.connections[id as usize];
        let place = connection.place;
        self.known_of(place).answered += 1;
        match status {
            503 => self.count(Group::Outcome, outcome::LATER),
            401 if !good => self.count(Group::Outcome, outcome::UNAUTHORIZED),
            _ => {
                let what = format!("a request was answered with {status}");
                self.complain_of(id, Promise::Accounted, &what);
            }
        }
        self.over(id, &format!("answered with {status}"));
    }

    /// A client says a message: its number, and its payload.
    pub(super) fn publish(&mut self, id: u32, bytes: usize, text: bool) -> (u32, String) {
        let connection = &self.connections[id as usize];
        let (place, author) = (connection.place, connection.author);
        let (said_at, said_at_node) = (self.now, self.node_now(place.node));
        let len = words::ID_BYTES + bytes;
        let number = self.record.say(Message {
            place,
            by: id,
            author,
            len,
            text,
            said_at,
            said_at_node,
            at: None,
            refused: false,
            heard: 0,
        });
        if self.connections[id as usize].is_probe() {
            self.connections[id as usize].unanswered.insert(number);
        }
        self.due.push_back((said_at + HEARD_NANOS_MAX, number));
        self.count(Group::Work, work::SAID);
        self.note(format!("{id} says message {number} of {len} bytes"));
        (number, words::payload(number, bytes))
    }

    /// A message without a place.
    pub(super) fn hears_raw(&mut self, id: u32, text: bool, payload: &[u8]) {
        let Some(number) = self.identify(id, text, payload) else { return };
        self.hears(id, number);
    }

    /// Something for people.
    pub(super) fn hears_chat(&mut self, id: u32, heard: &Heard<'_>) {
        match heard {
            Heard::Message(said, from) => {
                let Some(number) = self.identify(id, true, said.as_bytes()) else { return };
                let by = self.record.messages[number as usize].by;
                let nicks = &self.connections[by as usize].nicks;
                let from = from.filter(|from| !from.is_empty());
                if let Some(from) = from.filter(|from| !nicks.iter().any(|nick| nick == from)) {
                    let what =
                        format!("message {number} is said to be from {from:?}, not {nicks:?}");
                    return self.complain_of(id, Promise::SamePlace, &what);
                }
                self.hears(id, number);
            }
            Heard::List(names) => {
                self.count(Group::Work, work::LISTS);
                self.connections[id as usize].list = Some(names.clone());
            }
            Heard::Other => {}
        }
    }

    /// Which message a payload is, and whether all of it is there.
    fn identify(&mut self, id: u32, text: bool, payload: &[u8]) -> Option<u32> {
        let whole = |number: &u32| {
            let message = self.record.message(*number);
            message.is_some_and(|said| said.len == payload.len() && said.text == text)
        };
        let number = words::number(payload).filter(whole);
        if number.is_none() {
            let start = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
            let what = format!("it heard {} bytes that nobody said: {start:?}", payload.len());
            self.complain_of(id, Promise::SamePlace, &what);
        }
        number
    }

    /// A message was heard: by somebody who may hear it, and for the first time.
    fn hears(&mut self, id: u32, number: u32) -> bool {
        let connection = &self.connections[id as usize];
        let said = &self.record.messages[number as usize];
        let excluded = self.setting.rooms[connection.place.room] != Family::Chat;
        let own = excluded && said.author == connection.author;
        if said.place != connection.place {
            let what = format!("it heard message {number}, which was said in {:?}", said.place);
            self.complain_of(id, Promise::Apart, &what);
        } else if own {
            self.complain_of(id, Promise::Apart, &format!("it heard its own message {number}"));
        } else if !self.connections[id as usize].known.insert(number) {
            self.complain_of(id, Promise::Once, &format!("it heard message {number} twice"));
        } else {
            self.connections[id as usize].heard.push(number);
            self.record.messages[number as usize].heard += 1;
            self.count(Group::Work, work::HEARD);
            self.note(format!("{id} hears message {number}"));
            self.draw(id, number);
            return true;
        }
        false
    }

    /// A frame for a probe.
    pub(super) fn told(&mut self, id: u32, told: &ToClient<'_>) {
        let subscribed = self.connections[id as usize].subscribed;
        if subscribed == matches!(told, ToClient::Subscribed { .. }) {
            let what = "a probe is told where it is first, and once";
            return self.complain_of(id, Promise::Linked, what);
        }
        match told {
            ToClient::Subscribed { position, recovered } => {
                self.subscribed(id, *position, *recovered);
            }
            ToClient::Message { epoch, prev, offset, kind, payload } => {
                let at = Position { epoch: *epoch, offset: *offset };
                self.hears_at(id, at, prev.0, *kind == Kind::Text, payload);
            }
            ToClient::Ack { id: number, position } => self.acknowledged(id, *number, *position),
            ToClient::Refused { id: number, .. } => self.refused(id, *number),
            ToClient::Gap { position } => self.gap(id, *position),
            ToClient::Reset { position } => self.reset(id, *position),
            ToClient::Joined { who } => self.came(id, who.to_bits(), true),
            ToClient::Left { who } => self.came(id, who.to_bits(), false),
            ToClient::Members { who, .. } => {
                let view = who.iter().map(|who| who.to_bits()).collect();
                self.members(id, view);
            }
        }
    }

    fn hears_at(&mut self, id: u32, at: Position, prev: u64, text: bool, payload: &[u8]) {
        let Some(number) = self.identify(id, text, payload) else { return };
        let connection = &mut self.connections[id as usize];
        let (epoch, from, offset) = (connection.epoch, connection.offset, at.offset.0);
        if epoch != at.epoch.0 {
            let what = "the epoch changed without a word";
            return self.complain_of(id, Promise::Linked, what);
        }
        if offset <= from {
            let what = format!("it heard offset {offset} when it was at {from}");
            return self.complain_of(id, Promise::Once, &what);
        }
        if prev < from || prev >= offset {
            let what = format!("offset {offset} follows {prev}, not {from}");
            return self.complain_of(id, Promise::Linked, &what);
        }
        if prev > from {
            connection.silent.push(Span { epoch, after: from, upto: prev });
        }
        connection.offset = offset;
        if self.hears(id, number)
            && let Err(what) = self.record.place(at, number)
        {
            self.complain_of(id, Promise::SamePlace, &what);
        }
    }

    fn subscribed(&mut self, id: u32, position: Position, recovered: bool) {
        let connection = &mut self.connections[id as usize];
        connection.subscribed = true;
        connection.epoch = position.epoch.0;
        (connection.first, connection.offset) = (position.offset.0, position.offset.0);
        let (place, since) = (connection.place, connection.since);
        self.note(format!("{id} is at {position:?}, recovered: {recovered}"));
        match (since, recovered) {
            (Some(since), true) if since != position => {
                let what = "it was put elsewhere than where it was";
                self.complain_of(id, Promise::Linked, what);
            }
            (Some(since), true) => {
                self.count(Group::Outcome, outcome::RECOVERED);
                if !self.record.knows_epoch(place, since.epoch.0) {
                    let what = "a position of another process was recovered";
                    self.complain_of(id, Promise::Linked, what);
                }
            }
            (Some(since), false) => {
                self.count(Group::Outcome, outcome::NOT_RECOVERED);
                self.check_kept(id, since);
            }
            (None, true) => {
                let what = "nothing was asked for, and it was recovered";
                self.complain_of(id, Promise::Linked, what);
            }
            (None, false) => {}
        }
        self.record.note_epoch(place, position.epoch.0);
    }

    /// What was not recovered was not to be.
    fn check_kept(&mut self, id: u32, since: Position) {
        let place = self.connections[id as usize].place;
        let mut history = self.setting.policy(place.room).history.clone();
        // Nobody is told more at once than it may owe.
        history.bytes_max = history.bytes_max.min(self.setting.limits.outbox_bytes_max);
        if self.record.recoverable(place, since, &history, self.node_now(place.node)) {
            let what = format!("what came since {since:?} is within history, and is lost");
            self.complain_of(id, Promise::Kept, &what);
        }
    }

    fn acknowledged(&mut self, id: u32, number: u64, position: Position) {
        if !self.is_own(id, number) {
            return;
        }
        self.count(Group::Work, work::ACKS);
        if let Err(what) = self.record.place(position, number as u32) {
            self.complain_of(id, Promise::SamePlace, &what);
        }
    }

    fn refused(&mut self, id: u32, number: u64) {
        if !self.is_own(id, number) {
            return;
        }
        // Homes refuse nothing: only engines do.
        let what = format!("message {number} was refused");
        self.complain_of(id, Promise::Alive, &what);
    }

    /// An answer is for who waits for it, and comes once.
    fn is_own(&mut self, id: u32, number: u64) -> bool {
        let own = self.connections[id as usize].unanswered.remove(&(number as u32));
        if !own {
            let what = format!("it was answered for message {number}, which it awaits not");
            self.complain_of(id, Promise::Once, &what);
        }
        own
    }

    fn gap(&mut self, id: u32, position: Position) {
        self.count(Group::Outcome, outcome::GAP);
        let Connection { epoch, offset: after, .. } = self.connections[id as usize];
        let upto = position.offset.0;
        if epoch != position.epoch.0 || upto < after {
            let what = format!("a gap leads from {after} of {epoch:x} to {position:?}");
            return self.complain_of(id, Promise::Linked, &what);
        }
        let connection = &mut self.connections[id as usize];
        connection.lost.push(Span { epoch, after, upto });
        connection.offset = upto;
    }

    fn reset(&mut self, id: u32, position: Position) {
        let connection = &mut self.connections[id as usize];
        let (old, epoch) = (connection.epoch, position.epoch.0);
        // What it heard of the old epoch was linked; the rest of that is lost.
        connection.lost.push(Span { epoch: old, after: 0, upto: u64::MAX });
        connection.lost.push(Span { epoch, after: 0, upto: position.offset.0 });
        (connection.epoch, connection.offset) = (epoch, position.offset.0);
        connection.first = connection.offset;
        let place = connection.place;
        self.record.note_epoch(place, epoch);
        if old == epoch {
            self.complain_of(id, Promise::Linked, "a reset leads into the same epoch");
        }
    }

    fn came(&mut self, id: u32, who: u64, joined: bool) {
        let connection = &mut self.connections[id as usize];
        if let Some(view) = &mut connection.view {
            match view.binary_search(&who) {
                Ok(at) if !joined => _ = view.remove(at),
                Err(at) if joined => view.insert(at, who),
                Ok(_) | Err(_) => {}
            }
        }
        let room = connection.place.room;
        if !self.setting.policy(room).presence {
            let what = "presence was told in a room that shows none";
            self.complain_of(id, Promise::Apart, what);
        }
    }

    fn members(&mut self, id: u32, mut view: Vec<u64>) {
        let connection = &mut self.connections[id as usize];
        view.sort_unstable();
        connection.view = Some(view);
        let Some(asked) = connection.asked.checked_sub(1) else {
            let what = "it was told who is there, and has not asked";
            return self.complain_of(id, Promise::Once, what);
        };
        connection.asked = asked;
    }

    /// A close frame.
    pub(super) fn hears_close(&mut self, id: u32, code: u16) {
        let connection = &mut self.connections[id as usize];
        let again = connection.close.replace(code).is_some();
        let blameless = !connection.tainted && !connection.leaves;
        let place = connection.place;
        match code {
            1001 => {
                self.known_of(place).told_away += 1;
                self.count(Group::Outcome, outcome::AWAY);
            }
            1013 => {
                self.known_of(place).told_later += 1;
                self.count(Group::Outcome, outcome::SLOW);
            }
            1002 | 1007 => self.count(Group::Outcome, outcome::BROKEN_RULES),
            1008 => self.count(Group::Outcome, outcome::NO_PONG),
            _ => {}
        }
        self.note(format!("{id} is told {code}"));
        if again {
            self.complain_of(id, Promise::Accounted, "it was closed twice");
        } else if blameless && !matches!(code, 1001 | 1013) {
            let what = format!("it did nothing wrong and was closed with {code}");
            self.complain_of(id, Promise::Accounted, &what);
        }
    }
}
