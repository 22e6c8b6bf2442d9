//! What arrives: upgrade requests, then messages, into what is to be said.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_faults::{self as faults, Mutant, sometimes};

use super::adapter;
use super::conn::{Joining, Transit};
use super::edge::Stop;
use super::join::Subscription;
use super::rounds::{Farewell, Mail};
use super::{Config, Hub, Role, Stage, Who};
use crate::chat;
use crate::chunk::{Chunk, Span};
use crate::close::CloseCode;
use crate::deflate::Agreement;
use crate::encoding::Encoding;
use crate::event::{CloseReason, Effect, Full, Grant, Ticket};
use crate::frame::Opcode;
use crate::handshake::{self, Refusal, Request, Secret};
use crate::hit::Hit;
use crate::route::{Auth, Kind, Route, RouteId};
use crate::session::{Input, Rules};
use crate::slot::Slot;
use crate::time::Now;

impl Hub {
    #[inline]
    pub(super) fn receive(&mut self, now: Now, slot: Slot, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(slot.index()) else { return };
        match conn.stage {
            Stage::Free | Stage::Lingering => {}
            Stage::Upgrading => self.receive_head(now, slot, bytes),
            Stage::Joining => self.receive_rest(now, slot, bytes),
            Stage::Open => {
                conn.heard = now.tick();
                conn.pinged = false;
                self.receive_frames(now, slot, bytes);
            }
            Stage::Closing => self.await_goodbye(slot, bytes),
        }
    }

    /// Collects an upgrade request; what follows it in the same bytes is frames already.
    fn receive_head(&mut self, now: Now, slot: Slot, bytes: &mut [u8]) {
        let bytes_max = self.config.limits.handshake_bytes_max;
        self.inbound -= self.conns[slot.index()].head_bytes();
        let mut stash = self.conns[slot.index()].head.take();
        let searched = stash.as_ref().map_or(0, |stash| stash.len());
        if let Some(stash) = &mut stash {
            stash.extend_from_slice(bytes);
        }
        let came = stash.as_ref().map_or(&*bytes, |stash| stash.as_slice());
        match handshake::head_end(came, searched) {
            Some(end) if end <= bytes_max => {
                let came = stash.as_mut().map_or(bytes, |stash| stash.as_mut_slice());
                let (head, rest) = came.split_at_mut(end);
                self.answer_request(now, slot, head);
                if !rest.is_empty() {
                    self.receive(now, slot, rest);
                }
            }
            None if came.len() <= bytes_max => {
                let stash = stash.unwrap_or_else(|| Box::new(bytes.to_vec()));
                self.inbound += stash.capacity();
                self.conns[slot.index()].head = Some(stash);
                if self.inbound > self.config.limits.inbound_bytes_max {
                    self.refuse(now, slot, &Refusal::full().of(Hit::InboundBytes));
                }
            }
            Some(_) | None => {
                let bodiless = handshake::asks_for_head(came);
                self.refuse_request(now, slot, &Refusal::too_large(), bodiless);
            }
        }
    }

    /// What came is understood later.
    pub(super) fn receive_later(&mut self, slot: Slot, bytes: &[u8]) {
        self.inbound -= self.conns[slot.index()].head_bytes();
        let rest = self.conns[slot.index()].head.get_or_insert_default();
        rest.extend_from_slice(bytes);
        self.inbound += rest.capacity();
    }

    /// Takes what had to wait, or nothing.
    pub(super) fn take_what_waited(&mut self, slot: Slot) -> Vec<u8> {
        let conn = &mut self.conns[slot.index()];
        self.inbound -= conn.head_bytes();
        conn.head.take().map_or_else(Vec::new, |rest| *rest)
    }

    /// Frames that came before the room is heard wait with the request.
    fn receive_rest(&mut self, now: Now, slot: Slot, bytes: &[u8]) {
        self.receive_later(slot, bytes);
        if self.inbound > self.config.limits.inbound_bytes_max {
            self.refuse(now, slot, &Refusal::full().of(Hit::InboundBytes));
        }
    }

    fn answer_request(&mut self, now: Now, slot: Slot, head: &[u8]) {
        let conn = &self.conns[slot.index()];
        let drains = self.is_draining() && !faults::is(Mutant::OpenWhileDraining);
        let full = conn.refused.or_else(|| drains.then_some(Full::Node));
        match Answer::to(head, full, self.has_window_left(), &self.config) {
            Ok(Answer::Page) => {
                let page = self.config.page;
                self.direct_raw(slot, |out| page.write_response(out));
                self.finish_answer(now, slot, 200);
            }
            Ok(Answer::Upgrade { accepted, token }) => {
                self.accept_request(now, slot, accepted, token);
            }
            Err(refusal) => {
                self.refuse_request(now, slot, &refusal, handshake::asks_for_head(head));
            }
        }
    }

    fn accept_request(&mut self, now: Now, slot: Slot, accepted: Accepted, token: Option<Secret>) {
        let conn = &mut self.conns[slot.index()];
        conn.route = accepted.route;
        conn.edged = self.edges[accepted.route.index()].is_some();
        self.agree(slot, accepted.agreement);
        let Some(token) = token else {
            return self.admit(now, slot, accepted, None);
        };
        let patience = now.tick().after_secs(self.config.limits.handshake_secs.max(1));
        self.deadlines.set(slot, patience);
        let conn = &mut self.conns[slot.index()];
        conn.stage = Stage::Joining;
        let (generation, route) = (conn.generation, accepted.route);
        conn.transit = Some(Box::new(Transit::Asking(accepted)));
        self.update_interest(slot);
        let ticket = Ticket { slot, generation };
        self.effects.push_back(Effect::Authenticate { ticket, route, token });
    }

    /// Whether a client that has shown a token is let in.
    pub(super) fn authenticated(&mut self, now: Now, ticket: Ticket, granted: Option<Grant>) {
        let Ticket { slot, generation } = ticket;
        let who = Who { slot, generation };
        if self.present(who).is_none() {
            return;
        }
        let transit = &mut self.conns[slot.index()].transit;
        let asking = transit.take_if(|transit| matches!(**transit, Transit::Asking(_)));
        // It was answered, or refused because nobody did.
        let Some(Transit::Asking(accepted)) = asking.map(|asking| *asking) else { return };
        let Some(Grant { user }) = granted else {
            return self.refuse(now, slot, &Refusal::wrong_token());
        };
        self.admit(now, slot, accepted, user);
        self.update_interest(slot);
        if matches!(self.conns[slot.index()].role, Role::Echo | Role::Handled) {
            self.seated.push_back(who);
        }
    }

    fn admit(&mut self, now: Now, slot: Slot, accepted: Accepted, user: Option<Arc<str>>) {
        let Accepted { response, route, name, nick, encoding, subscription, .. } = accepted;
        let Route { kind, namespace, .. } = *self.config.routes.get(route);
        let nick = nick.or_else(|| user.clone().filter(|user| chat::name(user).is_ok()));
        self.know_user(slot, user);
        let (Kind::Room | Kind::Chat, Some(namespace)) = (kind, namespace) else {
            return self.serve_alone(now, slot, &response, kind, name);
        };
        if self.dispatch.backlog() > self.config.limits.commands_waiting_max {
            // The rooms' homes do not keep up, and it would wait behind all the others.
            return self.refuse(now, slot, &Refusal::full().of(Hit::CommandsWaiting));
        }
        if let Some(name) = subscription.author {
            self.rename(slot, name);
        }
        if kind == Kind::Chat {
            let author = self.conns[slot.index()].author;
            self.names.insert(slot, nick.unwrap_or_else(|| Self::guest(author)));
        }
        let joining = Joining {
            encoding,
            response: Some(response),
            since: subscription.since,
            pin: None,
            stays: false,
        };
        self.join(now, slot, namespace, &name, joining);
    }

    /// Answers a connection that no room's members share: an echo, or one that a handler serves.
    fn serve_alone(&mut self, now: Now, slot: Slot, response: &[u8], kind: Kind, name: String) {
        self.direct_raw(slot, |out| out.extend_from_slice(response));
        let conn = &mut self.conns[slot.index()];
        conn.echoes = kind == Kind::Echo;
        conn.role = if conn.echoes { Role::Echo } else { Role::Handled };
        self.open(now, slot);
        if kind == Kind::Handled {
            self.extras.entry(slot).or_default().param = name.into();
            self.tell_opened(now, slot);
        }
    }

    /// Messages flow from now on.
    pub(super) fn open(&mut self, now: Now, slot: Slot) {
        let conn = &mut self.conns[slot.index()];
        conn.stage = Stage::Open;
        conn.heard = now.tick();
        self.counters.opened += 1;
        self.deadlines.set(slot, now.tick().after_secs(self.config.limits.ping_secs));
        self.update_interest(slot);
    }

    /// Answers with an HTTP error, after which nothing else is said.
    pub(super) fn refuse(&mut self, now: Now, slot: Slot, refusal: &Refusal) {
        let conn = &self.conns[slot.index()];
        let begun = conn.head.as_ref().filter(|_| conn.stage == Stage::Upgrading);
        let bodiless = begun.is_some_and(|begun| handshake::asks_for_head(begun));
        self.refuse_request(now, slot, refusal, bodiless);
    }

    fn refuse_request(&mut self, now: Now, slot: Slot, refusal: &Refusal, bodiless: bool) {
        refusal.hit().into_iter().for_each(|hit| self.counters.hit(hit));
        let retry_secs = if refusal.asks_to_return() { self.hints.secs() } else { 0 };
        self.direct_raw(slot, |out| match bodiless {
            true => refusal.write_head_after(retry_secs, out),
            false => refusal.write_response_after(retry_secs, out),
        });
        self.finish_answer(now, slot, refusal.status as u16);
    }

    fn finish_answer(&mut self, now: Now, slot: Slot, status: u16) {
        let conn = &mut self.conns[slot.index()];
        conn.deaf = true;
        self.inbound -= conn.head_bytes();
        conn.head = None;
        self.start_closing(now, slot, CloseReason::Answered(status), None, "");
    }

    #[inline(always)]
    fn receive_frames(&mut self, now: Now, slot: Slot, mut bytes: &mut [u8]) {
        let rules = self.rules(slot);
        if self.conns[slot.index()].agreement.is_some() && self.must_wait_before(slot) {
            return self.put_off(now, slot, bytes);
        }
        // The session is eight bytes: it leaves its place while the hub is changed by its inputs.
        let mut session = std::mem::take(&mut self.conns[slot.index()].session);
        let held = session.held_bytes();
        let mut waits = false;
        let outcome = loop {
            match session.next(&mut bytes, rules) {
                Ok(Some(Input::Message { kind, payload })) => {
                    if let Err(stop) = self.message(now, slot, kind, payload) {
                        break Some(Err(stop));
                    }
                }
                Ok(Some(Input::Deflated { kind, payload })) => {
                    let heard = match self.message_deflated(now, slot, kind, payload) {
                        Ok(heard) => heard,
                        Err(stop) => break Some(Err(stop)),
                    };
                    waits = !heard || self.must_wait_to_inflate(slot) && !bytes.is_empty();
                    if waits {
                        break None;
                    }
                }
                Ok(Some(Input::Ping(control))) => {
                    if !self.admits_control(now, slot) {
                        break Some(Err(Stop::Controls));
                    }
                    self.pong(slot, &control);
                }
                Ok(Some(Input::Pong(_))) => {
                    if !self.admits_control(now, slot) {
                        break Some(Err(Stop::Controls));
                    }
                }
                Ok(Some(Input::Close(closing))) => break Some(Ok(closing)),
                Ok(None) => break None,
                Err(error) => break Some(Err(error.into())),
            }
        };
        let unfinished = session.is_unfinished();
        self.inbound = self.inbound + session.held_bytes() - held;
        self.conns[slot.index()].session = session;
        match outcome {
            None if waits => self.put_off(now, slot, bytes),
            None if unfinished => self.await_rest(now, slot),
            None => {}
            Some(Ok(closing)) => {
                self.conns[slot.index()].heard_goodbye = true;
                self.forget_unfinished(slot);
                let code = closing.code.unwrap_or(CloseCode::NORMAL);
                self.start_closing(now, slot, CloseReason::Peer(closing.code), Some(code), "");
            }
            Some(Err(stop)) => self.stop(now, slot, stop, bytes),
        }
    }

    /// Something is half received, for which there is memory and time, up to a bound.
    #[inline(never)]
    fn await_rest(&mut self, now: Now, slot: Slot) {
        if self.inbound > self.config.limits.inbound_bytes_max {
            self.counters.hit(Hit::InboundBytes);
            return self.fail(now, slot, CloseReason::Inbound, CloseCode::TRY_LATER, "no memory");
        }
        self.await_end(now, slot);
    }

    /// Nothing more is taken from a connection; `rest` came behind what it said last.
    #[cold]
    pub(super) fn stop(&mut self, now: Now, slot: Slot, stop: Stop, rest: &mut [u8]) {
        match stop {
            Stop::Protocol(error) => {
                let code = error.code();
                self.counters.hit(error.hit());
                self.fail(now, slot, CloseReason::Protocol(code), code, error.reason());
            }
            Stop::Panic => self.close_panicked(now, slot),
            Stop::Flood => {
                self.counters.hit(Hit::MessageRate);
                let (reason, code) = (CloseReason::Flood, CloseCode::POLICY);
                self.fail(now, slot, reason, code, "too many messages");
            }
            Stop::Controls => self.close_for_controls(now, slot),
            Stop::Close(told) => {
                let (code, text) = *told;
                self.close_as_told(now, slot, code, text);
                self.await_goodbye(slot, rest);
            }
            Stop::Closing => self.await_goodbye(slot, rest),
        }
    }

    /// What this connection may say.
    #[inline]
    fn rules(&self, slot: Slot) -> Rules {
        let deflates = self.conns[slot.index()].agreement.is_some();
        let rules = Rules::new(self.message_bytes_max(slot), deflates);
        rules.with_empty_fragments(self.config.limits.empty_fragments_max)
    }

    /// Payload bytes of a message of this connection.
    #[inline]
    pub(super) fn message_bytes_max(&self, slot: Slot) -> usize {
        self.message_bytes_max[self.conns[slot.index()].route.index()]
    }

    /// After our close frame only the peer's is of interest.
    fn await_goodbye(&mut self, slot: Slot, mut bytes: &mut [u8]) {
        let rules = self.rules(slot);
        let conn = &mut self.conns[slot.index()];
        if conn.deaf || conn.heard_goodbye {
            return;
        }
        let held = conn.session.held_bytes();
        loop {
            match conn.session.next(&mut bytes, rules) {
                Ok(Some(Input::Close(_))) => {
                    sometimes!(ClosedBoth, !conn.said_goodbye || conn.outbox.is_some());
                    conn.heard_goodbye = true;
                }
                Ok(Some(Input::Message { .. } | Input::Deflated { .. })) => continue,
                Ok(Some(Input::Ping(_) | Input::Pong(_))) => continue,
                Ok(None) => break,
                Err(_) => conn.deaf = true,
            }
            break;
        }
        self.inbound = self.inbound + conn.session.held_bytes() - held;
        // Nothing else it says will be used: its goodbye is not worth the memory.
        if self.inbound > self.config.limits.inbound_bytes_max && !conn.deaf {
            conn.deaf = true;
            self.counters.hit(Hit::InboundBytes);
        }
        if conn.deaf || conn.heard_goodbye {
            self.forget_unfinished(slot);
        }
        self.wind_up(slot);
    }

    /// Queues a control frame for one connection.
    pub(super) fn direct_frame(&mut self, slot: Slot, opcode: Opcode, payload: &[u8]) {
        let start = self.pending.direct.len();
        self.prepare_direct();
        self.pending.direct.push_frame(opcode, payload);
        self.address(slot, start, true);
    }

    pub(super) fn direct_raw(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.pending.direct.len();
        self.prepare_direct();
        self.pending.direct.push_raw(write);
        self.address(slot, start, false);
    }

    #[inline]
    pub(super) fn prepare_direct(&mut self) {
        if self.pending.direct.is_bare() {
            self.pending.direct = Chunk::reusing(self.chunks.buffer());
        }
    }

    /// Says for whom the direct bytes from `start` on are; neighbours are sent as one.
    #[inline(always)]
    pub(super) fn address(&mut self, slot: Slot, start: u32, framed: bool) {
        let end = self.pending.direct.len();
        let generation = self.conns[slot.index()].generation;
        if let Some(last) = self.pending.mails.last_mut()
            && last.slot == slot
            && last.generation == generation
            && last.framed == framed
            && last.span.end == start
        {
            last.span.end = end;
            return;
        }
        let span = Span { start, end };
        self.pending.mails.push(Mail { slot, generation, span, framed });
    }

    pub(super) fn farewell(
        &mut self,
        slot: Slot,
        code: Option<CloseCode>,
        text: Cow<'static, str>,
    ) {
        let generation = self.conns[slot.index()].generation;
        self.pending.farewells.push(Farewell { slot, generation, code, text });
    }
}

/// What an upgrade is answered has fewer, a subprotocol and an extension included.
const RESPONSE_BYTES: usize = 256;

/// How a complete request is answered.
enum Answer {
    Page,
    /// With a token if the route asks for one.
    Upgrade {
        accepted: Accepted,
        token: Option<Secret>,
    },
}

/// A request that is granted, unless its token opens nothing.
#[derive(Debug)]
pub(super) struct Accepted {
    response: Vec<u8>,
    route: RouteId,
    /// The room's.
    name: String,
    /// The client's, where people have names.
    nick: Option<Arc<str>>,
    encoding: Encoding,
    agreement: Option<Agreement>,
    subscription: Subscription,
}

impl Answer {
    fn to(head: &[u8], full: Option<Full>, window: bool, config: &Config) -> Result<Self, Refusal> {
        let request = Request::parse(head, &config.limits)?;
        match full {
            Some(Full::Node) => return Err(Refusal::full()),
            Some(Full::Source | Full::SourceRate) => return Err(Refusal::too_many()),
            None => {}
        }
        if request.path() == "/" && request.is_get() && !request.wants_upgrade() {
            return Ok(Self::Page);
        }
        let found = config.routes.find(request.path(), &config.limits);
        let (id, name) = found.map_err(|refusal| refusal.of(Hit::RoomName))?;
        let route = config.routes.get(id);
        let upgrade = request.upgrade()?;
        if !route.admits(&request) {
            return Err(Refusal::foreign_origin());
        }
        let token = match route.auth {
            Auth::None => None,
            Auth::Bearer => Some(request.bearer()?.ok_or_else(Refusal::no_token)?),
        };
        let served = |encoding: &Encoding| match route.kind {
            Kind::Room => *encoding != Encoding::Chat,
            Kind::Chat => matches!(encoding, Encoding::Raw | Encoding::Chat),
            Kind::Echo | Kind::Handled => *encoding == Encoding::Raw,
        };
        let mut offered = request.subprotocols().filter_map(Encoding::of_subprotocol);
        let picked = offered.find(served);
        let (encoding, nick) = match (route.kind, picked) {
            (Kind::Chat, Some(Encoding::Chat)) => (Encoding::Chat, chat::name_in(request.query())?),
            (Kind::Chat, _) => (Encoding::Line, chat::name_in(request.query())?),
            (Kind::Room | Kind::Echo | Kind::Handled, picked) => (picked.unwrap_or_default(), None),
        };
        let agreement = request.agreement(route.compression)?.filter(|_| encoding.deflates());
        let agreement = agreement.map(|it| if window { it } else { it.without_window() });
        let mut response = Vec::with_capacity(RESPONSE_BYTES);
        let subprotocol = picked.map(Encoding::subprotocol);
        upgrade.write_response_agreeing(subprotocol, agreement, &mut response);
        let subscription = adapter::subscription(&request, encoding)?;
        let accepted =
            Accepted { response, route: id, name, nick, encoding, agreement, subscription };
        Ok(Self::Upgrade { accepted, token })
    }
}
