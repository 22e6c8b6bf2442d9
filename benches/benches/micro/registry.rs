//! What does it cost to ask for a room's home, to attach to it, and to let it come and go?
//!
//! Sketch: a hash of a short name, an uncontended lock and one or two cache lines, 40 ns; among
//! 100,000 rooms all of these lines are cold, 150 ns. A room that comes and goes copies its name to
//! the heap. A map of the standard library's behind one mutex does the same beside it, but shares
//! nothing fairly between shards and gives no terms.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use criterion::Criterion;
use gateway_registry::ids::ShardId;
use gateway_registry::rooms::RoomRegistry;

use crate::counted::Counted;

/// Rooms that are known.
const ROOMS: [usize; 2] = [1, 100_000];

/// From one room to the next that is asked for: prime to their number, so that all are.
const STRIDE: usize = 61_803;

/// Twice as many as workers.
const STRIPES: usize = 4;

const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = Counted::new(criterion, "registry");
    for rooms in ROOMS {
        let name = |who: &str, what: &str| format!("{who}, {what}, {rooms} rooms");
        group.operation(&name("weir", "look up"), 1, || look_up(Weir::with(rooms), rooms));
        group.operation(&name("mutex", "look up"), 1, || look_up(Plain::with(rooms), rooms));
        group.operation(&name("weir", "attach"), 1, || attach(Weir::with(rooms), rooms));
        group.operation(&name("mutex", "attach"), 1, || attach(Plain::with(rooms), rooms));
        group.operation(&name("weir", "come and go"), 1, || come_and_go(Weir::with(rooms)));
        group.operation(&name("mutex", "come and go"), 1, || come_and_go(Plain::with(rooms)));
    }
    group.finish();
}

/// Who is the home of this room, and the next time of another?
fn look_up(homes: impl Homes, rooms: usize) -> impl FnMut() {
    let (names, mut next) = (names(rooms), 0);
    move || {
        next = (next + STRIDE) % rooms;
        assert!(black_box(homes.find(names[next].as_bytes())).is_some(), "it is known");
    }
}

/// Another shard touches a room that has a home.
fn attach(homes: impl Homes, rooms: usize) -> impl FnMut() {
    let (names, mut next) = (names(rooms), 0);
    move || {
        next = (next + STRIDE) % rooms;
        let (_, _, fresh) = black_box(homes.claim(names[next].as_bytes(), SECOND));
        assert!(!fresh, "it is known");
    }
}

/// A room that nobody knew gets a home, and retires.
fn come_and_go(homes: impl Homes) -> impl FnMut() {
    move || {
        let (home, term, fresh) = homes.claim(black_box(b"newcomer"), FIRST);
        assert!(fresh, "nobody knew it");
        assert!(homes.retire(b"newcomer", home, term), "it was there");
    }
}

fn names(rooms: usize) -> Vec<String> {
    (0..rooms).map(|room| format!("room-{room}")).collect()
}

/// Who is home to which room.
trait Homes {
    /// A registry in which so many rooms are known.
    fn with(rooms: usize) -> Self;
    fn find(&self, name: &[u8]) -> Option<(ShardId, u64)>;
    /// Home, term, and whether the room was unknown.
    fn claim(&self, name: &[u8], toucher: ShardId) -> (ShardId, u64, bool);
    fn retire(&self, name: &[u8], home: ShardId, term: u64) -> bool;
}

struct Weir(RoomRegistry);

impl Homes for Weir {
    fn with(rooms: usize) -> Self {
        let registry = RoomRegistry::new(7, STRIPES, 2);
        [FIRST, SECOND].into_iter().for_each(|shard| registry.serve(shard));
        for name in names(rooms) {
            registry.claim(0, name.as_bytes(), FIRST);
        }
        Self(registry)
    }

    fn find(&self, name: &[u8]) -> Option<(ShardId, u64)> {
        self.0.find(0, name)
    }

    fn claim(&self, name: &[u8], toucher: ShardId) -> (ShardId, u64, bool) {
        let claim = self.0.claim(0, name, toucher);
        (claim.home, claim.term, claim.fresh)
    }

    fn retire(&self, name: &[u8], home: ShardId, term: u64) -> bool {
        self.0.retire(0, name, home, term)
    }
}

/// What anybody would begin with.
struct Plain(Mutex<HashMap<Box<[u8]>, Entry>>);

/// A room's home, and how many hold it.
type Entry = (ShardId, u64);

impl Homes for Plain {
    fn with(rooms: usize) -> Self {
        let homes = names(rooms).into_iter().map(|name| (name.into_bytes().into(), (FIRST, 1)));
        Self(Mutex::new(homes.collect()))
    }

    fn find(&self, name: &[u8]) -> Option<(ShardId, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn claim(&self, name: &[u8], toucher: ShardId) -> (ShardId, u64, bool) {
        let mut homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&(home, term)) = homes.get(name) {
            return (home, term, false);
        }
        homes.insert(name.into(), (toucher, 1));
        (toucher, 1, true)
    }

    fn retire(&self, name: &[u8], home: ShardId, term: u64) -> bool {
        let mut homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.get(name) != Some(&(home, term)) {
            return false;
        }
        homes.remove(name).is_some()
    }
}
