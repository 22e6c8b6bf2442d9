//! What clients hear, checked as they hear it.

use gateway_core::log::Retention;
use gateway_core::position::Position;
use gateway_core::probe::ToClient;
use gateway_core::transmit::Sent;

use super::client::{Client, OPEN_WINDOW, Place, Reads, Said, Span, Stage};
use super::coverage::Coverage;
use super::door::Token;
use super::record::{Message, Record};
use super::setting::Setting;
use super::tale::Tale;
use super::trace::Trace;
use super::wire::{self, Parsed};
use crate::promise::{Promise, Violation};
use crate::rng::Rng;

/// Bytes that name a message at the front of its payload.
pub(super) const ID_BYTES: usize = 8;
/// What payloads are made of, behind that.
pub(super) const FILLER: [u8; 8192] = filler();
/// Payloads begin their filler at one of so many places.
const FILLER_STARTS: usize = 97;

const fn filler() -> [u8; 8192] {
    let mut bytes = [0; 8192];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'a' + ((at * 7 + at / 26) % 26) as u8;
        at += 1;
    }
    bytes
}

/// All clients, what they know together, and the first promise that was broken to them.
pub(super) struct Ears {
    pub(super) clients: Vec<Client>,
    pub(super) record: Record,
    pub(super) trace: Trace,
    pub(super) coverage: Coverage,
    pub(super) setting: Setting,
    /// Clients that a shard has to look at.
    pub(super) ready: Vec<Vec<u32>>,
    pub(super) broken: Option<Violation>,
    pub(super) now: u64,
    /// Nanoseconds over which the clock jumped: nobody lived through them.
    pub(super) jumped: u64,
    /// Frames that lossy members may have missed, known or not.
    pub(super) missed: u64,
    /// Says all of it in words, if somebody asked for them.
    pub(super) tale: Tale,
    /// Messages and questions that clients have sent.
    pub(super) uttered: u64,
    rng: Rng,
}

impl Ears {
    pub(super) fn new(setting: Setting, rng: Rng) -> Self {
        Self {
            clients: Vec::new(),
            record: Record::new(setting.rooms + setting.chats),
            trace: Trace::default(),
            coverage: Coverage::default(),
            ready: Vec::new(),
            broken: None,
            now: 0,
            jumped: 0,
            missed: 0,
            tale: Tale::default(),
            uttered: 0,
            setting,
            rng,
        }
    }

    /// A promise is broken; the first one counts.
    #[cold]
    pub(super) fn complain(&mut self, promise: Promise, id: u32, what: &str) {
        if self.broken.is_none() {
            self.tell_broken(Some(id));
            let client = &self.clients[id as usize];
            let kind = if client.probes { "probe" } else { "raw" };
            let (room, place, now) = (client.room, client.place, self.now);
            let what = format!("{what} (client {id}, {kind}, room {room}, {place:?}, at {now} ns)");
            self.broken = Some(Violation { promise, what });
        }
    }

    /// Its shard has to look at it.
    pub(super) fn wake(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        if let Place::At { shard, .. } = client.place
            && !client.ready
        {
            client.ready = true;
            self.ready[usize::from(shard)].push(id);
        }
    }

    /// A client's socket is offered bytes.
    #[inline]
    pub(super) fn take(&mut self, id: u32, bytes: &[u8]) -> Sent {
        let client = &mut self.clients[id as usize];
        if client.severed {
            return Sent::Broken;
        }
        if client.shut || bytes.is_empty() {
            self.complain(
                Promise::Accounted,
                id,
                "something is sent behind the end, or nothing is sent",
            );
            return Sent::Broken;
        }
        let mut fits = bytes.len().min(client.window);
        let choppy = self.setting.faults.choppy;
        if choppy > 0 && fits > 0 && self.rng.one_in(choppy) {
            fits = self.rng.below(fits + 1);
        }
        let client = &mut self.clients[id as usize];
        if fits < bytes.len() {
            client.blocked = true;
            self.coverage.short_writes += u64::from(fits > 0);
        }
        if client.window != OPEN_WINDOW {
            client.window -= fits;
        }
        if fits == 0 {
            return Sent::Blocked;
        }
        let bytes = &bytes[..fits];
        self.trace.sent(id, bytes);
        self.read(id, bytes);
        Sent::Wrote(fits)
    }

    fn read(&mut self, id: u32, bytes: &[u8]) {
        let mut partial = std::mem::take(&mut self.clients[id as usize].partial);
        if partial.is_empty() {
            let used = self.understand(id, bytes);
            partial.extend_from_slice(&bytes[used..]);
        } else {
            partial.extend_from_slice(bytes);
            let used = self.understand(id, &partial);
            partial.drain(..used);
        }
        self.clients[id as usize].partial = partial;
    }

    /// Reads whole frames; how many bytes they are.
    fn understand(&mut self, id: u32, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        if self.clients[id as usize].stage == Stage::Asking {
            let Some((end, status)) = wire::response(rest) else { return 0 };
            let head = &rest[..end];
            rest = &rest[end..];
            if status == 503 {
                self.check_return(id, wire::retry_secs(head).map(|secs| secs * 1_000));
            }
            self.answered(id, status);
        }
        if self.clients[id as usize].stage == Stage::Refused {
            return bytes.len();
        }
        loop {
            match wire::parse(rest) {
                Parsed::Frame { opcode, payload, rest: behind } => {
                    rest = behind;
                    self.frame(id, opcode, payload);
                }
                Parsed::Incomplete => return bytes.len() - rest.len(),
                Parsed::Wrong(what) => {
                    self.complain(Promise::SamePlace, id, what);
                    return bytes.len();
                }
            }
        }
    }

    fn answered(&mut self, id: u32, status: u16) {
        let client = &mut self.clients[id as usize];
        if status != 101 {
            client.stage = Stage::Refused;
            client.status = status;
            if client.spoiled.is_some_and(|it| it.statuses.contains(&status)) {
                self.coverage.rejected += 1;
                return;
            }
            if status == 401 && client.token == Token::Wrong {
                self.coverage.unauthorized += 1;
                return;
            }
            if status != 503 {
                let what = format!("a good request was answered with {status}");
                return self.complain(Promise::Alive, id, &what);
            }
            self.coverage.refused += 1;
            return;
        }
        if client.spoiled.is_some_and(|it| it.code.is_none()) {
            return self.complain(Promise::Apart, id, "what is no request was answered with 101");
        }
        if matches!(client.token, Token::Wrong | Token::Unanswered) {
            return self.complain(Promise::Apart, id, "it was let in without a good token");
        }
        if !client.reserved {
            let what = "capacity exceeded: a client beyond connections_max was let in";
            self.complain(Promise::Bounded, id, what);
            return;
        }
        client.open();
        client.start = self.record.rooms[usize::from(client.room)].accepted.len();
        client.judged = client.start;
        let read = client.read_bytes();
        // What it said before it was answered has been read with its request.
        while client.said.front().is_some_and(|said| said.end <= read) {
            client.said.pop_front();
        }
    }

    fn frame(&mut self, id: u32, opcode: u8, payload: &[u8]) {
        let client = &self.clients[id as usize];
        if client.heard_close.is_some() {
            return self.complain(Promise::Farewell, id, "a frame was sent after the close frame");
        }
        match (opcode, client.probes) {
            (wire::TEXT, false) if client.chat.is_some() => self.chat_frame(id, payload),
            (wire::TEXT | wire::BINARY, false) => self.raw_message(id, opcode, payload),
            (wire::BINARY, true) => match ToClient::decode(payload) {
                Ok(told) => self.told(id, told),
                Err(_) => {
                    let what = "a probe was sent what is none of its protocol";
                    self.complain(Promise::SamePlace, id, what);
                }
            },
            (wire::PING, _) => self.say_frame(id, wire::PONG, payload),
            (wire::PONG, _) => {}
            (wire::CLOSE, _) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.clients[id as usize].heard_close = Some(code);
                if matches!(code, 1001 | 1013) {
                    self.check_return(id, wire::retry_millis(payload));
                }
                self.say_close(id);
            }
            _ => {
                let what = "a frame of this kind is not for this client";
                self.complain(Promise::SamePlace, id, what);
            }
        }
    }

    /// Whoever is sent away hears when to come back: not at once, and not too late.
    fn check_return(&mut self, id: u32, millis: Option<u64>) {
        let most = u64::from(self.setting.limits.retry_secs_max) * 1_000;
        if !millis.is_some_and(|millis| (1..=most).contains(&millis)) {
            let what = format!("it is to come back after {millis:?} ms, of at most {most}");
            self.complain(Promise::Bounded, id, &what);
        }
    }

    /// Which message a payload is, and whether all of it is there.
    #[inline]
    pub(super) fn identify(&mut self, id: u32, text: bool, payload: &[u8]) -> Option<u32> {
        let known = number(payload).filter(|&message| self.is_whole(message, text, payload));
        if known.is_none() {
            let begin = String::from_utf8_lossy(&payload[..payload.len().min(12)]);
            let said = number(payload).and_then(|id| self.record.messages.get(id as usize));
            let len = payload.len();
            let what = format!("it heard {len} bytes that nobody said: {begin:?}, not {said:?}");
            self.complain(Promise::SamePlace, id, &what);
        }
        known
    }

    #[inline]
    fn is_whole(&self, id: u32, text: bool, payload: &[u8]) -> bool {
        let Some(message) = self.record.messages.get(id as usize) else { return false };
        let filler = &payload[ID_BYTES..];
        message.len as usize == payload.len()
            && message.text == text
            && !message.rename
            && filler == tail(id, filler.len())
    }

    /// Whether a member may hear this message at all.
    #[inline]
    fn may_hear(&mut self, id: u32, message: u32) -> bool {
        let Message { room, author, .. } = self.record.messages[message as usize];
        let client = &self.clients[id as usize];
        let isolated = client.room == room;
        // People who chat hear themselves.
        let excluded = client.author != author || client.chat.is_some();
        if !isolated {
            let what = format!("it heard message {message} of another room");
            self.complain(Promise::Apart, id, &what);
        } else if !excluded {
            let what = format!("it heard its own message {message}");
            self.complain(Promise::Apart, id, &what);
        }
        self.coverage.deliveries += 1;
        self.record.messages[message as usize].heard += 1;
        isolated && excluded
    }

    fn raw_message(&mut self, id: u32, opcode: u8, payload: &[u8]) {
        // Nobody can tell which empty message it was.
        if payload.is_empty() {
            self.coverage.deliveries += 1;
            return;
        }
        if let Some(message) = self.identify(id, opcode == wire::TEXT, payload) {
            self.hear_once(id, message);
        }
    }

    /// A member whose messages have no numbers hears one.
    pub(super) fn hear_once(&mut self, id: u32, message: u32) {
        self.tell_heard(id, message, None);
        if !self.may_hear(id, message) {
            return;
        }
        let client = &mut self.clients[id as usize];
        if !client.hears(message) {
            let what = format!("it heard message {message} twice");
            return self.complain(Promise::Once, id, &what);
        }
        client.heard.push(message);
    }

    fn told(&mut self, id: u32, told: ToClient<'_>) {
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

    /// What anyone may ask for of a room's past.
    pub(super) fn history(&self, room: u16) -> Retention {
        let mut history = self.setting.policy(room).history.clone();
        // Nobody is told more at once than it may owe.
        let at_once = self.setting.limits.outbox_bytes_max;
        history.bytes_max = history.bytes_max.min(at_once);
        history
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

    /// Appends a frame to what a client sends.
    pub(super) fn say_frame(&mut self, id: u32, opcode: u8, payload: &[u8]) {
        let client = &mut self.clients[id as usize];
        let silent = client.breaks || client.mute.is_some() || client.spoiled.is_some();
        if client.said_close || client.ends || silent {
            return;
        }
        wire::frame(&mut client.up, opcode, true, payload, &mut self.rng);
        self.wake(id);
    }

    /// Says goodbye, if it has not.
    pub(super) fn say_close(&mut self, id: u32) {
        self.say_frame(id, wire::CLOSE, &1000_u16.to_be_bytes());
        self.clients[id as usize].said_close = true;
        self.wake(id);
    }

    /// Appends a message or a question, in one frame or in two.
    pub(super) fn say(&mut self, id: u32, opcode: u8, payload: &[u8], message: Option<u32>) {
        let cut =
            (!payload.is_empty() && self.rng.one_in(16)).then(|| self.rng.below(payload.len()));
        let client = &mut self.clients[id as usize];
        match cut {
            None => wire::frame(&mut client.up, opcode, true, payload, &mut self.rng),
            Some(at) => {
                wire::frame(&mut client.up, opcode, false, &payload[..at], &mut self.rng);
                let rest = &payload[at..];
                wire::frame(&mut client.up, wire::CONTINUATION, true, rest, &mut self.rng);
            }
        }
        let end = client.before + client.up.len();
        client.said.push_back(Said { message, end });
        self.uttered += 1;
        self.wake(id);
    }

    /// A client takes up to so many bytes more, if it does not read freely.
    pub(super) fn sip(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        if let Reads::Slowly(bytes) = client.reads {
            client.window = bytes;
        }
    }
}

/// Appends a message's payload.
pub(super) fn write_payload(out: &mut Vec<u8>, message: u32, len: usize) {
    if len == 0 {
        return;
    }
    let digit = |nibble: u32| b"0123456789abcdef"[nibble as usize & 15];
    out.extend((0..8).rev().map(|at| digit(message >> (4 * at))));
    out.extend_from_slice(tail(message, len - ID_BYTES));
}

fn tail(message: u32, len: usize) -> &'static [u8] {
    let start = message as usize % FILLER_STARTS;
    &FILLER[start..start + len]
}

/// The message that a payload names.
#[inline]
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    let digits: &[u8; ID_BYTES] = payload.first_chunk()?;
    digits.iter().try_fold(0, |sum, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u32::from(nibble))
    })
}
