//! The gateway in its namespace: the real program with real flags, and what it says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, kill_process};

use super::bed::{Bed, Side};
use super::crowd::PATIENCE;
use super::tools;
use crate::metrics::{self, Metrics};
use crate::{Weir, clock};

/// Where it listens.
pub(super) const PORT: u16 = 9002;
/// What opens its admin listener.
const KEY: &str = "opens-in-trials";
/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(10);

/// Unless a scenario is about that, sources are not bounded; and nobody is pinged, so that nothing
/// comes but what was said, however long that takes.
const UNBOUNDED: &str = "[limits]\nsource_connections_max = 0\nsource_rate = 0\nping_secs = 0\n";

/// What is to be started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    weir: PathBuf,
    flags: Vec<String>,
    /// What runs it, such as `setpriv` with its flags; nothing if it runs as this process does.
    before: Vec<String>,
    /// If it is to be another one than is usual here.
    config: Option<PathBuf>,
    port: u16,
}

/// A gateway that runs; ended when dropped.
#[derive(Debug)]
pub(super) struct Gateway<'a> {
    bed: &'a Bed,
    weir: Weir,
}

impl Launch {
    /// With these flags of `weir serve`.
    pub(super) fn new(weir: &Path, flags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let flags = flags.into_iter().map(Into::into).collect();
        Self { weir: weir.to_owned(), flags, before: Vec::new(), config: None, port: PORT }
    }

    /// With more flags.
    pub(super) fn with<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Run by another program.
    pub(super) fn run_by(self, before: &[String]) -> Self {
        Self { before: before.to_vec(), ..self }
    }

    /// With this configuration, and not one that bounds no source.
    pub(super) fn configured(self, config: &Path) -> Self {
        Self { config: Some(config.to_owned()), ..self }
    }

    /// At a port that no other gateway has.
    pub(super) fn elsewhere(self) -> Self {
        Self { port: PORT + 1, ..self }
    }

    /// Starts it on this address in the gateway's namespace, and waits until it listens.
    ///
    /// # Errors
    /// If it does not; with what it said instead.
    pub(super) fn start(self, bed: &Bed, address: IpAddr) -> Result<Gateway<'_>> {
        let usual = bed.folder().join("unbounded.toml");
        fs::write(&usual, UNBOUNDED).context("cannot write a gateway's configuration")?;
        let config = self.config.unwrap_or(usual);
        let mut command = tools::command("ip");
        command.args(["netns", "exec", bed.name(Side::Gateway)]).args(&self.before);
        command.arg(&self.weir).arg("serve").env("WEIR_ADMIN_KEY", KEY);
        command.arg("--addr").arg(SocketAddr::new(address, self.port).to_string());
        command.args(["--admin", "127.0.0.1:0"]).arg("--config").arg(config).args(&self.flags);
        Ok(Gateway { bed, weir: Weir::run(command)? })
    }
}

impl Gateway<'_> {
    /// Where clients connect.
    pub(super) fn addr(&self) -> SocketAddr {
        self.weir.addr()
    }

    /// What it has counted.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) fn metrics(&self) -> Result<Metrics> {
        let admin = self.weir.admin();
        self.bed.on(Side::Gateway, || Metrics::read(admin))
    }

    /// Which rungs it stands on: the labels of `weir_steer_mode`.
    ///
    /// # Errors
    /// If it does not answer, or does not say.
    pub(super) fn mode(&self) -> Result<BTreeMap<String, String>> {
        self.metrics()?.labels("weir_steer_mode").cloned().context("it does not say its mode")
    }

    /// Orders something of the admin listener; the answer's status and body.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) fn order(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let admin = self.weir.admin();
        self.bed.on(Side::Gateway, || metrics::ask(admin, method, path, Some(KEY)))
    }

    /// All that it wrote until now.
    ///
    /// # Errors
    /// If the system does not give it.
    pub(super) fn said(&self) -> Result<String> {
        self.weir.said()
    }

    /// What a file of `/proc` says of its process.
    ///
    /// # Errors
    /// If it is gone.
    pub(super) fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.weir.pid().as_raw_nonzero());
        fs::read_to_string(path).context("weir is gone")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.weir.pid(), signal).context("weir is gone")
    }

    /// Stops it where it stands, and waits until none of its threads goes on.
    ///
    /// # Errors
    /// If it is gone, or goes on.
    pub(super) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.weir.pid().as_raw_nonzero());
        let deadline = clock::now() + PATIENCE;
        // One thread hears the signal, when it has its turn, and tells the others.
        while !all_stopped(Path::new(&tasks))? {
            ensure!(clock::now() < deadline, "weir goes on although it was stopped");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until something is true of what it has counted.
    ///
    /// # Errors
    /// If that does not come to be; names it.
    pub(super) fn until(&self, what: &str, is: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let deadline = clock::now() + PATIENCE;
        loop {
            let metrics = self.metrics()?;
            if is(&metrics) {
                return Ok(metrics);
            }
            if clock::now() > deadline {
                bail!("{what}: not within {PATIENCE:?}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// # Errors
    /// Unless it still runs.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        ensure!(self.weir.is_running()?, "weir has ended; it said:\n{}", self.weir.said()?);
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn ended(mut self) -> Result<()> {
        let deadline = clock::now() + PATIENCE;
        while self.weir.is_running()? {
            ensure!(clock::now() < deadline, "weir does not end");
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

/// Whether all threads in this folder of `/proc` are stopped.
fn all_stopped(tasks: &Path) -> Result<bool> {
    for task in fs::read_dir(tasks).context("weir is gone")? {
        let stat = fs::read_to_string(task?.path().join("stat")).context("weir is gone")?;
        // The name before it may hold anything but ends with the last bracket.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}
