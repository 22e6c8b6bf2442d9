//! Records that the kernel's programs read while this process writes them: a map in our memory.

use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;

use gateway_ebpf::abi::{Cpu, Group, Shard, Total, Word};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What a map holds: made of [`Word`]s alone, so that any bytes are a value, and reading one while
/// somebody else writes it is no race.
///
/// # Safety
/// The type consists of words and of bytes that nobody reads.
pub(crate) unsafe trait Record {}

// SAFETY: its fields are words.
unsafe impl Record for Word {}
// SAFETY: its fields are words.
unsafe impl Record for Shard {}
// SAFETY: its fields are words.
unsafe impl Record for Total {}
// SAFETY: its fields are words and arrays of words.
unsafe impl Record for Cpu {}
// SAFETY: its fields are words, an array of words, and a private number that nobody reads.
unsafe impl Record for Group {}

/// All records of one map, as long as it lives; the map itself may be closed meanwhile.
#[derive(Debug)]
pub(crate) struct Mapped<T: Record> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: it is memory that whoever holds it may read and write, and a record's words are atomics.
unsafe impl<T: Record> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Record> Sync for Mapped<T> {}

impl<T: Record> Mapped<T> {
    /// The records of a map that can be mapped (`BPF_F_MMAPABLE`), which has so many.
    ///
    /// # Errors
    /// What the system said: the map is another, or smaller.
    pub(crate) fn of(map: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        let bytes = count * size_of::<T>();
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the system finds a place of its own for it, and refuses what is larger than the
        // map's last page.
        let start = unsafe { mmap(ptr::null_mut(), bytes, rights, MapFlags::SHARED, map, 0)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { start, count })
    }
}

impl<T: Record> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: there are as many records in the mapping, which begins with a page and so is
        // aligned for them, is made of zeros or of what was written, and lasts as long as we do.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T: Record> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, of this size, and nobody borrows it any more. Should the
        // system refuse, it stays mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}
