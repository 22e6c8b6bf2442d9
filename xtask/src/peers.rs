//! The servers of others that `cargo xtask bench` measures Weir beside: built, installed where
//! that was asked for, and told to the benchmark.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::invocation::Invocation;
use crate::packages::{self, Need};
use crate::workspace;

/// The flag that asks for them, which the benchmark knows too.
const FLAG: &str = "--peers";

/// Those that are built from crates.
const ON_CRATES: [&str; 4] = ["tungstenite", "fastwebsockets", "sockudo", "tokio-websockets"];

/// What pip is asked for. It carries uWebSockets, built.
const SOCKETIFY: &str = "socketify==0.0.31";

/// Which of them are wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// Those that need nothing that is not here; the benchmark says who else is left out.
    Present,
    /// These, or `all` or `none`; what is missing is installed where it may be.
    Named(String),
}

impl Wanted {
    /// What the flags of a benchmark ask for, and the flags without that; the last one counts.
    pub(crate) fn of(args: &[OsString], unless_asked: Self) -> (Self, Vec<OsString>) {
        let mut wanted = unless_asked;
        let mut others = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy();
            if text == FLAG {
                let value = args.next().map_or_else(String::new, lossy);
                wanted = Self::Named(value);
            } else if let Some(value) = text.strip_prefix("--peers=") {
                wanted = Self::Named(value.to_owned());
            } else {
                others.push(arg.clone());
            }
        }
        (wanted, others)
    }

    /// No peers: nothing is built for them.
    pub(crate) fn none() -> Self {
        Self::Named("none".to_owned())
    }

    fn includes(&self, name: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Named(names) => names.split(',').any(|named| named == name || named == "all"),
        }
    }
}

fn lossy(text: &OsString) -> String {
    text.to_string_lossy().into_owned()
}

/// Makes them ready; returns what the benchmark is to be told. One that cannot be made ready is
/// told, and left to the benchmark, which leaves it out of `all` and insists on it by name.
///
/// # Errors
/// If it is not known where cargo builds.
pub(crate) fn prepare(wanted: &Wanted) -> Result<Vec<OsString>> {
    let target = workspace::target_dir()?;
    let mut flags: Vec<OsString> = vec![FLAG.into()];
    flags.push(match wanted {
        Wanted::Present => "all".into(),
        Wanted::Named(names) => names.into(),
    });
    if ON_CRATES.iter().any(|name| wanted.includes(name)) {
        tell(&mut flags, "--weir-peer", build(&target));
    }
    if wanted.includes("socketify") {
        tell(&mut flags, "--python", socketify(&target, wanted));
    }
    for (name, need) in [("nats", Need::NatsServer), ("nchan", Need::Nchan)] {
        let installed = match wanted {
            Wanted::Named(_) if wanted.includes(name) => packages::ensure_one(need),
            Wanted::Named(_) | Wanted::Present => Ok(()),
        };
        if let Err(error) = installed {
            println!("{name}: {error:#}");
        }
    }
    Ok(flags)
}

/// Adds a flag with what was made, or says why there is nothing.
fn tell(flags: &mut Vec<OsString>, flag: &str, made: Result<PathBuf>) {
    match made {
        Ok(path) => flags.extend([flag.into(), path.into()]),
        Err(error) => println!("without {flag}: {error:#}"),
    }
}

/// Builds the servers on crates, which are no members of the workspace.
fn build(target: &Path) -> Result<PathBuf> {
    let target = target.join("peers");
    Invocation::cargo(["build", "--release", "--locked"])
        .args(["--manifest-path", "benches/peers/Cargo.toml", "--target-dir"])
        .arg(&target)
        .run()?;
    Ok(workspace::binary(&target, "release", "weir-peer"))
}

/// A Python of its own below the target folder, which has socketify.
fn socketify(target: &Path, wanted: &Wanted) -> Result<PathBuf> {
    let folder = target.join("socketify");
    let python = folder.join("bin/python");
    if has_socketify(&python) {
        return Ok(python);
    }
    if *wanted == Wanted::Present {
        bail!("socketify is not installed yet: ask for it by name");
    }
    packages::ensure_one(Need::Uv)?;
    let make = Invocation::new("python3", ["-m", "venv"]).arg(&folder);
    make.run().context("a Python with its module venv is needed")?;
    Invocation::new(&python, ["-m", "pip", "install", "--quiet", SOCKETIFY]).run()?;
    if has_socketify(&python) {
        return Ok(python);
    }
    bail!("socketify was installed and cannot be loaded: it may have nothing for this processor")
}

fn has_socketify(python: &Path) -> bool {
    let imports: [&OsStr; 2] = ["-c".as_ref(), "import socketify".as_ref()];
    Invocation::new(python, imports).succeeds()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (Wanted, Vec<OsString>) {
        let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        Wanted::of(&args, Wanted::Present)
    }

    #[test]
    fn both_spellings_are_taken_out_of_the_flags() {
        let others: Vec<OsString> = vec!["--rounds".into(), "3".into(), "--smoke".into()];
        for line in ["--rounds 3 --peers nats,nchan --smoke", "--rounds 3 --peers=all --smoke"] {
            let (wanted, rest) = of(line);
            assert!(wanted.includes("nats") && wanted.includes("nchan"), "{line}");
            assert_eq!(rest, others);
        }
        assert_eq!(of("--peers all --peers none").0, Wanted::none());
        assert_eq!(of("--smoke").0, Wanted::Present);
    }

    #[test]
    fn only_those_named_are_made_ready() {
        let (wanted, _) = of("--peers nats,sockudo");
        assert!(wanted.includes("sockudo") && !wanted.includes("socketify"));
        assert!(ON_CRATES.iter().all(|name| !Wanted::none().includes(name)));
        assert!(ON_CRATES.iter().all(|name| Wanted::Present.includes(name)));
    }

    #[test]
    fn nothing_is_told_of_none() {
        let flags = prepare(&Wanted::none()).expect("xtask was built by cargo");
        assert_eq!(flags, ["--peers", "none"]);
    }
}
