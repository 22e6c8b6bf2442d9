//! Steering on trial: clients and gateways in network namespaces, checked and measured.

mod bed;
mod bench;
mod beside;
mod check;
mod crowd;
mod floor;
mod gateway;
mod ground;
mod pingpong;
mod rung;
mod scenario;
mod scenarios;
mod score;
mod sweeper;
mod talk;
mod team;
mod tools;
mod visitor;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Checks and measures where connections go, in network namespaces that are gone afterwards.
#[derive(Debug, Parser)]
#[command(name = "weir-steer", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures connections and echoes a second for each way to steer, beside plain SO_REUSEPORT
    Bench(bench::Flags),
    /// Plays scenarios, each in namespaces of its own, and says what became of them
    Check(check::Flags),
    /// Echoes as barely as can be, until standard input ends
    #[command(name = floor::VERB, hide = true)]
    Floor(floor::Flags),
    /// Clears namespaces away when standard input ends
    #[command(name = sweeper::VERB, hide = true)]
    Sweep {
        #[arg(long)]
        folder: PathBuf,
        names: Vec<String>,
    },
}

/// What `weir-steer` does.
#[must_use]
pub fn main() -> ExitCode {
    match run(Flags::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "weir-steer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool> {
    let mut out = std::io::stdout();
    match command {
        Command::Bench(flags) => bench::run(&flags, &mut out),
        Command::Check(flags) => check::run(&flags, &mut out),
        Command::Floor(flags) => floor::main(&flags).map(|()| true),
        Command::Sweep { folder, names } => sweeper::main(&names, &folder).map(|()| true),
    }
}

/// One line: processor, kernel, load.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let named = |line: &str| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned());
    let model = cpus.lines().find_map(named).unwrap_or_else(|| "unknown processor".to_owned());
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let load = load.split(' ').next().unwrap_or_default();
    format!("{model}, {count} CPUs, Linux {}, load average {load}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        <Flags as clap::CommandFactory>::command().debug_assert();
    }
}
