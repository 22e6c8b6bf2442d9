//! Rooms by name: each namespace maps its rooms' names to their lanes.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use slab::Slab;

use crate::chunk::Chunk;
use crate::lane::Lane;
use crate::route::Namespace;

/// Names a lane of this shard while its room has members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LaneId(pub(crate) u32);

/// A shard's rooms. A room comes with its first member and goes with its last, leaving nothing.
///
/// Names come from strangers, so their hash is keyed; nothing ever iterates over the map. A name
/// is looked up once for each connection, not for each message.
#[derive(Debug)]
pub(crate) struct Rooms {
    names: Vec<HashMap<Arc<str>, LaneId, Keyed>>,
    lanes: Slab<Lane>,
}

/// SipHash with a key that strangers do not know.
#[derive(Clone, Copy, Debug)]
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, !self.0)
    }
}

impl Rooms {
    /// `seed` keys the hash: random in production, fixed in simulation.
    pub(crate) fn new(seed: u64) -> Self {
        let map = || HashMap::with_hasher(Keyed(seed));
        Self { names: (0..Namespace::COUNT).map(|_| map()).collect(), lanes: Slab::new() }
    }

    /// The lane of a room, made if this is its first member.
    pub(crate) fn enter(&mut self, namespace: Namespace, name: &str) -> LaneId {
        let names = &mut self.names[namespace.index()];
        if let Some(&lane) = names.get(name) {
            return lane;
        }
        let name: Arc<str> = name.into();
        let key = self.lanes.insert(Lane::new(namespace, Arc::clone(&name)));
        let lane = LaneId(u32::try_from(key).expect("fewer rooms than connections"));
        names.insert(name, lane);
        lane
    }

    /// Removes a room without members; what was still to be said in it is returned for reuse.
    ///
    /// # Panics
    /// If the room has members.
    pub(crate) fn retire(&mut self, lane: LaneId) -> Chunk {
        let lane = self.lanes.remove(lane.0 as usize);
        assert_eq!(lane.population(), 0, "only an empty room is retired");
        self.names[lane.namespace.index()].remove(&lane.room);
        lane.filling
    }

    pub(crate) fn lane(&self, lane: LaneId) -> &Lane {
        &self.lanes[lane.0 as usize]
    }

    pub(crate) fn lane_mut(&mut self, lane: LaneId) -> &mut Lane {
        &mut self.lanes[lane.0 as usize]
    }

    /// Rooms that have members.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Slot;

    #[test]
    fn the_same_name_in_two_namespaces_is_two_rooms() {
        let mut rooms = Rooms::new(1);
        let ws = rooms.enter(Namespace::WS, "lobby");
        assert_eq!(rooms.enter(Namespace::WS, "lobby"), ws);
        assert_ne!(rooms.enter(Namespace::ROOT, "lobby"), ws);
        assert_eq!(rooms.len(), 2);
    }

    #[test]
    fn a_retired_room_leaves_nothing_and_can_come_again() {
        let mut rooms = Rooms::new(1);
        let lane = rooms.enter(Namespace::WS, "lobby");
        let seat = rooms.lane_mut(lane).join(Slot(0));
        rooms.lane_mut(lane).leave(seat);
        rooms.retire(lane);
        assert_eq!(rooms.len(), 0);
        assert!(rooms.names.iter().all(HashMap::is_empty));
        rooms.enter(Namespace::WS, "lobby");
        assert_eq!(rooms.len(), 1);
    }
}
