//! Rooms by name: each namespace maps its rooms' names to their keys.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::RoomKey;
use crate::envelope::RoomName;
use crate::route::Namespace;

/// Names come from strangers, so their hash is keyed; nothing ever iterates over the map. A name
/// is looked up once for each connection, not for each message.
#[derive(Debug)]
pub(super) struct Names {
    keyed: Keyed,
    /// As far as there ever was a room.
    namespaces: Vec<HashMap<Arc<str>, RoomKey, Keyed>>,
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

impl Names {
    /// `seed` keys the hash: random in production, fixed in simulation.
    pub(super) fn new(seed: u64) -> Self {
        Self { keyed: Keyed(seed), namespaces: Vec::new() }
    }

    pub(super) fn get(&self, namespace: Namespace, name: &str) -> Option<RoomKey> {
        self.namespaces.get(namespace.index())?.get(name).copied()
    }

    pub(super) fn insert(&mut self, room: &RoomName, key: RoomKey) {
        let index = room.namespace.index();
        while self.namespaces.len() <= index {
            self.namespaces.push(HashMap::with_hasher(self.keyed));
        }
        self.namespaces[index].insert(Arc::clone(&room.name), key);
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        let names = &mut self.namespaces[room.namespace.index()];
        names.remove(&room.name);
        // A map that a crowd of rooms has grown gives its memory back when they are gone.
        if names.capacity() > 64 && names.len() < names.capacity() / 8 {
            names.shrink_to(names.len() * 2);
        }
    }
}
