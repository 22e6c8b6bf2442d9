//! Chunks that members still owe from: shared, counted, and charged to the shard once.

use slab::Slab;

use crate::chunk::Chunk;
use crate::outbox::ITEM_COST_BYTES;

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
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    spare_bytes_max: usize,
}

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
        let spare = Vec::new();
        Self { entries: Slab::new(), charged: [0; 2], spare, spare_bytes: 0, spare_bytes_max }
    }

    /// An empty buffer, used before if there is one.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let buf = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buf.capacity();
        buf
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
}
