//! The outer form of files: their first line, length and width.

use super::source::{Finding, Source};

/// More lines than this hold more than one idea.
const FILE_LINES_MAX: usize = 600;

/// Columns of a line, as .rustfmt.toml has it.
const LINE_COLUMNS_MAX: usize = 100;

/// A Rust file starts with its sentence.
pub(super) fn module_doc(source: &Source<'_>) -> Vec<Finding> {
    if !source.is_rust() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.on(1, "no `//!` line: start the file with the sentence that describes it")]
}

/// A Rust file is short.
pub(super) fn file_length(source: &Source<'_>) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if !source.is_rust() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what = format!("{lines} lines, {FILE_LINES_MAX} are allowed: split it by its ideas");
    vec![source.on(FILE_LINES_MAX + 1, what)]
}

/// A line of Rust fits on a screen, unless a link is in it.
pub(super) fn line_width(source: &Source<'_>) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let wide = lines.filter(|(_, line)| !line.contains("://"));
    wide.map(|(at, line)| (at + 1, line.chars().count()))
        .filter(|(_, columns)| *columns > LINE_COLUMNS_MAX)
        .map(|(at, columns)| {
            let what = format!("{columns} columns, {LINE_COLUMNS_MAX} are allowed: break the line");
            source.on(at, what)
        })
        .collect()
}

/// No line of what we write ends with a space.
pub(super) fn trailing_space(source: &Source<'_>) -> Vec<Finding> {
    if ![".rs", ".toml", ".md"].iter().any(|end| source.path.ends_with(end)) {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let trailing = lines.filter(|(_, line)| line.ends_with([' ', '\t']));
    trailing.map(|(at, _)| source.on(at + 1, "space at the end of the line: remove it")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::lines_found;
    use super::*;

    #[test]
    fn a_file_without_its_sentence_is_found() {
        assert_eq!(lines_found(module_doc, "a.rs", "// Hm.\nfn a() {}\n"), [1]);
        assert_eq!(lines_found(module_doc, "a.rs", "#![no_std]\n//! Late.\n"), [1]);
        assert!(lines_found(module_doc, "a.rs", "//! A sentence.\n").is_empty());
        assert!(lines_found(module_doc, "a.toml", "[package]\n").is_empty());
    }

    #[test]
    fn a_file_of_more_than_600_lines_is_found() {
        assert_eq!(lines_found(file_length, "a.rs", &"\n".repeat(601)), [601]);
        assert!(lines_found(file_length, "a.rs", &"\n".repeat(600)).is_empty());
        assert!(lines_found(file_length, "Cargo.lock", &"\n".repeat(601)).is_empty());
    }

    #[test]
    fn a_line_of_more_than_100_columns_is_found() {
        let line = |columns: usize| format!("//! A.\n{}\n", "ü".repeat(columns));
        assert_eq!(lines_found(line_width, "a.rs", &line(101)), [2]);
        assert!(lines_found(line_width, "a.rs", &line(100)).is_empty());
        let link = format!("// https://weir.example/{}\n", "a".repeat(100));
        assert!(lines_found(line_width, "a.rs", &link).is_empty());
    }

    #[test]
    fn a_space_at_the_end_of_a_line_is_found() {
        assert_eq!(lines_found(trailing_space, "a.md", "a\nb \nc\t\n"), [2, 3]);
        assert!(lines_found(trailing_space, "a.md", "a b\n\nc").is_empty());
        assert!(lines_found(trailing_space, "a.png", "a \n").is_empty());
    }
}
