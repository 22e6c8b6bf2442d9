//! What clients hear, checked as they hear it.

use gateway_core::log::Retention;
use gateway_core::probe::ToClient;
use gateway_core::transmit::Sent;

use super::client::{Client, OPEN_WINDOW, Place, Reads, Said, Stage};
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
        // What it said before it was answered has been read with its request, and may be counted
        // later.
        while client.said.front().is_some_and(|said| said.end <= read) {
            client.said.pop_front();
            client.with_request += 1;
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
    pub(super) fn may_hear(&mut self, id: u32, message: u32) -> bool {
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

    /// What anyone may ask for of a room's past.
    pub(super) fn history(&self, room: u16) -> Retention {
        let mut history = self.setting.policy(room).history.clone();
        // Nobody is told more at once than it may owe.
        let at_once = self.setting.limits.outbox_bytes_max;
        history.bytes_max = history.bytes_max.min(at_once);
        history
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
