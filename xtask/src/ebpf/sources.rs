//! What goes into the object, as one digest: whoever has no compiler for the kernel can still say
//! that the object is older than its sources.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{lock, sha256};
use crate::tidy;

/// The package of the programs.
const PACKAGE: &str = "gateway-ebpf";

/// What counts of the workspace's manifest: the rest is about other packages.
const SECTIONS: [&str; 3] = ["[workspace.package]", "[profile.release]", "[profile.bpf]"];

/// What is named in the provenance: the packages whose versions the programs feel.
const WRITTEN_WITH: &str = "aya-";

/// The checkout's texts that the object is made of.
pub(super) struct Sources {
    /// Each with the name that it goes by.
    texts: Vec<(String, String)>,
    crates: Vec<String>,
}

impl Sources {
    /// Reads them below `root`.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let manifest = format!("{PACKAGE}/Cargo.toml");
        let folder = format!("{PACKAGE}/src/");
        let files = tidy::tracked_files(root)?;
        let is_in = |path: &String| path.starts_with(&folder) && path.ends_with(".rs");
        let mut texts = Vec::new();
        for path in files.into_iter().filter(is_in).chain([manifest.clone()]) {
            texts.push((path.clone(), read(root, &path)?));
        }
        let workspace = sections(&read(root, "Cargo.toml")?);
        let lock = read(root, "Cargo.lock")?;
        let own = texts.iter().find(|(path, _)| *path == manifest).expect("it was just read");
        let crates = crates(&lock, &tidy::dependencies(&own.1));
        texts.push(("Cargo.toml".to_owned(), workspace));
        Ok(Self { texts, crates })
    }

    /// A digest of them and of how they are built.
    pub(super) fn digest(&self, flags: &str) -> String {
        let mut all = format!("{flags}\n{}\n", self.crates.join("\n"));
        for (path, text) in &self.texts {
            all.push_str(&format!("{path} {}\n{text}", text.len()));
        }
        sha256::hex(all.as_bytes())
    }

    /// The packages that programs for the kernel are written with, `name version, ...`.
    pub(super) fn written_with(&self) -> String {
        let named = self.crates.iter().filter(|name| name.starts_with(WRITTEN_WITH));
        let named = named.map(|name| name.rsplit_once(' ').map_or(&**name, |(name, _)| name));
        named.collect::<Vec<_>>().join(", ")
    }
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

/// `name version checksum` of all that the package rests on.
fn crates(lock: &str, names: &[&str]) -> Vec<String> {
    let closure = lock::closure(lock, names);
    let line =
        |found: &lock::Locked<'_>| format!("{} {} {}", found.name, found.version, found.checksum);
    closure.iter().map(line).collect()
}

/// The sections of a manifest that count, without comments and empty lines.
fn sections(manifest: &str) -> String {
    let mut counts = false;
    let mut kept = String::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            counts = SECTIONS.contains(&line);
        }
        if counts && !line.is_empty() && !line.starts_with('#') {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_programs_and_what_they_are_written_with_go_in() {
        let sources = Sources::read(&workspace::root()).expect("the checkout");
        for path in ["gateway-ebpf/src/bpf/main.rs", "gateway-ebpf/src/lib.rs", "Cargo.toml"] {
            assert!(sources.texts.iter().any(|(found, _)| found == path), "{path}");
        }
        let written_with = sources.written_with();
        assert!(written_with.contains("aya-ebpf 0."), "{written_with}");
        assert!(sources.crates.iter().all(|line| !line.starts_with("tokio ")));
    }

    #[test]
    fn any_change_changes_the_digest() {
        let sources = |text: &str, version: &str| Sources {
            texts: vec![("a.rs".to_owned(), text.to_owned())],
            crates: vec![format!("aya-ebpf {version} 00")],
        };
        let digest = sources("fn a() {}", "0.2.1").digest("--btf");
        assert_eq!(sources("fn a() {}", "0.2.1").digest("--btf"), digest);
        assert_ne!(sources("fn b() {}", "0.2.1").digest("--btf"), digest);
        assert_ne!(sources("fn a() {}", "0.2.2").digest("--btf"), digest);
        assert_ne!(sources("fn a() {}", "0.2.1").digest(""), digest);
    }

    #[test]
    fn of_the_workspaces_manifest_only_what_reaches_the_object_counts() {
        let manifest = "[workspace]\nmembers = []\n\n[profile.bpf]\n# Why.\nlto = true\n\n\
                        [profile.dev]\ndebug = 1\n";
        assert_eq!(sections(manifest), "[profile.bpf]\nlto = true\n");
    }
}
