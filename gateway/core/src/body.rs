//! A payload that many members share, whatever holds its bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::frame::{self, Opcode};
use crate::transmit::{Part, StoredId};

/// Keeps large payloads outside of the heap, so that they can be sent without being copied.
///
/// Implemented where the operating system is known. An extent is never rewritten between
/// `put` and `free`.
pub trait Store: Send + Sync {
    /// Keeps a copy of `head` and `rest` as one run; `None` if there is no room, which costs speed
    /// only.
    fn put(&self, head: &[u8], rest: &[u8]) -> Option<StoredId>;

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

/// An extent's only owner; dropping it frees the extent. It holds a whole frame, header and all, so
/// that most members get it in one piece.
struct Extent {
    id: StoredId,
    store: Arc<dyn Store>,
    opcode: Opcode,
    /// Bytes of the frame's header and payload.
    len: usize,
}

impl Body {
    /// Keeps `payload`, and the header of a frame for it, in `store`; `None` if that has no room.
    #[must_use]
    pub fn stored(opcode: Opcode, payload: &[u8], store: &Arc<dyn Store>) -> Option<Self> {
        let mut header = Vec::with_capacity(frame::header_len(payload.len()));
        frame::put_header(&mut header, opcode, payload.len());
        let id = store.put(&header, payload)?;
        let (start, end) = (header.len(), header.len() + payload.len());
        let extent = Arc::new(Extent { id, store: Arc::clone(store), opcode, len: end });
        Some(Self(Repr::Stored { extent, start, end }))
    }

    /// The whole frame of which this is the payload, header and all, if it is kept as one.
    #[must_use]
    pub fn framed(&self, opcode: Opcode) -> Option<Self> {
        let Repr::Stored { extent, start, end } = &self.0 else { return None };
        let is_whole = *start == frame::header_len(end - start) && *end == extent.len;
        let is_frame = is_whole && extent.opcode == opcode;
        is_frame
            .then(|| Self(Repr::Stored { extent: Arc::clone(extent), start: 0, end: extent.len }))
    }

    /// Bytes of the frame with whose header this begins; `None` if it begins with payload.
    #[must_use]
    pub fn frame_len(&self) -> Option<usize> {
        match &self.0 {
            Repr::Stored { extent, start: 0, .. } => Some(extent.len),
            Repr::Stored { .. } | Repr::Shared(_) => None,
        }
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
        let stored = Body::stored(Opcode::Binary, &bytes, &store).expect("there is room");
        let stored = stored.slice(10, 60).slice(5, 9);
        let shared = Body::from(bytes).slice(10, 60).slice(5, 9);
        assert_eq!((stored.len(), shared.len()), (4, 4));
        assert_eq!(shared.part(1, 3), Part::Bytes(&[16, 17]));
        assert_eq!(stored.read(), shared.read());
        let Part::Stored { range, .. } = stored.part(1, 3) else { panic!("it is stored") };
        assert_eq!(range, 18..20, "behind a header of two bytes");
    }

    #[test]
    fn a_frame_is_kept_whole_and_known_by_its_header() {
        let store: Arc<dyn Store> = Arc::new(Shelf::default());
        let body = Body::stored(Opcode::Text, &[7; 300], &store).expect("there is room");
        assert_eq!((body.len(), body.frame_len()), (300, None));
        let frame = body.framed(Opcode::Text).expect("it is one frame");
        assert_eq!((frame.len(), frame.frame_len()), (304, Some(304)));
        assert_eq!(frame.slice(0, 9).frame_len(), Some(304), "its beginning tells");
        assert!(body.framed(Opcode::Binary).is_none(), "that is another frame");
        assert!(body.slice(0, 299).framed(Opcode::Text).is_none());
        assert!(body.slice(1, 300).framed(Opcode::Text).is_none());
        assert!(Body::from(vec![7; 300]).framed(Opcode::Text).is_none());
    }

    #[derive(Default)]
    struct Shelf {
        freed: Mutex<Vec<StoredId>>,
        full: bool,
    }

    impl Store for Shelf {
        fn put(&self, head: &[u8], rest: &[u8]) -> Option<StoredId> {
            (!self.full).then_some(StoredId((head.len() + rest.len()) as u64))
        }

        fn read(&self, _: StoredId, range: Range<u64>) -> Option<Vec<u8>> {
            Some(range.map(|at| at as u8 - 2).collect())
        }

        fn free(&self, id: StoredId) {
            self.freed.lock().unwrap().push(id);
        }
    }

    #[test]
    fn the_last_clone_frees_the_extent_once() {
        let shelf = Arc::new(Shelf::default());
        let store: Arc<dyn Store> = Arc::clone(&shelf) as Arc<dyn Store>;
        let first = Body::stored(Opcode::Text, b"seven b", &store).unwrap();
        let second = first.clone();
        drop(first);
        assert!(shelf.freed.lock().unwrap().is_empty());
        assert_eq!(second.part(2, 5), Part::Stored { id: StoredId(9), range: 4..7 });
        drop(second);
        assert_eq!(*shelf.freed.lock().unwrap(), [StoredId(9)]);
    }

    #[test]
    fn a_full_store_is_not_an_error() {
        let store: Arc<dyn Store> = Arc::new(Shelf { full: true, ..Shelf::default() });
        assert!(Body::stored(Opcode::Text, b"bytes", &store).is_none());
    }

    #[test]
    fn shared_bytes_give_byte_parts() {
        let body = Body::from(b"abcdef".to_vec());
        assert_eq!(body.part(1, 4), Part::Bytes(b"bcd"));
    }
}
