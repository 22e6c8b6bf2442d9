//! The binary as a process: started, told to end, looked at.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::PATIENCE;

/// Waits for clients longer than any machine takes.
const PATIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/patient.toml");

/// A running `weir`, ended with the test.
pub(crate) struct Weir {
    child: Ended,
    pub(crate) addr: SocketAddr,
    /// Lines that it says, as they come.
    lines: Receiver<String>,
    /// What it logs, up to its end.
    log: Option<JoinHandle<String>>,
}

/// One that is to be started, patient and without a listener for operators unless it is told
/// otherwise.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env("WEIR_ADMIN", "off").env("WEIR_CONFIG", PATIENT);
    command
}

/// What it says and how it ends, with these flags.
pub(crate) fn run(flags: &[&str]) -> Output {
    output(command().args(flags))
}

/// What a command says and how it ends, which it does by itself.
pub(crate) fn output(command: &mut Command) -> Output {
    let mut child = Ended::spawn(command);
    let stdout = read_up(child.0.stdout.take().unwrap());
    let stderr = read_up(child.0.stderr.take().unwrap());
    let status = child.wait();
    let [stdout, stderr] = [stdout, stderr].map(|said| said.join().unwrap().into_bytes());
    Output { status, stdout, stderr }
}

impl Weir {
    /// On a port that is free.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[])
    }

    /// On a port that is free, with these environment variables.
    pub(crate) fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.args(flags).args(["--addr", "127.0.0.1:0"]).envs(variables.iter().copied());
        Self::spawn(command)
    }

    /// With nothing but these flags, which name an address.
    pub(crate) fn start_as_written(flags: &[&str]) -> Self {
        let mut command = command();
        command.args(flags);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = Ended::spawn(&mut command);
        let lines = lines(child.0.stdout.take().unwrap());
        let log = Some(read_up(child.0.stderr.take().unwrap()));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut weir = Self { child, addr: nowhere, lines, log };
        weir.addr = weir.told("listening on ws://");
        weir
    }

    /// Where operators look.
    pub(crate) fn admin(&mut self) -> SocketAddr {
        self.told("admin on http://")
    }

    /// The address in its next line, behind these words.
    fn told(&mut self, words: &str) -> SocketAddr {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|why| panic!("no line with {words:?}: {why}"));
        let addr = line.trim().strip_prefix(words);
        addr.unwrap_or_else(|| panic!("{line:?} has no {words:?}")).parse().unwrap()
    }

    /// The names of its threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.0.id())).unwrap();
        // One that ends meanwhile has no name any more.
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        tasks.filter_map(|task| name(task.ok()?)).map(|name| name.trim().to_owned()).collect()
    }

    /// For how many descriptors its table has room.
    pub(crate) fn descriptor_table(&self) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        size.trim().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child.0);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; gives the exit status and what was logged.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait();
        (status, self.log.take().expect("it ends once").join().unwrap())
    }
}

/// Lines as they come. Who reads them elsewhere may give up.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // What nobody waits for is read too, or a full pipe would hold the program up.
            let _ = tell.send(line);
        }
    });
    told
}

/// All that is said, read as it comes, so that no pipe is ever full.
fn read_up(mut said: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut all = String::new();
        said.read_to_string(&mut all).unwrap();
        all
    })
}

/// Ended with the test, however that goes.
struct Ended(Child);

impl Ended {
    fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    /// How it ended, which it does by itself.
    fn wait(&mut self) -> ExitStatus {
        const LOOK: Duration = Duration::from_millis(5);
        let mut looks = PATIENCE.as_millis() / LOOK.as_millis();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            looks = looks.checked_sub(1).expect("it ends in time");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
