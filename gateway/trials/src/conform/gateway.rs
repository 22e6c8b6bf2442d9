//! The gateway that is tried: one of our own, with the routes that the cases ask for.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::opening::Route;
use crate::process::Weir;

/// The file of `--config` that the cases need.
pub(super) fn config() -> String {
    let routes = Route::ALL.map(|route| {
        format!(
            "[[route]]\npath = \"{}\"\nkind = \"echo\"\ncompression = \"{}\"\n\
             message_bytes_max = {}\n",
            route.path(),
            route.compression(),
            route.message_bytes_max(),
        )
    });
    routes.join("\n")
}

/// Starts the gateway at `path` with that file.
pub(super) fn start(path: &Path) -> Result<Weir> {
    let file = Temporary::with(&config())?;
    let named = file.path.to_str().context("the directory for temporary files is not UTF-8")?;
    // It has read the file when it says where it listens.
    Weir::start(path, &["--config", named])
}

/// A file that is gone when dropped.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn with(text: &str) -> Result<Self> {
        let name = format!("weir-conform-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let told = || format!("cannot write {}", path.display());
        let mut file = fs::File::create_new(&path).with_context(told)?;
        file.write_all(text.as_bytes()).with_context(told)?;
        Ok(Self { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is small, and in a place that is emptied.
        let _ = fs::remove_file(&self.path);
    }
}
