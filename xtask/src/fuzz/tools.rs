//! What fuzzing needs beside Weir: a nightly compiler and cargo-fuzz, found or installed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::flags::FuzzTarget;
use crate::invocation::Invocation;
use crate::nightly::{self, nightly};
use crate::workspace;

/// The version of cargo-fuzz that is installed where another one is found, or none.
const CARGO_FUZZ: &str = "0.13.2";

/// What is missing where there is no nightly compiler.
pub(super) const NO_NIGHTLY: &str = "fuzzing needs a nightly compiler, whose coverage and \
     AddressSanitizer it uses: rustup toolchain install nightly --profile minimal";

/// `RUSTFLAGS` replaces what .cargo/config.toml sets, and cargo-fuzz sets its own, behind which it
/// puts these.
const RUSTFLAGS: &str = "--cfg tokio_unstable";

/// libFuzzer itself is compiled with what rustc is told, and with AddressSanitizer spends half of
/// the time on its own books.
const CXXFLAGS: &str = "-fno-sanitize=address";

/// Short histories of allocations, a small quarantine, and no watch over stack frames that have
/// returned, which borrows are checked for: an input takes half of the time then.
pub(super) const ASAN_OPTIONS: &str = "detect_odr_violation=0:malloc_context_size=2:\
     quarantine_size_mb=16:detect_stack_use_after_return=0";

/// What is there, and where.
#[derive(Debug)]
pub(super) struct Tools {
    cargo_fuzz: PathBuf,
    /// Where cargo puts what it builds.
    target: PathBuf,
    /// The system that is built for: part of a path.
    triple: String,
}

impl Tools {
    /// Finds a nightly compiler, and cargo-fuzz, which is installed below the target folder if it
    /// is not there. `None` without the compiler.
    pub(super) fn ensure() -> Result<Option<Self>> {
        let Some(triple) = nightly::host() else {
            return Ok(None);
        };
        let target = workspace::target_dir()?;
        let cargo_fuzz = cargo_fuzz(&target)?;
        Ok(Some(Self { cargo_fuzz, target, triple }))
    }

    /// Builds one target or all: optimised, with debug assertions, overflow checks and
    /// AddressSanitizer, which are what cargo-fuzz does if it is told nothing.
    pub(super) fn build(&self, target: Option<FuzzTarget>) -> Result<()> {
        nightly(Invocation::new(&self.cargo_fuzz, ["build", "--features", "libfuzzer"]))
            .env("RUSTFLAGS", RUSTFLAGS)
            // Optimising over all crates takes minutes for each target, and wins little here.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CXXFLAGS", CXXFLAGS)
            .args(target.map(FuzzTarget::name))
            .run()
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        workspace::binary(&self.target.join(&self.triple), "release", name)
    }

    pub(super) fn target_dir(&self) -> &Path {
        &self.target
    }
}

/// The one that is on the path, if its version is right; else the one below the target folder.
fn cargo_fuzz(target: &Path) -> Result<PathBuf> {
    let root = target.join("tools");
    let ours = root.join("bin").join("cargo-fuzz").with_extension(std::env::consts::EXE_EXTENSION);
    for found in [Path::new("cargo-fuzz"), &ours] {
        let said = Invocation::new(found, ["--version"]).output();
        if said.is_some_and(|said| said.trim() == format!("cargo-fuzz {CARGO_FUZZ}")) {
            return Ok(found.to_owned());
        }
    }
    Invocation::cargo(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root"])
        .arg(root)
        .run()?;
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_workspace_are_repeated() {
        let config = std::fs::read_to_string(workspace::root().join(".cargo/config.toml"));
        let config = config.expect("the workspace has its flags");
        let words: Vec<_> = RUSTFLAGS.split(' ').map(|word| format!("\"{word}\"")).collect();
        assert!(config.contains(&format!("rustflags = [{}]", words.join(", "))), "{config}");
    }
}
