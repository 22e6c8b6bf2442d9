//! The file of `--config`: routes, namespaces and limits, in TOML.

mod limits;
mod middleware;
mod read;
mod routes;
mod sources;
mod table;

use std::path::{Path, PathBuf};

use gateway_core::limits::Limits;
use gateway_core::route::Routes;
use thiserror::Error;
use toml::de::DeTable;

use super::{Config, NamespaceConfig, SourceConfig};
use middleware::Layered;
use table::{Table, Wrong};

/// Bytes of a file: a thousand routes, each with all that can be said of it, are a fifth.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// What a file says; [`Config`] has the rest.
///
/// Four kinds of tables may be in it, all of them optional: `[[route]]`, `[[namespace]]`,
/// `[limits]` and `[sources]`. The README has one with all keys.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// Instead of all built-in ones, if the file has any.
    routes: Option<Vec<Layered>>,
    namespaces: Vec<NamespaceConfig>,
    /// The defaults, but for those that the file sets.
    limits: Limits,
    /// The same of what a source may have.
    sources: SourceConfig,
}

/// Why a file cannot be used, and what to write instead.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{}{}: {why}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct FileError {
    path: PathBuf,
    /// From 1; none if it is about the whole file.
    line: Option<usize>,
    why: String,
}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is longer than [`FILE_BYTES_MAX`] bytes, or is not text; and as
    /// [`parse`](Self::parse) does.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = read::text(path)?;
        Self::parse(path, &text)
    }

    /// Takes a file's text. `path` is what errors call it.
    ///
    /// # Errors
    /// If it is not TOML, has a key that is not known, or a value that is of another type, out of
    /// its bounds or in contradiction to another. The first such place is named.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        Self::of(text).map_err(|Wrong { at, why }| FileError {
            path: path.to_owned(),
            line: Some(line(text, at)),
            why,
        })
    }

    fn of(text: &str) -> Result<Self, Wrong> {
        let document = DeTable::parse(text).map_err(|error| {
            Wrong::at(error.span().map_or(0, |span| span.start), first_line(error.message()))
        })?;
        let document = Table::document(document.get_ref());
        document.knows(&["route", "namespace", "limits", "sources"])?;
        let mut sources = sources::sources(&document)?;
        let limits = limits::limits(&document, &mut sources)?;
        let routes = routes::routes(&document, &limits)?;
        let plain = |routes: &Vec<Layered>| routes.iter().map(|it| it.route.clone()).collect();
        let table = Routes::new(&routes.as_ref().map_or_else(Routes::builtin, plain));
        let table = table.expect("each route was checked beside the others");
        let namespaces = routes::namespaces(&document, &table)?;
        Ok(Self { namespaces, limits, sources, routes })
    }

    /// Puts what the file says into a configuration; the rest stays. Its routes count in the
    /// configuration's [`route_metrics`](Config::route_metrics).
    pub fn apply(self, config: &mut Config) {
        if let Some(routes) = self.routes {
            let count = |route: Layered| route.counting(&config.route_metrics);
            config.routes = routes.into_iter().map(count).collect();
        }
        config.namespaces = self.namespaces;
        config.limits = self.limits;
        config.sources = self.sources;
    }
}

/// The line of a place in a text, from 1.
fn line(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// A parser may tell more than one; an error is a line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("it is not TOML").to_owned()
}

#[cfg(test)]
mod tests;
