//! What one member owes: ranges of shared chunks that the kernel refused, in order.

use std::collections::VecDeque;

use crate::chunk::Span;
use crate::chunks::{ChunkId, Chunks};
use crate::session::Control;
use crate::transmit::Part;

/// What keeping one range costs, so that a million tiny ranges are not free.
pub(crate) const ITEM_COST_BYTES: usize = 32;

/// A range still to be sent; it starts where a frame starts, unless it is not framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) chunk: ChunkId,
    pub(crate) span: Span,
    /// Whether the range is whole frames. What is not framed is never cut.
    pub(crate) framed: bool,
}

/// A queue that exists only while its member owes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of the first item that are sent already.
    sent: u32,
    owed: usize,
    /// The answer to the latest ping; earlier ones that could not be sent are not owed.
    pub(crate) pong: Option<Box<Control>>,
    /// Index in the shard's list of those who owe.
    pub(crate) place: u32,
}

impl Outbox {
    /// An empty outbox for the slot at `place` of the list of those who owe.
    pub(crate) fn at(place: u32) -> Self {
        Self { place, ..Self::default() }
    }

    /// Bytes to be sent, and what keeping them costs.
    pub(crate) fn owed(&self) -> usize {
        self.owed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is owed beside the message that is being sent, or is the first to be.
    ///
    /// So an empty outbox takes one message of any allowed size, and a large one does not make
    /// a small one after it too much.
    pub(crate) fn owed_beyond_first(&self, chunks: &Chunks) -> usize {
        let Some(item) = self.items.front() else { return 0 };
        let mut end = item.span.end;
        if item.framed {
            let chunk = chunks.get(item.chunk);
            end = chunk.boundary(item.span.start, item.span.start + self.sent.max(1));
        }
        let first = (end - item.span.start).saturating_sub(self.sent);
        self.owed - first as usize - ITEM_COST_BYTES
    }

    /// Queues a range of which `sent` bytes are gone already, which only the first can have.
    pub(crate) fn push(&mut self, item: Item, sent: u32, chunks: &mut Chunks) {
        let left = item.span.len() - sent as usize;
        assert!(left > 0, "an empty range is not owed");
        assert!(sent == 0 || self.items.is_empty(), "bytes leave in order");
        chunks.owe(item.chunk);
        self.sent = if self.items.is_empty() { sent } else { self.sent };
        self.owed += left + ITEM_COST_BYTES;
        self.items.push_back(item);
    }

    /// The next pieces to send, up to `pieces_max` of them.
    pub(crate) fn parts<'a>(&self, chunks: &'a Chunks, pieces_max: usize, out: &mut Vec<Part<'a>>) {
        let mut sent = self.sent;
        for item in &self.items {
            let span = Span { start: item.span.start + sent, end: item.span.end };
            sent = 0;
            chunks.get(item.chunk).each_part(span, |part| {
                out.push(part);
                out.len() < pieces_max
            });
            if out.len() >= pieces_max {
                return;
            }
        }
    }

    /// `bytes` more have been sent.
    pub(crate) fn advance(&mut self, bytes: usize, chunks: &mut Chunks) {
        let mut bytes = u32::try_from(bytes).expect("no more was sent than was offered");
        while let Some(&item) = self.items.front() {
            let left = item.span.end - item.span.start - self.sent;
            if bytes < left {
                self.sent += bytes;
                self.owed -= bytes as usize;
                return;
            }
            bytes -= left;
            self.owed -= left as usize + ITEM_COST_BYTES;
            self.sent = 0;
            self.items.pop_front();
            chunks.paid(item.chunk);
        }
        assert_eq!(bytes, 0, "no more was sent than was owed");
    }

    /// Drops every frame that is not half sent; returns how many bytes of frames went.
    pub(crate) fn keep_half_frame(&mut self, chunks: &mut Chunks) -> usize {
        let before = self.owed;
        let mut items = std::mem::take(&mut self.items).into_iter();
        self.owed = 0;
        if self.sent > 0 {
            let mut item = items.next().expect("sent bytes belong to the first item");
            if item.framed {
                let reached = item.span.start + self.sent;
                item.span.end = chunks.get(item.chunk).boundary(item.span.start, reached);
            }
            let left = item.span.len() - self.sent as usize;
            if left > 0 {
                self.owed = left + ITEM_COST_BYTES;
                self.items.push_back(item);
            } else {
                chunks.paid(item.chunk);
            }
        }
        if self.items.is_empty() {
            self.sent = 0;
        }
        items.for_each(|item| chunks.paid(item.chunk));
        before - self.owed
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, chunks: &mut Chunks) {
        self.items.drain(..).for_each(|item| chunks.paid(item.chunk));
        (self.sent, self.owed) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::frame::Opcode;

    struct Owing {
        chunks: Chunks,
        outbox: Outbox,
    }

    /// An outbox that owes three frames of five bytes (`\x81\x03one` …) from one chunk.
    fn owing(sent: u32) -> Owing {
        let mut chunks = Chunks::new(0);
        let mut chunk = Chunk::default();
        for text in [b"one", b"two", b"six"] {
            chunk.push_frame(Opcode::Text, text);
        }
        let span = chunk.whole();
        let chunk = chunks.hold(chunk);
        let mut outbox = Outbox::default();
        outbox.push(Item { chunk, span, framed: true }, sent, &mut chunks);
        chunks.settle(chunk);
        Owing { chunks, outbox }
    }

    fn bytes(owing: &Owing) -> Vec<u8> {
        let mut parts = Vec::new();
        owing.outbox.parts(&owing.chunks, 64, &mut parts);
        let mut out = Vec::new();
        for part in parts {
            let Part::Bytes(bytes) = part else { panic!("nothing is stored here") };
            out.extend_from_slice(bytes);
        }
        out
    }

    #[test]
    fn the_half_sent_frame_is_kept_whole_and_the_rest_goes() {
        for sent in 0..15 {
            let mut owing = owing(sent);
            owing.outbox.keep_half_frame(&mut owing.chunks);
            let kept = bytes(&owing);
            let expected: &[u8] = &b"\x81\x03one\x81\x03two\x81\x03six"[sent as usize..];
            let end = (5 - sent % 5) % 5;
            assert_eq!(kept, &expected[..end as usize], "after {sent}");
            assert_eq!(owing.outbox.is_empty(), end == 0);
            assert_eq!(owing.chunks.len(), usize::from(end != 0), "an unowed chunk is freed");
        }
    }

    #[test]
    fn advancing_byte_by_byte_pays_the_chunk_at_the_end() {
        let mut owing = owing(2);
        for left in (0..13).rev() {
            assert_eq!(owing.chunks.len(), 1);
            owing.outbox.advance(1, &mut owing.chunks);
            assert_eq!(bytes(&owing).len(), left);
        }
        assert!(owing.outbox.is_empty());
        assert_eq!((owing.outbox.owed(), owing.chunks.len()), (0, 0));
    }

    #[test]
    fn the_message_being_sent_does_not_count() {
        for (sent, beyond) in
            [(0, 10), (1, 10), (4, 10), (5, 10), (6, 5), (10, 5), (11, 0), (14, 0)]
        {
            let owing = owing(sent);
            assert_eq!(owing.outbox.owed_beyond_first(&owing.chunks), beyond, "after {sent}");
        }
    }

    #[test]
    #[should_panic(expected = "no more was sent than was owed")]
    fn paying_more_than_owed_is_a_bug() {
        let mut owing = owing(0);
        owing.outbox.advance(16, &mut owing.chunks);
    }
}
