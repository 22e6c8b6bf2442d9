//! `sim`: runs seeds and says, for each, what came of it.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod command;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::command::{Flags, carry_out};

fn main() -> ExitCode {
    let order = Flags::parse().order().unwrap_or_else(|why| {
        Flags::command().error(clap::error::ErrorKind::ArgumentConflict, why).exit()
    });
    if !gateway_faults::ENABLED {
        eprintln!("sim was built without what it does to Weir's code: run `cargo xtask sim`");
        return ExitCode::FAILURE;
    }
    carry_out(order).unwrap_or_else(|error| {
        eprintln!("sim: {error}");
        ExitCode::FAILURE
    })
}
