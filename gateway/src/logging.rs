//! Log lines on stderr, for people or machines.

use tracing::Level;

use crate::cli::LogFormat;

/// Starts logging for the whole process; `debug` adds a line for each connection's beginning
/// and end.
pub fn start(format: LogFormat, debug: bool) {
    let level = if debug { Level::DEBUG } else { Level::INFO };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_target(false);
    match format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
