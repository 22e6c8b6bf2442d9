//! Which files there are, with git or without.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Paths relative to `root`, sorted, with `/` between folders: what git tracks or would track;
/// without git everything but build output.
pub(super) fn list(root: &Path) -> Result<Vec<String>> {
    let mut paths = match of_git(root) {
        Some(paths) => paths,
        None => of_walk(root)?,
    };
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// Each path with its text; `None` for what is not UTF-8.
pub(super) fn read(root: &Path, paths: Vec<String>) -> Result<Vec<(String, Option<String>)>> {
    let with_text = |path: String| {
        let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        Ok((path, String::from_utf8(bytes).ok()))
    };
    paths.into_iter().map(with_text).collect()
}

/// `None` if git is absent, or if the files here are not its own: unpacked from an archive
/// inside some other repository.
fn of_git(root: &Path) -> Option<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(root).output().ok()?;
    let paths = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<_> = paths
        .split_terminator('\0')
        // Deleted but not yet committed, or a submodule.
        .filter(|path| root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    let is_ours = output.status.success() && paths.iter().any(|path| path == "Cargo.toml");
    is_ours.then_some(paths)
}

fn of_walk(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        let entries = fs::read_dir(&here).with_context(|| format!("cannot list {folder}/"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                if !["target", ".git"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if entry.path().is_file() {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn a_walk_passes_over_build_output() {
        let root = std::env::temp_dir().join(format!("weir-tidy-walk-{}", std::process::id()));
        for folder in ["target/debug", "src", ".git"] {
            fs::create_dir_all(root.join(folder)).expect("a temporary folder");
        }
        for file in ["target/debug/a.rs", "src/b.rs", ".git/c", "Cargo.toml"] {
            fs::write(root.join(file), [0xff]).expect("a temporary file");
        }
        let mut paths = of_walk(&root).expect("a walk");
        paths.sort_unstable();
        let texts = read(&root, paths.clone()).expect("readable files");
        fs::remove_dir_all(&root).expect("our own folder");
        assert_eq!(paths, ["Cargo.toml", "src/b.rs"]);
        assert!(texts.iter().all(|(_, text)| text.is_none()), "0xff is not UTF-8");
    }

    #[test]
    fn this_file_is_among_the_files() {
        let paths = list(&workspace::root()).expect("a list");
        assert!(paths.iter().any(|path| path == "xtask/src/tidy/files.rs"));
        assert!(!paths.iter().any(|path| path.starts_with("target/")));
    }
}
