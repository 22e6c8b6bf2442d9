//! The room registry: which shard is home to a room, under which term.

mod name;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::marker::PhantomData;

use gateway_faults::{buggify, sometimes};

use self::name::{Keyed, Name, Named};
use crate::ids::ShardId;
use crate::padded::Padded;
use crate::rules::{Rules, Sound};
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock};

/// Rooms that a toucher may be home to beyond its share, so that few rooms stay where they are.
const SLACK: u64 = 64;
/// Entries that a stripe's table keeps room for, so that one room coming and going costs no
/// allocation each time; beyond that a table shrinks once it is less than an eighth full.
const SPARE: usize = 28;

/// All rooms of a node, by namespace and name.
///
/// A room has one home at a time, and each home has a term of its own: whatever comes or goes,
/// a (room, home, term) never means two things. Off the path of messages: each shard remembers
/// the homes of its rooms. A call holds the lock of one stripe for as long as a look-up takes,
/// and for a new room also a look at each shard.
///
/// A room costs 41 bytes in a table between 7/16 and 7/8 full, hence up to 94, and one
/// allocation of its name.
///
/// New homes are shared fairly by counts that other stripes change meanwhile. A race may let a
/// toucher exceed its share by as many rooms as there are claims at that moment, which the slack
/// dwarfs. That a room has one home never depends on these counts.
#[derive(Debug)]
pub struct RoomRegistry<R: Rules = Sound> {
    keyed: Keyed,
    stripes: Box<[Padded<Mutex<Table>>]>,
    /// Which shards may become home. Written by `serve` and `withdraw`, read under some
    /// stripe's lock.
    serving: Box<[AtomicBool]>,
    /// Rooms by home; each is changed under the lock of the room's stripe.
    homes: Box<[Padded<AtomicU64>]>,
    /// The last term that was given out.
    terms: Padded<AtomicU64>,
    rules: PhantomData<R>,
}

/// A room's home, as [`RoomRegistry::claim`] found or made it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The shard that sequences the room.
    pub home: ShardId,
    /// Names this home of this room; no other ever has the same.
    pub term: u64,
    /// Whether the room was unknown before.
    pub fresh: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Home {
    term: u64,
    shard: ShardId,
}

type Table = HashMap<Name, Home, Keyed>;

impl RoomRegistry {
    /// A registry without rooms, and without shards that serve. `seed` keys all hashes: random
    /// in production, fixed in simulation. Twice as many stripes as workers are plenty.
    ///
    /// # Panics
    /// If there are no stripes, or more shards than ids.
    #[must_use]
    pub fn new(seed: u64, stripes: usize, shards_max: usize) -> Self {
        Self::under_rules(seed, stripes, shards_max)
    }
}

impl<R: Rules> RoomRegistry<R> {
    pub(crate) fn under_rules(seed: u64, stripes: usize, shards_max: usize) -> Self {
        assert!(stripes > 0, "a registry has at least one stripe");
        assert!(shards_max <= 1 << 16, "each shard has an id");
        let keyed = Keyed(seed);
        let table = || Padded(Mutex::new(Table::with_hasher(keyed)));
        Self {
            keyed,
            stripes: (0..stripes).map(|_| table()).collect(),
            serving: (0..shards_max).map(|_| AtomicBool::new(false)).collect(),
            homes: (0..shards_max).map(|_| Padded::default()).collect(),
            terms: Padded::default(),
            rules: PhantomData,
        }
    }

    /// From now on this shard may become home. Whoever hears of a home sees all that was done
    /// before this.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn serve(&self, shard: ShardId) {
        self.serving[shard.index()].store(true, R::SERVE);
    }

    /// Once this returns, this shard becomes home of no further room, except if it touches one
    /// while no shard serves at all; those that it has stay until they migrate or retire.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn withdraw(&self, shard: ShardId) {
        self.serving[shard.index()].store(false, Ordering::Relaxed);
        if R::WITHDRAW_WAITS {
            // Whoever saw the shard serve holds a lock until its claim is settled, and whoever
            // takes the lock after us sees what we wrote.
            self.stripes.iter().for_each(|stripe| drop(lock(stripe)));
        }
    }

    /// The home of a room; a room that was unknown gets one.
    ///
    /// That is the toucher if it serves and is home to at most 9/8 of its share and 64 more,
    /// else a serving shard that the name alone decides; the toucher too if nobody serves.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn claim(&self, namespace: u16, name: &[u8], toucher: ShardId) -> Claim {
        let mut table = self.stripe(namespace, name);
        if let Some(&Home { term, shard }) = table.get(key(&(namespace, name))) {
            sometimes!(ClaimLost);
            return Claim { home: shard, term, fresh: false };
        }
        let shard = self.choose(namespace, name, toucher);
        sometimes!(ClaimRedirected, shard != toucher);
        let term = self.next_term();
        table.insert(Name::new(namespace, name), Home { term, shard });
        self.count(shard).fetch_add(1, Ordering::Relaxed);
        Claim { home: shard, term, fresh: true }
    }

    /// The home and the term of a known room.
    #[must_use]
    pub fn find(&self, namespace: u16, name: &[u8]) -> Option<(ShardId, u64)> {
        let table = self.stripe(namespace, name);
        table.get(key(&(namespace, name))).map(|home| (home.shard, home.term))
    }

    /// Forgets a room, for its home alone. False, and nothing changes, if the room is unknown or
    /// has another home or term.
    pub fn retire(&self, namespace: u16, name: &[u8], home: ShardId, term: u64) -> bool {
        let mut table = self.stripe(namespace, name);
        let Some(&known) = table.get(key(&(namespace, name))) else {
            return false;
        };
        if R::RETIRE_COMPARES && known != (Home { term, shard: home }) {
            return false;
        }
        table.remove(key(&(namespace, name)));
        self.count(known.shard).fetch_sub(1, Ordering::Relaxed);
        shrink(&mut table);
        true
    }

    /// Makes `to` the home of a room, under a new term, which is returned.
    ///
    /// None, and nothing changes, if the room is unknown or has another home or term than
    /// `from` and `term`, or if `to` does not serve.
    ///
    /// # Panics
    /// If there is no shard `to`.
    pub fn migrate(
        &self,
        namespace: u16,
        name: &[u8],
        from: ShardId,
        term: u64,
        to: ShardId,
    ) -> Option<u64> {
        let mut table = self.stripe(namespace, name);
        let known = table.get_mut(key(&(namespace, name)))?;
        let is_as_said = *known == Home { term, shard: from };
        if !is_as_said && R::MIGRATE_COMPARES || !self.serves(to) {
            return None;
        }
        self.count(known.shard).fetch_sub(1, Ordering::Relaxed);
        self.count(to).fetch_add(1, Ordering::Relaxed);
        *known = Home { term: self.next_term(), shard: to };
        Some(known.term)
    }

    /// Rooms that a shard is home to; exact while nobody claims, retires or migrates.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn homes(&self, shard: ShardId) -> u64 {
        self.count(shard).load(Ordering::Relaxed)
    }

    /// Rooms that are known; exact while nobody claims, retires or migrates.
    #[must_use]
    pub fn rooms(&self) -> u64 {
        self.homes.iter().map(|homes| homes.load(Ordering::Relaxed)).sum()
    }

    fn stripe(&self, namespace: u16, name: &[u8]) -> MutexGuard<'_, Table> {
        // The table takes its slots from the low bits and its tags from the highest ones.
        let hash = self.keyed.hash_one((namespace, name)) >> 24;
        let hash = hash & 0xffff_ffff;
        let index = hash % self.stripes.len() as u64;
        lock(&self.stripes[usize::try_from(index).expect("less than the number of stripes")])
    }

    fn choose(&self, namespace: u16, name: &[u8], toucher: ShardId) -> ShardId {
        if self.serves(toucher) && self.has_share_left(toucher) && !buggify!(ShareFull) {
            return toucher;
        }
        // Rendezvous: each shard draws a number from the name, the highest wins. A shard that
        // comes or goes changes the home of no name that it did not win.
        let draw = |shard: &ShardId| self.keyed.hash_one((namespace, name, shard.0));
        self.all_serving().max_by_key(draw).unwrap_or(toucher)
    }

    fn has_share_left(&self, shard: ShardId) -> bool {
        let serving = self.all_serving().count() as u64;
        8 * self.homes(shard) * serving <= 9 * self.rooms() + 8 * SLACK * serving
    }

    fn all_serving(&self) -> impl Iterator<Item = ShardId> {
        let shards = u16::MIN..=u16::MAX;
        let serving = self.serving.iter().zip(shards);
        serving.filter(|(serves, _)| serves.load(Ordering::Acquire)).map(|(_, id)| ShardId(id))
    }

    fn serves(&self, shard: ShardId) -> bool {
        self.serving[shard.index()].load(Ordering::Acquire)
    }

    fn count(&self, shard: ShardId) -> &AtomicU64 {
        &self.homes[shard.index()]
    }

    fn next_term(&self) -> u64 {
        self.terms.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn key<'a>(name: &'a (u16, &'a [u8])) -> &'a (dyn Named + 'a) {
    name
}

/// Shrinking by four each time costs less than what was removed since the last time.
fn shrink(table: &mut Table) {
    if table.capacity() > SPARE && table.capacity() / 8 > table.len() {
        table.shrink_to(table.len() * 2);
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests;
