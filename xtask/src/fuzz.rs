//! `cargo xtask fuzz`: searches for inputs that break a promise, with cargo-fuzz and libFuzzer.

mod outcome;
mod tools;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use outcome::{Outcome, Table};
use tools::Tools;

use crate::flags::{Fuzz, FuzzTarget};
use crate::invocation::Invocation;
use crate::workspace;

pub(crate) fn fuzz(flags: &Fuzz) -> Result<ExitCode> {
    let Some(tools) = Tools::ensure()? else {
        eprintln!("error: {}", tools::NO_NIGHTLY);
        return Ok(ExitCode::from(2));
    };
    let targets =
        flags.target.as_ref().map_or_else(FuzzTarget::value_variants, std::slice::from_ref);
    tools.build(flags.target)?;
    if let (Some(target), Some(file)) = (flags.target, &flags.replay) {
        return replay(&tools, target, file);
    }
    println!("{}", budget(targets.len(), flags.seconds));
    let mut table = Table::default();
    for &target in targets {
        let search = Search::new(&tools, target)?;
        let outcome = search.run(flags.seconds)?;
        if flags.keep && outcome.crash.is_none() {
            search.keep()?;
        }
        table.add(target.name(), outcome);
    }
    print!("\n{table}");
    Ok(if table.has_crash() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How long it takes, said before it begins.
fn budget(targets: usize, seconds: u32) -> String {
    match targets {
        1 => format!("{seconds} seconds"),
        more => format!("{more} targets, {seconds} seconds each"),
    }
}

/// Runs a target on one input, with its whole output.
fn replay(tools: &Tools, target: FuzzTarget, file: &Path) -> Result<ExitCode> {
    let file = std::path::absolute(file).context("cannot tell where the input is")?;
    let status = Invocation::new(tools.binary(target.name()), [file]).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl FuzzTarget {
    /// The name of its binary, its corpus and its dictionary.
    fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Deflate => "deflate",
            Self::Differential => "differential",
            Self::FrameParser => "frame_parser",
            Self::Guard => "guard",
            Self::Handshake => "handshake",
            Self::Packet => "packet",
            Self::Session => "session",
        }
    }

    /// Bytes of an input: enough to reach every rule, few enough to be quick.
    fn input_bytes_max(self) -> u32 {
        match self {
            // A length of two bytes is reached, and the message's limit by what headers declare.
            Self::FrameParser => 160,
            // Several messages of some length, in pieces.
            Self::Differential | Self::Session => 1024,
            // Typed lines, and a name as long as it may be.
            Self::Command => 512,
            // Two messages of several blocks.
            Self::Deflate => 512,
            // A dozen lines.
            Self::Guard => 512,
            // A request as browsers send it, twice.
            Self::Handshake => 2048,
            // All headers, but for extensions of more than a few units.
            Self::Packet => 512,
        }
    }
}

/// One target's search, in folders below cargo's own, so that git's corpus grows by intent only.
struct Search<'a> {
    target: FuzzTarget,
    tools: &'a Tools,
    corpus: PathBuf,
    artifacts: PathBuf,
    log: PathBuf,
}

impl<'a> Search<'a> {
    /// Makes the folders, and puts git's seeds to what was found before.
    fn new(tools: &'a Tools, target: FuzzTarget) -> Result<Self> {
        let dir = tools.target_dir().join("fuzz").join(target.name());
        let corpus = dir.join("corpus");
        let artifacts = dir.join("artifacts");
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let search = Self { target, tools, corpus, artifacts, log: dir.join("log") };
        for entry in fs::read_dir(search.seeds()).context("the corpus has its seeds")? {
            let seed = entry?;
            fs::copy(seed.path(), search.corpus.join(seed.file_name()))?;
        }
        Ok(search)
    }

    /// What git keeps of the corpus.
    fn seeds(&self) -> PathBuf {
        workspace::root().join("fuzz/corpus").join(self.target.name())
    }

    fn libfuzzer(&self) -> Invocation {
        let len = self.target.input_bytes_max();
        Invocation::new(self.tools.binary(self.target.name()), [format!("-max_len={len}")])
            .env("ASAN_OPTIONS", tools::ASAN_OPTIONS)
    }

    /// Searches for so many seconds, or until a promise is broken.
    fn run(&self, seconds: u32) -> Result<Outcome> {
        let dictionary = format!("fuzz/dictionaries/{}.dict", self.target.name());
        let log = File::create(&self.log).context("cannot create a log below the target folder")?;
        let status = self
            .libfuzzer()
            .arg(format!("-dict={dictionary}"))
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            // The folder's own slash at the end makes it a folder and not the beginning of a name.
            .arg(format!("-artifact_prefix={}", self.artifacts.join("").display()))
            .arg(&self.corpus)
            .status_into(log)?;
        let said = fs::read(&self.log).context("cannot read the log again")?;
        let outcome = Outcome::read(&String::from_utf8_lossy(&said), status.success());
        if let Some(crash) = &outcome.crash {
            println!("{}", crash.told(self.target.name()));
        }
        Ok(outcome)
    }

    /// Puts to git's corpus the fewest inputs that cover what it does not cover yet.
    fn keep(&self) -> Result<()> {
        self.libfuzzer()
            .arg("-set_cover_merge=1")
            .arg(self.seeds())
            .arg(&self.corpus)
            .status_into(File::create(self.log.with_file_name("keep.log"))?)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_stated() {
        assert_eq!(budget(1, 60), "60 seconds");
        assert_eq!(budget(7, 1200), "7 targets, 1200 seconds each");
    }

    #[test]
    fn every_target_has_its_program_its_dictionary_and_its_seeds() {
        let fuzz = workspace::root().join("fuzz");
        let mut programs = Vec::new();
        for target in FuzzTarget::value_variants() {
            let name = target.name();
            let value = target.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), name);
            programs.push(format!("{name}.rs"));
            assert!(fuzz.join(format!("dictionaries/{name}.dict")).is_file(), "{name}");
            assert!(fuzz.join("corpus").join(name).is_dir(), "{name}");
        }
        let entries = fs::read_dir(fuzz.join("fuzz_targets")).expect("programs");
        let names = entries.map(|entry| entry.expect("a program").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, programs);
    }
}
