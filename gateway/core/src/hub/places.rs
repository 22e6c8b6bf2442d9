//! Connections in more rooms than one: those that a program has put there, by handlers or orders.
//!
//! A connection's own room, which its path names, is in the connection. What few have is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::conn::Transit;
use super::{Conn, Hub, Role, Stage, Who};
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::envelope::{Pin, RoomName};
use crate::frozen::Frozen;
use crate::hit::Hit;
use crate::lanes::LaneId;
use crate::position::Position;
use crate::route::Namespace;
use crate::slot::Slot;
use crate::time::Now;

/// What few connections have: who serves them knows them, or they are in rooms of a program.
#[derive(Debug)]
pub(super) struct Extra {
    /// What stood in the place of `{room}` in its path.
    pub(super) param: Arc<str>,
    pub(super) user: Option<Arc<str>>,
    /// The rooms that it was put into, in that order.
    pub(super) places: Vec<Place>,
}

impl Default for Extra {
    fn default() -> Self {
        Self { param: "".into(), user: None, places: Vec::new() }
    }
}

/// A place in one more room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) room: RoomKey,
    pub(super) stands: Stands,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stands {
    /// Until the room is heard here; from where the connection heard it, if it came from
    /// elsewhere.
    Waiting { since: Option<Position>, pin: Option<Pin> },
    /// What came since then was asked for.
    Asking { since: Position },
    /// It hears the room. The pin keeps the room's past when it is about to leave the shard.
    Seated { lane: LaneId, seat: u32, pin: Option<Pin>, pinned: bool },
}

/// A place between two shards.
#[derive(Debug)]
struct FrozenPlace {
    room: RoomName,
    since: Option<Position>,
    pin: Option<Pin>,
}

/// What few connections have, between two shards.
#[derive(Debug, Default)]
pub(crate) struct Known {
    user: Option<Arc<str>>,
    param: Arc<str>,
    places: Vec<FrozenPlace>,
}

impl Extra {
    fn place(&self, room: RoomKey) -> Option<&Place> {
        self.places.iter().find(|place| place.room == room)
    }

    fn place_mut(&mut self, room: RoomKey) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.room == room)
    }

    /// Where it sits in a lane.
    pub(super) fn seat_in(&self, id: LaneId) -> Option<u32> {
        self.places.iter().find_map(|place| match place.stands {
            Stands::Seated { lane, seat, .. } if lane == id => Some(seat),
            Stands::Seated { .. } | Stands::Waiting { .. } | Stands::Asking { .. } => None,
        })
    }

    /// Another seat in the same lane.
    fn sit(&mut self, id: LaneId, to: u32) {
        for place in &mut self.places {
            if let Stands::Seated { lane, seat, .. } = &mut place.stands
                && *lane == id
            {
                *seat = to;
            }
        }
    }

    /// Where it sits, in all rooms but its own.
    pub(super) fn seats(&self) -> impl Iterator<Item = (LaneId, u32)> {
        self.places.iter().filter_map(|place| match place.stands {
            Stands::Seated { lane, seat, .. } => Some((lane, seat)),
            Stands::Waiting { .. } | Stands::Asking { .. } => None,
        })
    }
}

impl Hub {
    /// Puts an open connection into a room beside those it is in; whether it is there now, or will
    /// be. Not an echo, nor one that is in `rooms_max` rooms.
    pub(super) fn take_place(&mut self, slot: Slot, namespace: Namespace, name: &str) -> bool {
        let conn = &self.conns[slot.index()];
        if conn.stage != Stage::Open || conn.echoes {
            return false;
        }
        let (room, ready) = self.dispatch.enter(namespace, name);
        let own = self.room_of(slot) == Some(room);
        let extra = self.extras.entry(slot).or_default();
        if own || extra.place(room).is_some() {
            // It counts once.
            self.dispatch.leave(room);
            return true;
        }
        if extra.places.len() >= self.config.limits.rooms_max {
            self.counters.hit(Hit::Rooms);
            self.dispatch.leave(room);
            return false;
        }
        self.await_place(slot, room, ready, None, None);
        true
    }

    fn await_place(
        &mut self,
        slot: Slot,
        room: RoomKey,
        ready: bool,
        since: Option<Position>,
        pin: Option<Pin>,
    ) {
        let stands = Stands::Waiting { since, pin };
        self.extras.entry(slot).or_default().places.push(Place { room, stands });
        if ready {
            self.enter_place(slot, room);
        } else {
            let who = self.who(slot);
            self.joining.entry(room).or_default().push(who);
        }
    }

    /// The room that a connection's path names.
    fn room_of(&self, slot: Slot) -> Option<RoomKey> {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } => Some(self.lanes.lane(lane).room),
            Role::Waiting { room } => Some(room),
            Role::Handled | Role::Echo | Role::Nothing => None,
        }
    }

    /// Whether the connection waits for this room beside its own.
    pub(super) fn waits_for_place(&self, slot: Slot, room: RoomKey) -> bool {
        let place = self.extras.get(&slot).and_then(|extra| extra.place(room));
        place.is_some_and(|place| matches!(place.stands, Stands::Waiting { .. }))
    }

    /// The room is heard here: it sits down, or asks for what came since it heard it elsewhere.
    pub(super) fn enter_place(&mut self, slot: Slot, room: RoomKey) {
        let place = self.extras.get(&slot).and_then(|extra| extra.place(room));
        match place.map(|place| place.stands) {
            Some(Stands::Waiting { since: None, .. }) => self.sit_in_place(slot, room),
            Some(Stands::Waiting { since: Some(_), .. }) => self.queue_for_past(slot, room),
            Some(Stands::Asking { .. } | Stands::Seated { .. }) | None => {}
        }
    }

    /// Asks for what came since a connection heard a room elsewhere.
    pub(super) fn ask_for_place(&mut self, slot: Slot, room: RoomKey) {
        let ask = self.ask_of(slot);
        let Some(extra) = self.extras.get_mut(&slot) else { return };
        let Some(place) = extra.place_mut(room) else { return };
        let Stands::Waiting { since: Some(since), pin } = place.stands else { return };
        place.stands = Stands::Asking { since };
        self.recoveries += 1;
        self.dispatch.recover(room, ask, since, pin);
    }

    /// Where a connection that asked for a room's past heard it last.
    pub(super) fn asks_from(&self, slot: Slot, room: RoomKey) -> Option<Position> {
        match self.extras.get(&slot)?.place(room)?.stands {
            Stands::Asking { since } => Some(since),
            Stands::Waiting { .. } | Stands::Seated { .. } => None,
        }
    }

    /// It hears the room from now on.
    pub(super) fn sit_in_place(&mut self, slot: Slot, room: RoomKey) {
        let encoding = self.encoding_of(slot);
        let lane = self.lanes.enter(room, encoding, self.reach(slot));
        let seat = self.lanes.lane_mut(lane).join(slot);
        if self.conns[slot.index()].owes() {
            self.lanes.lane_mut(lane).mark_owing(seat, true);
        }
        let extra = self.extras.get_mut(&slot).expect("it has a place");
        let place = extra.place_mut(room).expect("it has this place");
        place.stands = Stands::Seated { lane, seat, pin: None, pinned: false };
    }

    /// In which encoding it reads all of its rooms.
    pub(super) fn encoding_of(&self, slot: Slot) -> Encoding {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } => self.lanes.lane(lane).encoding,
            Role::Waiting { .. } => match self.conns[slot.index()].transit.as_deref() {
                Some(Transit::Joining(joining)) => joining.encoding,
                Some(Transit::Asking(_) | Transit::Leaving(_)) | None => Encoding::Raw,
            },
            Role::Handled | Role::Echo | Role::Nothing => Encoding::Raw,
        }
    }

    /// Takes a connection out of a room that it was put into.
    pub(super) fn leave_place(&mut self, slot: Slot, namespace: Namespace, name: &str) {
        let Some(room) = self.dispatch.find(namespace, name) else { return };
        let Some(extra) = self.extras.get_mut(&slot) else { return };
        let Some(at) = extra.places.iter().position(|place| place.room == room) else { return };
        let place = extra.places.remove(at);
        if let Stands::Seated { lane, .. } = place.stands {
            self.send_what_waited(slot, lane);
        }
        self.vacate_place(slot, place);
    }

    /// Takes it out of all rooms that it was put into.
    pub(super) fn leave_places(&mut self, slot: Slot) {
        if self.extras.is_empty() {
            return;
        }
        let Some(extra) = self.extras.get_mut(&slot) else { return };
        for place in std::mem::take(&mut extra.places) {
            self.vacate_place(slot, place);
        }
    }

    fn vacate_place(&mut self, slot: Slot, place: Place) {
        match place.stands {
            Stands::Waiting { pin, .. } => {
                self.stop_waiting(slot, place.room);
                if let Some(pin) = pin {
                    self.dispatch.unpin(place.room, pin);
                }
                self.dispatch.leave(place.room);
            }
            Stands::Asking { .. } => self.dispatch.leave(place.room),
            Stands::Seated { lane, seat, pin, .. } => {
                if let Some(pin) = pin {
                    self.pins.remove(&pin);
                    self.dispatch.unpin(place.room, pin);
                }
                self.forget_missed(slot, place.room);
                self.vacate(slot, lane, seat);
            }
        }
    }

    /// It waits for a room no more.
    fn stop_waiting(&mut self, slot: Slot, room: RoomKey) {
        if let Some(waiting) = self.joining.get_mut(&room) {
            waiting.retain(|who| who.slot != slot);
            if waiting.is_empty() {
                self.joining.remove(&room);
            }
        }
    }

    /// What it missed of a room that it has left is not told any more: the key may be another
    /// room's by then.
    fn forget_missed(&mut self, slot: Slot, room: RoomKey) {
        let missed = self.pending.missed.iter_mut().chain(&mut self.round.missed);
        for missed in missed.filter(|missed| missed.slot == slot && missed.room == room) {
            // A generation that the slot has had: the recovery still ends.
            missed.generation = missed.generation.wrapping_sub(1);
        }
    }

    /// Hears nothing more of the rooms it was put into, but what was said until now.
    pub(super) fn hush_places(&mut self, slot: Slot) {
        let Self { extras, lanes, .. } = self;
        let Some(extra) = extras.get_mut(&slot) else { return };
        let (mut gone, mut hushed) = (Vec::new(), Vec::new());
        extra.places.retain(|&place| match place.stands {
            Stands::Seated { lane, seat, .. } if !lanes.lane(lane).is_idle() => {
                lanes.lane_mut(lane).hush(seat, slot);
                hushed.push(lane);
                true
            }
            Stands::Seated { .. } | Stands::Waiting { .. } | Stands::Asking { .. } => {
                gone.push(place);
                false
            }
        });
        hushed.into_iter().for_each(|lane| self.hurry(lane));
        gone.into_iter().for_each(|place| self.vacate_place(slot, place));
    }

    /// Where a connection sits in a lane.
    #[inline]
    pub(super) fn seat_in(&self, slot: Slot, id: LaneId) -> Option<u32> {
        seat_in(&self.conns[slot.index()], &self.extras, slot, id)
    }

    /// The lane of a room in which a connection sits.
    pub(super) fn lane_at(&self, slot: Slot, room: RoomKey) -> Option<LaneId> {
        match self.conns[slot.index()].role {
            Role::Member { lane, .. } if self.lanes.lane(lane).room == room => Some(lane),
            Role::Member { .. }
            | Role::Waiting { .. }
            | Role::Handled
            | Role::Echo
            | Role::Nothing => match self.extras.get(&slot)?.place(room)?.stands {
                Stands::Seated { lane, .. } => Some(lane),
                Stands::Waiting { .. } | Stands::Asking { .. } => None,
            },
        }
    }

    /// All rooms of a connection, its own first.
    pub(super) fn rooms_at(&self, slot: Slot) -> Vec<RoomName> {
        let own = self.room_of(slot);
        let places = self.extras.get(&slot).into_iter().flat_map(|extra| &extra.places);
        let rooms = own.into_iter().chain(places.map(|place| place.room));
        rooms.map(|room| self.dispatch.name(room).clone()).collect()
    }

    /// Has the past of its rooms kept, for one that is about to leave the shard.
    pub(super) fn pin_places(&mut self, now: Now, who: Who) {
        let Self { extras, dispatch, pins, .. } = self;
        let Some(extra) = extras.get_mut(&who.slot) else { return };
        for place in &mut extra.places {
            if let Stands::Seated { pin: pin @ None, .. } = &mut place.stands {
                let made = *pin.insert(dispatch.pin(now.tick(), place.room));
                pins.insert(made, who);
            }
        }
    }

    /// The past of a room is kept; whether it is one of these.
    pub(super) fn place_pinned(&mut self, slot: Slot, kept: Pin) {
        let Some(extra) = self.extras.get_mut(&slot) else { return };
        for place in &mut extra.places {
            if let Stands::Seated { pin: Some(pin), pinned, .. } = &mut place.stands
                && *pin == kept
            {
                *pinned = true;
            }
        }
    }

    /// Whether nothing is to be waited for before it may leave the shard.
    pub(super) fn places_may_leave(&self, slot: Slot) -> bool {
        let places = self.extras.get(&slot).into_iter().flat_map(|extra| &extra.places);
        places.into_iter().all(|place| match place.stands {
            Stands::Seated { pinned, .. } => pinned,
            Stands::Waiting { .. } => true,
            // The answer would come to nobody.
            Stands::Asking { .. } => false,
        })
    }

    /// Takes along what few connections have.
    pub(super) fn freeze_extra(&mut self, slot: Slot, frozen: &mut Frozen) {
        let Some(extra) = self.extras.get_mut(&slot) else { return };
        let mut places = std::mem::take(&mut extra.places);
        let (user, param) = (extra.user.clone(), Arc::clone(&extra.param));
        let frozen_places = places.iter_mut().map(|place| {
            let room = self.dispatch.name(place.room).clone();
            let (since, pin) = match &mut place.stands {
                Stands::Waiting { since, pin } => (*since, pin.take()),
                Stands::Asking { since } => (Some(*since), None),
                Stands::Seated { lane, pin, .. } => {
                    let mut position = self.dispatch.position(place.room);
                    let floors = &self.lanes.lane(*lane).floors;
                    let floor = floors.iter().find(|floor| floor.slot == slot);
                    position.offset = floor.map_or(position.offset, |floor| floor.offset);
                    // The pin goes along; it is not let go of here.
                    (Some(position), pin.take())
                }
            };
            FrozenPlace { room, since, pin }
        });
        frozen.known = Known { user, param, places: frozen_places.collect() };
        places.into_iter().for_each(|place| self.vacate_place(slot, place));
    }

    /// Takes the places again that a connection had elsewhere.
    pub(super) fn thaw_extra(&mut self, slot: Slot, known: Known) {
        let Known { user, param, places } = known;
        self.know_user(slot, user);
        if !param.is_empty() {
            self.extras.entry(slot).or_default().param = param;
        }
        for FrozenPlace { room, since, pin } in places {
            let (room, ready) = self.dispatch.enter(room.namespace, &room.name);
            self.await_place(slot, room, ready, since, pin);
        }
    }

    /// Remembers who a connection is.
    pub(super) fn know_user(&mut self, slot: Slot, user: Option<Arc<str>>) {
        let Some(user) = user else { return };
        self.users.entry(Arc::clone(&user)).or_default().push(slot);
        self.extras.entry(slot).or_default().user = Some(user);
    }

    /// What few connections have is gone with it.
    pub(super) fn forget_extra(&mut self, slot: Slot) {
        if self.extras.is_empty() {
            return;
        }
        let Some(extra) = self.extras.remove(&slot) else { return };
        assert!(extra.places.is_empty(), "who has gone has left its rooms");
        let Some(user) = extra.user else { return };
        if let Some(slots) = self.users.get_mut(&user) {
            slots.retain(|&known| known != slot);
            if slots.is_empty() {
                self.users.remove(&user);
            }
        }
    }
}

/// Where a connection sits in a lane.
#[inline]
pub(super) fn seat_in(
    conn: &Conn,
    extras: &BTreeMap<Slot, Extra>,
    slot: Slot,
    id: LaneId,
) -> Option<u32> {
    match conn.role {
        Role::Member { lane, seat } if lane == id => Some(seat),
        Role::Member { .. } | Role::Waiting { .. } | Role::Handled | Role::Echo | Role::Nothing => {
            extras.get(&slot)?.seat_in(id)
        }
    }
}

/// Another seat in the same lane, after the one who sat there left.
#[inline]
pub(super) fn reseat(
    conn: &mut Conn,
    extras: &mut BTreeMap<Slot, Extra>,
    slot: Slot,
    id: LaneId,
    seat: u32,
) {
    match conn.role {
        Role::Member { lane, .. } if lane == id => conn.sit(id, seat),
        Role::Member { .. } | Role::Waiting { .. } | Role::Handled | Role::Echo | Role::Nothing => {
            extras.get_mut(&slot).expect("who sits in a lane has a place there").sit(id, seat);
        }
    }
}
