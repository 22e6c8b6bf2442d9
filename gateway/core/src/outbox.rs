//! What one member owes: ranges of shared chunks that the kernel refused, in order.

use std::collections::VecDeque;

use gateway_faults::{self as faults, Mutant};

use crate::chunk::{Chunk, Span};
use crate::chunks::{ChunkId, Chunks};
use crate::session::Control;
use crate::transmit::Part;

/// What keeping one range costs, so that a million tiny ranges are not free.
pub(crate) const ITEM_COST_BYTES: usize = 32;

/// Outboxes that are kept for the next who owe: 40 KiB with their ranges.
const OUTBOXES_KEPT: usize = 64;

/// Ranges for which an outbox keeps memory when it is not used.
const ITEMS_KEPT: usize = 32;

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
    /// Bytes of the first item that are sent already: less than a frame, if it is framed.
    sent: u32,
    owed: usize,
    /// The answer to the latest ping; earlier ones that could not be sent are not owed.
    pub(crate) pong: Option<Box<Control>>,
    /// Frames dropped that the member is to be told of, and the newest one if it is to get that.
    missed: u64,
    latest: Option<Item>,
    /// What was owed when the shard last ranked its debts.
    pub(crate) ranked: usize,
}

impl Outbox {
    /// Bytes to be sent, and what keeping them costs.
    pub(crate) fn owed(&self) -> usize {
        self.owed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a frame is half sent.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.sent > 0 && self.items.front().is_some_and(|first| first.framed)
    }

    /// What is owed beside the message that is being sent, or is the first to be.
    ///
    /// So an empty outbox takes one message of any allowed size, and a large one does not make
    /// a small one after it too much.
    pub(crate) fn owed_beyond_first(&self, chunks: &Chunks) -> usize {
        let Some(item) = self.items.front() else { return 0 };
        let first = first_end(item, chunks) - item.span.start - self.sent;
        self.owed - first as usize - ITEM_COST_BYTES
    }

    /// Queues a range of which `sent` bytes are gone already, which only the first can have.
    pub(crate) fn push(&mut self, item: Item, sent: u32, chunks: &mut Chunks) {
        let left = item.span.len() - sent as usize;
        assert!(left > 0, "an empty range is not owed");
        assert!(sent == 0 || self.items.is_empty(), "bytes leave in order");
        if !faults::is(Mutant::ChunkReused) {
            chunks.owe(item.chunk);
        }
        self.owed += left + ITEM_COST_BYTES;
        self.items.push_back(item);
        if sent > 0 {
            self.sent = sent;
            self.pass_frames(chunks);
        }
    }

    /// Queues a frame of its own before all that is not yet begun, but never before a response.
    pub(crate) fn push_next(&mut self, next: Item, chunks: &mut Chunks) {
        chunks.owe(next.chunk);
        self.owed += next.span.len() + ITEM_COST_BYTES;
        let begun = self.sent > 0 || self.items.front().is_some_and(|first| !first.framed);
        let Some(first) = self.items.front_mut().filter(|_| begun) else {
            return self.items.push_front(next);
        };
        let end = first_end(first, chunks);
        if end < first.span.end {
            // The rest of the first range, behind the frame that is half sent.
            let rest = Item { span: Span { start: end, end: first.span.end }, ..*first };
            first.span.end = end;
            chunks.owe(rest.chunk);
            self.owed += ITEM_COST_BYTES;
            self.items.insert(1, rest);
        }
        self.items.insert(1, next);
    }

    /// So many frames were dropped; `latest` is the newest of them, if that is to be kept.
    pub(crate) fn miss(&mut self, frames: u64, latest: Option<Item>, chunks: &mut Chunks) {
        self.missed += frames;
        if let Some(latest) = latest {
            chunks.owe(latest.chunk);
            let before = self.latest.replace(latest);
            before.into_iter().for_each(|item| chunks.paid(item.chunk));
        }
    }

    /// Frames dropped of which the member was not told yet.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// The member is told now: whether the newest frame was kept, which is queued, and how many it
    /// missed.
    pub(crate) fn make_up(&mut self, chunks: &mut Chunks) -> (bool, u64) {
        let latest = self.latest.take();
        if let Some(latest) = latest {
            self.push(latest, 0, chunks);
            chunks.paid(latest.chunk);
        }
        (latest.is_some(), std::mem::take(&mut self.missed))
    }

    fn forget_missed(&mut self, chunks: &mut Chunks) {
        self.missed = 0;
        self.latest.take().into_iter().for_each(|item| chunks.paid(item.chunk));
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
                return self.pass_frames(chunks);
            }
            bytes -= left;
            self.owed -= left as usize + ITEM_COST_BYTES;
            self.sent = 0;
            self.items.pop_front();
            chunks.paid(item.chunk);
        }
        // What the ranges cost is charged by their number, so their memory follows it.
        if self.items.capacity() > 4 * self.items.len().max(8) {
            self.items.shrink_to(2 * self.items.len());
        }
        assert_eq!(bytes, 0, "no more was sent than was owed");
    }

    /// Moves the first range's start to the frame that is being sent, so that no walk ever
    /// passes a frame twice.
    fn pass_frames(&mut self, chunks: &Chunks) {
        let Some(item) = self.items.front_mut().filter(|item| item.framed) else { return };
        let reached = item.span.start + self.sent;
        let mut end = first_end(item, chunks);
        while end <= reached {
            item.span.start = end;
            end = first_end(item, chunks);
        }
        self.sent = reached - item.span.start;
    }

    /// Drops every frame that is not half sent. What is not framed, a response, stays.
    pub(crate) fn keep_half_frame(&mut self, chunks: &mut Chunks) {
        self.forget_missed(chunks);
        let response = self.items.front().is_some_and(|first| !first.framed);
        let kept = usize::from(self.sent > 0 || response);
        self.items.drain(kept..).for_each(|item| chunks.paid(item.chunk));
        self.items.shrink_to_fit();
        self.owed = 0;
        if let Some(item) = self.items.front_mut() {
            item.span.end = first_end(item, chunks);
            self.owed = item.span.len() - self.sent as usize + ITEM_COST_BYTES;
        }
    }

    /// A copy of what is owed: the rest of what is half sent or is no frame, and whole frames.
    pub(crate) fn extract(&self, chunks: &Chunks) -> (Chunk, Chunk) {
        let (mut begun, mut owed) = (Chunk::default(), Chunk::default());
        let mut sent = self.sent;
        for item in &self.items {
            let chunk = chunks.get(item.chunk);
            let mut at = item.span.start + sent;
            if sent > 0 || !item.framed {
                let end = first_end(item, chunks);
                begun.append(chunk, Span { start: at, end });
                at = end;
            }
            if at < item.span.end {
                owed.append(chunk, Span { start: at, end: item.span.end });
            }
            sent = 0;
        }
        (begun, owed)
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, chunks: &mut Chunks) {
        self.forget_missed(chunks);
        self.items.drain(..).for_each(|item| chunks.paid(item.chunk));
        (self.sent, self.owed) = (0, 0);
    }
}

/// Outboxes that nobody needs now, so that who owes now and then costs no allocation each time.
#[derive(Debug, Default)]
pub(crate) struct Outboxes(
    #[expect(clippy::vec_box, reason = "a connection holds eight bytes, not the outbox")]
    Vec<Box<Outbox>>,
);

impl Outboxes {
    /// An empty one.
    pub(crate) fn take(&mut self) -> Box<Outbox> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes an outbox back that was [cleared](Outbox::clear).
    pub(crate) fn give_back(&mut self, mut outbox: Box<Outbox>) {
        if self.0.len() >= OUTBOXES_KEPT || outbox.items.capacity() > ITEMS_KEPT {
            return;
        }
        assert!(outbox.is_empty() && outbox.owed == 0, "nobody else is owed this");
        let items = std::mem::take(&mut outbox.items);
        *outbox = Outbox { items, ..Outbox::default() };
        self.0.push(outbox);
    }
}

/// End of the item's first frame, or of the item if it is not framed.
fn first_end(item: &Item, chunks: &Chunks) -> u32 {
    if item.framed { chunks.get(item.chunk).frame_end(item.span.start) } else { item.span.end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunks::Account;
    use crate::frame::Opcode;

    #[test]
    fn few_outboxes_are_kept_and_none_that_was_long() {
        let mut outboxes = Outboxes::default();
        let mut chunks = Chunks::new(0);
        let long = VecDeque::with_capacity(2 * ITEMS_KEPT);
        outboxes.give_back(Box::new(Outbox { items: long, ..Outbox::default() }));
        assert_eq!(outboxes.0.len(), 0);
        for _ in 0..2 * OUTBOXES_KEPT {
            let mut outbox = Box::new(Outbox { missed: 3, ranked: 7, ..Outbox::default() });
            outbox.clear(&mut chunks);
            outboxes.give_back(outbox);
        }
        assert_eq!(outboxes.0.len(), OUTBOXES_KEPT);
        let next = outboxes.take();
        assert_eq!((next.missed(), next.ranked, next.owed()), (0, 0, 0), "as good as new");
    }

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
        let chunk = chunks.hold(chunk, Account::Rooms);
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
    fn what_is_extracted_is_what_is_owed_apart_from_what_is_half_sent() {
        for sent in 0..15 {
            let owing = owing(sent);
            let (begun, owed) = owing.outbox.extract(&owing.chunks);
            let text = |chunk: &Chunk| chunk.run(chunk.whole()).expect("no bodies").to_vec();
            assert_eq!([text(&begun), text(&owed)].concat(), bytes(&owing), "after {sent}");
            assert_eq!(begun.len() % 5, (5 - sent % 5) % 5, "the half-sent frame is apart");
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
        for (sent, beyond) in [(0, 10), (1, 10), (4, 10), (5, 5), (6, 5), (10, 0), (11, 0), (14, 0)]
        {
            let owing = owing(sent);
            assert_eq!(owing.outbox.owed_beyond_first(&owing.chunks), beyond, "after {sent}");
        }
    }

    #[test]
    fn a_frame_pushed_next_comes_at_the_first_boundary() {
        for sent in 0..15 {
            let mut owing = owing(sent);
            let mut pong = Chunk::default();
            pong.push_frame(Opcode::Pong, b"!");
            let span = pong.whole();
            let chunk = owing.chunks.hold(pong, Account::Rooms);
            owing.outbox.push_next(Item { chunk, span, framed: true }, &mut owing.chunks);
            owing.chunks.settle(chunk);
            let all = b"\x81\x03one\x81\x03two\x81\x03six";
            let at = (sent as usize).div_ceil(5) * 5;
            let expected = [&all[sent as usize..at], b"\x8a\x01!", &all[at..]].concat();
            assert_eq!(bytes(&owing), expected, "after {sent}");
            owing.outbox.advance(expected.len(), &mut owing.chunks);
            assert_eq!((owing.outbox.owed(), owing.chunks.len()), (0, 0));
            assert_eq!(owing.chunks.charged(Account::Rooms), 0);
        }
    }

    #[test]
    #[should_panic(expected = "no more was sent than was owed")]
    fn paying_more_than_owed_is_a_bug() {
        let mut owing = owing(0);
        owing.outbox.advance(16, &mut owing.chunks);
    }
}
