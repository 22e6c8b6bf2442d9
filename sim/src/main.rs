//! `sim`: runs seeds and says, for each, what came of it.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use sim::worlds::{Ask, Failure, Report, World};

/// Runs Weir's turn in deterministic worlds. The same seed prints the same line, in any process.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Flags {
    /// The first seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How many seeds, counted up from the first
    #[arg(long, default_value_t = 1, value_name = "K")]
    runs: u64,
    /// In which world: model, turmoil, mesh, or all of them one after the other
    #[arg(long, default_value = "all", value_name = "WORLD")]
    world: Worlds,
    /// Only say what broke, and how much was done
    #[arg(long)]
    quiet: bool,
}

/// The worlds that a seed is run in.
#[derive(Clone, Debug)]
struct Worlds(Vec<World>);

impl FromStr for Worlds {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "all" => Ok(Self(World::ALL.to_vec())),
            name => name.parse().map(|world| Self(vec![world])),
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if !gateway_faults::ENABLED {
        eprintln!("sim was built without what it does to Weir's code: run `cargo xtask sim`");
        return ExitCode::FAILURE;
    }
    let mut actions = 0;
    for seed in flags.seed..=flags.seed.saturating_add(flags.runs.saturating_sub(1)) {
        for &world in &flags.world.0 {
            match world.run(&Ask::seed(seed)).result {
                Ok(report) => {
                    actions += report.actions;
                    if !flags.quiet {
                        tell(seed, world, &report);
                    }
                }
                Err(failure) => return give_up(seed, world, &failure),
            }
        }
    }
    // With the time that it took this says how fast the worlds are.
    eprintln!("{actions} actions");
    ExitCode::SUCCESS
}

fn tell(seed: u64, world: World, report: &Report) {
    let Report { hash, events, .. } = report;
    println!("seed={seed} world={world} hash={hash:016x} events={events}");
}

fn give_up(seed: u64, world: World, failure: &Failure) -> ExitCode {
    println!("seed={seed} world={world} FAILED");
    println!("  {failure}");
    if !failure.lines.is_empty() {
        println!("  the last events:");
    }
    for line in &failure.lines {
        println!("    {line}");
    }
    println!("  replay: cargo xtask sim --seed {seed} --world {world}");
    ExitCode::FAILURE
}
