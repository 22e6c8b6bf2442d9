//! `weir-bench`: whole processes measured beside the floor of the kernel's send path.
//!
//! The unit is CPU time of the server's process, which survives a noisy machine; ratios are
//! taken within a round, of servers that take turns.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

mod apart;
mod bare;
mod client;
mod contest;
mod contestant;
mod cost;
mod dialect;
mod echo;
mod ending;
mod fanout;
mod fault;
mod flags;
mod folder;
mod frames;
mod growth;
mod idle;
mod json;
mod latency;
mod machine;
mod nats;
mod peers;
mod report;
mod rooms;
mod rows;
mod server;
mod softirq;
mod stats;
mod sweep;
mod unit;
mod upgrade;
mod upgrades;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::flags::{Command, Flags, Shared};
use crate::json::Json;
use crate::report::{Part, Section};
use crate::verdict::Verdict;

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
    if command.starts_servers() {
        ending::take_servers_along()?;
    }
    match command {
        Command::Floor(flags) => bare::floor(&flags).map(|()| ExitCode::SUCCESS),
        Command::Loop(flags) => bare::bare_loop(&flags).map(|()| ExitCode::SUCCESS),
        Command::Serve(flags) => bare::serve(&flags).map(|()| ExitCode::SUCCESS),
        Command::Fanout(flags) => conclude(&flags.shared, vec![fanout::run(&flags)?]),
        Command::Echo(flags) => conclude(&flags.shared, vec![echo::run(&flags)?]),
        Command::Idle(flags) => conclude(&flags.shared, vec![idle::run(&flags)?]),
        Command::Latency(flags) => conclude(&flags.shared, vec![latency::run(&flags)?]),
        Command::Growth(flags) => conclude(&flags.shared, vec![growth::run(&flags)?]),
        Command::Macro(flags) => conclude(&flags.shared, vec![rows::run(&flags)]),
        Command::All(flags) => {
            let shared = || flags.shared.clone();
            let asked = vec![
                fanout::run(&flags::Fanout {
                    shared: shared(),
                    room: flags.room.clone(),
                    spread: flags.spread.clone(),
                })?,
                echo::run(&flags::Echo { shared: shared(), pairs: flags.pairs.clone() })?,
                idle::run(&flags::Idle { shared: shared(), crowd: flags.crowd.clone() })?,
            ];
            conclude(&flags.shared, asked)
        }
    }
}

/// What one question came to.
struct Outcome {
    name: &'static str,
    verdicts: Vec<Verdict>,
    numbers: Json,
    /// What the page shows after the goals.
    parts: Vec<Part>,
}

impl Outcome {
    /// Says what it came to, and keeps it.
    fn new(name: &'static str, verdicts: Vec<Verdict>, numbers: Vec<(&'static str, Json)>) -> Self {
        for verdict in &verdicts {
            println!("{verdict}");
        }
        println!();
        Self::told(name, verdicts, numbers, Vec::new())
    }

    /// Keeps what has been said already.
    fn told(
        name: &'static str,
        verdicts: Vec<Verdict>,
        mut numbers: Vec<(&'static str, Json)>,
        parts: Vec<Part>,
    ) -> Self {
        numbers.push(("verdicts", Json::List(verdicts.iter().map(Verdict::json).collect())));
        Self { name, verdicts, numbers: Json::Object(numbers), parts }
    }
}

/// Writes the numbers where they were asked for; fails only under `--strict`.
fn conclude(shared: &Shared, outcomes: Vec<Outcome>) -> Result<ExitCode> {
    if shared.smoke {
        println!("too short to mean anything (--smoke): only that it works");
    }
    let missed = outcomes.iter().flat_map(|outcome| &outcome.verdicts).any(Verdict::is_missed);
    if let Some(path) = &shared.html {
        let sections = outcomes.iter().map(|it| Section {
            name: it.name,
            verdicts: &it.verdicts,
            parts: &it.parts,
        });
        report::write(path, &sections.collect::<Vec<_>>(), shared.smoke)?;
    }
    if let Some(path) = &shared.json {
        let numbers = outcomes.into_iter().map(|outcome| (outcome.name, outcome.numbers));
        let about = [("machine", machine::describe().into()), ("commit", machine::commit().into())];
        json::write(path, &Json::Object(about.into_iter().chain(numbers).collect()))?;
    }
    Ok(if missed && shared.strict { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
