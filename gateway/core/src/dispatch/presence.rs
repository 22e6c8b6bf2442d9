//! Who is in a room: each shard tells the home of its own, the home tells everyone of all.
//!
//! Both directions say who came and went, in order; when too much of it waits, or an attachment
//! begins, they say who is there instead. So what everyone knows becomes true again by itself.

use std::collections::{BTreeMap, BTreeSet};

use gateway_faults::{self as faults, Mutant};

use super::home::Home;
use super::side::State;
use super::{Dispatch, RoomKey, Told};
use crate::envelope::{Change, Command, Delivery, Face, Link, Post, Term};
use crate::id::{Author, ShardId};

/// Changes that wait, beyond which all members are told instead.
const CHANGES_MAX: usize = 256;

impl Dispatch {
    /// A member of this shard shows itself. Only for rooms whose policy says so.
    pub(crate) fn show(&mut self, room: RoomKey, who: impl Into<Face>) {
        let who = who.into();
        let count = self.sides[room.index()].roster.entry(who.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.change(room, Change { who, joined: true });
        }
    }

    /// It does not any more.
    pub(crate) fn hide(&mut self, room: RoomKey, who: impl Into<Face>) {
        let who = who.into();
        let roster = &mut self.sides[room.index()].roster;
        let count = roster.get_mut(&who).expect("who leaves was shown");
        *count -= 1;
        if *count == 0 {
            roster.remove(&who);
            self.change(room, Change { who, joined: false });
        }
    }

    /// Whether members of this room hear of each other.
    pub(crate) fn shows_presence(&self, room: RoomKey) -> bool {
        self.presence(&self.sides[room.index()].room)
    }

    /// Members of a room that show themselves, as this shard knows, in a fixed order.
    pub(crate) fn present(&self, room: RoomKey) -> impl Iterator<Item = &Face> {
        let (here, elsewhere) = self.faces(room);
        here.into_iter().flat_map(BTreeMap::keys).chain(elsewhere.into_iter().flatten())
    }

    /// How many they are.
    pub(crate) fn presence_count(&self, room: RoomKey) -> usize {
        let (here, elsewhere) = self.faces(room);
        here.map_or(0, BTreeMap::len) + elsewhere.map_or(0, BTreeSet::len)
    }

    /// How the author of a message shows itself, if it is still there.
    pub(crate) fn face_of(&self, room: RoomKey, author: Author) -> Option<&Face> {
        let from = Face::from(author);
        let (here, elsewhere) = self.faces(room);
        let here = here.and_then(|faces| faces.range(&from..).next().map(|(face, _)| face));
        let elsewhere = elsewhere.and_then(|faces| faces.range(&from..).next());
        here.or(elsewhere).filter(|face| face.author == author)
    }

    /// Those that are there: at the home here, or as a home elsewhere has told.
    fn faces(&self, room: RoomKey) -> (Option<&BTreeMap<Face, u32>>, Option<&BTreeSet<Face>>) {
        match self.sides.get(room.index()).map(|side| (side, side.state)) {
            None => (None, None),
            Some((_, State::Here { home })) => (Some(&self.homes[home as usize].roster), None),
            Some((side, _)) => (None, Some(&side.present)),
        }
    }

    fn change(&mut self, room: RoomKey, change: Change) {
        let side = &mut self.sides[room.index()];
        match side.state {
            State::Here { home } => self.count(home, change),
            // Attaching tells the whole roster.
            State::Claiming => {}
            State::Live { .. } | State::Attaching { .. } => {
                // One too many, and all are told instead.
                if side.changes.len() <= CHANGES_MAX {
                    side.changes.push(change);
                }
                if matches!(side.state, State::Live { .. }) {
                    self.mark_side(room);
                }
            }
        }
    }

    /// Tells the home who came and went here.
    pub(super) fn flush_changes(&mut self, room: RoomKey) {
        let side = &mut self.sides[room.index()];
        let State::Live { home, term } = side.state else { return };
        // Who has said something and left is known until that is heard.
        if side.changes.is_empty() || side.waiting.is_some() {
            return;
        }
        if self.outgoing.contains_key(&home) {
            return self.mark_side(room);
        }
        let whole = side.changes.len() > CHANGES_MAX;
        let mut changes = std::mem::take(&mut side.changes);
        if whole {
            let join = |who: Face| Change { who, joined: true };
            changes = side.roster.keys().cloned().map(join).collect();
        }
        let from = self.config.me;
        self.queue(home, Command::Presence { from, term, changes, whole });
    }

    pub(super) fn presence_of(
        &mut self,
        from: ShardId,
        term: Term,
        changes: &[Change],
        whole: bool,
    ) {
        let Some(index) = self.home(term) else { return };
        let shards = &self.homes[index as usize].shards;
        let Some(at) = shards.iter().position(|listener| listener.shard == from) else { return };
        if whole {
            let roster: Vec<Face> = changes.iter().map(|change| change.who.clone()).collect();
            return self.roster_of(index, at, &roster);
        }
        for change in changes {
            let roster = &mut self.homes[index as usize].shards[at].roster;
            let changed = match change.joined {
                true => roster.insert(change.who.clone()),
                false => roster.remove(&change.who),
            };
            if changed {
                self.count(index, change.clone());
            }
        }
    }

    /// These, and no others, are a shard's members that show themselves.
    pub(super) fn roster_of(&mut self, index: u32, at: usize, roster: &[Face]) {
        let listener = &mut self.homes[index as usize].shards[at];
        if listener.roster.is_empty() && roster.is_empty() {
            return;
        }
        let now: BTreeSet<Face> = roster.iter().cloned().collect();
        let before = std::mem::replace(&mut listener.roster, now.clone());
        for who in now.difference(&before) {
            self.count(index, Change { who: who.clone(), joined: true });
        }
        for who in before.difference(&now) {
            self.count(index, Change { who: who.clone(), joined: false });
        }
    }

    /// The side of this shard brings its members to the home, and learns who is there.
    pub(super) fn join_roster_here(&mut self, room: RoomKey, index: u32) {
        let side = &mut self.sides[room.index()];
        side.changes.clear();
        let known = std::mem::take(&mut side.present);
        let own: Vec<Face> = side.roster.keys().cloned().collect();
        assert_eq!(self.homes[index as usize].side, None, "the side is told by difference");
        for who in own {
            self.count(index, Change { who, joined: true });
        }
        let here: BTreeSet<Face> = self.homes[index as usize].roster.keys().cloned().collect();
        self.tell_difference(room, &known, &here);
    }

    /// The side of this shard takes its members with it.
    pub(super) fn leave_roster_here(&mut self, room: RoomKey, index: u32) {
        let own: Vec<Face> = self.sides[room.index()].roster.keys().cloned().collect();
        for who in own {
            self.count(index, Change { who, joined: false });
        }
    }

    /// What a home says of its members.
    pub(super) fn presence_told(&mut self, room: RoomKey, changes: Vec<Change>, whole: bool) {
        let present = &mut self.sides[room.index()].present;
        if whole {
            let here: BTreeSet<Face> = changes.into_iter().map(|change| change.who).collect();
            let known = std::mem::replace(present, here.clone());
            return self.tell_difference(room, &known, &here);
        }
        for change in changes {
            let present = &mut self.sides[room.index()].present;
            let changed = match change.joined {
                true => present.insert(change.who.clone()),
                false => present.remove(&change.who),
            };
            if changed {
                self.told.push_back(Told::Present { room, change });
            }
        }
    }

    fn tell_difference(&mut self, room: RoomKey, known: &BTreeSet<Face>, here: &BTreeSet<Face>) {
        for who in known.difference(here) {
            let change = Change { who: who.clone(), joined: false };
            self.told.push_back(Told::Present { room, change });
        }
        for who in here.difference(known) {
            let change = Change { who: who.clone(), joined: true };
            self.told.push_back(Told::Present { room, change });
        }
    }

    /// One shard more, or less, has this member: if it is the first or last one, all are told.
    fn count(&mut self, index: u32, change: Change) {
        let home = &mut self.homes[index as usize];
        if !home.count(&change) {
            return;
        }
        if !change.joined && faults::is(Mutant::LeaveUntold) {
            return;
        }
        if let Some(room) = home.side {
            let change = change.clone();
            self.told.push_back(Told::Present { room, change });
        }
        for listener in &mut home.shards {
            listener.changes.push(change.clone());
            if listener.changes.len() > CHANGES_MAX {
                listener.changes.clear();
                listener.roster_whole = true;
            }
        }
        self.mark_home(index);
    }

    /// Tells one shard who came and went; whether it was told.
    pub(super) fn tell_presence(
        &mut self,
        index: u32,
        at: usize,
        link: Link,
        post: &mut impl Post,
    ) -> bool {
        if !self.presence(&self.homes[index as usize].room) {
            return true;
        }
        let home = &mut self.homes[index as usize];
        let listener = &mut home.shards[at];
        let whole = listener.roster_whole;
        if !whole && listener.changes.is_empty() {
            return true;
        }
        let changes = if whole {
            home.roster.keys().cloned().map(|who| Change { who, joined: true }).collect()
        } else {
            std::mem::take(&mut listener.changes)
        };
        match post.deliver(listener.shard, Delivery::Presence { link, changes, whole }) {
            Ok(()) => {
                listener.changes.clear();
                listener.roster_whole = false;
                true
            }
            Err(Delivery::Presence { changes, .. }) if !whole => {
                listener.changes = changes;
                false
            }
            Err(_) => false,
        }
    }
}

impl Home {
    /// Whether a member came for the first time, or went for the last.
    fn count(&mut self, change: &Change) -> bool {
        if change.joined {
            let count = self.roster.entry(change.who.clone()).or_insert(0);
            *count += 1;
            return *count == 1;
        }
        let count = self.roster.get_mut(&change.who).expect("who leaves was counted");
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.roster.remove(&change.who);
        true
    }
}
