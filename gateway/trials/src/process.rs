//! A gateway on trial: a process of its own, with what it says and what it costs.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long it may take to say where it listens: far less, unless the machine is very busy.
const START_WAIT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(5);

/// A running `weir`, ended when dropped.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    /// What it writes: a file without a name, so that it never waits for a reader.
    said: fs::File,
    addr: SocketAddr,
    admin: SocketAddr,
}

impl Weir {
    /// Starts the program at `path` on free ports of this machine, with these flags beside.
    ///
    /// # Errors
    /// If it does not say where it listens within a minute; with what it said instead.
    pub fn start(path: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(["serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(flags);
        Self::run(command)
    }

    /// Starts it by this command, which says where it listens on whatever addresses it is told.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn run(mut command: Command) -> Result<Self> {
        let said = paper()?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        let child = command.spawn();
        let program = Path::new(command.get_program()).display();
        let child = child.with_context(|| format!("cannot start {program}"))?;
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut weir = Self { child, said, addr: unknown, admin: unknown };
        (weir.addr, weir.admin) = weir.wait_for_addresses()?;
        Ok(weir)
    }

    #[expect(clippy::disallowed_methods, reason = "how long a real start takes is bounded")]
    fn wait_for_addresses(&mut self) -> Result<(SocketAddr, SocketAddr)> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let said = self.said()?;
            let after = |what| said.lines().find_map(|line: &str| line.strip_prefix(what));
            let (addr, admin) = (after("listening on ws://"), after("admin on http://"));
            // A line that is not whole yet ends in no port, or in too short a one.
            if let (Some(addr), Some(admin), true) = (addr, admin, said.ends_with('\n')) {
                return Ok((addr.trim().parse()?, admin.trim().parse()?));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("weir ended before it listened ({status}); it said:\n{said}");
            }
            if Instant::now() > deadline {
                bail!("weir did not say where it listens within {START_WAIT:?}, but:\n{said}");
            }
            std::thread::sleep(START_POLL);
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where operators look.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// All that it wrote until now, on standard output and standard error.
    ///
    /// # Errors
    /// If the system does not give it.
    pub fn said(&self) -> Result<String> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.said.as_raw_fd());
        let mut bytes = Vec::new();
        fs::File::open(path)?.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Bytes of memory that it has to itself.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = fs::read_to_string(path).context("weir is gone")?;
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kib.sum::<u64>() * 1024)
    }

    /// Bounds the descriptors that it may have open from now on; those that are stay open.
    ///
    /// # Errors
    /// If it is gone, or the system refuses.
    pub fn bound_descriptors(&self, most: u64) -> Result<()> {
        let limit = rustix::process::Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::prlimit(Some(self.pid()), rustix::process::Resource::Nofile, limit)
            .context("cannot bound weir's descriptors")?;
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What several threads write on, each line whole: such a file locks no position of its own, so
/// that two who write at once would write over each other unless both append.
fn paper() -> Result<fs::File> {
    let paper = rustix::fs::memfd_create("said", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&paper, rustix::fs::OFlags::APPEND)?;
    Ok(fs::File::from(paper))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn lines_of_several_threads_are_all_there_and_whole() {
        let paper = paper().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mut paper = paper.try_clone().unwrap();
                scope.spawn(move || {
                    for line in 0..5_000 {
                        paper.write_all(format!("{writer} {line}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        let mut said = vec![0; paper.metadata().unwrap().len() as usize];
        paper.read_exact_at(&mut said, 0).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines: std::collections::BTreeSet<_> = said.lines().collect();
        assert_eq!((said.lines().count(), lines.len()), (20_000, 20_000));
    }
}
