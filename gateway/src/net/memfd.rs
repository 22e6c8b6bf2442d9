//! Large payloads kept in the kernel: extents of one memfd, sent to many sockets by `sendfile`.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard};

use gateway_core::body::Store;
use gateway_core::transmit::StoredId;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create, sendfile};
use rustix::io::{pread, pwritev, retry_on_intr};
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

/// Where [`Part::Stored`](gateway_core::transmit::Part::Stored) is sent from.
pub trait Extents: Send + Sync {
    /// Sends a range of a live extent to a non-blocking socket; the count may be less than asked.
    ///
    /// # Errors
    /// `WouldBlock` if the socket takes nothing now; anything else means that it is broken.
    fn send_range(&self, id: StoredId, range: Range<u64>, to: BorrowedFd<'_>) -> io::Result<usize>;

    /// Lets a non-blocking pipe share the pages of a range of a live extent; the count may be less.
    ///
    /// # Errors
    /// `WouldBlock` if the pipe is full; anything else means that this system cannot.
    fn fill(&self, id: StoredId, range: Range<u64>, pipe: BorrowedFd<'_>) -> io::Result<usize>;
}

/// Distance between the starts of extents, in bytes of the file: 2 MiB, a huge page.
///
/// Freeing must drop whole pages: of a page that is cut the kernel zeroes the freed half in
/// place, and sockets may still refer to it. Only written pages take memory, so that the gaps
/// cost a page-tree node each.
const EXTENT_ALIGN_BYTES: u64 = 2 << 20;

/// Extents in one memfd, written once and never rewritten, so that a socket's queue may refer
/// to their pages instead of copying them. Shared by all shards of a process.
///
/// `sendfile` has no `MSG_NOSIGNAL`: the process must ignore SIGPIPE, as Rust programs do.
#[derive(Debug)]
pub struct MemfdStore {
    file: OwnedFd,
    extents: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    /// Start of the next extent, in units of the alignment. Never comes back: the file's
    /// 2^63 bytes hold 2^42 extents.
    next: u64,
    /// Length in bytes of each extent that is not freed. Bounded by what the caller keeps.
    lens: HashMap<StoredId, u64>,
}

impl MemfdStore {
    /// An empty store.
    ///
    /// # Errors
    /// If the system has no descriptor or memory left, has huge pages for shared memory, or bounds
    /// the size of files: the store's grows for ever, though not its memory, and a write beyond
    /// that bound would be fatal.
    pub fn new() -> io::Result<Self> {
        if getrlimit(Resource::Fsize).current.is_some() {
            return Err(io::Error::other("the size of files is limited (ulimit -f)"));
        }
        let file = memfd_create("weir-store", MemfdFlags::CLOEXEC)?;
        let store = Self { file, extents: Mutex::default() };
        let probe = store.put(&[], b"?")?;
        if store.memory_bytes()? > page_size() as u64 {
            // Each extent would take one of them, and a punch might cut one that sockets hold.
            return Err(io::Error::other("shared memory has huge pages (shmem_enabled)"));
        }
        store.free(probe)?;
        Ok(store)
    }

    /// Keeps a copy of `head` and `rest`, one behind the other, until [`free`](Self::free); its
    /// ranges count from 0 to the length of both.
    ///
    /// # Errors
    /// If memory is short or the file's 2^63 bytes are used up; nothing is kept then.
    pub fn put(&self, head: &[u8], rest: &[u8]) -> io::Result<StoredId> {
        let len = (head.len() + rest.len()) as u64;
        let id = self.reserve(len);
        let result = self.write(start(id), [head, rest]);
        if result.is_ok() {
            self.live().lens.insert(id, len);
        } else if len > 0 {
            // Best effort: what cannot be punched is pages of an extent nobody can name.
            let _ = self.punch(start(id), len);
        }
        result.map(|()| id)
    }

    /// Forgets an extent and gives its memory back, once no socket refers to it any more.
    ///
    /// # Errors
    /// If the system refuses; the extent is forgotten, and its memory is not given back.
    ///
    /// # Panics
    /// If the extent is not live.
    pub fn free(&self, id: StoredId) -> io::Result<()> {
        let len = self.live().lens.remove(&id);
        let len = len.expect("an extent is freed once, by the store that made it");
        if len == 0 { Ok(()) } else { self.punch(start(id), len) }
    }

    /// Bytes of file memory in use now, whole pages.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        // st_blocks counts 512 bytes each, whatever the block size.
        let blocks = rustix::fs::fstat(&self.file)?.st_blocks;
        Ok(u64::try_from(blocks).unwrap_or(0) * 512)
    }

    fn reserve(&self, len: u64) -> StoredId {
        let mut live = self.live();
        let id = StoredId(live.next);
        live.next += len.div_ceil(EXTENT_ALIGN_BYTES).max(1);
        id
    }

    fn write(&self, mut offset: u64, [mut head, mut rest]: [&[u8]; 2]) -> io::Result<()> {
        while !(head.is_empty() && rest.is_empty()) {
            let slices = [IoSlice::new(head), IoSlice::new(rest)];
            let count = retry_on_intr(|| pwritev(&self.file, &slices, offset))?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += count as u64;
            let of_head = count.min(head.len());
            (head, rest) = (&head[of_head..], &rest[count - of_head..]);
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let whole = len.next_multiple_of(EXTENT_ALIGN_BYTES);
        Ok(retry_on_intr(|| fallocate(&self.file, mode, offset, whole))?)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.extents.lock().expect("nothing panics while the table of extents is held")
    }
}

impl Extents for MemfdStore {
    fn send_range(&self, id: StoredId, range: Range<u64>, to: BorrowedFd<'_>) -> io::Result<usize> {
        // Its owner sends it, so that it is live; every member's send would take the lock.
        debug_assert!(
            range.start < range.end
                && self.live().lens.get(&id).is_some_and(|len| range.end <= *len),
            "the range {range:?} lies within a live extent"
        );
        let mut offset = start(id) + range.start;
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(retry_on_intr(|| sendfile(to, &self.file, Some(&mut offset), count))?)
    }

    fn fill(&self, id: StoredId, range: Range<u64>, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(super::tee::lay(self.file.as_fd(), start(id) + range.start, count, pipe)?)
    }
}

fn start(id: StoredId) -> u64 {
    id.0.saturating_mul(EXTENT_ALIGN_BYTES)
}

/// A shortage costs the copy that storing saves, nothing else.
impl Store for MemfdStore {
    fn put(&self, head: &[u8], rest: &[u8]) -> Option<StoredId> {
        Self::put(self, head, rest).ok()
    }

    fn read(&self, id: StoredId, range: Range<u64>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        let mut read = 0;
        while read < bytes.len() {
            let at = start(id) + range.start + read as u64;
            read += match retry_on_intr(|| pread(&self.file, &mut bytes[read..], at)).ok()? {
                // The file ends where its last extent does.
                0 => return None,
                more => more,
            };
        }
        Some(bytes)
    }

    fn free(&self, id: StoredId) {
        // Pages that could not be punched are lost until the process ends; nobody can name them.
        let _ = Self::free(self, id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    fn pattern(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + i / 253 + seed) as u8).collect()
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn send_all(store: &MemfdStore, id: StoredId, mut range: Range<u64>, to: &TcpStream) {
        while !range.is_empty() {
            range.start += store.send_range(id, range.clone(), to.as_fd()).unwrap() as u64;
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let store = MemfdStore::new().unwrap();
        let (first, second) = (pattern(100_000, 1), pattern(3 << 20, 2));
        let (a, b) =
            (store.put(&[], &first).unwrap(), store.put(&second[..10], &second[10..]).unwrap());
        let (server, mut client) = pair();
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            client.read_to_end(&mut seen).map(|_| seen).unwrap()
        });
        send_all(&store, b, 0..second.len() as u64, &server);
        send_all(&store, a, 7..99_999, &server);
        drop(server);
        let seen = reader.join().unwrap();
        assert!(seen == [&second[..], &first[7..99_999]].concat(), "the same bytes in order");
    }

    #[test]
    fn what_is_stored_is_read_back_in_any_range() {
        let store = MemfdStore::new().unwrap();
        let bytes = pattern(100_000, 9);
        let id = Store::put(&store, &bytes[..5], &bytes[5..]).unwrap();
        assert_eq!(store.read(id, 0..100_000).as_deref(), Some(&bytes[..]));
        assert_eq!(store.read(id, 70_000..70_010).as_deref(), Some(&bytes[70_000..70_010]));
        assert_eq!(store.read(id, 5..5).as_deref(), Some(&[][..]));
    }

    #[test]
    fn freed_extents_give_their_memory_back_and_leave_the_others() {
        let store = MemfdStore::new().unwrap();
        let kept = store.put(&[], &pattern(70_000, 3)).unwrap();
        let before = store.memory_bytes().unwrap();
        let freed = store.put(&[], &pattern(5 << 20, 4)).unwrap();
        assert!(store.memory_bytes().unwrap() >= before + (5 << 20));
        store.free(freed).unwrap();
        assert_eq!(store.memory_bytes().unwrap(), before);

        let (server, mut client) = pair();
        send_all(&store, kept, 0..70_000, &server);
        let mut seen = vec![0; 70_000];
        client.read_exact(&mut seen).unwrap();
        assert!(seen == pattern(70_000, 3));
    }

    #[test]
    fn an_extent_freed_while_a_socket_refers_to_it_still_arrives() {
        let store = MemfdStore::new().unwrap();
        let bytes = pattern(64 << 10, 5);
        let id = store.put(&[], &bytes).unwrap();
        let (server, mut client) = pair();
        send_all(&store, id, 0..bytes.len() as u64, &server);
        store.free(id).unwrap();
        store.put(&[], &pattern(64 << 10, 6)).unwrap();
        let mut seen = vec![0; bytes.len()];
        client.read_exact(&mut seen).unwrap();
        assert!(seen == bytes);
    }

    #[test]
    fn an_empty_extent_is_put_and_freed() {
        let store = MemfdStore::new().unwrap();
        let id = store.put(&[], &[]).unwrap();
        assert_ne!(store.put(b"ne", b"xt").unwrap(), id);
        store.free(id).unwrap();
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "lies within a live extent")]
    fn a_freed_extent_cannot_be_sent() {
        let store = MemfdStore::new().unwrap();
        let id = store.put(&[], b"gone").unwrap();
        store.free(id).unwrap();
        let (server, _client) = pair();
        let _ = store.send_range(id, 0..4, server.as_fd());
    }
}
