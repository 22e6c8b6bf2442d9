//! A message as it travels between shards: canonical, in no client's encoding.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::body::Body;
use crate::frame::Kind;
use crate::id::{Author, ShardId};
use crate::position::Offset;

/// What a message carries.
#[derive(Clone, Copy, Debug)]
pub enum Words<'a> {
    /// Bytes to be copied.
    Bytes(&'a [u8]),
    /// A large payload to be shared.
    Body(&'a Body),
}

impl Words<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Body(body) => body.len(),
        }
    }

    /// Whether it carries nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Words<'a> {
    /// The bytes, wherever they are; none if they cannot be read back.
    #[must_use]
    pub fn read(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Bytes(bytes) => Some(bytes.into()),
            Self::Body(body) => body.read(),
        }
    }
}

/// What is known of a message beside what it carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Meta {
    /// The message before it in its room and epoch; [`Offset::START`] until it is sequenced.
    pub prev: Offset,
    /// Its place; [`Offset::START`] until it is sequenced.
    pub offset: Offset,
    /// Whose it is.
    pub author: Author,
    /// The shard that published it.
    pub origin: ShardId,
    /// That shard's number for it, by which it is acknowledged.
    pub id: u64,
    /// Text or binary.
    pub kind: Kind,
}

/// Messages of one room in order, their payloads in one buffer; large ones are shared.
///
/// Made once, then shared by all shards that hear it.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Whether payloads are shared beside the buffer.
    shares: bool,
}

#[derive(Debug)]
struct Entry {
    meta: Meta,
    /// Where the payload ends in the buffer; the next one starts there.
    end: u32,
    body: Option<Body>,
    deflated: Deflated,
}

/// What a message is once it is deflated with the widest window, or that it is not worth it; made
/// by the first shard that has members who read that, for the others. Nobody waits for it.
pub(crate) type Deflated = OnceLock<Option<Box<[u8]>>>;

/// What a message costs beside its payload while it waits.
pub const ENTRY_COST_BYTES: usize = 96;

impl Batch {
    /// Appends a message: the one copy that is made of a small payload.
    ///
    /// # Panics
    /// If the batch holds 4 GiB, which `Limits` never allows.
    pub fn push(&mut self, meta: Meta, words: Words<'_>) {
        let body = match words {
            Words::Bytes(bytes) => {
                self.bytes.extend_from_slice(bytes);
                None
            }
            Words::Body(body) => {
                self.shares = true;
                Some(body.clone())
            }
        };
        let end = u32::try_from(self.bytes.len()).expect("a batch is bounded by Limits");
        self.entries.push(Entry { meta, end, body, deflated: OnceLock::new() });
    }

    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = (Meta, Words<'_>)> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let bytes = &self.bytes[start..entry.end as usize];
            start = entry.end as usize;
            (entry.meta, entry.body.as_ref().map_or(Words::Bytes(bytes), Words::Body))
        })
    }

    /// Where the deflated form of a message is, or goes.
    pub(crate) fn deflated(&self, index: usize) -> &Deflated {
        &self.entries[index].deflated
    }

    /// Messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of the first message.
    #[must_use]
    pub fn first(&self) -> Option<Meta> {
        self.entries.first().map(|entry| entry.meta)
    }

    /// What is known of the last message.
    #[must_use]
    pub fn last(&self) -> Option<Meta> {
        self.entries.last().map(|entry| entry.meta)
    }

    /// Bytes of payload, shared ones included.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let shared = self.entries.iter().filter_map(|entry| entry.body.as_ref());
        self.bytes.len() + shared.map(Body::len).sum::<usize>()
    }

    /// Bytes that are read by whoever reads it all: payloads, and what is known of each message.
    #[must_use]
    pub fn read_bytes(&self) -> usize {
        let payload = if self.shares { self.payload_bytes() } else { self.bytes.len() };
        payload + self.entries.len() * size_of::<Entry>()
    }

    /// Whether any payload lies outside of its buffers.
    #[must_use]
    pub(crate) fn shares(&self) -> bool {
        self.shares
    }

    /// Bytes of memory its buffers hold.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.shares = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed_in_order() {
        let meta = |offset| Meta {
            prev: Offset(offset - 1),
            offset: Offset(offset),
            author: Author::NOBODY,
            origin: ShardId(1),
            id: offset,
            kind: Kind::Text,
        };
        let large = Body::from(vec![7; 300]);
        let mut batch = Batch::default();
        batch.push(meta(1), Words::Bytes(b"one"));
        batch.push(meta(2), Words::Body(&large));
        batch.push(meta(3), Words::Bytes(b""));
        batch.push(meta(4), Words::Bytes(b"four"));
        let told: Vec<_> = batch.iter().map(|(meta, words)| (meta.offset.0, words.len())).collect();
        assert_eq!(told, [(1, 3), (2, 300), (3, 0), (4, 4)]);
        assert_eq!(batch.payload_bytes(), 307);
        assert_eq!(batch.read_bytes(), 307 + 4 * size_of::<Entry>());
        assert_eq!((batch.first(), batch.last()), (Some(meta(1)), Some(meta(4))));
        let Some((_, Words::Bytes(bytes))) = batch.iter().last() else { panic!("four is small") };
        assert_eq!(bytes, b"four");
    }
}
