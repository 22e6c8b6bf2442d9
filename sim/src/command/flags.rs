//! The flags of `sim`, and what they ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use gateway_faults::Mutant;
use sim::worlds::{Less, World};

use super::job::{Job, mutant};

/// Runs Weir's own code in deterministic worlds, under a checker of what it promises.
///
/// A run follows from its world and its seed: the same ones print the same line, in any process.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// The first seed; with --minutes, one that nobody has seen unless it is given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seeds, counted up from the first; 1 unless said otherwise
    #[arg(long, value_name = "K", conflicts_with = "minutes")]
    runs: Option<u64>,
    /// In which world: model (one shard, turns by hand), turmoil (one shard's driver over simulated
    /// TCP), mesh (many shards, their turns mixed), cluster (nodes of many shards over that TCP,
    /// with crashes and partitions), several with commas between them, or all
    #[arg(long, alias = "scenario", default_value = "all", value_name = "WORLD")]
    world: Worlds,
    /// Write the story of the run, an entry of JSON to a line; for exactly one run
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write a page that shows the run: who was there, what went where, what went wrong
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// At most this many clients
    #[arg(long, value_name = "N")]
    clients: Option<u64>,
    /// At most this many actions of clients
    #[arg(long, value_name = "N")]
    actions: Option<u64>,
    /// Without these kinds of faults, by the names that a campaign counts them by
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    without: Vec<String>,
    /// With this deliberate fault in Weir: what finds it shows how a failure looks
    #[arg(long, value_parser = mutant, value_name = "NAME")]
    mutant: Option<Mutant>,
    /// Make each run in two processes, which must agree, and judge what all runs covered
    #[arg(long)]
    twice: bool,
    /// Explore fresh seeds for so long, each run in two processes as with --twice
    #[arg(long, value_name = "M", conflicts_with_all = ["check", "mutant"])]
    minutes: Option<f64>,
    /// What a change must pass: all of sim/seeds.txt, then a fixed number of seeds from --seed on
    /// in each world, as with --twice
    #[arg(long, conflicts_with_all = ["runs", "clients", "actions", "without", "mutant"])]
    check: bool,
    /// Search for every deliberate fault, or for --mutant alone: each must be found by the promise
    /// that it breaks, within 500 seeds of its world
    #[arg(long, conflicts_with_all = ["check", "minutes", "runs", "seed", "twice"])]
    mutants: bool,
    /// What cargo said of loom's tests, for the faults that loom is to find
    #[arg(long, hide = true, requires = "mutants", value_name = "FILE")]
    twins: Option<PathBuf>,
    /// Only say what broke, and a line at the end
    #[arg(long)]
    quiet: bool,
    /// Answer the jobs of another process
    #[arg(long, hide = true)]
    child: bool,
}

const EXAMPLES: &str = "\
Examples:
  --seed 7 --world mesh                     one run, one line
  --seed 7 --world mesh --html run.html     the same run as a page
  --seed 1 --runs 300 --world mesh          300 runs and how fast they were
  --minutes 10                              ten minutes of seeds that nobody has seen
  --mutants                                 every deliberate fault, and what finds it
  --seed 1 --world mesh --mutant early-ack  one of them, so that a failure can be looked at

A run prints `seed=… world=… hash=… events=… actions=… virtual=…s`; the hash folds all that
happened. A failure says which promise of the README was broken and by what, the last lines before,
and the command that replays the smallest run that was found to break it in the same way.";

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// To answer another process's jobs.
    Serve,
    /// Some runs in this process.
    Runs(Runs),
    /// Those runs in two processes.
    Twice(Runs),
    /// Fresh seeds for some time.
    Explore(Explore),
    /// To search for deliberate faults.
    Mutants { one: Option<Mutant>, twins: Option<PathBuf> },
    /// What a change must pass.
    Check { first: u64, worlds: Vec<World>, quiet: bool },
}

/// Fresh seeds in some worlds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explore {
    pub(crate) worlds: Vec<World>,
    /// One that nobody has seen, unless it is given.
    pub(crate) first: Option<u64>,
    pub(crate) less: Less,
    pub(crate) lasts: Duration,
    pub(crate) quiet: bool,
}

/// Seeds in some worlds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) worlds: Vec<World>,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) less: Less,
    pub(crate) quiet: bool,
    pub(crate) files: Files,
}

/// Where the story of a run goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Files {
    pub(crate) trace: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

impl Runs {
    /// All of them, seed by seed.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Job> {
        let Self { first, count, worlds, mutant, less, .. } = self;
        let seeds = (0..*count).map(|nth| first.wrapping_add(nth));
        let places = seeds.flat_map(|seed| worlds.iter().map(move |world| (*world, seed)));
        places.map(|(world, seed)| Job { world, seed, mutant: *mutant, less: less.clone() })
    }
}

impl Files {
    pub(crate) fn wanted(&self) -> bool {
        self.trace.is_some() || self.html.is_some()
    }
}

/// The worlds that a seed is run in.
#[derive(Clone, Debug)]
struct Worlds(Vec<World>);

impl FromStr for Worlds {
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        match names {
            "all" => Ok(Self(World::ALL.to_vec())),
            names => names.split(',').map(str::parse).collect::<Result<_, _>>().map(Self),
        }
    }
}

impl Flags {
    /// What they ask for together.
    ///
    /// # Errors
    /// If they do not go together: a sentence.
    pub(crate) fn order(self) -> Result<Order, String> {
        let Self { seed, runs, world: Worlds(worlds), quiet, .. } = self;
        if self.child {
            return Ok(Order::Serve);
        }
        if self.mutants {
            return Ok(Order::Mutants { one: self.mutant, twins: self.twins });
        }
        let files = Files { trace: self.trace, html: self.html };
        let without: BTreeSet<_> = self.without.into_iter().collect();
        let less = Less { clients_max: self.clients, actions_max: self.actions, without };
        let several = self.twice || self.check || self.minutes.is_some();
        if files.wanted() && (several || runs.unwrap_or(1) != 1 || worlds.len() != 1) {
            let why = "--trace and --html tell of exactly one run: write --seed N --world W";
            return Err(why.to_owned());
        }
        let first = seed.unwrap_or(1);
        if let Some(minutes) = self.minutes {
            let lasts = Duration::try_from_secs_f64(minutes * 60.0);
            let lasts = lasts.map_err(|_| format!("{minutes} is no number of minutes"))?;
            return Ok(Order::Explore(Explore { worlds, first: seed, less, lasts, quiet }));
        }
        if self.check {
            return Ok(Order::Check { first, worlds, quiet });
        }
        let count = runs.unwrap_or(1);
        let mutant = self.mutant;
        let runs = Runs { first, count, worlds, mutant, less, quiet, files };
        Ok(if self.twice { Order::Twice(runs) } else { Order::Runs(runs) })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn order(line: &str) -> Result<Order, String> {
        let flags = Flags::try_parse_from(format!("sim {line}").split_whitespace());
        flags.map_err(|error| error.to_string())?.order()
    }

    fn runs(line: &str) -> Runs {
        match order(line) {
            Ok(Order::Runs(runs)) => runs,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definitions_are_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn one_seed_in_every_world_is_what_is_run_unless_more_is_said() {
        let Runs { first, count, worlds, less, .. } = runs("");
        assert_eq!((first, count, worlds), (1, 1, World::ALL.to_vec()));
        assert_eq!(less, Less::default());
    }

    #[test]
    fn what_a_replay_says_is_understood() {
        let Runs { first, worlds, mutant, less, files, .. } = runs(
            "--seed 17 --scenario mesh --mutant early-ack --clients 3 --actions 9 \
             --without cuts,storms --html failure.html",
        );
        assert_eq!((first, worlds, mutant), (17, vec![World::Mesh], Some(Mutant::EarlyAck)));
        assert_eq!(less.flags(), " --clients 3 --actions 9 --without cuts,storms");
        assert_eq!(files.html, Some(PathBuf::from("failure.html")));
    }

    #[test]
    fn a_story_is_told_of_exactly_one_run() {
        for bad in [
            "--html a",
            "--html a --world mesh --runs 2",
            "--trace a --world mesh --minutes 1",
            "--trace a --world mesh --twice",
        ] {
            let error = order(bad).expect_err(bad);
            assert!(error.contains("exactly one run"), "{bad}: {error}");
        }
    }

    #[test]
    fn minutes_may_be_parts_of_one() {
        let Ok(Order::Explore(explore)) = order("--minutes 0.5") else {
            panic!("it explores");
        };
        let Explore { first, lasts, worlds, .. } = explore;
        assert_eq!((first, lasts), (None, Duration::from_secs(30)));
        assert_eq!(worlds.len(), World::ALL.len());
        for bad in ["--minutes -1", "--minutes nan", "--minutes 1 --runs 3", "--minutes 1 --check"]
        {
            assert!(order(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn worlds_are_named_one_by_one_or_together() {
        assert_eq!(runs("--world model,mesh").worlds, [World::Model, World::Mesh]);
        assert_eq!(runs("--world all").worlds, World::ALL);
    }

    #[test]
    fn faults_are_searched_for_together_or_one_by_one() {
        assert_eq!(order("--mutants"), Ok(Order::Mutants { one: None, twins: None }));
        let one = Some(Mutant::EarlyAck);
        assert_eq!(order("--mutants --mutant early-ack"), Ok(Order::Mutants { one, twins: None }));
        assert!(order("--mutants --minutes 1").is_err() && order("--twins file").is_err());
    }

    #[test]
    fn an_unknown_world_is_told_the_known_ones() {
        let error = order("--world flat").expect_err("there is none");
        assert!(error.contains("write one of model, turmoil, mesh, cluster"), "{error}");
    }
}
