//! A segment: some messages of a log, packed behind each other in one buffer.

use crate::body::Body;
use crate::frame::Kind;
use crate::id::{Author, ShardId};
use crate::message::{Meta, Words};
use crate::position::Offset;
use crate::time::Tick;

/// Bytes of a segment. Half of one at each end, on average, is what a log keeps beyond its
/// messages.
const SEGMENT_BYTES: usize = 2 << 10;
/// Bytes that a log's first segment begins with, and any other one.
const FIRST_BYTES: usize = 128;
const NEXT_BYTES: usize = 1 << 10;
/// The longest header: flags, four numbers, an author, a shard.
const HEADER_BYTES_MAX: usize = 1 + 4 * 10 + 8 + 2;

const BINARY: u8 = 1;
/// The message does not follow its predecessor's number: the distance is told.
const HOLE: u8 = 2;
/// The author is not the one of the message before.
const AUTHOR: u8 = 4;
/// It has a number at the shard that published it.
const NUMBERED: u8 = 8;
/// Its payload is a shared body.
const SHARED: u8 = 16;
/// It was pushed in a later tick than the one before.
const LATER: u8 = 32;

#[derive(Debug)]
pub(super) struct Segment {
    bytes: Vec<u8>,
    bodies: Vec<Body>,
    /// Bodies at the front whose messages are dropped: empty ones stand in their places.
    freed: u32,
    messages: u32,
    /// The tick at the start and at the end.
    begun: Tick,
    ended: Tick,
    /// The last message before it, and in it.
    first: Offset,
    last: Offset,
    author: Author,
}

/// A message of a segment.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) meta: Meta,
    pub(crate) words: Words<'a>,
    pub(crate) tick: Tick,
    /// What it counts towards a log's bound.
    pub(crate) bytes: usize,
}

impl Segment {
    /// An empty segment. A room that says little keeps little: its first one is small.
    pub(super) fn new(now: Tick, last: Offset, is_first: bool) -> Self {
        Self {
            bytes: Vec::with_capacity(if is_first { FIRST_BYTES } else { NEXT_BYTES }),
            bodies: Vec::new(),
            freed: 0,
            messages: 0,
            begun: now,
            ended: now,
            first: last,
            last,
            author: Author::NOBODY,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.messages
    }

    /// The last message's offset.
    pub(super) fn last(&self) -> Offset {
        self.last
    }

    /// Whether a message of this length goes into another segment.
    pub(super) fn is_full(&self, words: Words<'_>) -> bool {
        self.messages > 0 && self.bytes.len() + HEADER_BYTES_MAX + inline_len(words) > SEGMENT_BYTES
    }

    /// Nothing more comes: memory that is left is given back.
    pub(super) fn seal(&mut self) {
        self.bytes.shrink_to_fit();
        self.bodies.shrink_to_fit();
    }

    /// Gives the oldest body back: one may be larger than all that is packed.
    pub(super) fn free_body(&mut self) {
        self.bodies[self.freed as usize] = Body::from(Vec::new());
        self.freed += 1;
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let bodies = self.bodies.capacity() * size_of::<Body>();
        self.bytes.capacity() + bodies + self.bodies.iter().map(Body::len).sum::<usize>()
    }

    /// Appends a message; gives what it counts.
    pub(super) fn push(&mut self, now: Tick, meta: &Meta, words: Words<'_>) -> usize {
        self.grow(inline_len(words));
        let start = self.bytes.len();
        self.bytes.push(0);
        let mut flags = if meta.kind == Kind::Binary { BINARY } else { 0 };
        if meta.offset.0 != meta.prev.0 + 1 {
            flags |= HOLE;
            put(&mut self.bytes, meta.offset.0 - meta.prev.0);
        }
        if now > self.ended {
            flags |= LATER;
            put(&mut self.bytes, u64::from(now.0 - self.ended.0));
            self.ended = now;
        }
        if meta.author != self.author {
            flags |= AUTHOR;
            self.bytes.extend_from_slice(&meta.author.to_bits().to_le_bytes());
            self.author = meta.author;
        }
        if meta.id > 0 {
            flags |= NUMBERED;
            put(&mut self.bytes, meta.id);
        }
        put(&mut self.bytes, u64::from(meta.origin.0));
        match words {
            Words::Bytes(bytes) => {
                put(&mut self.bytes, bytes.len() as u64);
                self.bytes.extend_from_slice(bytes);
            }
            Words::Body(body) => {
                flags |= SHARED;
                put(&mut self.bytes, self.bodies.len() as u64);
                self.bodies.push(body.clone());
            }
        }
        self.bytes[start] = flags;
        self.messages += 1;
        self.last = meta.offset;
        self.bytes.len() - start + words.len() - inline_len(words)
    }

    /// Doubles up to the size of a segment; a message that is longer gets what it needs.
    fn grow(&mut self, len: usize) {
        let need = self.bytes.len() + HEADER_BYTES_MAX + len;
        if need > self.bytes.capacity() {
            let twice = (2 * self.bytes.capacity()).min(SEGMENT_BYTES);
            self.bytes.reserve_exact(need.max(twice) - self.bytes.len());
        }
    }

    /// Where its first message is.
    pub(super) fn start(&self) -> Cursor {
        let (last, tick, author) = (self.first, self.begun, Author::NOBODY);
        Cursor { at: 0, last, tick, author }
    }

    pub(super) fn records(&self, from: Cursor) -> impl Iterator<Item = Record<'_>> {
        let mut cursor = from;
        std::iter::from_fn(move || cursor.next(self))
    }
}

/// A place between two messages of a segment, with what the next one does not repeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    at: usize,
    last: Offset,
    tick: Tick,
    author: Author,
}

impl Cursor {
    /// Reads the next message and passes it.
    pub(super) fn next<'a>(&mut self, segment: &'a Segment) -> Option<Record<'a>> {
        let start = self.at;
        let flags = *segment.bytes.get(start)?;
        self.at += 1;
        let step = if flags & HOLE != 0 { self.number(segment) } else { 1 };
        if flags & LATER != 0 {
            self.tick = Tick(self.tick.0 + self.number(segment) as u32);
        }
        if flags & AUTHOR != 0 {
            let bytes = segment.bytes[self.at..].first_chunk().expect("an author has eight bytes");
            self.author = Author::from_bits(u64::from_le_bytes(*bytes));
            self.at += 8;
        }
        let id = if flags & NUMBERED != 0 { self.number(segment) } else { 0 };
        let origin = ShardId(self.number(segment) as u16);
        let number = self.number(segment) as usize;
        let (words, outside) = if flags & SHARED != 0 {
            let body = &segment.bodies[number];
            (Words::Body(body), body.len())
        } else {
            self.at += number;
            (Words::Bytes(&segment.bytes[self.at - number..self.at]), 0)
        };
        let (prev, offset) = (self.last, Offset(self.last.0 + step));
        self.last = offset;
        let kind = if flags & BINARY != 0 { Kind::Binary } else { Kind::Text };
        let meta = Meta { prev, offset, author: self.author, origin, id, kind };
        Some(Record { meta, words, tick: self.tick, bytes: self.at - start + outside })
    }

    fn number(&mut self, segment: &Segment) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = segment.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }
}

fn inline_len(words: Words<'_>) -> usize {
    match words {
        Words::Bytes(bytes) => bytes.len(),
        Words::Body(_) => 0,
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
