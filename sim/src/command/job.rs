//! One run as a line of text: what one process asks of another, and what `sim/seeds.txt` keeps.

use std::fmt;
use std::str::FromStr;

use gateway_faults::Mutant;
use sim::worlds::{Ask, Less, World};

/// A run to be made: `mesh 17`, or with less in it `mesh 17 --clients 3 --without cuts`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Job {
    pub(crate) world: World,
    pub(crate) seed: u64,
    /// The deliberate fault that Weir has in it, if any.
    pub(crate) mutant: Option<Mutant>,
    pub(crate) less: Less,
}

const FORM: &str = "write `WORLD SEED`, and after it if need be `--clients N`, `--actions N`, \
                    `--without KIND,…`, `--mutant NAME`";

impl Job {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        Self { world, seed, mutant: None, less: Less::default() }
    }

    /// The same with other things left out.
    pub(crate) fn with(&self, less: Less) -> Self {
        Self { less, ..self.clone() }
    }

    pub(crate) fn ask(&self, story: bool) -> Ask {
        Ask { seed: self.seed, mutant: self.mutant, less: self.less.clone(), story }
    }

    /// What is typed to see it once more.
    pub(crate) fn command(&self) -> String {
        let Self { world, seed, less, .. } = self;
        format!("cargo xtask sim --seed {seed} --world {world}{}{}", self.fault(), typed(less))
    }

    /// The flag for its deliberate fault.
    fn fault(&self) -> String {
        self.mutant.map(|mutant| format!(" --mutant {}", mutant.name())).unwrap_or_default()
    }
}

/// The flags for what is left out, as a shell takes them.
fn typed(less: &Less) -> String {
    let flags = less.flags();
    match flags.split_once(" --without ") {
        Some((before, kinds)) if kinds.contains(' ') => format!("{before} --without '{kinds}'"),
        _ => flags,
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, seed, less, .. } = self;
        write!(f, "{world} {seed}{}{}", self.fault(), less.flags())
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        // Names of faults may hold spaces, so flags end where the next one begins.
        let mut parts = line.trim().split(" --");
        let mut words = parts.next().unwrap_or_default().split_whitespace();
        let (Some(world), Some(seed), None) = (words.next(), words.next(), words.next()) else {
            return Err(FORM.to_owned());
        };
        let seed = seed.parse().map_err(|_| format!("`{seed}` is not a seed: {FORM}"))?;
        let mut job = Self::new(world.parse()?, seed);
        for part in parts {
            job.read(part)?;
        }
        Ok(job)
    }
}

impl Job {
    fn read(&mut self, flag: &str) -> Result<(), String> {
        let (name, value) = flag.trim().split_once(' ').ok_or(FORM)?;
        let number = || {
            let number: Result<u64, _> = value.trim().parse();
            number.map_err(|_| format!("`{value}` is not a number: {FORM}"))
        };
        match name {
            "clients" => self.less.clients_max = Some(number()?),
            "actions" => self.less.actions_max = Some(number()?),
            "without" => {
                let kinds = value.split(',').map(|kind| kind.trim().to_owned());
                self.less.without = kinds.filter(|kind| !kind.is_empty()).collect();
            }
            "mutant" => self.mutant = Some(mutant(value.trim())?),
            other => return Err(format!("`--{other}` is not known here: {FORM}")),
        }
        Ok(())
    }
}

/// The deliberate fault of this name.
///
/// # Errors
/// If none is called so: names those that there are.
pub(crate) fn mutant(name: &str) -> Result<Mutant, String> {
    Mutant::of_name(name).ok_or_else(|| {
        let names = Mutant::ALL.map(Mutant::name).join(", ");
        format!("no deliberate fault is called {name}: write one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_is_written() {
        let line =
            "mesh 17 --mutant early-ack --clients 3 --actions 40 --without cuts,slow readers";
        let job: Job = line.parse().expect("a line");
        assert_eq!((job.world, job.seed), (World::Mesh, 17));
        assert_eq!(job.mutant, Some(Mutant::EarlyAck));
        assert_eq!((job.less.clients_max, job.less.actions_max), (Some(3), Some(40)));
        assert_eq!(job.less.without.len(), 2);
        assert_eq!(job.to_string(), line);
        assert_eq!("  model   5 ".parse(), Ok(Job::new(World::Model, 5)));
    }

    #[test]
    fn what_is_typed_survives_a_shell() {
        let job: Job = "mesh 17 --actions 4 --without slow readers,cuts".parse().expect("a line");
        let typed =
            "cargo xtask sim --seed 17 --world mesh --actions 4 --without 'cuts,slow readers'";
        assert_eq!(job.command(), typed);
        assert_eq!(Job::new(World::Model, 5).command(), "cargo xtask sim --seed 5 --world model");
    }

    #[test]
    fn a_line_that_is_no_job_is_told_what_to_write() {
        for bad in ["", "mesh", "mesh x", "mesh 1 2", "mesh 1 --clients", "mesh 1 --clients many"] {
            let error = bad.parse::<Job>().expect_err(bad);
            assert!(error.contains("write `WORLD SEED`"), "{bad}: {error}");
        }
        let error = "flat 1".parse::<Job>().expect_err("no such world");
        assert!(error.contains("no world is called flat"), "{error}");
        let error = "mesh 1 --mutant kind".parse::<Job>().expect_err("no such fault");
        assert!(error.contains("is called kind: write one of "), "{error}");
        let error = "mesh 1 --speed 2".parse::<Job>().expect_err("no such flag");
        assert!(error.contains("`--speed` is not known"), "{error}");
    }
}
