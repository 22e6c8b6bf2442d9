//! `cargo xtask ebpf`: builds the programs for the kernel into the object that is committed, or
//! verifies that the committed one is what its sources give.

mod build;
mod linker;
mod lock;
mod object;
mod provenance;
mod sha256;
mod sources;
mod toolchain;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use object::Object;
use provenance::Provenance;
use sources::Sources;
use toolchain::Toolchain;

use crate::flags::Ebpf;
use crate::workspace;

/// What programs for kernels on little-endian processors are built for.
const TARGET: &str = "bpfel-unknown-none";

/// The most that a build may take; a cold one takes a minute.
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// What became of a verification that found no fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verified {
    /// The same bytes were built once more.
    Rebuilt,
    /// Checksum and sources are right, but nothing here can build these bytes: with the reason.
    Skipped(String),
}

pub(crate) fn ebpf(flags: &Ebpf) -> Result<ExitCode> {
    if !flags.verify {
        write(flags)?;
    } else if let Verified::Skipped(reason) = verify()? {
        println!("skipped: {reason}");
    } else {
        println!("{} is what its sources give", object::PATH);
    }
    Ok(ExitCode::SUCCESS)
}

fn write(flags: &Ebpf) -> Result<()> {
    let root = workspace::root();
    let toolchain = Toolchain::ensure(flags.with, !flags.no_install)?;
    println!("built with {}", toolchain.tools.compiler);
    let sources = Sources::read(&root)?;
    let flags = build::flags();
    let provenance = Provenance {
        tools: toolchain.tools.clone(),
        crates: sources.written_with(),
        sources: sources.digest(&flags),
        flags,
    };
    let object = Object { bytes: build::object(&toolchain)?, provenance };
    object.write(&root)?;
    println!("{}: {} bytes", object::PATH, object.bytes.len());
    Ok(())
}

/// Checks the committed object against its checksum and its sources, and builds it once more if
/// the compiler that built it is here. Installs nothing.
///
/// # Errors
/// If the object is not what is said about it; says what to do.
pub(crate) fn verify() -> Result<Verified> {
    let root = workspace::root();
    let committed = Object::read(&root)?;
    committed.is_of(&Sources::read(&root)?.digest(&build::flags()))?;
    let theirs = &committed.provenance.tools;
    let toolchain = match Toolchain::find(theirs.toolchain) {
        Ok(toolchain) => toolchain,
        Err(absent) => return Ok(Verified::Skipped(format!("{absent:#}"))),
    };
    if let Some((theirs, ours)) = theirs.difference(&toolchain.tools) {
        return Ok(Verified::Skipped(other(theirs, ours)));
    }
    same(&committed.bytes, &build::object(&toolchain)?)?;
    Ok(Verified::Rebuilt)
}

fn other(theirs: &str, ours: &str) -> String {
    format!("built with {theirs}, here is {ours}")
}

fn same(committed: &[u8], rebuilt: &[u8]) -> Result<()> {
    if committed == rebuilt {
        return Ok(());
    }
    let differs = committed.iter().zip(rebuilt).position(|(one, other)| one != other);
    let at = differs.unwrap_or_else(|| committed.len().min(rebuilt.len()));
    bail!(
        "{} has {} bytes, and its sources give {}, which differ from byte {at} on: compare it with \
         ebpf/weir.bpf.o in the target folder, or build it with `cargo xtask ebpf`",
        object::PATH,
        committed.len(),
        rebuilt.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(committed: &[u8], rebuilt: &[u8]) -> String {
        same(committed, rebuilt).expect_err("different bytes").to_string()
    }

    #[test]
    fn other_bytes_are_told_with_the_first_that_differs() {
        assert!(same(b"abc", b"abc").is_ok());
        let text = difference(b"abc", b"abd");
        assert!(text.contains("has 3 bytes, and its sources give 3"), "{text}");
        assert!(text.contains("differ from byte 2 on"), "{text}");
        assert!(text.ends_with("`cargo xtask ebpf`"), "{text}");
        assert!(difference(b"abc", b"ab").contains("give 2, which differ from byte 2 on"));
    }

    #[test]
    fn another_compiler_is_told_with_both_names() {
        let text = other("rustc 1.96.0", "rustc 1.97.0");
        assert_eq!(text, "built with rustc 1.96.0, here is rustc 1.97.0");
    }
}
