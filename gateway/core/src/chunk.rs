//! What one turn says: frames in one buffer, large payloads beside it, addressed as one stream.

use std::ops::Range;

use crate::body::Body;
use crate::frame::{self, Opcode};
#[cfg(feature = "probe")]
use crate::message::Words;
use crate::transmit::Part;

/// A range of a chunk's stream, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Encoded frames in the order in which members get them.
///
/// Small payloads stand in `buf` behind their headers; a large one is a [`Body`] placed
/// into the stream at a position. Most chunks have no bodies and are one run of bytes.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    buf: Vec<u8>,
    bodies: Vec<Placed>,
    bodies_len: usize,
    frames: u32,
}

/// A body in the stream: `at` counts all bytes before it, `buf_at` only those in the buffer.
#[derive(Debug)]
struct Placed {
    at: usize,
    buf_at: usize,
    body: Body,
}

/// Memory beyond twice its bytes that a small chunk may keep.
const TRIM_SLACK_BYTES: usize = 256;

impl Chunk {
    /// An empty chunk that appends to `buf`, which may have been used before.
    pub(crate) fn reusing(mut buf: Vec<u8>) -> Self {
        buf.clear();
        Self { buf, ..Self::default() }
    }

    /// Takes the buffer back for reuse; bodies are dropped.
    pub(crate) fn into_buf(self) -> Vec<u8> {
        self.buf
    }

    /// Whether nothing is in it and the buffer still has to be provided.
    pub(crate) fn is_bare(&self) -> bool {
        self.buf.capacity() == 0 && self.bodies.is_empty()
    }

    /// Length of the stream in bytes.
    ///
    /// `Limits::check` keeps it below 4 GiB: a turn says at most what it reads and what was
    /// unfinished before.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.buf.len() + self.bodies_len).expect("a turn is bounded by Limits")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty() && self.bodies.is_empty()
    }

    pub(crate) fn whole(&self) -> Span {
        Span { start: 0, end: self.len() }
    }

    /// Frames pushed so far.
    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes of memory that this chunk keeps, once it is [trimmed](Self::trim).
    pub(crate) fn memory(&self) -> usize {
        let buf = self.buf.capacity().min(2 * self.buf.len() + TRIM_SLACK_BYTES);
        buf + self.bodies_len + self.bodies.len() * size_of::<Placed>()
    }

    /// Gives back memory beyond what the stream needs, if that is most of it.
    pub(crate) fn trim(&mut self) -> Option<Vec<u8>> {
        if self.buf.capacity() <= 2 * self.buf.len() + TRIM_SLACK_BYTES {
            return None;
        }
        let exact = self.buf.as_slice().to_vec();
        Some(std::mem::replace(&mut self.buf, exact))
    }

    /// Appends a frame whose payload is copied: the only copy it will see.
    #[inline]
    pub(crate) fn push_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        frame::put_header(&mut self.buf, opcode, payload.len());
        self.buf.extend_from_slice(payload);
        self.frames += 1;
    }

    /// As [`push_frame`](Self::push_frame), of a message that was deflated.
    pub(crate) fn push_deflated(&mut self, opcode: Opcode, payload: &[u8]) {
        frame::put_deflated_header(&mut self.buf, opcode, payload.len());
        self.buf.extend_from_slice(payload);
        self.frames += 1;
    }

    /// Appends a frame whose payload is shared as it is, and its header too if it is kept with it.
    pub(crate) fn push_body(&mut self, opcode: Opcode, body: Body) {
        if let Some(frame) = body.framed(opcode) {
            self.frames += 1;
            return self.place(frame);
        }
        frame::put_header(&mut self.buf, opcode, body.len());
        self.frames += 1;
        if !body.is_empty() {
            self.place(body);
        }
    }

    /// Appends a binary frame whose payload is what `prefix` writes, `len` bytes, and `words`.
    #[cfg(feature = "probe")]
    pub(crate) fn push_prefixed(
        &mut self,
        len: usize,
        words: Words<'_>,
        prefix: impl FnOnce(&mut Vec<u8>),
    ) {
        frame::put_header(&mut self.buf, Opcode::Binary, len + words.len());
        let start = self.buf.len();
        prefix(&mut self.buf);
        assert_eq!(self.buf.len() - start, len, "a prefix is as long as was said");
        self.frames += 1;
        match words {
            Words::Bytes(bytes) => self.buf.extend_from_slice(bytes),
            Words::Body(body) if body.is_empty() => {}
            Words::Body(body) => self.place(body.clone()),
        }
    }

    fn place(&mut self, body: Body) {
        let buf_at = self.buf.len();
        self.bodies_len += body.len();
        self.bodies.push(Placed { at: buf_at + self.bodies_len - body.len(), buf_at, body });
    }

    /// Appends bytes that are not frames, such as an HTTP response.
    pub(crate) fn push_raw(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.buf);
    }

    /// The span as one run of bytes, if no body lies in it.
    #[inline]
    pub(crate) fn run(&self, span: Span) -> Option<&[u8]> {
        if self.bodies.is_empty() {
            return Some(&self.buf[span.range()]);
        }
        let mut found = None;
        let mut pieces = 0;
        self.each_part(span, |part| {
            pieces += 1;
            if let Part::Bytes(bytes) = part {
                found = Some(bytes);
            }
            pieces < 2
        });
        found.filter(|_| pieces == 1)
    }

    /// Calls `take` with the span's pieces in order until it says `false`.
    pub(crate) fn each_part<'a>(&'a self, span: Span, mut take: impl FnMut(Part<'a>) -> bool) {
        let Range { mut start, end } = span.range();
        let mut next = self.bodies.partition_point(|placed| placed.at + placed.body.len() <= start);
        while start < end {
            let Some(placed) = self.bodies.get(next) else {
                let shift = self.bodies_len;
                take(Part::Bytes(&self.buf[start - shift..end - shift]));
                return;
            };
            let shift = placed.at - placed.buf_at;
            if start < placed.at {
                let stop = end.min(placed.at);
                if !take(Part::Bytes(&self.buf[start - shift..stop - shift])) {
                    return;
                }
                start = stop;
                continue;
            }
            let stop = end.min(placed.at + placed.body.len());
            if !take(placed.body.part(start - placed.at, stop - placed.at)) {
                return;
            }
            start = stop;
            next += 1;
        }
    }

    /// The span alone, in a chunk of its own: bytes are copied into `buf`, bodies shared.
    pub(crate) fn extract(&self, span: Span, buf: Vec<u8>) -> Self {
        let mut own = Self::reusing(buf);
        own.append(self, span);
        own
    }

    /// Appends a span of another chunk: bytes are copied, bodies shared, also a part of one.
    pub(crate) fn append(&mut self, other: &Self, span: Span) {
        let Range { mut start, end } = span.range();
        let ends = |placed: &Placed| placed.at + placed.body.len();
        let mut next = other.bodies.partition_point(|placed| ends(placed) <= start);
        while start < end {
            let before = next.checked_sub(1).map(|last| &other.bodies[last]);
            let shift = before.map_or(0, |last| ends(last) - last.buf_at);
            let placed = other.bodies.get(next);
            let stop = end.min(placed.map_or(end, |placed| placed.at));
            if start < stop {
                self.buf.extend_from_slice(&other.buf[start - shift..stop - shift]);
                start = stop;
            }
            let Some(placed) = placed.filter(|_| start < end) else { return };
            let stop = end.min(ends(placed));
            self.place(placed.body.slice(start - placed.at, stop - placed.at));
            start = stop;
            next += 1;
        }
    }

    /// The body that begins at the stream's position `at`.
    fn placed_at(&self, at: usize) -> Option<&Placed> {
        let before = self.bodies.partition_point(|placed| placed.at < at);
        self.bodies.get(before).filter(|placed| placed.at == at)
    }

    /// Where in the buffer the stream's position `at` is, which lies in no body.
    fn buf_at(&self, at: usize) -> usize {
        let before = self.bodies.partition_point(|placed| placed.at < at);
        let last = before.checked_sub(1).map(|last| &self.bodies[last]);
        at - last.map_or(0, |last| last.at + last.body.len() - last.buf_at)
    }

    /// End of the frame that starts at `at`.
    pub(crate) fn frame_end(&self, at: u32) -> u32 {
        let stored = self.placed_at(at as usize).and_then(|placed| placed.body.frame_len());
        let len = stored.map_or_else(
            || {
                let (header, payload) = frame::own_frame_len(&self.buf[self.buf_at(at as usize)..]);
                header as u64 + payload
            },
            |len| len as u64,
        );
        let end = u64::from(at) + len;
        u32::try_from(end).expect("a frame lies within its chunk")
    }

    /// The first frame boundary at or after `reached`, walking from the boundary `from`.
    pub(crate) fn boundary(&self, from: u32, reached: u32) -> u32 {
        let mut at = from;
        while at < reached {
            at = self.frame_end(at);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::body::Store;
    use crate::transmit::StoredId;

    fn text_of(chunk: &Chunk, span: Span) -> Vec<u8> {
        let mut out = Vec::new();
        chunk.each_part(span, |part| {
            let Part::Bytes(bytes) = part else { panic!("nothing is stored here") };
            assert!(!bytes.is_empty(), "no empty pieces");
            out.extend_from_slice(bytes);
            true
        });
        out
    }

    /// Three frames, the middle and last ones shared, as a chunk and as plain bytes.
    fn mixed() -> (Chunk, Vec<u8>) {
        let mut chunk = Chunk::default();
        chunk.push_frame(Opcode::Text, b"first");
        chunk.push_body(Opcode::Binary, vec![7; 300].into());
        chunk.push_body(Opcode::Binary, vec![8; 130].into());
        chunk.push_frame(Opcode::Text, b"last");
        let mut plain = b"\x81\x05first\x82\x7e\x01\x2c".to_vec();
        plain.extend([7; 300]);
        plain.extend(b"\x82\x7e\x00\x82");
        plain.extend([8; 130]);
        plain.extend(b"\x81\x04last");
        (chunk, plain)
    }

    #[test]
    fn every_span_of_a_mixed_chunk_reads_as_one_stream() {
        let (chunk, plain) = mixed();
        assert_eq!(chunk.len() as usize, plain.len());
        for start in 0..=plain.len() {
            for end in start..=plain.len() {
                let span = Span { start: start as u32, end: end as u32 };
                assert_eq!(text_of(&chunk, span), &plain[start..end], "{start}..{end}");
                if let Some(run) = chunk.run(span) {
                    assert_eq!(run, &plain[start..end], "run {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn boundaries_are_found_across_bodies() {
        let (chunk, plain) = mixed();
        let ends = [7, 7 + 304, 7 + 304 + 134, plain.len() as u32];
        let mut from = 0;
        for end in ends {
            assert_eq!(chunk.frame_end(from), end);
            assert_eq!(chunk.boundary(0, from + 1), end);
            assert_eq!(chunk.boundary(0, end), end);
            from = end;
        }
    }

    #[test]
    fn an_extract_reads_as_the_span_did() {
        let (chunk, plain) = mixed();
        let ends = [0, 7, 7 + 304, 7 + 304 + 134, plain.len()];
        for (n, &start) in ends.iter().enumerate() {
            for &end in &ends[n + 1..] {
                let span = Span { start: start as u32, end: end as u32 };
                let own = chunk.extract(span, Vec::new());
                assert_eq!(text_of(&own, own.whole()), &plain[start..end], "{start}..{end}");
                assert_eq!(own.boundary(0, 1), chunk.frame_end(start as u32) - start as u32);
            }
        }
    }

    #[test]
    fn any_span_can_be_appended_even_one_that_cuts_a_body() {
        let (chunk, plain) = mixed();
        for start in 0..plain.len() {
            for end in (start + 1)..=plain.len() {
                let mut own = Chunk::default();
                own.push_frame(Opcode::Text, b"?");
                own.append(&chunk, Span { start: start as u32, end: end as u32 });
                let expected = [b"\x81\x01?", &plain[start..end]].concat();
                assert_eq!(text_of(&own, own.whole()), expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_chunk_that_holds_a_kept_frame_and_no_byte_beside_it_is_not_bare() {
        let extents: Arc<dyn Store> = Arc::new(Anywhere);
        let mut chunk = Chunk::default();
        assert!(chunk.is_bare());
        let body = Body::stored(Opcode::Text, &[7; 300], &extents).expect("there is room");
        chunk.push_body(Opcode::Text, body);
        assert!(!chunk.is_bare() && !chunk.is_empty());
        assert_eq!((chunk.len(), chunk.frames(), chunk.frame_end(0)), (304, 1, 304));
        chunk.push_frame(Opcode::Text, b"next");
        assert_eq!(chunk.boundary(0, 305), 310, "frames are found behind it");
    }

    struct Anywhere;

    impl Store for Anywhere {
        fn put(&self, _: &[u8], _: &[u8]) -> Option<StoredId> {
            Some(StoredId(0))
        }

        fn read(&self, _: StoredId, _: Range<u64>) -> Option<Vec<u8>> {
            None
        }

        fn free(&self, _: StoredId) {}
    }

    #[test]
    fn an_empty_body_is_a_header_alone() {
        let mut chunk = Chunk::default();
        chunk.push_body(Opcode::Binary, Vec::new().into());
        chunk.push_frame(Opcode::Text, b"x");
        assert_eq!(text_of(&chunk, chunk.whole()), b"\x82\x00\x81\x01x");
    }

    #[test]
    fn trimming_keeps_the_bytes_and_returns_the_large_buffer() {
        let mut chunk = Chunk::reusing(Vec::with_capacity(64 << 10));
        chunk.push_frame(Opcode::Text, b"tiny");
        let large = chunk.trim().expect("most of the buffer is unused");
        assert!(large.capacity() >= 64 << 10);
        assert!(chunk.memory() < 512);
        assert_eq!(text_of(&chunk, chunk.whole()), b"\x81\x04tiny");
    }
}
