//! How many instructions does the core spend on one delivery, and on one echo?
//!
//! Callgrind counts them, so that the answer does not depend on what else the machine does. The
//! program runs itself under it twice for each question, the second time for more rounds: in the
//! difference is no set-up. Sketch: a delivery is an eight-byte entry of the lane and a call of
//! `send`, so tens; an echo is a read, a frame's header, 512 bytes that are unmasked and copied,
//! and an address, so about a thousand.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

mod alone;

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use alone::{Alone, frame};
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use gateway_core::slot::Slot;

/// Bytes of each message.
const PAYLOAD_BYTES: usize = 512;

/// Members of the room besides the publisher.
const MEMBERS: usize = 1000;

/// Connections that each send a message in each round.
const ECHOES: usize = 100;

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
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Question {
    /// A member of a room speaks, and the others hear it
    Fanout,
    /// Everyone's message comes back, all in one turn
    Echo,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(question) = flags.only {
        question.drive(flags.rounds);
        return ExitCode::SUCCESS;
    }
    match answer_all(flags.rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer_all(rounds: u32) -> Result<()> {
    for &question in Question::value_variants() {
        let before = count(question, WARM_ROUNDS)?;
        let after = count(question, WARM_ROUNDS + rounds)?;
        let spent = after.checked_sub(before).context("more rounds took fewer instructions")?;
        let (what, per_round) = question.counted();
        let each = spent as f64 / (f64::from(rounds) * per_round as f64);
        println!("{each:9.1} instructions per {what}, in {rounds} rounds");
    }
    Ok(())
}

impl Question {
    /// What is counted, and how many of it a round has.
    fn counted(self) -> (String, usize) {
        match self {
            Self::Fanout => {
                (format!("delivery of {PAYLOAD_BYTES} bytes to {MEMBERS} members"), MEMBERS)
            }
            Self::Echo => {
                (format!("echo of {PAYLOAD_BYTES} bytes on {ECHOES} connections"), ECHOES)
            }
        }
    }

    fn drive(self, rounds: u32) {
        match self {
            Self::Fanout => drive(Alone::with(1 + MEMBERS, "/ws/bench"), 1, MEMBERS, rounds),
            Self::Echo => drive(Alone::with(ECHOES, "/ws/simple"), ECHOES, ECHOES, rounds),
        }
    }
}

/// In each round, a turn, the first `speakers` say a message each, and `heard` copies are sent.
fn drive(mut alone: Alone, speakers: usize, heard: usize, rounds: u32) {
    let frame = frame(PAYLOAD_BYTES);
    let mut scratch = vec![0; frame.len()];
    for _ in 0..rounds {
        for slot in (0..speakers).map(Slot::from) {
            scratch.copy_from_slice(&frame);
            alone.receive(slot, &mut scratch);
        }
        // A server's header of such a message has four bytes.
        assert_eq!(alone.finish(), heard * (PAYLOAD_BYTES + 4), "everything was sent");
    }
}

/// Instructions of this program when it does so many rounds.
///
/// # Errors
/// If valgrind is not there, fails, or says nothing.
fn count(question: Question, rounds: u32) -> Result<u64> {
    let name = question.to_possible_value().expect("no question is hidden");
    let name = name.get_name();
    let counts = out_file(name);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
    valgrind.arg(env::current_exe().context("the system does not say which program this is")?);
    valgrind.args(["--only", name, "--rounds", &rounds.to_string()]).stdin(Stdio::null());
    match valgrind.status() {
        Ok(status) => ensure!(status.success(), "`{valgrind:?}` failed ({status})"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("valgrind is not here; install it, on Debian by `apt-get install valgrind`")
        }
        Err(error) => return Err(error).context("cannot run valgrind"),
    }
    total(&counts)
}

/// Where the last run's counts stay, for `callgrind_annotate`.
fn out_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{name}"))
}

/// All instructions that callgrind wrote down.
fn total(counts: &Path) -> Result<u64> {
    let text = fs::read_to_string(counts)
        .with_context(|| format!("callgrind left nothing in {}", counts.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.with_context(|| format!("{} has no total", counts.display()))?;
    total.trim().parse().with_context(|| format!("{total:?} is no count"))
}
