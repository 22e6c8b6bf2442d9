//! The nightly compiler of rustup, for what only it can do; without rustup, whichever there is.

use std::path::Path;

use crate::invocation::Invocation;

/// The command with the nightly compiler.
pub(crate) fn nightly(command: Invocation) -> Invocation {
    command.env("RUSTUP_TOOLCHAIN", "nightly")
}

/// The system that a nightly compiler builds for, such as `x86_64-unknown-linux-gnu`; none if
/// there is no such compiler.
pub(crate) fn host() -> Option<String> {
    // Else rustup gets one that is not there, only because it was asked for.
    let rustc = nightly(Invocation::new("rustc", ["-vV"])).env("RUSTUP_AUTO_INSTALL", "0");
    let version = rustc.output()?;
    let is_nightly = version.lines().next().is_some_and(|line| line.contains("nightly"));
    is_nightly.then(|| host_of(&version).map(str::to_owned)).flatten()
}

/// Whether there is a nightly Miri.
pub(crate) fn has_miri() -> bool {
    nightly(Invocation::new("cargo-miri", ["miri", "--version"])).succeeds()
}

/// Whether there is the source of the nightly standard library, which Miri builds: where it is not,
/// `cargo miri` asks to get it.
pub(crate) fn has_library() -> bool {
    let sysroot = nightly(Invocation::new("rustc", ["--print", "sysroot"])).output();
    let library = |sysroot: &str| Path::new(sysroot).join("lib/rustlib/src/rust/library");
    sysroot.is_some_and(|sysroot| library(sysroot.trim_end()).is_dir())
}

/// What `rustc -vV` says of the system that it builds for.
fn host_of(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_a_line_of_its_own() {
        let version = "rustc 1.97.0-nightly (0 2026-05-19)\nbinary: rustc\nhost: a-b-c\n";
        assert_eq!(host_of(version), Some("a-b-c"));
        assert_eq!(host_of("rustc 1.95.0\n"), None);
    }
}
