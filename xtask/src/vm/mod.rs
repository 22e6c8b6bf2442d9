//! `cargo xtask vm`: a guest of two NUMA nodes that runs the gateway, and what is seen of it.
//!
//! The command calls itself once more in namespaces of its own, which end with it: there it makes
//! the host's end of the network, starts the guest and is its clients. So nothing of the machine's
//! own network is touched and nothing is left behind, however it ends.

mod claims;
mod client;
mod cpio;
mod guest;
mod initramfs;
mod inside;
mod kernel;
mod looks;
mod maps;
mod series;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::kernel::Kernel;
use crate::flags::Vm;
use crate::invocation::Invocation;
use crate::packages::{self, Need};
use crate::workspace;

/// The most that a run may take: under a minute on two cores without other work.
const RUN_MAX: Duration = Duration::from_secs(15 * 60);

/// Subnets between host and guest: a client that calls the guest's `.2` comes from `.1`.
const SUBNETS: [&str; 4] = ["10.77.0", "10.77.1", "10.77.2", "10.77.3"];

/// Bytes that a client of the guest sends of a message without an end.
const UNFINISHED_BYTES: u64 = 4 << 20;

pub(crate) fn vm(flags: &Vm) -> Result<ExitCode> {
    if let [kernel, initramfs] = &flags.inside[..] {
        return inside::run(kernel, initramfs);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the guest is made of this system's own programs, for Linux on x86-64");
    }
    let build = packages::ensure(false)?;
    [Need::Qemu, Need::Busybox, Need::Xz].into_iter().try_for_each(packages::ensure_one)?;
    Invocation::cargo(["build", "--release", "-p", "gateway", "--bin", "weir"])
        .args(build.flags())
        .run()?;
    let target = workspace::target_dir()?;
    let cache = target.join("vm");
    fs::create_dir_all(&cache)?;
    let kernel = Kernel::newest(&cache)?;
    let initramfs = cache.join("initramfs");
    let weir = workspace::binary(&target, "release", "weir");
    initramfs::make(&weir, &kernel, &initramfs).context("the guest's files")?;
    println!("The guest runs {}; its console goes to {}.", kernel.name, log(&initramfs).display());
    let inside = Invocation::new("unshare", unshare(packages::is_root()))
        .arg(env::current_exe()?)
        .args(["vm", "--inside"])
        .arg(kernel.image()?)
        .arg(&initramfs);
    inside.run_within(RUN_MAX)?;
    Ok(ExitCode::SUCCESS)
}

/// What makes the namespaces: of the network, and of processes, so that the guest ends with what
/// runs it, however that ends. Who is not root is root in there, if the system lets them.
fn unshare(is_root: bool) -> &'static [&'static str] {
    const OWN: [&str; 5] = ["--map-root-user", "--net", "--pid", "--kill-child", "--"];
    if is_root { &OWN[1..] } else { &OWN }
}

/// Where the guest's console goes.
fn log(initramfs: &Path) -> PathBuf {
    initramfs.with_file_name("console.log")
}
