//! The lanes of a shard: for each room one per encoding that somebody there reads, deflated or not.

use std::num::NonZeroU32;

use slab::Slab;

use crate::chunk::Chunk;
use crate::deflate::Reach;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::lane::Lane;
use crate::thrift::Thrift;
use crate::time::Tick;

/// Names a lane of this shard while it has members, or something left to say.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LaneId(NonZeroU32);

impl LaneId {
    /// None is zero, so that a room's lanes are four bytes each.
    fn of(key: usize) -> Self {
        let id = u32::try_from(key + 1).ok().and_then(NonZeroU32::new);
        Self(id.expect("fewer lanes than connections"))
    }

    fn key(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A room's lanes, by encoding and reach.
pub(crate) type RoomLanes = [[Option<LaneId>; Reach::COUNT]; Encoding::COUNT];

/// A shard's lanes. A lane comes with its first member and goes with its last.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Slab<Lane>,
    thrift: Thrift,
    /// By room. As long as one is set, the room keeps its key.
    rooms: Vec<RoomLanes>,
}

impl Lanes {
    /// The room's lane in this encoding and reach, made if this is its first member.
    pub(crate) fn enter(&mut self, room: RoomKey, encoding: Encoding, reach: Reach) -> LaneId {
        if room.index() >= self.rooms.len() {
            self.rooms.resize(room.index() + 1, RoomLanes::default());
        }
        let place = &mut self.rooms[room.index()][encoding.index()][reach.index()];
        *place
            .get_or_insert_with(|| LaneId::of(self.lanes.insert(Lane::new(room, encoding, reach))))
    }

    /// Removes a lane without members; what was still to be said in it is returned for reuse.
    ///
    /// # Panics
    /// If the lane has members.
    pub(crate) fn retire(&mut self, id: LaneId) -> Chunk {
        let lane = self.lanes.remove(id.key());
        assert_eq!(lane.population(), 0, "only an empty lane is retired");
        self.rooms[lane.room.index()][lane.encoding.index()][lane.reach.index()] = None;
        lane.filling
    }

    /// Gives back what a crowd of rooms took that has gone.
    pub(crate) fn trim(&mut self, now: Tick) {
        self.thrift.trim(now, &mut self.lanes);
        while self.rooms.last().is_some_and(|lanes| lanes.iter().flatten().all(Option::is_none)) {
            self.rooms.pop();
        }
        if self.rooms.capacity() > 256 && self.rooms.len() < self.rooms.capacity() / 8 {
            self.rooms.shrink_to(self.rooms.len() * 2);
        }
    }

    /// The lanes of a room.
    #[inline]
    pub(crate) fn of(&self, room: RoomKey) -> impl Iterator<Item = LaneId> + use<> {
        let lanes = self.rooms.get(room.index()).copied().unwrap_or_default();
        lanes.into_iter().flatten().flatten()
    }

    /// The lanes of a room whose members read one of these encodings.
    pub(crate) fn reading(
        &self,
        room: RoomKey,
        encodings: &[Encoding],
    ) -> impl Iterator<Item = LaneId> + use<> {
        let lanes = self.rooms.get(room.index()).copied().unwrap_or_default();
        let of = |encoding: &Encoding| lanes[encoding.index()];
        let lanes: Vec<_> = encodings.iter().flat_map(of).flatten().collect();
        lanes.into_iter()
    }

    #[inline]
    pub(crate) fn lane(&self, id: LaneId) -> &Lane {
        &self.lanes[id.key()]
    }

    #[inline]
    pub(crate) fn lane_mut(&mut self, id: LaneId) -> &mut Lane {
        &mut self.lanes[id.key()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Slot;

    #[test]
    fn a_lane_comes_with_its_first_member_and_leaves_nothing() {
        let mut lanes = Lanes::default();
        let room = RoomKey(3);
        let lane = lanes.enter(room, Encoding::Raw, Reach::None);
        assert_eq!(lanes.enter(room, Encoding::Raw, Reach::None), lane);
        let deflated = lanes.enter(room, Encoding::Raw, Reach::Wide);
        assert_eq!(lanes.of(room).collect::<Vec<_>>(), [lane, deflated]);
        assert_eq!(lanes.reading(room, &[Encoding::Raw]).count(), 2);
        assert_eq!(lanes.reading(room, &[Encoding::Chat]).count(), 0);
        lanes.retire(deflated);
        assert_ne!(lanes.enter(RoomKey(1), Encoding::Raw, Reach::None), lane);
        let seat = lanes.lane_mut(lane).join(Slot(0));
        lanes.lane_mut(lane).leave(seat);
        lanes.retire(lane);
        assert_eq!(lanes.of(room).count(), 0);
        assert_eq!(lanes.lanes.len(), 1);
    }
}
