//! Payloads in pages that all sockets share: written once, sent by `sendfile`, never written again.

use std::os::fd::OwnedFd;

use anyhow::{Result, bail, ensure};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create, sendfile};
use rustix::io::pwrite;

/// How many bytes are kept before their pages are given up. A socket that still has to send one
/// holds the page itself, so that nothing is lost by giving it up.
const KEPT_BYTES: u64 = 8 << 20;

/// Only whole pages are given up, as large as they come: of a page that lies in part in what is
/// given up the kernel wipes that part, which a socket may still have to send.
const PAGE_BYTES: u64 = 2 << 20;

/// A file of memory, of which only the end is ever written.
pub(super) struct Memfd {
    file: OwnedFd,
    /// What lies before is given up; what lies behind was never written.
    begin: u64,
    end: u64,
}

impl Memfd {
    /// # Errors
    /// If the kernel gives no memory.
    pub(super) fn new() -> Result<Self> {
        let file = memfd_create("payloads", MemfdFlags::CLOEXEC)?;
        Ok(Self { file, begin: 0, end: 0 })
    }

    /// Writes `bytes` once, as a gateway must that gets them from a client, and sends them to
    /// everyone.
    ///
    /// # Errors
    /// If the kernel takes less than everything from one of them.
    pub(super) fn send_all<'a>(
        &mut self,
        others: impl Iterator<Item = &'a OwnedFd>,
        bytes: &[u8],
    ) -> Result<()> {
        let written = pwrite(&self.file, bytes, self.end)?;
        ensure!(written == bytes.len(), "a memfd took {written} of {} bytes", bytes.len());
        for fd in others {
            let mut offset = self.end;
            match sendfile(fd, &self.file, Some(&mut offset), bytes.len()) {
                Ok(sent) if sent == bytes.len() => {}
                Ok(sent) => bail!("the kernel took {sent} of {} bytes from a memfd", bytes.len()),
                Err(errno) => bail!("the kernel took nothing from a memfd: {errno}"),
            }
        }
        self.end += bytes.len() as u64;
        if self.end - self.begin >= KEPT_BYTES {
            self.give_up()?;
        }
        Ok(())
    }

    /// Gives up the pages of what was written so far, but for the last one.
    fn give_up(&mut self) -> Result<()> {
        let end = self.end / PAGE_BYTES * PAGE_BYTES;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, hole, self.begin, end - self.begin)?;
        self.begin = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn pages_that_were_given_up_still_arrive() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let far = [OwnedFd::from(far)];
        let mut memfd = Memfd::new().unwrap();
        let nobody: [OwnedFd; 0] = [];
        memfd.send_all(nobody.iter(), &vec![6; PAGE_BYTES as usize - 5000]).unwrap();
        // The first of these reaches over the end of a page that is given up.
        memfd.send_all(far.iter(), &[7; 10_000]).unwrap();
        memfd.give_up().unwrap();
        assert_eq!(memfd.begin, PAGE_BYTES);
        memfd.send_all(far.iter(), &[8; 10_000]).unwrap();
        drop(far);
        let mut got = Vec::new();
        near.read_to_end(&mut got).unwrap();
        assert!(got == [[7; 10_000], [8; 10_000]].concat(), "{} bytes came", got.len());
    }

    #[test]
    fn the_file_does_not_grow_without_bound() {
        let mut memfd = Memfd::new().unwrap();
        let nobody: [OwnedFd; 0] = [];
        let bytes = vec![1; 1 << 20];
        for _ in 0..3 * KEPT_BYTES / bytes.len() as u64 {
            memfd.send_all(nobody.iter(), &bytes).unwrap();
        }
        // In blocks of 512 bytes, whatever the file's own blocks are.
        let held = fstat(&memfd.file).unwrap().st_blocks * 512;
        assert!(held <= (KEPT_BYTES + PAGE_BYTES) as i64, "{held}");
    }
}
