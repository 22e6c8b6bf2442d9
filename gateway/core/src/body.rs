//! A payload that many members share, whatever holds its bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::transmit::{Part, StoredId};

/// Keeps large payloads outside of the heap, so that they can be sent without being copied.
///
/// Implemented where the operating system is known. An extent is never rewritten between
/// `put` and `free`.
pub trait Store: Send + Sync {
    /// Keeps a copy of `bytes`; `None` if there is no room, which costs speed only.
    fn put(&self, bytes: &[u8]) -> Option<StoredId>;

    /// Reads a range of an extent back, for what cannot be sent from where it is; `None` if that
    /// fails.
    fn read(&self, id: StoredId, range: Range<u64>) -> Option<Vec<u8>>;

    /// Gives an extent back. Called once for each extent, when its last [`Body`] is dropped.
    fn free(&self, id: StoredId);
}

/// Payload bytes, immutable and cheap to clone.
///
/// What holds them is private, so that no signature commits to one kind.
#[derive(Clone)]
pub struct Body(Repr);

#[derive(Clone)]
enum Repr {
    Shared(Bytes),
    Stored { extent: Arc<Extent>, start: usize, end: usize },
}

/// An extent's only owner; dropping it frees the extent.
struct Extent {
    id: StoredId,
    store: Arc<dyn Store>,
}

impl Body {
    /// Keeps `bytes` in `store`, or gives `None` if the store has no room.
    #[must_use]
    pub fn stored(bytes: &[u8], store: &Arc<dyn Store>) -> Option<Self> {
        let id = store.put(bytes)?;
        let extent = Arc::new(Extent { id, store: Arc::clone(store) });
        Some(Self(Repr::Stored { extent, start: 0, end: bytes.len() }))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Shared(bytes) => bytes.len(),
            Repr::Stored { start, end, .. } => end - start,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes `from..to` as a part to send.
    ///
    /// # Panics
    /// If the range is not within the body.
    #[must_use]
    pub fn part(&self, from: usize, to: usize) -> Part<'_> {
        assert!(from <= to && to <= self.len(), "a part lies within its body");
        match &self.0 {
            Repr::Shared(bytes) => Part::Bytes(&bytes[from..to]),
            Repr::Stored { extent, start, .. } => {
                let range = (start + from) as u64..(start + to) as u64;
                Part::Stored { id: extent.id, range }
            }
        }
    }

    /// The bytes: a copy, if a store has them; none if it cannot read them back.
    #[must_use]
    pub fn read(&self) -> Option<Cow<'_, [u8]>> {
        match &self.0 {
            Repr::Shared(bytes) => Some(Cow::Borrowed(bytes)),
            Repr::Stored { extent, start, end } => {
                let range = *start as u64..*end as u64;
                extent.store.read(extent.id, range).map(Cow::Owned)
            }
        }
    }

    /// Bytes `from..to` as a body of their own, which shares them.
    ///
    /// # Panics
    /// If the range is not within the body.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.len(), "a slice lies within its body");
        match &self.0 {
            Repr::Shared(bytes) => Self(Repr::Shared(bytes.slice(from..to))),
            Repr::Stored { extent, start, .. } => {
                let (extent, start, end) = (Arc::clone(extent), start + from, start + to);
                Self(Repr::Stored { extent, start, end })
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Repr::Shared(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Repr::Shared(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.store.free(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_slice_of_a_slice_is_the_same_bytes() {
        let store: Arc<dyn Store> = Arc::new(Shelf::default());
        let bytes: Vec<u8> = (0..100).collect();
        let stored = Body::stored(&bytes, &store).expect("there is room").slice(10, 60).slice(5, 9);
        let shared = Body::from(bytes).slice(10, 60).slice(5, 9);
        assert_eq!((stored.len(), shared.len()), (4, 4));
        assert_eq!(shared.part(1, 3), Part::Bytes(&[16, 17]));
        assert_eq!(stored.read(), shared.read());
        let Part::Stored { range, .. } = stored.part(1, 3) else { panic!("it is stored") };
        assert_eq!(range, 16..18);
    }

    #[derive(Default)]
    struct Shelf {
        freed: Mutex<Vec<StoredId>>,
        full: bool,
    }

    impl Store for Shelf {
        fn put(&self, bytes: &[u8]) -> Option<StoredId> {
            (!self.full).then_some(StoredId(bytes.len() as u64))
        }

        fn read(&self, _: StoredId, range: Range<u64>) -> Option<Vec<u8>> {
            Some(range.map(|at| at as u8).collect())
        }

        fn free(&self, id: StoredId) {
            self.freed.lock().unwrap().push(id);
        }
    }

    #[test]
    fn the_last_clone_frees_the_extent_once() {
        let shelf = Arc::new(Shelf::default());
        let store: Arc<dyn Store> = Arc::clone(&shelf) as Arc<dyn Store>;
        let first = Body::stored(b"seven b", &store).unwrap();
        let second = first.clone();
        drop(first);
        assert!(shelf.freed.lock().unwrap().is_empty());
        assert_eq!(second.part(2, 5), Part::Stored { id: StoredId(7), range: 2..5 });
        drop(second);
        assert_eq!(*shelf.freed.lock().unwrap(), [StoredId(7)]);
    }

    #[test]
    fn a_full_store_is_not_an_error() {
        let store: Arc<dyn Store> = Arc::new(Shelf { full: true, ..Shelf::default() });
        assert!(Body::stored(b"bytes", &store).is_none());
    }

    #[test]
    fn shared_bytes_give_byte_parts() {
        let body = Body::from(b"abcdef".to_vec());
        assert_eq!(body.part(1, 4), Part::Bytes(b"bcd"));
    }
}
