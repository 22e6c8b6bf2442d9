//! A folder for what a server wants to read, gone with the server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A temporary folder of this process.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, or empties it if another process of the same number left it behind.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-bench-{}-{name}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot empty {}", path.display()))?;
        }
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file; returns where it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is emptied by whoever needs the name again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_folder() {
        let folder = Folder::new("test").unwrap();
        let file = folder.write("a.conf", "b").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "b");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
