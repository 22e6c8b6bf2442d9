//! `cargo xtask sim`: the simulator, with its flags passed through.

use std::process::ExitCode;

use anyhow::Result;

use crate::flags::Sim;
use crate::invocation::Invocation;
use crate::packages;

pub(crate) fn sim(flags: Sim) -> Result<ExitCode> {
    packages::ensure(false)?;
    let sim = ["run", "--release", "-p", "sim", "--bin", "sim", "--"];
    match Invocation::cargo(sim).args(flags.args).become_it()? {}
}
