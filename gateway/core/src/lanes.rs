//! The lanes of a shard: for each room one per encoding that somebody there reads.

use slab::Slab;

use crate::chunk::Chunk;
use crate::dispatch::RoomKey;
use crate::encoding::Encoding;
use crate::lane::Lane;

/// Names a lane of this shard while it has members, or something left to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LaneId(pub(crate) u32);

/// A room's lanes, by encoding.
pub(crate) type RoomLanes = [Option<LaneId>; Encoding::COUNT];

/// A shard's lanes. A lane comes with its first member and goes with its last.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Slab<Lane>,
    /// By room. As long as one is set, the room keeps its key.
    rooms: Vec<RoomLanes>,
}

impl Lanes {
    /// The room's lane in this encoding, made if this is its first member.
    pub(crate) fn enter(&mut self, room: RoomKey, encoding: Encoding) -> LaneId {
        if room.index() >= self.rooms.len() {
            self.rooms.resize(room.index() + 1, [None; Encoding::COUNT]);
        }
        let place = &mut self.rooms[room.index()][encoding.index()];
        *place.get_or_insert_with(|| {
            let key = self.lanes.insert(Lane::new(room, encoding));
            LaneId(u32::try_from(key).expect("fewer lanes than connections"))
        })
    }

    /// Removes a lane without members; what was still to be said in it is returned for reuse.
    ///
    /// # Panics
    /// If the lane has members.
    pub(crate) fn retire(&mut self, id: LaneId) -> Chunk {
        let lane = self.lanes.remove(id.0 as usize);
        assert_eq!(lane.population(), 0, "only an empty lane is retired");
        self.rooms[lane.room.index()][lane.encoding.index()] = None;
        lane.filling
    }

    /// The lanes of a room.
    #[inline]
    pub(crate) fn of(&self, room: RoomKey) -> RoomLanes {
        self.rooms.get(room.index()).copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn lane(&self, id: LaneId) -> &Lane {
        &self.lanes[id.0 as usize]
    }

    #[inline]
    pub(crate) fn lane_mut(&mut self, id: LaneId) -> &mut Lane {
        &mut self.lanes[id.0 as usize]
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
        let lane = lanes.enter(room, Encoding::Raw);
        assert_eq!(lanes.enter(room, Encoding::Raw), lane);
        assert_ne!(lanes.enter(RoomKey(1), Encoding::Raw), lane);
        let seat = lanes.lane_mut(lane).join(Slot(0));
        lanes.lane_mut(lane).leave(seat);
        lanes.retire(lane);
        assert_eq!(lanes.of(room), RoomLanes::default());
        assert_eq!(lanes.lanes.len(), 1);
    }
}
