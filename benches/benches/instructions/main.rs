//! How many instructions does the core spend on one delivery, and on one echo?
//!
//! Callgrind counts them, so that the answer does not depend on what else the machine does. The
//! program runs itself under it twice for each question, the second time for more rounds: in the
//! difference is no set-up. Sketch: a delivery is an eight-byte entry of the lane and a call of
//! `send`, so tens; an echo is a read, a frame's header, 512 bytes that are unmasked and copied,
//! and an address, so about a thousand.
//!
//! What each may cost stands in `benches/instructions.toml`; `--check` holds the core to it.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

#[path = "../alone/mod.rs"]
mod alone;
mod budget;
mod callgrind;
mod question;

use std::process::ExitCode;

use anyhow::{Context, Result};
use budget::{Budget, Verdict};
use clap::{Parser, ValueEnum};
use question::Question;

/// Rounds of both runs, after which every buffer has its size.
const WARM_ROUNDS: u32 = 100;

/// How many instructions does the core spend on one delivery, and on one echo?
#[derive(Debug, Parser)]
struct Flags {
    /// Rounds that are counted
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Only do the rounds of one question: what is run under callgrind
    #[arg(long, value_enum, value_name = "QUESTION")]
    only: Option<Question>,
    /// Fail if anything costs over 2 % more than benches/instructions.toml allows
    #[arg(long)]
    check: bool,
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(question) = flags.only {
        question.drive(flags.rounds);
        return ExitCode::SUCCESS;
    }
    match answer_all(&flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Counts and tells; whether everything is within its budget, if that is asked for.
fn answer_all(flags: &Flags) -> Result<bool> {
    let budget = Budget::read()?;
    let mut is_kept = true;
    for &question in Question::value_variants() {
        let each = count(question, flags.rounds)?;
        let verdict = budget.judge(&question.name(), each)?;
        println!("{each:9.2} instructions per {}: {verdict}", question.counted().0);
        is_kept &= !matches!(verdict, Verdict::Dearer { .. });
    }
    if !is_kept {
        println!("too dear: spend less, or raise benches/instructions.toml and say why");
    }
    Ok(is_kept || !flags.check)
}

/// Instructions for each of what a question counts.
fn count(question: Question, rounds: u32) -> Result<f64> {
    let before = callgrind::count(&question.name(), WARM_ROUNDS)?;
    let after = callgrind::count(&question.name(), WARM_ROUNDS + rounds)?;
    let spent = after.checked_sub(before).context("more rounds took fewer instructions")?;
    let (_, per_round) = question.counted();
    Ok(spent as f64 / (f64::from(rounds) * per_round as f64))
}
