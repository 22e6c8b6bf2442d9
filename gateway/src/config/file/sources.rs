//! `[sources]`: for whom the bounds of a source hold, who is denied, and who speaks for others.

use std::path::PathBuf;

use gateway_ebpf::Network;

use super::table::{Table, Wrong};
use crate::config::SourceConfig;

/// The defaults with what the file says instead. Bounds are among the `[limits]`.
pub(super) fn sources(document: &Table<'_>) -> Result<SourceConfig, Wrong> {
    let mut sources = SourceConfig::default();
    let Some(table) = document.table("sources")? else { return Ok(sources) };
    table.knows(&["limit_loopback", "exempt", "proxy_from", "guard"])?;
    sources.loopback = table.flag("limit_loopback")?.unwrap_or(sources.loopback);
    sources.exempt = networks(&table, "exempt")?;
    sources.proxies = networks(&table, "proxy_from")?;
    sources.guard = table.text("guard")?.map(PathBuf::from);
    Ok(sources)
}

/// A list of networks; an empty one if it is not there.
fn networks(table: &Table<'_>, key: &str) -> Result<Vec<Network>, Wrong> {
    let texts = table.texts(key)?;
    let network = |text: String| {
        let wrong = |error| table.wrong_at(key, format_args!("{key} has {text:?}: {error}"));
        text.parse().map_err(wrong)
    };
    texts.into_iter().map(network).collect()
}
