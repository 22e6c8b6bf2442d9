//! A client of the model world: bytes out, bytes in, as its plan says.

use tokio_tungstenite::tungstenite::protocol::frame::Frame;

use super::frames::{self, Decoder, Word};
use super::outcome::Heard;
use super::plan::{Action, ClientPlan, Leave, Step};
use super::tale::Voice;
use crate::model::{ClientId, Clients};
use crate::pipe::{Seen, Windows};
use crate::rng::Rng;

/// Any key does: a server's answer to it is not what is tested here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(super) struct Actor {
    plan: ClientPlan,
    /// The next of the plan's steps.
    next: usize,
    rng: Rng,
    id: Option<ClientId>,
    /// What is said and not written yet.
    outgoing: Vec<u8>,
    ears: Decoder,
    heard: Heard,
    stalled: bool,
    /// Ends its stream once everything is written.
    finishing: bool,
    finished: bool,
    said_goodbye: bool,
    /// It cut the connection and is not part of the world any more.
    gone: bool,
    voice: Voice,
}

impl Actor {
    pub(super) fn new(plan: &ClientPlan, rng: Rng, voice: Voice) -> Self {
        Self {
            plan: plan.clone(),
            next: 0,
            rng,
            id: None,
            outgoing: Vec::new(),
            ears: Decoder::default(),
            heard: Heard::default(),
            stalled: false,
            finishing: false,
            finished: false,
            said_goodbye: false,
            gone: false,
            voice,
        }
    }

    /// Does what is due and what the windows allow; whether anything moved.
    pub(super) fn act(&mut self, millis: u64, draining: bool, clients: &Clients) -> bool {
        let due = self.next_at_millis(draining).is_some_and(|at| at <= millis);
        if self.gone || (self.id.is_none() && !due) {
            return false;
        }
        if due {
            self.step(clients);
        }
        let Some(id) = self.id else { return due };
        let wrote = self.write(id, clients);
        let read = !self.stalled && self.read(id, clients);
        let ended = !self.stalled && self.end(id, clients);
        due || wrote || read || ended
    }

    /// When it does something next of its own accord.
    pub(super) fn next_at_millis(&self, draining: bool) -> Option<u64> {
        match self.id {
            None => (!draining).then_some(self.plan.arrives_at_millis),
            Some(_) if self.gone => None,
            Some(_) => self.plan.steps.get(self.next).map(|step| step.at_millis),
        }
    }

    /// Reads what is left and tells what was heard.
    pub(super) fn finish(mut self, clients: &Clients) -> Heard {
        if let Some(id) = self.id.filter(|_| !self.gone) {
            while clients.unread(id) > 0 {
                self.read(id, clients);
            }
        }
        self.heard.half_frame = self.heard.status == Some(101) && self.ears.is_amid();
        self.heard
    }

    fn step(&mut self, clients: &Clients) {
        let Some(id) = self.id else {
            let to_client = self.plan.window;
            let id = clients.connect_with(Windows { to_client, ..Windows::default() });
            self.heard.address = Some(clients.address(id));
            self.outgoing.extend(frames::request(&self.plan.path, KEY).into_bytes());
            self.id = Some(id);
            self.voice.connects();
            return;
        };
        let Some(Step { action, .. }) = self.plan.steps.get(self.next).cloned() else { return };
        self.next += 1;
        self.voice.does(&action);
        match action {
            Action::Say(say) => {
                for frame in frames::of_say(&say) {
                    self.put(frame);
                }
            }
            Action::Stall => self.stalled = true,
            Action::Narrow(window) => clients.set_window(id, window),
            Action::Resume(window) => {
                clients.set_window(id, window);
                self.stalled = false;
            }
            Action::Leave(leave) => self.leave(leave, id, clients),
        }
    }

    fn leave(&mut self, leave: Leave, id: ClientId, clients: &Clients) {
        self.heard.left = Some(leave);
        match leave {
            Leave::Goodbye(code) => self.say_goodbye(code),
            Leave::HalfClose => self.finishing = true,
            Leave::Reset => {
                clients.reset(id);
                self.gone = true;
            }
        }
    }

    /// RFC 6455 §5.5.1: nothing is sent after a close frame, and only one is.
    fn say_goodbye(&mut self, code: u16) {
        if !self.said_goodbye {
            self.put(Frame::close(Some(frames::goodbye(code))));
            self.said_goodbye = true;
        }
    }

    fn put(&mut self, frame: Frame) {
        if !self.said_goodbye && !self.finishing {
            frames::put(&mut self.outgoing, frame, &mut self.rng);
        }
    }

    fn write(&mut self, id: ClientId, clients: &Clients) -> bool {
        if self.finished || self.outgoing.is_empty() {
            return false;
        }
        let count = self.rng.portion(self.outgoing.len());
        let wrote = clients.write(id, &self.outgoing[..count]);
        self.outgoing.drain(..wrote);
        if clients.seen(id) == Seen::Reset {
            self.outgoing.clear();
        }
        wrote > 0
    }

    fn read(&mut self, id: ClientId, clients: &Clients) -> bool {
        let there = clients.unread(id);
        if there == 0 {
            return false;
        }
        let bytes = clients.read(id, self.rng.portion(there));
        self.ears.feed(&bytes);
        self.listen();
        true
    }

    fn listen(&mut self) {
        if self.heard.status.is_none() {
            let Some(head) = self.ears.head() else { return };
            self.heard.status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            self.voice.answered(self.heard.status);
        }
        // What follows another answer than 101 is its body.
        while self.heard.status == Some(101) {
            match self.ears.word() {
                Ok(Some(word)) => self.hear(word),
                Ok(None) => return,
                Err(fault) => {
                    self.heard.fault = Some(fault);
                    return;
                }
            }
        }
    }

    fn hear(&mut self, word: Word) {
        if self.heard.close.is_some() {
            self.heard.fault = Some(format!("{word:?} after a close frame"));
            return;
        }
        match word {
            Word::Message(message) => {
                self.voice.hears(&message);
                self.heard.messages.push(message);
            }
            Word::Ping | Word::Pong => {}
            Word::Close(code) => {
                self.heard.close = code;
                self.voice.ends(code);
                self.say_goodbye(code.unwrap_or(1000));
            }
        }
    }

    /// Ends its own stream once it has written everything and wants to, or the server has ended.
    fn end(&mut self, id: ClientId, clients: &Clients) -> bool {
        let wants_to = self.finishing || clients.seen(id) == Seen::Ended;
        if self.finished || !wants_to || !self.outgoing.is_empty() {
            return false;
        }
        clients.finish(id);
        self.finished = true;
        true
    }
}
