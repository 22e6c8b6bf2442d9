//! Stored payloads in memory, for networks without an operating system.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::body::Store;
use gateway_core::transmit::StoredId;

/// A handle on a map of extents; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Extents(Arc<Mutex<Map>>);

#[derive(Debug, Default)]
struct Map {
    extents: BTreeMap<StoredId, Vec<u8>>,
    made: u64,
}

impl Extents {
    /// Keeps a copy of `bytes` under an id that was never used before.
    #[must_use]
    pub fn insert(&self, bytes: &[u8]) -> StoredId {
        self.with(|map| {
            let id = StoredId(map.made);
            map.made += 1;
            map.extents.insert(id, bytes.to_vec());
            id
        })
    }

    /// Gives an extent back.
    ///
    /// # Panics
    /// If there is no such extent: each is given back once.
    pub fn remove(&self, id: StoredId) {
        let extent = self.with(|map| map.extents.remove(&id));
        assert!(extent.is_some(), "{id:?} is removed once, after it was inserted");
    }

    /// How many extents are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|map| map.extents.len())
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands bytes `range` of an extent to `take`.
    ///
    /// # Panics
    /// If there is no such extent or the range leaves it: a part outlived what it names.
    pub(crate) fn read(&self, id: StoredId, range: Range<usize>, take: impl FnOnce(&[u8])) {
        self.with(|map| {
            let extent = map.extents.get(&id).unwrap_or_else(|| panic!("{id:?} is still kept"));
            let len = extent.len();
            let bytes = extent
                .get(range.clone())
                .unwrap_or_else(|| panic!("{range:?} lies within the {len} bytes of {id:?}"));
            take(bytes);
        });
    }

    fn with<R>(&self, work: impl FnOnce(&mut Map) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Extents {
    fn put(&self, head: &[u8], rest: &[u8]) -> Option<StoredId> {
        Some(self.insert(&[head, rest].concat()))
    }

    fn read(&self, id: StoredId, range: Range<u64>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(id, range.start as usize..range.end as usize, |read| bytes.extend(read));
        Some(bytes)
    }

    fn free(&self, id: StoredId) {
        self.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_used_twice() {
        let extents = Extents::default();
        let first = extents.insert(b"first");
        extents.remove(first);
        let second = extents.insert(b"second");
        assert_ne!(first, second);
        assert_eq!(extents.len(), 1);
    }

    #[test]
    #[should_panic(expected = "is removed once")]
    fn giving_an_extent_back_twice_is_a_bug() {
        let extents = Extents::default();
        let id = extents.insert(b"x");
        extents.remove(id);
        extents.remove(id);
    }
}
