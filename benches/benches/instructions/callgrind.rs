//! This program under callgrind, which counts its instructions.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Instructions of this program when it does so many rounds of a question.
///
/// # Errors
/// If valgrind is not there, fails, or says nothing.
pub(crate) fn count(question: &str, rounds: u32) -> Result<u64> {
    let counts = out_file(question);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
    valgrind.arg(env::current_exe().context("the system does not say which program this is")?);
    valgrind.args(["--only", question, "--rounds", &rounds.to_string()]).stdin(Stdio::null());
    match valgrind.status() {
        Ok(status) => ensure!(status.success(), "`{valgrind:?}` failed ({status})"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("valgrind is not here; install it, on Debian by `apt-get install valgrind`")
        }
        Err(error) => return Err(error).context("cannot run valgrind"),
    }
    total(&counts)
}

/// Where the last run's counts stay, for `callgrind_annotate`.
fn out_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{name}"))
}

/// All instructions that callgrind wrote down.
fn total(counts: &Path) -> Result<u64> {
    let text = fs::read_to_string(counts)
        .with_context(|| format!("callgrind left nothing in {}", counts.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.with_context(|| format!("{} has no total", counts.display()))?;
    total.trim().parse().with_context(|| format!("{total:?} is no count"))
}
