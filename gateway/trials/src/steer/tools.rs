//! Programs of the system that do what the standard library does not: `ip`, `ethtool`, `setpriv`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Where programs for administrators are, which not everyone's path names.
const SBIN: &str = "/usr/sbin:/sbin";

/// A command that finds programs for administrators too.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path());
    command
}

/// Whether there is such a program.
pub(super) fn is_there(program: &str) -> bool {
    env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// Runs a program to its end, and gives what it printed.
///
/// # Errors
/// If it fails; with what it said.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = command(program).args(args).stdin(Stdio::null()).output();
    printed(output.with_context(|| format!("cannot run {program}"))?, program, args)
}

/// As [`run`], with something to read.
///
/// # Errors
/// As of [`run`].
pub(super) fn feed(program: &str, args: &[&str], input: &str) -> Result<String> {
    let mut command = command(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(input.as_bytes()).with_context(|| format!("{program} does not read"))?;
    drop(pipe);
    printed(child.wait_with_output()?, program, args)
}

fn printed(output: Output, program: &str, args: &[&str]) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    ensure!(status.success(), "{program} {} failed ({status}): {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(SBIN);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_reads_comes_back() {
        assert!(is_there("cat") && !is_there("no-such-program-anywhere"));
        assert_eq!(feed("cat", &[], "so it is").unwrap(), "so it is");
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_words() {
        let error = run("sh", &["-c", "echo no luck >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("no luck") && error.contains("exit status: 3"), "{error}");
    }
}
