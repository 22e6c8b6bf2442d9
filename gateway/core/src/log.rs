//! A room's log: what history, recovery and shards that are behind read from.
//!
//! Messages are packed into segments of a few KiB behind headers of some bytes, so that a room that
//! keeps a hundred short messages costs little more than what they say.

mod segment;

use std::collections::VecDeque;

use gateway_faults::{self as faults, Mutant, buggify};

use crate::message::{Batch, Meta, Words};
use crate::position::Offset;
use crate::time::Tick;

use segment::{Cursor, Segment};

pub(crate) use segment::Record;

/// How much of a room's past is kept. Zero of anything keeps nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// Messages.
    pub messages_max: u32,
    /// Bytes of payload and of headers, as they are kept.
    pub bytes_max: usize,
    /// Seconds since a message was sequenced.
    pub age_secs: u32,
}

impl Retention {
    /// Whether anything is kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.messages_max > 0 && self.bytes_max > 0 && self.age_secs > 0
    }
}

/// Messages in order, the oldest of which are dropped one by one; their memory goes by segments.
#[derive(Debug)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    /// Messages of the first segment that are dropped already, and where the next one is.
    dropped: u32,
    next: Option<Cursor>,
    messages: u32,
    bytes: usize,
    base: Offset,
    last: Offset,
    /// When the oldest message was pushed.
    oldest: Tick,
}

impl Log {
    /// An empty log, as if everything up to `base` had been dropped. Takes no memory.
    pub(crate) fn new(base: Offset) -> Self {
        Self {
            segments: VecDeque::new(),
            dropped: 0,
            next: None,
            messages: 0,
            bytes: 0,
            base,
            last: base,
            oldest: Tick::NEVER,
        }
    }

    /// Everything after this offset is here.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    #[cfg(test)]
    pub(crate) fn last(&self) -> Offset {
        self.last
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.messages as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether nothing after `since` is missing.
    pub(crate) fn reaches(&self, since: Offset) -> bool {
        since >= self.base
    }

    /// Appends a message, which follows the last one.
    pub(crate) fn push(&mut self, now: Tick, meta: &Meta, words: Words<'_>) {
        assert_eq!(meta.prev, self.last, "a message follows the last one");
        assert!(meta.offset > meta.prev, "offsets only grow");
        let is_full = |segment: &Segment| segment.is_full(words) || buggify!(SegmentFull);
        if self.segments.back().is_none_or(is_full) {
            self.begin_segment(now);
        }
        let segment = self.segments.back_mut().expect("one was just pushed");
        self.bytes += segment.push(now, meta, words);
        if self.messages == 0 {
            self.oldest = now;
        }
        self.messages += 1;
        self.last = meta.offset;
    }

    fn begin_segment(&mut self, now: Tick) {
        let is_first = self.segments.is_empty();
        if let Some(last) = self.segments.back_mut() {
            last.seal();
        }
        let segment = Segment::new(now, self.last, is_first);
        if is_first {
            self.next = Some(segment.start());
        }
        self.segments.push_back(segment);
    }

    /// Messages after `since`, with when they were pushed.
    ///
    /// # Panics
    /// If some of them are dropped, which [`reaches`](Self::reaches) tells.
    pub(crate) fn records(&self, since: Offset) -> impl Iterator<Item = Record<'_>> {
        assert!(self.reaches(since), "what is dropped cannot be told");
        let from = self.segments.partition_point(|segment| segment.last() <= since);
        let first = self.next.filter(|_| from == 0);
        self.segments
            .range(from..)
            .enumerate()
            .flat_map(move |(index, segment)| {
                segment.records(first.filter(|_| index == 0).unwrap_or_else(|| segment.start()))
            })
            .skip_while(move |record| record.meta.offset <= since)
    }

    /// Messages after `since`.
    pub(crate) fn since(&self, since: Offset) -> impl Iterator<Item = (Meta, Words<'_>)> {
        self.records(since).map(|record| (record.meta, record.words))
    }

    /// Copies messages after `since`: at least one if there is one, and no more than the bounds.
    pub(crate) fn copy_since(
        &self,
        since: Offset,
        messages_max: usize,
        bytes_max: usize,
        out: &mut Batch,
    ) {
        let mut bytes = 0;
        for (n, (meta, words)) in self.since(since).take(messages_max.max(1)).enumerate() {
            bytes += words.len();
            if bytes > bytes_max && n > 0 {
                return;
            }
            out.push(meta, words);
        }
    }

    /// Drops the oldest messages while they are beyond `history` and everyone was sent them, or
    /// beyond `transit` too. `dropped` hears of those that not everyone was sent.
    pub(crate) fn trim(
        &mut self,
        now: Tick,
        history: &Retention,
        unsent: Offset,
        transit: &Retention,
        mut dropped: impl FnMut(Meta),
    ) {
        while self.is_beyond(now, history) {
            let first = self.segments.front().expect("a log that is beyond its bounds has some");
            let mut next = self.next.expect("a first segment has a first message");
            let record = next.next(first).expect("what is not dropped is there");
            let (meta, bytes) = (record.meta, record.bytes);
            let is_body = matches!(record.words, Words::Body(_));
            let sent = meta.offset <= unsent;
            if !sent && !self.is_beyond(now, transit) {
                return;
            }
            self.base = meta.offset;
            self.messages -= 1;
            self.bytes -= bytes;
            self.dropped += 1;
            self.next = Some(next);
            self.free_dropped(is_body);
            self.oldest = self.first_tick();
            if !sent {
                dropped(meta);
            }
        }
    }

    /// When the oldest message becomes too old for `history`.
    pub(crate) fn next_expiry(&self, history: &Retention) -> Tick {
        if self.is_empty() || !history.keeps() {
            return Tick::NEVER;
        }
        self.oldest.after_secs(history.age_secs)
    }

    /// Bytes of memory that the log keeps.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
            + self.segments.iter().map(Segment::memory).sum::<usize>()
    }

    fn is_beyond(&self, now: Tick, bound: &Retention) -> bool {
        let short = u32::from(faults::is(Mutant::HistoryShort));
        !self.is_empty()
            && (!bound.keeps()
                || self.messages + short > bound.messages_max
                || self.bytes > bound.bytes_max
                || self.oldest.after_secs(bound.age_secs) <= now)
    }

    /// A body goes with its message; what is packed goes with its segment.
    fn free_dropped(&mut self, is_body: bool) {
        let first = self.segments.front_mut().expect("a message was dropped from it");
        if is_body {
            first.free_body();
        }
        if self.dropped < first.len() {
            return;
        }
        self.segments.pop_front();
        self.dropped = 0;
        self.next = self.segments.front().map(Segment::start);
        if self.segments.is_empty() {
            self.segments = VecDeque::new();
        } else if self.segments.capacity() > 4 * self.segments.len().max(2) {
            self.segments.shrink_to(2 * self.segments.len());
        }
    }

    fn first_tick(&self) -> Tick {
        let (Some(first), Some(mut next)) = (self.segments.front(), self.next) else {
            return Tick::NEVER;
        };
        next.next(first).map_or(Tick::NEVER, |record| record.tick)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
