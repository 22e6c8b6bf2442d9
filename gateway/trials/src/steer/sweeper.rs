//! Who clears away: a process that waits for the end of this one, however it comes.
//!
//! It is this program once more, in a process group of its own, so that Ctrl-C does not reach it,
//! and reads a pipe that only this process writes to: the pipe ends when this process does.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::tools;
use crate::clock;

/// How long what was ended may take to be gone: far less, unless the machine is very busy.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// The word that makes this program the sweeper.
pub(super) const VERB: &str = "sweep";

/// The process that clears away.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// None once it has been waited for.
    child: Option<Child>,
}

impl Sweeper {
    /// Has these namespaces and this folder cleared away at the end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(names: &[String], folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find the path of this program")?;
        let mut command = tools::command(program);
        command.arg(VERB).arg("--folder").arg(folder).args(names);
        command.stdin(Stdio::piped()).process_group(0);
        let child = command.spawn().context("cannot start who clears away")?;
        Ok(Self { child: Some(child) })
    }

    /// Has it done now, and waits for it.
    ///
    /// # Errors
    /// If it was not able to; what it said stands above.
    pub(super) fn sweep(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "not everything could be cleared away");
        Ok(())
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // Nobody is left to tell; the sweeper has said it.
        let _ = self.sweep();
    }
}

/// What the sweeper does: waits for the end of its standard input, then ends whoever is in the
/// namespaces, and removes them and the folder.
///
/// # Errors
/// If something stays.
pub(super) fn main(names: &[String], folder: &Path) -> Result<()> {
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).context("no pipe to wait at")?;
    let mut failures = Vec::new();
    for name in names {
        failures.extend(clear(name).err());
    }
    failures.extend(empty(folder).err());
    match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Removes a namespace with all that runs in it.
fn clear(name: &str) -> Result<()> {
    // One that was never made, or is gone already, is what is wanted.
    if !tools::run("ip", &["netns", "list"])?
        .lines()
        .any(|line| line.split(' ').next() == Some(name))
    {
        return Ok(());
    }
    let deadline = clock::now() + PATIENCE;
    loop {
        let pids = tools::run("ip", &["netns", "pids", name])?;
        let pids: Vec<Pid> =
            pids.lines().filter_map(|pid| Pid::from_raw(pid.trim().parse().ok()?)).collect();
        if pids.is_empty() {
            break;
        }
        if clock::now() > deadline {
            bail!("processes in {name} do not end: {pids:?}");
        }
        // It fails if one has ended meanwhile, which is what is wanted.
        for pid in pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
    tools::run("ip", &["netns", "del", name])?;
    Ok(())
}

/// Removes the folder, and what is mounted in it.
fn empty(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        tools::run("umount", &[point])?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
