//! Log lines on stderr, for people or machines.

use std::borrow::Cow;

use tracing::Level;

use crate::cli::LogFormat;

/// Characters of what a client chose that a line repeats.
const SHOWN_CHARS_MAX: usize = 64;

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

/// What a client chose, such as a room's name, as lines show it: without characters that end a
/// line, drive a terminal or turn the order of others, and not at length. Quotes are left to the
/// format of the lines.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_CHARS_MAX && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut chars = text.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(SHOWN_CHARS_MAX) {
        match is_plain(char) {
            true => shown.push(char),
            false => shown.extend(char.escape_unicode()),
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Whether it shows as itself.
fn is_plain(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_shown_as_they_are() {
        for name in ["", "lobby", "a b", "café", "日本", "\"quoted\" 'and' \\"] {
            assert!(matches!(shown(name), Cow::Borrowed(shown) if shown == name), "{name}");
        }
    }

    #[test]
    fn what_ends_a_line_drives_a_terminal_or_turns_text_is_escaped() {
        let bad = "a\r\nb\u{1b}[2J\u{9b}2J\u{7f}\0\u{202e}\u{2028}\u{feff}";
        let told = shown(bad);
        assert!(told.starts_with(r"a\u{d}\u{a}b\u{1b}[2J"), "{told}");
        assert!(told.chars().all(|char| char.is_ascii_graphic()), "{told}");
    }

    #[test]
    fn long_names_are_cut() {
        let exact = "é".repeat(SHOWN_CHARS_MAX);
        assert_eq!(shown(&exact), exact);
        assert_eq!(shown(&"x".repeat(255)), "x".repeat(SHOWN_CHARS_MAX) + "…");
        assert!(shown(&"\n".repeat(255)).len() < 10 * SHOWN_CHARS_MAX);
    }
}
