//! What hubs do in a world: let members in, publish, hear what is told, move connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reference::Payload;
use super::world::{Act, World};
use crate::dispatch::{Published, RoomKey, Told};
use crate::envelope::{Change, Pin};
use crate::frame::Kind;
use crate::id::Author;
use crate::message::{Batch, Meta, Words};
use crate::position::{Offset, Position};

/// A room as one shard's members know it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) room: usize,
    pub(super) waiting: u32,
    pub(super) seated: u32,
    /// Up to where they were told, once there was anything.
    pub(super) position: Option<Position>,
    pub(super) present: BTreeSet<Author>,
}

/// A connection between two shards.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    room: usize,
    from: u16,
    to: u16,
    pin: Pin,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Pinning,
    Pinned,
    Travelling { since: Position },
    Waiting { since: Position },
    Recovering { since: Position },
    Done,
}

impl Mover {
    pub(super) fn may_travel(&self) -> bool {
        matches!(self.stage, Stage::Pinned | Stage::Travelling { .. })
    }

    pub(super) fn is_leaving(&self, at: u16, room: usize) -> bool {
        let leaving = matches!(self.stage, Stage::Pinning | Stage::Pinned);
        leaving && self.from == at && self.room == room
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

/// Everyone on a shard shows itself by the same name, and one name is everywhere.
fn names(shard: u16) -> [Author; 2] {
    [Author::named(u64::from(shard)), Author::named(99)]
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Enter(at, room) => {
                let (key, ready) = self.enter(at, room);
                self.view_mut(at, key).waiting += 1;
                if ready {
                    self.view_mut(at, key).waiting -= 1;
                    self.seat(at, key);
                }
                self.hear(at);
            }
            Act::Leave(at, room) => {
                let key = self.view(at, room).expect("somebody is there").0;
                let settled = self.settled(at, room) > 0;
                self.leave(at, key, settled);
            }
            Act::Publish(at, room) => self.publish(at, room),
            Act::Migrate(at, to, room) => {
                let home = self.movable(at, room).expect("the home may move");
                let moves = self.shards[usize::from(at)].migrate(home, crate::id::ShardId(to));
                assert!(moves, "what is movable moves");
                self.hear(at);
            }
            Act::Move(from, to, room) => {
                let key = self.view(from, room).expect("somebody is there").0;
                let pin = self.shards[usize::from(from)].pin(self.now, key);
                self.movers.push(Mover { room, from, to, pin, stage: Stage::Pinning });
                self.hear(from);
            }
            Act::Abandon(at, room) => self.abandon(at, room),
        }
    }

    fn abandon(&mut self, at: u16, room: usize) {
        let key = self.view(at, room).expect("somebody is there").0;
        let mut movers = self.movers.iter_mut();
        let mover = movers.find(|mover| mover.is_leaving(at, room)).expect("somebody leaves");
        mover.stage = Stage::Done;
        let pin = mover.pin;
        self.shards[usize::from(at)].unpin(key, pin);
        self.leave(at, key, true);
    }

    /// Members that are not about to go to another shard.
    pub(super) fn settled(&self, at: u16, room: usize) -> u32 {
        let leaving = self.movers.iter().filter(|mover| mover.is_leaving(at, room)).count();
        self.view(at, room).map_or(0, |(_, view)| view.seated - leaving as u32)
    }

    fn enter(&mut self, at: u16, room: usize) -> (RoomKey, bool) {
        let name = self.rooms[room].clone();
        let (key, ready) = self.shards[usize::from(at)].enter(name.namespace, &name.name);
        let new = View { room, waiting: 0, seated: 0, position: None, present: BTreeSet::new() };
        let view = self.views[usize::from(at)].entry(key).or_insert(new);
        assert_eq!(view.room, room, "a key is one room's");
        (key, ready)
    }

    /// A member leaves, or one that waits.
    pub(super) fn leave(&mut self, at: u16, key: RoomKey, seated: bool) {
        let view = self.view_mut(at, key);
        if seated {
            view.seated -= 1;
            self.show(at, key, false);
        } else {
            view.waiting -= 1;
        }
        self.shards[usize::from(at)].leave(key);
        self.hear(at);
    }

    fn publish(&mut self, at: u16, room: usize) {
        let key = self.view(at, room).expect("somebody is there").0;
        let payload = self.reference.next(at);
        let bytes = payload.to_bytes();
        let (author, words) = (Author::named(u64::from(at)), Words::Bytes(&bytes));
        let dispatch = &mut self.shards[usize::from(at)];
        match dispatch.publish(self.now, key, author, Kind::Text, words) {
            Published::Said { prev, position } => {
                let known = self.view_mut(at, key).position.replace(position);
                assert_eq!(known, Some(Position { offset: prev, ..position }), "it is linked");
                self.reference.place(room, prev, position, payload);
            }
            Published::Waits { id } => self.reference.waits(at, id, room, payload),
        }
        self.hear(at);
    }

    /// A connection leaves the shard where its pin holds, or arrives where it goes to.
    pub(super) fn travel(&mut self, nth: usize) {
        let Mover { room, from, to, stage, .. } = self.movers[nth].clone();
        if let Stage::Travelling { since } = stage {
            self.movers[nth].stage = Stage::Waiting { since };
            let (key, ready) = self.enter(to, room);
            if ready {
                self.recover(to, key);
            }
            return self.hear(to);
        }
        let (key, view) = self.view(from, room).expect("it is still there");
        let since = view.position.expect("who is seated was told a position");
        self.movers[nth].stage = Stage::Travelling { since };
        self.leave(from, key, true);
    }

    /// Those that arrived ask for what they missed.
    fn recover(&mut self, at: u16, key: RoomKey) {
        let room = self.view_mut(at, key).room;
        for nth in 0..self.movers.len() {
            let mover = &mut self.movers[nth];
            let Stage::Waiting { since } = mover.stage else { continue };
            if (mover.to, mover.room) == (at, room) {
                mover.stage = Stage::Recovering { since };
                let pin = mover.pin;
                self.shards[usize::from(at)].recover(key, nth as u64, since, Some(pin));
            }
        }
    }

    /// One that waited is a member now.
    fn seat(&mut self, at: u16, key: RoomKey) {
        let dispatch = &self.shards[usize::from(at)];
        let position = dispatch.position(key);
        let present = dispatch.present(key).map(|face| face.author).collect();
        let view = self.view_mut(at, key);
        view.seated += 1;
        if view.position.is_none() {
            view.position = Some(position);
            view.present = present;
        }
        self.show(at, key, true);
    }

    fn show(&mut self, at: u16, key: RoomKey, shows: bool) {
        let dispatch = &mut self.shards[usize::from(at)];
        if dispatch.shows_presence(key) {
            for name in names(at) {
                match shows {
                    true => dispatch.show(key, name),
                    false => dispatch.hide(key, name),
                }
            }
        }
    }

    fn view_mut(&mut self, at: u16, key: RoomKey) -> &mut View {
        self.views[usize::from(at)].get_mut(&key).expect("what is told of is known")
    }

    /// A hub takes in all that its dispatcher tells.
    pub(super) fn hear(&mut self, at: u16) {
        while let Some(told) = self.shards[usize::from(at)].poll() {
            self.hear_one(at, told);
        }
        let dispatch = &self.shards[usize::from(at)];
        self.views[usize::from(at)].retain(|key, view| {
            let stays = dispatch.sides.contains(key.index());
            assert!(stays || view.waiting + view.seated == 0, "a room stays with its members");
            stays
        });
    }

    fn hear_one(&mut self, at: u16, told: Told) {
        match told {
            Told::Ready { room } => self.hear_ready(at, room),
            Told::Said { room, batch, numbered } => self.hear_said(at, room, &batch, numbered),
            Told::Gap { room, position, .. } => {
                let from = self.view_mut(at, room).position.replace(position);
                self.reference.gap(from.expect("who misses something was there"), position);
            }
            Told::Reset { room, position } => {
                let from = self.view_mut(at, room).position.replace(position);
                assert_ne!(from.expect("it was somewhere").epoch, position.epoch, "it is another");
            }
            Told::Answered { room, id, offset } => {
                let view = &self.views[usize::from(at)][&room];
                let epoch = view.position.expect("who published was there").epoch;
                self.reference.answered(at, id, view.room, Position { epoch, offset });
            }
            Told::Recovered { room, ask, batch, complete, .. } => {
                self.hear_recovered(at, room, ask, &batch, complete);
            }
            Told::Pinned { pin } => {
                let mut movers = self.movers.iter_mut();
                let mover = movers.find(|mover| mover.pin == pin).expect("somebody asked");
                if mover.stage == Stage::Pinning {
                    mover.stage = Stage::Pinned;
                }
            }
            Told::Present { room, change } => self.hear_present(at, room, change),
            Told::Flowing { .. } => {}
            Told::Inquiry(inquiry) => self.office.ask(at, inquiry),
        }
    }

    fn hear_ready(&mut self, at: u16, key: RoomKey) {
        if !self.shards[usize::from(at)].sides.contains(key.index()) {
            return;
        }
        let waiting = std::mem::take(&mut self.view_mut(at, key).waiting);
        (0..waiting).for_each(|_| self.seat(at, key));
        let view = &mut self.views[usize::from(at)].get_mut(&key).expect("it is there");
        if view.position.is_none() {
            view.position = Some(self.shards[usize::from(at)].position(key));
        }
        self.recover(at, key);
    }

    fn hear_said(&mut self, at: u16, key: RoomKey, batch: &Arc<Batch>, numbered: Option<Offset>) {
        let mut count = numbered;
        let (room, position) = {
            let view = self.view_mut(at, key);
            (view.room, view.position.expect("who is told something was told a position"))
        };
        let mut last = position.offset;
        for (meta, words) in batch.iter() {
            let meta = match &mut count {
                Some(count) => {
                    let prev = std::mem::replace(count, count.next());
                    Meta { prev, offset: *count, ..meta }
                }
                None => meta,
            };
            assert_eq!(meta.prev, last, "what is said is linked");
            last = meta.offset;
            let payload = payload_of(words);
            self.reference.place(room, meta.prev, Position { offset: last, ..position }, payload);
            if meta.origin.0 == at && meta.id > 0 {
                self.reference.answered_by(at, meta.id, room, payload);
            }
        }
        self.view_mut(at, key).position = Some(Position { offset: last, ..position });
    }

    fn hear_recovered(&mut self, at: u16, key: RoomKey, ask: u64, batch: &Batch, complete: bool) {
        let mover = &mut self.movers[ask as usize];
        let Stage::Recovering { since } = mover.stage else {
            panic!("a question is answered once");
        };
        mover.stage = Stage::Done;
        let view = &self.views[usize::from(at)][&key];
        let upto = view.position.expect("who asks is there");
        let entry = |(meta, words): (Meta, Words<'_>)| (meta.prev, meta.offset, payload_of(words));
        let entries: Vec<_> = batch.iter().map(entry).collect();
        self.reference.recovered(view.room, (since, upto), &entries, complete);
        self.seat(at, key);
    }

    fn hear_present(&mut self, at: u16, key: RoomKey, Change { who, joined }: Change) {
        let view = self.view_mut(at, key);
        let changed = match joined {
            true => view.present.insert(who.author),
            false => view.present.remove(&who.author),
        };
        // Before anyone is seated nobody has asked who is there.
        assert!(changed || view.position.is_none(), "who came was away, who went was there");
    }

    /// Who shows itself in a room, by what hubs know.
    pub(super) fn showing(&self, room: usize) -> BTreeSet<Author> {
        let shards = (0..self.setup.shards)
            .filter(|&at| self.view(at, room).is_some_and(|(_, view)| view.seated > 0));
        shards.flat_map(names).filter(|_| self.setup.presence).collect()
    }
}

fn payload_of(words: Words<'_>) -> Payload {
    match words {
        Words::Bytes(bytes) => Payload::from_bytes(bytes),
        Words::Body(_) => unreachable!("payloads here are small"),
    }
}
