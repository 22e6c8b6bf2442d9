//! Small files below a root folder; what cannot be read is not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Files of `/proc` and `/sys`, or of a folder that looks like them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree<'a> {
    root: &'a Path,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root }
    }

    fn path(self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// What a file says, without the space around it.
    pub(super) fn text(self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// What a file says, if it is a number.
    pub(super) fn number<N: FromStr>(self, path: &str) -> Option<N> {
        self.text(path)?.parse().ok()
    }

    /// What follows `name` in the first line of a file that begins with it.
    pub(super) fn field(self, path: &str, name: &str) -> Option<String> {
        let text = self.text(path)?;
        let field = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(field.trim().to_owned())
    }

    pub(super) fn exists(self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// What is in a folder, sorted; numbers in names count as such, so that `rx-10` follows `rx-9`.
    pub(super) fn names(self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let mut names: Vec<_> = entries.filter_map(|entry| name(entry.ok()?)).collect();
        names.sort_by_cached_key(|name| (name.len(), name.clone()));
        names
    }

    /// The last part of what a link leads to.
    pub(super) fn link(self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}
