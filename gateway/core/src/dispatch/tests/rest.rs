//! What a world looks like when nothing is left to happen, and when everyone has gone.

use std::collections::BTreeMap;

use super::world::World;
use crate::dispatch::home::Phase;
use crate::dispatch::side::State;
use crate::id::ShardId;
use crate::position::Position;

impl World {
    /// Nothing is left to happen: everyone was told everything, nobody is owed anything.
    pub(super) fn check_rest(&self) {
        assert!(self.enabled().is_empty(), "something is still to happen");
        self.reference.check_rest();
        assert!(self.movers.iter().all(|mover| mover.is_done()), "all arrived: {:?}", self.movers);
        let mut homes = BTreeMap::new();
        for (at, dispatch) in self.shards.iter().enumerate() {
            let at = ShardId(at as u16);
            assert_eq!(dispatch.waiting(), 0, "all that was published is under way");
            assert!(dispatch.awaiting.is_empty(), "no home is waited for");
            for (_, home) in &dispatch.homes {
                assert!(matches!(home.phase, Phase::Open), "no move is half done: {home:?}");
                assert_eq!(home.forwarder, None, "nothing is forwarded any more");
                assert!(home.unsequenced.is_empty() && home.early.is_empty(), "all have places");
                for listener in &home.shards {
                    assert!(listener.link.is_some(), "no shard is waited for: {listener:?}");
                    assert_eq!(listener.sent, home.head, "all was sent");
                }
                homes.insert(home.room.clone(), (at, home.term, home.position()));
            }
        }
        let named = homes.iter().map(|(room, &(at, term, _))| (room.clone(), (at, term)));
        let named: BTreeMap<_, _> = named.collect();
        assert_eq!(named, self.office.homes, "the registry knows the homes");
        for at in 0..self.setup.shards {
            self.check_sides(at, &homes);
        }
    }

    fn check_sides<T>(
        &self,
        at: u16,
        homes: &BTreeMap<crate::envelope::RoomName, (ShardId, T, Position)>,
    ) {
        let dispatch = &self.shards[usize::from(at)];
        for (index, side) in &dispatch.sides {
            let key = crate::dispatch::RoomKey(index as u32);
            let view = &self.views[usize::from(at)][&key];
            assert!(view.seated > 0, "a room without members is gone");
            assert_eq!(view.waiting, 0, "nobody waits");
            assert_eq!(side.members, view.seated, "members are counted");
            let &(home, _, position) = homes.get(&side.room).expect("the room has a home");
            match side.state {
                State::Here { .. } => assert_eq!(home, ShardId(at)),
                State::Live { home: known, .. } => assert_eq!(home, known),
                State::Claiming | State::Attaching { .. } => panic!("it is heard: {side:?}"),
            }
            assert_eq!(view.position, Some(position), "everyone was told everything");
            assert_eq!(side.position, position, "the side knows what it told");
            assert!(side.asks.is_empty() && side.pins.is_empty(), "nothing is asked for");
            assert!(!side.stalled && side.unanswered == 0, "everything flows");
            let showing = self.showing(view.room);
            assert_eq!(view.present, showing, "who is there is known on {at}");
            let present = dispatch.present(key).map(|face| face.author);
            assert!(present.eq(showing), "who is there is known beneath the hub too");
        }
    }

    /// Everyone leaves, and time passes: then nothing is left.
    pub(super) fn wind_up(&mut self) {
        self.check_rest();
        for at in 0..self.setup.shards {
            for key in self.views[usize::from(at)].keys().copied().collect::<Vec<_>>() {
                let view = &self.views[usize::from(at)][&key];
                (0..view.seated).for_each(|_| self.leave(at, key, true));
            }
        }
        self.settle();
        self.check_rest();
        self.now.0 += 40_000;
        self.settle();
        assert!(self.office.homes.is_empty(), "the registry is empty: {:?}", self.office.homes);
        for dispatch in &self.shards {
            assert_eq!((dispatch.rooms(), dispatch.homes()), (0, 0), "nothing is left behind");
            assert!(dispatch.terms.is_empty(), "no term is left behind");
            assert_eq!(dispatch.next_expiry(), crate::time::Tick::NEVER, "nothing is to be done");
        }
    }
}
