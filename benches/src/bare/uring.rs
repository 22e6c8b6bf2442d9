//! One `io_uring` SEND for each descriptor, and one system call for all of them.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode, types};
use rustix::net::{RecvFlags, SendFlags};

/// Sends that are submitted at once.
const ENTRIES: u32 = 8192;

/// What submits sends and learns how they ended.
pub(super) struct Uring {
    ring: IoUring,
    /// Whether the kernel keeps silent about sends that succeed.
    silent: bool,
}

impl Uring {
    /// # Errors
    /// If the kernel has no io_uring, or lets nobody use it.
    pub(super) fn new() -> Result<Self> {
        let ring = IoUring::builder().setup_single_issuer().build(ENTRIES);
        let ring = ring.context("no io_uring here (see kernel.io_uring_disabled)")?;
        let silent = ring.params().is_feature_skip_cqe_on_success();
        Ok(Self { ring, silent })
    }

    /// Sends all of `bytes` to everyone.
    ///
    /// # Errors
    /// If the kernel takes less than everything from one of them.
    pub(super) fn send_all<'a>(
        &mut self,
        others: impl Iterator<Item = &'a OwnedFd>,
        bytes: &[u8],
    ) -> Result<()> {
        let len = u32::try_from(bytes.len())?;
        // Who would have to wait fails at once, and so does what is taken in part.
        let flags = (SendFlags::NOSIGNAL | SendFlags::DONTWAIT).bits() | RecvFlags::WAITALL.bits();
        let flags = i32::try_from(flags)?;
        let silence = if self.silent { Flags::SKIP_SUCCESS } else { Flags::empty() };
        let mut pushed = 0;
        for fd in others {
            let send = opcode::Send::new(types::Fd(fd.as_raw_fd()), bytes.as_ptr(), len);
            let entry = send.flags(flags).build().flags(silence);
            if self.ring.submission().is_full() {
                self.finish(pushed, len)?;
                pushed = 0;
            }
            // SAFETY: the entry reads `bytes` no longer than this function borrows them: it is
            // submitted before the function returns, and a send that must not wait is over
            // when `submit` is, since the ring has no thread of its own (`new`). After an error
            // nothing is submitted any more: it ends the server.
            unsafe { self.ring.submission().push(&entry) }?;
            pushed += 1;
        }
        self.finish(pushed, len)
    }

    /// Submits what was pushed, and sees that each of it was sent.
    fn finish(&mut self, pushed: usize, len: u32) -> Result<()> {
        let submitted = self.ring.submit()?;
        ensure!(submitted == pushed, "io_uring took {submitted} of {pushed} sends");
        let mut told = 0;
        for completion in self.ring.completion() {
            told += 1;
            if completion.result() != i32::try_from(len)? {
                bail!("io_uring sent {} of {len} bytes: send less at once", completion.result());
            }
        }
        ensure!(self.silent || told == pushed, "io_uring ended {told} of {pushed} sends");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn everyone_gets_everything() {
        // A kernel may forbid it; the macro run then says so too.
        let Ok(mut uring) = Uring::new() else { return };
        let (mut near, far): (Vec<_>, Vec<OwnedFd>) = (0..20)
            .map(|_| UnixStream::pair().unwrap())
            .map(|(near, far)| (near, OwnedFd::from(far)))
            .unzip();
        uring.send_all(far.iter(), b"to all").unwrap();
        uring.send_all(far.iter(), b", twice").unwrap();
        drop(far);
        for stream in &mut near {
            let mut got = String::new();
            stream.read_to_string(&mut got).unwrap();
            assert_eq!(got, "to all, twice");
        }
    }

    #[test]
    fn what_the_kernel_does_not_take_is_an_error() {
        let Ok(mut uring) = Uring::new() else { return };
        let (_near, far) = UnixStream::pair().unwrap();
        let far = [OwnedFd::from(far)];
        let bytes = vec![0; 16 << 20];
        assert!(uring.send_all(far.iter(), &bytes).is_err());
    }
}
