//! Within the namespace: the network, the guest, its clients, and what is claimed.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::SUBNETS;
use super::claims::Claims;
use super::guest::Guest;
use super::looks;
use crate::invocation::Invocation;

/// The host's end of the network.
const TAP: &str = "weir0";

/// Runs the guest and prints the table; whether all claims hold is the exit code.
///
/// # Errors
/// If the guest cannot be made, or does not do what it is told.
pub(super) fn run(kernel: &Path, initramfs: &Path) -> Result<ExitCode> {
    network()?;
    let path = super::log(initramfs);
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut guest = Guest::boot(kernel, initramfs, TAP, log)
        .with_context(|| format!("see {}", path.display()))?;
    let mut claims = Claims::default();
    let looked = looks::all(&mut claims, &mut guest);
    print_log(&mut guest);
    print!("\n{claims}");
    looked?;
    guest.off()?;
    Ok(if claims.hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A device with several queues, of which the guest has the other end.
fn network() -> Result<()> {
    let ip = |line: &str| Invocation::new("ip", line.split(' ')).run();
    ip(&format!("tuntap add dev {TAP} mode tap multi_queue"))
        .context("no tap device: this takes root, or a kernel that lets users have namespaces")?;
    for subnet in SUBNETS {
        ip(&format!("address add {subnet}.1/24 dev {TAP}"))?;
    }
    ip(&format!("link set {TAP} up"))
}

/// What the gateway has logged: it explains a claim that fails, and a run that broke off.
fn print_log(guest: &mut Guest) {
    println!();
    for line in guest.ask("show /log").unwrap_or_default() {
        println!("{line}");
    }
}
