//! Chunks that members still owe from: shared, counted, and charged to the shard once.

use slab::Slab;

use crate::chunk::Chunk;
use crate::outbox::ITEM_COST_BYTES;
use crate::time::Tick;

/// Names a chunk while it is held or owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ChunkId(u32);

/// Whose debts a chunk is charged to: they have budgets of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Account {
    Rooms,
    Echoes,
}

/// What keeping a chunk costs beside its bytes: its entry and the allocator's rounding.
const CHUNK_COST_BYTES: usize = 128;

/// The chunks of a shard, and the buffers between two uses.
///
/// A chunk lives while the flush holds it or an outbox owes from it. Only owed chunks are
/// charged: what is sent within its turn costs the shard nothing that lasts.
#[derive(Debug)]
pub(crate) struct Chunks {
    entries: Slab<Entry>,
    /// By account.
    charged: [usize; 2],
    /// The last is used first, so that the first are those that a busy moment needed.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    spare_bytes_max: usize,
    /// The least that was spare at any moment since the last look.
    unused_bytes: usize,
    /// When it is looked again what nobody has used.
    looks_at: Tick,
}

/// Seconds between two looks at what nobody has used: longer than rooms pause between messages.
const REST_SECS: u32 = 1;

/// Bytes of unused buffers that are kept although nobody uses them.
const SPARE_BYTES_KEPT: usize = 64 << 10;

#[derive(Debug)]
struct Entry {
    chunk: Chunk,
    account: Account,
    held: bool,
    owed: u32,
    charge: usize,
}

impl Chunks {
    /// `spare_bytes_max` bounds the unused buffers that are kept.
    pub(crate) fn new(spare_bytes_max: usize) -> Self {
        Self {
            entries: Slab::new(),
            charged: [0; 2],
            spare: Vec::new(),
            spare_bytes: 0,
            spare_bytes_max,
            unused_bytes: 0,
            looks_at: Tick(0),
        }
    }

    /// An empty buffer, used before if there is one.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let buf = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buf.capacity();
        self.unused_bytes = self.unused_bytes.min(self.spare_bytes);
        buf
    }

    /// When to look at what nobody has used, if there is so much of it.
    pub(crate) fn looks_at(&self) -> Tick {
        if self.spare_bytes > SPARE_BYTES_KEPT { self.looks_at } else { Tick::NEVER }
    }

    /// Gives back buffers that were not used between two looks; may be called more often.
    pub(crate) fn trim(&mut self, now: Tick) {
        if now < self.looks_at {
            return;
        }
        let mut left = self.spare_bytes;
        let used = self.spare_bytes - self.unused_bytes;
        let goes = self.spare.iter().take_while(|buf| {
            let is_unused = left > SPARE_BYTES_KEPT && left - buf.capacity() >= used;
            left -= buf.capacity();
            is_unused
        });
        let goes = goes.count();
        self.spare.drain(..goes).for_each(|buf| self.spare_bytes -= buf.capacity());
        self.unused_bytes = self.spare_bytes;
        self.looks_at = now.after_secs(REST_SECS);
    }

    /// Takes a buffer back.
    pub(crate) fn recycle(&mut self, mut buf: Vec<u8>) {
        let bytes = buf.capacity();
        // One large buffer must not keep all the small ones out.
        let large = bytes > self.spare_bytes_max / 4;
        if bytes == 0 || large || self.spare_bytes + bytes > self.spare_bytes_max {
            return;
        }
        buf.clear();
        self.spare_bytes += bytes;
        self.spare.push(buf);
    }

    /// Holds a chunk for the flush that is about to send it.
    pub(crate) fn hold(&mut self, chunk: Chunk, account: Account) -> ChunkId {
        let entry = Entry { chunk, account, held: true, owed: 0, charge: 0 };
        let key = self.entries.insert(entry);
        ChunkId(u32::try_from(key).expect("fewer chunks than bytes owed"))
    }

    /// Ends the flush's hold: a chunk nobody owes from goes, any other is cut to size.
    pub(crate) fn settle(&mut self, id: ChunkId) {
        let entry = &mut self.entries[id.0 as usize];
        assert!(entry.held, "a chunk is settled once");
        entry.held = false;
        if entry.owed == 0 {
            return self.remove(id);
        }
        if let Some(large) = entry.chunk.trim() {
            let charge = entry.chunk.memory() + CHUNK_COST_BYTES;
            let charged = &mut self.charged[entry.account as usize];
            *charged = *charged - entry.charge + charge;
            entry.charge = charge;
            self.recycle(large);
        }
    }

    /// One more outbox range points into the chunk.
    pub(crate) fn owe(&mut self, id: ChunkId) {
        let entry = &mut self.entries[id.0 as usize];
        let charged = &mut self.charged[entry.account as usize];
        if entry.owed == 0 {
            entry.charge = entry.chunk.memory() + CHUNK_COST_BYTES;
            *charged += entry.charge;
        }
        *charged += ITEM_COST_BYTES;
        entry.owed += 1;
    }

    /// An outbox range is gone, sent or dropped.
    pub(crate) fn paid(&mut self, id: ChunkId) {
        let entry = &mut self.entries[id.0 as usize];
        let charged = &mut self.charged[entry.account as usize];
        entry.owed = entry.owed.checked_sub(1).expect("a range is paid once");
        *charged -= ITEM_COST_BYTES;
        if entry.owed > 0 {
            return;
        }
        *charged -= entry.charge;
        entry.charge = 0;
        if !entry.held {
            self.remove(id);
        }
    }

    /// What else a debt costs, while it lasts.
    pub(crate) fn charge(&mut self, account: Account, bytes: usize) {
        self.charged[account as usize] += bytes;
    }

    /// The debt is paid.
    pub(crate) fn discharge(&mut self, account: Account, bytes: usize) {
        self.charged[account as usize] -= bytes;
    }

    pub(crate) fn get(&self, id: ChunkId) -> &Chunk {
        &self.entries[id.0 as usize].chunk
    }

    /// Bytes of memory that debts cost, each chunk once.
    pub(crate) fn charged(&self, account: Account) -> usize {
        self.charged[account as usize]
    }

    /// Chunks alive.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, id: ChunkId) {
        let entry = self.entries.remove(id.0 as usize);
        self.recycle(entry.chunk.into_buf());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Opcode;

    fn chunk(chunks: &mut Chunks, payload: &[u8]) -> Chunk {
        let mut chunk = Chunk::reusing(chunks.buffer());
        chunk.push_frame(Opcode::Binary, payload);
        chunk
    }

    #[test]
    fn a_chunk_sent_within_its_turn_is_never_charged() {
        let mut chunks = Chunks::new(1 << 20);
        let sent = chunk(&mut chunks, &[1; 1000]);
        let id = chunks.hold(sent, Account::Rooms);
        assert_eq!(chunks.charged(Account::Rooms), 0);
        chunks.settle(id);
        assert_eq!(chunks.len(), 0);
        assert!(chunks.buffer().capacity() >= 1000, "its buffer is used again");
    }

    #[test]
    fn a_thousand_ranges_are_charged_once_and_paid_once() {
        let mut chunks = Chunks::new(1 << 20);
        let sent = chunk(&mut chunks, &[1; 1000]);
        let id = chunks.hold(sent, Account::Rooms);
        (0..1000).for_each(|_| chunks.owe(id));
        chunks.settle(id);
        let charged = chunks.charged(Account::Rooms) - 1000 * ITEM_COST_BYTES;
        assert!((1000..1000 + 1024).contains(&charged), "{charged}");
        (0..999).for_each(|_| chunks.paid(id));
        assert_eq!(chunks.charged(Account::Rooms), charged + ITEM_COST_BYTES);
        assert_eq!(chunks.charged(Account::Echoes), 0);
        chunks.paid(id);
        assert_eq!((chunks.charged(Account::Rooms), chunks.len()), (0, 0));
    }

    #[test]
    fn a_range_paid_before_the_flush_ends_leaves_the_chunk_to_the_flush() {
        let mut chunks = Chunks::new(1 << 20);
        let sent = chunk(&mut chunks, b"x");
        let id = chunks.hold(sent, Account::Rooms);
        chunks.owe(id);
        chunks.paid(id);
        assert_eq!((chunks.charged(Account::Rooms), chunks.len()), (0, 1));
        chunks.settle(id);
        assert_eq!(chunks.len(), 0);
    }

    #[test]
    fn spare_buffers_are_bounded() {
        let mut chunks = Chunks::new(10_000);
        (0..8).for_each(|_| chunks.recycle(Vec::with_capacity(2_400)));
        assert_eq!(chunks.spare.len(), 4);
        let mut chunks = Chunks::new(10_000);
        chunks.recycle(Vec::with_capacity(6_000));
        assert_eq!(chunks.spare.len(), 0, "too large a part of the whole");
    }

    #[test]
    fn spare_buffers_that_nobody_used_between_two_looks_are_given_back() {
        const BYTES: usize = SPARE_BYTES_KEPT / 2;
        let mut chunks = Chunks::new(100 * BYTES);
        let mut now = Tick(0);
        assert_eq!(chunks.looks_at(), Tick::NEVER);
        (0..8).for_each(|_| chunks.recycle(Vec::with_capacity(BYTES)));
        let mut look = |chunks: &mut Chunks, uses: usize| {
            let used: Vec<_> = (0..uses).map(|_| chunks.buffer()).collect();
            used.into_iter().for_each(|buf| chunks.recycle(buf));
            chunks.trim(now);
            assert_eq!(chunks.spare_bytes, chunks.spare.len() * BYTES);
            chunks.trim(Tick(now.0 + 1));
            now = now.after_secs(REST_SECS);
            chunks.spare.len()
        };
        assert_eq!(look(&mut chunks, 0), 8, "they were not there for a whole pause");
        assert_eq!(look(&mut chunks, 4), 4);
        assert_eq!(look(&mut chunks, 3), 3);
        assert_ne!(chunks.looks_at(), Tick::NEVER);
        assert_eq!(look(&mut chunks, 0), 2, "some are kept");
        assert_eq!(chunks.looks_at(), Tick::NEVER, "and nobody has to look again");
    }

    #[test]
    fn a_large_spare_buffer_goes_too_and_is_not_looked_at_for_ever() {
        let mut chunks = Chunks::new(100 * SPARE_BYTES_KEPT);
        chunks.recycle(Vec::with_capacity(20 * SPARE_BYTES_KEPT));
        chunks.trim(Tick(0));
        assert_eq!((chunks.spare.len(), chunks.looks_at()), (1, Tick(0).after_secs(REST_SECS)));
        chunks.trim(chunks.looks_at());
        assert_eq!((chunks.spare.len(), chunks.looks_at()), (0, Tick::NEVER));
    }
}
