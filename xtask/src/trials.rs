//! `cargo xtask conform` and `cargo xtask attack`: a gateway on trial, with flags passed through.

use std::process::ExitCode;

use anyhow::Result;

use crate::flags::Trial;
use crate::invocation::Invocation;
use crate::{packages, workspace};

/// Builds the gateway and the tool called `name`, and becomes the tool.
pub(crate) fn trial(name: &str, flags: Trial) -> Result<ExitCode> {
    let build = packages::ensure(false)?;
    Invocation::cargo(["build", "--release", "-p", "gateway", "--bin", "weir"])
        .args(build.flags())
        .run()?;
    Invocation::cargo(["build", "--release", "-p", "trials", "--bin", name]).run()?;
    let target = workspace::target_dir()?;
    let [weir, tool] = ["weir", name].map(|name| workspace::binary(&target, "release", name));
    let tool = Invocation::new(tool, ["--weir"]).arg(weir).args(flags.args);
    match tool.become_it()? {}
}
