//! `sim`: runs seeds and says, for each, what came of it.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use sim::{mesh, scenario};

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
    #[arg(long, default_value = "all", value_enum)]
    world: Worlds,
    /// Only say what broke, and how much was done
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Worlds {
    /// One shard over plain vectors, turns by hand
    Model,
    /// Simulated hosts with the shard's real driver
    Turmoil,
    /// Many shards on a virtual clock
    Mesh,
    /// One after the other
    All,
}

#[derive(Clone, Copy, Debug)]
enum World {
    Scenario(scenario::World),
    Mesh,
}

/// What came of a seed.
struct Ran {
    hash: u64,
    events: u64,
    actions: u64,
    deliveries: u64,
}

/// What broke, and what led to it.
struct Broken {
    what: String,
    lines: Vec<String>,
}

impl Worlds {
    fn each(self) -> &'static [World] {
        const ALL: [World; 3] = [
            World::Scenario(scenario::World::Model),
            World::Scenario(scenario::World::Turmoil),
            World::Mesh,
        ];
        match self {
            Self::Model => &ALL[..1],
            Self::Turmoil => &ALL[1..2],
            Self::Mesh => &ALL[2..],
            Self::All => &ALL,
        }
    }
}

impl World {
    fn run(self, seed: u64) -> Result<Ran, Broken> {
        match self {
            Self::Scenario(world) => match scenario::run(seed, world) {
                Ok(scenario::Report { hash, events, actions, coverage }) => {
                    Ok(Ran { hash, events, actions, deliveries: coverage.deliveries })
                }
                Err(scenario::Failure { what, lines }) => Err(Broken { what, lines }),
            },
            Self::Mesh => match mesh::run(seed) {
                Ok(mesh::Report { hash, events, actions, coverage }) => {
                    Ok(Ran { hash, events, actions, deliveries: coverage.deliveries })
                }
                Err(what) => Err(Broken { what, lines: Vec::new() }),
            },
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario(world) => world.fmt(f),
            Self::Mesh => f.write_str("mesh"),
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let mut actions = 0;
    for seed in flags.seed..=flags.seed.saturating_add(flags.runs.saturating_sub(1)) {
        for &world in flags.world.each() {
            match world.run(seed) {
                Ok(ran) => {
                    actions += ran.actions;
                    if !flags.quiet {
                        tell(seed, world, &ran);
                    }
                }
                Err(broken) => return give_up(seed, world, &broken),
            }
        }
    }
    // With the time that it took this says how fast the worlds are.
    eprintln!("{actions} actions");
    ExitCode::SUCCESS
}

fn tell(seed: u64, world: World, ran: &Ran) {
    let Ran { hash, events, deliveries, .. } = ran;
    println!("seed={seed} world={world} hash={hash:016x} events={events} deliveries={deliveries}");
}

fn give_up(seed: u64, world: World, broken: &Broken) -> ExitCode {
    println!("seed={seed} world={world} FAILED");
    println!("  {}", broken.what);
    if !broken.lines.is_empty() {
        println!("  the last events:");
    }
    for line in &broken.lines {
        println!("    {line}");
    }
    println!("  replay: cargo xtask sim --seed {seed} --world {world}");
    ExitCode::FAILURE
}
