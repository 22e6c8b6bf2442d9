//! What befalls clients: they read slowly or not at all, are cut, crash, fall silent, come back
//! all at once, and are let in no more.

use gateway_core::close::CloseCode;
use gateway_core::event::Event;
use gateway_core::order::{Order, To};
use gateway_core::position::Position;

use super::actions::Wish;
use super::client::{Client, OPEN_WINDOW, Place, Reads, Stage};
use super::ears::Ears;
use super::setting::pick;
use super::wire;
use super::world::World;

/// Somebody who comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    pub(super) due: u64,
    pub(super) room: u16,
    pub(super) position: Option<Position>,
    pub(super) name: Option<u32>,
}

/// Steps within which everyone of a storm is back, about.
const STORM_STEPS: usize = 12;
const MILLIS: u64 = 1_000_000;
const SECS: u64 = 1_000 * MILLIS;

impl World {
    /// What befalls the whole node at once: time.
    pub(super) fn disturb_time(&mut self) {
        if self.happens(self.setting.faults.pause) {
            self.ears.coverage.pauses += 1;
            let millis = *pick(&mut self.rng, &[50, 300, 1_000, 2_500]);
            self.pass(millis * MILLIS);
        }
        if self.happens(self.setting.faults.jump) {
            self.ears.coverage.jumps += 1;
            let nanos = *pick(&mut self.rng, &[5, 40, 3_600, 7 * 3_600]) * SECS;
            self.ears.note_jump(nanos);
            self.pass(nanos);
        }
    }

    /// What befalls clients; whether anything did.
    pub(super) fn disturb(&mut self) -> bool {
        let faults = self.setting.faults;
        if self.open.is_empty() {
            return false;
        }
        let id = *pick(&mut self.rng, &self.open);
        if self.happens(faults.stick) {
            let window = if self.rng.one_in(3) { self.rng.below(200) } else { 0 };
            let stuck = self.ears.read_so(id, Reads::Not, window);
            self.ears.coverage.stuck += u64::from(stuck);
        } else if self.happens(faults.slow) {
            let bytes = 1 + self.rng.below(40);
            let slowed = self.ears.read_so(id, Reads::Slowly(bytes), 0);
            self.ears.coverage.slowed += u64::from(slowed);
        } else if self.happens(faults.stick) || self.happens(faults.slow) {
            self.ears.read_again(id);
        } else if self.happens(faults.sever) {
            self.ears.coverage.severed += 1;
            self.ears.clients[id as usize].severed = true;
            self.ears.wake(id);
        } else if self.happens(faults.crash) {
            self.crash_amid_frame(id);
        } else if self.happens(faults.mute) {
            self.fall_silent(id);
        } else if self.happens(faults.storm) {
            self.storm(id);
        } else if self.happens(faults.garbage) {
            self.talk_garbage(id);
        } else if self.happens(faults.revoke) {
            self.revoke();
        } else {
            return false;
        }
        true
    }

    /// Half a frame, and then the end of the stream, or none.
    fn crash_amid_frame(&mut self, id: u32) {
        if !self.ears.clients[id as usize].can_speak() {
            return;
        }
        self.ears.coverage.crashes += 1;
        self.ears.say_half(id, &mut self.rng);
        let ends = self.rng.one_in(2);
        let client = &mut self.ears.clients[id as usize];
        (client.ends, client.breaks) = (ends, !ends);
        self.ears.wake(id);
    }

    /// The network to a client is gone, and nobody says so. What it had sent may end amid a frame.
    fn fall_silent(&mut self, id: u32) {
        let client = &self.ears.clients[id as usize];
        if client.mute.is_some() || client.ends || client.breaks || client.said_close {
            return;
        }
        self.ears.coverage.half_open += 1;
        if client.can_speak() && self.rng.one_in(3) {
            self.ears.say_half(id, &mut self.rng);
        }
        let window = self.rng.below(400);
        self.ears.read_so(id, Reads::Not, window);
        self.ears.clients[id as usize].mute = Some(self.now.0);
    }

    /// Everyone of a room, or of a shard, is cut, and comes back with the position it had.
    fn storm(&mut self, id: u32) {
        let (room, place) =
            (self.ears.clients[id as usize].room, self.ears.clients[id as usize].place);
        let (by_room, mut any) = (self.rng.one_in(2), false);
        for other in self.open.clone() {
            let client = &mut self.ears.clients[other as usize];
            let near = match (client.place, place) {
                (Place::At { shard: one, .. }, Place::At { shard: two, .. }) => one == two,
                _ => false,
            };
            let struck = if by_room { client.room == room } else { near };
            if struck && client.stage == Stage::Open && client.mute.is_none() {
                (client.severed, client.returns) = (true, true);
                self.ears.wake(other);
                any = true;
            }
        }
        self.ears.coverage.storms += u64::from(any);
    }

    /// Somebody of a storm is gone: it comes back soon.
    pub(super) fn come_back(&mut self, id: u32, position: Option<Position>) {
        let due = self.step + self.rng.below(STORM_STEPS) as u64;
        let client = &self.ears.clients[id as usize];
        let (room, name) = (client.room, client.name);
        self.returns.push(Return { due, room, position, name });
    }

    /// Those whose time it is come back, wherever there is a shard.
    pub(super) fn let_return(&mut self) {
        let mut at = 0;
        while let Some(&Return { due, room, position, name }) = self.returns.get(at) {
            if due > self.step {
                at += 1;
                continue;
            }
            self.returns.swap_remove(at);
            let probes = Some(position.is_some());
            self.connect(Wish { room: Some(room), probes, since: position, name, shard: None });
        }
    }

    /// A user is let in no more: its connections are closed on every shard.
    fn revoke(&mut self) {
        if self.setting.chats == 0 {
            return;
        }
        let user = self.rng.below(super::door::USERS) as u32;
        self.door.revoked[user as usize] = true;
        let any = self.ears.note_revoked(user);
        self.ears.coverage.revoked += u64::from(any);
        for shard in &mut self.shards {
            let to = To::User(super::door::user(user).into());
            let order = Order::Close(to, CloseCode::POLICY, "revoked".into());
            shard.hub.handle(self.now, Event::Order(order));
            self.done.orders += 1;
        }
        // Its next token is good again.
        if self.rng.one_in(2) {
            self.door.revoked[user as usize] = false;
        }
    }

    /// Those that nobody will hear of again, where pings do not tell, are cut by their network.
    pub(super) fn cut_the_mute(&mut self) {
        for id in self.open.clone() {
            let client = &mut self.ears.clients[id as usize];
            if client.mute.is_some() {
                client.severed = true;
                self.ears.wake(id);
            }
        }
    }
}

impl Ears {
    /// From now on it reads so, and takes so many bytes at once; false if no word of it comes any
    /// more, so that this changes nothing.
    pub(super) fn read_so(&mut self, id: u32, reads: Reads, window: usize) -> bool {
        let client = &mut self.clients[id as usize];
        if client.mute.is_some() {
            return false;
        }
        (client.reads, client.window) = (reads, window);
        client.lagged = true;
        true
    }

    /// A client that was stuck reads all there is.
    pub(super) fn read_again(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        if client.mute.is_some() {
            return;
        }
        (client.reads, client.window) = (Reads::Freely, OPEN_WINDOW);
        client.ends |= client.shut;
        self.wake(id);
    }

    /// Appends a frame without its end.
    fn say_half(&mut self, id: u32, rng: &mut crate::rng::Rng) {
        let mut whole = Vec::new();
        wire::frame(&mut whole, wire::BINARY, true, &[b'x'; 100], rng);
        let half = 1 + rng.below(whole.len() - 1);
        self.clients[id as usize].up.extend_from_slice(&whole[..half]);
        self.wake(id);
    }

    /// The clock goes on at once: whoever was amid something had no time to go on.
    fn note_jump(&mut self, nanos: u64) {
        self.jumped += nanos;
        for client in self.clients.iter_mut().filter(|client| client.stage != Stage::Over) {
            client.amid |= !client.unread().is_empty() || client.stage == Stage::Asking;
        }
    }

    /// Whether there is anyone to be told.
    fn note_revoked(&mut self, user: u32) -> bool {
        let its = |client: &&mut Client| client.user == Some(user) && client.stage != Stage::Over;
        let mut any = false;
        for client in self.clients.iter_mut().filter(its) {
            client.told_off = true;
            any = true;
        }
        any
    }
}
