//! A file under examination, and what is found in it.

use std::fmt;

use super::code;

/// One text file of the checkout.
pub(super) struct Source<'a> {
    /// Relative to the top of the checkout, with `/` on every system.
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// For Rust the text with comments and literals blanked, offset by offset; else empty.
    pub(super) code: String,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let code = if path.ends_with(".rs") { code::only(text) } else { String::new() };
        Self { path, text, code }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A finding at a byte offset of the text.
    pub(super) fn at(&self, offset: usize, what: impl Into<String>) -> Finding {
        let before = &self.text.as_bytes()[..offset];
        self.on(1 + before.iter().filter(|byte| **byte == b'\n').count(), what)
    }

    /// A finding on a line, counted from 1.
    pub(super) fn on(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.to_owned(), line, what: what.into() }
    }

    /// Where `word` stands in the code, not as the end or the start of a longer name.
    pub(super) fn words(&self, word: &str) -> impl Iterator<Item = usize> {
        let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| code::is_name(*byte));
        let open_end = word.bytes().last().is_some_and(code::is_name);
        let bytes = self.code.as_bytes();
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            let after = bytes.get(at + word.len()).filter(|_| open_end);
            !is_name(before) && !is_name(after)
        })
    }
}

/// What is wrong, where, and what to do instead.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    /// Counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// For the tests of rules: the lines on which a rule finds something.
#[cfg(test)]
pub(super) fn lines_found(rule: super::Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).iter().map(Finding::line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_names_in_code() {
        let source = Source::new("a.rs", "run(); rerun(); runs(); // run()\nrun();");
        let lines: Vec<_> = source.words("run").map(|at| source.at(at, "").line()).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn a_finding_shows_path_line_and_what() {
        let source = Source::new("gateway/a.md", "");
        assert_eq!(source.on(3, "what: instead").to_string(), "gateway/a.md:3: what: instead");
    }
}
