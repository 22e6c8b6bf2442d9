//! What the kernel's programs say, into the log.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, error, info, trace, warn};

use super::error::KernelError;
use super::object;
use crate::net::rtnetlink::{self, Attached};

/// How often the reader looks whether it is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// What the programs say, and nobody has read yet: it is kept, as far as there is room.
pub(crate) struct Unread(EbpfLogger<Tracing>);

/// A thread that reads what the programs say until it is dropped.
#[derive(Debug)]
pub(crate) struct Reader {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Unread {
    /// Of an object whose programs are not loaded yet.
    ///
    /// # Errors
    /// If the object has no log.
    pub(crate) fn of(object: &mut Ebpf) -> Result<Self, KernelError> {
        object::logger(object, Tracing).map(Self)
    }
}

impl Reader {
    /// Starts it, with the capabilities that the calling thread has by now. Without a thread to
    /// be had the programs speak unheard.
    pub(crate) fn start(Unread(logger): Unread) -> Option<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("weir-bpf-log".to_owned()).spawn({
            let ends = Arc::clone(&ends);
            move || read(logger, &ends)
        });
        thread.ok().map(|thread| Self { ends, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(mut logger: EbpfLogger<Tracing>, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let fd = logger.as_fd();
        let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&LOOK));
        if matches!(ready, Ok(1..)) {
            logger.flush();
        }
    }
}

/// Hands records on to the log that all of Weir writes.
#[derive(Debug)]
struct Tracing;

impl Log for Tracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let said = record.args();
        match record.level() {
            Level::Error => error!(program = record.target(), "{said}"),
            Level::Warn => warn!(program = record.target(), "{said}"),
            Level::Info => info!(program = record.target(), "{said}"),
            Level::Debug => debug!(program = record.target(), "{said}"),
            Level::Trace => trace!(program = record.target(), "{said}"),
        }
    }

    fn flush(&self) {}
}

/// The XDP program that is on a device, if there is one and the kernel tells.
pub(crate) fn attached(device: &str) -> Option<Attached> {
    rtnetlink::xdp(device).ok().flatten()
}

/// The same by number and name, for people.
pub(crate) fn occupant(device: &str) -> String {
    let Some(attached) = attached(device) else { return "of unknown name".to_owned() };
    let name = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == attached.program)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    let name = name.unwrap_or_else(|| "of unknown name".to_owned());
    format!("{name} (id {})", attached.program)
}
