//! What builds programs for the kernel: rustup's nightly compiler, or the distribution's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use clap::ValueEnum;

use super::BUILD_MAX;
use super::linker::{self, Linker};
use super::provenance::{Tools, name};
use crate::flags::Compiler;
use crate::invocation::Invocation;
use crate::packages::{self, Need};

/// Where distributions put their compiler, which rustup may hide on the path.
const RUSTC: &str = "/usr/bin/rustc";

/// What to do where there is nothing that could be installed.
const BY_HAND: &str = "or have rustup's compiler: rustup toolchain install nightly --profile \
     minimal --component rust-src, and bpf-linker 0.13.0 on the path, built for its LLVM";

/// A compiler for the kernel with everything that it needs.
pub(super) struct Toolchain {
    pub(super) tools: Tools,
    linker: PathBuf,
    /// Strips a file of its debug information: the program, and what it is told first.
    strip: Invocation,
    /// Where the standard library's sources are, if it is built with the programs.
    library: Option<PathBuf>,
}

impl Toolchain {
    /// The compiler that was asked for, else the first that is there; installs what is missing for
    /// the distribution's if none is.
    ///
    /// # Errors
    /// If none is there after all; says what to type.
    pub(super) fn ensure(asked: Option<Compiler>, may_install: bool) -> Result<Self> {
        let order = asked.as_ref().map_or_else(Compiler::value_variants, std::slice::from_ref);
        for &compiler in order {
            match Self::find(compiler) {
                Ok(toolchain) => return Ok(toolchain),
                Err(absent) => println!("{} compiler: {absent:#}.", name(compiler)),
            }
        }
        if asked == Some(Compiler::Nightly) {
            return Err(Error::msg(BY_HAND.trim_start_matches("or ")));
        }
        let needs = [Need::BpfCompiler, Need::BpfLlvm];
        packages::ensure_these(&needs, may_install).with_context(|| BY_HAND)?;
        if Linker::find(Linker::is_of_distribution).is_none() {
            linker::install(may_install)?;
        }
        Self::find(Compiler::Distribution)
    }

    /// The compiler, if all that it needs is there; installs nothing.
    ///
    /// # Errors
    /// Names what is missing.
    pub(super) fn find(compiler: Compiler) -> Result<Self> {
        match compiler {
            Compiler::Nightly => Self::nightly(),
            Compiler::Distribution => Self::distribution(),
        }
    }

    fn nightly() -> Result<Self> {
        let rustc = |args: &[&str]| nightly(&["rustc"]).args(args).output();
        let said = rustc(&["-vV"]).context("rustup has no nightly compiler")?;
        let sysroot = rustc(&["--print", "sysroot"]).context("rustc names no sysroot")?;
        let sysroot = Path::new(sysroot.trim());
        let library = sysroot.join("lib/rustlib/src/rust");
        if !library.join("library/core/src/lib.rs").is_file() {
            return Err(Error::msg("rust-src is not installed"));
        }
        let linker = Linker::find(|_| true).with_context(no_linker)?;
        let host = value(&said, "host").context("`rustc -vV` names no host")?;
        let strip = objcopy(sysroot, host);
        let strip_version = version(&strip).with_context(|| format!("`{strip}` does not run"))?;
        let tools = Tools {
            toolchain: Compiler::Nightly,
            compiler: first_line(&said),
            llvm: linker.llvm.clone().unwrap_or_else(|| "built into the linker".to_owned()),
            linker: linker_name(),
            strip: format!("rust-objcopy {strip_version}"),
        };
        Ok(Self { tools, linker: linker.path, strip, library: Some(library) })
    }

    fn distribution() -> Result<Self> {
        if !Need::BpfCompiler.is_met() {
            return Err(Error::msg(format!("{} is not installed", Need::BpfCompiler.name())));
        }
        let said =
            Invocation::new(RUSTC, ["-vV"]).output().context("rustc does not say what it is")?;
        let linker = Linker::find(Linker::is_of_distribution).with_context(no_linker)?;
        let strip = Invocation::new(format!("llvm-strip-{}", linker::LLVM), [""; 0]);
        let llvm = version(&strip).with_context(|| format!("{strip} is not installed"))?;
        let tools = Tools {
            toolchain: Compiler::Distribution,
            compiler: first_line(&said),
            strip: format!("llvm-strip {llvm}"),
            // Packages of one LLVM ask for each other in the very same version.
            llvm,
            linker: linker_name(),
        };
        Ok(Self { tools, linker: linker.path, strip, library: None })
    }

    /// Has cargo build with this compiler; the flags are the compiler's.
    ///
    /// # Errors
    /// If the build fails.
    pub(super) fn build(&self, args: &[&str], target_dir: &Path, flags: &[String]) -> Result<()> {
        let cargo = match self.tools.toolchain {
            Compiler::Nightly => nightly(&["cargo"]).args(args).args(["-Z", "build-std=core"]),
            Compiler::Distribution => Invocation::cargo(args).env("RUSTC", RUSTC),
        };
        cargo
            .arg("--target-dir")
            .arg(target_dir)
            // The programs are written with attributes and a target that no stable compiler knows.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", self.linker.to_string_lossy())
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .run_within(BUILD_MAX)
    }

    /// Leaves out debug information, but not BTF.
    ///
    /// # Errors
    /// If the program fails.
    pub(super) fn strip(&self, from: &Path, to: &Path) -> Result<()> {
        let into = match self.tools.toolchain {
            Compiler::Nightly => vec![from.as_os_str(), to.as_os_str()],
            Compiler::Distribution => vec!["-o".as_ref(), to.as_os_str(), from.as_os_str()],
        };
        self.strip.clone().arg("--strip-debug").args(into).run()
    }

    /// Where the standard library's sources are, if it is built with the programs.
    pub(super) fn library(&self) -> Option<&Path> {
        self.library.as_deref()
    }
}

fn nightly(args: &[&str]) -> Invocation {
    Invocation::new("rustup", ["run", "nightly"]).args(args)
}

/// The compiler's own way to strip files. It finds its LLVM only if it is told where.
fn objcopy(sysroot: &Path, host: &str) -> Invocation {
    let program = sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
    Invocation::new(program, [""; 0]).env("LD_LIBRARY_PATH", sysroot.join("lib").to_string_lossy())
}

fn no_linker() -> String {
    format!("bpf-linker {} is not installed", linker::VERSION)
}

fn linker_name() -> String {
    format!("bpf-linker {}", linker::VERSION)
}

/// What a program of LLVM says of its version.
fn version(program: &Invocation) -> Option<String> {
    let said = program.clone().arg("--version").output()?;
    said.lines().find_map(llvm_version).map(str::to_owned)
}

fn llvm_version(line: &str) -> Option<&str> {
    let (_, version) = line.split_once("LLVM version ")?;
    Some(version.trim())
}

/// A line `key: value` of `rustc -vV`.
fn value<'a>(said: &'a str, key: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

fn first_line(said: &str) -> String {
    said.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::TARGET;
    use super::*;

    const SAID: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
                        binary: rustc\nhost: a-b-c\nLLVM version: 22.1.8\n";

    #[test]
    fn a_compiler_names_itself_in_its_first_line() {
        let name = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)";
        assert_eq!(first_line(SAID), name);
        assert_eq!(value(SAID, "host"), Some("a-b-c"));
        assert_eq!(value(SAID, "moon"), None);
    }

    #[test]
    fn programs_of_llvm_say_their_version_in_either_way() {
        assert_eq!(llvm_version("Debian LLVM version 22.1.8"), Some("22.1.8"));
        let rust = "  LLVM version 22.1.4-rust-1.97.0-nightly";
        assert_eq!(llvm_version(rust), Some("22.1.4-rust-1.97.0-nightly"));
        assert_eq!(llvm_version("llvm-strip, compatible with GNU strip"), None);
    }

    #[test]
    fn the_version_to_have_by_hand_is_the_one_that_is_taken() {
        assert!(BY_HAND.contains(&linker_name()), "{BY_HAND}");
    }

    #[test]
    fn the_target_is_the_one_that_the_linker_is_set_for() {
        let named = TARGET.to_uppercase().replace('-', "_");
        assert_eq!(
            format!("CARGO_TARGET_{named}_LINKER"),
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER"
        );
    }
}
