//! The binary as a process: started, told to end, looked at.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::PATIENCE;

/// A running `weir`, ended with the test.
pub(crate) struct Weir {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// What it says after its first line.
    lines: BufReader<ChildStdout>,
}

/// One that is to be started, without a listener for operators unless there are flags for one.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env("WEIR_ADMIN", "off");
    command
}

/// What it says and how it ends, with these flags.
pub(crate) fn run(flags: &[&str]) -> Output {
    command().args(flags).output().unwrap()
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
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ws://").expect("it says where");
        Self { addr: addr.parse().unwrap(), child, lines }
    }

    /// Where operators look.
    pub(crate) fn admin(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().strip_prefix("admin on http://").expect("it says where").parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; gives the exit status and what was logged.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        const LOOK: Duration = Duration::from_millis(5);
        let mut looks = PATIENCE.as_millis() / LOOK.as_millis();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            looks = looks.checked_sub(1).expect("it ends in time");
            std::thread::sleep(LOOK);
        };
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
