//! The protocol, case by case: what is said to a gateway, and what must come back.
//!
//! A [`Case`] is data: a request, steps that say something, and steps that expect something.
//! [`judge`] plays one; [`main`] plays [all of them](cases) against a gateway and prints a table.

mod answer;
mod case;
mod deflate;
mod ear;
mod gateway;
mod judge;
mod opening;
mod payload;
mod report;
mod run;
mod script;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

pub use self::case::{Case, Group, Id};
pub use self::judge::{Failure, judge};
pub use self::table::cases;

/// Goes through the protocol case by case against a gateway, and prints a table.
///
/// Ends with 0 if nothing failed, with 1 if a case did, and with 2 if none could be tried.
#[derive(Debug, Parser)]
#[command(name = "weir-conform")]
struct Flags {
    /// The gateway to start, with a file of routes as the cases need them.
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// A gateway that runs already instead, with the routes that --routes prints.
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<SocketAddr>,
    /// A group of cases to try; more of them by more flags. All if there is none.
    #[arg(long = "group", value_name = "GROUP", value_enum)]
    groups: Vec<Group>,
    /// Prints the cases and tries none.
    #[arg(long)]
    list: bool,
    /// Prints the file of routes that the cases need, and tries none.
    #[arg(long)]
    routes: bool,
}

/// The program `weir-conform`.
#[must_use]
pub fn main() -> ExitCode {
    match conform(&Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn conform(flags: &Flags) -> Result<ExitCode> {
    let all = cases();
    let is_wanted = |case: &&Case| flags.groups.is_empty() || flags.groups.contains(&case.group());
    let cases: Vec<_> = all.iter().filter(is_wanted).collect();
    if flags.list {
        print!("{}", report::list(&cases));
        return Ok(ExitCode::SUCCESS);
    }
    if flags.routes {
        print!("{}", gateway::config());
        return Ok(ExitCode::SUCCESS);
    }
    let failed = if let Some(addr) = flags.addr {
        run::run(&cases, addr)
    } else {
        let path = flags.weir.as_deref();
        let path = path.context("there is no gateway to try; give --weir PATH or --addr")?;
        let mut weir = gateway::start(path)?;
        let failed = run::run(&cases, weir.addr());
        if !weir.is_running()? {
            eprintln!("the gateway ended while it was tried; it said:\n{}", weir.said()?);
        }
        failed
    };
    print!("{}", report::report(&cases, &failed));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
