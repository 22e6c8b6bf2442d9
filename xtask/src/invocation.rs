//! A command that is said before it is run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{watch, workspace};

/// A program with its arguments and environment; shown as it would be typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Invocation {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(&'static str, String)>,
}

impl Invocation {
    pub(crate) fn new<A: AsRef<OsStr>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self { program: program.into(), args, env: Vec::new() }
    }

    /// The cargo that runs this xtask, whatever it is called.
    pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new("cargo", args)
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Says the command, runs it at the top of the workspace and waits for its end.
    /// Its output streams through.
    pub(crate) fn status(&self) -> Result<ExitStatus> {
        self.say();
        self.command().status().with_context(|| format!("cannot run `{self}`"))
    }

    /// As [`status`](Self::status), with all of its output into a file.
    pub(crate) fn status_into(&self, file: File) -> Result<ExitStatus> {
        self.say();
        let mut command = self.command();
        command.stdout(file.try_clone()?).stderr(file);
        command.status().with_context(|| format!("cannot run `{self}`"))
    }

    /// As [`status`](Self::status); an error unless the command succeeds.
    pub(crate) fn run(&self) -> Result<()> {
        self.succeeded(self.status()?)
    }

    /// As [`run`](Self::run); an error, too, if it takes longer. It is ended then.
    pub(crate) fn run_within(&self, limit: Duration) -> Result<()> {
        self.say();
        let child = self.command().spawn().with_context(|| format!("cannot run `{self}`"))?;
        self.succeeded(watch::wait(child, limit).with_context(|| format!("`{self}`"))?)
    }

    fn succeeded(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("`{self}` failed ({status})");
        }
        Ok(())
    }

    /// Whether the command succeeds; says and shows nothing.
    pub(crate) fn succeeds(&self) -> bool {
        self.command().output().is_ok_and(|output| output.status.success())
    }

    /// What the command prints on its standard output if it succeeds.
    pub(crate) fn output(&self) -> Option<String> {
        let output = self.command().output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    }

    /// Says the command and becomes it, so that signals reach it; where a process cannot
    /// be replaced, waits for its end and leaves with its exit code.
    pub(crate) fn become_it(&self) -> Result<std::convert::Infallible> {
        self.say();
        let mut command = self.command();
        // Flags hold paths relative to where the user stands.
        command.current_dir(env::current_dir()?);
        replace(command).with_context(|| format!("cannot run `{self}`"))
    }

    fn say(&self) {
        println!("$ {self}");
    }

    fn command(&self) -> Command {
        let program = match env::var_os("CARGO") {
            Some(cargo) if self.program == "cargo" => cargo,
            _ => self.program.clone(),
        };
        let mut command = Command::new(program);
        command.args(&self.args).current_dir(workspace::root());
        if let Some(dir) = workspace::chosen_target_dir() {
            command.env("CARGO_TARGET_DIR", dir);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

#[cfg(unix)]
fn replace(mut command: Command) -> Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> Result<std::convert::Infallible> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program.to_string_lossy()))?;
        for arg in &self.args {
            write!(f, " {}", quoted(&arg.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// The word as a POSIX shell would read it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(char::is_control) {
        // POSIX.1-2024 §2.2.4, and many shells before it: escapes as in C.
        let escaped = word.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\{:03o}", u32::from(c)),
            c => c.to_string(),
        });
        format!("$'{}'", escaped.collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_reads_as_it_would_be_typed() {
        let loom = Invocation::cargo(["test", "--test", "*"]).env("RUSTFLAGS", "--cfg weir_loom");
        assert_eq!(loom.to_string(), "RUSTFLAGS='--cfg weir_loom' cargo test --test '*'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("-a\x1f-b='c'"), r"$'-a\037-b=\'c\''");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = Invocation::new("false", ["--quietly"]).run().expect_err("false fails");
        assert!(error.to_string().starts_with("`false --quietly` failed"), "{error}");
        assert!(Invocation::new("true", [""; 0]).run().is_ok());
    }
}
