//! `cargo xtask`: runs, tests, measures, simulates, fuzzes and tidies Weir.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

mod bench;
mod ebpf;
mod flags;
mod fuzz;
mod invocation;
mod nightly;
mod packages;
mod peers;
mod report;
mod run;
mod sim;
mod skips;
mod steer;
mod steps;
mod test;
mod threads;
mod tidy;
mod trials;
mod vm;
mod watch;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use flags::{Command, Flags};

fn main() -> ExitCode {
    match dispatch(Flags::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(flags) => run::run(flags),
        Command::Test(flags) => test::test(&flags),
        Command::Bench(flags) => bench::bench(&flags),
        Command::Sim(flags) => sim::sim(flags),
        Command::Conform(flags) => trials::trial("weir-conform", flags),
        Command::Attack(flags) => trials::trial("weir-attack", flags),
        Command::Fuzz(flags) => fuzz::fuzz(&flags),
        Command::Ebpf(flags) => ebpf::ebpf(&flags),
        Command::Vm(flags) => vm::vm(&flags),
        Command::Tidy => tidy::tidy(),
    }
}
