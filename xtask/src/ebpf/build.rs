//! One build of the programs, which gives the same bytes in every folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::TARGET;
use super::toolchain::Toolchain;
use crate::invocation::Invocation;
use crate::workspace;

/// What cargo is told.
const CARGO: [&str; 10] = [
    "build",
    "--locked",
    "--profile",
    "bpf",
    "--target",
    TARGET,
    "-p",
    "gateway-ebpf",
    "--bin",
    "weir-bpf",
];

/// What the compiler is told beside the names of folders.
const RUSTC: [&str; 3] = [
    // How registers are called when a probe of that processor looks at them. No program here does:
    // it is named so that the processor of whoever builds makes no difference.
    "--cfg=bpf_target_arch=\"x86_64\"",
    // Instructions of 32 bits, which Linux 5.1 and later know: programs are a tenth shorter.
    "-Ctarget-cpu=v3",
    // The types of maps and functions, for loaders and tools.
    "-Clink-arg=--btf",
];

/// How objects are built, for their provenance.
pub(super) fn flags() -> String {
    [&CARGO[1..], &RUSTC].concat().join(" ")
}

/// Builds the programs and gives the stripped object.
///
/// # Errors
/// If a tool fails or is not there.
pub(super) fn object(toolchain: &Toolchain) -> Result<Vec<u8>> {
    // So that the folders of packages are there to be named.
    Invocation::cargo(["fetch", "--locked", "--target", TARGET]).run()?;
    let target = workspace::target_dir()?.join("ebpf");
    let remapped = remapped(&folders(toolchain, &target)?);
    let flags: Vec<_> = RUSTC.iter().map(|flag| (*flag).to_owned()).chain(remapped).collect();
    toolchain.build(&CARGO, &target, &flags)?;
    let built = target.join(TARGET).join("bpf").join("weir-bpf");
    let stripped = target.join("weir.bpf.o");
    toolchain.strip(&built, &stripped)?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}

/// Folders that are elsewhere for everyone, each with what objects call it instead.
fn folders(toolchain: &Toolchain, target: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let home = cargo_home().context("neither CARGO_HOME nor HOME says where packages are")?;
    let sources = home.join("registry/src");
    let mut folders = vec![(workspace::root(), "/weir"), (target.to_owned(), "/target")];
    let packages = fs::read_dir(&sources)
        .with_context(|| format!("cannot list {}", sources.display()))?
        .map(|entry| Ok((entry?.path(), "/crates")));
    folders.extend(packages.collect::<Result<Vec<_>>>()?);
    folders.extend(toolchain.library().map(|path| (path.to_owned(), "/rust")));
    Ok(folders)
}

fn cargo_home() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let home = || Some(PathBuf::from(named("HOME")?).join(".cargo"));
    named("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// What the compiler is told about folders. It takes the last that fits, so the deeper go last.
fn remapped(folders: &[(PathBuf, &str)]) -> Vec<String> {
    let mut folders: Vec<_> = folders.iter().collect();
    folders.sort_by_key(|(path, _)| path.components().count());
    let flag =
        |(path, name): &(PathBuf, &str)| format!("--remap-path-prefix={}={name}", path.display());
    folders.into_iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_folder_is_the_last_to_be_named() {
        let folders = [("/a/b/target", "/target"), ("/a/b", "/weir"), ("/a/b/c/d", "/crates")];
        let folders = folders.map(|(path, name)| (PathBuf::from(path), name));
        assert_eq!(
            remapped(&folders),
            [
                "--remap-path-prefix=/a/b=/weir",
                "--remap-path-prefix=/a/b/target=/target",
                "--remap-path-prefix=/a/b/c/d=/crates",
            ]
        );
    }

    #[test]
    fn flags_name_no_folder_of_anyone() {
        let flags = flags();
        assert!(
            flags.starts_with("--locked --profile bpf --target bpfel-unknown-none "),
            "{flags}"
        );
        assert!(!flags.contains('/'), "{flags}");
    }
}
