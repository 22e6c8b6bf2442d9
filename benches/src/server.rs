//! A server under measurement: a child process on a CPU of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

use crate::dialect::Dialect;
use crate::flags::{Bare, Shared};
use crate::folder::Folder;
use crate::machine;
use crate::softirq::Softirq;

/// How long a server may take to say where it listens: far less, unless the machine is very busy.
const START_WAIT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(2);

/// How much of what a server said is repeated when it fails.
const TAIL_BYTES: usize = 2000;

/// What addresses start with here.
const LOCALHOST: &str = "127.0.0.1:";

/// How a server is started, and known to be ready.
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    pub(crate) ready: Ready,
    pub(crate) dialect: Dialect,
    /// What it reads, if that was written for it.
    pub(crate) folder: Option<Folder>,
}

/// How it is known where a server listens.
pub(crate) enum Ready {
    /// It says an address behind these words.
    Says(&'static str),
    /// It was told the address, and says nothing when it is there.
    Listens(SocketAddr),
}

/// A running server, ended with all processes that it started when dropped, in a panic too.
pub(crate) struct Server {
    name: &'static str,
    dialect: Dialect,
    child: Child,
    _folder: Option<Folder>,
    /// What it writes on stdout and stderr: memory, so that it never waits for a reader.
    log: File,
    addr: SocketAddr,
    softirq: Softirq,
}

impl Server {
    /// Starts the program to measure, with one shard.
    ///
    /// # Errors
    /// If it does not say where it listens; like all errors here with what it said instead.
    pub(crate) fn weir(shared: &Shared) -> Result<Self> {
        Self::weir_with("weir", 1, shared)
    }

    /// Starts the program to measure with so many shards, each with a worker.
    ///
    /// # Errors
    /// As of [`weir`](Self::weir).
    pub(crate) fn weir_with(name: &'static str, shards: u16, shared: &Shared) -> Result<Self> {
        let mut command = Command::new(&shared.weir);
        let shards = shards.to_string();
        command.args(["serve", "--addr", "127.0.0.1:0", "--shards", &shards]);
        // Only one address is said, then: where clients connect.
        command.args(["--workers", &shards, "--admin", "off"]);
        Self::start(Launch::raw(name, command), shared)
    }

    /// Starts the bare server, or, named `loop`, the bare loop.
    ///
    /// # Errors
    /// As of [`weir`](Self::weir).
    pub(crate) fn bare(name: &'static str, flags: &Bare, shared: &Shared) -> Result<Self> {
        let mut command = Command::new(own_path()?);
        let verb = if name == "loop" { "loop" } else { "floor" };
        let mode = flags.mode.to_possible_value().expect("no mode is hidden");
        command.args([verb, "--mode", mode.get_name(), "--payload", &flags.payload.to_string()]);
        command.args(["--burst", &flags.burst.to_string()]);
        Self::start(Launch::raw(name, command), shared)
    }

    /// Starts a server on the CPUs for servers and waits until it is ready.
    ///
    /// # Errors
    /// As of [`weir`](Self::weir).
    pub(crate) fn start(launch: Launch, shared: &Shared) -> Result<Self> {
        let Launch { name, mut command, ready, dialect, folder } = launch;
        let log = log()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        // A child begins where its parent is, which thus visits the server's CPU.
        machine::pin(&shared.cores)?;
        let child = command.spawn();
        machine::pin(&[shared.load_core])?;
        let program = Path::new(command.get_program()).display();
        let child = child.with_context(|| format!("cannot start {program}"))?;
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let softirq = Softirq::of(&shared.cores);
        let mut server =
            Self { name, dialect, child, _folder: folder, log, addr: unknown, softirq };
        server.addr = server.wait_for_addr(&ready).map_err(|error| server.blame(error))?;
        Ok(server)
    }

    fn wait_for_addr(&mut self, ready: &Ready) -> Result<SocketAddr> {
        let deadline = machine::now() + START_WAIT;
        loop {
            let found = match *ready {
                Ready::Says(words) => listening(&self.said(0)?, words),
                Ready::Listens(addr) => TcpStream::connect(addr).is_ok().then_some(addr),
            };
            if let Some(addr) = found {
                return Ok(addr);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended before it listened: {status}");
            }
            if machine::now() > deadline {
                bail!("it did not say where it listens within {START_WAIT:?}");
            }
            std::thread::sleep(START_POLL);
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// CPU time so far, all threads of all processes that it consists of.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn cpu_nanos(&self) -> Result<u64> {
        let family = machine::family(self.child.id());
        family.into_iter().map(|pid| machine::cpu_nanos(Some(pid))).sum()
    }

    /// CPU time so far of what the kernel put off on the servers' CPUs, whoever it was for: a
    /// server has only what came to it in its turns. Nothing where that is unknown.
    ///
    /// # Errors
    /// If it cannot be read any more.
    pub(crate) fn softirq_nanos(&self) -> Result<Option<u64>> {
        self.softirq.nanos()
    }

    /// Memory of its own: not shared, not of files, resident.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64> {
        let bytes = |pid| machine::proc_bytes(&format!("/proc/{pid}/status"), "RssAnon");
        machine::family(self.child.id()).into_iter().map(bytes).sum()
    }

    /// Puts the server's name and last words to an error.
    pub(crate) fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        let end = self.log.metadata().map_or(0, |log| log.len());
        let said = self.said(end.saturating_sub(TAIL_BYTES as u64)).unwrap_or_default();
        let said = if said.is_empty() { "nothing" } else { said.trim_end() };
        anyhow::anyhow!("{}: {error:#}; it said: {said}", self.name)
    }

    /// What it wrote from an offset on, at most the first few lines' worth.
    fn said(&self, offset: u64) -> Result<String> {
        let mut bytes = [0; TAIL_BYTES];
        let read = self.log.read_at(&mut bytes, offset)?;
        Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child's own first, so that it starts no others; while it is not waited for, the
        // numbers of its children stay theirs.
        let family = machine::family(self.child.id());
        // All three fail only if something ended before, which is what is wanted.
        let _ = self.child.kill();
        family.into_iter().skip(1).for_each(machine::kill);
        let _ = self.child.wait();
    }
}

impl Launch {
    /// A server that says where it listens, and whose messages are frames.
    pub(crate) fn raw(name: &'static str, command: Command) -> Self {
        let (ready, dialect) = (Ready::Says(""), Dialect::Raw);
        Self { name, command, ready, dialect, folder: None }
    }
}

/// What a server and all that it starts write on, each line whole: such a file locks no position of
/// its own, so that two who write at once would write over each other unless both append.
fn log() -> Result<File> {
    let log = memfd_create("log", MemfdFlags::CLOEXEC)?;
    fcntl_setfl(&log, OFlags::APPEND)?;
    Ok(File::from(log))
}

fn own_path() -> Result<std::path::PathBuf> {
    std::env::current_exe().context("cannot find the path of this program")
}

/// The first address with a port in whole lines, right behind `words`.
fn listening(said: &str, words: &str) -> Option<SocketAddr> {
    let (whole, _) = said.rsplit_once('\n')?;
    let mut addresses = whole.match_indices(LOCALHOST);
    addresses.find_map(|(at, _)| {
        let port = whole[..at].ends_with(words).then(|| &whole[at + LOCALHOST.len()..])?;
        let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
        let port = port[..digits].parse().ok().filter(|&port| port != 0)?;
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_address_is_found_in_whatever_form_it_is_said() {
        let port = |said: &str| listening(said, "").map(|addr| addr.port());
        assert_eq!(port("listening 127.0.0.1:4711\n"), Some(4711));
        assert_eq!(port("starting\nlistening on ws://127.0.0.1:80/ now\n"), Some(80));
        let coloured = "\u{1b}[3maddr\u{1b}[0m=127.0.0.1:9002 \u{1b}[2mversion";
        assert_eq!(port(&format!("{coloured}\n")), Some(9002));
        assert_eq!(port("asked for 127.0.0.1:0\ngot 127.0.0.1:5\n"), Some(5));
    }

    #[test]
    fn lines_of_several_threads_are_all_there_and_whole() {
        let log = log().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mut log = log.try_clone().unwrap();
                scope.spawn(move || {
                    for line in 0..5_000 {
                        log.write_all(format!("{writer} {line}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        let mut said = vec![0; log.metadata().unwrap().len() as usize];
        log.read_exact_at(&mut said, 0).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines: std::collections::BTreeSet<_> = said.lines().collect();
        assert_eq!((said.lines().count(), lines.len()), (20_000, 20_000));
    }

    #[test]
    fn a_line_that_is_still_written_is_waited_for() {
        assert_eq!(listening("listening 127.0.0.1:47", ""), None);
        assert_eq!(listening("127.0.0.1:99999\n127.0.0.1:\n127.0.0.1:0\n", ""), None);
    }

    #[test]
    fn of_several_addresses_the_one_behind_the_words_is_meant() {
        let said = "clients on 127.0.0.1:4222\nothers on ws://127.0.0.1:8080\n";
        assert_eq!(listening(said, "ws://").map(|addr| addr.port()), Some(8080));
    }

    #[test]
    fn a_server_ends_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo 127.0.0.1:1; wait"]);
        let server = Server::start(Launch::raw("sh", command), &Shared::for_tests()).unwrap();
        let family = machine::family(server.child.id());
        assert_eq!(family.len(), 2, "a shell and its child: {family:?}");
        drop(server);
        let deadline = machine::now() + START_WAIT;
        // What has ended has no words of its command left, even if nobody waits for it.
        let words = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline"));
        while family.iter().any(|pid| words(pid).is_ok_and(|words| !words.is_empty())) {
            assert!(machine::now() < deadline, "{family:?}");
            std::thread::sleep(START_POLL);
        }
    }
}
