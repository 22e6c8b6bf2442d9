//! `sim`: runs seeds and says, for each, what came of it.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use sim::scenario::{Failure, Report, World, run};

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
    /// In which world
    #[arg(long, default_value = "both", value_enum)]
    world: Worlds,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Worlds {
    /// Plain vectors and turns by hand
    Model,
    /// Simulated hosts with the shard's real driver
    Turmoil,
    /// One after the other
    Both,
}

impl Worlds {
    fn each(self) -> &'static [World] {
        match self {
            Self::Model => &[World::Model],
            Self::Turmoil => &[World::Turmoil],
            Self::Both => &[World::Model, World::Turmoil],
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let mut actions = 0;
    for seed in flags.seed..=flags.seed.saturating_add(flags.runs.saturating_sub(1)) {
        for &world in flags.world.each() {
            match run(seed, world) {
                Ok(report) => {
                    tell(seed, world, &report);
                    actions += report.actions;
                }
                Err(failure) => return give_up(seed, world, &failure),
            }
        }
    }
    if let Worlds::Model = flags.world {
        // With the time that it took this says how fast the model world is.
        eprintln!("{actions} actions");
    }
    ExitCode::SUCCESS
}

fn tell(seed: u64, world: World, report: &Report) {
    let Report { hash, events, coverage, .. } = report;
    let deliveries = coverage.deliveries;
    println!("seed={seed} world={world} hash={hash:016x} events={events} deliveries={deliveries}");
}

fn give_up(seed: u64, world: World, failure: &Failure) -> ExitCode {
    println!("seed={seed} world={world} FAILED");
    println!("  {}", failure.what);
    println!("  the last events:");
    for line in &failure.lines {
        println!("    {line}");
    }
    println!("  replay: cargo xtask sim --seed {seed} --world {world}");
    ExitCode::FAILURE
}
